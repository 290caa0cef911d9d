"""How the node is: health, readiness, version, metrics and its own description."""

from typing import Any, Final

import msgspec
from aiohttp import web

from node.health import Health, Readiness
from node.store.opening import NodeStore
from node.telemetry import Metrics
from node.version import version
from protocol.errors import MeshError

from .bodies import reply
from .openapi import document
from .routes import ROUTES, Route
from .strangers import charge

HEALTH: Final = web.AppKey("mentormesh.health", Health)
STORE: Final = web.AppKey("mentormesh.store", NodeStore)
METRICS: Final = web.AppKey("mentormesh.metrics", Metrics)


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    alive: bool = True


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What runs here."""

    name: str
    version: str


async def health(request: web.Request) -> web.Response:  # noqa: ARG001 -- every handler takes one
    """Say that the process answers."""
    return reply(Alive())


async def ready(request: web.Request) -> web.Response:
    """Say whether the node can do its work; 503 when not."""
    readiness = await request.app[HEALTH].readiness()
    return reply(readiness, status=200 if readiness.ready else 503)


async def show_version(request: web.Request) -> web.Response:
    """Say which program and version this is."""
    charge(request)
    return reply(Version(name="mentormesh", version=version()))


async def metrics(request: web.Request) -> web.Response:
    """Give the figures in the Prometheus text format; those of the store are missing while it is away."""
    figures = request.app[METRICS]
    try:
        figures.store.last = await request.app[STORE].figures()
    except MeshError:
        figures.store.last = None
    return web.Response(body=figures.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def openapi(request: web.Request) -> web.Response:
    """Describe every route."""
    charge(request)
    return reply(document(request.app[ROUTES].values()))


OPERATION_ROUTES: Final = (
    Route(
        method="GET",
        path="/health",
        handler=health,
        auth="public",
        summary="Whether the process answers",
        response=Alive,
    ),
    Route(
        method="GET",
        path="/ready",
        handler=ready,
        auth="public",
        summary="Whether the node can do its work (503 when not)",
        response=Readiness,
    ),
    Route(
        method="GET",
        path="/version",
        handler=show_version,
        auth="public",
        summary="Program and version",
        response=Version,
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=metrics,
        auth="local",
        summary="Figures for Prometheus",
        response_content_type="text/plain",
    ),
    Route(
        method="GET",
        path="/openapi.json",
        handler=openapi,
        auth="public",
        summary="This description as an OpenAPI 3.1 document",
        response=dict[str, Any],
    ),
)
