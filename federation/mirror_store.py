"""The stored side of mirroring: a set is replaced, marked or forgotten in one transaction each.

Source: docs/protocol/12-set-heads.md §11.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from protocol.encoding import b64, decode
from protocol.errors import LimitError, RefusedError
from protocol.heads import HEAD_TYP, Held, SeenHead, SetHead, Step, chain_id, follow
from protocol.jws import parse
from protocol.pages import IncompleteError, decode_page

from .ports import Condition, Store, Writer, at_most, is_in, where
from .rows import MirrorPageRow, MirrorRow, SetHeadRow, TakenHeadRow
from .sets import Contents, Source
from .taking import Taken

COMPLETE: Final = "complete"
INCOMPLETE: Final = "incomplete"
FORKED: Final = "forked"
#: Heads of a chain that its origin's log was not seen to list yet; with so many no further one is taken.
MOST_UNLISTED: Final = 1024


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A verified head of a source that may become the newest one held; `over` is the hash of the one before it."""

    source: Source
    head: SetHead
    jws: str
    hash: str
    etag: str
    over: str = ""

    def row(self, entries: int) -> MirrorRow:
        """Return the row of a complete set of `entries` under this head."""
        return MirrorRow(
            origin=self.source.peer,
            audience=self.source.audience,
            kind=self.source.kind,
            seq=self.head.seq,
            head=self.jws,
            head_hash=self.hash,
            issued_at=self.head.issued_at,
            not_after=self.head.not_after,
            state=COMPLETE,
            entries=entries,
            etag=self.etag,
        )


def step_from(row: MirrorRow | None, candidate: Candidate) -> Step:
    """Return what a candidate is to the head held. Raises: RollbackError, ForkError; RefusedError: forked before."""
    refuse_forked(row)
    held = Held(seq=row.seq, head_hash=row.head_hash, issued_at=row.issued_at) if row else None
    return follow(candidate.head, candidate.hash, held)


def refuse_forked(row: MirrorRow | None) -> None:
    """Return unless two contradicting heads of this set are held. Raises: RefusedError."""
    if row and row.state == FORKED:
        raise RefusedError("two contradicting heads of this set are held: an operator must look at it", code="fork")


def same_entries(row: MirrorRow | None, head: SetHead) -> bool:
    """Tell whether `head` signs exactly the entries that are stored."""
    return row is not None and row.state == COMPLETE and _stored_head(row).shards == head.shards


def _stored_head(row: MirrorRow) -> SetHead:
    """Return the content of a head that was verified before it was stored."""
    return decode(parse(row.head, HEAD_TYP).payload, SetHead, what="set head")


class MirrorStore:
    """Mirrored heads and entries."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def row(self, source: Source) -> MirrorRow | None:
        """Return what is held of a source."""
        async with self._store.read() as rows:
            return await rows.get(MirrorRow, *source.place)

    async def rows(self, sources: Iterable[Source]) -> tuple[MirrorRow | None, ...]:
        """Return what is held of each source, in their order, from one moment."""
        async with self._store.read() as rows:
            return tuple([await rows.get(MirrorRow, *each.place) for each in sources])

    async def complete_offers(self, origins: frozenset[str] | None) -> list[tuple[MirrorRow, tuple[bytes, ...]]]:
        """Return every complete set of offers of these peers, None: of all, with its bodies."""
        which = [] if origins is None else [is_in("origin", sorted(origins))]
        async with self._store.read() as rows:
            found = []
            for row in await rows.find(MirrorRow, where(state=COMPLETE, kind="offers"), *which):
                pages = await rows.find(MirrorPageRow, _place(row.origin, row.audience, row.kind))
                openings = (decode_page(each.data).entries for each in pages)
                found.append((row, tuple([one.body for page in openings for one in page])))
            return found

    async def replace(self, candidate: Candidate, taken: Taken, contents: Contents | None = None) -> MirrorRow:
        """Store a complete set in place of the one held, and let `contents` take what it says.

        The step is judged once more inside, because another poll may have stored a newer head meanwhile.
        """
        place = candidate.source.place
        row = candidate.row(taken.entries)
        async with self._store.write() as tx:
            held = await tx.get(MirrorRow, *place)
            step_from(held, candidate)
            if held is not None and held.head_hash != candidate.over:
                raise IncompleteError("another head was taken meanwhile, with which this set was not compared")
            await _expect_listed(tx, held, candidate)
            if contents is not None:
                await contents.take(tx, candidate.source, taken.bodies)
            await tx.delete(MirrorPageRow, _place(*place))
            await tx.insert(*(_page(place, number, data) for number, data in enumerate(taken.pages)))
            await tx.put(row)
        return row

    async def renew(self, candidate: Candidate) -> MirrorRow:
        """Store a newer head over the entries that are held already."""
        async with self._store.write() as tx:
            row = await tx.get(MirrorRow, *candidate.source.place)
            step_from(row, candidate)
            await _expect_listed(tx, row, candidate)
            renewed = candidate.row(row.entries if row else 0)
            await tx.put(renewed)
        return renewed

    async def mark_incomplete(self, source: Source) -> None:
        """Note that the newest set could not be had whole; its old entries stay until one can, or they are too old."""
        async with self._store.write() as tx:
            row = await tx.get(MirrorRow, *source.place)
            if row and row.state == COMPLETE:
                await tx.put(msgspec.structs.replace(row, state=INCOMPLETE, etag=""))

    async def keep_evidence(self, candidate: Candidate) -> None:
        """Keep the contradicting head beside the one held."""
        async with self._store.write() as tx:
            row = await tx.get(MirrorRow, *candidate.source.place)
            if row:
                await tx.put(msgspec.structs.replace(row, state=FORKED, evidence=candidate.jws))

    async def forget_before(self, before: int) -> tuple[MirrorRow, ...]:
        """Delete the entries of sets that ran out before `before`; their heads stay, so that older ones are refused."""
        async with self._store.read() as rows:
            old = [row for row in await rows.find(MirrorRow, at_most("not_after", before)) if row.entries]
        return tuple([row for row in old if await self._forget(row)])

    async def _forget(self, old: MirrorRow) -> bool:
        """Delete the entries of a set unless a newer head came meanwhile; tell whether they are gone."""
        place = (old.origin, old.audience, old.kind)
        async with self._store.write() as tx:
            row = await tx.get(MirrorRow, *place)
            if row is None or row.head_hash != old.head_hash:
                return False
            state = FORKED if row.state == FORKED else INCOMPLETE
            await tx.delete(MirrorPageRow, _place(*place))
            await tx.put(msgspec.structs.replace(row, state=state, entries=0, etag=""))
        return True

    async def reset(self, peer: str) -> int:
        """Delete everything held of a peer; return the number of sets."""
        async with self._store.write() as tx:
            return await forget_mirrored(tx, peer)

    async def gossip_view(self, source: Source, own: str, own_seq: int) -> dict[str, SeenHead]:
        """Return the heads held of a source's audience by origin, and the own head of number `own_seq`."""
        async with self._store.read() as rows:
            mirrored = await rows.find(MirrorRow, where(audience=source.audience, kind=source.kind))
            ours = await rows.get(SetHeadRow, source.audience, source.kind, own_seq)
        held = {one.origin: SeenHead(origin=one.origin, seq=one.seq, head_hash=one.head_hash) for one in mirrored}
        if ours:
            held[own] = SeenHead(origin=own, seq=ours.seq, head_hash=ours.head_hash)
        return held


async def forget_mirrored(tx: Writer, peer: str) -> int:
    """Delete everything held of a peer, heads too: its chains begin anew; return the number of sets."""
    for kind in (MirrorPageRow, TakenHeadRow):
        await tx.delete(kind, where(origin=peer))
    return await tx.delete(MirrorRow, where(origin=peer))


async def _expect_listed(tx: Writer, held: MirrorRow | None, candidate: Candidate) -> None:
    """Have the watcher of its origin's log look for a new head there, whatever head follows it.

    Raises: LimitError: so many wait already; a log that is not read could hide what it does not list.
    """
    if held is not None and held.head == candidate.jws:
        return
    head = candidate.head
    chain = b64(chain_id(head.origin, head.audience, head.kind))
    if await tx.count(TakenHeadRow, where(origin=head.origin, chain=chain)) >= MOST_UNLISTED:
        raise LimitError("too many heads of this set were not found in the log of its origin yet", code="not-listed")
    await tx.put(
        TakenHeadRow(origin=head.origin, chain=chain, seq=head.seq, head=candidate.jws, issued_at=head.issued_at)
    )


def _place(origin: str, audience: str, kind: str) -> Condition:
    return where(origin=origin, audience=audience, kind=kind)


def _page(place: tuple[str, str, str], number: int, data: bytes) -> MirrorPageRow:
    origin, audience, kind = place
    return MirrorPageRow(origin=origin, audience=audience, kind=kind, number=number, data=data)
