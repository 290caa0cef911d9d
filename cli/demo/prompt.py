"""The visitor's sentence: given, typed at the terminal in the middle of the story, or a default one."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Final

from protocol.errors import MalformedError, MeshError
from protocol.text import check_displayable

from .words import DEFAULT_MESSAGE

#: As many characters as one chat message takes.
MOST: Final = 4_000
_LINE_BYTES: Final = 16_384

Say = Callable[[str], None]


def check_message(text: str) -> str:
    """Return `text` if it can be a chat message as it is. Raises: MalformedError."""
    if not 1 <= len(text) <= MOST:
        raise MalformedError(f"the message must have 1 to {MOST} characters")
    check_displayable(text, "the message")
    return text


async def given(text: str) -> AsyncIterator[str]:
    """Yield the one sentence."""
    yield text


async def typed(descriptor: int, say: Say) -> AsyncIterator[str]:
    """Yield what the visitor types on the terminal `descriptor`, until an empty line; at least the default."""
    say("Type a sentence that Ana sends to Ben, or press Enter for a default one:")
    yield await _sentence(descriptor, say) or DEFAULT_MESSAGE
    while True:
        say("Another sentence, or Enter to go on:")
        text = await _sentence(descriptor, say)
        if not text:
            return
        yield text


async def _sentence(descriptor: int, say: Say) -> str:
    """Return a good message, or nothing for an empty line."""
    while True:
        text = await _line(descriptor)
        if not text:
            return ""
        try:
            return check_message(text)
        except MeshError as error:
            say(f"{error}. Once more:")


async def _line(descriptor: int) -> str:
    """Return the next line without its end; nothing at the end of the input. Can be cancelled while it waits."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    # A thread that waits for a key could not be ended by Ctrl-C.
    loop.add_reader(descriptor, _tell, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, _LINE_BYTES).decode("utf-8", "replace").strip()


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
