"""Tables of handshakes and delivery: threads, messages, places, outbox and inbox."""

from typing import ClassVar

from federation.ports import Row


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
    named_by = "peer"
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
