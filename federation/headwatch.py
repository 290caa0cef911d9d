"""Reads the entries of others' logs for set heads: no number of a chain twice, and every mirrored head listed.

Source: docs/protocol/55-node-log.md §2, docs/protocol/53-witnesses.md §9.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from protocol.encoding import b64, decode
from protocol.errors import LimitError, MalformedError, MeshError
from protocol.evidence import Signed, logged_head, make_bundle, signed_head
from protocol.heads import HEAD_TYP, SetHead, chain_id
from protocol.jws import parse
from protocol.logleaves import SetHeadLeaf, SuccessorLeaf, head_leaf, is_log_of, parse_leaf, render_leaf
from protocol.tlog.checkpoint import CheckpointNote, parse_checkpoint

from .knownlogs import KnownLog
from .logtree import ReadLog, inclusion
from .ports import Clock, Reader, Store, Writer, below, where
from .rows import MirrorRow, WatchedHeadRow, WatchedLogRow
from .watchwords import NO_LEAF, NOT_LISTED, OTHER_LISTED, REPEATED, SUCCESSOR, TOO_MANY

#: Heads kept of a chain that is mirrored here; of the others only the newest is.
KEPT: Final = 64
#: Chains of one log.
MOST_CHAINS: Final = 20_000

Record = Callable[[bytes], Awaitable[object]]


#: A head that a log lists, the other one that it lists in the same place, and where that stands.
Twice = tuple[WatchedHeadRow, SetHeadLeaf, int]


class _Seen:
    """What stands in some entries: rows to keep, by chain and number, and the newest of each chain."""

    def __init__(self, *, chains: int) -> None:
        self.chains = chains
        self.problem = ""
        self.twice: Twice | None = None
        self.rows: Final[dict[tuple[str, int], WatchedHeadRow]] = {}
        self.newest: Final[dict[str, WatchedHeadRow | None]] = {}


class HeadWatch:
    """The heads in the logs that one node follows."""

    def __init__(self, store: Store, clock: Clock, read: ReadLog, record: Record, *, listed_s: int) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._read: Final = read
        self._record: Final = record
        self._listed_s: Final = listed_s

    async def take(self, log: KnownLog, row: WatchedLogRow, leaves: Sequence[bytes]) -> WatchedLogRow:
        """Take the next entries after those read; return the row that says so, with the problem among them.

        All is stored at once, and after the evidence: nothing that was found is lost in a crash, or because the log
        does not prove what it lists twice.

        Raises: MeshError: the log does not prove it; the problem is noted, and the entries are to be read again.
        """
        async with self._store.read() as rows:
            seen = await _judged(rows, log, leaves, first=row.read)
        if seen.twice is not None and log.entity:
            await self._keep(log, row, seen.twice)
        row = replace(row, read=row.read + len(leaves), problem=seen.problem or row.problem)
        async with self._store.write() as tx:
            for each in seen.rows.values():
                await tx.put(each)
            await self._forget(tx, log, seen.newest)
            await tx.put(row)
        return row

    async def _keep(self, log: KnownLog, row: WatchedLogRow, twice: Twice) -> None:
        try:
            await self._record(await self._twice(log, parse_checkpoint(row.note), twice))
        except LimitError:
            return  # there is enough evidence about this node
        except MeshError:
            async with self._store.write() as tx:
                await tx.put(replace(row, problem=REPEATED))
            raise

    async def _forget(self, tx: Writer, log: KnownLog, newest: dict[str, WatchedHeadRow | None]) -> None:
        mirrored = await _mirrored(tx, log.entity)
        for chain, row in newest.items():
            if row is not None:
                least = row.seq - (KEPT if chain in mirrored else 0)
                await tx.delete(WatchedHeadRow, where(origin=log.origin, chain=chain), below("seq", least))

    async def _twice(self, log: KnownLog, found: CheckpointNote, twice: Twice) -> bytes:
        """Return the evidence that a log lists two heads under one number."""
        row, leaf, number = twice
        earlier = SetHeadLeaf(chain=row.chain, seq=row.seq, commitment=row.commitment)
        statements = [await self._logged(log, found, each, at) for each, at in ((earlier, row.number), (leaf, number))]
        return make_bundle("two-heads", log.entity, *statements)

    async def _logged(self, log: KnownLog, found: CheckpointNote, leaf: SetHeadLeaf, number: int) -> Signed:
        proof = await inclusion(self._read, log, found, number)
        return logged_head(render_leaf(leaf), proof, log.keys[0], leaf.seq, log.document)

    async def missing(self, log: KnownLog, *, read_all: bool) -> str:
        """Return the problem when a head mirrored here is not the one its log lists, or is not listed in time."""
        if not log.entity:
            return ""
        async with self._store.read() as rows:
            held = await rows.find(MirrorRow, where(origin=log.entity))
            watched = await rows.get(WatchedLogRow, log.origin)
            listed = {row.head: await _listed(rows, row) for row in held}
            newest = {row.head: await _newest(rows, log.origin, _chain(row)) for row in held}
        problem = ""
        for row in held:
            found, last = listed[row.head], newest[row.head]
            head = decode(parse(row.head, HEAD_TYP).payload, SetHead, what="set head")
            if found is not None:
                if found.commitment != head_leaf(head, row.head).commitment:
                    problem = OTHER_LISTED
                    await self._other(log, watched, found, row)
            elif (last is None or last.seq < row.seq) and read_all:
                late = self._clock.now() >= row.issued_at + self._listed_s
                problem = problem or (NOT_LISTED if late else "")
        return problem

    async def _other(self, log: KnownLog, watched: WatchedLogRow | None, found: WatchedHeadRow, row: MirrorRow) -> None:
        """Keep the evidence that a log lists another head than was shown.

        Where there is none (the node changed its log key meanwhile, or does not prove its entry) the problem stands all
        the same, and the next look tries again.
        """
        if watched is None or found.origin != log.origin:
            return
        leaf = SetHeadLeaf(chain=found.chain, seq=found.seq, commitment=found.commitment)
        with suppress(MeshError):
            logged = await self._logged(log, parse_checkpoint(watched.note), leaf, found.number)
            shown = signed_head(row.head, row.seq, log.document)
            await self._record(make_bundle("two-heads", log.entity, shown, logged))


async def _judged(rows: Reader, log: KnownLog, leaves: Sequence[bytes], *, first: int) -> _Seen:
    """Return what stands in entries from number `first` on."""
    seen = _Seen(chains=await rows.count(WatchedHeadRow, where(origin=log.origin)))
    for number, entry in enumerate(leaves, first):
        try:
            leaf = parse_leaf(entry)
        except MalformedError:
            seen.problem = seen.problem or NO_LEAF
            continue
        if isinstance(leaf, SuccessorLeaf) and await _contradicts(rows, leaf):
            seen.problem = SUCCESSOR
        if not isinstance(leaf, SetHeadLeaf):
            continue
        if leaf.chain not in seen.newest:
            seen.newest[leaf.chain] = await _newest(rows, log.origin, leaf.chain)
        last = seen.newest[leaf.chain]
        if last is not None and leaf.seq <= last.seq:
            seen.problem = REPEATED
            earlier = seen.rows.get((leaf.chain, leaf.seq)) or await rows.get(
                WatchedHeadRow, log.origin, leaf.chain, leaf.seq
            )
            if seen.twice is None and earlier is not None and earlier.commitment != leaf.commitment:
                seen.twice = earlier, leaf, number
        elif last is None and seen.chains >= MOST_CHAINS:
            seen.problem = seen.problem or TOO_MANY
        else:
            seen.chains += last is None
            seen.newest[leaf.chain] = seen.rows[leaf.chain, leaf.seq] = WatchedHeadRow(
                origin=log.origin, chain=leaf.chain, seq=leaf.seq, number=number, commitment=leaf.commitment
            )
    return seen


async def _newest(rows: Reader, origin: str, chain: str) -> WatchedHeadRow | None:
    found = await rows.find(WatchedHeadRow, where(origin=origin, chain=chain), order="-seq", limit=1)
    return found[0] if found else None


async def _listed(rows: Reader, row: MirrorRow) -> WatchedHeadRow | None:
    """Return where a mirrored head's number is listed: in the newest log of its node, or in one before."""
    found = await rows.find(WatchedHeadRow, where(chain=_chain(row), seq=row.seq))
    # Anybody may list anything under any chain in a log of their own.
    return next((each for each in found if is_log_of(row.origin, each.origin)), None)


async def _contradicts(rows: Reader, leaf: SuccessorLeaf) -> bool:
    """Tell whether a successor names another last tree of the older log than the one that was seen at that size."""
    row = await rows.get(WatchedLogRow, leaf.origin)
    return row is not None and row.size == leaf.size and parse_checkpoint(row.note).checkpoint != leaf.checkpoint


async def _mirrored(rows: Reader, entity: str) -> set[str]:
    return {_chain(row) for row in await rows.find(MirrorRow, where(origin=entity))} if entity else set()


def _chain(row: MirrorRow) -> str:
    head = decode(parse(row.head, HEAD_TYP).payload, SetHead, what="set head")
    return b64(chain_id(head.origin, head.audience, head.kind))
