"""What an operator can do about reports: see that they are there, hand them on unread, and close them."""

from typing import Annotated, Final, cast

import msgspec

from node.operations import Command, Operation
from node.rows import ReportRow
from node.status import Alert
from protocol.errors import MissingError, RefusedError
from protocol.ids import Bytes32, Entity, RandomId, Seconds
from protocol.reportitems import Outcome

from .reports import Reports

#: A report, or enough of its beginning to tell it from the others.
ReportName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{4,22}(?!\n)$")]


class ListReports(Command, frozen=True, kw_only=True):
    """Ask for all reports for the contact here."""


class ShowReport(Command, frozen=True, kw_only=True):
    """Ask for one report, still sealed."""

    report: ReportName


class CloseReport(Command, frozen=True, kw_only=True):
    """Answer a report, as its contact said."""

    report: ReportName
    outcome: Outcome


class NamePerson(Command, frozen=True, kw_only=True):
    """Ask which member holds the key that an opened report is about."""

    report: ReportName
    identity_key: Bytes32
    audience: Bytes32


class NamedPerson(msgspec.Struct, frozen=True, kw_only=True):
    """The member whom a report is about, by their id in the member file."""

    report: RandomId
    id: str


class ReportInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What this node knows of a report: not by whom, about whom, or what it says."""

    report: RandomId
    source: Entity
    received_at: Seconds
    due_at: Seconds
    closed_at: Seconds | None = None
    outcome: Outcome | None = None
    #: When it was looked up whom it is about.
    named_at: Seconds | None = None


class SealedItem(msgspec.Struct, frozen=True, kw_only=True):
    """A report as it came, for its contact to open."""

    info: ReportInfo
    item: str


class ReportOperations:
    """Reports, for operators."""

    def __init__(self, reports: Reports) -> None:
        self._reports: Final = reports

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can do here."""
        return (
            Operation(
                name="report.list",
                summary="Reports for the contact of this organization",
                request=ListReports,
                response=tuple[ReportInfo, ...],
                run=self.list,
            ),
            Operation(
                name="report.show",
                summary="One report, still sealed",
                request=ShowReport,
                response=SealedItem,
                run=self.show,
            ),
            Operation(
                name="report.person",
                summary="Which member an opened report is about",
                request=NamePerson,
                response=NamedPerson,
                run=self.person,
            ),
            Operation(
                name="report.close",
                summary="Tell the reporter how a report was answered",
                request=CloseReport,
                response=ReportInfo,
                run=self.close,
            ),
        )

    async def alerts(self) -> tuple[Alert, ...]:
        """Return what an administrator should look at."""
        count = await self._reports.overdue()
        if not count:
            return ()
        what = "a report for the contact here was" if count == 1 else f"{count} reports for the contact here were"
        fix = "`mentormesh report list`; ask the contact, then `mentormesh report close`"
        return (Alert(about="reports", detail=f"{what} not answered in time", fix=fix),)

    async def list(self, _command: ListReports) -> tuple[ReportInfo, ...]:
        """Return all reports, the oldest first."""
        return tuple(_info(row) for row in await self._reports.here())

    async def show(self, command: ShowReport) -> SealedItem:
        """Return one report. Raises: MissingError, RefusedError: several begin so."""
        row = await self._named(command.report)
        return SealedItem(info=_info(row), item=(await self._reports.item(row)).decode("ascii"))

    async def person(self, command: NamePerson) -> NamedPerson:
        """Return whom one report is about. Raises: MissingError, RefusedError: see `Reports.person`."""
        row = await self._named(command.report)
        member = await self._reports.person(row, command.identity_key, command.audience)
        return NamedPerson(report=row.report, id=member.hris_id)

    async def close(self, command: CloseReport) -> ReportInfo:
        """Close one report. Raises: MissingError, RefusedError: several begin so, or it has another answer."""
        return _info(await self._reports.close(await self._named(command.report), command.outcome))

    async def _named(self, name: str) -> ReportRow:
        found = [row for row in await self._reports.here() if row.report.startswith(name)]
        if not found:
            raise MissingError("there is no such report: `mentormesh report list` shows all")
        if len(found) > 1:
            raise RefusedError("several reports begin like this: give more of the name")
        return found[0]


def _info(row: ReportRow) -> ReportInfo:
    return ReportInfo(
        report=row.report,
        source=row.source,
        received_at=row.made_at,
        due_at=row.due_at,
        closed_at=row.closed_at,
        named_at=row.named_at,
        outcome=cast("Outcome", row.outcome) if row.outcome else None,
    )
