"""Reads the entries of others' logs for set heads: no number of a chain twice, and every mirrored head listed.

Source: docs/protocol/55-node-log.md §2, docs/protocol/53-witnesses.md §9.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from protocol.encoding import b64, decode
from protocol.errors import MalformedError, MeshError
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


class HeadWatch:
    """The heads in the logs that one node follows."""

    def __init__(self, store: Store, clock: Clock, read: ReadLog, record: Record, *, listed_s: int) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._read: Final = read
        self._record: Final = record
        self._listed_s: Final = listed_s

    async def take(self, log: KnownLog, found: CheckpointNote, leaves: Sequence[bytes], *, first: int) -> str:
        """Take the entries from number `first` on; return the problem among them, or nothing.

        Raises: MeshError: the log does not prove what it lists twice.
        """
        problem, twice = "", None
        async with self._store.write() as tx:
            newest: dict[str, WatchedHeadRow | None] = {}
            for number, entry in enumerate(leaves, first):
                try:
                    leaf = parse_leaf(entry)
                except MalformedError:
                    problem = problem or NO_LEAF
                    continue
                if isinstance(leaf, SuccessorLeaf) and await _contradicts(tx, leaf):
                    problem = SUCCESSOR
                if not isinstance(leaf, SetHeadLeaf):
                    continue
                if leaf.chain not in newest:
                    newest[leaf.chain] = await _newest(tx, log.origin, leaf.chain)
                last = newest[leaf.chain]
                if last is not None and number <= last.number:
                    continue  # read before a crash kept the watch from noting so
                if last is not None and leaf.seq <= last.seq:
                    problem = REPEATED
                    twice = twice or await _same_place(tx, log.origin, leaf, number)
                    continue
                row = WatchedHeadRow(
                    origin=log.origin, chain=leaf.chain, seq=leaf.seq, number=number, commitment=leaf.commitment
                )
                if last is None and await tx.count(WatchedHeadRow, where(origin=log.origin)) >= MOST_CHAINS:
                    problem = problem or TOO_MANY
                    continue
                await tx.put(row)
                newest[leaf.chain] = row
            await self._forget(tx, log, newest)
        if twice is not None and log.entity:
            await self._record(await self._twice(log, found, twice))
        return problem

    async def _forget(self, tx: Writer, log: KnownLog, newest: dict[str, WatchedHeadRow | None]) -> None:
        mirrored = await _mirrored(tx, log.entity)
        for chain, row in newest.items():
            if row is not None:
                least = row.seq - (KEPT if chain in mirrored else 0)
                await tx.delete(WatchedHeadRow, where(origin=log.origin, chain=chain), below("seq", least))

    async def _twice(
        self, log: KnownLog, found: CheckpointNote, twice: tuple[WatchedHeadRow, SetHeadLeaf, int]
    ) -> bytes:
        """Return the evidence that a log lists two heads under one number."""
        row, leaf, number = twice
        earlier = SetHeadLeaf(chain=row.chain, seq=row.seq, commitment=row.commitment)
        statements = [await self._logged(log, found, each, at) for each, at in ((earlier, row.number), (leaf, number))]
        return make_bundle("two-heads", log.entity, *statements)

    async def _logged(self, log: KnownLog, found: CheckpointNote, leaf: SetHeadLeaf, number: int) -> Signed:
        proof = await inclusion(self._read, log, found, number)
        return logged_head(render_leaf(leaf), proof, log.keys[0], leaf.seq, log.document)

    async def missing(self, log: KnownLog, *, read_all: bool) -> str:
        """Return the problem when a head that is mirrored here is not the one its log lists, or is not listed in time.

        Raises: MeshError: the log does not prove what it lists.
        """
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
        """Keep the evidence that a log lists another head than was shown."""
        if watched is None or found.origin != log.origin:
            return
        leaf = SetHeadLeaf(chain=found.chain, seq=found.seq, commitment=found.commitment)
        logged = await self._logged(log, parse_checkpoint(watched.note), leaf, found.number)
        try:
            bundle = make_bundle("two-heads", log.entity, signed_head(row.head, row.seq, log.document), logged)
        except MeshError:
            return  # the node changed its log key meanwhile: the mirror's next head will tell
        await self._record(bundle)


async def _newest(rows: Reader, origin: str, chain: str) -> WatchedHeadRow | None:
    found = await rows.find(WatchedHeadRow, where(origin=origin, chain=chain), order="-seq", limit=1)
    return found[0] if found else None


async def _same_place(
    rows: Reader, origin: str, leaf: SetHeadLeaf, number: int
) -> tuple[WatchedHeadRow, SetHeadLeaf, int] | None:
    """Return the earlier head with the number of `leaf`, when it is still kept and another one."""
    row = await rows.get(WatchedHeadRow, origin, leaf.chain, leaf.seq)
    return (row, leaf, number) if row is not None and row.commitment != leaf.commitment else None


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
