"""Gives people's devices what proves another person's keys, and what this node makes of the directories of peers.

A device asks for all entries of a prefix, so that its own node does not learn who stands behind a request.
Source: docs/protocol/13-key-directory.md §6, §7.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from federation.attesting import AttesterBook, Documents
from federation.headproofs import EnclosedProof, enclosed, proven_head, usable_proof
from federation.mirror_store import same_entries
from federation.ports import Reader, Store, is_in, where
from federation.rows import HeadProofRow, MirrorPageRow, MirrorRow, SetHeadRow, SetPageRow
from protocol.directorypages import DirectoryPage, page_answer
from protocol.errors import MalformedError, MissingError
from protocol.ids import Bytes32, Entity
from protocol.keyproof import HeadProof, PlacedEntry

from .shelves import Shelves, changing


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


class KeyLookup:
    """Directories of this node and its peers, for its own people."""

    def __init__(self, store: Store, book: AttesterBook, documents: Documents, *, own: str) -> None:
        self._store: Final = store
        self._book: Final = book
        self._documents: Final = documents
        self._own: Final = own
        self._shelves: Final = Shelves()

    async def find(self, query: KeyQuery) -> KeyAnswer:
        """Return a proven head and the entries asked for.

        Raises: MissingError: no such directory, or none that is proven yet: try again in a moment. LimitError: the
            prefix is too short for a directory of this size. MalformedError: bits of the prefix that do not count.
        """
        attesters = sorted(await self._book.attesters(query.audience))
        async with self._store.read() as rows:
            row = await _usable(rows, query.origin, query.audience)
            proof = await enclosed(rows, row, attesters)
        head = self._head(proof, attesters)
        if query.prefix is None:
            return KeyAnswer(head=head, named=tuple(attesters))
        number, shift = int(query.prefix, 16), 16 - query.bits
        if number >> shift << shift != number:
            raise MalformedError("prefix must be zero after the bits that count")

        async def read(numbers: Sequence[int]) -> Sequence[bytes]:
            return await self._pages(row, numbers)

        place = query.origin, query.audience
        entries = await self._shelves.find(place, proven_head(row), read, prefix=number, shift=shift)
        return KeyAnswer(head=head, named=tuple(attesters), entries=entries)

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
                raise changing()
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

    async def _pages(self, row: HeadProofRow, numbers: Sequence[int]) -> Sequence[bytes]:
        """Return those pages of a directory that there are. Raises: MissingError: it is not held whole."""
        async with self._store.read() as rows:
            if row.origin == self._own:
                head = await rows.get(SetHeadRow, row.audience, row.kind, row.seq)
                place = where(audience=row.audience, kind=row.kind, seq=head.pages_of if head else 0)
                own = await rows.find(SetPageRow, place, is_in("page", numbers), order="page")
                return [page.data for page in own]
            await _mirrored(rows, row)
            place = where(origin=row.origin, audience=row.audience, kind=row.kind)
            found = await rows.find(MirrorPageRow, place, is_in("number", numbers), order="number")
            return [page.data for page in found]

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
