"""Set heads: the signed root of everything an origin currently shows one audience, and its chain of sequence numbers.

A head makes a set complete (its roots cover every entry), fresh (`not_after`) and linear (`seq`, `prev`): omission,
freezing, rollback and two stories for two peers each become visible. Putting heads into the log is the log's part.
Source: docs/protocol/12-set-heads.md.
"""

from typing import Annotated, Final, Literal

import msgspec

from .encoding import Wire, b64, decode, encode, label, sha256
from .errors import MalformedError, UnverifiedError
from .ids import Bytes32, Entity, Seconds, parse_entity
from .jws import parse, sign
from .signing import Signer, SigningKey

HEAD_TYP: Final = "mentormesh-head+jws"
MAX_LIFETIME_S: Final = 86_400
#: How far a peer's clock may be ahead of ours.
SKEW_S: Final = 60
MAX_SHARDS: Final = 16
MAX_ENTRIES: Final = 2**17

SetKind = Literal["offers", "keys", "members", "needs"]
SeqNumber = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
#: What a verified head is to the one held before.
Step = Literal["first", "same", "next", "gap"]

#: Domain label of an entry's commitment, by kind of set.
ENTRY_PURPOSE: Final[dict[SetKind, str]] = {
    "offers": "offer",
    "keys": "key-entry",
    "members": "member-statement",
    "needs": "need-listing",
}


class StaleError(UnverifiedError):
    """The head's `not_after` has passed, or it was issued in the future."""

    code = "stale"


class RollbackError(UnverifiedError):
    """The head is older than one already held."""

    code = "rollback"


class ForkError(UnverifiedError):
    """Two heads of one chain contradict each other: keep both as evidence."""

    code = "fork"


#: Seconds since then (2020-01-01T00:00:00Z) are beyond every number counted once a second at most.
NUMBERS_BEGAN_AT: Final = 1_577_836_800
#: What a head names as the one before when its database has forgotten that one.
FORGOTTEN: Final = b64(bytes(32))


class SetHead(Wire, frozen=True, kw_only=True):
    """The current set of one origin for one audience.

    {"audience":"…43…","issued_at":1767000000,"kind":"offers","not_after":1767086400,"origin":"https://aurora.example",
     "prev":"…43…","seq":2,"shards":["…43…"],"size_bucket":64}

    `shards` are RFC 6962 roots; `size_bucket` is the number of entries rounded up to a power of two.
    """

    origin: Entity
    audience: Bytes32
    kind: SetKind
    seq: SeqNumber
    prev: Bytes32 | None = None
    shards: Annotated[tuple[Bytes32, ...], msgspec.Meta(min_length=1, max_length=MAX_SHARDS)]
    size_bucket: Annotated[int, msgspec.Meta(ge=1, le=MAX_ENTRIES)]
    issued_at: Seconds
    not_after: Seconds

    def __post_init__(self) -> None:
        parse_entity(self.origin, what="origin")
        if (self.prev is None) != (self.seq == 1):
            raise ValueError("prev must be absent in the first head and present in every other")
        if not 0 < self.not_after - self.issued_at <= MAX_LIFETIME_S:
            raise ValueError(f"not_after must be 1 to {MAX_LIFETIME_S} seconds after issued_at")
        if self.size_bucket != size_bucket(self.size_bucket):
            raise ValueError("size_bucket must be a power of two")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of the newest verified head of a chain."""

    seq: int
    head_hash: str
    issued_at: int


class SeenHead(Wire, frozen=True, kw_only=True):
    """Gossip: "of this origin's set of the same audience and kind, I hold this head"."""

    origin: Entity
    seq: SeqNumber
    head_hash: Bytes32


class HeadAnswer(Wire, frozen=True, kw_only=True):
    """Answer to `GET …/head`: `{"head":"<JWS>","seen":[{"head_hash":"…","origin":"…","seq":7}]}`, by origin.

    Beside a head of keys stand the log proof of its leaf, `log`, and the `attestations` that the origin was given.
    """

    head: Annotated[str, msgspec.Meta(max_length=16_384)]
    seen: Annotated[tuple[SeenHead, ...], msgspec.Meta(max_length=1024)] = ()
    log: Annotated[str, msgspec.Meta(max_length=16_384)] = ""
    attestations: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=2048)], ...], msgspec.Meta(max_length=8)] = ()

    def __post_init__(self) -> None:
        origins = [one.origin for one in self.seen]
        if origins != sorted(set(origins)):
            raise ValueError("seen must be sorted by origin, each once")


class Nudge(Wire, frozen=True, kw_only=True):
    """Word that a set has a newer head: `{"audience":"…43…","kind":"offers","seq":8}`; never what changed."""

    audience: Bytes32
    kind: SetKind
    seq: SeqNumber


def number_after_loss(now: int) -> int:
    """Return a number beyond all that a database forgot whole, when what it counts changes once a second at most."""
    return now - NUMBERS_BEGAN_AT


def chain_id(origin: str, audience: str, kind: SetKind) -> bytes:
    """Return the 32 bytes under which a log lists the heads of one chain; (chain, seq) occurs once."""
    return sha256(label("chain"), f"{origin}{audience}{kind}".encode("ascii"))


def size_bucket(count: int) -> int:
    """Return the next power of two at or above `count`; 1 for an empty set."""
    return 1 << max(count - 1, 0).bit_length()


def sign_head(head: SetHead, key: SigningKey) -> str:
    """Return the head as a compact JWS by the origin's `log` key."""
    return sign(encode(head), key, HEAD_TYP)


def open_head(jws: str, key: Signer, *, origin: str, audience: str, kind: SetKind) -> SetHead:
    """Return the head once `key` signed it and it is about this origin, audience and kind.

    Freshness and the chain are separate questions: `check_fresh`, `follow`.

    Raises: MalformedError, UnverifiedError.
    """
    head = open_any_head(jws, key)
    for name, wanted in (("origin", origin), ("audience", audience), ("kind", kind)):
        if getattr(head, name) != wanted:
            raise UnverifiedError(f"set head is of another {name}")
    return head


def open_any_head(jws: str, key: Signer) -> SetHead:
    """Return the head once `key` signed it, whatever it is about. Raises: MalformedError, UnverifiedError."""
    return decode(parse(jws, HEAD_TYP).verify(key), SetHead, what="set head")


def head_hash(jws: str) -> str:
    """Return the hash that the next head's `prev` carries: SHA-256 of the payload bytes."""
    return b64(sha256(parse(jws, HEAD_TYP).payload))


def check_fresh(head: SetHead, *, now: int) -> None:
    """Return when the head may be shown at `now`. Raises: StaleError."""
    if now >= head.not_after:
        raise StaleError("set head has run out: not_after has passed")
    if head.issued_at > now + SKEW_S:
        raise StaleError("set head is issued in the future: compare the clocks")


def follow(head: SetHead, hashed: str, held: Held | None) -> Step:
    """Return what a verified head is to the one held before; every gap asks for a full snapshot.

    Args:
        hashed: `head_hash` of the head.

    Raises:
        RollbackError: smaller sequence number, or an earlier `issued_at` with a larger one.
        ForkError: same sequence number with another head, or the next one with another `prev`.
    """
    if held is None:
        return "first"
    if head.seq < held.seq:
        raise RollbackError("set head has a smaller sequence number than the one held")
    if head.seq == held.seq:
        if hashed != held.head_hash:
            raise ForkError("two set heads have one sequence number")
        return "same"
    if head.seq == held.seq + 1 and head.prev != held.head_hash:
        raise ForkError("set head does not follow the one held")
    if head.issued_at < held.issued_at:
        raise RollbackError("set head was issued before the one held")
    return "next" if head.seq == held.seq + 1 else "gap"


def open_answer(data: bytes) -> HeadAnswer:
    """Return the answer of a peer to `GET …/head`; the head in it is not verified yet. Raises: MalformedError."""
    return decode(data, HeadAnswer, what="head answer")


def open_nudge(data: bytes) -> Nudge:
    """Return the nudge of a request body. Raises: MalformedError."""
    if len(data) > 256:
        raise MalformedError("nudge is over 256 bytes")
    return decode(data, Nudge, what="nudge")


def contradictions(seen: tuple[SeenHead, ...], held: dict[str, SeenHead]) -> tuple[SeenHead, ...]:
    """Return what a peer says it holds and that differs from what we hold under the same sequence number.

    Args:
        held: by origin, our own chain included.
    """
    return tuple(
        one
        for one in seen
        if (ours := held.get(one.origin)) and ours.seq == one.seq and ours.head_hash != one.head_hash
    )
