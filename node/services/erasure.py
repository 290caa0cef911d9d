"""Everything about one person: shown to them in one document, or erased.

`HOLDINGS` lists every table that holds something about a person and by which column; a test walks all tables, so that
a new one cannot be forgotten. Content between people never stood here in readable form; their own client exports it.
"""

from collections.abc import Awaitable, Callable, Sequence
from html import escape
from typing import Final, Literal

import msgspec
from msgspec.structs import asdict, replace

from federation.ports import Clock, Condition, Reader, Row, Store, Writer, at_most, is_in, where
from federation.rows import (
    CandidateRow,
    KeyEntryRow,
    MailboxAckRow,
    MailboxHeadRow,
    MailboxRow,
    MissRow,
    PlaceRow,
    SessionRow,
    SlotRow,
    ThreadRow,
)
from node.rows import (
    BlobRow,
    ConsentRow,
    ContactTokenRow,
    DeviceRow,
    EnrolmentRow,
    LabelRow,
    LinkingRow,
    MailRow,
    MemberRow,
    MentorRow,
    ReportRow,
    SafeRow,
    SafeUseRow,
    SignInLinkRow,
    SignInRow,
)
from protocol.encoding import b64
from protocol.errors import MissingError, UnavailableError
from protocol.ids import Bytes32

from .key_directory import commitment_of
from .members import LeaveHook
from .safe import owner_of


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One table with something about a person.

    `by`: the column holds the member, or one of the member's labels. `secret` columns are not exported: whoever has the
    export could use them. `severed` rows stay until their own retention ends, because the other organization's half of
    the thread needs them; without the label nobody can tell whose they were.
    """

    kind: type[Row]
    column: str = "member"
    by: Literal["member", "label"] = "member"
    secret: tuple[str, ...] = ()
    severed: bool = False


HOLDINGS: Final = (
    Holding(kind=MemberRow),
    Holding(kind=MentorRow),
    Holding(kind=ConsentRow),
    Holding(kind=DeviceRow),
    Holding(kind=EnrolmentRow),
    Holding(kind=SafeRow, secret=("locator",)),
    Holding(kind=SafeUseRow),
    Holding(kind=ContactTokenRow),
    Holding(kind=SignInRow, secret=("token_hash",)),
    Holding(kind=SignInLinkRow, secret=("token_hash",)),
    Holding(kind=LinkingRow, secret=("sign_in",)),
    # Whoever leaves lets go of theirs first (`Reports.forget`), so that what they reported is still answered.
    Holding(kind=ReportRow),
    Holding(kind=MailRow, secret=("notice",)),
    Holding(kind=MailboxRow, column="label", by="label"),
    Holding(kind=MailboxHeadRow, column="label", by="label"),
    Holding(kind=MailboxAckRow, column="label", by="label"),
    # Its bytes are ciphertext that nobody here can read; `sweep` removes them with the row.
    Holding(kind=BlobRow, column="label", by="label"),
    Holding(kind=CandidateRow, column="label", by="label"),
    Holding(kind=PlaceRow, column="label", by="label"),
    Holding(kind=MissRow, column="label", by="label"),
    Holding(kind=SlotRow, column="label", by="label"),
    Holding(kind=KeyEntryRow, column="label", by="label"),
    Holding(kind=ThreadRow, column="label", by="label", severed=True),
    Holding(kind=SessionRow, column="label", by="label", severed=True),
    # The last one: everything by label is found through it.
    Holding(kind=LabelRow),
)

#: What an operator's export leaves out, beside everything under a mailbox label.
OWNERS_ONLY: Final = (LabelRow, SafeRow, SafeUseRow, LinkingRow, ContactTokenRow, ReportRow)

Cell = str | int | bool | float | None


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one table; `purposes` says for each column why it is kept. Bytes are base64url."""

    table: str
    purposes: dict[str, str]
    rows: tuple[dict[str, Cell], ...]


class PersonExport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything this node holds about one person (GDPR Art. 15 and 20)."""

    format: Literal["mentormesh-person-export/1"] = "mentormesh-person-export/1"
    exported_at: int
    sections: tuple[Section, ...]


class ErasureReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased: rows by table. It names nobody, but tells how its owner used the node: for the owner only.

    `entries` are the commitments of directory entries: each peer that mirrored one confirms its erasure.
    """

    erased_at: int
    rows: dict[str, int]
    entries: tuple[str, ...] = ()


class Erasure:
    """Export and erasure of one person.

    `on_leave` are the same hooks as of `Members`: they close open requests before the labels go. `scrub` is that of the
    store: it empties the write-ahead file, which still holds erased rows.
    """

    def __init__(
        self, store: Store, clock: Clock, *, scrub: Callable[[], Awaitable[None]], on_leave: Sequence[LeaveHook] = ()
    ) -> None:
        self._store = store
        self._clock = clock
        self._scrub = scrub
        self._on_leave = tuple(on_leave)
        self._unscrubbed = False

    async def export(self, member: str, *, for_owner: bool = True) -> PersonExport:
        """Return every row about a member. Raises: MissingError: no such member.

        Args:
            for_owner: False for an operator, who is not shown what stands under a mailbox label: whom somebody met, and
                how they answer, is visible to nobody but themselves; nor what they sealed, so that nobody guesses.
        """
        holdings = [one for one in HOLDINGS if for_owner or (one.by == "member" and one.kind not in OWNERS_ONLY)]
        async with self._store.read() as reader:
            await _require_member(reader, member)
            labels = await _labels(reader, member)
            sections = [await _section(reader, holding, member, labels) for holding in holdings]
        return PersonExport(
            exported_at=self._clock.now(), sections=tuple(section for section in sections if section.rows)
        )

    async def take_out(self, locator: Bytes32) -> PersonExport:
        """Return everything about the person whose recovery words gave `locator`, also after they left.

        Raises: MissingError: nobody, or somebody who was forgotten.
        """
        async with self._store.read() as reader:
            member = await owner_of(reader, locator)
        return await self.export(member)

    async def erase(self, member: str) -> ErasureReceipt:
        """Erase every row about a member, unsent mail and tokens included; who stays no longer names them.

        The store overwrites erased rows in its file at once (SQLite `secure_delete`), and the write-ahead file is
        emptied afterwards. Backups keep them until they are rotated out.

        Raises: MissingError: no such member.
        """
        receipt = await self._erase_rows(member)
        await self._scrub_now()
        return receipt

    async def _erase_rows(self, member: str) -> ErasureReceipt:
        now = self._clock.now()
        async with self._store.write() as writer:
            row = await _require_member(writer, member)
            listed = await writer.find(KeyEntryRow, is_in("label", await _labels(writer, member)))
            for hook in self._on_leave:
                await hook(writer, member, now)
            await _unname_supervisor(writer, row.hris_id)
            labels = await _labels(writer, member)
            counts = {holding.kind.table: await _erase(writer, holding, member, labels) for holding in HOLDINGS}
        self._unscrubbed = True
        return ErasureReceipt(
            erased_at=now,
            rows={table: count for table, count in counts.items() if count},
            entries=tuple(sorted(b64(commitment_of(one)) for one in listed)),
        )

    async def _scrub_now(self) -> None:
        """Scrub the store; while a long reader stands in the way, the next `forget_leavers` tries again."""
        try:
            await self._scrub()
        except UnavailableError:
            return
        self._unscrubbed = False

    async def forget_leavers(self, *, days: int) -> int:
        """Erase everybody who left more than `days` days ago, and what an earlier scrub left; return how many."""
        async with self._store.read() as reader:
            left = await reader.find(
                MemberRow, where(active=False), at_most("left_at", self._clock.now() - days * 86_400)
            )
        for row in left:
            await self._erase_rows(row.member)
        if self._unscrubbed:
            await self._scrub_now()
        return len(left)


async def _require_member(reader: Reader, member: str) -> MemberRow:
    row = await reader.get(MemberRow, member)
    if row is None:
        raise MissingError("no such member")
    return row


async def _labels(reader: Reader, member: str) -> tuple[str, ...]:
    return tuple(row.label for row in await reader.find(LabelRow, where(member=member)))


def _about(holding: Holding, member: str, labels: tuple[str, ...]) -> Condition:
    return where(**{holding.column: member}) if holding.by == "member" else is_in(holding.column, labels)


async def _section(reader: Reader, holding: Holding, member: str, labels: tuple[str, ...]) -> Section:
    rows = await reader.find(holding.kind, _about(holding, member, labels))
    return Section(
        table=holding.kind.table,
        purposes=dict(holding.kind.purpose),
        rows=tuple({name: _cell(holding, name, value) for name, value in asdict(row).items()} for row in rows),
    )


def _cell(holding: Holding, name: str, value: Cell | bytes) -> Cell:
    if name in holding.secret:
        return "(not shown: whoever has it could use it)"
    return b64(value) if isinstance(value, bytes) else value


async def _erase(writer: Writer, holding: Holding, member: str, labels: tuple[str, ...]) -> int:
    if holding.severed:
        return 0
    return await writer.delete(holding.kind, _about(holding, member, labels))


async def _unname_supervisor(writer: Writer, hris_id: str) -> None:
    named = await writer.find(MemberRow, where(supervisor=hris_id))
    if named:
        await writer.put(*(replace(row, supervisor="") for row in named))


def render_html(export: PersonExport) -> str:
    """Return the export as a page that a person can read; it loads nothing and runs nothing."""
    body = "".join(_table(section) for section in export.sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Everything this node holds about you'
        f"</title></head>\n<body>\n<h1>Everything this node holds about you</h1>\n{body}</body>\n</html>\n"
    )


def _table(section: Section) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(_shown(value))}</td>"
        f"<td>{escape(section.purposes[name])}</td></tr>\n"
        for row in section.rows
        for name, value in row.items()
    )
    head = "<tr><th scope=col>Field</th><th scope=col>Value</th><th scope=col>Why it is kept</th></tr>"
    return f"<h2>{escape(section.table)}</h2>\n<table>\n{head}\n{rows}</table>\n"


def _shown(value: Cell) -> str:
    return "" if value is None else str(value)
