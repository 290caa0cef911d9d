"""The state of a node in a few figures that say nothing about a person."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from federation.ports import Row

from .jobs import JobReport, Jobs
from .operations import Command, Operation
from .rows import MetaRow
from .sections import Config
from .store.opening import NodeStore
from .store.processes import Process
from .version import version


class ShowStatus(Command, frozen=True, kw_only=True):
    """Ask for the status."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an administrator should look at, in a sentence and with what to do."""

    about: str
    detail: str
    fix: str


class LogStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The log that grows: its newest checkpoint, and leaves that no checkpoint covers yet.

    `problem` is the code of the error that keeps it from growing, which only the process knows that signs it: the one
    on duty. `root` is base64url.
    """

    origin: str
    vkey: str
    size: int
    root: str
    signed_at: int | None
    waiting: int
    problem: str
    on_duty: bool = True


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the node is; `counts` are rows of a few kinds, by what they are called.

    `processes` are all that serve the node, where several may.
    """

    name: str
    entity: str
    version: str
    listen: str
    pages: str
    generation: int
    database_bytes: int
    counts: dict[str, int]
    jobs: tuple[JobReport, ...]
    alerts: tuple[Alert, ...] = ()
    processes: tuple[Process, ...] = ()


class Status:
    """Answers how one node is."""

    def __init__(
        self,
        config: Config,
        page_base: str,
        store: NodeStore,
        jobs: Jobs,
        *,
        counted: Mapping[str, type[Row]],
        alerts: Callable[[], Awaitable[tuple[Alert, ...]]],
        processes: Callable[[], Awaitable[tuple[Process, ...]]],
    ) -> None:
        self._alerts = alerts
        self._processes = processes
        self._page_base = page_base
        self._config = config
        self._store = store
        self._jobs = jobs
        self._counted = counted

    async def show(self, _: ShowStatus) -> NodeStatus:
        """Return the state of the node now."""
        async with self._store.read() as reader:
            meta = await reader.find(MetaRow)
            counts = {name: await reader.count(kind) for name, kind in self._counted.items()}
        config = self._config
        return NodeStatus(
            name=config.name,
            entity=config.node.entity,
            version=version(),
            listen=config.node.listen,
            pages=self._page_base,
            generation=meta[0].generation if meta else 0,
            database_bytes=await self._store.size_bytes(),
            counts=counts,
            jobs=self._jobs.report(),
            alerts=await self._alerts(),
            processes=await self._processes(),
        )

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can ask here."""
        return (
            Operation(
                name="node.status",
                summary="How the node is",
                request=ShowStatus,
                response=NodeStatus,
                run=self.show,
            ),
        )
