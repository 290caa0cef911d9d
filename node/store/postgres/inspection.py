"""Looks at the database server from outside, as the self-check does, also while a node runs."""

from typing import Final

import msgspec

from . import schema
from .connection import Server
from .errors import FAILURES, raise_explained

_FACTS: Final = (
    "SELECT current_setting('server_version'), current_setting('fsync') = 'on' AND "
    "current_setting('full_page_writes') = 'on', current_setting('max_connections')::bigint"
)


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What matters of a server: `crash_safe` says that it waits for its disk."""

    version: str
    crash_safe: bool
    max_connections: int


async def examine(server: Server, *, now: int) -> ServerFacts:
    """Return what the server says of itself. Raises: MeshError: it cannot hold a node, or cannot be reached."""
    try:
        session = await server.session()
        try:
            await schema.check_server(session)
            ((version, crash_safe, connections),) = await session.rows(_FACTS)
        finally:
            await session.close()
    except FAILURES as error:
        raise_explained(error, now=now)
    assert isinstance(version, str)
    assert isinstance(crash_safe, bool)
    assert isinstance(connections, int)
    return ServerFacts(version=version, crash_safe=crash_safe, max_connections=connections)
