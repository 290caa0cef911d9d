"""The previous version beside the new one: a change of the schema leaves what older programs say to it as it was."""

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from federation.ports import Value
from node.sections import StoreSection
from node.store import migrations
from node.store.copying import OWN, Table, _names, _table
from node.store.errors import SchemaError, TakenOverError
from node.store.migrations import Migration, load, needs, statements
from node.store.places import place_of
from node.store.postgres.connection import Server
from node.store.postgres.dialect import declared, numbered
from node.store.postgres.store import PostgresStore
from protocol.errors import RefusedError
from tests.contracts.sample_store import sample_folder
from tests.contracts.store import SampleRow, fill, stored
from tests.fakes.clock import SteppedClock
from tests.postgres import Cluster, script

pytestmark = pytest.mark.slow

Ask = Callable[[str, Sequence[Value]], Awaitable[Sequence[Sequence[Value]]]]
#: Tables that went before there was a first version.
GONE: Final = frozenset({"mirror_body"})
EXPAND: Final = "ALTER TABLE sample ADD COLUMN more INTEGER NOT NULL DEFAULT 0;\n"
CONTRACT: Final = "DROP TABLE pair;\n"


class Version:
    """The tables of one version of the schema, and what its program says to them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        named = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        names = [name for (name,) in connection.execute(named)]
        self.tables: Final = [_table(connection, name) for name in names if name not in OWN | GONE]
        kinds = "SELECT name, type FROM pragma_table_info(?)"
        self._types: Final = {name: dict(connection.execute(kinds, (name,)).fetchall()) for name in names}

    def row(self, table: Table, number: int) -> tuple[Value, ...]:
        """Return a row that no other number gives."""
        values: dict[str, Value] = {
            "INTEGER": number,
            "TEXT": f"t{number}",
            "BLOB": number.to_bytes(4, "big"),
            "REAL": float(number),
        }
        return tuple(values[self._types[table.name][column]] for column in table.columns)

    def named(self, text: str) -> list[Table]:
        """Return the tables that a change speaks of."""
        return [table for table in self.tables if re.search(rf"\b{table.name}\b", text)]

    async def speak(self, ask: Ask, number: int, text: str) -> None:
        """Say to the tables of a change everything that a program says: add, replace, delete."""
        for table in self.named(text):
            marks = ", ".join("?" * len(table.columns))
            insert = f'INSERT INTO "{table.name}" ({_names(table.columns)}) VALUES ({marks})'
            others = ", ".join(f'"{name}" = excluded."{name}"' for name in table.columns if name not in table.key)
            put = f"{insert} ON CONFLICT ({_names(table.key)}) DO " + (f"UPDATE SET {others}" if others else "NOTHING")
            await ask(insert, self.row(table, number))
            await ask(put, self.row(table, number))
            await ask(insert, self.row(table, number + 1))
            where = " AND ".join(f'"{name}" = ?' for name in table.key)
            places = [table.columns.index(name) for name in table.key]
            gone = self.row(table, number + 1)
            await ask(f'DELETE FROM "{table.name}" WHERE {where}', [gone[place] for place in places])

    async def check(self, ask: Ask, number: int, text: str) -> None:
        """Read whole tables, and find the row of this number."""
        for table in self.named(text):
            rows = await ask(f'SELECT {_names(table.columns)} FROM "{table.name}" ORDER BY {_names(table.key)}', ())
            assert self.row(table, number) in {tuple(row) for row in rows}, table.name


def version(known: Sequence[Migration]) -> Version:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for migration in known:
            for statement in statements(migration.text):
                connection.execute(statement)
        return Version(connection)


async def walk(ask: Ask, change: Callable[[str], Awaitable[object]]) -> None:
    """Go through all versions; at each, the program of the version before still speaks, and finds its rows."""
    known = load()
    spoken: list[tuple[Version, int, str]] = []
    for at, migration in enumerate(known):
        for statement in statements(migration.text):
            await change(statement)
        before, now, number = version(known[:at]), version(known[: at + 1]), 10 * at
        if not needs(migration.name):
            await before.speak(ask, number, migration.text)
            spoken.append((before, number, migration.text))
        await now.speak(ask, number + 5, migration.text)
        spoken.append((now, number + 5, migration.text))
    for one, number, text in spoken:
        await one.check(ask, number, text)


async def test_rows_of_every_version_survive_and_its_program_still_speaks_in_a_file(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "node.db", isolation_level=None)) as connection:

        async def ask(text: str, values: Sequence[Value]) -> Sequence[Sequence[Value]]:
            return connection.execute(text, values).fetchall()

        async def change(text: str) -> None:
            connection.execute(text)

        connection.execute("BEGIN")
        await walk(ask, change)
        connection.execute("COMMIT")


async def test_rows_of_every_version_survive_and_its_program_still_speaks_in_a_database(postgres: Cluster) -> None:
    connection = await asyncpg.connect(await postgres.fresh())
    try:
        async with connection.transaction():

            async def ask(text: str, values: Sequence[Value]) -> Sequence[Sequence[Value]]:
                found: Sequence[Sequence[Value]] = await connection.fetch(numbered(text), *values)
                return found

            await walk(ask, lambda text: connection.execute(declared(text)))
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("0210_blob_piece.sql", 0),
        ("0300_contract_0210_pieces.sql", 210),
        ("0300_contracts.sql", 0),
        ("0300_contract_21_pieces.sql", 0),
    ],
)
def test_a_contraction_names_the_change_that_everybody_must_know(name: str, needed: int) -> None:
    assert needs(name) == needed


class Versions:
    """Three programs on one schema: old, one that expands it, and one that takes away what the old one used."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url: Final = url
        self.clock: Final = SteppedClock()
        self.folders: Final = {}
        for number, name in ((2, "old"), (3, "wide"), (4, "narrow")):
            copy = folder / name
            copy.mkdir()
            self.folders[number] = copy
            for file in sample_folder(folder).iterdir():
                (copy / file.name).write_bytes(file.read_bytes())
            if number > 2:
                (copy / "0003_more.sql").write_text(EXPAND)
            if number > 3:
                (copy / "0004_contract_0003_pairs.sql").write_text(CONTRACT)

    async def open(self, number: int) -> PostgresStore:
        server = Server(url=self.url, knows=number)
        return await PostgresStore.open(server, clock=self.clock, folder=self.folders[number], alone=False)


@pytest.fixture
async def versions(postgres: Cluster, tmp_path: Path) -> Versions:
    return Versions(await postgres.fresh(), tmp_path)


async def test_an_older_program_goes_on_and_starts_again_beside_one_that_expanded_the_schema(
    versions: Versions,
) -> None:
    async with await versions.open(2) as old:
        await fill(old, SampleRow(id=1))
        async with await versions.open(3) as wide:
            await fill(old, SampleRow(id=2))
            await fill(wide, SampleRow(id=3))
            async with await versions.open(2) as again:
                await fill(again, SampleRow(id=4))
                assert [row.id for row in await stored(again)] == [1, 2, 3, 4]
        assert [row.id for row in await stored(old)] == [1, 2, 3, 4]


async def test_nothing_is_taken_away_while_an_older_program_is_connected(versions: Versions) -> None:
    async with await versions.open(2) as old:
        with pytest.raises(RefusedError, match="older mentormesh is connected") as refused:
            await versions.open(4)
        assert refused.value.code == "older-connected"
        await fill(old, SampleRow(id=1))
    async with await versions.open(3) as wide, await versions.open(4):
        await fill(wide, SampleRow(id=2))
        with pytest.raises(SchemaError, match="newer mentormesh"):
            await versions.open(2)
        async with await versions.open(3) as again:
            assert [row.id for row in await stored(again)] == [1, 2]


async def test_an_older_program_that_was_cut_off_during_a_contraction_stops_and_writes_nothing(
    versions: Versions,
) -> None:
    async with await versions.open(2) as old:
        await fill(old, SampleRow(id=1))
        for session in list(old._door._open):
            session.drop()
        async with await versions.open(4) as narrow:
            for action in (fill(old, SampleRow(id=2)), stored(old)):
                with pytest.raises(TakenOverError, match="newer version"):
                    await action
            watch = asyncio.create_task(old.lost())
            while not watch.done():
                await asyncio.sleep(0)
                versions.clock.advance(2)
            await watch
            assert [row.id for row in await stored(narrow)] == [1]


async def test_an_older_program_that_was_cut_off_while_the_schema_grew_goes_on(versions: Versions) -> None:
    async with await versions.open(2) as old:
        for session in list(old._door._open):
            session.drop()
        async with await versions.open(3):
            await fill(old, SampleRow(id=1))
            assert [row.id for row in await stored(old)] == [1]


async def test_a_program_does_not_carry_rows_of_a_schema_that_it_knows_in_part(
    postgres: Cluster, tmp_path: Path
) -> None:
    section = StoreSection(url=await postgres.fresh())
    async with place_of(tmp_path, section, now=1):
        pass
    newest = migrations.newest(load())
    await script(section.url, f"INSERT INTO migration VALUES ({newest + 1}, '{newest + 1:04}_more.sql', '', 0)")
    with pytest.raises(SchemaError, match="newer mentormesh"):
        async with place_of(tmp_path, section, now=1):
            pass
