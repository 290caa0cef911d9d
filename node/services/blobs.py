"""Encrypted files of sessions: kept for their sender, bounded, fetched by the other person through their own node.

A node holds ciphertext under a random id and has no key. The other organization's node may read a blob only in the
thread the two share. Source: docs/protocol/40-files.md §4, §5.
"""

import asyncio
from collections import defaultdict
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Reader, Store, Writer, at_most, where
from federation.rows import SessionRow
from node.rows import BlobRow
from node.store.blobs import FileBytes
from protocol.errors import ConflictError, LimitError, MalformedError, MissingError, UnavailableError
from protocol.handshake import Side
from protocol.ids import RandomId, Seconds

from .allowance import Allowance
from .peerbook import PeerBook
from .sessions import Sessions

BLOBS_PATH: Final = "/federation/v1/blobs"
BLOB_TYPE: Final = "application/octet-stream"
#: One request carries at most so much of a file.
PORTION_BYTES: Final = 1024 * 1024
#: The largest ciphertext, that of a gibibyte.
MAX_BLOB_BYTES: Final = 2**30 + 17 * 2**14
#: Files that one person may have waiting at a time.
MAX_FILES: Final = 200
#: Portions that one person stores and fetches: 50 MiB a second.
MOST_PORTIONS: Final = 30_000
PORTIONS_PER_S: Final = 600
#: Fetches from one other node that run at once; a slow one holds up no other.
FETCHES: Final = 4
MIB: Final = 2**20
DAY_S: Final = 86_400

Size = Annotated[int, msgspec.Meta(ge=1, le=MAX_BLOB_BYTES)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=MAX_BLOB_BYTES)]


class BlobLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept and how long; see [files] in the configuration."""

    largest: int
    of_person: int
    of_session: int
    of_node: int
    days: int


class Portion(msgspec.Struct, frozen=True, kw_only=True):
    """Some bytes of a blob of `size` from `offset` on."""

    blob: RandomId
    offset: Offset
    size: Size
    data: bytes


class StoredBlob(msgspec.Struct, frozen=True, kw_only=True):
    """A blob as its owner sees it: `stored` of `size` bytes are here, until `expires_at`."""

    blob: RandomId
    thread: RandomId
    size: int
    stored: int
    expires_at: Seconds


class Blobs:
    """The files of one node's people."""

    def __init__(
        self,
        *,
        store: Store,
        files: FileBytes,
        sessions: Sessions,
        peers: PeerBook,
        clock: Clock,
        own: str,
        limits: BlobLimits,
    ) -> None:
        self._store: Final = store
        self._files: Final = files
        self._sessions: Final = sessions
        self._peers: Final = peers
        self._clock: Final = clock
        self._own: Final = own
        self._limits: Final = limits
        self._uses: Final = Allowance(clock, most=MOST_PORTIONS, per_s=PORTIONS_PER_S)
        self._fetching: Final[dict[str, asyncio.Semaphore]] = defaultdict(lambda: asyncio.Semaphore(FETCHES))
        #: Bytes promised to all blobs; what was erased since is taken off when it matters, and by every sweep.
        self._promised = -1

    def recount(self) -> None:
        """Count anew what is promised: another process made or dropped files."""
        self._promised = -1

    async def put(self, label: str, thread: str, side: Side, portion: Portion) -> StoredBlob:
        """Store the next portion; one that is here already changes nothing.

        Raises: MissingError: no such session, or what came before is gone; RefusedError: it is over; LimitError: too
            large, or too much waits; ConflictError: not the next portion, or a blob of somebody else; DiskFullError.
        """
        self._uses.use(label, what="portions of files")
        if not portion.data or portion.offset + len(portion.data) > portion.size:
            raise MalformedError("a portion lies inside its file and is not empty")
        row = await self._row(label, thread, side, portion)
        end = portion.offset + len(portion.data)
        if end <= row.stored:
            return _view(row)
        if portion.offset != row.stored:
            raise ConflictError(f"the next portion of this file begins at {row.stored}", code="offset")
        try:
            # Every time: others begin files meanwhile, and all of them were promised the same room.
            await self._files.check_room(portion.size - portion.offset)
            await self._files.write(row.blob, portion.offset, portion.data, last=end == row.size)
        except MissingError:
            await self.delete(label, row.blob)  # so that the same file can come again from its first byte
            raise
        except UnavailableError:
            await self._forget_empty(row)
            raise
        async with self._store.write() as tx:
            now = await tx.get(BlobRow, row.blob)
            if now is None:
                raise MissingError("this file was removed meanwhile")
            row = replace(now, stored=max(now.stored, end))
            await tx.put(row)
        return _view(row)

    async def _row(self, label: str, thread: str, side: Side, portion: Portion) -> BlobRow:
        """Return the row of a blob; the first portion makes it, if there is room for all of it."""
        async with self._store.write() as tx:
            session = await self._sessions.open_of(tx, label, thread, side)
            row = await tx.get(BlobRow, portion.blob)
            if row is not None:
                if (row.label, row.thread, row.side, row.size) != (label, thread, side.value, portion.size):
                    raise ConflictError("this id was used for another file")
                return row
            if portion.offset:
                raise ConflictError("the next portion of this file begins at 0", code="offset")
            await self._check_quota(tx, label, thread, portion.size)
            row = BlobRow(
                blob=portion.blob,
                thread=thread,
                side=side.value,
                label=label,
                peer=session.peer,
                size=portion.size,
                stored=0,
                expires_at=min(self._clock.now() + self._limits.days * DAY_S, session.destroy_at),
            )
            await tx.insert(row)
            if self._promised >= 0:
                self._promised += portion.size
        return row

    async def _check_quota(self, tx: Reader, label: str, thread: str, size: int) -> None:
        limits = self._limits
        if size > limits.largest:
            raise LimitError(f"a file takes at most {limits.largest // MIB} MiB here", code="too-large")
        mine = await tx.find(BlobRow, where(label=label))
        if len(mine) >= MAX_FILES:
            raise LimitError(f"you have {MAX_FILES} files waiting: delete one first", code="file-quota")
        if sum(row.size for row in mine) + size > limits.of_person:
            most = limits.of_person // MIB
            raise LimitError(f"your waiting files take at most {most} MiB: delete one first", code="file-quota")
        if sum(row.size for row in mine if row.thread == thread) + size > limits.of_session:
            most = limits.of_session // MIB
            raise LimitError(f"files of one session take at most {most} MiB: delete one first", code="file-quota")
        if self._promised < 0 or self._promised + size > limits.of_node:
            self._promised = sum(row.size for row in await tx.find(BlobRow))
        if self._promised + size > limits.of_node:
            raise LimitError("this node keeps no more files at the moment: try again later", code="file-quota")

    async def of(self, label: str) -> tuple[StoredBlob, ...]:
        """Return what is kept for a person."""
        async with self._store.read() as tx:
            return tuple(_view(row) for row in await tx.find(BlobRow, where(label=label)))

    async def delete(self, label: str, blob: str) -> None:
        """Delete a person's own blob. Raises: MissingError."""
        async with self._store.write() as tx:
            if not await tx.delete(BlobRow, where(label=label, blob=blob)):
                raise MissingError("you have no such file here")
        await self._files.remove(blob)

    async def _forget_empty(self, row: BlobRow) -> None:
        """Take back what was promised to a file of which nothing could be kept."""
        async with self._store.write() as tx:
            await tx.delete(BlobRow, where(blob=row.blob, stored=0))

    async def get(self, label: str, thread: str, side: Side, blob: str, offset: int) -> bytes:
        """Return the next bytes of a blob of this thread, from here or from the other organization's node.

        Raises: MissingError: no such session or file; UnavailableError: the peer is away; LimitError: too much.
        """
        self._uses.use(label, what="portions of files")
        async with self._store.read() as tx:
            session = await tx.get(SessionRow, thread, side.value)
            if session is None or session.label != label:
                raise MissingError("no such session")
            row = await tx.get(BlobRow, blob)
        if row is not None and row.thread == thread:
            return await self._bytes(row, offset)
        if session.peer == self._own:
            raise MissingError("no such file: it was deleted, or its time is over")
        async with self._fetching[session.peer]:
            return await self._peers.get(session.peer, f"{BLOBS_PATH}/{thread}/{blob}/{offset}", limit=PORTION_BYTES)

    async def give(self, peer: str, thread: str, blob: str, offset: int) -> bytes:
        """Return the next bytes of a blob to the other organization of its thread. Raises: MissingError."""
        async with self._store.read() as tx:
            row = await tx.get(BlobRow, blob)
        if row is None or (row.peer, row.thread) != (peer, thread):
            raise MissingError("no such file: it was deleted, or its time is over")
        return await self._bytes(row, offset)

    async def _bytes(self, row: BlobRow, offset: int) -> bytes:
        if row.expires_at <= self._clock.now() or row.stored < row.size:
            raise MissingError("no such file: it was deleted, or its time is over")
        if offset >= row.size:
            raise MalformedError("offset lies behind the end of the file")
        data = await self._files.read(row.blob, offset, min(PORTION_BYTES, row.size - offset))
        if not data:
            raise MissingError("this file is gone")
        return data

    async def forget(self, tx: Writer, label: str) -> None:
        """Forget the blobs of a person who leaves; `sweep` removes their bytes."""
        await tx.delete(BlobRow, where(label=label))

    async def sweep(self) -> int:
        """Remove blobs whose time is over, and bytes that no row stands for; return how many files went."""
        # Files first: one that is being written now gets its row before its first byte.
        names = await self._files.names()
        async with self._store.write() as tx:
            await tx.delete(BlobRow, at_most("expires_at", self._clock.now()))
            rows = await tx.find(BlobRow)
            self._promised = sum(row.size for row in rows)  # here: whatever is begun next adds to it
        gone = set(names) - {self._files.name(row.blob) for row in rows}
        await self._files.drop(gone)
        return len(gone)


def _view(row: BlobRow) -> StoredBlob:
    return StoredBlob(blob=row.blob, thread=row.thread, size=row.size, stored=row.stored, expires_at=row.expires_at)
