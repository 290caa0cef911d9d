"""Which document may follow a peer's in the store, and what it leaves behind: keys that are ended for good.

Source: docs/protocol/20-identity.md §4.
"""

from typing import Final

from msgspec.structs import replace

from protocol.errors import LimitError
from protocol.peers import NodeDocument, open_document
from protocol.rotation import Pinned, RevokedKeyError, follow, online_keys
from protocol.signing import VerifyKey

from .directory import peer_of
from .earlier import keep_document
from .ports import Reader, Writer, where
from .rows import EarlierDocumentRow, PeerRow, PendingDocumentRow, RevokedKeyRow, ToldDocumentRow

#: Of an Ed25519 key; the envelope's sealing key is longer, and signs nothing.
KEY_CHARACTERS: Final = 43
#: Ended keys of one peer, which are kept for good: what thirty recoveries and more end.
MOST_ENDED: Final = 1024


async def refuse_revoked(rows: Reader, document: NodeDocument) -> None:
    """Return unless the document names a key that was ended. Raises: RevokedKeyError."""
    ended = {row.public for row in await rows.find(RevokedKeyRow, where(entity=document.entity))}
    if ended & {*online_keys(document), document.keys.recovery}:
        raise RevokedKeyError("document has a key that a statement of the recovery key has ended")


async def refuse_revoked_signer(rows: Reader, entity: str, keyid: str) -> None:
    """Return unless the key with this thumbprint was ended. Raises: RevokedKeyError."""
    for row in await rows.find(RevokedKeyRow, where(entity=entity)):
        if len(row.public) == KEY_CHARACTERS and VerifyKey.parse(row.public).keyid == keyid:
            raise RevokedKeyError("message is signed by a key that a statement of the recovery key has ended")


async def note_followed(tx: Writer, before: Pinned, after: Pinned, *, now: int) -> None:
    """Store what the step from one pinned document to the next leaves behind. Raises: RevokedKeyError, LimitError."""
    entity = before.document.entity
    await refuse_revoked(tx, after.document)
    await keep_document(tx, before, after, now=now)
    await tx.delete(PendingDocumentRow, where(entity=entity))
    if after.recovered > before.recovered:
        if await tx.count(RevokedKeyRow, where(entity=entity)) >= MOST_ENDED:
            raise LimitError("so many keys of this peer were ended that no more are taken: remove it and ask by phone")
        for key in sorted(online_keys(before.document)):
            await tx.put(RevokedKeyRow(entity=entity, public=key, at=now))


async def follow_known(tx: Writer, known: PeerRow | None, row: PeerRow, *, now: int) -> PeerRow:
    """Return `row` once its document may follow what is known of the peer; one that is met first follows nothing.

    Raises: KeyChangedError, StaleDocumentError, RevokedKeyError, LimitError: the known document stays.
    """
    text = row.document.decode("ascii")
    if known is None:
        await refuse_revoked(tx, open_document(text))
        return row
    before = peer_of(known).pinned
    after = follow(before, text)
    await note_followed(tx, before, after, now=now)
    return replace(row, recovered=after.recovered)


async def forget_peer(tx: Writer, entity: str) -> None:
    """Erase what is kept about the keys of a peer that is one no longer; keys that were ended stay ended."""
    for kind in (EarlierDocumentRow, PendingDocumentRow, ToldDocumentRow):
        await tx.delete(kind, where(entity=entity))
