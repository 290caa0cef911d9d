"""What a node's log lists: typed leaves, each canonical JSON with a `type`, at most 1 KiB.

A leaf says as little as makes a contradiction visible: set heads and agreements stand in it as commitments only.
Source: docs/protocol/55-node-log.md.
"""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from .commitments import COMMITMENT_BYTES
from .encoding import Wire, b64, decode, encode, label, sha256, unb64
from .errors import MalformedError, UnverifiedError
from .heads import SeqNumber, SetHead, chain_id, size_bucket
from .ids import Bytes32, Seconds, entity_host
from .signing import SIGNATURE_BYTES, SigningKey, VerifyKey
from .tlog.checkpoint import Checkpoint
from .tlog.merkle import leaf_hash, root_hash

MAX_LEAF_BYTES: Final = 1024
#: A period has at least so many agreement commitments, or the next power of two; what is missing is random.
PERIOD_LEAST: Final = 16

Role = Literal["attest", "envelope_seal", "envelope_sign", "federation", "http", "log", "recovery", "witness"]
LogOrigin = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9.-]{3,253}/log(/([2-9]|[1-9][0-9]{1,8}))?(?!\n)$")]
_Signature = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{85}[AQgw](?!\n)$")]
_Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]
_People = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class NodeKeyLeaf(Wire, frozen=True, kw_only=True, tag_field="type", tag="node-key"):
    """The node uses this public key from here on: `{"key":"…43…","role":"http","type":"node-key"}`.

    Of `envelope_seal`, which is longer, `key` is the SHA-256.
    """

    role: Role
    key: Bytes32


class PolicyLeaf(Wire, frozen=True, kw_only=True, tag_field="type", tag="policy"):
    """By which rule offers are listed from here on.

    {"k":8,"keep":5,"map":"…43…","map_version":1,"ratio_percent":50,"smallest_members":25,"type":"policy"}
    """

    k: _People
    keep: _People
    ratio_percent: _Percent
    smallest_members: _People
    map: Bytes32
    map_version: _People


class SetHeadLeaf(Wire, frozen=True, kw_only=True, tag_field="type", tag="set-head"):
    """A set head was signed: `{"chain":"…43…","commitment":"…43…","seq":7,"type":"set-head"}`."""

    chain: Bytes32
    seq: SeqNumber
    commitment: Bytes32


class AgreementsLeaf(Wire, frozen=True, kw_only=True, tag_field="type", tag="agreements"):
    """A period of agreements ended, with or without any: `{"root":"…43…","type":"agreements","until":1767000000}`."""

    root: Bytes32
    until: Seconds


class SuccessorLeaf(Wire, frozen=True, kw_only=True, tag_field="type", tag="successor"):
    """This log goes on for another one, which ended with the checkpoint named: the first leaf of such a log.

    {"origin":"aurora.example/log","root":"…43…","signature":"…86…","size":300,"type":"successor"}

    `signature` is that of the older log's key; absent when the key is lost.
    """

    origin: LogOrigin
    size: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    root: Bytes32
    signature: _Signature | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The last state of the older log that its operator knows."""
        return Checkpoint(origin=self.origin, size=self.size, root=unb64(self.root))


Leaf: TypeAlias = NodeKeyLeaf | PolicyLeaf | SetHeadLeaf | AgreementsLeaf | SuccessorLeaf


class RepeatedHeadError(UnverifiedError):
    """A log lists two heads under one number of one chain: keep its checkpoint and both leaves as evidence."""

    code = "repeated-head"


def parse_leaf(data: bytes) -> Leaf:
    """Return the leaf of a log entry; `render_leaf` of it is `data` again. Raises: MalformedError."""
    if len(data) > MAX_LEAF_BYTES:
        raise MalformedError(f"leaf is over {MAX_LEAF_BYTES} bytes")
    leaf: Leaf = decode(data, Leaf, what="leaf")  # type: ignore[arg-type]  # a union is a form for msgspec, no type
    return leaf


def render_leaf(leaf: Leaf) -> bytes:
    """Return the entry of a leaf."""
    data = encode(leaf)
    assert len(data) <= MAX_LEAF_BYTES, "the bounds of the fields keep a leaf short"
    return data


def log_origin(entity: str, log: int) -> str:
    """Return the origin of a node's log: `aurora.example/log`, and `aurora.example/log/2` for the first successor."""
    host = entity_host(entity)
    return f"{host}/log" if log == 1 else f"{host}/log/{log}"


def is_log_of(entity: str, origin: str) -> bool:
    """Tell whether `origin` is that of a log of `entity`, the first or a successor."""
    return log_number(entity, origin) > 0


def log_number(entity: str, origin: str) -> int:
    """Return which log of `entity` has this origin: 1 for the first, more for a successor, 0 for none of its logs."""
    first = log_origin(entity, 1)
    if origin == first:
        return 1
    number = origin.removeprefix(f"{first}/")
    counted = number != origin and number.isascii() and number.isdigit() and len(number) <= 9
    return int(number) if counted and number[0] != "0" and number != "1" else 0


def head_leaf(head: SetHead, jws: str) -> SetHeadLeaf:
    """Return the leaf of a head: whoever holds `jws` finds it, nobody else learns or guesses what it commits to.

    The signature in the JWS cannot be guessed without the key, so no salt is needed.
    """
    return SetHeadLeaf(
        chain=b64(chain_id(head.origin, head.audience, head.kind)),
        seq=head.seq,
        commitment=b64(sha256(label("head-leaf"), jws.encode("ascii"))),
    )


def agreement_commitment(agreement_hash: bytes, salt: bytes) -> bytes:
    """Return the salted commitment to an agreement by the hash of its document."""
    return sha256(label("agreement-entry"), salt, agreement_hash)


def period_size(agreements: int) -> int:
    """Return how many commitments a period of so many agreements has."""
    return max(PERIOD_LEAST, size_bucket(agreements))


def period_root(commitments: Iterable[bytes]) -> bytes:
    """Return the root over the commitments of a period, real and random ones, in the order of their bytes."""
    return root_hash([leaf_hash(each) for each in sorted(commitments)])


def agreements_leaf(commitments: tuple[bytes, ...], *, until: int) -> AgreementsLeaf:
    """Return the leaf of a period; the caller has filled it up to `period_size`."""
    if len(commitments) != period_size(len(commitments)) or any(len(each) != COMMITMENT_BYTES for each in commitments):
        raise ValueError("a period is filled up to 16 or the next power of two")
    return AgreementsLeaf(root=b64(period_root(commitments)), until=until)


def successor_leaf(origin: str, older: Checkpoint, key: SigningKey | None) -> SuccessorLeaf:
    """Return the first leaf of the log `origin`, which goes on for the log of `older`; `key` is the older log's."""
    signature = key.sign(_succession(origin, older)) if key else None
    return SuccessorLeaf(
        origin=older.origin, size=older.size, root=b64(older.root), signature=b64(signature) if signature else None
    )


def verify_successor(leaf: SuccessorLeaf, origin: str, key: VerifyKey) -> Checkpoint:
    """Return the last checkpoint of the older log once its `key` named `origin` as its successor.

    Raises: UnverifiedError: no signature, or it does not verify.
    """
    if leaf.signature is None:
        raise UnverifiedError("successor is not signed by the older log")
    key.verify(unb64(leaf.signature, size=SIGNATURE_BYTES), _succession(origin, leaf.checkpoint))
    return leaf.checkpoint


def _succession(origin: str, older: Checkpoint) -> bytes:
    return label("log-successor") + f"{origin}\n{older.text}".encode("ascii")


class HeadWatch:
    """Reads the leaves of one log in order and finds two heads under one number: those of a chain must grow."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def see(self, leaf: Leaf) -> None:
        """Take the next leaf. Raises: RepeatedHeadError."""
        if not isinstance(leaf, SetHeadLeaf):
            return
        if leaf.seq <= self._newest.get(leaf.chain, 0):
            raise RepeatedHeadError("log lists two set heads under one number of one chain, or one that goes back")
        self._newest[leaf.chain] = leaf.seq
