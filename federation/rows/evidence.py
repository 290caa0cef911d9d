"""Tables of watching logs: what is held of other logs, the cosignatures on one's own, evidence."""

from typing import ClassVar

from federation.ports import Row


class WitnessedLogRow(Row, frozen=True, kw_only=True):
    """The newest checkpoint of another log that this node's witness cosigned; only a larger one may follow it."""

    table = "witnessed_log"
    key = ("origin",)
    purpose: ClassVar = {
        "origin": "transparency: which log",
        "size": "security: from which size the log must prove that it grew",
        "note": "security: the root that a larger tree must begin with; evidence",
        "at": "operation: when it was cosigned last",
    }

    origin: str
    size: int
    note: bytes
    at: int


class CosignatureRow(Row, frozen=True, kw_only=True):
    """The newest cosignature of one witness on this node's own log."""

    table = "cosignature"
    key = ("log", "witness")
    purpose: ClassVar = {
        "log": "transparency: which of the node's logs",
        "witness": "transparency: verifier key of the witness",
        "size": "transparency: size of the checkpoint that it cosigned",
        "line": "transparency: the signature line to serve",
        "at": "operation: when the witness cosigned",
    }

    log: int
    witness: str
    size: int
    line: bytes
    at: int


class LogAheadRow(Row, frozen=True, kw_only=True):
    """A checkpoint that this node's key signed and that the stored log does not contain: it is not signed again."""

    table = "log_ahead"
    key = ("log",)
    purpose: ClassVar = {
        "log": "security: which of the node's logs",
        "size": "security: its size",
        "note": "evidence: the signed checkpoint",
        "said_by": "accountability: who showed it",
        "at": "accountability: when",
    }

    log: int
    size: int
    note: bytes
    said_by: str
    at: int


class LogOverrideRow(Row, frozen=True, kw_only=True):
    """An administrator let the log grow from this size without having asked the witnesses."""

    table = "log_override"
    key = ("log", "size")
    purpose: ClassVar = {
        "log": "accountability: which of the node's logs",
        "size": "security: the checkpoint that may be followed by another one",
        "at": "accountability: when it was decided",
    }

    log: int
    size: int
    at: int


class WatchedLogRow(Row, frozen=True, kw_only=True):
    """The newest checkpoint of a peer's log that was consistent with all before, and how far its entries are read."""

    table = "watched_log"
    key = ("origin",)
    purpose: ClassVar = {
        "origin": "transparency: which log",
        "entity": "transparency: whose log",
        "size": "security: number of entries",
        "note": "security: every other checkpoint must fit; evidence",
        "document": "evidence: the node document that binds the key",
        "read": "security: entries looked at so far",
        "problem": "security: what does not fit; empty while all does",
        "at": "operation: when the log was looked at last",
    }

    origin: str
    entity: str
    size: int
    note: bytes
    document: str
    read: int = 0
    problem: str = ""
    at: int


class WatchedHeadRow(Row, frozen=True, kw_only=True):
    """A set head that a peer's log lists; of chains that are not mirrored here only the newest is kept."""

    table = "watched_head"
    key = ("origin", "chain", "seq")
    purpose: ClassVar = {
        "origin": "transparency: in which log",
        "chain": "security: which chain of heads",
        "seq": "security: no number may come twice",
        "number": "evidence: place in the log",
        "commitment": "security: the head that was shown must be the one that is listed",
    }

    origin: str
    chain: str
    seq: int
    number: int
    commitment: str


class TakenHeadRow(Row, frozen=True, kw_only=True):
    """A set head that was mirrored and that its origin's log was not seen to list yet."""

    table = "taken_head"
    key = ("origin", "chain", "seq")
    purpose: ClassVar = {
        "origin": "security: whose log must list the head",
        "chain": "security: which chain of heads",
        "seq": "security: place in the chain",
        "head": "evidence: the head as it was shown here",
        "issued_at": "security: from when on it is late; retention",
    }

    origin: str
    chain: str
    seq: int
    head: str
    issued_at: int


class BundleRow(Row, frozen=True, kw_only=True):
    """Evidence that verifies: two statements of one node that cannot both be true."""

    table = "evidence_bundle"
    key = ("hash",)
    purpose: ClassVar = {
        "hash": "evidence: identity of the bytes",
        "accused": "evidence: whose statements",
        "kind": "evidence: which kind of contradiction",
        "bundle": "evidence: the statements and what binds their keys",
        "source": "accountability: found here, or imported",
        "bound": "security: whether the keys are those of the peer known here",
        "at": "accountability: when it was recorded",
    }

    hash: str
    accused: str
    kind: str
    bundle: bytes
    source: str
    bound: bool
    at: int


class FrozenRow(Row, frozen=True, kw_only=True):
    """A peer that contradicted itself: no new requests in either direction until an administrator thaws it."""

    table = "frozen"
    key = ("peer",)
    purpose: ClassVar = {
        "peer": "security: which peer",
        "bundle": "evidence: why",
        "since": "accountability: since when",
    }

    peer: str
    bundle: str
    since: int
