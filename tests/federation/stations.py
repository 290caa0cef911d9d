"""Nodes reduced to what peers see of each other: real HTTP on loopback, real SQLite, a clock that is stepped."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from federation.authenticate import Authenticator
from federation.checkup import Checkup
from federation.client import ClientSettings, PeerClient
from federation.directory import PeerDirectory
from federation.discovery import Discovery
from federation.identity import Own, issue
from federation.peering import PeeringService
from federation.ports import Row, Store
from federation.resolver import GuardedResolver, Lookup
from federation.rows import InviteRow, NonceRow, OwnDocumentRow, PeerRow
from node.api.bodies import BODY_LIMITS, BodyLimits
from node.api.federation import FEDERATION, FEDERATION_ROUTES, Federation, asked_by, peer_guard, unsigned
from node.api.hosts import HOSTS, Hosts
from node.api.middleware import Edge
from node.api.routes import JSON, Route, add_routes
from node.api.server import Runner, bind
from node.events import Events
from node.keys import KeyRing
from node.sections import Config, DevelopmentSection, LimitsSection, NodeSection, OrgSection
from node.services.peers import draft_document
from node.telemetry import Log, Metrics, make_log
from protocol.errors import RefusedError
from protocol.sealing import NodeSealingKey
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.kept import opened
from tests.patience import PATIENCE_S

BATCH: Final = "application/vnd.mentormesh.batch"
TABLES: Final[tuple[type[Row], ...]] = (PeerRow, NonceRow, InviteRow, OwnDocumentRow)
LIMITS: Final = LimitsSection(body_s=0.2, header_s=1.0, stop_s=1.0, batch_bytes=131_072)


def key_ring(name: str) -> KeyRing:
    """Return keys that depend on `name` alone."""

    def seed(role: str) -> bytes:
        return hashlib.sha256(f"{name} {role}".encode()).digest()

    return KeyRing(
        federation=SigningKey(seed("federation")),
        http=SigningKey(seed("http")),
        log=SigningKey(seed("log")),
        envelope_sign=SigningKey(seed("envelope_sign")),
        envelope_seal=NodeSealingKey(seed("sealing")),
        attest=SigningKey(seed("attest")),
        witness=SigningKey(seed("witness")),
        recovery=SigningKey(seed("recovery")).public,
    )


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a test route saw."""

    peer: str
    size: int


async def see(request: web.Request) -> web.Response:
    """Say who asked, without an effect."""
    asked = asked_by(request)
    return web.Response(body=msgspec.json.encode(Seen(peer=asked.peer.entity, size=len(asked.body))), content_type=JSON)


async def act(request: web.Request) -> web.Response:
    """Have an effect: one row, in one transaction with the nonce."""
    asked = asked_by(request)
    async with request.app[STATION].store.write() as tx:
        await asked.spend(tx)
        row = InviteRow(code_hash=asked.nonce.encode(), policy="full", created_at=0, expires_at=1)
        await tx.insert(row)
    return await see(request)


async def refuse(request: web.Request) -> web.Response:
    """Refuse whatever is asked."""
    raise RefusedError(f"no, {asked_by(request).peer.entity}", code="state")


async def page(request: web.Request) -> web.Response:
    """Give immutable data, which carries its own proof."""
    asked_by(request)
    return unsigned(web.Response(body=b"page", content_type="application/zstd"))


TEST_ROUTES: Final = (
    Route(method="GET", path="/federation/v1/see", handler=see, auth="peer", summary="See"),
    Route(
        method="POST",
        path="/federation/v1/messages",
        handler=act,
        auth="peer",
        summary="Act",
        request_content_type=JSON,
    ),
    Route(
        method="POST", path="/federation/v1/batch", handler=act, auth="peer", summary="Act", request_content_type=BATCH
    ),
    Route(method="POST", path="/federation/v1/refuse", handler=refuse, auth="peer", summary="Refuse"),
    Route(method="GET", path="/federation/v1/page", handler=page, auth="peer", summary="Give a page"),
)


class LoudEvents(Events):
    """Keeps what would become a 500, so that a test can end with it."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        super().__init__(log, metrics)
        self.failures: list[Exception] = []

    def request_failed(self, route: str, error: Exception, *, request_id: str) -> None:  # noqa: ARG002 -- Events'
        """A request ended with a mistake of ours."""
        self.failures.append(error)


class Station:
    """One node as its peers see it."""

    def __init__(
        self,
        name: str,
        store: Store,
        own: Own,
        *,
        config: Config,
        keys: KeyRing,
        clock: SteppedClock,
        lookup: Lookup | None = None,
    ) -> None:
        self.name: Final = name
        self.store: Final = store
        self.own: Final = own
        self.keys: Final = keys
        self.clock: Final = clock
        self.entropy: Final = SeededEntropy(sum(name.encode()))
        self.port = 0
        development = config.development.enabled
        resolver = GuardedResolver(lookup) if lookup else GuardedResolver()
        self.directory: Final = PeerDirectory(config.development.connect_to)
        self.client: Final = PeerClient(
            key=keys.http,
            clock=clock,
            entropy=self.entropy,
            settings=ClientSettings(development=development, connect_s=1, read_s=5, total_s=10, answer_bytes=65536),
            resolver=resolver,
        )
        self.peering: Final = PeeringService(
            store=store,
            calls=self.client,
            clock=clock,
            entropy=self.entropy,
            directory=self.directory,
            own=own,
            development=development,
        )
        self.discovery: Final = Discovery(self.client, store, clock, self.directory)
        self.checkup: Final = Checkup(self.client, clock, self.directory, own_entity=own.entity)
        self.authenticator: Final = Authenticator(
            self.directory,
            clock,
            address_per_minute=config.limits.address_per_minute,
            peer_per_minute=config.limits.peer_per_minute,
            not_before=clock.now() - 600,
        )
        self.config: Final = config
        self.events: Final = LoudEvents(make_log(clock, level="error"), Metrics())
        self.federation: Final = Federation(
            authenticator=self.authenticator,
            peering=self.peering,
            discovery=self.discovery,
            own=self.own,
            key=keys.http,
            clock=self.clock,
            entropy=self.entropy,
            batch_bytes=LIMITS.batch_bytes,
            away_s=lambda: 0,
        )
        self._runner: Runner | None = None

    @property
    def entity(self) -> str:
        """The station's entity identifier."""
        return self.own.entity

    async def listen(self) -> None:
        """Answer on a free port, or on the same one again."""
        socket = bind("127.0.0.1", self.port)
        self.port = socket.getsockname()[1]
        self.own.connect_to = f"127.0.0.1:{self.port}" if self.config.development.enabled else ""
        events = self.events
        edge = Edge(clock=self.clock, entropy=self.entropy, events=events)
        app = web.Application(middlewares=[edge.__call__], client_max_size=LIMITS.batch_bytes)
        app[HOSTS] = Hosts(self.config, self.port)
        app[BODY_LIMITS] = BodyLimits(body_bytes=65536, body_s=LIMITS.body_s, in_flight_bytes=10**7)
        app[FEDERATION] = self.federation
        app[STATION] = self
        add_routes(app, (*FEDERATION_ROUTES, *TEST_ROUTES), {"peer": peer_guard})
        self._runner = Runner(app, limits=LIMITS, gauge=events.metrics.connections)
        await self._runner.setup()
        await web.SockSite(self._runner, socket).start()

    async def hang_up(self) -> None:
        """Stop answering."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def rows(self) -> dict[str, list[Row]]:
        """Return all that is stored."""
        async with self.store.read() as reader:
            return {kind.table: [*await reader.find(kind)] for kind in TABLES}


STATION: Final = web.AppKey("tests.station", Station)


@asynccontextmanager
async def station(
    name: str,
    folder: Path,
    clock: SteppedClock,
    *,
    development: bool = True,
    connect_to: Mapping[str, str] | None = None,
    lookup: Lookup | None = None,
    limits: LimitsSection = LIMITS,
    api: str = "",
    entity: str = "",
) -> AsyncIterator[Station]:
    """Run the node `https://NAME.example` while inside."""
    config = Config(
        node=NodeSection(entity=entity or f"https://{name}.example", api_base=api),
        org=OrgSection(display_name=name.title(), countries=("DE",)),
        development=DevelopmentSection(enabled=development, connect_to=dict(connect_to or {})),
        limits=limits,
    )
    keys = key_ring(name)
    (folder / name).mkdir()
    async with opened(folder / name, clock=clock) as store:
        own = await issue(store, draft_document(config, keys), keys.federation, now=clock.now())
        made = Station(name, store, own, config=config, keys=keys, clock=clock, lookup=lookup)
        await made.listen()
        try:
            yield made
        finally:
            await made.client.close()
            await made.hang_up()
        if made.events.failures:
            raise made.events.failures[0]


async def befriend(one: Station, other: Station) -> None:
    """Make peers of two stations: the first invites."""
    made = await one.peering.invite()
    await other.peering.accept(made.ticket)


class RawAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back over a bare socket."""

    status: int
    headers: dict[str, str]
    body: bytes


async def raw(port: int, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> RawAnswer:
    """Send exactly these bytes, then read the answer until the connection closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    if body and not any(name.lower() == "content-length" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    await writer.drain()
    try:
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *fields = head.rstrip().split("\r\n")
            pairs = [field.partition(":") for field in fields]
            received = {name.lower(): value.strip() for name, _, value in pairs}
            rest = await reader.readexactly(int(received.get("content-length", "0")))
    finally:
        writer.close()
    return RawAnswer(status=int(status.split(" ")[1]), headers=received, body=rest)
