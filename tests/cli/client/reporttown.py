"""Three organizations, of which two name who reads reports, and somebody who has something to report."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from cli.client.core import fresh_id
from cli.client.person import Person
from cli.client.reportdesk import Reported
from cli.main import main
from federation.ports import Writer, where
from node.rows import ReportRow
from node.services.report_operations import ListReports, ReportInfo
from node.services.reports import Reports
from protocol.e2ee.reports import Report
from protocol.e2ee.sealedreports import ReportKey, seal_report
from protocol.encoding import encode, sha256
from protocol.reportitems import ReportContact, parse_sealed
from tests.cli.direct import reach
from tests.patience import comes_true

from .pair import Pair
from .test_reports import threatened
from .world import Company, company

DAY_S: Final = 86_400
KEYS: Final = {name: ReportKey(sha256(b"contact of ", name.encode())) for name in ("aurora", "cobalt")}


class Town:
    """Two organizations that name a contact, one that names nobody, and a mentor of Cobalt who was threatened."""

    def __init__(self, nodes: list[Company], ben: Person, pair: Pair, report: Report) -> None:
        self.aurora, self.cobalt, self.birch = nodes
        self.ben: Final = ben
        self.pair: Final = pair
        self.report: Final = report

    def reports(self, one: Company) -> Reports:
        return one.node.handshakes.reports

    async def listed(self, one: Company) -> tuple[ReportInfo, ...]:
        return await one.node.operations.call("report.list", ListReports(), tuple[ReportInfo, ...])


@asynccontextmanager
async def founded(folder: Path) -> AsyncIterator[Town]:
    """Yield the three organizations and their people."""
    pair, report = threatened()
    async with AsyncExitStack() as stack:
        nodes = []
        for name in ("aurora", "cobalt", "birch"):
            key = KEYS[name].public.text if name in KEYS else ""
            named = {"name": f"{name} speak-up", "mail": f"speakup@{name}.example", "key": key} if key else {}
            nodes.append(await stack.enter_async_context(company(folder, name, reports=named)))
        aurora, cobalt, birch = nodes
        for one, other in ((aurora, cobalt), (birch, cobalt)):
            await other.node.peering.service.accept((await one.node.peering.service.invite()).ticket)
        ben = await stack.enter_async_context(cobalt.person("cobalt1"))
        yield Town(nodes, ben, pair, report)


async def handed_in(town: Town) -> str:
    """Return the id of a new report to Aurora."""
    return next(one.report for one in await town.ben.reports.hand_in(town.report) if one.to == town.aurora.entity)


async def until(person: Person, report: str, standing: str) -> Reported:
    """Return a report once it stands so."""
    found: list[Reported] = []

    async def stands() -> bool:
        found[:] = [one for one in await person.reports.reports() if one.report == report]
        return found[0].standing == standing

    await comes_true(stands)
    return found[0]


async def refused_of(desk: Reports, report: str = "") -> list[str]:
    """Return which of somebody's reports were refused, once one was, or this one."""
    found: list[str] = []

    async def refused() -> bool:
        found[:] = [one.report for one in await desk.of("somebody") if one.refused]
        return report in found if report else bool(found)

    await comes_true(refused)
    return found


async def mails_of(one: Company) -> list[Path]:
    """Return the mails to the contact of a company, once there is one."""
    folder, found = one.node.base.directory / "mail", list[Path]()

    async def mailed() -> bool:
        found[:] = [path for path in folder.iterdir() if f"To: speakup@{one.node.base.config.name}" in path.read_text()]
        return bool(found)

    await comes_true(mailed)
    return found


async def run(monkeypatch: pytest.MonkeyPatch, one: Company, *words: str) -> Result:
    """Run a command against a node that runs in this loop."""
    reach(monkeypatch, one)
    return await asyncio.to_thread(CliRunner().invoke, main, list(words))


async def due_now(tx: Writer, name: str) -> ReportRow:
    (row,) = await tx.find(ReportRow, where(report=name))
    await tx.put(replace(row, next_at=1))
    return row


def item(town: Town, *, to: Company, name: str = "", source: str = "") -> bytes:
    contact = ReportContact(name="x", mail="x@y", seal=KEYS["aurora"].public.text)
    data = seal_report(town.report, contact, name=name or fresh_id(), to=to.entity)
    return encode(replace(parse_sealed(data), source=source)) if source else data


async def fine(_tx: Writer) -> None:
    """Spend nothing."""


class Stepped:
    """A clock that stands."""

    def __init__(self, at: int) -> None:
        self._at: Final = at

    def now(self) -> int:
        return self._at


def refused(code: str) -> Reported:
    return Reported(report="r", thread="t", to="https://x.example", standing="refused", at=1, refused=code)
