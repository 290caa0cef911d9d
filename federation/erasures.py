"""Erasure of directory entries at peers: asked for until every one of them has confirmed, and confirmed to others.

Every entry that leaves a directory is asked about, a decoy's like a person's: otherwise the question would tell which
were people. Source: docs/protocol/13-key-directory.md §8.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, Protocol
from weakref import WeakValueDictionary

from msgspec.structs import replace

from protocol.commitments import commit_all
from protocol.encoding import b64, encode
from protocol.erasure import ERASURES_PATH, MAX_ERASURES, ErasureRequest, open_receipts, open_request, sign_receipts
from protocol.errors import MeshError, RefusedError
from protocol.heads import ENTRY_PURPOSE
from protocol.pages import decode_page
from protocol.signing import SigningKey

from .audiences import JSON
from .calls import Calls
from .directory import PeerDirectory
from .headproofs import KIND
from .limits import Buckets
from .ports import Clock, Store, Writer, at_most, where
from .rows import EntryErasureRow, MirrorPageRow, MirrorRow
from .sets import AudienceBook, Source, SourceBook
from .waiting import sleep_or_wake

#: Pauses between two questions to a peer that did not confirm.
FIRST_RETRY_S: Final = 5
LONGEST_RETRY_S: Final = 3600
LOOK_EVERY_S: Final = 5.0
#: Receipts are kept this long.
KEEP_S: Final = 400 * 86_400
MAX_ANSWER: Final = 128 * 1024
#: A peer's questions at once, and a minute after them: each may read all of its directory here.
BURST: Final = 60
PER_MINUTE: Final = 6


class Looks(Protocol):
    """The mirror, as far as an erasure needs it."""

    async def look(self, source: Source) -> None:
        """Ask one source now unless it was asked a moment ago. Raises: MeshError."""
        ...


class EntryErasures:
    """Both sides of erasing entries: this node's own at its peers, and its peers' here.

    Args:
        key: this node's `attest` key.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        calls: Calls,
        *,
        audiences: AudienceBook,
        sources: SourceBook,
        directory: PeerDirectory,
        mirror: Looks,
        own: str,
        key: SigningKey,
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._audiences: Final = audiences
        self._sources: Final = sources
        self._directory: Final = directory
        self._calls: Final = calls
        self._mirror: Final = mirror
        self._own: Final = own
        self._key = key
        self._woken: Final = asyncio.Event()
        #: One question of a peer at a time; they cost this node far more than the peer.
        self._lines: Final[WeakValueDictionary[str, asyncio.Lock]] = WeakValueDictionary()
        self._rates: Final = Buckets(per_minute=PER_MINUTE, burst=BURST)

    def rekey(self, key: SigningKey) -> None:
        """Sign receipts with this key from now on."""
        self._key = key

    async def record(self, tx: Writer, audience: str, commitments: Iterable[bytes], *, now: int) -> None:
        """Have the members of an audience confirm that they hold these entries no longer, in the leaving's `tx`."""
        rows = [
            EntryErasureRow(audience=audience, commitment=b64(one), peer="", asked_at=now, retry_at=now)
            for one in commitments
        ]
        await tx.put(*rows)
        tx.on_commit(self.wake)

    def wake(self) -> None:
        """Ask soon what is due."""
        self._woken.set()

    async def run(self) -> None:
        """Ask for ever, whenever a question is due."""
        while True:
            self._woken.clear()
            await self.step()
            await sleep_or_wake(self._clock, LOOK_EVERY_S, self._woken)

    async def step(self) -> None:
        """Ask every peer that has something to confirm now, and forget old receipts."""
        now = self._clock.now()
        await self._address()
        async with self._store.read() as rows:
            due = await rows.find(EntryErasureRow, where(receipt=""), at_most("retry_at", now), order="retry_at")
        due.sort(key=lambda row: (row.peer, row.audience, row.commitment))
        for (peer, audience), group in groupby(due, key=lambda row: (row.peer, row.audience)):
            open_rows = list(group)
            for at in range(0, len(open_rows), MAX_ERASURES):
                await self._ask(peer, audience, open_rows[at : at + MAX_ERASURES])
        async with self._store.write() as tx:
            await tx.delete(EntryErasureRow, at_most("asked_at", now - KEEP_S))

    async def _address(self) -> None:
        """Give every new question to each member of its audience."""
        members = {one.id: one.members - {self._own} for one in await self._audiences.audiences()}
        async with self._store.write() as tx:
            for row in await tx.find(EntryErasureRow, where(peer="")):
                await tx.delete(EntryErasureRow, where(audience=row.audience, commitment=row.commitment, peer=""))
                await tx.put(*(replace(row, peer=peer) for peer in sorted(members.get(row.audience, ()))))

    async def _ask(self, peer: str, audience: str, rows: Sequence[EntryErasureRow]) -> None:
        now = self._clock.now()
        request = ErasureRequest(audience=audience, commitments=tuple(row.commitment for row in rows))
        try:
            document = self._directory.get(peer).document
            answer = await self._calls.post(
                self._directory.get(peer), ERASURES_PATH, encode(request), JSON, limit=MAX_ANSWER
            )
            receipts = open_receipts(
                answer.body,
                request,
                document.attest_keys,
                origin=self._own,
                mirror=peer,
                now=now,
            )
            after = [replace(row, receipt=text) for row, text in zip(rows, receipts, strict=True)]
        except MeshError:
            after = [replace(row, retry_at=now + _pause(now - row.asked_at)) for row in rows]
        async with self._store.write() as tx:
            await tx.put(*after)

    # What peers ask

    async def confirm(self, peer: str, body: bytes) -> bytes:
        """Return this node's receipts for entries of `peer`, once none of them is held.

        Raises: MalformedError; LimitError: the peer asks too often; RefusedError: its own newest set still shows one;
            UnavailableError and others: its set could not be had.
        """
        request = open_request(body)
        self._rates.take(peer, now_ms=self._clock.now() * 1000)
        wanted = frozenset(request.commitments)
        async with self._lines.setdefault(peer, asyncio.Lock()):
            held = await self._held(peer, request.audience)
            if await self._holds(peer, request.audience, wanted):
                await self._look(peer, request.audience)
                same = await self._held(peer, request.audience) == held
                if same or await self._holds(peer, request.audience, wanted):
                    raise RefusedError("your newest set still shows an entry that is to be erased", code="still-listed")
        return sign_receipts(request, self._key, origin=peer, mirror=self._own, now=self._clock.now())

    async def _look(self, peer: str, audience: str) -> None:
        for source in await self._sources.sources():
            if source.place == (peer, audience, KIND):
                await self._mirror.look(source)

    async def _held(self, peer: str, audience: str) -> str:
        """Return the hash of the head whose entries are held, empty for none."""
        async with self._store.read() as rows:
            row = await rows.get(MirrorRow, peer, audience, KIND)
        return row.head_hash if row is not None and row.entries else ""

    async def _holds(self, peer: str, audience: str, wanted: frozenset[str]) -> bool:
        """Tell whether one of these is held; a directory may be large, so its pages are opened in a thread."""
        place = where(origin=peer, audience=audience, kind=KIND)
        async with self._store.read() as rows:
            pages = await rows.find(MirrorPageRow, place)
        return bool(pages) and await asyncio.to_thread(_are_in, wanted, [page.data for page in pages])


def _are_in(wanted: frozenset[str], pages: Sequence[bytes]) -> bool:
    return any(
        not wanted.isdisjoint(map(b64, commit_all(ENTRY_PURPOSE[KIND], decode_page(data).entries))) for data in pages
    )


def _pause(waited_s: int) -> int:
    """Return how long to wait after so long without an answer."""
    return min(LONGEST_RETRY_S, max(FIRST_RETRY_S, waited_s))
