"""On every table of a node the memory store answers as the real ones do, whatever is asked of both."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from federation.ports import Condition, Reader, Row, Store, Value, Writer, above, at_least, at_most, below, is_in, where
from federation.shapes import Column, shape
from node.rows import LastCommitRow, MetaRow, MigrationRow
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from node.store.sqlite import SqliteStore
from protocol.errors import ConflictError
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore
from tests.node.store.test_schema import ROWS
from tests.postgres import Cluster

TRANSACTIONS: Final = 3
STEPS: Final = 40
#: Few values, so that keys meet and conditions hold.
VALUES: Final[dict[type, tuple[Value, ...]]] = {
    int: (0, 1, 2, 2**63 - 1),
    str: ("", "a", "b", "ä"),
    bytes: (b"", b"a", b"\x00\xff"),
    bool: (False, True),
    float: (0.0, 0.5),
}
#: What these tables hold is the stores' own business.
KINDS: Final = [kind for kind in ROWS if kind not in {LastCommitRow, MetaRow, MigrationRow}]


def _likeness(kind: type[Row]) -> tuple[object, ...]:
    """Return what the SQL of a kind depends on: types, whether empty, and how many columns are how unique."""
    columns = frozenset((column.type, column.optional) for column in shape(kind).columns)
    return columns, len(kind.key), tuple(map(len, kind.unique)), len(kind.key) == len(shape(kind).columns)


#: One kind for each likeness: every statement to a server takes its way there and back.
UNLIKE: Final = list({_likeness(kind): kind for kind in KINDS}.values())

Step = Callable[[Writer], Awaitable[object]]


class Player:
    """Draws what is asked."""

    def __init__(self, kind: type[Row]) -> None:
        self.kind: Final = kind
        self.dice: Final = random.Random(kind.table)

    def row(self) -> Row:
        return self.kind(**{column.name: self.value(column) for column in shape(self.kind).columns})

    def value(self, column: Column) -> Value:
        choices = VALUES[column.type] + ((None,) if column.optional else ())
        return self.dice.choice(choices)

    def condition(self) -> Condition:
        column = self.dice.choice(shape(self.kind).columns)
        value, other = self.value(column), self.value(column)
        if value is None or other is None:
            return where(**{column.name: None})
        if self.dice.random() < 0.2:
            return is_in(column.name, (value, other))
        if self.dice.random() < 0.4:
            return where(**{column.name: value})
        return self.dice.choice((at_least, at_most, above, below))(column.name, value)

    def step(self) -> Step:
        rows = tuple(self.row() for _ in range(self.dice.randint(1, 3)))
        conditions = tuple(self.condition() for _ in range(self.dice.randint(0, 2)))
        order = self.dice.choice((None, *(sign + name for name in shape(self.kind).names for sign in ("", "-"))))
        limit = self.dice.choice((None, 0, 1, 3))
        steps: tuple[Step, ...] = (
            lambda tx: tx.insert(*rows),
            lambda tx: tx.put(*rows),
            lambda tx: tx.put(rows[0]),
            lambda tx: tx.delete(self.kind, *conditions, self.condition_on(rows[0])),
            lambda tx: tx.find(self.kind, *conditions, order=order, limit=limit),
            lambda tx: tx.count(self.kind, *conditions),
            lambda tx: tx.get(self.kind, *(getattr(rows[0], name) for name in self.kind.key)),
            lambda tx: undone(tx, rows),
        )
        return self.dice.choice(steps)

    def condition_on(self, row: Row) -> Condition:
        name = self.kind.key[0]
        return where(**{name: getattr(row, name)})


async def undone(tx: Writer, rows: tuple[Row, ...]) -> object:
    """Write in a savepoint that fails; return how many rows there were meanwhile."""
    found: list[int] = []
    try:
        async with tx.savepoint():
            await tx.put(*rows)
            found.append(await tx.count(type(rows[0])))
            raise LookupError
    except LookupError:
        return found


async def answer(tx: Writer, step: Step) -> object:
    """Return what a step gives, or that it does not fit."""
    try:
        async with tx.savepoint():
            return await step(tx)
    except ConflictError:
        return ConflictError


async def everything(view: Reader, kind: type[Row]) -> list[Row]:
    return [*await view.find(kind)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.fixture
async def disk(folder: Path) -> AsyncIterator[SqliteStore]:
    async with SqliteStore.open(folder / "node.db", clock=SteppedClock()) as store:
        yield store


@pytest.fixture(scope="module")
def server(postgres: Cluster) -> Server:
    return Server(url=asyncio.run(postgres.fresh()))


@pytest.fixture
async def database(server: Server) -> AsyncIterator[PostgresStore]:
    async with await PostgresStore.open(server, clock=SteppedClock()) as store:
        yield store


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.table)
async def test_a_file_gives_the_same_answers(disk: SqliteStore, kind: type[Row]) -> None:
    await compare(disk, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNLIKE, ids=lambda kind: kind.table)
async def test_a_database_gives_the_same_answers(database: PostgresStore, kind: type[Row]) -> None:
    await compare(database, kind, transactions=1)


async def compare(disk: Store, kind: type[Row], *, transactions: int = TRANSACTIONS) -> None:
    """Ask a store and the one in memory the same, and compare what they answer and what is in them."""
    player, memory = Player(kind), MemoryStore()
    async with disk.write() as tx:
        await tx.delete(kind)
    seen: set[str] = set()
    for _ in range(transactions):
        async with disk.write() as there, memory.write() as here:
            for _ in range(STEPS):
                step = player.step()
                told = await answer(there, step)
                assert await answer(here, step) == told
                seen.add(type(told).__name__)
        async with disk.read() as there_now, memory.read() as here_now:
            assert await everything(here_now, kind) == await everything(there_now, kind)
    assert {"list", "int"} <= seen
