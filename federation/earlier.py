"""Documents that peers had before: what they signed by the keys of then goes on counting against them.

A peer that changes its keys or its log between two stories is held to both. Source: docs/protocol/56-evidence.md §2.
"""

from collections.abc import Callable, Sequence
from typing import Final

from protocol.errors import LimitError
from protocol.peers import NodeDocument, keyids_of, log_key, open_document
from protocol.rotation import Pinned
from protocol.tlog.checkpoint import CheckpointNote
from protocol.tlog.note import lines_of

from .ports import Reader, Writer, above, at_most, where
from .rows import EarlierDocumentRow

KEEP_S: Final = 14 * 86_400
#: Of one peer; while there are so many it can change these keys by its recovery key only.
MOST: Final = 32


async def keep_document(tx: Writer, before: Pinned, after: Pinned, *, now: int) -> None:
    """Keep the document that another one replaces, if what its keys signed could not be shown by the new one.

    Raises: LimitError: the peer changes its keys so often that earlier ones would have to be forgotten.
    """
    if _held_by(before.document) == _held_by(after.document):
        return
    entity = before.document.entity
    await tx.delete(EarlierDocumentRow, at_most("replaced_at", now - KEEP_S))
    full = await tx.count(EarlierDocumentRow, where(entity=entity)) >= MOST
    if full and after.recovered == before.recovered:
        raise LimitError("the document changes its keys too often", code="keys-change-too-often")
    document = before.text.encode("ascii")
    await tx.put(EarlierDocumentRow(entity=entity, seq=before.document.seq, document=document, replaced_at=now))


def _held_by(document: NodeDocument) -> tuple[str, str, str]:
    return document.log_origin, document.keys.log, document.keys.envelope_sign


async def earlier_documents(rows: Reader, *, now: int) -> list[EarlierDocumentRow]:
    """Return the documents that count still, the newest of each peer first."""
    found = await rows.find(EarlierDocumentRow, above("replaced_at", now - KEEP_S))
    return sorted(found, key=lambda row: (row.entity, -row.seq))


async def document_with(rows: Reader, entity: str, present: str, keyid: str) -> str:
    """Return the document of a peer that names a key: the `present` one, an earlier one, or else the present one."""
    return await _first_of(rows, entity, [present], lambda document: keyid in keyids_of(document))


async def document_of(rows: Reader, entity: str, known: Sequence[str], found: CheckpointNote) -> str:
    """Return the document of a peer that names the key of a checkpoint: one `known`, an earlier one, or else the last.

    The last of those `known` is the present one.
    """
    return await _first_of(rows, entity, known, lambda document: bool(lines_of(found.note, [log_key(document)])))


async def _first_of(rows: Reader, entity: str, known: Sequence[str], named: Callable[[NodeDocument], bool]) -> str:
    earlier = await rows.find(EarlierDocumentRow, where(entity=entity), order="-seq")
    texts = [*known, *(row.document.decode("ascii") for row in earlier)]
    return next((text for text in texts if named(open_document(text))), known[-1])
