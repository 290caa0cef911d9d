"""What a peer's changed document leaves behind in the store: earlier keys for what is under way, ended keys for good.

Source: docs/protocol/20-identity.md §4.
"""

from typing import Final

from protocol.peers import NodeDocument
from protocol.rotation import Pinned, RevokedKeyError, online_keys
from protocol.signing import VerifyKey, VerifyKeys

from .ports import Reader, Writer, above, where
from .rows import EarlierKeyRow, PendingDocumentRow, RevokedKeyRow, ToldDocumentRow

#: A message is tried for two weeks, and answers to it are signed meanwhile: what was under way is then at its end.
KEEP_EARLIER_S: Final = 45 * 86_400
#: Earlier keys of one peer that count at a time.
MAX_EARLIER: Final = 8


async def refuse_revoked(rows: Reader, document: NodeDocument) -> None:
    """Return unless the document names a key that was ended. Raises: RevokedKeyError."""
    for key in sorted(online_keys(document.keys) | {document.keys.recovery}):
        if await rows.get(RevokedKeyRow, document.entity, key) is not None:
            raise RevokedKeyError("document has a key that a statement of the recovery key has ended")


async def note_followed(tx: Writer, before: Pinned, after: Pinned, *, now: int) -> None:
    """Store what the step from one pinned document to the next leaves behind. Raises: RevokedKeyError."""
    entity = before.document.entity
    await refuse_revoked(tx, after.document)
    await tx.delete(PendingDocumentRow, where(entity=entity))
    if after.recovered > before.recovered:
        await tx.delete(EarlierKeyRow, where(entity=entity))
        for key in sorted(online_keys(before.document.keys)):
            await tx.put(RevokedKeyRow(entity=entity, public=key, at=now))
    elif after.document.keys.envelope_sign != before.document.keys.envelope_sign:
        old = before.document.keys.envelope_sign
        await tx.put(EarlierKeyRow(entity=entity, public=old, until=now + KEEP_EARLIER_S))
        for row in (await tx.find(EarlierKeyRow, where(entity=entity), order="-until"))[MAX_EARLIER:]:
            await tx.delete(EarlierKeyRow, where(entity=entity, public=row.public))


async def message_keys(rows: Reader, entity: str, present: VerifyKey, *, now: int) -> VerifyKeys:
    """Return the keys by which a peer's handshake messages verify at `now`; `present` is that of its document."""
    earlier = await rows.find(EarlierKeyRow, where(entity=entity), above("until", now), limit=MAX_EARLIER)
    return VerifyKeys(present, [VerifyKey.parse(row.public) for row in earlier])


async def forget_peer(tx: Writer, entity: str) -> None:
    """Erase what is kept about the keys of a peer that is one no longer; keys that were ended stay ended."""
    for kind in (EarlierKeyRow, PendingDocumentRow, ToldDocumentRow):
        await tx.delete(kind, where(entity=entity))
