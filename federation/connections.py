"""What our clients bring to their connections: whom they trust, and for how long an idle one is used.

Every connection of ours brings its context itself, and none leaves it to aiohttp, whose own may trust nobody
(`cli/late.py`). A context is checked for the name of the host and cannot be without checks.
"""

import asyncio
import ssl
from typing import Final

#: A connection that said nothing for so long is not used again. A node closes it after ten seconds (`[limits]
#: header_s`), and what is asked just then is lost.
IDLE_S: Final = 5.0


def system_trust() -> ssl.SSLContext:
    """Return a context that trusts the authorities of the system; reading them takes 50 ms and 2 MiB."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    return context


class Trust:
    """What requests are checked against; the system's authorities are read before the first one that needs them."""

    def __init__(self, own: ssl.SSLContext | None = None) -> None:
        """Take what replaces the system's trust, for instance a private authority."""
        self._context = own

    async def of(self, *urls: str) -> ssl.SSLContext | bool:
        """Return `ssl` of a request to this URL, and by this proxy if any; without TLS nothing is read."""
        if all(url.startswith("http:") for url in urls if url):
            return True
        if self._context is None:
            self._context = await asyncio.to_thread(system_trust)
        return self._context
