"""How long a test waits for what must come.

Nothing is measured by it: a machine may be five times slower than ours, or stop for five seconds at the worst moment,
and no test may fail for that. Only what never comes makes a test wait so long.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

#: Below the limit of a whole test (pyproject.toml), so that what did not come is named.
PATIENCE_S: Final = 120.0
_LOOK_EVERY_S: Final = 0.02


async def comes_true(look: Callable[[], bool | Awaitable[bool]], *, within_s: float = PATIENCE_S) -> None:
    """Return once `look` says so, for what nobody tells of, such as the state of another process."""
    async with asyncio.timeout(within_s):
        while True:
            found = look()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(_LOOK_EVERY_S)


def until(look: Callable[[], bool]) -> None:
    """Do the same without a loop."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(_LOOK_EVERY_S)
