"""Reads the entries of others' logs for set heads: no number of a chain twice, and every mirrored head listed.

Source: docs/protocol/55-node-log.md §2, docs/protocol/53-witnesses.md §9.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from protocol.encoding import b64, decode
from protocol.errors import LimitError, MalformedError, MeshError, UnavailableError
from protocol.evidence import Signed, logged_head, make_bundle, signed_head
from protocol.heads import HEAD_TYP, SetHead, chain_id
from protocol.jws import parse
from protocol.logleaves import SetHeadLeaf, SuccessorLeaf, head_leaf, is_log_of, parse_leaf, render_leaf
from protocol.tlog.checkpoint import CheckpointNote, parse_checkpoint

from .earlier import document_with
from .knownlogs import KnownLog
from .logtree import ReadLog, inclusion
from .ports import Clock, Reader, Store, Writer, below, where
from .rows import MirrorRow, TakenHeadRow, WatchedHeadRow, WatchedLogRow
from .watchwords import LASTING, NO_LEAF, NOT_LISTED, OTHER_LISTED, REPEATED, SUCCESSOR, TOO_MANY

#: Numbers kept of a chain that is mirrored here; of all others, those since the newest of the portion before.
KEPT: Final = 64
#: For so long after it was issued a mirrored head that its log does not list is reported.
REMEMBERED_S: Final = 7 * 86_400
#: Chains of one log.
MOST_CHAINS: Final = 20_000

Record = Callable[[bytes], Awaitable[object]]


#: A head that a log lists, the other one that it lists in the same place, and where that stands.
Twice = tuple[WatchedHeadRow, SetHeadLeaf, int]


class ReadElsewhereError(UnavailableError):
    """What was found is judged by rows that another process has replaced: the log is to be looked at again."""

    code = "read-elsewhere"


class _Seen:
    """What stands in some entries: rows to keep, by chain and number, and the newest of each chain."""

    def __init__(self, *, chains: int) -> None:
        self.chains = chains
        self.problem = ""
        self.twice: Twice | None = None
        self.rows: Final[dict[tuple[str, int], WatchedHeadRow]] = {}
        self.before: Final[dict[str, WatchedHeadRow | None]] = {}
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

        They are stored after the evidence, and forgotten after they were compared with what is mirrored: nothing that
        was found is lost in a crash, or because the log does not prove what it lists twice.

        Raises: MeshError: the log does not prove it; the problem is noted, and the entries are to be read again.
        ReadElsewhereError: another process of this node has read them meanwhile.
        """
        async with self._store.read() as rows:
            seen = await _judged(rows, log, leaves, first=row.read)
        if seen.twice is not None and log.entity:
            await self._keep(log, row, seen.twice)
        async with self._store.write() as tx:
            row = await _unread(tx, row)
            row = replace(row, read=row.read + len(leaves), problem=seen.problem or row.problem)
            for each in seen.rows.values():
                await tx.put(each)
            await tx.put(row)
        problem = await self.missing(log, read_all=False)
        async with self._store.write() as tx:
            row = await _unread(tx, row)
            if problem and row.problem not in LASTING:
                row = replace(row, problem=problem)
            await self._forget(tx, log, seen)
            await tx.put(row)
        return row

    async def _keep(self, log: KnownLog, row: WatchedLogRow, twice: Twice) -> None:
        try:
            await self._record(await self._twice(log, parse_checkpoint(row.note), twice))
        except LimitError:
            return  # there is enough evidence about this node
        except MeshError:
            async with self._store.write() as tx:
                await tx.put(replace(await _unread(tx, row), problem=REPEATED))
            raise

    async def _forget(self, tx: Writer, log: KnownLog, seen: _Seen) -> None:
        mirrored = await _mirrored(tx, log.entity)
        for chain, before in seen.before.items():
            newest = seen.newest[chain]
            if before is not None and newest is not None:
                # A head that is being fetched now is not older than the newest of the portion before.
                least = min(before.seq, newest.seq - KEPT) if chain in mirrored else before.seq
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
        """Return the problem when a head that was mirrored is not the one its log lists, or is not listed in time.

        Every head is looked for until it was found, whatever head is held by now.
        """
        if not log.entity:
            return ""
        now = self._clock.now()
        async with self._store.read() as rows:
            watched = await rows.get(WatchedLogRow, log.origin)
            taken = await rows.find(TakenHeadRow, where(origin=log.entity), order="seq")
            listed = [await _listed(rows, each) for each in taken]
            passed = [
                found is None and await _is_passed(rows, log.origin, each)
                for each, found in zip(taken, listed, strict=True)
            ]
        problem, done = "", []
        for row, found, is_passed in zip(taken, listed, passed, strict=True):
            if found is not None and found.commitment == _commitment(row):
                done.append(row)
                continue
            if found is not None:
                problem = OTHER_LISTED
                await self._other(log, watched, found, row)
            elif is_passed or (read_all and now >= row.issued_at + self._listed_s):
                problem = problem or NOT_LISTED
            else:
                continue
            if now >= row.issued_at + REMEMBERED_S:
                done.append(row)
        if done:
            await self._settle(done)
        return problem

    async def _settle(self, done: Sequence[TakenHeadRow]) -> None:
        async with self._store.write() as tx:
            for row in done:
                await tx.delete(TakenHeadRow, where(origin=row.origin, chain=row.chain, seq=row.seq, head=row.head))

    async def _other(
        self, log: KnownLog, watched: WatchedLogRow | None, found: WatchedHeadRow, row: TakenHeadRow
    ) -> None:
        """Keep the evidence that a log lists another head than was shown.

        Where there is none (the node changed its log key meanwhile, or does not prove its entry) the problem stands all
        the same, and the next look tries again.
        """
        if watched is None or found.origin != log.origin:
            return
        leaf = SetHeadLeaf(chain=found.chain, seq=found.seq, commitment=found.commitment)
        async with self._store.read() as rows:
            document = await document_with(rows, log.entity, log.document, parse(row.head, HEAD_TYP).header.kid)
        with suppress(MeshError):
            logged = await self._logged(log, parse_checkpoint(watched.note), leaf, found.number)
            shown = signed_head(row.head, row.seq, document)
            await self._record(make_bundle("two-heads", log.entity, shown, logged))


async def _unread(tx: Writer, row: WatchedLogRow) -> WatchedLogRow:
    """Return how a log stands now, whose entries nobody else has read since `row` was. Raises: ReadElsewhereError."""
    now = await tx.get(WatchedLogRow, row.origin)
    if now is None or now.read != row.read:
        raise ReadElsewhereError("another process of this node reads that log")
    return now


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
            seen.before[leaf.chain] = seen.newest[leaf.chain] = await _newest(rows, log.origin, leaf.chain)
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


async def _listed(rows: Reader, row: TakenHeadRow) -> WatchedHeadRow | None:
    """Return where a mirrored head's number is listed: in the newest log of its node, or in one before."""
    found = await rows.find(WatchedHeadRow, where(chain=row.chain, seq=row.seq))
    # Anybody may list anything under any chain in a log of their own.
    own = [each for each in found if is_log_of(row.origin, each.origin)]
    if not own:
        return None
    commitment = _commitment(row)
    return next((each for each in own if each.commitment != commitment), own[0])


async def _is_passed(rows: Reader, origin: str, row: TakenHeadRow) -> bool:
    """Tell whether a log lists numbers on both sides of a head's: what lies between them will not come any more."""
    newest = await _newest(rows, origin, row.chain)
    chain = where(origin=origin, chain=row.chain)
    return (
        newest is not None
        and newest.seq > row.seq
        and await rows.count(WatchedHeadRow, chain, below("seq", row.seq)) > 0
    )


def _commitment(row: TakenHeadRow) -> str:
    head = decode(parse(row.head, HEAD_TYP).payload, SetHead, what="set head")
    return head_leaf(head, row.head).commitment


async def _contradicts(rows: Reader, leaf: SuccessorLeaf) -> bool:
    """Tell whether a successor names another last tree of the older log than the one that was seen at that size."""
    row = await rows.get(WatchedLogRow, leaf.origin)
    return row is not None and row.size == leaf.size and parse_checkpoint(row.note).checkpoint != leaf.checkpoint


async def _mirrored(rows: Reader, entity: str) -> set[str]:
    return {_chain(row) for row in await rows.find(MirrorRow, where(origin=entity))} if entity else set()


def _chain(row: MirrorRow) -> str:
    head = decode(parse(row.head, HEAD_TYP).payload, SetHead, what="set head")
    return b64(chain_id(head.origin, head.audience, head.kind))
