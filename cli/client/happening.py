"""Everything that happens to a person, for ever: also while their node is away for a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from protocol.errors import UnavailableError

from .views import Event, Problem

#: Pauses while the own node is away.
SHORTEST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0


async def happening(poll: Callable[[], Awaitable[tuple[Event, ...]]]) -> AsyncIterator[Event]:
    """Yield what `poll` brings, again and again; while the node is away one `Problem` of code `node-away`, and wait."""
    pause = 0.0
    while True:
        try:
            happened = await poll()
        except UnavailableError as error:
            if not pause:
                yield Problem(thread="", code=error.code, sentence=str(error))
            pause = min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, pause * 2))
            await asyncio.sleep(pause)
            continue
        pause = 0.0
        for event in happened:
            yield event
