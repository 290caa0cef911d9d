"""Tables of changed keys: peers' ended ones, those that await confirmation, and who knows our own."""

from typing import ClassVar

from federation.ports import Row


class RevokedKeyRow(Row, frozen=True, kw_only=True):
    """A key that a statement of the organization's recovery key has ended, for good."""

    table = "revoked_key"
    key = ("entity", "public")
    purpose: ClassVar = {
        "entity": "peering: whose key",
        "public": "security: whoever stole it never comes back with it",
        "at": "accountability: when it was ended here",
    }

    entity: str
    public: str
    at: int


class PendingDocumentRow(Row, frozen=True, kw_only=True):
    """A document with a federation key that nobody known vouches for: it awaits time and the administrator."""

    table = "pending_document"
    key = ("entity",)
    purpose: ClassVar = {
        "entity": "peering: whose document",
        "federation_key": "security: another key starts the wait anew",
        "document": "peering: what would be pinned, signed",
        "first_seen": "security: the wait counts from here",
        "seen_at": "accountability: when it was served last",
    }

    entity: str
    federation_key: str
    document: bytes
    first_seen: int
    seen_at: int


class EarlierDocumentRow(Row, frozen=True, kw_only=True):
    """A peer's document before its log, the key of its log or that of its messages changed."""

    table = "earlier_document"
    key = ("entity", "seq")
    purpose: ClassVar = {
        "entity": "peering: whose document",
        "seq": "peering: number of the document",
        "document": "evidence: binds the keys of what was signed then",
        "replaced_at": "retention: when the row is erased",
    }

    entity: str
    seq: int
    document: bytes
    replaced_at: int


class ToldDocumentRow(Row, frozen=True, kw_only=True):
    """The document of this node that a peer confirmed last."""

    table = "told_document"
    key = ("entity",)
    purpose: ClassVar = {
        "entity": "peering: which peer",
        "hash": "peering: which document it has",
        "at": "accountability: since when",
    }

    entity: str
    hash: bytes
    at: int
