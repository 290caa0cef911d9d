"""What an operator can do about members: import, count, look up one, export and erase one.

Nothing here shows what a person does: no sign-in, no opting in, no request. In works-council mode an export is for the
person alone, and counts below the smallest group stay hidden.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
import zstandard

from node.operations import Command, Operation
from node.rows import MemberRow
from protocol.errors import ConflictError, LimitError, MalformedError, RefusedError

from .accounts import Accounts
from .erasure import Erasure, PersonExport
from .member_csv import MAX_FILE_BYTES, RowError
from .members import Change, ImportPlan, Members, split_list

Status = Literal["active", "not"]


class PlanImport(Command, frozen=True, kw_only=True):
    """A member file to compare; `packed` is its zstd compression (`pack`)."""

    packed: bytes


class ApplyImport(Command, frozen=True, kw_only=True):
    """A member file to import, and the `digest` of the plan that somebody has seen."""

    packed: bytes
    digest: str
    force: bool = False


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """An `ImportPlan` as an operator sees it; `digest` names exactly this plan."""

    added: tuple[str, ...]
    changed: tuple[Change, ...]
    reactivated: tuple[str, ...]
    leaving: tuple[str, ...]
    unchanged: int
    skipped: int
    refused: tuple[RowError, ...]
    active_before: int
    needs_force: bool
    digest: str


class ListMembers(Command, frozen=True, kw_only=True):
    """Ask for counts; `exact` shows small groups too."""

    exact: bool = False


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """How many members a job family has; an empty family stands for all that are too small to show."""

    status: Status
    job_family: str
    members: int


class MemberCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by status and job family. `hidden` statuses have fewer members than may be shown."""

    groups: tuple[Group, ...]
    hidden: tuple[Status, ...]
    smallest_group: int


class OneMember(Command, frozen=True, kw_only=True):
    """Name a member by the id of the member file."""

    id: str


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """What the member file said about somebody, under its column names."""

    id: str
    mail: str
    status: Status
    job_family: str
    band: str
    country: str
    group: str
    supervisor: str
    languages: tuple[str, ...]
    skills: tuple[str, ...]
    imported_at: int
    left_at: int | None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in link, good once."""

    link: str


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """When somebody was erased. How many rows of what there were would tell how they used the node."""

    erased_at: int


class OperatorRules(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator of this node may see."""

    works_council: bool = False
    smallest_group: int = 5
    development: bool = False


class MemberOperations:
    """Operations about members."""

    def __init__(self, members: Members, accounts: Accounts, erasure: Erasure, rules: OperatorRules) -> None:
        self._members: Final = members
        self._accounts: Final = accounts
        self._erasure: Final = erasure
        self._rules: Final = rules

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can do here."""
        return (
            Operation(
                name="member.plan",
                summary="Compare a member file with what is known",
                request=PlanImport,
                response=PlanView,
                run=self.plan,
            ),
            Operation(
                name="member.import",
                summary="Import a member file",
                request=ApplyImport,
                response=PlanView,
                run=self.apply,
            ),
            Operation(
                name="member.list",
                summary="Count members by job family",
                request=ListMembers,
                response=MemberCounts,
                run=self.count,
            ),
            Operation(
                name="member.show",
                summary="Show what the member file said about somebody",
                request=OneMember,
                response=MemberView,
                run=self.show,
            ),
            Operation(
                name="member.link",
                summary="Make a sign-in link, in development",
                request=OneMember,
                response=Link,
                run=self.link,
            ),
            Operation(
                name="member.export",
                summary="Everything about one person",
                request=OneMember,
                response=PersonExport,
                run=self.export,
            ),
            Operation(
                name="member.erase",
                summary="Erase one person",
                request=OneMember,
                response=Erased,
                run=self.erase,
            ),
        )

    async def plan(self, command: PlanImport) -> PlanView:
        """Return what importing a file would do."""
        return _view(await self._members.plan(unpack(command.packed)))

    async def apply(self, command: ApplyImport) -> PlanView:
        """Import a file if that still does what the plan of `digest` said."""
        plan = await self._members.plan(unpack(command.packed))
        view = _view(plan)
        if view.digest != command.digest:
            raise ConflictError("members have changed since this plan was made: plan again")
        await self._members.apply(plan, force=command.force)
        return view

    async def count(self, command: ListMembers) -> MemberCounts:
        """Return counts in which no group is smaller than the rules allow, unless `exact` may be had."""
        if command.exact and self._rules.works_council:
            raise RefusedError("works-council mode: groups under the smallest size are not shown", code="works-council")
        smallest = 1 if command.exact else self._rules.smallest_group
        groups: list[Group] = []
        hidden: list[Status] = []
        for status, counts in _by_status(await self._members.all()).items():
            shown = shown_groups(counts, smallest)
            groups += [Group(status=status, job_family=family, members=count) for family, count in shown.items()]
            if counts and not shown:
                hidden.append(status)
        return MemberCounts(groups=tuple(groups), hidden=tuple(hidden), smallest_group=smallest)

    async def show(self, command: OneMember) -> MemberView:
        """Return what the member file said."""
        row = await self._members.by_hris_id(command.id)
        return MemberView(
            id=row.hris_id,
            mail=row.mail,
            status="active" if row.active else "not",
            job_family=row.job_family,
            band=row.band,
            country=row.country,
            group=row.team,
            supervisor=row.supervisor,
            languages=split_list(row.languages),
            skills=split_list(row.skills),
            imported_at=row.imported_at,
            left_at=row.left_at,
        )

    async def link(self, command: OneMember) -> Link:
        """Return a sign-in link; outside development it goes to its owner's mailbox only."""
        if not self._rules.development:
            raise RefusedError("sign-in links are printed in development only: the person asks for one by mail")
        row = await self._members.by_hris_id(command.id)
        return Link(link=await self._accounts.issue_link(row.member))

    async def export(self, command: OneMember) -> PersonExport:
        """Return what is known about one person, but for their threads and mailbox: those only the person sees."""
        if self._rules.works_council:
            raise RefusedError(
                "works-council mode: only the person exports what is known about them, with their own client",
                code="works-council",
            )
        row = await self._members.by_hris_id(command.id)
        return await self._erasure.export(row.member, for_owner=False)

    async def erase(self, command: OneMember) -> Erased:
        """Erase one person."""
        row = await self._members.by_hris_id(command.id)
        receipt = await self._erasure.erase(row.member)
        return Erased(erased_at=receipt.erased_at)


def shown_groups(counts: Mapping[str, int], smallest: int) -> dict[str, int]:
    """Return counts of at least `smallest`, the rest together under an empty name, or nothing when all are too few.

    When the rest alone is too small, the smallest other groups join it: otherwise a total would give it away.
    """
    ordered = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    rest = sum(count for _, count in ordered if count < smallest)
    kept = [item for item in ordered if item[1] >= smallest]
    while kept and 0 < rest < smallest:
        rest += kept.pop(0)[1]
    shown = dict(sorted(kept))
    return shown | {"": rest} if rest >= smallest else shown


def pack(data: bytes) -> bytes:
    """Return a member file as it travels inside a command."""
    return zstandard.ZstdCompressor(level=3).compress(data)


def unpack(packed: bytes) -> bytes:
    """Return a packed member file. Raises: MalformedError: not packed. LimitError: too large when unpacked."""
    try:
        declared = zstandard.frame_content_size(packed)
        if not 0 <= declared <= MAX_FILE_BYTES:
            raise LimitError(f"the file is over {MAX_FILE_BYTES // 1024 // 1024} MiB")
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError:
        raise MalformedError("the member file did not arrive whole") from None


def _by_status(rows: list[MemberRow]) -> dict[Status, Counter[str]]:
    counts: dict[Status, Counter[str]] = {"active": Counter(), "not": Counter()}
    for row in rows:
        counts["active" if row.active else "not"][row.job_family] += 1
    return counts


def _view(plan: ImportPlan) -> PlanView:
    digest = hashlib.sha256(msgspec.msgpack.encode(plan)).hexdigest()
    return PlanView(
        added=plan.added,
        changed=plan.changed,
        reactivated=plan.reactivated,
        leaving=plan.leaving,
        unchanged=plan.unchanged,
        skipped=plan.skipped,
        refused=plan.refused,
        active_before=plan.active_before,
        needs_force=plan.needs_force,
        digest=digest,
    )
