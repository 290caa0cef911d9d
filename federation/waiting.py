"""How background work waits: for its time or for a call, and never in step with others.

Time is the `Clock`'s, so that tests and the simulator step it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from protocol.errors import LimitError, MeshError, UnavailableError

from .ports import Clock, Entropy

#: A pause is drawn from a fifth below to a fifth above the planned one.
_LEAST: Final = 0.8
_SPREAD: Final = 0.4
#: Doublings of a pause after which every cap is reached.
_DOUBLINGS: Final = 16


async def sleep_or_wake(clock: Clock, seconds: float, woken: asyncio.Event) -> None:
    """Return after `seconds`, or as soon as `woken` is set; it stays set."""
    waits = [asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(woken.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()


@asynccontextmanager
async def within(seconds: float, message: str, *, code: str) -> AsyncIterator[None]:
    """Raise an UnavailableError when what is inside takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise UnavailableError(message, code=code) from None


def jittered(seconds: float, entropy: Entropy) -> float:
    """Return `seconds` ± a fifth, so that nodes that began together do not ask together for ever."""
    return seconds * (_LEAST + _SPREAD * int.from_bytes(entropy.take(2), "big") / 65_535)


def try_again_at(
    error: MeshError | None, *, first_s: float, failures: int, longest_s: float, now: int, entropy: Entropy
) -> float:
    """Return when to ask a peer again: after a pause that doubles, and not before the time that it named.

    Args:
        failures: how many there were before this one.
        longest_s: the pause does not grow beyond it, and a peer that names a later time is not believed.
    """
    pause = min(first_s * 2 ** min(failures, _DOUBLINGS), longest_s)
    named = error.retry_at if isinstance(error, (LimitError, UnavailableError)) else None
    return max(now + jittered(pause, entropy), min(named or 0, now + longest_s))
