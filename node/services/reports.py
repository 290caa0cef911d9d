"""Reports of what was said in sessions: taken from people here and from peers, brought to a peer's contact, answered.

All of them are sealed for the contact, whose key is at no node. Source: docs/protocol/44-frames.md §9.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, cast

import msgspec
from msgspec.structs import replace

from federation.inbox import Guard
from federation.ports import Clock, Entropy, Reader, Store, Writer, above, at_most, where
from federation.waiting import sleep_or_wake
from node.rows import EnrolmentRow, MemberRow, ReportRow
from protocol.encoding import decode
from protocol.errors import (
    ConflictError,
    LimitError,
    MalformedError,
    MeshError,
    MissingError,
    RefusedError,
    UnavailableError,
)
from protocol.ids import ID_BYTES, Entity, RandomId, Seconds
from protocol.reportitems import LONGEST_DAYS, Outcome, ReportState, SealedReport, parse_sealed

from .mail import Recipient, compose
from .notices import ReportCame
from .peerbook import PeerBook

REPORTS_PATH: Final = "/federation/v1/reports"
REPORT_TYPE: Final = "application/octet-stream"
DAY_S: Final = 86_400
#: Reports that one person hands in, and one peer brings, in a day.
PERSON_DAILY: Final = 10
PEER_DAILY: Final = 50
#: Reports of one person that are kept.
PERSON_MOST: Final = 50
#: Reports of one peer that are kept.
PEER_MOST: Final = 500
#: Reports that are read at once.
PAGE: Final = 16
#: Days a report is kept: once it was answered, and at the latest.
CLOSED_DAYS: Final = 30
LONGEST_KEPT_DAYS: Final = 365
#: Reports that are looked at in one step, and of these of one peer.
MOST_DUE: Final = 48
PEER_AT_ONCE: Final = 8
#: Whatever is due is looked for this often; a peer is asked for its answer this often.
LOOK_EVERY_S: Final = 60.0
ASK_EVERY_S: Final = 900
FIRST_RETRY_S: Final = 30
LONGEST_RETRY_S: Final = 6 * 3_600
#: A peer that refuses a report for so long, or cannot be reached for so long, is not asked to take it any more.
REFUSED_FOR_S: Final = 7 * DAY_S
AWAY_FOR_S: Final = LONGEST_DAYS * DAY_S
#: What a reporter is told in place of a peer's code when the peer was never there.
UNREACHABLE: Final = "unreachable"
MAX_ANSWER: Final = 4_096
#: Refusals after which bringing the report again is useless.
FINAL_CODES: Final = frozenset({"no-report-contact", "conflict"})


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of reports here, without `mail` nobody; and in how many `days` they are to be answered.

    `names_people`: the organization has agreed that a report may lead to the member whom it is about.
    """

    mail: str = ""
    days: int
    zone: str
    language: str
    names_people: bool = False


class ReportView(msgspec.Struct, frozen=True, kw_only=True):
    """What a reporter sees of a report; without `received_at` it is still on its way to `to`."""

    report: RandomId
    to: Entity
    made_at: Seconds
    due_at: Seconds
    received_at: Seconds | None = None
    closed_at: Seconds | None = None
    outcome: Outcome | None = None
    refused: str = ""


class Reports:
    """The reports of one node; `came` is called when one has come for the contact here."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        peers: PeerBook,
        own: str,
        contact: Contact,
        came: Callable[[], None],
        person_named: Callable[[str], None],
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._peers: Final = peers
        self._own: Final = own
        self._entropy: Final = entropy
        self._contact: Final = contact
        self._came: Final = came
        self._person_named: Final = person_named
        self._woken: Final = asyncio.Event()

    # People here

    async def hand_in(self, member: str, data: bytes) -> ReportView:
        """Take a person's report for the contact here or of a peer; saying it again changes nothing.

        Raises: MalformedError; MissingError: no such peer; RefusedError: of another organization, or nobody is named
            here; LimitError.
        """
        item = parse_sealed(data)
        if item.source != self._own:
            raise RefusedError("a report is handed in at the reporter's own organization")
        if item.to == self._own:
            self._require_contact()
        now = self._clock.now()
        async with self._store.write() as tx:
            await self._peers.keys(tx, item.to)
            known = await tx.get(ReportRow, item.source, item.report)
            if known is not None and (known.member, known.target) != (member, item.to):
                raise ConflictError("this id was used for another report")
            if known is None:
                await _require_few(tx, now, PERSON_DAILY, source=item.source, member=member)
                if await tx.count(ReportRow, where(member=member)) >= PERSON_MOST:
                    raise LimitError("too many of your reports are kept here", code="report-quota")
                known = self._row(item, data, now, member=member)
                await tx.insert(known)
                await self._announce(tx, known)
        return _view(known)

    async def of(self, member: str) -> tuple[ReportView, ...]:
        """Return what became of a person's reports, the newest first."""
        async with self._store.read() as reader:
            rows = await reader.find(ReportRow, where(member=member), order="made_at")
        return tuple(_view(row) for row in reversed(rows))

    async def forget(self, tx: Writer, member: str, _now: int) -> None:
        """Let nobody tell any more whose the reports of a person who leaves were; they go their way."""
        await tx.put(*(replace(row, member="") for row in await tx.find(ReportRow, where(member=member))))

    # Peers

    async def take(self, peer: str, data: bytes, guard: Guard) -> ReportState:
        """Take a report that a peer brings for the contact here; a repeat is answered the same.

        Raises: MalformedError; RefusedError: no contact, or not the peer's; ConflictError; LimitError: too many.
        """
        item = parse_sealed(data)
        if (item.source, item.to) != (peer, self._own):
            raise MalformedError("a report is brought by the organization of its reporter to the one it is for")
        self._require_contact()
        now = self._clock.now()
        async with self._store.write() as tx:
            await guard(tx)
            known = await tx.get(ReportRow, peer, item.report)
            if known is not None and known.item != data:
                raise ConflictError("this id was used for another report")
            if known is None:
                await _require_few(tx, now, PEER_DAILY, source=peer)
                if await tx.count(ReportRow, where(source=peer)) >= PEER_MOST:
                    raise LimitError("too many of your reports are kept here", retry_at=now + DAY_S)
                known = self._row(item, data, now)
                await tx.insert(known)
                await self._announce(tx, known)
        return _state(known)

    async def state(self, peer: str, report: str) -> ReportState:
        """Return what became of a report that this peer brought. Raises: MissingError."""
        async with self._store.read() as reader:
            row = await reader.get(ReportRow, peer, report)
        if row is None:
            raise MissingError("no such report")
        return _state(row)

    def wake(self) -> None:
        """Bring soon what waits."""
        self._woken.set()

    async def run(self) -> None:
        """Bring reports to peers, and ask for their answers, for ever."""
        while True:
            self._woken.clear()
            await self.step()
            await sleep_or_wake(self._clock, LOOK_EVERY_S, self._woken)

    async def step(self) -> None:
        """Bring or ask about everything that is due."""
        async with self._store.read() as reader:
            due = await reader.find(ReportRow, at_most("next_at", self._clock.now()), order="next_at", limit=MOST_DUE)
        async with asyncio.TaskGroup() as peers:
            for peer in {row.target for row in due}:
                peers.create_task(self._step_of([row for row in due if row.target == peer]))

    async def _step_of(self, rows: Sequence[ReportRow]) -> None:
        """Bring or ask about a few reports of one peer, which may be slow; its others make room for those of others."""
        for row in rows[:PEER_AT_ONCE]:
            await self._keep(await self._told(row))
        for row in rows[PEER_AT_ONCE:]:
            await self._keep(replace(row, next_at=self._clock.now() + int(LOOK_EVERY_S)))

    async def _keep(self, row: ReportRow) -> None:
        """Store what is known of a report now, unless it was erased meanwhile."""
        async with self._store.write() as tx:
            now = await tx.get(ReportRow, row.source, row.report)
            if now is not None:
                await tx.put(replace(row, member=now.member))

    async def _told(self, row: ReportRow) -> ReportRow:
        """Return a report as its receiver has it by now."""
        now = self._clock.now()
        try:
            answer = await self._ask(row)
        except MeshError as error:
            if row.received_at is not None and isinstance(error, MissingError):
                return replace(row, next_at=None)  # erased there: there is no answer to come
            if row.received_at is None and (ended := _given_up(row, error, now)):
                return replace(row, item=b"", refused=ended, next_at=None)
            pause = min(LONGEST_RETRY_S, max(FIRST_RETRY_S, now - row.made_at))
            return replace(row, next_at=now + pause)
        # A peer may give itself less time than the longest, and no more.
        due_at = min(answer.due_at, row.made_at + LONGEST_DAYS * DAY_S)
        received_at = row.received_at or now
        pause = min(LONGEST_RETRY_S, max(ASK_EVERY_S, (now - received_at) // 20))
        row = replace(row, item=b"", received_at=received_at, due_at=due_at, next_at=now + pause)
        return _closed(row, answer.outcome, now) if answer.outcome else row

    async def _ask(self, row: ReportRow) -> ReportState:
        if row.received_at is None:
            raw = await self._peers.post(row.target, REPORTS_PATH, row.item, REPORT_TYPE)
        else:
            raw = await self._peers.get(row.target, f"{REPORTS_PATH}/{row.report}", limit=MAX_ANSWER)
        return decode(raw, ReportState, what="state of a report")

    # The operator

    async def here(self) -> tuple[ReportRow, ...]:
        """Return the reports for the contact here, the oldest first; not those of people here for peers.

        Without what they say, of which peers may have brought hundreds of megabytes.
        """
        found: list[ReportRow] = []
        place = "", ""
        async with self._store.read() as reader:
            while rows := await _after(reader, *place):
                found += [replace(row, item=b"") for row in rows if row.target == self._own]
                place = rows[-1].source, rows[-1].report
        return tuple(sorted(found, key=lambda row: row.made_at))

    async def overdue(self) -> int:
        """Return how many reports for the contact here were not answered in time."""
        async with self._store.read() as reader:
            return await reader.count(
                ReportRow, where(target=self._own, outcome=""), at_most("due_at", self._clock.now())
            )

    async def item(self, row: ReportRow) -> bytes:
        """Return what a report says, sealed. Raises: MissingError: gone meanwhile."""
        async with self._store.read() as reader:
            now = await reader.get(ReportRow, row.source, row.report)
        if now is None:
            raise MissingError("no such report")
        return now.item

    async def person(self, row: ReportRow, identity_key: str, audience: str) -> MemberRow:
        """Return the member who holds the key that a report is about; that this was asked stays with the report.

        One report leads to the holder of one key: so nobody reads the members' keys off one after the other.

        Raises: RefusedError: not agreed on here, closed, or another key was looked up; MissingError: nobody's key now.
        """
        if not self._contact.names_people:
            raise RefusedError(
                "this organization has not agreed that reports lead to people: see [reports] name_people", code="policy"
            )
        async with self._store.write() as tx:
            now = await tx.get(ReportRow, row.source, row.report)
            if now is None or now.target != self._own:
                raise MissingError("no such report")
            if now.outcome:
                raise RefusedError(f"this report was closed as {now.outcome}")
            if now.named_key not in ("", identity_key):
                raise RefusedError("another key was looked up for this report: one report is about one person")
            await tx.put(replace(now, named_key=identity_key, named_at=now.named_at or self._clock.now()))
            tx.on_commit(partial(self._person_named, now.report))
        async with self._store.read() as reader:
            held = await reader.find(EnrolmentRow, where(identity_key=identity_key, audience=audience), limit=1)
            member = await reader.get(MemberRow, held[0].member) if held else None
        if member is None:
            raise MissingError("nobody here has this key now: they left, or changed their keys")
        return member

    async def close(self, row: ReportRow, outcome: Outcome) -> ReportRow:
        """Answer a report. Raises: MissingError: gone meanwhile; RefusedError: it has another answer."""
        async with self._store.write() as tx:
            now = await tx.get(ReportRow, row.source, row.report)
            if now is None:
                raise MissingError("no such report")
            if now.outcome and now.outcome != outcome:
                raise RefusedError(f"this report was closed as {now.outcome}: its reporter may have read that")
            if not now.outcome:
                now = _closed(now, outcome, self._clock.now())
                await tx.put(now)
        return now

    async def sweep(self) -> None:
        """Erase reports whose time is over."""
        async with self._store.write() as tx:
            await tx.delete(ReportRow, at_most("purge_at", self._clock.now()))

    async def _announce(self, tx: Writer, row: ReportRow) -> None:
        """Have a new report brought to the peer it is for, or its contact here told by mail that it came."""
        if row.target != self._own:
            tx.on_commit(self.wake)
            return
        notice = ReportCame(due=row.due_at, zone=self._contact.zone)
        to = Recipient(member="", address=self._contact.mail, languages=(self._contact.language,))
        entropy = self._entropy.take(ID_BYTES)
        await tx.insert(compose(notice, to, entropy=entropy, now=row.made_at, expires_at=row.due_at))
        tx.on_commit(self._came)

    def _require_contact(self) -> None:
        if not self._contact.mail:
            raise RefusedError("this organization names nobody who reads reports", code="no-report-contact")

    def _row(self, item: SealedReport, data: bytes, now: int, *, member: str = "") -> ReportRow:
        here = item.to == self._own
        return ReportRow(
            source=item.source,
            report=item.report,
            target=item.to,
            member=member,
            item=data,
            made_at=now,
            due_at=now + self._contact.days * DAY_S,
            received_at=now if here else None,
            next_at=None if here else now,
            purge_at=now + LONGEST_KEPT_DAYS * DAY_S,
        )


async def _after(reader: Reader, source: str, report: str) -> list[ReportRow]:
    """Return a few reports in the order of their keys."""
    of_source = where(source=source), above("report", report)
    rows = await reader.find(ReportRow, *of_source, order="report", limit=PAGE)
    return rows or await reader.find(ReportRow, above("source", source), order="source", limit=1)


def _given_up(row: ReportRow, error: MeshError, now: int) -> str:
    """Return why a report is not brought again; empty while it is."""
    if isinstance(error, RefusedError) and error.code in FINAL_CODES:
        return error.code
    away = isinstance(error, UnavailableError | LimitError)
    if now - row.made_at < (AWAY_FOR_S if away else REFUSED_FOR_S):
        return ""
    return UNREACHABLE if isinstance(error, UnavailableError) else error.code


async def _require_few(tx: Reader, now: int, most: int, **whose: str) -> None:
    if await tx.count(ReportRow, where(**whose), above("made_at", now - DAY_S)) >= most:
        raise LimitError(f"at most {most} reports are taken in a day", code="report-quota", retry_at=now + DAY_S)


def _closed(row: ReportRow, outcome: str, now: int) -> ReportRow:
    return replace(row, outcome=outcome, closed_at=now, next_at=None, purge_at=now + CLOSED_DAYS * DAY_S)


def _state(row: ReportRow) -> ReportState:
    return ReportState(due_at=row.due_at, outcome=cast("Outcome", row.outcome) if row.outcome else None)


def _view(row: ReportRow) -> ReportView:
    return ReportView(
        report=row.report,
        to=row.target,
        made_at=row.made_at,
        due_at=row.due_at,
        received_at=row.received_at,
        closed_at=row.closed_at,
        outcome=cast("Outcome", row.outcome) if row.outcome else None,
        refused=row.refused,
    )
