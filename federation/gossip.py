"""Gossip: what peers hold of the logs and heads that this node holds too, so that nobody is told a story of their own.

Each round every peer is asked for the newest checkpoints it holds, and for the signed head wherever its answer to
`GET head` named another head than ours. Source: docs/protocol/53-witnesses.md §9, docs/protocol/12-set-heads.md §8.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Final

import msgspec

from protocol.encoding import Wire, decode, encode
from protocol.errors import MalformedError, MeshError, MissingError, UnavailableError
from protocol.heads import SetKind, open_head
from protocol.ids import entity_host
from protocol.logleaves import is_log_of
from protocol.signing import Signer, VerifyKey
from protocol.tlog.checkpoint import CheckpointNote, parse_checkpoint

from .directory import PeerDirectory
from .evidence import EvidenceService
from .knownlogs import KnownLogs
from .logwatch import LogWatch
from .mirror import MirrorStatus
from .ownlog import OwnLog
from .ports import Clock, Entropy, Store, where
from .rows import MirrorRow, SetHeadRow, WatchedLogRow, WitnessedLogRow
from .sets import BASE, AudienceBook, Fetch
from .waiting import within

CHECKPOINTS_PATH: Final = f"{BASE}/checkpoints"
#: Checkpoints in one answer; of more logs another part is told each time.
MOST: Final = 256
MAX_ANSWER_BYTES: Final = 512 * 1024
MAX_HEAD_BYTES: Final = 16_384
AT_ONCE: Final = 8
#: Claims about heads of others that are followed up for one peer in a round, and seconds for each half of its turn.
MOST_CLAIMS: Final = 8
TURN_S: Final = 60.0

_Text = Annotated[str, msgspec.Meta(max_length=1536)]


class Checkpoints(Wire, frozen=True, kw_only=True):
    """The newest checkpoints of other logs that a node holds, as their logs signed them: `{"checkpoints":["…"]}`."""

    checkpoints: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=MOST)] = ()


def open_checkpoints(data: bytes) -> tuple[CheckpointNote, ...]:
    """Return the checkpoints of an answer, one of each log; none is verified yet. Raises: MalformedError."""
    listed = decode(data, Checkpoints, what="checkpoints").checkpoints
    found = tuple(parse_checkpoint(each.encode()) for each in listed)
    if len({each.checkpoint.origin for each in found}) != len(found):
        raise MalformedError("checkpoints: a log stands there twice")
    return found


def heads_path(audience: str, kind: str, origin: str) -> str:
    """Return the path of the head that a peer holds of somebody's set."""
    return f"{BASE}/sets/{audience}/{kind}/heads/{entity_host(origin)}"


class Gossip:
    """What one node tells about others, and asks others about them."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        *,
        directory: PeerDirectory,
        logs: KnownLogs,
        watch: LogWatch,
        evidence: EvidenceService,
        own_log: OwnLog,
        fetch: Fetch,
        audiences: AudienceBook,
        own: str,
        own_key: Callable[[], VerifyKey],
    ) -> None:
        """`own_key` gives the node's `log` key."""
        self._store: Final = store
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._directory: Final = directory
        self._logs: Final = logs
        self._watch: Final = watch
        self._evidence: Final = evidence
        self._own_log: Final = own_log
        self._fetch: Final = fetch
        self._audiences: Final = audiences
        self._own: Final = own
        self._own_key: Final = own_key

    async def answer(self) -> bytes:
        """Return the newest checkpoints held of other logs, a part of them when there are too many."""
        notes = await self._notes({each.origin for each in self._logs.all()})
        if len(notes) > MOST:
            start = int.from_bytes(self._entropy.take(4), "big") % len(notes)
            notes = (notes[start:] + notes[:start])[:MOST]
        return encode(Checkpoints(checkpoints=tuple(note.decode() for note in notes)))

    async def _notes(self, origins: set[str]) -> list[bytes]:
        """Return what watcher or witness hold of these logs, the larger of both, by origin."""
        async with self._store.read() as rows:
            held: list[WatchedLogRow | WitnessedLogRow] = [
                *await rows.find(WatchedLogRow),
                *await rows.find(WitnessedLogRow),
            ]
        largest = {row.origin: row for row in sorted(held, key=lambda row: row.size) if row.origin in origins}
        return [largest[origin].note for origin in sorted(largest)]

    async def ask(self, peer: str) -> tuple[CheckpointNote, ...]:
        """Return what a peer holds of logs; nothing is verified yet. Raises: MeshError."""
        return open_checkpoints(await self._asked(peer, CHECKPOINTS_PATH, limit=MAX_ANSWER_BYTES))

    async def _asked(self, peer: str, path: str, *, limit: int) -> bytes:
        """Return what a peer answers, to the second time when the first answer is lost: a round is long."""
        try:
            return (await self._fetch(peer, path, "", limit=limit, signed=True)).body
        except UnavailableError:
            return (await self._fetch(peer, path, "", limit=limit, signed=True)).body

    async def round(self, mirrored: tuple[MirrorStatus, ...] = ()) -> None:
        """Ask every peer once, several at a time; a peer that does not answer is asked in the next round.

        `mirrored` tells of which heads a peer holds another one than this node (`MirrorService.status`).
        """
        limit = asyncio.Semaphore(AT_ONCE)
        now = self._clock.now()
        peers = [each.entity for each in self._directory.all() if each.mode_at(now) != "blocked"]
        await asyncio.gather(*(self._within(limit, partial(self._talk, each)) for each in peers if each != self._own))
        claims: dict[str, list[tuple[MirrorStatus, str]]] = {}
        for status in mirrored:
            claims.setdefault(status.peer, []).extend((status, origin) for origin in status.contradicted)
        await asyncio.gather(*(self._within(limit, partial(self._follow_up, each)) for each in claims.values()))

    async def _within(self, limit: asyncio.Semaphore, turn: Callable[[], Awaitable[None]]) -> None:
        """Let one peer have its turn; what it claims may be false, and it may take its time."""
        async with limit:
            with suppress(MeshError):
                async with within(TURN_S, "the peer is too slow", code="peer-slow"):
                    await turn()

    async def _talk(self, peer: str) -> None:
        """Compare what a peer holds, last of all what waits for slow logs: they must not use up the peer's turn."""
        held = await self.ask(peer)
        shown = iter(sorted(held, key=lambda each: self._watch.looks.cost(each.checkpoint.origin)))

        async def compare() -> None:
            for each in shown:
                await self.hear(peer, each)

        await asyncio.gather(*(compare() for _ in range(AT_ONCE)))

    async def _follow_up(self, claims: list[tuple[MirrorStatus, str]]) -> None:
        """Compare some of the heads that a peer says to hold otherwise, others in each round."""
        start = int.from_bytes(self._entropy.take(4), "big") % len(claims) if claims else 0
        for status, origin in (claims[start:] + claims[:start])[:MOST_CLAIMS]:
            await self._compare_head(status, origin)

    async def hear(self, peer: str, found: CheckpointNote) -> None:
        """Take one checkpoint that a peer holds; what its log did not sign means nothing."""
        origin = found.checkpoint.origin
        try:
            if is_log_of(self._own, origin):
                await self._own_log.hear(found, said_by=peer)
            elif (log := self._logs.of(origin)) is not None:
                await self._watch.consider(log, found)
        except MeshError:
            return  # the watch keeps what it found, and asks the log again

    async def _compare_head(self, status: MirrorStatus, origin: str) -> None:
        """Fetch the head that a peer holds of somebody's set, and keep the evidence if that one signed both."""
        kind: SetKind = msgspec.convert(status.kind, SetKind)
        path = heads_path(status.audience, kind, origin)
        try:
            theirs = (await self._asked(status.peer, path, limit=MAX_HEAD_BYTES)).decode("ascii")
            head = open_head(theirs, self._key(origin), origin=origin, audience=status.audience, kind=kind)
            ours = await self._held(status.audience, kind, origin, head.seq)
            if ours and origin != self._own:
                await self._evidence.record(await self._evidence.two_heads(origin, ours, theirs))
        except (MeshError, UnicodeDecodeError):
            return  # no head of that origin, or no contradiction any more: the next answer tells anew

    def _key(self, origin: str) -> Signer:
        if origin == self._own:
            return self._own_key()
        return self._directory.get(origin).document.log_keys

    async def _held(self, audience: str, kind: str, origin: str, seq: int) -> str:
        async with self._store.read() as rows:
            row = await rows.get(MirrorRow, origin, audience, kind)
        return row.head if row is not None and row.seq == seq else ""

    async def held_head(self, audience: str, kind: str, host: str, requester: str) -> bytes:
        """Return the head held of the set of the member with this host, for another member of the audience.

        Raises: MissingError: no such set for this peer, or nothing is held of it.
        """
        known = {one.id: one.members for one in await self._audiences.audiences()}
        if requester not in known.get(audience, frozenset()):
            raise MissingError("no such set")
        async with self._store.read() as rows:
            row: MirrorRow | SetHeadRow | None = await rows.get(MirrorRow, f"https://{host}", audience, kind)
            if host == entity_host(self._own):
                found = await rows.find(SetHeadRow, where(audience=audience, kind=kind), order="-seq", limit=1)
                row = found[0] if found else None
        if row is None:
            raise MissingError("no such set")
        return row.head.encode("ascii")
