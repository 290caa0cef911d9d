"""What node-to-node code needs from its surroundings: time, entropy and a transactional store of rows.

Nothing here does anything by itself; `node/clock.py` and `node/store/` are the real things, `tests/fakes/` the
stand-ins, and `tests/contracts/store.py` says in running form what every store must do.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Literal, Protocol, TypeVar

import msgspec

Value = int | str | bytes | bool | float | None
Test = Literal["=", "<=", ">=", "<", ">", "in"]


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> int:
        """Return the Unix time in seconds."""
        ...

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class Entropy(Protocol):
    """The only source of randomness."""

    def take(self, size: int) -> bytes:
        """Return `size` unpredictable bytes."""
        ...


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of one table; a field is a column of type int, str, bytes, bool or float, or one of these and None.

    A subclass repeats `frozen=True, kw_only=True` and names its table, its key, further unique column sets, and
    for each column the purpose it is kept for (GDPR Art. 5(1)(b); a test demands one for every column):

        class PlaceRow(Row, frozen=True, kw_only=True):
            table = "place"
            key = ("thread", "number")
            unique = (("code",),)
            purpose: ClassVar = {"thread": "service: which conversation", ...}

            thread: str
            number: int
            code: bytes | None = None
    """

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]
    unique: ClassVar[tuple[tuple[str, ...], ...]] = ()
    #: A column of text, by which other processes of the node are told whose rows changed; empty: they look at all.
    named_by: ClassVar[str] = ""
    purpose: ClassVar[Mapping[str, str]]


R = TypeVar("R", bound=Row)


class Term(msgspec.Struct, frozen=True):
    """One comparison of a column with a value, or for `in` with a tuple of values."""

    column: str
    test: Test
    value: Value | tuple[Value, ...]


class Condition(msgspec.Struct, frozen=True):
    """Comparisons that must all hold; made by the helpers below."""

    terms: tuple[Term, ...]


def where(**columns: Value) -> Condition:
    """Return the condition that each column equals its value; None asks for an empty column."""
    return Condition(tuple(Term(column, "=", value) for column, value in columns.items()))


def at_most(column: str, value: Value) -> Condition:
    """Return the condition `column` ≤ `value`; an empty column never holds."""
    return Condition((Term(column, "<=", value),))


def at_least(column: str, value: Value) -> Condition:
    """Return the condition `column` ≥ `value`; an empty column never holds."""
    return Condition((Term(column, ">=", value),))


def below(column: str, value: Value) -> Condition:
    """Return the condition `column` < `value`; an empty column never holds."""
    return Condition((Term(column, "<", value),))


def above(column: str, value: Value) -> Condition:
    """Return the condition `column` > `value`; an empty column never holds."""
    return Condition((Term(column, ">", value),))


def is_in(column: str, values: Iterable[Value]) -> Condition:
    """Return the condition that `column` equals one of at most 4,096 `values`, none of them None."""
    return Condition((Term(column, "in", tuple(values)),))


class Reader(Protocol):
    """One snapshot of the store: from the first read on, every read sees the same committed state.

    An unknown column or a value of another type than the column's is a programming mistake: TypeError or ValueError.
    """

    async def get(self, kind: type[R], *key: Value) -> R | None:
        """Return the row with this key (its columns in order), or None."""
        ...

    async def find(
        self, kind: type[R], *conditions: Condition, order: str | None = None, limit: int | None = None
    ) -> list[R]:
        """Return the rows for which all `conditions` hold.

        Args:
            order: a column, or `-column` for descending; ties and no order at all go by key. Empty columns come first
                (descending: last), text sorts by code point.
            limit: at most so many rows.
        """
        ...

    async def count(self, kind: type[R], *conditions: Condition) -> int:
        """Return how many rows hold all `conditions`."""
        ...


class Writer(Reader, Protocol):
    """One transaction; it sees its own changes. Each call takes effect as a whole or, when it raises, not at all."""

    async def insert(self, *rows: Row) -> None:
        """Add `rows`. Raises: ConflictError: a key or unique set exists already; none of them is added."""
        ...

    async def put(self, *rows: Row) -> None:
        """Add `rows` or replace those with the same key. Raises: ConflictError: another row holds a unique set."""
        ...

    async def delete(self, kind: type[Row], *conditions: Condition) -> int:
        """Remove the rows for which all `conditions` hold (without conditions: all rows); return how many."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Return a block that may fail by itself.

        What was written in it, and asked for by `on_commit`, is undone when it raises; what came before stays.
        """
        ...

    def on_commit(self, call: Callable[[], None]) -> None:
        """Run `call` soon after the transaction is durable, and not at all if it fails: to wake who waits for rows."""
        ...


class Store(Protocol):
    """Durable rows behind transactions."""

    def read(self) -> AbstractAsyncContextManager[Reader]:
        """Return a snapshot reader, good inside `async with` only; leave it before waiting for anything slow."""
        ...

    def write(self) -> AbstractAsyncContextManager[Writer]:
        """Return a transaction; transactions run one after the other, in the order asked for.

        Leaving the block returns after the durable commit, which several transactions may share. An exception
        inside undoes this transaction alone and propagates. Being cancelled inside the block undoes it; being
        cancelled while the commit is under way leaves it to be committed. A nested write is a RuntimeError.

        Raises: UnavailableError: the disk is full or failing; nothing of this transaction is kept.
        """
        ...

    def changes(self, *kinds: type[Row]) -> int:
        """Return a number that is another one once a commit that changed rows of `kinds` is acknowledged.

        What was read after asking for the number holds as long as it is the same.
        """
        ...
