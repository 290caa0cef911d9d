"""The real clock and the real randomness: the only place of a node that reads them."""

import asyncio
import secrets
import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return the Unix time in seconds."""
        return int(time.time())

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


class SystemEntropy:
    """The operating system's generator."""

    def take(self, size: int) -> bytes:
        """Return `size` unpredictable bytes."""
        return secrets.token_bytes(size)
