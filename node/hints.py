"""What one process hears of a peer and another one needs: passed on as hints, which may be lost and save a wait."""

import asyncio
from contextlib import suppress
from typing import Final

import msgspec

from federation.logwatch import LogWatch
from federation.mirror import MirrorService
from federation.outbox import Outbox
from federation.ports import Clock
from federation.returning import Returning
from protocol.encoding import decode, encode
from protocol.errors import MeshError
from protocol.messages import CheckpointRef

from .beside import Beside

#: The others hear of one peer's contact no more often.
GAP_MS: Final = 1000


class _Nudge(msgspec.Struct, frozen=True, kw_only=True):
    peer: str
    body: str


class _Reference(msgspec.Struct, frozen=True, kw_only=True):
    peer: str
    checkpoint: CheckpointRef


class Hints:
    """Takes what peers let this process know, does what it does with it, and passes it on."""

    def __init__(
        self,
        beside: Beside,
        clock: Clock,
        *,
        outbox: Outbox,
        returning: Returning,
        mirror: MirrorService,
        watch: LogWatch,
    ) -> None:
        self._beside: Final = beside
        self._clock: Final = clock
        self._outbox: Final = outbox
        self._mirror: Final = mirror
        self._watch: Final = watch
        self._told_ms: Final[dict[str, int]] = {}
        self._referred: Final[dict[str, CheckpointRef]] = {}
        self._taking: Final[set[asyncio.Task[None]]] = set()
        beside.on_hint("met", outbox.back)
        beside.on_hint("looked", mirror.back)
        beside.on_hint("returned", lambda _: returning.hear())
        beside.on_hint("nudge", self._hear_nudge)
        beside.on_hint("refer", self._hear_reference)

    def met(self, peer: str) -> None:
        """A peer asked something: what waits for it is sent now."""
        self._outbox.back(peer)
        self._pass_on("met", peer)

    def looked(self, peer: str) -> None:
        """A peer asked for a set: its own may be had again."""
        self._mirror.back(peer)
        self._pass_on("looked", peer)

    def returned(self, peer: str) -> None:
        """A peer said that it is back."""
        self._beside.hint("returned", peer)

    async def nudged(self, peer: str, body: bytes) -> None:
        """Take a peer's word that a set has changed. Raises: as `MirrorService.nudged`."""
        await self._mirror.nudged(peer, body)
        self._beside.hint("nudge", encode(_Nudge(peer=peer, body=body.decode("ascii"))).decode())

    def refer(self, peer: str, reference: CheckpointRef) -> None:
        """Take the checkpoint that a message refers to."""
        self._watch.refer(peer, reference)
        if self._beside.several and self._referred.get(peer) != reference:
            self._referred[peer] = reference
            self._beside.hint("refer", encode(_Reference(peer=peer, checkpoint=reference)).decode())

    def _pass_on(self, what: str, peer: str) -> None:
        now_ms = self._clock.now_ms()
        if self._beside.several and now_ms - self._told_ms.get(what + peer, 0) >= GAP_MS:
            self._told_ms[what + peer] = now_ms
            self._beside.hint(what, peer)

    def _hear_reference(self, text: str) -> None:
        try:
            heard = decode(text.encode(), _Reference, what="hint")
        except MeshError:
            return
        self._watch.refer(heard.peer, heard.checkpoint)

    def _hear_nudge(self, text: str) -> None:
        try:
            heard = decode(text.encode(), _Nudge, what="hint")
        except MeshError:
            return
        task = asyncio.create_task(self._take(heard), name="nudge")
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _take(self, heard: _Nudge) -> None:
        with suppress(MeshError):
            await self._mirror.nudged(heard.peer, heard.body.encode())
