"""Evidence: two signed statements of one node that cannot both be true, with what binds the keys that signed them.

A bundle needs nothing else to be verified: no network, no clock, no node. It never carries the body of a message or an
entry of a set. That a federation key is really the accused's is for the reader to know: `Opened.keys` names it.
Source: docs/protocol/56-evidence.md.
"""

from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from .encoding import Wire, b64, decode, encode, sha256, unb64
from .errors import LimitError, MalformedError, MeshError, UnverifiedError
from .heads import HEAD_TYP, SetHead, chain_id
from .ids import Bytes32, Entity
from .jws import parse
from .logleaves import SetHeadLeaf, head_leaf, is_log_of, parse_leaf
from .messages import MESSAGE_TYP, MessageHead, message_hash
from .peers import MAX_DOCUMENT_BYTES, NodeDocument, log_key, open_document
from .signing import VerifyKey
from .tlog.checkpoint import Checkpoint, CheckpointNote, open_checkpoint, parse_checkpoint
from .tlog.merkle import MAX_PROOF, leaf_hash, verify_consistency, verify_inclusion
from .tlog.note import LogKey, Note, lines_of, render_note
from .tlog.proof import LogProof, parse_log_proof, render_log_proof

MAX_BUNDLE_BYTES: Final = 256 * 1024
MAX_STATEMENT: Final = 64 * 1024

Kind = Literal["two-checkpoints", "two-heads", "two-messages"]

_LOGGED: Final = "c2sp.org/tlog-proof@v1\n"


class EvidenceLimitError(LimitError):
    """A bundle is over 256 KiB."""

    code = "evidence-limit"


class EvidenceFormError(MalformedError):
    """A bundle is not canonical JSON of its fields, or has parts that do not belong to its kind."""

    code = "evidence-form"


class EvidenceOrderError(MalformedError):
    """The two statements are one, or not in the only order in which they may stand."""

    code = "evidence-order"


class EvidenceDocumentError(UnverifiedError):
    """A document is not whole, or is about another node than the accused."""

    code = "evidence-document"


class EvidenceStatementError(UnverifiedError):
    """A statement does not verify under the key that its document names for it."""

    code = "evidence-statement"


class NoContradictionError(UnverifiedError):
    """Both statements can be true."""

    code = "no-contradiction"


class Statement(Wire, frozen=True, kw_only=True):
    """What was signed, and the node document (a JWS) that names the key."""

    document: Annotated[str, msgspec.Meta(max_length=MAX_DOCUMENT_BYTES)]
    text: Annotated[str, msgspec.Meta(max_length=MAX_STATEMENT)]


class Gap(Wire, frozen=True, kw_only=True):
    """What the larger tree's root is at the size of the smaller, proved by a consistency proof from there."""

    root: Bytes32
    proof: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MAX_PROOF)] = ()


class Bundle(Wire, frozen=True, kw_only=True):
    """Two contradicting statements of `accused`; `gap` stands exactly between checkpoints of different size.

    {"accused":"https://aurora.example","first":{"document":"…","text":"…"},"kind":"two-heads",
     "second":{"document":"…","text":"…"},"type":"mentormesh-evidence","version":1}
    """

    type: Literal["mentormesh-evidence"]
    version: Literal[1]
    kind: Kind
    accused: Entity
    first: Statement
    second: Statement
    gap: Gap | None = None


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle whose statements verify and contradict each other. Only `open_bundle` makes one.

    `keys` are the federation keys of the documents: evidence against whoever holds them. `what` is one line for people.
    """

    bundle: Bundle
    hash: str
    documents: tuple[NodeDocument, NodeDocument]
    keys: tuple[VerifyKey, ...]
    what: str


def open_bundle(data: bytes) -> Opened:
    """Return the bundle in `data` once it proves what it says.

    Raises: EvidenceLimitError, EvidenceFormError, EvidenceOrderError, EvidenceDocumentError, EvidenceStatementError,
        NoContradictionError.
    """
    if len(data) > MAX_BUNDLE_BYTES:
        raise EvidenceLimitError(f"evidence is over {MAX_BUNDLE_BYTES} bytes")
    try:
        bundle = decode(data, Bundle, what="evidence")
    except MalformedError as error:
        raise EvidenceFormError(str(error)) from None
    if bundle.gap is not None and bundle.kind != "two-checkpoints":
        raise EvidenceFormError("evidence: only checkpoints of different size have a gap")
    documents = _document(bundle, bundle.first), _document(bundle, bundle.second)
    what = _CONTRADICTION[bundle.kind](bundle, documents)
    keys = dict.fromkeys(VerifyKey.parse(each.keys.federation) for each in documents)
    return Opened(bundle=bundle, hash=b64(sha256(data)), documents=documents, keys=tuple(keys), what=what)


def _document(bundle: Bundle, statement: Statement) -> NodeDocument:
    try:
        document = open_document(statement.document)
    except MeshError as error:
        raise EvidenceDocumentError(f"evidence: a document does not verify: {error}") from None
    if document.entity != bundle.accused:
        raise EvidenceDocumentError("evidence: a document is of another node")
    return document


Documents = tuple[NodeDocument, NodeDocument]


def _ordered(first: tuple[object, ...], second: tuple[object, ...]) -> None:
    if not first < second:
        raise EvidenceOrderError("evidence: statements must differ and stand in order")


def _two_checkpoints(bundle: Bundle, documents: Documents) -> str:
    first, second = (
        _checkpoint(each, document) for each, document in zip((bundle.first, bundle.second), documents, strict=True)
    )
    if first.origin != second.origin:
        raise NoContradictionError("evidence: the checkpoints are of two logs")
    _ordered((first.size, first.root), (second.size, second.root))
    if (bundle.gap is None) != (first.size == second.size):
        raise EvidenceFormError("evidence: checkpoints of different size need a gap, others have none")
    if bundle.gap is not None:
        _check_gap(first, second, bundle.gap)
    return f"two checkpoints of {first.origin}, of {first.size} and {second.size} entries"


def _check_gap(first: Checkpoint, second: Checkpoint, gap: Gap) -> None:
    root = unb64(gap.root)
    try:
        verify_consistency(
            old_size=first.size,
            old_root=root,
            new_size=second.size,
            new_root=second.root,
            proof=[unb64(each) for each in gap.proof],
        )
    except UnverifiedError as error:
        raise EvidenceStatementError(f"evidence: the gap does not lead to the larger tree: {error}") from None
    if root == first.root:
        raise NoContradictionError("evidence: the larger tree begins with the smaller one")


def _checkpoint(statement: Statement, document: NodeDocument) -> Checkpoint:
    try:
        found = parse_checkpoint(statement.text.encode())
        return open_checkpoint(found, _log_keys(document, found.checkpoint.origin)).checkpoint
    except MeshError as error:
        raise EvidenceStatementError(f"evidence: a checkpoint does not verify: {error}") from None


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """A set head as signed, or as its log lists it: then `hash` and `prev` are not known."""

    chain: str
    seq: int
    commitment: str
    hash: str = ""
    prev: str | None = None


def _two_heads(bundle: Bundle, documents: Documents) -> str:
    texts = bundle.first.text, bundle.second.text
    first, second = (_head(text, document, bundle.accused) for text, document in zip(texts, documents, strict=True))
    if first.chain != second.chain:
        raise NoContradictionError("evidence: the heads are of two chains")
    _ordered((first.seq, texts[0]), (second.seq, texts[1]))
    if first.seq == second.seq:
        one = first.hash == second.hash if first.hash and second.hash else first.commitment == second.commitment
    else:
        one = not (first.hash and second.hash) or second.seq > first.seq + 1 or second.prev == first.hash
    if one:
        raise NoContradictionError("evidence: the heads can stand in one chain")
    return f"two set heads in one chain, number {first.seq} and {second.seq}"


def _head(text: str, document: NodeDocument, accused: str) -> _Head:
    try:
        if text.startswith(_LOGGED):
            return _logged_head(parse_log_proof(text.encode()), document)
        signed = parse(text, HEAD_TYP)
        head = decode(signed.verify(document.log_keys), SetHead, what="set head")
    except MeshError as error:
        raise EvidenceStatementError(f"evidence: a head does not verify: {error}") from None
    if head.origin != accused:
        raise EvidenceStatementError("evidence: a head is of another origin")
    leaf = head_leaf(head, text)
    return _Head(
        chain=b64(chain_id(head.origin, head.audience, head.kind)),
        seq=head.seq,
        commitment=leaf.commitment,
        hash=b64(sha256(signed.payload)),
        prev=head.prev,
    )


def _log_keys(document: NodeDocument, origin: str) -> list[LogKey]:
    """Return the keys by which a log verifies: the present one for the present log, the earlier ones for its others."""
    earlier = [LogKey(name=origin, key=VerifyKey.parse(text)) for text in document.earlier_log]
    return earlier if is_log_of(document.entity, origin) and origin != document.log_origin else [log_key(document)]


def _logged_head(proof: LogProof, document: NodeDocument) -> _Head:
    found = proof.checkpoint
    checkpoint = open_checkpoint(found, _log_keys(document, found.checkpoint.origin)).checkpoint
    verify_inclusion(
        checkpoint.root, leaf=leaf_hash(proof.extra), index=proof.index, size=checkpoint.size, proof=proof.hashes
    )
    leaf = parse_leaf(proof.extra)
    if not isinstance(leaf, SetHeadLeaf):
        raise MalformedError("the entry lists no head")
    return _Head(chain=leaf.chain, seq=leaf.seq, commitment=leaf.commitment)


def _two_messages(bundle: Bundle, documents: Documents) -> str:
    texts = bundle.first.text, bundle.second.text
    first, second = (_message(text, document) for text, document in zip(texts, documents, strict=True))
    _ordered((first.seq, texts[0]), (second.seq, texts[1]))
    if first.aud != second.aud or first == second:
        raise NoContradictionError("evidence: the messages are for two receivers, or the same")
    one_thread = (first.thread, first.side) == (second.thread, second.side)
    broken = one_thread and second.seq == first.seq + 1 and second.prev != message_hash(texts[0])
    if not (one_thread and first.seq == second.seq) and first.mid != second.mid and not broken:
        raise NoContradictionError("evidence: both messages can stand")
    return f"two messages to {first.aud} in one place of a thread"


def _message(text: str, document: NodeDocument) -> MessageHead:
    try:
        payload = parse(text, MESSAGE_TYP).verify(document.message_keys)
        return decode(payload, MessageHead, what="message head")
    except MeshError as error:
        raise EvidenceStatementError(f"evidence: a message does not verify: {error}") from None


_CONTRADICTION: Final[dict[Kind, Callable[[Bundle, Documents], str]]] = {
    "two-checkpoints": _two_checkpoints,
    "two-heads": _two_heads,
    "two-messages": _two_messages,
}


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A statement to make a bundle of: `text` as in the page, and the document that binds its key.

    `place` is what orders it: size and root of a checkpoint, else the number.
    """

    document: str
    text: str
    place: tuple[int, bytes] | tuple[int]


def signed_checkpoint(found: CheckpointNote, key: LogKey, document: str) -> Signed:
    """Return a checkpoint of a log as a statement, without the signatures of others."""
    place = found.checkpoint.size, found.checkpoint.root
    return Signed(document=document, text=bare_checkpoint(found, [key]).decode(), place=place)


def signed_head(jws: str, seq: int, document: str) -> Signed:
    """Return a set head as a statement."""
    return Signed(document=document, text=jws, place=(seq,))


def logged_head(entry: bytes, proof: LogProof, key: LogKey, seq: int, document: str) -> Signed:
    """Return the entry of a log that lists a head as a statement."""
    bare = parse_checkpoint(bare_checkpoint(proof.checkpoint, [key]))
    text = render_log_proof(msgspec.structs.replace(proof, extra=entry, checkpoint=bare)).decode()
    return Signed(document=document, text=text, place=(seq,))


def signed_message(jws: str, seq: int, document: str) -> Signed:
    """Return the head of a message as a statement; its body is no part of it."""
    return Signed(document=document, text=jws, place=(seq,))


def bare_checkpoint(found: CheckpointNote, keys: list[LogKey]) -> bytes:
    """Return a checkpoint as its log signed it, without any other line."""
    lines = tuple(line for _, line in lines_of(found.note, keys))
    return render_note(Note(text=found.note.text, signatures=lines))


def make_bundle(kind: Kind, accused: str, one: Signed, other: Signed, *, gap: Gap | None = None) -> bytes:
    """Return the bundle of two statements, in either order. Raises: as `open_bundle`: it would prove nothing."""
    first, second = sorted((one, other), key=lambda each: (*each.place, each.text))
    bundle = Bundle(
        type="mentormesh-evidence",
        version=1,
        kind=kind,
        accused=accused,
        first=Statement(document=first.document, text=first.text),
        second=Statement(document=second.document, text=second.text),
        gap=gap,
    )
    data = encode(bundle)
    open_bundle(data)
    return data
