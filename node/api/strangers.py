"""Who shows nothing, or something wrong, is limited by address: on every route that is open, and at every guard."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from aiohttp import web

from protocol.errors import UnverifiedError

from .hosts import HOSTS


class Strangers(Protocol):
    """Counts requests that no key and no token answers for."""

    def meet_stranger(self, address: str) -> None:
        """Charge one to its address. Raises: LimitError."""
        ...


STRANGERS: Final = web.AppKey("mentormesh.strangers", Strangers)


def charge(request: web.Request) -> None:
    """Charge a request that anybody may make to its address. Raises: LimitError."""
    request.app[STRANGERS].meet_stranger(request.app[HOSTS].client_address(request))


@contextmanager
def charging_failures(request: web.Request) -> Iterator[None]:
    """Charge a request whose token turns out to be none; who shows a good one is never held up by others.

    Raises: LimitError: in place of the UnverifiedError, once the address has no tries left.
    """
    try:
        yield
    except UnverifiedError:
        charge(request)
        raise
