"""Attestations: a member's own word that it holds every body of a set head, and how many of them make a quorum.

`mentormesh/head-attestation/v1`: never a cosignature, which says that a log only grows. Who has to attest is decided by
the audience, never by the set's origin. Source: docs/protocol/13-key-directory.md §5.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from . import jws
from .encoding import Wire, decode, encode
from .errors import MalformedError, UnverifiedError
from .heads import SKEW_S, SeqNumber, SetHead, SetKind
from .ids import Bytes32, Entity, Seconds, parse_entity
from .signing import Signer, SigningKey

ATTESTATION_TYP: Final = "mentormesh-head-attestation+jws"
MAX_ATTESTERS: Final = 7
MAX_ATTESTATION_BYTES: Final = 2048


class QuorumError(UnverifiedError):
    """Too few of the members that have to hold a head attest it."""

    code = "quorum"


class ThresholdError(UnverifiedError):
    """The rule itself is no rule: nobody has to attest, more than there are, or one key would count twice."""

    code = "threshold"


class HeadAttestation(Wire, frozen=True, kw_only=True):
    """A member's word that it holds all bodies of a head, by its `attest` key.

    {"audience":"…43…","head_hash":"…43…","held_at":1767000000,"kind":"keys","origin":"https://aurora.example","seq":7}
    """

    origin: Entity
    audience: Bytes32
    kind: SetKind
    seq: SeqNumber
    head_hash: Bytes32
    held_at: Seconds

    def __post_init__(self) -> None:
        parse_entity(self.origin, what="origin")


class Quorum(msgspec.Struct, frozen=True, kw_only=True):
    """Whose attestations count, and how many of them it takes."""

    attesters: tuple[Entity, ...]
    needed: int

    def __post_init__(self) -> None:
        distinct = len(set(self.attesters))
        if distinct != len(self.attesters) or not 0 < self.needed <= distinct <= MAX_ATTESTERS:
            raise ThresholdError("quorum: 1 to all of 1 to 7 different attesters")


def quorum_of(origin: str, members: Iterable[str], named: Iterable[str] = ()) -> Quorum | None:
    """Return the quorum for a head of `origin`: more than half of the attesters, which the origin never is.

    In an audience of up to three the others attest. None: the audience is the origin alone, so nobody outside can.

    Args:
        members: all entities of the audience.
        named: the attesters that the registry of a larger audience names.
    Raises: ThresholdError: the registry names nobody of the audience but the origin, strangers, or more than seven.
    """
    others = sorted(set(members) - {origin})
    if not others:
        return None
    if len(others) > 2:
        chosen = tuple(named)
        if len(chosen) > MAX_ATTESTERS or not set(chosen) <= {origin, *others}:
            raise ThresholdError("attesters must be at most seven members of the audience")
        others = [one for one in chosen if one != origin]
    return Quorum(attesters=tuple(others), needed=len(others) // 2 + 1)


def sign_attestation(head: SetHead, head_hash: str, key: SigningKey, *, now: int) -> str:
    """Return this member's attestation of a head whose bodies it holds, all of them."""
    statement = HeadAttestation(
        origin=head.origin, audience=head.audience, kind=head.kind, seq=head.seq, head_hash=head_hash, held_at=now
    )
    return jws.sign(encode(statement), key, ATTESTATION_TYP)


def open_attestation(text: str, key: Signer, head: SetHead, head_hash: str, *, now: int) -> HeadAttestation:
    """Return the attestation once `key` signed it about exactly this head.

    Raises: MalformedError; UnverifiedError: signature, another head, or held before it was issued or in the future.
    """
    if len(text) > MAX_ATTESTATION_BYTES:
        raise MalformedError("attestation is too long")
    payload = jws.parse(text, ATTESTATION_TYP).verify(key)
    said = decode(payload, HeadAttestation, what="attestation")
    if (said.origin, said.audience, said.kind, said.seq) != (head.origin, head.audience, head.kind, head.seq):
        raise UnverifiedError("attestation is about another head", code="wrong-head")
    if said.head_hash != head_hash:
        raise UnverifiedError("attestation is about another head under the same number", code="other-head")
    if not head.issued_at - SKEW_S <= said.held_at <= now + SKEW_S:
        raise UnverifiedError("attestation was made before the head, or in the future", code="wrong-time")
    return said


def check_quorum(
    quorum: Quorum,
    keys: Mapping[str, Signer],
    statements: Iterable[str],
    head: SetHead,
    head_hash: str,
    *,
    now: int,
) -> tuple[Entity, ...]:
    """Return who attests the head once they are enough; statements by others do not count.

    Args:
        keys: the `attest` keys of each attester; one that is unknown cannot be counted.

    Raises:
        ThresholdError: two attesters show one key.
        QuorumError: too few.
        MalformedError, UnverifiedError: an attester signed something else.
    """
    known = {entity: keys[entity] for entity in quorum.attesters if entity in keys}
    by_id = {key.keyid: entity for entity, signer in known.items() for key in signer.every}
    if len(by_id) != sum(len(signer.every) for signer in known.values()):
        raise ThresholdError("two attesters show one key: it would count twice")
    attested: dict[str, None] = {}
    for text in statements:
        entity = by_id.get(jws.parse(text, ATTESTATION_TYP).header.kid)
        if entity is not None:
            open_attestation(text, known[entity], head, head_hash, now=now)
            attested[entity] = None
    if len(attested) < quorum.needed:
        raise QuorumError(f"{len(attested)} of {quorum.needed} attestations needed")
    return tuple(sorted(attested))
