"""One organization's node with its people, as `process.py` runs it."""

from collections.abc import Callable
from typing import Final, TypeVar

from msgspec.structs import replace

from federation.rows import MailboxHeadRow
from node.sections import HandshakeSection
from node.store.blobs import BlobFiles
from protocol.concepts import Vocabulary
from protocol.signing import VerifyKey
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore
from tests.node.exchange.world import Network, TestNode

from .faults import Faults
from .loop import LoopClock
from .process import Process

R = TypeVar("R")

SWEEP_EVERY_S: Final = 300.0
#: Times of a seed by which quotes, answers and both sides' patience end.
CLOCKS: Final = HandshakeSection(
    tick_ms=250, flush_s=10, quote_valid_s=300, deadline_s=900, expiry_grace_s=120, quota_least=1000
)


class HereFiles(BlobFiles):
    """Files without threads, whose time the loop here does not know; the simulated people send none."""

    async def _run(self, work: Callable[[], R]) -> R:
        return work()


class Company(Process, TestNode):
    """One organization's node, which serves its people and peers while it lives."""

    def __init__(
        self, name: str, network: Network, vocabulary: Vocabulary, clock: LoopClock, faults: Faults, seed: int
    ) -> None:
        Process.__init__(self, name, faults)
        TestNode.__init__(self, name, network, vocabulary, clock, MemoryStore(self.tables), seed, CLOCKS)
        self._seed: Final = seed
        files = HereFiles(network.folder / name, least_free_bytes=0, now=clock.now)
        self.around = replace(self.around, blobs=files)

    async def begin(self) -> None:
        """Begin the first life; who makes the company has laid its rows on the disk."""
        self.start()

    async def rest(self) -> None:
        """Let everybody look at the rows for the last time."""

    def start(self) -> None:
        """Begin a life with what the disk holds."""
        store = self.open_disk()
        self.restart(store, SeededEntropy(self._seed + self.lives * 1000))
        for job in (self.exchanging.outbox.run, self._sweep):
            self._own(job).add_done_callback(lambda _: None)

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep(SWEEP_EVERY_S)
            await self.exchanging.sweep()

    def count(self, event: str) -> int:
        """Return how often the node, over all its lives, counted an event."""
        samples = next(iter(self.around.events.metrics.events.collect())).samples
        return sum(round(one.value) for one in samples if one.name.endswith("_total") and one.labels["event"] == event)

    def peer_key(self, entity: str) -> VerifyKey:
        """Return the key by which a node signs messages."""
        if entity == self.entity:
            return self.keys.envelope_sign.public
        return VerifyKey.parse(self.directory.get(entity).document.keys.envelope_sign)

    def head(self, label: str) -> int:
        """Return the last cursor given in a mailbox."""
        row = self.row(MailboxHeadRow, label)
        return row.cursor if isinstance(row, MailboxHeadRow) else 0
