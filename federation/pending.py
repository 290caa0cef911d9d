"""A federation key that changed without a word of the known keys: visible for 72 hours, then the administrator decides.

Until then, and without a decision for ever, the pinned document stays and goes on working.
Source: docs/protocol/20-identity.md §4.5.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.errors import MissingError, RefusedError
from protocol.fingerprints import fingerprint_words
from protocol.peers import open_document
from protocol.rotation import pin
from protocol.signing import VerifyKey
from protocol.times import when

from .directory import Peer, PeerDirectory
from .pins import forget_peer, refuse_revoked
from .ports import Clock, Reader, Store
from .rows import PeerRow, PendingDocumentRow

#: How long everybody can see the change before it can be confirmed.
WAIT_S: Final = 72 * 3600


class PendingKey(msgspec.Struct, frozen=True, kw_only=True):
    """A peer's new federation key that awaits confirmation: the words of both keys, and the second it can be given."""

    entity: str
    known_words: str
    new_words: str
    first_seen: int
    seen_at: int
    confirm_from: int


class PendingKeys:
    """Changed federation keys of one node's peers."""

    def __init__(self, store: Store, clock: Clock, directory: PeerDirectory) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._directory: Final = directory

    async def see(self, peer: Peer, text: str) -> bool:
        """Note a document that does not follow the pinned one; tell whether it shows a key not seen before.

        Nothing is noted when only the recovery key differs: whoever holds the federation key alone cannot want that.

        Raises: MalformedError, UnverifiedError: not a whole document of this peer. RevokedKeyError: the key was ended.
        """
        document, now = open_document(text), self._clock.now()
        if document.entity != peer.entity or document.keys.federation == peer.document.keys.federation:
            return False
        async with self._store.write() as tx:
            await refuse_revoked(tx, document)
            row = await tx.get(PendingDocumentRow, peer.entity)
            same = row is not None and row.federation_key == document.keys.federation
            await tx.put(
                PendingDocumentRow(
                    entity=peer.entity,
                    federation_key=document.keys.federation,
                    document=text.encode("ascii"),
                    first_seen=row.first_seen if row is not None and same else now,
                    seen_at=now,
                )
            )
        return not same

    async def all(self) -> tuple[PendingKey, ...]:
        """Return what awaits confirmation, by entity."""
        async with self._store.read() as rows:
            return tuple([await self._shown(rows, row) for row in await rows.find(PendingDocumentRow)])

    async def show(self, entity: str) -> PendingKey:
        """Return what awaits confirmation of one peer. Raises: MissingError."""
        async with self._store.read() as rows:
            return await self._shown(rows, await _row(rows, entity))

    async def confirm(self, entity: str, words: str) -> Peer:
        """Return the peer with its new key, which the administrator compared by its `words`.

        Raises: MissingError: nothing waits. RefusedError: it is too early, or the words are those of another key.
        RevokedKeyError.
        """
        async with self._store.write() as tx:
            row = await _row(tx, entity)
            seen = await self._shown(tx, row)
            if words.split() != seen.new_words.split():
                raise RefusedError("these are not the words of the new key: compare them once more", code="wrong-words")
            if self._clock.now() < seen.confirm_from:
                at = when(seen.confirm_from)
                raise RefusedError(f"the new key can be confirmed from {at} on", code="too-early")
            text = row.document.decode("ascii")
            pinned = pin(text, VerifyKey.parse(row.federation_key))
            await refuse_revoked(tx, pinned.document)
            known = await tx.get(PeerRow, entity)
            if known is None:
                raise MissingError("there is no such peer any more", code="no-such-peer")
            changed = replace(
                known,
                document=row.document,
                keyid=VerifyKey.parse(pinned.document.keys.http).keyid,
                federation_key=row.federation_key,
                recovered=pinned.recovered,
                fetched_at=row.seen_at,
            )
            await forget_peer(tx, entity)
            await tx.put(changed)
        return self._directory.put(changed)

    async def _shown(self, rows: Reader, row: PendingDocumentRow) -> PendingKey:
        known = await rows.get(PeerRow, row.entity)
        return PendingKey(
            entity=row.entity,
            known_words=fingerprint_words(VerifyKey.parse(known.federation_key)) if known else "",
            new_words=fingerprint_words(VerifyKey.parse(row.federation_key)),
            first_seen=row.first_seen,
            seen_at=row.seen_at,
            confirm_from=row.first_seen + WAIT_S,
        )


async def _row(rows: Reader, entity: str) -> PendingDocumentRow:
    row = await rows.get(PendingDocumentRow, entity)
    if row is None:
        raise MissingError("no changed key of this peer awaits confirmation", code="nothing-pending")
    return row
