"""Tables of the node's own log: entries, tiles, checkpoints, and agreements that wait for their period."""

from typing import ClassVar

from federation.ports import Row


class LogEntryRow(Row, frozen=True, kw_only=True):
    """One leaf, written in the transaction that explains it; bundles are cut from these rows when asked for."""

    table = "log_entry"
    key = ("log", "number")
    purpose: ClassVar = {
        "log": "transparency: which log, 1 or that of a successor",
        "number": "transparency: place in the log",
        "entry": "transparency: the published bytes, without personal data",
        "hash": "transparency: leaf hash, to find the place of an entry",
    }

    log: int
    number: int
    entry: bytes
    hash: bytes


class LogTileRow(Row, frozen=True, kw_only=True):
    """The hashes of a tile so far. They only ever grow at the end, so every partial tile is a beginning of them."""

    table = "log_tile"
    key = ("log", "level", "number")
    purpose: ClassVar = {
        "log": "transparency: which log",
        "level": "transparency: level of the tile",
        "number": "transparency: place of the tile in its level",
        "data": "transparency: the hashes to serve",
    }

    log: int
    level: int
    number: int
    data: bytes


class LogCheckpointRow(Row, frozen=True, kw_only=True):
    """A checkpoint this node signed. Two that grew from one size would be a fork: the table cannot hold them."""

    table = "log_checkpoint"
    key = ("log", "size")
    unique = (("log", "grown_from"),)
    purpose: ClassVar = {
        "log": "transparency: which log",
        "size": "transparency: number of leaves",
        "grown_from": "security: size of the checkpoint before, so that no size has two successors",
        "note": "transparency: the signed checkpoint",
        "generation": "security: notice that the database came back from a backup",
        "at": "operation: when it was signed",
    }

    log: int
    size: int
    grown_from: int
    note: bytes
    generation: int
    at: int


class LogStatedRow(Row, frozen=True, kw_only=True):
    """What the log says last about a key or the policy, so that it is logged again when it changes."""

    table = "log_stated"
    key = ("log", "subject")
    purpose: ClassVar = {
        "log": "transparency: which log",
        "subject": "transparency: role of a key, or the policy",
        "hash": "transparency: leaf hash of what was stated last",
    }

    log: int
    subject: str
    hash: bytes


class LogAgreementRow(Row, frozen=True, kw_only=True):
    """An agreement of this node; `salt` and `leaf` are empty until its period ends."""

    table = "log_agreement"
    key = ("thread", "side")
    purpose: ClassVar = {
        "thread": "evidence: which thread was agreed",
        "side": "evidence: role of this node",
        "digest": "evidence: hash of the agreement",
        "salt": "privacy: hides the agreement in its commitment",
        "leaf": "evidence: leaf hash of the period in the log",
        "purge_at": "retention: when the row is erased",
    }

    thread: str
    side: str
    digest: bytes
    salt: bytes = b""
    leaf: bytes = b""
    purge_at: int


class LogPeriodRow(Row, frozen=True, kw_only=True):
    """The commitments of a period that had agreements, to prove one of them later; random ones among them."""

    table = "log_period"
    key = ("leaf",)
    purpose: ClassVar = {
        "leaf": "evidence: leaf hash of the period in the log",
        "commitments": "evidence: what the root of the period is made of",
        "purge_at": "retention: when the row is erased",
    }

    leaf: bytes
    commitments: bytes
    purge_at: int
