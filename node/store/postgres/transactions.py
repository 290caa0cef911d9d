"""Reading and changing rows in one session: what `store.read()` and `store.write()` hand out."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Final, NoReturn, TypeVar

import asyncpg
import msgspec

from federation.ports import Condition, Row, Value
from federation.shapes import check_key, check_query, check_rows
from node.store import statements
from node.store.groups import Effects, Group
from node.store.transactions import builder

from .commits import Commits
from .connection import Cells, Session
from .dialect import numbered
from .errors import FAILURES

R = TypeVar("R", bound=Row)

_UNDO: Final = "ROLLBACK TO {0}; RELEASE {0}"


class Snapshot:
    """A `federation.ports.Reader` in a session with an open transaction."""

    def __init__(self, session: Session, fail: Callable[[Exception], NoReturn]) -> None:
        self._session = session
        self._fail = fail
        self.open = True
        #: What a statement failed with: from then on the database refuses all others of the transaction.
        self.failure: Exception | None = None

    async def get(self, kind: type[R], *key: Value) -> R | None:
        """Return the row with this key, or None."""
        check_key(kind, key)
        found = await self._rows(statements.get(kind), key)
        return builder(kind)(tuple(found[0])) if found else None

    async def find(
        self, kind: type[R], *conditions: Condition, order: str | None = None, limit: int | None = None
    ) -> list[R]:
        """Return rows."""
        check_query(kind, conditions, order, limit)
        forms, values = statements.split(conditions)
        text = statements.select(kind, forms, order, limited=limit is not None)
        build = builder(kind)
        return [build(tuple(row)) for row in await self._rows(text, values if limit is None else [*values, limit])]

    async def count(self, kind: type[R], *conditions: Condition) -> int:
        """Return how many rows there are."""
        check_query(kind, conditions)
        forms, values = statements.split(conditions)
        ((number,),) = await self._rows(statements.count(kind, forms), values)
        assert isinstance(number, int)
        return number

    async def _rows(self, text: str, values: Sequence[Value]) -> Sequence[Cells]:
        self._check()
        try:
            return await self._session.rows(numbered(text), values)
        except FAILURES as error:
            self._failed(error)

    def _check(self) -> None:
        if not self.open:
            raise RuntimeError("used after its block has ended")

    def _failed(self, error: Exception) -> NoReturn:
        self.failure = error
        self._fail(error)


class Transaction(Snapshot, Effects):
    """A `federation.ports.Writer`: one part of a group commit."""

    def __init__(self, fail: Callable[[Exception], NoReturn], commits: Commits, group: Group) -> None:
        Snapshot.__init__(self, commits.session, fail)
        Effects.__init__(self)
        self._commits = commits
        self._group = group
        #: What was written, also by parts that were undone.
        self.touched: dict[type[Row], set[str] | None] = {}

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Let a part of the transaction fail by itself."""
        calls = len(self.calls)
        await self._script("SAVEPOINT block")
        try:
            yield
        except BaseException:
            del self.calls[calls:]
            await self._undo("block")
            raise
        self.confirm()
        await self._script("RELEASE block")

    async def insert(self, *rows: Row) -> None:
        """Add rows, all or none."""
        check_rows(rows)
        self._touch(rows)
        if len(rows) == 1:
            # One round trip, and a key that is taken leaves the transaction as it is.
            text = statements.insert(type(rows[0])) + " ON CONFLICT DO NOTHING"
            if await self._run(text, msgspec.structs.astuple(rows[0])):
                return
        await self._store(rows, statements.insert)  # which says what is taken

    async def put(self, *rows: Row) -> None:
        """Add or replace rows, all or none."""
        check_rows(rows)
        self._touch(rows)
        if len(rows) == 1 and not rows[0].unique:  # nothing that another row could hold
            await self._run(statements.put(type(rows[0])), msgspec.structs.astuple(rows[0]))
        else:
            await self._store(rows, statements.put)

    async def delete(self, kind: type[Row], *conditions: Condition) -> int:
        """Remove rows and return how many."""
        check_query(kind, conditions)
        self._touch_by(kind, conditions)
        forms, values = statements.split(conditions)
        return await self._run(statements.delete(kind, forms), values)

    def _touch(self, rows: Iterable[Row]) -> None:
        for row in rows:
            kind = type(row)
            self.kinds.add(kind)
            known = self.touched.setdefault(kind, set() if kind.named_by else None)
            if known is not None:
                known.add(getattr(row, kind.named_by))

    def _touch_by(self, kind: type[Row], conditions: Sequence[Condition]) -> None:
        """Note what a deletion changes: the rows of one name if its conditions say so, otherwise any."""
        self.kinds.add(kind)
        terms = (term for condition in conditions for term in condition.terms)
        names = [term.value for term in terms if kind.named_by and (term.column, term.test) == (kind.named_by, "=")]
        known = self.touched.setdefault(kind, set() if names else None)
        if known is not None and names and isinstance(names[0], str):
            known.add(names[0])
        else:
            self.touched[kind] = None

    def confirm(self) -> None:
        """Return if all statements went well. Raises: what one of them failed with: the database kept nothing since."""
        if self.failure is not None:
            self._fail(self.failure)

    async def _store(self, rows: tuple[Row, ...], text: Callable[[type[Row]], str]) -> None:
        await self._script("SAVEPOINT call")
        try:
            for kind, alike in groupby(rows, type):
                await self._session.run_many(numbered(text(kind)), map(msgspec.structs.astuple, alike))
        except asyncpg.UniqueViolationError as error:
            await self._undo("call")
            self._fail(error)
        except FAILURES as error:
            self._failed(error)
        await self._script("RELEASE call")

    async def _run(self, text: str, values: Sequence[Value]) -> int:
        self._check()
        try:
            return await self._session.run(numbered(text), values)
        except FAILURES as error:
            self._failed(error)

    async def _script(self, text: str) -> None:
        self._check()
        try:
            await self._session.script(text)
        except FAILURES as error:
            self._failed(error)

    async def _undo(self, savepoint: str) -> None:
        await self._commits.undo(self._group, _UNDO.format(savepoint))
        self.failure = None

    def _check(self) -> None:
        super()._check()
        self._commits.check(self._group)

    def _failed(self, error: Exception) -> NoReturn:
        self._commits.failed(self._group, error)
        super()._failed(error)
