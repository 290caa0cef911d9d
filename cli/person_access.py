"""How commands of a person reach their vault and their node: which folder, how it is unlocked, what is printed."""

import asyncio
import functools
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cli.client.person import Person
from cli.client.render import event_line
from cli.client.state import ClientState
from cli.client.unlock import given_passphrase, open_vault
from cli.client.views import Alarm, Event, KeyChanged
from protocol.errors import MissingError, RefusedError

from .output import Output, json_option, shown

F = TypeVar("F", bound=Callable[..., Any])

HOME_VARIABLE: Final = "MENTORMESH_HOME"
LANGUAGES: Final = ("en", "de")
AS_JSON: Final = "there is nobody to ask: say --yes"
THIS_DEVICE: Final = (
    "this is the device that you are at: remove it by another one of yours, or sign out here; without any device your "
    "account could only come back by recovery"
)
#: A beginning of a thread's id names it, when it is long enough not to be an accident.
SHORTEST_NAME: Final = 4


def default_home() -> Path:
    """Return the folder of the person at this machine: `XDG_DATA_HOME/mentormesh`, by default in `~/.local/share`."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "mentormesh"


class Terminal(Output):
    """Output in the reader's language, with warnings in red."""

    def __init__(self, *, as_json: bool, language: str) -> None:
        super().__init__(as_json=as_json)
        self.language: Final = language

    def event(self, event: Event) -> None:
        """Print one event: a line of JSON, or a sentence; alarms in red on standard error."""
        if self.as_json:
            self.result(event, "")
        elif isinstance(event, Alarm) or (isinstance(event, KeyChanged) and not event.believed):
            self.warn(event_line(event, self.language))
        elif isinstance(event, KeyChanged):
            click.secho(shown(event_line(event, self.language)), err=True, fg="yellow", bold=True)
        else:
            self.result(event, event_line(event, self.language))

    def warn(self, sentence: str) -> None:
        """Print a warning in red."""
        click.secho(shown(sentence), err=True, fg="red", bold=True)

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer a question."""
        return not self.as_json and sys.stdin.isatty()


def ask_passphrase(*, confirm: bool = False) -> str:
    """Return a passphrase typed at the terminal. Raises: RefusedError: there is none."""
    if not sys.stdin.isatty():
        raise RefusedError(
            "nobody is at the terminal to type the passphrase: set MENTORMESH_PASSPHRASE or name a --passphrase-file",
            code="passphrase",
        )
    typed: str = click.prompt("Passphrase of your vault", hide_input=True, confirmation_prompt=confirm, err=True)
    return typed


def home_options(function: F) -> F:
    """Give a command `--home`, `--passphrase-file`, `--lang` and `--json`."""
    options = (
        click.option(
            "--home",
            type=click.Path(path_type=Path, file_okay=False),
            envvar=HOME_VARIABLE,
            default=None,
            show_default="~/.local/share/mentormesh",
            show_envvar=True,
            help="Folder of your vault.",
        ),
        click.option(
            "--passphrase-file",
            type=click.Path(path_type=Path, dir_okay=False),
            help="File whose first line opens the vault.",
        ),
        click.option(
            "--lang",
            "language",
            type=click.Choice(LANGUAGES),
            default=lambda: "de" if os.environ.get("LANG", "").startswith("de") else "en",
            show_default="that of this machine",
            help="Language of what you read.",
        ),
        json_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


def person_command(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn `async def command(person, terminal, …)` into a command of a signed-in person."""

    @home_options
    @functools.wraps(function)
    def command(
        home: Path | None,
        passphrase_file: Path | None,
        language: str,
        *,
        as_json: bool,
        **parameters: Any,  # noqa: ANN401 -- the command's own
    ) -> None:
        vault = open_vault(home or default_home(), passphrase=given_passphrase(passphrase_file), ask=ask_passphrase)

        async def run() -> None:
            async with Person(vault) as person:
                await function(person, Terminal(as_json=as_json, language=language), **parameters)

        run_until_interrupted(run())

    return command


def run_until_interrupted(work: Any) -> None:  # noqa: ANN401 -- a coroutine
    """Run a command; Ctrl-C ends it quietly, because everything is stored before it is shown."""
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        click.echo("", err=True)


def thread_named(state: ClientState, name: str) -> str:
    """Return the id of the thread that `name` is, or begins. Raises: MissingError."""
    if name in state.threads:
        return name
    found = [one for one in state.threads if len(name) >= SHORTEST_NAME and one.startswith(name)]
    if len(found) != 1:
        raise MissingError("no thread of this device has this id: `mentormesh threads` lists them")
    return found[0]


def numbered(slots: Sequence[int], chosen: Sequence[int]) -> tuple[int, ...]:
    """Return the times that numbers (from 1) or Unix seconds name. Raises: RefusedError."""
    times: list[int] = []
    for one in chosen:
        if one in slots:
            times.append(one)
        elif 1 <= one <= len(slots):
            times.append(slots[one - 1])
        else:
            raise RefusedError(f"--slot takes 1 to {len(slots)}" if slots else "there are no times to choose from")
    return tuple(times)


async def follow(person: Person, terminal: Terminal, *, until: Callable[[Event], bool] | None = None) -> None:
    """Print everything that happens until `until` says so or somebody interrupts."""
    async for event in person.events():
        terminal.event(event)
        if until is not None and until(event):
            return
