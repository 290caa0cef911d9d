"""Sealed reports over HTTP: from people's devices, and from peers."""

from typing import Final

import msgspec
from aiohttp import web

from node.services.reports import REPORT_TYPE, REPORTS_PATH, Reports, ReportView
from protocol.encoding import encode
from protocol.reportitems import MAX_ITEM_BYTES, ReportState

from .accounts import device_of, signed_in
from .bodies import read_bytes, reply
from .exchange import named
from .federation import asked_by
from .routes import JSON, Route

REPORTS: Final = web.AppKey("mentormesh.reports", Reports)


class ReportViews(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a person's reports."""

    reports: tuple[ReportView, ...]


async def hand_in(request: web.Request) -> web.Response:
    """Take a report for the contact of this organization or of a peer."""
    device_of(request)
    data = await read_bytes(request, limit=MAX_ITEM_BYTES, content_type=REPORT_TYPE)
    return reply(await request.app[REPORTS].hand_in(signed_in(request).member, data))


async def own_reports(request: web.Request) -> web.Response:
    """Tell what became of one's own reports."""
    device_of(request)
    return reply(ReportViews(reports=await request.app[REPORTS].of(signed_in(request).member)))


async def take_report(request: web.Request) -> web.Response:
    """Take a report that a peer brings."""
    asked = asked_by(request)
    asked.require("continue")
    state = await request.app[REPORTS].take(asked.peer.entity, asked.body, asked.spend)
    return web.Response(body=encode(state), content_type=JSON)


async def report_state(request: web.Request) -> web.Response:
    """Tell a peer what became of a report that it brought."""
    asked = asked_by(request)
    asked.require("continue")
    state = await request.app[REPORTS].state(asked.peer.entity, named(request, "report"))
    return web.Response(body=encode(state), content_type=JSON)


REPORT_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/reports",
        handler=hand_in,
        auth="device",
        summary="Hand in a sealed report",
        request_content_type=REPORT_TYPE,
        response=ReportView,
    ),
    Route(
        method="GET",
        path="/api/v1/reports",
        handler=own_reports,
        auth="device",
        summary="What became of one's reports",
        response=ReportViews,
    ),
    Route(
        method="POST",
        path=REPORTS_PATH,
        handler=take_report,
        auth="peer",
        summary="Bring a sealed report to the contact here",
        request_content_type=REPORT_TYPE,
        response=ReportState,
    ),
    Route(
        method="GET",
        path=f"{REPORTS_PATH}/{{report}}",
        handler=report_state,
        auth="peer",
        summary="What became of a report that was brought",
        response=ReportState,
    ),
)
