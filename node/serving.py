"""Runs a node until it is told to stop: lock, listen, say ready, work, stop within ten seconds."""

import asyncio
import gc
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from protocol.errors import RefusedError

from . import config as configuration
from . import lock as locking
from .api.app import build_app
from .api.server import REQUEST_SHARE, Runner, bind
from .app import Node, open_node
from .clock import SystemClock
from .config import is_loopback
from .sections import Config
from .store.errors import DatabaseInUseError, TakenOverError
from .store.opening import NodeStore, wait_for_turn
from .telemetry import adopt_library_logs
from .version import version

#: Objects made between two looks of the garbage collector at the young ones.
YOUNG: Final = 10_000
#: Why a node stops that another process has taken the place of.
LOST: Final = "taken-over"
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared, not listened on


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Said once a node answers: `{"event":"ready","name":"aurora","url":"http://127.0.0.1:8440","pages":"…"}`."""

    event: str = "ready"
    name: str
    entity: str
    url: str
    pages: str


async def serve(
    directory: Path, environment: Mapping[str, str], *, announce: Callable[[Ready], None], standby: bool = False
) -> None:
    """Serve the node in `directory` until SIGTERM or SIGINT, or until this task is cancelled.

    Args:
        standby: wait until no other process serves the node.

    Raises:
        TakenOverError: another process has the database by now; this one has stopped.
        MeshError: the node cannot start; the message says why and what to do.
    """
    config = configuration.load(directory, environment)
    with locking.hold(directory, places=locking.PLACES if config.store.several else 1) as lock:
        if standby:
            notify_supervisor("READY=1\nSTATUS=standby")
        while standby:
            await wait_for_turn(directory, config.store, clock=SystemClock())
            with suppress(DatabaseInUseError):  # somebody else was quicker
                return await _listen_and_serve(directory, config, lock, announce)
        return await _listen_and_serve(directory, config, lock, announce)


async def _listen_and_serve(
    directory: Path, config: Config, lock: locking.Lock, announce: Callable[[Ready], None]
) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in listening(config)]
        port = int(sockets[0].getsockname()[1])
        async with open_node(directory, config, port=port) as node:
            adopt_library_logs(node.base.events.log)
            await _serve(node, sockets, lock, announce)


async def _serve(
    node: Node, sockets: Sequence[socket.socket], lock: locking.Lock, announce: Callable[[Ready], None]
) -> None:
    base, limits = node.base, node.base.config.limits
    runner = Runner(build_app(node), limits=limits, gauge=base.events.metrics.connections)
    reason = "failed"
    try:
        with _end_signals() as told:
            await _start(node, runner, sockets)
            spare_collector()
            ready = announcement(base.config, base.port)
            lock.publish(ready.url)
            base.events.node_ready(entity=ready.entity, url=ready.url, version=version())
            announce(ready)
            notify_supervisor("READY=1")
            watch = asyncio.create_task(_tell_loss(base.store, told), name="watch of the database")
            try:
                reason = await told
            finally:
                watch.cancel()
    finally:
        notify_supervisor("STOPPING=1")
        base.events.node_stopping(reason=reason)
        await runner.cleanup()
        unfinished = await base.jobs.stop(limits.stop_s * (1 - 2 * REQUEST_SHARE))
        base.events.node_stopped(unfinished=unfinished)
    if reason == LOST:
        raise TakenOverError("another process serves this node now, and this one has stopped")


async def _tell_loss(store: NodeStore, told: asyncio.Future[str]) -> None:
    await store.lost()
    if not told.done():
        told.set_result(LOST)


async def _start(node: Node, runner: Runner, sockets: Sequence[socket.socket]) -> None:
    base = node.base
    tls = tls_context(base.directory, base.config)
    await runner.setup()
    for one in sockets:
        await runner.listen(one, tls=tls)
    node.start_jobs()


def spare_collector() -> None:
    """Take what start-up made, which lives as long as the process, out of the garbage collector's rounds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)


@contextmanager
def _end_signals() -> Iterator[asyncio.Future[str]]:
    """Yield what will hold the name of the signal that ends the node."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def tell(name: str) -> None:
        if not told.done():
            told.set_result(name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell, number.name)
    try:
        yield told
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def listening(config: Config) -> tuple[socket.socket, ...]:
    """Return the sockets of a node; an address of the network is joined by loopback, where the operator comes in."""
    first = bind(config.listen_host, config.listen_port)
    if is_loopback(config.listen_host) or config.listen_host in _WILDCARDS:
        return (first,)
    try:
        return first, bind("127.0.0.1", int(first.getsockname()[1]))
    except RefusedError:
        first.close()
        raise


def announcement(config: Config, port: int) -> Ready:
    """Return where the node is, as this machine sees it."""
    scheme = "https" if config.tls.certificate else "http"
    host = config.listen_host if is_loopback(config.listen_host) else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return Ready(
        name=config.name, entity=config.node.entity, url=f"{scheme}://{shown}:{port}", pages=config.page_base(port)
    )


def tls_context(directory: Path, config: Config) -> ssl.SSLContext | None:
    """Return the TLS side of the listening socket; None where the configuration names no certificate.

    Raises: RefusedError: the files are missing, unreadable or do not belong together.
    """
    if not config.tls.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(directory / config.tls.certificate, directory / config.tls.key)
    except (OSError, ssl.SSLError):
        raise RefusedError("[tls] certificate and key cannot be read, or do not belong together", code="tls") from None
    return context


def notify_supervisor(state: str) -> None:
    """Tell systemd (`Type=notify`) how far the node is; without a supervisor nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.connect("\0" + address[1:] if address.startswith("@") else address)
        channel.sendall(state.encode("ascii"))
