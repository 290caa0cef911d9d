"""Doing one thing for each of several, of which none may keep the others from it."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from protocol.errors import MeshError, UnavailableError

T = TypeVar("T")


async def for_each(things: Iterable[T], do: Callable[[T], Awaitable[object]]) -> None:
    """Do it for each, whatever fails for another.

    Raises: MeshError: what failed last, once all were tried; UnavailableError: at once, for all others it would too.
    """
    failed: MeshError | None = None
    for one in things:
        try:
            await do(one)
        except UnavailableError:
            raise
        except MeshError as error:
            failed = error
    if failed:
        raise failed
