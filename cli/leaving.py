"""`mentormesh person leave`, `take-out` and `move`: from one employer to another as the same person."""

from pathlib import Path

import click
import msgspec

from cli.client.http import Http
from cli.client.leaving import luggage_of, read_luggage, take_out, unpacked, write_export, write_luggage
from cli.client.person import Person
from cli.client.unlock import create_vault, discard, given_passphrase
from cli.client.vault import FILE_NAME
from protocol.e2ee.luggage import Luggage
from protocol.e2ee.recovery_words import WORD_COUNT, parse_words
from protocol.errors import ConflictError, RefusedError

from .person_access import (
    AS_JSON,
    Terminal,
    ask_passphrase,
    default_home,
    home_options,
    person_command,
    run_until_interrupted,
)
from .recovery import text_of, typed

ERASE = "Erase everything that your node holds about you, and end your keys there?"
PROFILE = "Your mentor profile was taken along for reading; set it anew: `mentormesh mentor set`."
FILE = click.Path(path_type=Path, dir_okay=False)
file_passphrase = click.option(
    "--file-passphrase-file", "secret", type=FILE, help="File whose first line is the passphrase of FILE."
)


@click.command()
@click.argument("file", type=FILE)
@file_passphrase
@click.option("--erase", is_flag=True, help="Also erase your account at the node, which ends your keys there.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@person_command
async def leave(me: Person, terminal: Terminal, file: Path, secret: Path | None, *, erase: bool, yes: bool) -> None:
    """Take your keys, contacts, takeaways and archived sessions along in FILE, sealed with a passphrase."""
    luggage = luggage_of(me.state, await _profile(me), now=me.now())
    write_luggage(file, luggage, _secret(secret, confirm=True))
    lines = [f"Everything is in {file}. At your next organization: mentormesh person move {file} 'LINK'"]
    if erase:
        if not yes and not terminal.can_ask:
            raise RefusedError(AS_JSON)
        if not yes:
            click.confirm(
                "Erase everything that your node holds about you, and end your keys there?", abort=True, err=True
            )
        receipt = await me.api.erase()
        lines.append(f"{sum(receipt.rows.values())} rows erased at the node; your keys there are ended.")
    terminal.result({"file": str(file), "contacts": len(luggage.book.contacts), "erased": erase}, lines)


async def _profile(me: Person) -> str:
    profile = (await me.api.me()).mentoring.profile
    return "" if profile is None else msgspec.json.encode(profile).decode()


@click.command("take-out")
@click.argument("file", type=FILE)
@click.option("--url", required=True, help="Address of the node that you left.")
@click.option("--words-file", type=FILE, help="File with your recovery words.")
@file_passphrase
@click.option(
    "--export", "export_file", type=FILE, help="Also write everything that the node holds about you, readable."
)
@home_options
def take_out_command(
    *,
    file: Path,
    url: str,
    words_file: Path | None,
    secret: Path | None,
    export_file: Path | None,
    home: Path | None,  # noqa: ARG001 -- an option of all of them
    passphrase_file: Path | None,  # noqa: ARG001 -- the same
    language: str,
    as_json: bool,
) -> None:
    """Take your things from a node that you cannot sign in at any more, with your recovery words, into FILE.

    For 30 days after your organization said that you left, or as long as it set.
    """
    terminal = Terminal(as_json=as_json, language=language)
    words = text_of(words_file) if words_file else typed(f"Your {WORD_COUNT} recovery words", hide=False)
    entropy = parse_words(words)

    async def run() -> None:
        async with Http() as http:
            luggage, export, warnings = await take_out(http, url, entropy)
        write_luggage(file, luggage, _secret(secret, confirm=True))
        if export_file is not None:
            write_export(export_file, export)
        said = f"Your keys and {len(luggage.book.contacts)} contacts are in {file}."
        terminal.result({"file": str(file), "contacts": len(luggage.book.contacts)}, said)
        for warning in warnings:
            terminal.warn(warning)

    run_until_interrupted(run())


@click.command()
@click.argument("file", type=FILE)
@click.argument("link")
@file_passphrase
@click.option("--hint", default="", help="What this device is called in your list of devices.")
@home_options
def move(
    *,
    file: Path,
    link: str,
    secret: Path | None,
    hint: str,
    home: Path | None,
    passphrase_file: Path | None,
    language: str,
    as_json: bool,
) -> None:
    """Begin at another organization as the same person, with FILE and the sign-in LINK that was mailed to you there.

    The people you have met know you by your keys when you meet again.
    """
    terminal = Terminal(as_json=as_json, language=language)
    folder = home or default_home()
    if (folder / FILE_NAME).exists():
        raise ConflictError(f"{folder} holds a vault already: name a new folder with --home")
    luggage = read_luggage(file, _secret(secret, confirm=False))
    passphrase = given_passphrase(passphrase_file) or ask_passphrase(confirm=True)
    vault = create_vault(folder, unpacked(luggage), passphrase=passphrase)

    async def run() -> None:
        async with Person(vault) as me:
            done = await me.sign_in(link, name=luggage.name, hint=hint)
            said = f"You are {luggage.name or 'yourself'} at {done.entity}, with {len(me.state.contacts)} contacts."
            terminal.result(done, [said, *_profile_lines(luggage)])
            for warning in done.synced.warnings:
                terminal.warn(warning)

    try:
        run_until_interrupted(run())
    finally:
        if vault.read().account is None:  # nobody came in with it: FILE holds all of it still
            discard(vault)


def _profile_lines(luggage: Luggage) -> list[str]:
    return [PROFILE] if luggage.profile else []


def _secret(file: Path | None, *, confirm: bool) -> str:
    if file is not None:
        return given_passphrase(file, {}) or ""
    return typed("Passphrase of the file", confirm=confirm)
