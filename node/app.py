"""The composition root: the only place where the parts of a node are made and joined.

`open_node` makes a node on its directory without listening, for commands; `node/serving.py` adds sockets and jobs.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from federation.ports import Clock, Entropy, Store

from .api.bodies import BODY_LIMITS, BodyLimits
from .api.hosts import HOSTS, Hosts
from .api.middleware import Edge
from .api.operations import HEALTH, METRICS
from .api.operator import OPERATOR, Operator, local_guard, operator_guard
from .api.routes import Auth, Guard, add_routes
from .api.table import ALL_ROUTES
from .clock import SystemClock, SystemEntropy
from .events import Events
from .health import Health
from .jobs import Jobs
from .keys import KeyRing, load_keys, operator_token
from .operations import Operations
from .sections import Config
from .status import Status
from .store.sqlite import SqliteStore
from .telemetry import Log, Metrics, make_log


class Node:
    """One organization's node, all its parts joined; nothing runs yet."""

    def __init__(
        self,
        directory: Path,
        config: Config,
        store: Store,
        *,
        port: int,
        clock: Clock,
        entropy: Entropy,
        log: Log,
    ) -> None:
        self.directory: Final = directory
        self.config: Final = config
        self.port: Final = port
        self.page_base: Final = config.page_base(port)
        self.clock: Final = clock
        self.entropy: Final = entropy
        self.store: Final = store
        self.keys: Final[KeyRing] = load_keys(directory)
        self.events: Final = Events(log, Metrics())
        self.jobs: Final = Jobs(clock, self.events)
        self.health: Final = Health(store, self.jobs)
        self.status: Final = Status(directory, config, self.page_base, store, self.jobs, counted={})
        self.operations: Final = Operations((*self.status.operations(),))

    def start_jobs(self) -> None:
        """Start all background work; `jobs.stop` ends it."""


GUARDS: Final[Mapping[Auth, Guard]] = {"operator": operator_guard, "local": local_guard}


def build_app(node: Node) -> web.Application:
    """Return the HTTP application of `node`."""
    limits = node.config.limits
    https = node.config.api_base.startswith("https://") and not node.config.development.enabled
    edge = Edge(clock=node.clock, entropy=node.entropy, events=node.events, https=https)
    app = web.Application(middlewares=[edge.__call__], client_max_size=limits.batch_bytes)
    app[HOSTS] = Hosts(node.config, node.port)
    app[BODY_LIMITS] = BodyLimits(
        body_bytes=limits.body_bytes, body_s=limits.body_s, in_flight_bytes=limits.in_flight_bytes
    )
    app[HEALTH] = node.health
    app[METRICS] = node.events.metrics
    app[OPERATOR] = Operator(
        token=operator_token(node.directory),
        operations=node.operations,
        events=node.events,
        body_bytes=limits.operator_bytes,
    )
    add_routes(app, ALL_ROUTES, GUARDS)
    return app


@asynccontextmanager
async def open_node(
    directory: Path,
    config: Config,
    *,
    port: int | None = None,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
) -> AsyncIterator[Node]:
    """Open the node in `directory` while inside; the caller holds its lock.

    Args:
        port: where the node really listens, for the addresses it hands out; None: as configured.
    Raises: MeshError: keys, database or settings cannot be used; each says what to do.
    """
    real_clock = clock or SystemClock()
    log = make_log(real_clock, level=config.telemetry.level)
    async with AsyncExitStack() as stack:
        path = directory / config.store.path
        path.parent.mkdir(mode=0o700, exist_ok=True)
        window_s = config.store.commit_window_ms / 1000
        store = await stack.enter_async_context(SqliteStore.open(path, clock=real_clock, window_s=window_s))
        yield Node(
            directory,
            config,
            store,
            port=config.listen_port if port is None else port,
            clock=real_clock,
            entropy=entropy or SystemEntropy(),
            log=log,
        )
