"""Members: imported from the organization's own file, which is compared with what is known before anything changes.

The file is the whole list: who is missing in it, or stands there as `not` active, leaves. Leaving is undone by the next
file that has them as active. A file that would make many leave at once is taken for a mistake.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Entropy, Reader, Store, Writer, where
from node.rows import MemberRow
from protocol.errors import ConflictError, MissingError, RefusedError
from protocol.ids import ID_BYTES, random_id
from protocol.vocabulary import Band, Country, Language, TopicId

from .accounts import end_sign_ins
from .member_csv import LIST_SEPARATOR, Progress, Record, RowError, parse_members, refused_rows
from .mentors import stand_down

#: More than this share of the active members may not leave by one file …
BRAKE_PERCENT: Final = 20
#: … unless fewer than this many leave.
BRAKE_LEAST: Final = 5
_PORTION: Final = 1000

#: Told in the transaction in which a member leaves or is erased: (transaction, member, now).
LeaveHook = Callable[[Writer, str, int], Awaitable[None]]

#: Column of the file → attribute of the row, where something can change.
_COMPARED: Final = {
    "mail": "mail",
    "job_family": "job_family",
    "band": "band",
    "country": "country",
    "group": "team",
    "supervisor": "supervisor",
    "languages": "languages",
    "skills": "skills",
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A known member about whom the file says something new, by column names."""

    id: str
    fields: tuple[str, ...]


class ImportPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an import would do; `added`, `reactivated` and `leaving` are ids of the file. With `refused` rows: nothing.

    `skipped` counts leavers of the file that were never known here.
    """

    added: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    reactivated: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    unchanged: int = 0
    skipped: int = 0
    refused: tuple[RowError, ...] = ()
    active_before: int = 0
    records: tuple[Record, ...] = ()

    @property
    def needs_force(self) -> bool:
        """Whether so many would leave that the file is more likely wrong."""
        count = len(self.leaving)
        return count >= BRAKE_LEAST and count * 100 > self.active_before * BRAKE_PERCENT

    @property
    def changes_anything(self) -> bool:
        """Whether applying it would do anything."""
        return bool(self.added or self.changed or self.reactivated or self.leaving)


class MemberFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What k is counted over: one active member without name, mail or id of the file."""

    member: str
    job_family: str
    band: Band
    country: Country
    languages: tuple[Language, ...]
    skills: tuple[TopicId, ...]


class Members:
    """Import and facts of members.

    `on_leave` hooks run in the transaction of the import, so that open requests close when their person leaves; signing
    out and opting out are built in and cannot be forgotten.
    """

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, *, on_leave: Sequence[LeaveHook] = ()) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._on_leave = tuple(on_leave)

    async def plan(self, data: bytes, *, progress: Progress | None = None) -> ImportPlan:
        """Return what importing a file would do; nothing changes.

        Raises: MalformedError, LimitError: the file as a whole cannot be used (`member_csv.parse_members`).
        """
        parsed = await asyncio.to_thread(parse_members, data, progress=progress)
        if parsed.errors:
            return ImportPlan(refused=parsed.errors)
        async with self._store.read() as reader:
            known = await reader.find(MemberRow)
        return await asyncio.to_thread(_compare, parsed.records, known)

    async def apply(self, plan: ImportPlan, *, force: bool = False, progress: Progress | None = None) -> None:
        """Do what `plan` says, all of it or nothing.

        Raises:
            RefusedError: rows were refused; or (code `too-many-leave`) the brake holds and `force` is not set.
            ConflictError: members have changed since the plan was made.
        """
        _require_applicable(plan, force=force)
        async with self._store.write() as writer:
            known = await writer.find(MemberRow)
            if await asyncio.to_thread(_compare, plan.records, known) != plan:
                raise ConflictError("members have changed since this plan was made: plan again")
            await self._store_records(writer, plan, known, progress)
            for row in _leavers(plan, known):
                await self.leave(writer, row)

    async def _store_records(
        self, writer: Writer, plan: ImportPlan, known: Iterable[MemberRow], progress: Progress | None
    ) -> None:
        now = self._clock.now()
        by_id = {row.hris_id: row for row in known}
        touched = {*plan.added, *plan.reactivated, *(change.id for change in plan.changed)}
        rows = [
            _row(record, self._member_id(by_id.get(record.id)), imported_at=now)
            for record in plan.records
            if record.active and record.id in touched
        ]
        for start in range(0, len(rows), _PORTION):
            await writer.put(*rows[start : start + _PORTION])
            await asyncio.sleep(0)  # readers go on while a large file is stored
            if progress:
                progress(min(start + _PORTION, len(rows)), len(rows))

    def _member_id(self, before: MemberRow | None) -> str:
        return before.member if before else random_id(self._entropy.take(ID_BYTES))

    async def leave(self, writer: Writer, row: MemberRow) -> None:
        """Let one member leave: signed out, opted out, open requests closed by the hooks. Devices stay for an undo."""
        now = self._clock.now()
        await writer.put(replace(row, active=False, left_at=now))
        await end_sign_ins(writer, row.member)
        await stand_down(writer, row.member, now=now)
        for hook in self._on_leave:
            await hook(writer, row.member, now)

    async def facts(self) -> list[MemberFacts]:
        """Return the facts of every active member, in the order of their random ids."""
        async with self._store.read() as reader:
            return await member_facts(reader)

    async def all(self) -> list[MemberRow]:
        """Return every member, active or not, for counting."""
        async with self._store.read() as reader:
            return await reader.find(MemberRow)

    async def by_hris_id(self, hris_id: str) -> MemberRow:
        """Return a member by the id of the file. Raises: MissingError."""
        async with self._store.read() as reader:
            rows = await reader.find(MemberRow, where(hris_id=hris_id), limit=1)
        if not rows:
            raise MissingError("no member has this id")
        return rows[0]

    async def get(self, member: str) -> MemberRow:
        """Return a member by their random id. Raises: MissingError."""
        async with self._store.read() as reader:
            row = await reader.get(MemberRow, member)
        if row is None:
            raise MissingError("no such member")
        return row


async def member_facts(reader: Reader) -> list[MemberFacts]:
    """Return as `Members.facts`, inside a transaction."""
    return [
        MemberFacts(
            member=row.member,
            job_family=row.job_family,
            band=msgspec.convert(row.band, Band),
            country=row.country,
            languages=split_list(row.languages),
            skills=split_list(row.skills),
        )
        for row in await reader.find(MemberRow, where(active=True))
    ]


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a list column."""
    return tuple(text.split(LIST_SEPARATOR)) if text else ()


def _row(record: Record, member: str, *, imported_at: int) -> MemberRow:
    return MemberRow(
        member=member,
        hris_id=record.id,
        mail=record.mail,
        active=True,
        job_family=record.job_family,
        band=record.band,
        country=record.country or "",
        team=record.group,
        supervisor=record.supervisor,
        languages=LIST_SEPARATOR.join(record.languages),
        skills=LIST_SEPARATOR.join(record.skills),
        imported_at=imported_at,
    )


def _compare(records: tuple[Record, ...], known: Sequence[MemberRow]) -> ImportPlan:
    """Return the difference between a good file and what is known."""
    by_id = {row.hris_id: row for row in known}
    active = [record for record in records if record.active]
    here = {record.id for record in active}
    staying = [record for record in active if record.id in by_id and by_id[record.id].active]
    changed = [Change(id=record.id, fields=fields) for record in staying if (fields := _news(record, by_id[record.id]))]
    return ImportPlan(
        added=tuple(record.id for record in active if record.id not in by_id),
        changed=tuple(changed),
        reactivated=tuple(record.id for record in active if record.id in by_id and not by_id[record.id].active),
        leaving=tuple(sorted(row.hris_id for row in known if row.active and row.hris_id not in here)),
        unchanged=len(staying) - len(changed),
        skipped=sum(not record.active and record.id not in by_id for record in records),
        active_before=sum(row.active for row in known),
        records=records,
    )


def _news(record: Record, row: MemberRow) -> tuple[str, ...]:
    wanted = _row(record, row.member, imported_at=row.imported_at)
    return tuple(name for name, column in _COMPARED.items() if getattr(wanted, column) != getattr(row, column))


def _leavers(plan: ImportPlan, known: Iterable[MemberRow]) -> list[MemberRow]:
    leaving = set(plan.leaving)
    return [row for row in known if row.hris_id in leaving]


def _require_applicable(plan: ImportPlan, *, force: bool) -> None:
    if plan.refused:
        raise RefusedError(refused_rows(plan.refused))
    if plan.needs_force and not force:
        raise RefusedError(
            f"{len(plan.leaving)} of {plan.active_before} active members would leave: if the file is right, "
            "import it with --force",
            code="too-many-leave",
        )
