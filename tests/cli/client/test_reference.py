"""docs/reference/client.md says what the program does."""

from pathlib import Path
from typing import Final, get_args

import click
import pytest

from cli.client import account, asking, ending, http, needs, requesting
from cli.client.api import QUOTES_S
from cli.client.views import Event
from cli.main import COMMANDS, main
from protocol.e2ee.brief import MAX_PROMPT_BYTES, MAX_PROMPT_CHARACTERS
from protocol.session import LIFE_S

PAGE: Final = (Path(__file__).parents[3] / "docs" / "reference" / "client.md").read_text(encoding="utf-8")
MODULES: Final = ("cli.ask", "cli.reports", "cli.inbox", "cli.mentor", "cli.person")


def test_every_event_is_explained() -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(Event)}
    section = PAGE.partition("## Answers")[2]
    assert {tag for tag in tags if f"`{tag}`" not in section} == set()


@pytest.mark.parametrize("name", [name for name, where in COMMANDS.items() if where.partition(":")[0] in MODULES])
def test_every_command_of_a_person_is_listed(name: str) -> None:
    section = PAGE.partition("## Commands")[2].partition("## Options")[0]
    command = main.get_command(click.Context(main), name)
    words = [name, *(command.commands if isinstance(command, click.Group) else ())]
    assert [word for word in words if word not in section and word != "chat"] == []


def test_the_limits_are_those_of_the_program() -> None:
    days = 86_400
    for limits in (
        f"{asking.PEOPLE}; {asking.MOST_ASKED}; {asking.ROUND}",
        f"{requesting.MOST_ATTEMPTS}; {requesting.MOST_REQUOTES}",
        f"{MAX_PROMPT_CHARACTERS} characters, {MAX_PROMPT_BYTES:,} bytes",
        f"{account.KEYS}; {account.RENEW_S // days} days",
        f"{asking.KEEP_S // days} days",
        f"{LIFE_S // days} days",
        f"{http.MAX_ANSWER_BYTES // 1024 // 1024} MiB, {http.TIMEOUT_S:g} s; {QUOTES_S:g} s",
    ):
        assert f"| {limits}" in PAGE, limits
    assert asking.KEEP_S == ending.KEEP_S
    assert needs.MARGIN_S < requesting.PATIENCE_S
