"""Connections to whichever host of a URL takes writes, over lines that end when they are dead without a word."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from operator import methodcaller
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg


class Ends(Protocol):
    """What can be ended at once."""

    def terminate(self) -> None:
        """End it."""
        ...


C = TypeVar("C", bound=Ends)
T = TypeVar("T")

#: A host that has not answered by then keeps the next one waiting no longer: its machine may be gone.
HEAD_START_S: Final = 0.5

#: As the server is told to (`connection.SETTINGS`): a dead line ends within three seconds, idle or not.
_LINE: Final = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 2),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 3000),
)


class WatchedConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection whose line is watched; `place` is the address at its other end."""

    def __init__(self, protocol: object, transport: asyncio.Transport, *more: object) -> None:
        """Take what asyncpg makes a connection of."""
        super().__init__(protocol, transport, *more)
        self.place: Final[object] = transport.get_extra_info("peername")
        line = transport.get_extra_info("socket")
        if line.family != socket.AF_UNIX:
            for level, name, value in _LINE:
                if hasattr(socket, name):  # not on every system
                    line.setsockopt(level, getattr(socket, name), value)


def split_hosts(url: str) -> tuple[str, ...]:
    """Return a URL of each host that `url` names, in its order. Raises: ValueError: it is no URL, or names nobody."""
    parts = urlsplit(url)
    user, at, listed = parts.netloc.rpartition("@")
    if listed:
        each = (parts._replace(netloc=f"{user}{at}{_named(one)}") for one in listed.split(","))
        return tuple(map(urlunsplit, each))
    query = dict(parse_qsl(parts.query))
    hosts, ports = query.get("host", "").split(","), query.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(hosts) == 1 or len(ports) != len(hosts):
        return (url,)
    places = ({"host": _named(host), "port": port} for host, port in zip(hosts, ports, strict=True))
    return tuple(urlunsplit(parts._replace(query=urlencode(query | place))) for place in places)


def _named(host: str) -> str:
    if not host:
        raise ValueError("a place of the list of hosts is empty")
    return host


async def first_open(urls: Sequence[str], connect: Callable[[str], Coroutine[Any, Any, C]]) -> C:
    """Return the first connection that is open; the hosts are asked in their order, one that is silent beside the next.

    Raises: TimeoutError: none takes us, and one does not answer at all. What the last one says: each of them refuses.
    """
    waiting, asking, failed = list(urls), set[asyncio.Task[C]](), list[BaseException]()
    try:
        while waiting or asking:
            if waiting:
                asking.add(asyncio.create_task(connect(waiting.pop(0))))
            pause = HEAD_START_S if waiting else None
            done, _ = await asyncio.wait(asking, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                asking.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                failed.append(error)
    finally:
        for task in asking:
            task.add_done_callback(end_late)
            task.cancel()
    raise next((error for error in failed if isinstance(error, TimeoutError)), failed[-1])


def when_late(end: Callable[[T], object]) -> Callable[[asyncio.Task[T]], None]:
    """Return what ends, by `end`, what a task has opened that nobody waits for any more."""

    def ended(opening: asyncio.Task[T]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            end(opening.result())

    return ended


#: The same for a connection.
end_late: Final = when_late(methodcaller("terminate"))
