"""What proves a person's device to somebody else's: entry, way to the head, log proof, attestations, node documents.

It verifies offline. A client that knows the organizations already takes their documents from what it pinned, never from
the proof. Source: docs/protocol/13-key-directory.md §6.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

import msgspec

from .attestation import MAX_ATTESTATION_BYTES, MAX_ATTESTERS, check_quorum, quorum_of
from .commitments import Opening, commit
from .encoding import Wire, decode_loose, unb64
from .errors import LimitError, MalformedError, UnverifiedError
from .heads import ENTRY_PURPOSE, MAX_ENTRIES, MAX_SHARDS, SetHead, check_fresh, head_hash, open_head, size_bucket
from .ids import Bytes32, Entity, RandomId, id_bytes
from .keyentries import OpenedEntry, open_entry
from .loggedheads import MAX_LOG_PROOF, LoggedAt, verify_logged
from .offerproof import Siblings
from .pages import MAX_BODY_BYTES
from .peers import NodeDocument, open_document
from .tlog.merkle import leaf_hash, verify_inclusion

MAX_PROOF_BYTES: Final = 256 * 1024
#: The origin's document and one of each attester.
MAX_DOCUMENTS: Final = MAX_ATTESTERS + 1
MAX_DOCUMENT_BYTES: Final = 16 * 1024


class HeadProof(Wire, frozen=True, kw_only=True):
    """A head of keys with everything that lets it be used.

    {"attestations":["<JWS>"],"documents":["<JWS>"],"head":"<JWS>","log":"c2sp.org/tlog-proof@v1…"}

    `documents` are the node documents of origin and attesters: they bind `log` and `attest` keys to entities.
    """

    head: Annotated[str, msgspec.Meta(max_length=16_384)]
    log: Annotated[str, msgspec.Meta(max_length=MAX_LOG_PROOF)]
    attestations: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MAX_ATTESTATION_BYTES)], ...],
        msgspec.Meta(max_length=MAX_ATTESTERS),
    ] = ()
    documents: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MAX_DOCUMENT_BYTES)], ...], msgspec.Meta(max_length=MAX_DOCUMENTS)
    ] = ()


class PlacedEntry(Wire, frozen=True, kw_only=True):
    """An entry's body and salt, and its way to the root of its shard."""

    body: Annotated[str, msgspec.Meta(max_length=MAX_BODY_BYTES)]
    salt: RandomId
    shard: Annotated[int, msgspec.Meta(ge=0, lt=MAX_SHARDS)] = 0
    index: Annotated[int, msgspec.Meta(ge=0, lt=MAX_ENTRIES)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_ENTRIES)]
    proof: Siblings = ()


class KeyProof(Wire, frozen=True, kw_only=True):
    """`{"entry":{…},"head":{…},"type":"mentormesh/key-proof/v1"}`."""

    type: Literal["mentormesh/key-proof/v1"]
    head: HeadProof
    entry: PlacedEntry


class Circle(msgspec.Struct, frozen=True, kw_only=True):
    """An audience as the reader of a proof knows it, whatever the proof says.

    `named` are the attesters that its registry names; `documents` the node documents that the reader believes, by
    entity.
    """

    audience: Bytes32
    members: tuple[Entity, ...]
    named: tuple[Entity, ...] = ()
    documents: Mapping[str, NodeDocument]


class ProvenHead(msgspec.Struct, frozen=True, kw_only=True):
    """A head that is signed, logged and fresh; `attested_by` is empty when nobody outside its origin can attest it."""

    head: SetHead
    hash: Bytes32
    checkpoint: LoggedAt
    attested_by: tuple[Entity, ...]

    @property
    def witnessed(self) -> bool:
        """Whether somebody beside the origin holds this very directory; if not, people have to compare codes."""
        return bool(self.attested_by)


class ProvenKeys(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that stands in a proven head."""

    opened: OpenedEntry
    head: ProvenHead


def parse_proof(data: bytes) -> KeyProof:
    """Return the parts of a proof file, in any JSON layout; nothing is verified yet. Raises: MalformedError."""
    if len(data) > MAX_PROOF_BYTES:
        raise LimitError(f"key proof is over {MAX_PROOF_BYTES // 1024} KiB")
    return decode_loose(data, KeyProof, what="key proof")


def enclosed_documents(proof: HeadProof) -> dict[str, NodeDocument]:
    """Return the documents that came with a proof, by entity, for a reader who compares their fingerprints.

    Raises: MalformedError, UnverifiedError: one does not verify, or two are of one entity.
    """
    documents = [open_document(text) for text in proof.documents]
    found = {one.entity: one for one in documents}
    if len(found) != len(documents):
        raise MalformedError("key proof encloses two documents of one node")
    return found


def verify_head(proof: HeadProof, circle: Circle, *, origin: str, now: int) -> ProvenHead:
    """Return the head once it is signed by its origin, fresh, in the log, and attested by a quorum.

    Raises: MalformedError; UnverifiedError: origin outside the audience or unknown, signature, another set, not fresh,
        log proof, or the quorum (`QuorumError`, `ThresholdError`).
    """
    if origin not in circle.members:
        raise UnverifiedError("origin is no member of the audience", code="wrong-audience")
    document = circle.documents.get(origin)
    if document is None:
        raise UnverifiedError("document of the origin is missing", code="no-document")
    log_key = document.log_keys
    head = open_head(proof.head, log_key, origin=origin, audience=circle.audience, kind="keys")
    check_fresh(head, now=now)
    checkpoint = verify_logged(proof.log, head, proof.head, log_key)
    hashed = head_hash(proof.head)
    attested = _attested(proof, circle, head, hashed, now=now)
    return ProvenHead(head=head, hash=hashed, checkpoint=checkpoint, attested_by=attested)


def _attested(proof: HeadProof, circle: Circle, head: SetHead, hashed: str, *, now: int) -> tuple[str, ...]:
    quorum = quorum_of(head.origin, circle.members, circle.named)
    if quorum is None:
        return ()
    keys = {one: document.attest_keys for one, document in circle.documents.items()}
    return check_quorum(quorum, keys, proof.attestations, head, hashed, now=now)


def verify_entry(placed: PlacedEntry, proven: ProvenHead, *, now: int) -> OpenedEntry:
    """Return the entry once it stands in a shard of a proven head and its devices are valid at `now`.

    Raises: MalformedError; UnverifiedError: shard, size, path to the root, or a certificate.
    """
    head = proven.head
    if placed.shard >= len(head.shards):
        raise UnverifiedError("set head has no such shard")
    if size_bucket(placed.size) > head.size_bucket:
        raise UnverifiedError("set head is of a smaller set")
    opening = Opening(salt=id_bytes(placed.salt, what="salt"), body=placed.body.encode())
    verify_inclusion(
        unb64(head.shards[placed.shard]),
        leaf=leaf_hash(commit(ENTRY_PURPOSE["keys"], opening)),
        index=placed.index,
        size=placed.size,
        proof=[unb64(each) for each in placed.proof],
    )
    return open_entry(opening.body, audience=head.audience, now=now)


def verify_proof(proof: KeyProof, circle: Circle, *, origin: str, now: int) -> ProvenKeys:
    """Return whose devices a proof shows once every step of it holds. Raises: as `verify_head` and `verify_entry`."""
    head = verify_head(proof.head, circle, origin=origin, now=now)
    return ProvenKeys(opened=verify_entry(proof.entry, head, now=now), head=head)


def find_entry(
    entries: Iterable[PlacedEntry], proven: ProvenHead, *, identity_key: str, now: int
) -> tuple[PlacedEntry, OpenedEntry] | None:
    """Return the entry of an identity key among those given, verified; None when it is not among them.

    Raises: as `verify_entry`, for this entry; others are not looked at.
    """
    for placed in entries:
        if f'"identity_key":"{identity_key}"' in placed.body:
            opened = verify_entry(placed, proven, now=now)
            if opened.entry.identity_key == identity_key:
                return placed, opened
    return None
