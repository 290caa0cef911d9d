"""Looks at the database server from outside, as the self-check does, also while a node runs."""

from typing import Final

import msgspec

from . import schema
from .commits import LOCK_CLASS
from .connection import Server
from .errors import FAILURES, raise_explained

_FACTS: Final = (
    "SELECT current_setting('server_version'), current_setting('fsync') = 'on' AND "
    "current_setting('full_page_writes') = 'on', current_setting('max_connections')::bigint "
    "- current_setting('superuser_reserved_connections')::bigint, extract(epoch FROM clock_timestamp())::bigint"
)
_PROCESSES: Final = f"""
SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database() AND l.classid = {LOCK_CLASS + 1}
    AND l.objid::bigint = hashtext(current_schema())::bigint & 4294967295
"""  # noqa: S608 -- our own number


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What matters of a server: `crash_safe` says that it waits for its disk.

    `most_connections` are those for everybody but its owner; `processes` serve the node at the moment. `now` is what
    its clock says.
    """

    version: str
    crash_safe: bool
    most_connections: int
    processes: int
    now: int


async def examine(server: Server, *, now: int) -> ServerFacts:
    """Return what the server says of itself. Raises: MeshError: it cannot hold a node, or cannot be reached."""
    try:
        session = await server.session()
        try:
            await schema.check_server(session)
            ((version, crash_safe, connections, clock),) = await session.rows(_FACTS)
            ((processes,),) = await session.rows(_PROCESSES)
        finally:
            await session.close()
    except FAILURES as error:
        raise_explained(error, now=now)
    assert isinstance(version, str)
    assert isinstance(crash_safe, bool)
    assert isinstance(connections, int)
    assert isinstance(processes, int)
    assert isinstance(clock, int)
    return ServerFacts(
        version=version, crash_safe=crash_safe, most_connections=connections, processes=processes, now=clock
    )
