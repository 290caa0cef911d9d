"""People's devices: they read and acknowledge their mailbox, and ask again when their node does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from federation.rows import MailboxRow
from protocol.errors import UnavailableError
from tests.node.exchange.world import Somebody

from .company import Company
from .faults import Faults

T = TypeVar("T")

#: Seconds until a device looks at what arrived, and until it asks a node again that was down.
LOOKS_S: Final = (0.5, 60.0)
ASKS_AGAIN_S: Final = (1.0, 30.0)


class Device:
    """One person's only device; what it has read it keeps."""

    def __init__(self, company: Company, person: Somebody, faults: Faults) -> None:
        self.company: Final = company
        self.person: Final = person
        self.read: Final[list[MailboxRow]] = []
        self.on_entry: Callable[[MailboxRow], None] = lambda _: None
        #: What to do with an entry of one thread.
        self.on_thread: Final[dict[str, Callable[[MailboxRow], None]]] = {}
        self.faults: Final = faults
        self.reading: asyncio.Task[None] | None = None
        self._news: Final[dict[str, asyncio.Event]] = {}
        self._rung = False
        company.rings[person.label] = self._ring

    @property
    def name(self) -> str:
        """Who it is, for the trace."""
        return self.person.name

    def note(self, what: str, thread: str) -> None:
        """Write a line of the trace."""
        self.faults.note(self.company.elapsed(), self.name, what, thread)

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what the node answers, asking again while it does not. Raises: MeshError."""
        while True:
            try:
                return await self.company.serve(work)
            except UnavailableError as error:
                if error.code != "node-down":
                    raise
                await self.pause(*ASKS_AGAIN_S)

    async def pause(self, least_s: float, most_s: float) -> None:
        """Wait a random time."""
        await self.company.clock.sleep(self.faults.dice.uniform(least_s, most_s))

    async def news(self, thread: str, *, within_s: float) -> None:
        """Return when something of a thread was read, or after a while."""
        event = self._news.setdefault(thread, asyncio.Event())
        try:
            async with asyncio.timeout(within_s):
                await event.wait()
        except TimeoutError:
            return
        event.clear()

    def _ring(self) -> None:
        self._rung = True
        if self.reading is None:
            self.reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        while self._rung:
            await self.pause(*LOOKS_S)
            self._rung = False
            while rows := await self.insist(self._fetch):
                for row in rows:
                    self._take(row)
                await self.insist(self._acknowledge)
        self.reading = None

    async def _fetch(self) -> list[MailboxRow]:
        return await self.company.exchanging.mailboxes.wait(self.person.label, self._cursor(), 0)

    async def _acknowledge(self) -> None:
        device = self.person.device_id
        mailboxes = self.company.exchanging.mailboxes
        await mailboxes.acknowledge(self.person.label, device, self._cursor(), devices=(device,))

    def _cursor(self) -> int:
        return self.read[-1].cursor if self.read else 0

    def _take(self, row: MailboxRow) -> None:
        self.read.append(row)
        self._news.setdefault(row.thread, asyncio.Event()).set()
        self.on_thread.get(row.thread, self.on_entry)(row)
