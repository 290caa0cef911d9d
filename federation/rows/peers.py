"""Tables of peering: peers, spent nonces, open invitations."""

from typing import ClassVar

from federation.ports import Row


class PeerRow(Row, frozen=True, kw_only=True):
    """Another organization's node, met by ticket or stated by a registry: nobody else is let in.

    `document` is its node document as signed; the columns beside it are what queries and the pin need. `via` is the
    registry it was met through; it is let in as long as statements about it count.
    """

    table = "peer"
    key = ("entity",)
    unique = (("keyid",),)
    named_by = "entity"
    purpose: ClassVar = {
        "entity": "peering: which organization",
        "connect_to": "peering: loopback address in development, else empty",
        "keyid": "security: recognize its requests",
        "federation_key": "security: the key its documents must be signed with",
        "document": "peering: what it says about itself, signed",
        "recovered": "security: number of the last statement of its recovery key",
        "mode": "peering: what it may do",
        "mode_reason": "accountability: why the administrator set the mode",
        "mode_until": "peering: when the mode ends",
        "added_at": "accountability: when it was let in",
        "fetched_at": "security: age of the document",
        "via": "peering: registry it was met through; empty: a bilateral pair",
    }

    entity: str
    connect_to: str = ""
    keyid: str
    federation_key: str
    document: bytes
    recovered: int = 0
    mode: str
    mode_reason: str = ""
    mode_until: int | None = None
    added_at: int
    fetched_at: int
    via: str = ""


class NonceRow(Row, frozen=True, kw_only=True):
    """One signed request that had an effect: it has none a second time."""

    table = "nonce"
    key = ("keyid", "nonce")
    purpose: ClassVar = {
        "keyid": "security: which peer signed",
        "nonce": "security: which request",
        "expires_at": "retention: the signature is refused by itself from then on",
    }

    keyid: str
    nonce: str
    expires_at: int


class InviteRow(Row, frozen=True, kw_only=True):
    """One ticket that was given out, known by the hash of its code."""

    table = "invite"
    key = ("code_hash",)
    purpose: ClassVar = {
        "code_hash": "security: recognize the ticket without being able to use it",
        "entity": "peering: the only organization that may use it; empty: any",
        "policy": "peering: the mode it starts with",
        "created_at": "accountability: when it was given out",
        "expires_at": "security: end of the ticket",
        "used_by": "security: a ticket works for one organization",
        "consortium": "peering: whoever uses it also asks to be admitted as a member",
    }

    code_hash: bytes
    entity: str = ""
    policy: str
    created_at: int
    expires_at: int
    used_by: str | None = None
    consortium: bool = False


class OwnDocumentRow(Row, frozen=True, kw_only=True):
    """The node's own document as last signed, so that its `seq` grows exactly when it says something else."""

    table = "own_document"
    key = ("entity",)
    purpose: ClassVar = {
        "entity": "peering: whose document",
        "document": "peering: the document, signed",
    }

    entity: str
    document: bytes
