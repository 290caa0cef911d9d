"""The turn of a process that stands by: when no other one has the schema any more."""

from typing import Final

from federation.ports import Clock
from protocol.errors import UnavailableError

from .commits import LOCK_CLASS
from .connection import Server
from .errors import FAILURES, explain

#: Seconds before the next try while the database is away.
AGAIN_S: Final = 1.0

# Queues for the lock that `store.own` tries; `lock_timeout` ends each wait, so that a dead line is noticed.
_WAIT: Final = f"SELECT pg_advisory_lock({LOCK_CLASS + 1}, hashtext(current_schema()))"


async def wait_for_turn(server: Server, *, clock: Clock) -> None:
    """Return once no process has the schema. Raises: MeshError: waiting does not help, such as after a wrong URL."""
    while True:
        try:
            session = await server.session(patient=True)
            try:
                await session.rows(_WAIT)
                return
            finally:
                await session.close()
        except FAILURES as error:
            meaning = explain(error, now=clock.now())
            if not isinstance(meaning, UnavailableError):
                raise (meaning or error) from error
            await clock.sleep(AGAIN_S)
