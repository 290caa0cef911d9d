"""How long the demo waits for anything: processes and people's programs tell nobody when they have got somewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from protocol.errors import UnavailableError

#: Nothing takes longer, on a slow machine neither; what does is a failure.
PATIENCE_S: Final = 120.0


@asynccontextmanager
async def waiting(otherwise: str) -> AsyncIterator[None]:
    """Let the block take as long as anything may. Raises: UnavailableError: it took longer; `otherwise` says what."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield
    except TimeoutError:
        raise UnavailableError(otherwise) from None
