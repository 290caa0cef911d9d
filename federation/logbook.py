"""The node's own log as it stands in the store: its newest checkpoint, what it serves, and proofs from its tiles.

Only what a stored checkpoint covers is given out. Source: docs/protocol/52-tiles.md, docs/protocol/55-node-log.md.
"""

from collections.abc import Iterable
from typing import Final

from protocol.encoding import b64
from protocol.errors import MalformedError, MissingError
from protocol.logaudit import portion
from protocol.messages import CheckpointRef
from protocol.tlog.checkpoint import Checkpoint, CheckpointNote, parse_checkpoint
from protocol.tlog.merkle import HASH_BYTES
from protocol.tlog.merkle import leaf_hash as hash_of_leaf
from protocol.tlog.note import MAX_SIGNATURES, parse_signatures, render_note, with_signatures
from protocol.tlog.proof import LogProof, render_log_proof
from protocol.tlog.subtrees import inclusion_proof, inclusion_ranges
from protocol.tlog.tilehashes import TileHashes, tiles_for
from protocol.tlog.tiles import HEIGHT, WIDTH, Bundle, Tile, encode_bundle, parse_tile_path

from .ports import Reader, Store, at_least, below, where
from .rows import CosignatureRow, LogCheckpointRow, LogEntryRow, LogTileRow
from .tilememory import TileMemory

FIRST_LOG: Final = 1
MINUTE_S: Final = 60


async def current_log(rows: Reader) -> int:
    """Return the number of the log that grows: 1, or that of the last successor."""
    found = await rows.find(LogCheckpointRow, order="-log", limit=1)
    return found[0].log if found else FIRST_LOG


async def newest_row(rows: Reader, log: int) -> LogCheckpointRow | None:
    """Return the newest stored checkpoint of a log, if it has one."""
    found = await rows.find(LogCheckpointRow, where(log=log), order="-size", limit=1)
    return found[0] if found else None


def checkpoint_of(row: LogCheckpointRow) -> Checkpoint:
    """Return what a stored checkpoint says. Raises: MalformedError, LimitError: the row is damaged."""
    return parse_checkpoint(row.note).checkpoint


async def cosigned(rows: Reader, row: LogCheckpointRow) -> CheckpointNote:
    """Return a stored checkpoint with the lines of the witnesses that cosigned it, the first ones if there are many."""
    checkpoint = parse_checkpoint(row.note)
    found = await rows.find(
        CosignatureRow, where(log=row.log, size=row.size), limit=MAX_SIGNATURES - len(checkpoint.note.signatures)
    )
    lines = [line for each in found for line in parse_signatures(each.line.decode())]
    return CheckpointNote(checkpoint=checkpoint.checkpoint, note=with_signatures(checkpoint.note, lines))


async def newest_ref(rows: Reader) -> CheckpointRef | None:
    """Return the newest checkpoint as messages to peers carry it, None before the first."""
    row = await newest_row(rows, await current_log(rows))
    if row is None:
        return None
    checkpoint = checkpoint_of(row)
    return CheckpointRef(origin=checkpoint.origin, size=checkpoint.size, root=b64(checkpoint.root))


async def entries(rows: Reader, log: int, start: int, end: int) -> list[LogEntryRow]:
    """Return the stored entries from number `start` up to, not including, `end`."""
    return await rows.find(LogEntryRow, where(log=log), at_least("number", start), below("number", end), order="number")


async def stored_tiles(rows: Reader, log: int, names: Iterable[Tile]) -> dict[Tile, bytes]:
    """Return those of the tiles that are stored, cut to their width."""
    found = {}
    for name in names:
        row = await rows.get(LogTileRow, log, name.level, name.index)
        if row is not None:
            found[name] = row.data[: name.width * HASH_BYTES]
    return found


class Logbook:
    """What anybody may read of the node's logs."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store
        self._memory: Final = TileMemory()

    async def checkpoint(self, log: int) -> bytes:
        """Return the newest signed checkpoint of a log, with the cosignatures it has. Raises: MissingError."""
        async with self._store.read() as rows:
            row = await newest_row(rows, log)
            if row is None:
                raise MissingError("no such log, or nothing is signed in it yet")
            return render_note((await cosigned(rows, row)).note)

    async def resource(self, log: int, path: str) -> bytes:
        """Return the tile or bundle at `path` below the log's prefix, such as `tile/0/000.p/12`.

        What was read lately is given while the store is away, too.

        Raises: MalformedError: TilePathError; MissingError: the newest checkpoint does not cover all of it.
        """
        name = parse_tile_path(path)
        data = self._memory.get((log, name))
        if data is None:
            data = await self._read(log, name)
            self._memory.put((log, name), data)
        return data

    async def _read(self, log: int, name: Tile | Bundle) -> bytes:
        async with self._store.read() as rows:
            row = await newest_row(rows, log)
            level = name.level if isinstance(name, Tile) else 0
            size = checkpoint_of(row).size if row else 0
            if size >> HEIGHT * level < name.index * WIDTH + name.width:
                raise MissingError("the log has no such tile yet")
            if isinstance(name, Bundle):
                return await _bundle(rows, log, name)
            return (await stored_tiles(rows, log, [name]))[name]

    async def stored(self, log: int, start: int) -> tuple[Checkpoint, dict[Tile, bytes], dict[Bundle, bytes]]:
        """Return the newest checkpoint of a log and the stored resources of its portion from `start` on, for a check.

        Raises: MissingError: no such log; MalformedError: there is no portion at `start`.
        """
        async with self._store.read() as rows:
            row = await newest_row(rows, log)
            if row is None:
                raise MissingError("no such log, or nothing is signed in it yet")
            checkpoint = checkpoint_of(row)
            if not 0 <= start < checkpoint.size or start % WIDTH:
                raise MalformedError("start must be the first entry of a bundle of the log")
            wanted = portion(start, checkpoint.size)
            tiles = await stored_tiles(rows, log, wanted.tiles)
            bundles = {name: await _bundle(rows, log, name) for name in wanted.bundles}
        return checkpoint, tiles, bundles

    async def prove(self, entry: bytes) -> str:
        """Return the C2SP log proof that an entry stands under the newest checkpoint of its log.

        Raises: MissingError: it is in no log, or not signed yet; TileHashError: the tiles are damaged.
        """
        async with self._store.read() as rows:
            found = await rows.find(LogEntryRow, where(hash=hash_of_leaf(entry)), order="-log", limit=1)
            row = await newest_row(rows, found[0].log) if found else None
            if row is None or found[0].number >= row.size:
                raise MissingError("the log does not list this yet: try again in a moment")
            checkpoint = await cosigned(rows, row)
            size, number = row.size, found[0].number
            tiles = await stored_tiles(rows, row.log, tiles_for(inclusion_ranges(number, size), size))
        read = TileHashes(size=size, root=checkpoint.checkpoint.root, tiles=tiles)
        hashes = inclusion_proof(read, index=number, size=size)
        return render_log_proof(LogProof(index=number, hashes=hashes, checkpoint=checkpoint)).decode()


async def _bundle(rows: Reader, log: int, name: Bundle) -> bytes:
    start = name.index * WIDTH
    found = await entries(rows, log, start, start + name.width)
    if len(found) != name.width:
        raise MissingError("entries of the log are missing: run `mentormesh log check`")
    return encode_bundle([row.entry for row in found])
