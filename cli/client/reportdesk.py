"""Hands reports in at the own node, sealed for the contacts of both organizations, and tells what became of them.

Source: docs/protocol/44-frames.md §9.
"""

from contextlib import suppress
from functools import partial
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from node.services.reports import LONGEST_KEPT_DAYS, ReportView
from protocol.e2ee.reports import Report
from protocol.e2ee.sealedreports import seal_report
from protocol.errors import LimitError, MalformedError, MeshError, MissingError, RefusedError, UnavailableError
from protocol.reportitems import Outcome, ReportContact

from .core import Core, fresh_id
from .pins import document_of
from .reportrecord import ReportRecord
from .state import ClientState

KEEP_S: Final = LONGEST_KEPT_DAYS * 86_400

#: A node never takes it, however long it waits.
TOO_LARGE: Final = "too-large"

Standing = Literal["waiting", "sent", "received", "overdue", "closed", "refused"]


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Who reads reports at one organization; without `contact`, `why` nobody can be told there."""

    entity: str
    contact: ReportContact | None = None
    why: str = ""


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one report: `waiting` for the own node, `sent` by it, `received` by the other, and so on."""

    report: str
    thread: str
    to: str
    standing: Standing
    at: int
    received_at: int | None = None
    due_at: int | None = None
    closed_at: int | None = None
    outcome: Outcome | None = None
    #: Why nobody takes it, as a code.
    refused: str = ""


class ReportDesk:
    """The reports of one person."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    def readers(self, report: Report) -> tuple[Reader, ...]:
        """Return who would read a report, by the signed documents of the organizations of its session."""
        state = self._core.state()
        return tuple(_reader(state, entity) for entity in dict.fromkeys((report.consumer, report.provider)))

    async def hand_in(self, report: Report) -> tuple[Reported, ...]:
        """Seal a report for every contact, keep that, and hand it in; what the node cannot take now waits here.

        Raises: RefusedError: neither organization names a contact; LimitError: too long.
        """
        now = self._core.now()
        made = []
        for reader in self.readers(report):
            if reader.contact is not None:
                name = fresh_id()
                item = seal_report(report, reader.contact, name=name, to=reader.entity)
                made.append(ReportRecord(report=name, thread=report.thread, to=reader.entity, at=now, item=item))
        if not made:
            raise RefusedError("neither organization names a contact for reports: write it to a file with --to")
        self._core.vault.update(partial(_with_reports, made=tuple(made), now=now))
        await self._flush()
        names = {one.report for one in made}
        return tuple(one for one in await self.reports() if one.report in names)

    async def reports(self) -> tuple[Reported, ...]:
        """Return what became of this person's reports, the newest first, after handing in what waits."""
        told: dict[str, ReportView] = {}
        with suppress(UnavailableError, LimitError):  # what was handed in is shown as it was known last
            await self._flush()
            told = {view.report: view for view in await self._core.api().reports()}
        known = {one.report: one for one in self._core.state().reports}
        now = self._core.now()
        found = [_merged(known.get(name), told.get(name), now) for name in {**known, **told}]
        return tuple(sorted(found, key=lambda one: (-one.at, one.to)))

    async def _flush(self) -> None:
        for one in self._core.state().reports:
            if not one.item:
                continue
            refused = ""
            try:
                await self._core.api().report(one.item)
            except UnavailableError:
                return
            except LimitError as error:
                if error.code != TOO_LARGE:
                    return  # so many a day: it waits for the next one
                refused = error.code
            except (MissingError, RefusedError, MalformedError) as error:
                refused = error.code
            self._core.vault.update(partial(_handed_in, name=one.report, refused=refused))


def _reader(state: ClientState, entity: str) -> Reader:
    try:
        contact = document_of(state, entity).report_contact
    except MeshError as error:
        return Reader(entity=entity, why=str(error))
    return Reader(entity=entity, contact=contact, why="" if contact else "it names nobody who reads reports")


def _with_reports(state: ClientState, *, made: tuple[ReportRecord, ...], now: int) -> ClientState:
    return replace(state, reports=(*(one for one in state.reports if one.at + KEEP_S > now), *made))


def _handed_in(state: ClientState, *, name: str, refused: str) -> ClientState:
    after = (replace(one, item=b"", refused=refused) if one.report == name else one for one in state.reports)
    return replace(state, reports=tuple(after))


def _merged(record: ReportRecord | None, view: ReportView | None, now: int) -> Reported:
    """Return what this device and the node know of a report; one of both knows it."""
    if view is None:
        assert record is not None, "a report is known here or at the node"
        standing: Standing = "waiting" if record.item else "refused" if record.refused else "sent"
        return Reported(
            report=record.report,
            thread=record.thread,
            to=record.to,
            standing=standing,
            at=record.at,
            refused=record.refused,
        )
    return Reported(
        report=view.report,
        thread=record.thread if record else "",
        to=view.to,
        standing=_standing(view, now),
        at=record.at if record else view.made_at,
        received_at=view.received_at,
        due_at=view.due_at,
        closed_at=view.closed_at,
        outcome=view.outcome,
        refused=view.refused,
    )


def _standing(view: ReportView, now: int) -> Standing:
    if view.outcome is not None:
        return "closed"
    if view.refused:
        return "refused"
    if now >= view.due_at:
        return "overdue"
    return "received" if view.received_at is not None else "sent"
