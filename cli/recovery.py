"""`mentormesh person recovery`: ways back for the case that every device is lost."""

import secrets
import sys
from pathlib import Path
from typing import Final

import click

from cli.client.person import Person
from cli.client.pins import name_of
from cli.client.recovery import Passphrase, Words, read_copy
from cli.client.unlock import given_passphrase
from cli.client.vault import FILE_NAME
from protocol.e2ee.recovery_slots import check_strength
from protocol.e2ee.recovery_words import ENTROPY_BYTES, WORD_COUNT, parse_words, render_words
from protocol.errors import MalformedError, MeshError, RefusedError, UnavailableError
from protocol.times import when

from .person_access import Terminal, default_home, home_options, person_command, run_until_interrupted
from .person_vault import vault_of

ROW: Final = 3
ASKED: Final = 3
REMOVED: Final = (
    "Removed; it opens nothing from now on. Who knows it and has an older copy, as your node may, could still use both "
    "together: `mentormesh person change-master-key` ends that."
)


@click.group()
def recovery() -> None:
    """Prepare for the loss of all your devices, or come back after it."""


@recovery.command()
@click.option("--show", is_flag=True, help="Print the words although nobody is at the terminal.")
@person_command
async def words(me: Person, terminal: Terminal, *, show: bool) -> None:
    """Make recovery words, show them once, and ask for some of them back.

    Write them down on paper. Words made before open your account no longer.
    """
    if not (terminal.can_ask or show):
        raise RefusedError("recovery words are for somebody who reads them: use a terminal, or say --show")
    await me.recovery.slots()  # nobody writes words down that their node could not take
    entropy = secrets.token_bytes(ENTROPY_BYTES)
    made = render_words(entropy)
    if terminal.can_ask:
        _show(made)
        _ask_back(made)
        click.clear()
    try:
        await me.recovery.add_words(entropy)
    except MeshError:
        terminal.warn("These words were not set: throw the paper away, and begin again.")
        raise
    said = "Your recovery words are set. Nobody can show them again."
    if terminal.can_ask:
        terminal.result({"set": "words"}, said)
    else:
        terminal.result({"words": made}, [*_rows(made), said])
    _warn(me, terminal)


def _show(made: tuple[str, ...]) -> None:
    click.echo(f"Write down these {WORD_COUNT} words in their order:\n", err=True)
    for row in _rows(made):
        click.echo(row, err=True)
    click.prompt("\nPress enter when they are on paper", default="", show_default=False, err=True)


def _rows(made: tuple[str, ...]) -> list[str]:
    cells = [f"{number:2}. {word:10}" for number, word in enumerate(made, 1)]
    return ["".join(cells[at : at + ROW]).rstrip() for at in range(0, len(cells), ROW)]


def _ask_back(made: tuple[str, ...]) -> None:
    """Ask for a few words, so that nobody goes away without them. Raises: RefusedError: one was wrong twice."""
    click.clear()
    for place in sorted(secrets.SystemRandom().sample(range(len(made)), ASKED)):
        for last in (False, True):
            word = click.prompt(f"Word {place + 1}", hide_input=False, err=True)
            if word.strip().lower() == made[place]:
                break
            if last:
                raise RefusedError("that is another word: nothing was set, begin again with new words")


@recovery.command()
@click.option(
    "--recovery-passphrase-file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File whose first line is the recovery passphrase.",
)
@person_command
async def passphrase(me: Person, terminal: Terminal, file: Path | None) -> None:
    """Set a recovery passphrase, another one than that of your vault.

    Your node keeps what it opens and could guess at it for years: take six words, or 20 characters.
    """
    text = given_passphrase(file, {}) if file else typed("Recovery passphrase", confirm=True)
    check_strength(text or "")
    await me.recovery.add_passphrase(text or "")
    terminal.result({"set": "passphrase"}, "Your recovery passphrase is set.")
    _warn(me, terminal)


@recovery.command("list")
@person_command
async def list_slots(me: Person, terminal: Terminal) -> None:
    """List the ways back into your account."""
    slots = await me.recovery.slots()
    rows = [(one.slot, one.kind, when(one.added_at)) for one in slots]
    empty = "There is no way back: if all your devices are lost, so is your account. Use `person recovery words`."
    terminal.table(slots, ("slot", "kind", "since"), rows, empty=empty)
    _warn(me, terminal)


@recovery.command()
@click.argument("slot")
@person_command
async def remove(me: Person, terminal: Terminal, slot: str) -> None:
    """Take the way back SLOT away; the last one stays."""
    await me.recovery.remove(slot)
    terminal.result({"removed": slot}, REMOVED)
    _warn(me, terminal)


@recovery.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@person_command
async def save(me: Person, terminal: Terminal, file: Path) -> None:
    """Write the recovery copy to FILE, should your node lose it; it opens with your words or passphrase only."""
    await me.recovery.save(file)
    terminal.result({"file": str(file)}, f"The recovery copy is in {file}.")
    _warn(me, terminal)


@recovery.command()
@click.argument("link", required=False)
@click.option("--words-file", type=click.Path(path_type=Path, dir_okay=False), help="File with the recovery words.")
@click.option(
    "--recovery-passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File whose first line is the recovery passphrase.",
)
@click.option("--by-passphrase", is_flag=True, help="Ask for the recovery passphrase, not for the words.")
@click.option("--copy", type=click.Path(path_type=Path, dir_okay=False), help="A recovery copy that you saved.")
@click.option("--hint", default="", help="What this device is called in your list of devices.")
@click.option("--keyring", is_flag=True, help="Keep the vault's key in the keyring of this machine, not a passphrase.")
@home_options
def restore(
    *,
    link: str | None,
    words_file: Path | None,
    recovery_passphrase_file: Path | None,
    by_passphrase: bool,
    copy: Path | None,
    hint: str,
    keyring: bool,
    home: Path | None,
    passphrase_file: Path | None,
    language: str,
    as_json: bool,
) -> None:
    """Come back with a new device after the loss of all: with the sign-in LINK, and your words or passphrase.

    Every device that your account had is removed. After a wrong word, run it again without LINK.
    """
    terminal = Terminal(as_json=as_json, language=language)
    saved = read_copy(copy) if copy else None
    folder = home or default_home()
    if link is None and not (folder / FILE_NAME).exists():
        raise click.UsageError("name the LINK from your mail")
    vault = vault_of(folder, given_passphrase(passphrase_file), keyring=keyring)

    async def run() -> None:
        async with Person(vault) as me:
            if link is not None:
                await me.recovery.begin(link)
            way = _way(terminal, words_file, recovery_passphrase_file, by_passphrase=by_passphrase)
            done = await me.restore(way, copy=saved, hint=hint)
            lines = [
                f"You are back at {name_of(me.state, done.entity)}; {done.removed} lost devices were removed.",
                "To the people you know nothing has changed.",
            ]
            if done.sessions:
                lines.append(
                    f"{done.sessions} open sessions: the others are asked to let this device in, as soon as theirs are "
                    "on. They are told that it is a new one. What was said before is not here."
                )
            terminal.result(done, lines)
            for warning in done.synced.warnings:
                terminal.warn(warning)

    run_until_interrupted(run())


def _way(
    terminal: Terminal, words_file: Path | None, passphrase_file: Path | None, *, by_passphrase: bool
) -> Words | Passphrase:
    if words_file is not None:
        return Words(parse_words(text_of(words_file)))
    if passphrase_file is not None or by_passphrase:
        text = given_passphrase(passphrase_file, {}) if passphrase_file else typed("Recovery passphrase")
        return Passphrase(text or "")
    while True:
        try:
            return Words(parse_words(typed(f"Your {WORD_COUNT} recovery words", hide=False)))
        except MalformedError as error:
            if not terminal.can_ask:
                raise
            terminal.warn(str(error))


def text_of(file: Path) -> str:
    """Return the beginning of a small text file. Raises: UnavailableError, MalformedError."""
    try:
        return file.read_text(encoding="utf-8")[:4_000]
    except OSError as error:
        raise UnavailableError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MalformedError(f"{file} is not UTF-8 text") from None


def typed(question: str, *, confirm: bool = False, hide: bool = True) -> str:
    """Return what somebody types at the terminal. Raises: RefusedError: there is nobody."""
    if not sys.stdin.isatty():
        raise RefusedError("nobody is at the terminal: name a file with the words or the passphrase", code="passphrase")
    answer: str = click.prompt(question, hide_input=hide, confirmation_prompt=confirm, err=True)
    return answer


def _warn(me: Person, terminal: Terminal) -> None:
    for warning in me.recovery.warnings:
        terminal.warn(warning)
