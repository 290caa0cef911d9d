"""The tables that node-to-node code reads and writes, a section for each part; one class is one table.

The tables themselves are made by `node/store/migrations/`; a test compares both, column by column.
"""

from typing import ClassVar

from .ports import Row

# Peers


class PeerRow(Row, frozen=True, kw_only=True):
    """Another organization's node, met by ticket: nobody else is let in.

    `document` is its node document as signed; the columns beside it are what queries and the pin need.
    """

    table = "peer"
    key = ("entity",)
    unique = (("keyid",),)
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
    }

    code_hash: bytes
    entity: str = ""
    policy: str
    created_at: int
    expires_at: int
    used_by: str | None = None


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


# Offers


class CatalogRow(Row, frozen=True, kw_only=True):
    """What one audience is shown and will be shown: compressed MessagePack of `protocol.editions.Catalog`."""

    table = "catalog"
    key = ("audience",)
    purpose: ClassVar = {
        "audience": "offers: who is shown this catalog",
        "edition": "offers: number of the edition it is from",
        "state": "privacy: who could have held each listed cell all the time, so that k holds over time",
        "changed_at": "operation: when the edition was made",
    }

    audience: str
    edition: int
    state: bytes
    changed_at: int


class SetHeadRow(Row, frozen=True, kw_only=True):
    """A set head this node signed. Its pages stand under the first head with the same content, `pages_of`."""

    table = "set_head"
    key = ("audience", "kind", "seq")
    purpose: ClassVar = {
        "audience": "offers: who is shown the set",
        "kind": "offers: which set",
        "seq": "offers: place in the chain of heads",
        "head": "offers: the signed head",
        "head_hash": "offers: what the next head names as the one before",
        "pages_of": "offers: sequence number under which the pages are kept",
        "pages": "offers: number of pages",
        "generation": "security: notice that the database came back from a backup",
        "issued_at": "retention: older heads and pages are deleted",
    }

    audience: str
    kind: str
    seq: int
    head: str
    head_hash: str
    pages_of: int
    pages: int
    generation: int
    issued_at: int


class SetPageRow(Row, frozen=True, kw_only=True):
    """One snapshot page as it is served."""

    table = "set_page"
    key = ("audience", "kind", "seq", "page")
    purpose: ClassVar = {
        "audience": "offers: who is shown the set",
        "kind": "offers: which set",
        "seq": "offers: head whose content it is part of",
        "page": "offers: which page",
        "data": "offers: the bytes to serve",
    }

    audience: str
    kind: str
    seq: int
    page: int
    data: bytes


class MirrorRow(Row, frozen=True, kw_only=True):
    """The newest verified head of a peer's set; `state` is complete, incomplete or forked.

    Only a complete set before `not_after` is shown. `evidence` is the head that contradicts `head`.
    """

    table = "mirror"
    key = ("origin", "audience", "kind")
    purpose: ClassVar = {
        "origin": "offers: whose set",
        "audience": "offers: shown to whom",
        "kind": "offers: which set",
        "seq": "security: refuse an older head",
        "head": "security: evidence, and the roots to compare with",
        "head_hash": "security: refuse a head that does not follow",
        "issued_at": "security: refuse a head issued earlier",
        "not_after": "offers: stop showing the set from then on",
        "state": "offers: show complete sets only",
        "entries": "operation: size of the set",
        "etag": "operation: ask for changes only",
        "evidence": "evidence: a second head with the same place in the chain",
    }

    origin: str
    audience: str
    kind: str
    seq: int
    head: str
    head_hash: str
    issued_at: int
    not_after: int
    state: str
    entries: int
    etag: str = ""
    evidence: str = ""


class MirrorBodyRow(Row, frozen=True, kw_only=True):
    """One entry of a peer's set; deleted with the first head that leaves it out."""

    table = "mirror_body"
    key = ("origin", "audience", "kind", "commitment")
    purpose: ClassVar = {
        "origin": "offers: whose entry",
        "audience": "offers: shown to whom",
        "kind": "offers: which set",
        "commitment": "offers: place in the set's tree",
        "shard": "offers: which root it counts for",
        "salt": "offers: opens the commitment",
        "body": "offers: what is shown and searched",
    }

    origin: str
    audience: str
    kind: str
    commitment: bytes
    shard: int
    salt: bytes
    body: bytes


# Handshake


class ThreadRow(Row, frozen=True, kw_only=True):
    """One side of a thread; an internal match has two rows, one for each side.

    `book` is the canonical `protocol.threads.Book`, `notes` what only this side keeps (see `node/services/threads.py`).
    `label` is the mailbox of the own person: at the provider it stays empty until a mentor is chosen.
    """

    table = "thread"
    key = ("thread", "side")
    purpose: ClassVar = {
        "thread": "handshake: identity, random",
        "side": "handshake: role of this node",
        "peer": "handshake: the other organization",
        "label": "handshake: mailbox of the own person, random; empty before a mentor is chosen",
        "state": "handshake: find threads that wait",
        "deadline": "handshake: when the state lapses",
        "book": "handshake: order and hashes of the messages",
        "notes": "handshake: what this side needs to go on",
        "purge_at": "retention: when the row is erased",
    }

    thread: str
    side: str
    peer: str
    label: str
    state: str
    deadline: int | None
    book: bytes
    notes: bytes
    purge_at: int


class MessageRow(Row, frozen=True, kw_only=True):
    """One handshake message as it was sent or received, byte for byte: for replay and as evidence."""

    table = "message"
    key = ("thread", "side", "sender", "seq")
    purpose: ClassVar = {
        "thread": "handshake: which thread",
        "side": "handshake: role of this node",
        "sender": "handshake: role of the signer",
        "seq": "handshake: order",
        "mid": "delivery: identity of the message",
        "hash": "evidence: identity of the bytes",
        "item": "evidence: the signed message; sealed parts stay sealed",
        "at": "evidence: when it was stored",
    }

    thread: str
    side: str
    sender: str
    seq: int
    mid: str
    hash: str
    item: bytes
    at: int


class CandidateRow(Row, frozen=True, kw_only=True):
    """Who stands behind an opaque `ref` of a quote, at the provider only."""

    table = "candidate"
    key = ("thread", "ref")
    purpose: ClassVar = {
        "thread": "handshake: which thread",
        "ref": "handshake: opaque name of the candidate, random",
        "label": "handshake: mailbox of the mentor, random",
        "candidate": "handshake: what was quoted, to quote other times of the same person",
        "purge_at": "retention: when the row is erased",
    }

    thread: str
    ref: str
    label: str
    candidate: bytes
    purge_at: int


class PlaceRow(Row, frozen=True, kw_only=True):
    """One open request or agreed session that takes one of a mentor's places."""

    table = "place"
    key = ("thread",)
    purpose: ClassVar = {
        "thread": "handshake: which thread",
        "label": "handshake: mailbox of the mentor, random",
        "taken_at": "handshake: when the place was taken",
        "free_at": "handshake: when the place comes back by itself",
    }

    thread: str
    label: str
    taken_at: int
    free_at: int


class SlotRow(Row, frozen=True, kw_only=True):
    """One half hour of a mentor that a thread holds; the key makes double booking impossible."""

    table = "slot"
    key = ("label", "start")
    purpose: ClassVar = {
        "label": "handshake: mailbox of the mentor, random",
        "start": "handshake: the half hour",
        "thread": "handshake: who holds it",
    }

    label: str
    start: int
    thread: str


class QuotaRow(Row, frozen=True, kw_only=True):
    """Quotes that one peer took on one day, and how many of them it accepted: the limit on probing."""

    table = "quote_quota"
    key = ("peer", "day")
    purpose: ClassVar = {
        "peer": "security: which organization asked",
        "day": "security: which day (Unix days)",
        "quoted": "security: quotes given",
        "accepted": "security: quotes that became a request to a person",
    }

    peer: str
    day: int
    quoted: int
    accepted: int


class OutboxRow(Row, frozen=True, kw_only=True):
    """One item on its way to a peer, written in the transaction that explains it."""

    table = "outbox"
    key = ("peer", "mid")
    purpose: ClassVar = {
        "peer": "delivery: where to",
        "mid": "delivery: identity",
        "thread": "delivery: order is kept per thread and side",
        "side": "delivery: role of this node in the thread",
        "seq": "delivery: order",
        "item": "delivery: the bytes, never signed again",
        "created_ms": "delivery: order between threads",
        "due_ms": "delivery: next try",
        "attempts": "delivery: how often it was tried",
        "expires_at": "delivery: after this it is a dead letter",
    }

    peer: str
    mid: str
    thread: str
    side: str
    seq: int
    item: bytes
    created_ms: int
    due_ms: int
    attempts: int = 0
    expires_at: int


class InboxRow(Row, frozen=True, kw_only=True):
    """One item received: a repeat of it answers with the stored receipt and has no effect."""

    table = "inbox"
    key = ("peer", "mid")
    purpose: ClassVar = {
        "peer": "delivery: where from",
        "mid": "delivery: identity",
        "hash": "delivery: same id with other bytes is evidence",
        "outcome": "delivery: the answer given",
        "purge_at": "retention: when the row is erased",
    }

    peer: str
    mid: str
    hash: str
    outcome: bytes
    purge_at: int


class EvidenceRow(Row, frozen=True, kw_only=True):
    """A signed message that contradicts another signed message of the same sender."""

    table = "evidence"
    key = ("peer", "hash")
    purpose: ClassVar = {
        "peer": "evidence: who signed",
        "hash": "evidence: identity of the bytes",
        "thread": "evidence: which thread",
        "item": "evidence: the signed message",
        "at": "evidence: when it came",
    }

    peer: str
    hash: str
    thread: str
    item: bytes
    at: int


class AnswerLinkRow(Row, frozen=True, kw_only=True):
    """One mailed link by which a mentor answers without a device; only the hash of its token is kept."""

    table = "answer_link"
    key = ("token_hash",)
    purpose: ClassVar = {
        "token_hash": "handshake: SHA-256 of the mailed token",
        "thread": "handshake: which request",
        "action": "handshake: what the link proposes",
        "slot": "handshake: the start time it accepts",
        "expires_at": "handshake: the deadline of the answer",
    }

    token_hash: str
    thread: str
    action: str
    slot: int | None
    expires_at: int


class MissRow(Row, frozen=True, kw_only=True):
    """Deadlines in a row that a mentor let pass; an answer forgets them."""

    table = "missed"
    key = ("label",)
    purpose: ClassVar = {
        "label": "handshake: mailbox of the mentor, random",
        "count": "handshake: pause a mentor who does not answer",
    }

    label: str
    count: int


# Session


class SessionRow(Row, frozen=True, kw_only=True):
    """One side of a session: its life cycle, and the hub's counter where this node is the hub."""

    table = "session"
    key = ("thread", "side")
    purpose: ClassVar = {
        "thread": "session: identity, random",
        "side": "session: role of this node",
        "peer": "session: the other organization",
        "label": "session: mailbox of the own person, random",
        "state": "session: life cycle",
        "slot": "session: agreed start",
        "ends_at": "session: agreed end",
        "destroy_at": "retention: when ciphertext is erased at the latest",
        "sent": "delivery: envelopes sent to the other node",
        "heard": "delivery: envelopes received from the other node",
        "number": "delivery: envelopes ordered by the hub",
        "closed_own": "session: the own person closed it",
        "closed_their": "session: the other person closed it",
    }

    thread: str
    side: str
    peer: str
    label: str
    state: str
    slot: int | None
    ends_at: int
    destroy_at: int
    sent: int = 0
    heard: int = 0
    number: int = 0
    closed_own: bool = False
    closed_their: bool = False


class MailboxRow(Row, frozen=True, kw_only=True):
    """One entry that waits for a person's devices; `data` is signed or encrypted elsewhere and opaque here."""

    table = "mailbox"
    key = ("label", "cursor")
    purpose: ClassVar = {
        "label": "mailbox: whose, random",
        "cursor": "mailbox: order",
        "thread": "mailbox: which thread it belongs to",
        "side": "mailbox: role of this node in the thread",
        "kind": "mailbox: what the device does with it",
        "data": "mailbox: the item, opaque",
        "at": "retention: when it was stored",
    }

    label: str
    cursor: int
    thread: str
    side: str
    kind: str
    data: bytes
    at: int


class MailboxHeadRow(Row, frozen=True, kw_only=True):
    """The last cursor given in one mailbox."""

    table = "mailbox_head"
    key = ("label",)
    purpose: ClassVar = {"label": "mailbox: whose, random", "cursor": "mailbox: last position given"}

    label: str
    cursor: int


class MailboxAckRow(Row, frozen=True, kw_only=True):
    """Up to where one device has read; an entry goes when every enrolled device has read it."""

    table = "mailbox_ack"
    key = ("label", "device")
    purpose: ClassVar = {
        "label": "mailbox: whose, random",
        "device": "mailbox: which device, random",
        "cursor": "mailbox: position read",
    }

    label: str
    device: str
    cursor: int
