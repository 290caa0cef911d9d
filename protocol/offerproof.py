"""A file that proves offline that an offer was listed: offer, opening, way to the root, signed head, log proof.

It says who listed it, for which audience, and from when until when; it does not say that the offer is listed now.
Source: docs/protocol/11-offers.md §8.
"""

from typing import Annotated, Final, Literal

import msgspec

from .commitments import Opening, commit
from .encoding import Wire, decode_loose, unb64
from .errors import LimitError, UnverifiedError
from .heads import ENTRY_PURPOSE, MAX_ENTRIES, MAX_SHARDS, SetHead, open_any_head, size_bucket
from .ids import Bytes32, RandomId, id_bytes
from .loggedheads import MAX_LOG_PROOF, LoggedAt, verify_logged
from .offers import Offer, encode_offer
from .signing import Signer
from .tlog.merkle import leaf_hash, verify_inclusion

MAX_PROOF_BYTES: Final = 64 * 1024

Siblings = Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MAX_ENTRIES.bit_length())]


class OfferProof(Wire, frozen=True, kw_only=True):
    """`{"head":"<JWS>","index":3,"log":"c2sp.org/tlog-proof@v1…","offer":{…},"proof":["…43…"],"salt":"…22…",…}`.

    `index` and `size` are the place of the offer and the number of entries in its shard; `log` is the log proof of the
    head's leaf.
    """

    type: Literal["mentormesh/offer-proof/v1"]
    offer: Offer
    salt: RandomId
    head: Annotated[str, msgspec.Meta(max_length=16_384)]
    shard: Annotated[int, msgspec.Meta(ge=0, lt=MAX_SHARDS)] = 0
    index: Annotated[int, msgspec.Meta(ge=0, lt=MAX_ENTRIES)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_ENTRIES)]
    proof: Siblings = ()
    log: Annotated[str, msgspec.Meta(max_length=MAX_LOG_PROOF)]


class ProvenOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that the origin of `head` listed when it signed; the head stands in the log of `checkpoint`."""

    offer: Offer
    head: SetHead
    checkpoint: LoggedAt


def parse_proof(data: bytes) -> OfferProof:
    """Return the parts of a proof file, in any JSON layout; nothing is verified yet. Raises: MalformedError."""
    if len(data) > MAX_PROOF_BYTES:
        raise LimitError("offer proof is over 64 KiB")
    return decode_loose(data, OfferProof, what="offer proof")


def verify_proof(proof: OfferProof, log_key: Signer) -> ProvenOffer:
    """Return what the proof shows once every step of it holds under the origin's log key.

    Raises: MalformedError; UnverifiedError: signature, kind of set, shard, size, path to the root, or the log proof.
    """
    head = open_any_head(proof.head, log_key)
    if head.kind != "offers":
        raise UnverifiedError("set head is of another kind")
    if proof.shard >= len(head.shards):
        raise UnverifiedError("set head has no such shard")
    if size_bucket(proof.size) > head.size_bucket:
        raise UnverifiedError("set head is of a smaller set")
    opening = Opening(salt=id_bytes(proof.salt, what="salt"), body=encode_offer(proof.offer))
    verify_inclusion(
        unb64(head.shards[proof.shard]),
        leaf=leaf_hash(commit(ENTRY_PURPOSE["offers"], opening)),
        index=proof.index,
        size=proof.size,
        proof=[unb64(each) for each in proof.proof],
    )
    return ProvenOffer(offer=proof.offer, head=head, checkpoint=verify_logged(proof.log, head, proof.head, log_key))
