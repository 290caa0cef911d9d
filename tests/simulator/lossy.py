"""Calls between the nodes of a consortium that lose requests and answers.

A call that got no answer is made again, three times in all, as connections are; then it has failed for this time.
"""

from typing import Final, Protocol

from federation.calls import Answer, Contact
from federation.directory import Peer
from protocol.errors import UnavailableError

from .faults import FaultKind, Faults
from .loop import LoopClock

#: A sender waits so many seconds for an answer, and so many before the next try.
TIMEOUT_S: Final = 10.0
PAUSE_S: Final = (1.0, 20.0)
TRIES: Final = 3
#: How often what happens to a call, and a crash at each side of a commit.
RATES: Final[dict[FaultKind, float]] = {"drop": 0.08, "lost_answer": 0.08, "delay": 0.15, "crash": 0.006}


class Asked(Protocol):
    """Somebody who answers; `sender` is empty for a call that nobody signed."""

    @property
    def name(self) -> str:
        """Who it is, for the trace."""
        ...

    async def answer(self, sender: str, target: str, body: bytes, *, etag: str = "") -> Answer:
        """Return the answer. Raises: MeshError: what the problem in an answer stands for."""
        ...


class Lines:
    """All ways between the nodes of a run."""

    def __init__(self, faults: Faults, clock: LoopClock) -> None:
        self.faults: Final = faults
        self.clock: Final = clock
        self.nodes: Final[dict[str, Asked]] = {}

    def calls(self, sender: str) -> "LossyCalls":
        """Return the calls of one node."""
        return LossyCalls(self, sender)


class LossyCalls:
    """`federation.calls.Calls` and `PublicCalls` of one node."""

    def __init__(self, lines: Lines, sender: str) -> None:
        self._lines: Final = lines
        self._sender: Final = sender

    async def get(
        self, peer: Peer, target: str, *, limit: int | None = None, etag: str | None = None, signed: bool = True
    ) -> Answer:
        """Return the answer to a GET."""
        del signed
        return _bounded(await self._ask(peer.entity, target, b"", etag=etag or ""), limit)

    async def post(
        self,
        peer: Peer,
        target: str,
        body: bytes,
        content_type: str,
        *,
        limit: int | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """Return the answer to a POST."""
        del content_type, accept
        return _bounded(await self._ask(peer.entity, target, body), limit)

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:
        """Return a public resource."""
        return _bounded(await self._ask(contact.api, target, b""), limit)

    async def submit(self, contact: Contact, target: str, body: bytes, *, limit: int | None = None) -> Answer:
        """Return the answer to a POST that nobody signed."""
        return _bounded(await self._ask(contact.api, target, body), limit)

    async def _ask(self, to: str, target: str, body: bytes, *, etag: str = "") -> Answer:
        for _ in range(TRIES):
            try:
                return await self._once(to, target, body, etag)
            except UnavailableError as error:
                if error.code != "node-down":
                    raise
                await self._lines.clock.sleep(self._lines.faults.dice.uniform(*PAUSE_S))
        raise UnavailableError("no answer", code="peer-down")

    async def _once(self, to: str, target: str, body: bytes, etag: str) -> Answer:
        faults, clock = self._lines.faults, self._lines.clock
        if faults.hits("drop"):
            return await self._silence("is not heard by", to, target)
        latency_s = faults.dice.uniform(1, 9) if faults.hits("delay") else faults.dice.uniform(0.01, 0.2)
        await clock.sleep(latency_s)
        answer = await self._lines.nodes[to].answer(self._sender, target, body, etag=etag)
        if faults.hits("lost_answer"):
            return await self._silence("does not hear the answer of", to, target)
        await clock.sleep(latency_s)
        return answer

    async def _silence(self, what: str, to: str, target: str) -> Answer:
        names = self._lines.nodes[self._sender].name, self._lines.nodes[to].name
        self._lines.faults.note(self._lines.clock.elapsed(), names[0], f"{what} {names[1]}: {target}")
        await self._lines.clock.sleep(TIMEOUT_S)
        raise UnavailableError("no answer", code="node-down")


def _bounded(answer: Answer, limit: int | None) -> Answer:
    assert limit is None or len(answer.body) <= limit, "an honest answer keeps to the bounds"
    return answer
