"""The visitor's sentence is taken as typed, or refused in one sentence; waiting for it can be ended."""

import asyncio
import os
import pty
from collections.abc import Iterator

import pytest

from cli.demo.prompt import MOST, check_message, typed
from cli.demo.words import DEFAULT_MESSAGE
from protocol.errors import MalformedError
from tests.patience import PATIENCE_S


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    visitor, program = pty.openpty()
    yield visitor, program
    os.close(visitor)
    os.close(program)


async def sentences(terminal: tuple[int, int], *lines: str) -> tuple[list[str], list[str]]:
    visitor, program = terminal
    waiting = list(lines)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        # A terminal hands over one line at a time, when it is asked for.
        os.write(visitor, waiting.pop(0).encode() + b"\n")

    async with asyncio.timeout(PATIENCE_S):
        return [text async for text in typed(program, say)], said


@pytest.mark.parametrize("text", ["a", "ünï 🙂 👩‍🔬", "two\nlines", " spaces ", "x" * MOST, '<b>"&'])
def test_a_message_stays_as_it_is(text: str) -> None:
    assert check_message(text) == text


@pytest.mark.parametrize(
    "text", ["", "x" * (MOST + 1), "tab\t", "\x1b[31m", "\u202ereversed", "\udcff", "zero\u200bwidth"]
)
def test_a_message_that_no_client_would_show_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        check_message(text)


async def test_enter_takes_the_default_sentence(terminal: tuple[int, int]) -> None:
    assert (await sentences(terminal, "", ""))[0] == [DEFAULT_MESSAGE]


async def test_sentences_are_taken_until_an_empty_line(terminal: tuple[int, int]) -> None:
    assert (await sentences(terminal, "Grüße", "one more", ""))[0] == ["Grüße", "one more"]


async def test_a_sentence_with_bad_characters_is_asked_for_again(terminal: tuple[int, int]) -> None:
    found, said = await sentences(terminal, "left \u202e right", "good", "")
    assert found == ["good"]
    assert "Once more" in said[1]


async def test_the_wait_for_a_sentence_can_be_cancelled(terminal: tuple[int, int]) -> None:
    async def wait() -> None:
        async for _ in typed(terminal[1], lambda _: None):
            pass

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE_S):
            await task
