"""Brings a schema of a PostgreSQL database to this program's tables: the same files, run once each, in their order."""

from pathlib import Path
from typing import Final

from node.rows import MetaRow
from node.store import migrations
from node.store.errors import MovedError, SchemaError, TakenOverError
from node.store.migrations import Migration
from protocol.errors import RefusedError

from .connection import PROGRAM_CLASS, Session, program_key
from .dialect import declared

#: `server_version_num` of PostgreSQL 15.
OLDEST: Final = 150_000

_SERVER: Final = (
    "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'), current_schema()"
)
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_DONE: Final = "SELECT number, name, sha256 FROM migration ORDER BY number"
_NEWER: Final = "SELECT name FROM migration WHERE number > $1"
_NOTE: Final = "INSERT INTO migration (number, name, sha256, applied_at) VALUES ($1, $2, $3, $4)"
# Held by every session of a program, shared: see `connection`.
_NONE_OF: Final = f"SELECT pg_try_advisory_xact_lock({PROGRAM_CLASS}, {program_key('$1::bigint')})"
_META: Final = "SELECT generation, created_at, restored_at FROM meta"
_BORN: Final = "INSERT INTO meta (id, generation, created_at, restored_at) VALUES (1, $1, $2, $3)"


async def check_server(session: Session) -> None:
    """Return if the database can hold a node. Raises: RefusedError: it cannot; the message says what to do."""
    ((version, encoding, schema),) = await session.rows(_SERVER)
    assert isinstance(version, int)
    assert isinstance(encoding, str)
    if version < OLDEST:
        raise RefusedError(f"PostgreSQL {version // 10_000} is too old: 15 or newer is needed", code="store")
    if encoding != "UTF8":
        raise RefusedError(f"the database is in {encoding}: create one with ENCODING 'UTF8'", code="store")
    if schema is None:
        raise RefusedError("search_path in [store] url names no schema of the database: create it", code="store")


async def require_bearable(session: Session, *, knows: int) -> None:
    """Return if nothing was taken away that a program uses which knows the changes up to `knows`.

    As long as `session` is open nothing will be: it says so itself.

    Raises: TakenOverError: a newer program did, while no session of this one was there to keep it from it.
    """
    if any(migrations.needs(str(name)) > knows for (name,) in await session.rows(_NEWER, (knows,))):
        raise TakenOverError("a newer version of this program serves this node now, and changed its tables")


async def require_current(session: Session) -> None:
    """Return if the tables are those of this program. Raises: SchemaError: newer, older or none of a node's."""
    if await _missing(session, migrations.load()):
        raise SchemaError("the tables are older than this program: start the node with it once")


async def is_behind(session: Session, *, folder: Path) -> bool:
    """Tell whether the tables lack a change that this program knows. Raises: SchemaError: as `migrate`."""
    return bool(await _missing(session, migrations.load(folder), beside_newer=True))


async def migrate(session: Session, *, now: int, folder: Path) -> None:
    """Make or complete the tables, in the transaction that `session` has open.

    A newer program may have expanded them: this one goes on beside it.

    Raises:
        SchemaError: the database is newer than this program, changed, or another program's.
        RefusedError: an older program that is connected would lose what it uses.
        One of `errors.FAILURES`.
    """
    known = migrations.load(folder)
    for migration in await _missing(session, known, beside_newer=True):
        await _check_connected(session, known, migration)
        for statement in migrations.statements(migration.text):
            await session.script(declared(statement))
        await session.run(_NOTE, (migration.number, migration.name, migration.sha256, now))


async def _check_connected(session: Session, known: tuple[Migration, ...], migration: Migration) -> None:
    """Return if no connected program needs what a change takes away; none can come before the change is done."""
    needed = migrations.needs(migration.name)
    for older in (one.number for one in known if one.number < needed):
        ((free,),) = await session.rows(_NONE_OF, (older,))
        if not free:
            raise RefusedError(
                "an older mentormesh is connected that uses what this version removes: stop it, then start this one",
                code="older-connected",
            )


async def _missing(
    session: Session, known: tuple[Migration, ...], *, beside_newer: bool = False
) -> tuple[Migration, ...]:
    """Return the changes that the schema has not been through. Raises: SchemaError: as `migrate`."""
    tables = {name for (name,) in await session.rows(_TABLES)}
    if tables and "migration" not in tables:
        raise SchemaError(
            "the schema holds tables of another program: name an empty database, or an empty schema by search_path"
        )
    done: dict[int, tuple[str, str]] = {}
    for number, name, sha256 in await session.rows(_DONE) if tables else ():
        assert isinstance(number, int)
        assert isinstance(name, str)
        assert isinstance(sha256, str)
        done[number] = (name, sha256)
    return migrations.not_in(done, known, beside_newer=beside_newer)


async def meta(session: Session, *, now: int) -> MetaRow:
    """Return what the database says of itself, which is made if need be. Raises: MovedError: it must not be used."""
    found = await session.rows(_META)
    if not found:
        await session.run(_BORN, (1, now, None))
        return MetaRow(generation=1, created_at=now)
    ((generation, created_at, restored_at),) = found
    assert isinstance(generation, int)
    assert isinstance(created_at, int)
    if generation < 1:
        raise MovedError
    assert restored_at is None or isinstance(restored_at, int)
    return MetaRow(generation=generation, created_at=created_at, restored_at=restored_at)
