"""A network that loses, doubles, delays and reorders what nodes send, and cuts some of them off for a while."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from federation.calls import Answer
from federation.directory import Peer
from federation.returning import BACK_PATH
from node.services.exchange import MESSAGES_PATH
from protocol.envelope import KIND_SESSION, parse_envelope
from protocol.errors import UnavailableError
from protocol.messages import parse_item, split_batch
from tests.node.exchange.world import Calls, Network

from .company import Company
from .faults import Faults
from .loop import LoopClock

#: A sender waits so many seconds for an answer.
TIMEOUT_S: Final = 10.0
#: And so many for a connection to a node that it is cut off from.
CUT_OFF_S: Final = 30.0
#: A copy, or a request that its sender has given up, arrives up to so many seconds later.
LATE_S: Final = 120.0


class Wires(Network):
    """All ways between the companies of a run."""

    def __init__(self, faults: Faults, clock: LoopClock) -> None:
        super().__init__()
        self.faults: Final = faults
        self.clock: Final = clock
        self.late: Final[dict[asyncio.Task[None], None]] = {}

    def calls(self, sender: str) -> "FaultyCalls":
        """Return the calls of one node."""
        return FaultyCalls(self, sender)

    def company(self, entity: str) -> Company:
        """Return a node of the run."""
        node = self.nodes[entity]
        assert isinstance(node, Company)
        return node

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something arrive of which nobody waits for the answer."""
        task = asyncio.get_running_loop().create_task(work)
        self.late[task] = None
        task.add_done_callback(self.late.pop)


class FaultyCalls(Calls):
    """The calls of one node."""

    def __init__(self, wires: Wires, sender: str) -> None:
        super().__init__(wires, sender)
        self._wires: Final = wires

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
        """Return the other node's answer, if request and answer arrive."""
        del limit, accept
        faults, clock = self._wires.faults, self._wires.clock
        to = peer.entity
        if faults.parted(self._sender, to, at=clock.elapsed()):
            self._note(to, target, body, "is cut off from")
            await self._silence(CUT_OFF_S)
        if faults.hits("drop"):
            self._note(to, target, body, "is not heard by")
            await self._silence()
        if faults.hits("reorder"):
            self._note(to, target, body, "gives up, and is heard later by")
            self._wires.later(self._late(peer, target, body, content_type))
            await self._silence()
        if faults.hits("duplicate"):
            self._note(to, target, body, "is heard twice by")
            self._wires.later(self._late(peer, target, body, content_type))
        latency_s = faults.dice.uniform(1, 9) if faults.hits("delay") else faults.dice.uniform(0.01, 0.2)
        await clock.sleep(latency_s)
        answer = await self._arrive(peer, target, body, content_type)
        if faults.hits("lost_answer"):
            self._note(to, target, body, "does not hear the answer of")
            await self._silence()
        await clock.sleep(latency_s)
        return answer

    async def _silence(self, seconds: float = TIMEOUT_S) -> None:
        await self._wires.clock.sleep(seconds)
        raise UnavailableError("no answer", code="peer-down")

    async def _late(self, peer: Peer, target: str, body: bytes, content_type: str) -> None:
        await self._wires.clock.sleep(self._wires.faults.dice.uniform(1, LATE_S))
        try:
            await self._arrive(peer, target, body, content_type)
        except Exception as error:  # noqa: BLE001 -- nobody hears the answer
            self._note(peer.entity, target, body, f"would have heard {error!r} from")

    async def _arrive(self, peer: Peer, target: str, body: bytes, content_type: str) -> Answer:
        company = self._wires.company(peer.entity)
        self._note(peer.entity, target, body, "reaches")

        async def receive() -> Answer:
            company.exchanging.outbox.back(self._sender)
            return await Calls.post(self, peer, target, body, content_type)

        return await company.serve(receive)

    def _note(self, to: str, target: str, body: bytes, what: str) -> None:
        name, receiver = self._wires.company(self._sender).name, self._wires.company(to).name

        def told() -> tuple[str, tuple[str, ...]]:
            if target == BACK_PATH:
                return f"{what} {receiver}: I am back", ()
            heads = [_head(item) for item in (split_batch(body) if target == MESSAGES_PATH else [body])]
            words = ", ".join(words for words, _ in heads)
            return f"{what} {receiver}: {words}", tuple(dict.fromkeys(thread for _, thread in heads))

        self._wires.faults.note_later(self._wires.clock.elapsed(), name, told)


def _head(item: bytes) -> tuple[str, str]:
    """Return what an item is and its thread."""
    if item[0] == KIND_SESSION:
        header = parse_envelope(item).header
        return f"envelope {header.seq} of the {header.side}", header.thread
    head = parse_item(item).claimed
    return f"{head.type} {head.seq}", head.thread
