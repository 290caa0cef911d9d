"""Gives people's devices what proves another person's keys, and what this node makes of the directories of peers.

A device asks for all entries of a prefix, so that its own node does not learn who stands behind a request.
Source: docs/protocol/13-key-directory.md §6, §7.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec

from federation.attesting import KIND, AttesterBook, Documents, EnclosedProof, enclosed, proven_head, usable_proof
from federation.mirror_store import same_entries
from federation.ports import Clock, Reader, Store, Writer, where
from federation.rows import HeadProofRow, MirrorPageRow, MirrorRow, SetHeadRow, SetPageRow
from federation.sets import Source
from protocol.commitments import commit
from protocol.directorypages import DirectoryPage, page_answer
from protocol.encoding import b64
from protocol.errors import LimitError, MalformedError, MissingError, UnverifiedError
from protocol.heads import ENTRY_PURPOSE, SetHead
from protocol.ids import Bytes32, Entity
from protocol.keyentries import KeyEntry, check_successor, lookup_prefix, open_entries
from protocol.keyproof import HeadProof, PlacedEntry
from protocol.pages import IncompleteError, Page, decode_page
from protocol.tlog.merkle import Tree, leaf_hash

MAX_ANSWERED: Final = 512
#: Entries that this node mirrors of one peer at most.
MAX_MIRRORED: Final = 2**16


class KeyQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries of an origin's directory: those whose look-up prefix begins with the first `bits` of `prefix`.

    Without a prefix the answer has the head only, which says how large the directory is.
    """

    origin: Entity
    audience: Bytes32
    prefix: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{4}(?!\n)$")] | None = None
    bits: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0


class KeyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A proven head, whom the audience's registry names as attesters, and the entries that were asked for."""

    head: HeadProof
    named: tuple[Entity, ...] = ()
    entries: tuple[PlacedEntry, ...] = ()


class _Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """A directory taken apart: its entries in order, where each begins, and the trees of its shards."""

    entries: tuple[tuple[int, int, str, str, str], ...]
    trees: Mapping[int, Tree]


class KeyLookup:
    """Directories of this node and its peers, for its own people."""

    def __init__(self, store: Store, book: AttesterBook, documents: Documents, *, own: str) -> None:
        self._store: Final = store
        self._book: Final = book
        self._documents: Final = documents
        self._own: Final = own
        self._shelves: Final[dict[tuple[str, str], tuple[tuple[str, ...], _Shelf]]] = {}

    async def find(self, query: KeyQuery) -> KeyAnswer:
        """Return a proven head and the entries asked for.

        Raises: MissingError: no such directory, or none that is proven yet: try again in a moment. LimitError: the
            prefix is too short for a directory of this size. MalformedError: bits of the prefix that do not count.
        """
        attesters = sorted(await self._book.attesters(query.audience))
        async with self._store.read() as rows:
            row = await _usable(rows, query.origin, query.audience)
            proof = await enclosed(rows, row, attesters)
            pages = await self._pages(rows, row) if query.prefix is not None else ()
        head = self._head(proof, attesters)
        if query.prefix is None:
            return KeyAnswer(head=head, named=tuple(attesters))
        shelf = self._shelf(query, proven_head(row), pages)
        return KeyAnswer(head=head, named=tuple(attesters), entries=_placed(shelf, query.prefix, query.bits))

    async def page(self, origin: str, audience: str, number: int) -> DirectoryPage:
        """Return one whole page of a peer's newest proven directory, with the proof of its head.

        Raises: MissingError: no such page, no directory that is proven yet, or its pages are of a newer head already:
            they would look like a forgery under the older one.
        """
        attesters = sorted(await self._book.attesters(audience))
        async with self._store.read() as rows:
            row = await _usable(rows, origin, audience)
            proof = await enclosed(rows, row, attesters)
            if not same_entries(await _mirrored(rows, row), proven_head(row)):
                raise MissingError("this directory is changing: try again in a moment", code="not-proven")
            # Not the whole directory, which may be a hundred megabytes: many ask for one page each.
            found = await rows.get(MirrorPageRow, row.origin, row.audience, row.kind, number)
        if found is None:
            raise MissingError("this directory has no such page", code="no-page")
        return page_answer(self._head(proof, attesters), found.data, tuple(attesters))

    def _head(self, proof: EnclosedProof, attesters: Sequence[str]) -> HeadProof:
        """Return a stored proof with the documents of its origin and of who attests."""
        texts = [self._documents.text(one) for one in sorted({proof.row.origin, *attesters})]
        return HeadProof(
            head=proof.row.head,
            log=proof.row.log,
            attestations=proof.attestations,
            documents=tuple(filter(None, texts)),
        )

    async def _pages(self, rows: Reader, row: HeadProofRow) -> Sequence[bytes]:
        """Return the pages held of a directory. Raises: MissingError: it is not held whole."""
        if row.origin == self._own:
            head = await rows.get(SetHeadRow, row.audience, row.kind, row.seq)
            place = where(audience=row.audience, kind=row.kind, seq=head.pages_of if head else 0)
            return [page.data for page in await rows.find(SetPageRow, place, order="page")]
        await _mirrored(rows, row)
        place = where(origin=row.origin, audience=row.audience, kind=row.kind)
        return [page.data for page in await rows.find(MirrorPageRow, place, order="number")]

    def _shelf(self, query: KeyQuery, head: SetHead, pages: Sequence[bytes]) -> _Shelf:
        place = query.origin, query.audience
        kept = self._shelves.get(place)
        if kept is not None and kept[0] == head.shards:
            return kept[1]
        shelf = _take_apart([decode_page(data) for data in pages])
        if any(b64(tree.root) != head.shards[shard] for shard, tree in shelf.trees.items()):
            raise MissingError("this directory is changing: try again in a moment", code="not-proven")
        self._shelves[place] = head.shards, shelf
        return shelf

    async def listed(self, tx: Reader, audience: str) -> int:
        """Return the number of this node's newest head of an audience that people's devices may rely on, else 0."""
        row = await usable_proof(tx, self._own, audience)
        return row.seq if row else 0


async def _usable(rows: Reader, origin: str, audience: str) -> HeadProofRow:
    row = await usable_proof(rows, origin, audience)
    if row is None:
        raise MissingError("this directory is not proven yet: try again in a moment", code="not-proven")
    return row


async def _mirrored(rows: Reader, row: HeadProofRow) -> MirrorRow:
    """Return what is mirrored of the directory of a proof. Raises: MissingError: it is not held whole."""
    mirrored = await rows.get(MirrorRow, row.origin, row.audience, row.kind)
    if mirrored is None or mirrored.state != "complete":
        raise MissingError("this directory is not held whole at the moment", code="not-proven")
    return mirrored


def _take_apart(pages: Sequence[Page]) -> _Shelf:
    entries: list[tuple[int, int, str, str, str]] = []
    leaves: dict[int, list[bytes]] = {0: []}
    for page in pages:
        for one in page.entries:
            identity = msgspec.json.decode(one.body, type=KeyEntry).identity_key
            shard = leaves.setdefault(page.shard, [])
            entries.append((page.shard, len(shard), lookup_prefix(identity, 16), one.body.decode(), b64(one.salt)))
            shard.append(leaf_hash(commit(ENTRY_PURPOSE[KIND], one)))
    return _Shelf(entries=tuple(entries), trees={shard: Tree(each) for shard, each in leaves.items()})


def _placed(shelf: _Shelf, prefix: str, bits: int) -> tuple[PlacedEntry, ...]:
    number, shift = int(prefix, 16), 16 - bits
    if number >> shift << shift != number:
        raise MalformedError("prefix must be zero after the bits that count")
    found = [one for one in shelf.entries if int(one[2], 16) >> shift == number >> shift]
    if len(found) > MAX_ANSWERED:
        raise LimitError(f"an answer has at most {MAX_ANSWERED} entries: ask with more bits")
    return tuple(
        PlacedEntry(
            body=body,
            salt=salt,
            shard=shard,
            index=index,
            size=shelf.trees[shard].size,
            proof=tuple(b64(each) for each in shelf.trees[shard].inclusion_proof(index)),
        )
        for shard, index, _, body, salt in found
    )


class KeyContents:
    """What this node makes of a mirrored directory: every entry holds, and none went back."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock

    def check_size(self, bucket: int) -> None:
        """Return if a directory of this size is mirrored. Raises: LimitError."""
        if bucket > MAX_MIRRORED:
            raise LimitError(f"a key directory of more than {MAX_MIRRORED} entries is not mirrored")

    def check(self, source: Source, bodies: Sequence[bytes]) -> None:
        """Return if all are entries that hold. Raises: IncompleteError."""
        try:
            open_entries(bodies, audience=source.audience, now=self._clock.now())
        except (MalformedError, UnverifiedError) as error:
            raise IncompleteError(str(error)) from None

    async def take(self, tx: Writer, source: Source, bodies: Sequence[bytes]) -> None:
        """Return if every entry that changed has a larger number and its old identity key. Raises: IncompleteError."""
        place = where(origin=source.peer, audience=source.audience, kind=source.kind)
        held = {}
        for page in await tx.find(MirrorPageRow, place, order="number"):
            for one in decode_page(page.data).entries:
                held[msgspec.json.decode(one.body, type=KeyEntry).label] = one.body
        try:
            check_successor(held, [msgspec.json.decode(body, type=KeyEntry) for body in bodies])
        except UnverifiedError as error:
            raise IncompleteError(str(error)) from None
