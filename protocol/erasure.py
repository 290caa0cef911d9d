"""Erasure receipts: a peer's signed word that it holds an entry of a key directory no longer.

The origin asks by the salted commitment of the entry, which names nobody and which the peer knows already.
Source: docs/protocol/13-key-directory.md §8.
"""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from . import jws
from .encoding import Wire, decode, encode
from .errors import UnverifiedError
from .heads import SKEW_S
from .ids import Bytes32, Entity, Seconds, parse_entity
from .signing import Signer, SigningKey

ERASURE_TYP: Final = "mentormesh-entry-erasure+jws"
ERASURES_PATH: Final = "/federation/v1/erasures"
#: Commitments asked about in one request.
MAX_ERASURES: Final = 64
#: A receipt as compact JWS.
ReceiptText = Annotated[str, msgspec.Meta(min_length=100, max_length=1200)]


class ErasureRequest(Wire, frozen=True, kw_only=True):
    """What an origin sends: `{"audience":"…43…","commitments":["…43…"]}`, of entries that its head leaves out."""

    audience: Bytes32
    commitments: Annotated[tuple[Bytes32, ...], msgspec.Meta(min_length=1, max_length=MAX_ERASURES)]

    def __post_init__(self) -> None:
        if list(self.commitments) != sorted(set(self.commitments)):
            raise ValueError("commitments must be ascending, each once")


class ErasureAnswer(Wire, frozen=True, kw_only=True):
    """`{"receipts":["<JWS>"]}`, one for each commitment of the request, in its order."""

    receipts: Annotated[tuple[ReceiptText, ...], msgspec.Meta(min_length=1, max_length=MAX_ERASURES)]


class ErasureStatement(Wire, frozen=True, kw_only=True):
    """The word of `mirror` that it holds neither an entry nor its salt, by its `attest` key.

    {"audience":"…43…","commitment":"…43…","erased_at":1767000000,"mirror":"https://birch.example","origin":"https://…"}
    """

    origin: Entity
    audience: Bytes32
    commitment: Bytes32
    mirror: Entity
    erased_at: Seconds

    def __post_init__(self) -> None:
        parse_entity(self.origin, what="origin")
        parse_entity(self.mirror, what="mirror")


def open_request(data: bytes) -> ErasureRequest:
    """Return the request of a body. Raises: MalformedError."""
    return decode(data, ErasureRequest, what="erasure request")


def sign_receipts(request: ErasureRequest, key: SigningKey, *, origin: str, mirror: str, now: int) -> bytes:
    """Return the answer to a request of `origin` once nothing of it is held any more."""
    receipts = tuple(
        jws.sign(
            encode(
                ErasureStatement(
                    origin=origin, audience=request.audience, commitment=commitment, mirror=mirror, erased_at=now
                )
            ),
            key,
            ERASURE_TYP,
        )
        for commitment in request.commitments
    )
    return encode(ErasureAnswer(receipts=receipts))


def open_receipts(
    data: bytes, request: ErasureRequest, key: Signer, *, origin: str, mirror: str, now: int
) -> Sequence[str]:
    """Return the receipts of an answer, one for each commitment, once `mirror` signed exactly what was asked.

    Raises: MalformedError; UnverifiedError: signature, another entry, origin or mirror, or erased in the future.
    """
    answer = decode(data, ErasureAnswer, what="erasure answer")
    if len(answer.receipts) != len(request.commitments):
        raise UnverifiedError("a receipt is missing", code="missing-receipt")
    for text, commitment in zip(answer.receipts, request.commitments, strict=True):
        said = open_receipt(text, key)
        asked = (origin, request.audience, commitment, mirror)
        if (said.origin, said.audience, said.commitment, said.mirror) != asked:
            raise UnverifiedError("receipt is about another entry", code="wrong-entry")
        if said.erased_at > now + SKEW_S:
            raise UnverifiedError("receipt was made in the future", code="wrong-time")
    return answer.receipts


def open_receipt(text: str, key: Signer) -> ErasureStatement:
    """Return what a receipt says once `key` signed it. Raises: MalformedError, UnverifiedError."""
    return decode(jws.parse(text, ERASURE_TYP).verify(key), ErasureStatement, what="erasure receipt")
