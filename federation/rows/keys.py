"""Tables of key directories: own entries and decoys, what proves heads, erasures that peers confirm."""

from typing import ClassVar

from federation.ports import Row


class KeyDirectoryRow(Row, frozen=True, kw_only=True):
    """The decoys of one audience and what they learned: compressed MessagePack of `protocol.decoys.Crowd`."""

    table = "key_directory"
    key = ("audience",)
    purpose: ClassVar = {
        "audience": "keys: who is shown this directory",
        "generation": "security: notice that the database came back from a backup",
        "state": "privacy: entries of nobody that hide who takes part, and how entries change",
        "changed_at": "security: how many numbers a backup can have lost",
    }

    audience: str
    generation: int
    state: bytes
    changed_at: int


class KeyEntryRow(Row, frozen=True, kw_only=True):
    """One entry as it is published, a person's or a decoy's; erased with its salt when it leaves the directory."""

    table = "key_entry"
    key = ("audience", "label")
    purpose: ClassVar = {
        "audience": "keys: who is shown the entry",
        "label": "keys: random name of the entry",
        "seq": "security: number of the entry's last change",
        "salt": "privacy: opens the commitment, and closes it when erased",
        "body": "keys: certificates that others check",
        "since": "keys: first head that shows the entry like this",
    }

    audience: str
    label: str
    seq: int
    salt: bytes
    body: bytes
    since: int = 0


class HeadProofRow(Row, frozen=True, kw_only=True):
    """A head with the proof that it stands in its origin's log; `complete` once enough members attest it."""

    table = "head_proof"
    key = ("origin", "audience", "kind", "seq")
    purpose: ClassVar = {
        "origin": "keys: whose set",
        "audience": "keys: shown to whom",
        "kind": "keys: which set",
        "seq": "keys: place in the chain of heads",
        "head": "evidence: the signed head",
        "log": "evidence: C2SP proof of its leaf in the log; empty while there is none",
        "complete": "keys: whether people's devices may rely on it",
    }

    origin: str
    audience: str
    kind: str
    seq: int
    head: str
    log: str
    complete: bool


class AttestationRow(Row, frozen=True, kw_only=True):
    """A member's word that it holds all bodies of a head; `told` once the origin has that of this node."""

    table = "head_attestation"
    key = ("origin", "audience", "kind", "seq", "attester")
    purpose: ClassVar = {
        "origin": "keys: whose set",
        "audience": "keys: shown to whom",
        "kind": "keys: which set",
        "seq": "keys: place in the chain of heads",
        "attester": "evidence: who attests",
        "statement": "evidence: the signed word",
        "told": "operation: whether the origin was told",
    }

    origin: str
    audience: str
    kind: str
    seq: int
    attester: str
    statement: str
    told: bool


class EntryErasureRow(Row, frozen=True, kw_only=True):
    """An entry that left a directory, and one member's receipt that it is erased there.

    `peer` is empty until the audience's members have been looked up. A row names nobody: commitments of people and of
    decoys stand here alike, and no salt is left that would open one.
    """

    table = "entry_erasure"
    key = ("audience", "commitment", "peer")
    purpose: ClassVar = {
        "audience": "erasure: who was shown the entry",
        "commitment": "erasure: which entry, opened by nothing that is left",
        "peer": "erasure: who has to confirm",
        "asked_at": "retention: when the entry left the directory",
        "retry_at": "operation: when the peer is asked again",
        "receipt": "evidence: the peer's signed confirmation, empty until it came",
    }

    audience: str
    commitment: str
    peer: str
    asked_at: int
    retry_at: int
    receipt: str = ""
