"""Whether a node can do its work right now: what readiness, status and the self-check all ask."""

from typing import Literal

import msgspec

from federation.ports import Store
from protocol.errors import MeshError

from .beside import Beside
from .jobs import JobReport, Jobs
from .rows import MetaRow

#: So many failures in a row make a job count as down.
DOWN_AFTER = 3


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """`{"ready":true,"store":"ok","jobs":"ok","on_duty":true}`; nothing here is about a person or a peer.

    `on_duty`: of several processes of a node, this one does what one alone does for all.
    """

    ready: bool
    store: Literal["ok", "unavailable"]
    jobs: Literal["ok", "failing"]
    on_duty: bool = True


class Health:
    """Looks at the store and the jobs of one node."""

    def __init__(self, store: Store, jobs: Jobs, beside: Beside) -> None:
        self._store = store
        self._jobs = jobs
        self._beside = beside

    async def readiness(self) -> Readiness:
        """Return whether requests can be answered and background work goes on."""
        store: Literal["ok", "unavailable"] = "ok" if await self._readable() else "unavailable"
        jobs: Literal["ok", "failing"] = "failing" if any(map(is_down, self._jobs.report())) else "ok"
        ready = store == "ok" and jobs == "ok"
        return Readiness(ready=ready, store=store, jobs=jobs, on_duty=self._beside.on_duty)

    async def _readable(self) -> bool:
        try:
            async with self._store.read() as reader:
                await reader.count(MetaRow)
        except MeshError:
            return False
        return True


def is_down(report: JobReport) -> bool:
    """Return whether a job fails again and again."""
    return report.state == "waiting" and report.failures >= DOWN_AFTER
