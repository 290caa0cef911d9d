"""Changes of a node's federation and recovery key, and which refetched document may follow a pinned one.

A statement `mentormesh-rotation+jws` is signed by the old federation key, or by the recovery key, which is kept offline
and wins over everything else: its statement ends all keys from before. Without either, a changed key is refused.
Source: docs/protocol/20-identity.md §4.
"""

from typing import Final

import msgspec

from . import jws
from .encoding import Wire, decode, encode
from .errors import MalformedError, UnverifiedError
from .ids import Bytes32, Entity, Seconds
from .peers import DOCUMENT_TYP, MAX_ROTATIONS, Counter, NodeDocument, NodeKeys, open_document
from .signing import SigningKey, VerifyKey

ROTATION_TYP: Final = "mentormesh-rotation+jws"


class KeyChangedError(UnverifiedError):
    """The document names keys that nobody who is known vouches for."""

    code = "federation-key-changed"


class RevokedKeyError(UnverifiedError):
    """The document uses a key again that a statement of the recovery key has ended."""

    code = "revoked-key"


class StaleDocumentError(UnverifiedError):
    """The document is older than the pinned one, or another one with its number."""

    code = "stale-document"


class Rotation(Wire, frozen=True, kw_only=True):
    """The federation key of `entity` is from now on `new`.

    {"entity":"https://aurora.example","issued_at":1767225600,"new":"…","number":1,"old":"…"}

    `recovery`, when present, replaces the recovery key and needs the old recovery key's signature. `number` counts the
    statements of one recovery key upwards, so that none can be played again.
    """

    entity: Entity
    number: Counter
    old: Bytes32
    new: Bytes32
    recovery: Bytes32 | None = None
    issued_at: Seconds


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a peer: its last accepted document and the number of the last recovery statement."""

    text: str
    document: NodeDocument
    recovered: int = 0


def online_keys(document: NodeDocument) -> frozenset[str]:
    """Return the public keys whose private halves lie or lay on the node: all but the recovery key."""
    present = {getattr(document.keys, role) for role in NodeKeys.__struct_fields__ if role != "recovery"}
    return frozenset(present | set(document.earlier))


def sign_rotation(rotation: Rotation, key: SigningKey) -> str:
    """Return the statement as a compact JWS; `key` is the old federation key or the recovery key."""
    return jws.sign(encode(rotation), key, ROTATION_TYP)


def open_recovery(text: str, *, entity: str, recovery: VerifyKey) -> Rotation:
    """Return a statement about `entity` that its recovery key signed. Raises: MalformedError, UnverifiedError."""
    return _open(jws.parse(text, ROTATION_TYP), recovery, entity)


def with_statement(statements: tuple[str, ...], text: str) -> tuple[str, ...]:
    """Return the statements of a document with one more; the oldest go."""
    return (*statements, text)[-MAX_ROTATIONS:]


def pin(text: str, key: VerifyKey) -> Pinned:
    """Return the pin of a document met for the first time, once it is signed by `key`, known from elsewhere.

    Its own statements count as followed: none of them can be played to the newcomer once more.

    Raises: MalformedError, UnverifiedError.
    """
    document = open_document(text, expected_key=key)
    recovery = VerifyKey.parse(document.keys.recovery)
    numbers = [_recovery_number(one, recovery) for one in document.rotations]
    return Pinned(text=text, document=document, recovered=max(numbers, default=0))


def _recovery_number(text: str, recovery: VerifyKey) -> int:
    """Return the number of a statement that `recovery` signed, or that made it the recovery key; else 0."""
    parsed = jws.parse(text, ROTATION_TYP)
    if parsed.header.kid == recovery.keyid:
        parsed.verify(recovery)
    said = decode(parsed.payload, Rotation, what="rotation statement")
    return said.number if recovery.keyid == parsed.header.kid or said.recovery == recovery.text else 0


def follow(pinned: Pinned, text: str) -> Pinned:
    """Return the pin after a refetched document: the same one if nothing changed.

    Raises: MalformedError; KeyChangedError: nobody known vouches for its keys; StaleDocumentError: it is older, or
    differs under one `seq`. RevokedKeyError: it was recovered and has a key from before.
    """
    if text == pinned.text:
        return pinned
    chain = _Chain(pinned)
    unverified = decode(jws.parse(text, DOCUMENT_TYP).payload, NodeDocument, what="node document")
    for statement in unverified.rotations:
        chain.apply(statement)
    if unverified.keys.federation != chain.federation.text or unverified.keys.recovery != chain.recovery.text:
        raise KeyChangedError("federation or recovery key changed without a statement by the known keys")
    document = open_document(text, expected_key=chain.federation)
    if document.entity != pinned.document.entity:
        raise KeyChangedError("document is about another entity")
    if chain.recovered > pinned.recovered:
        _check_revoked(pinned.document, document)
    elif document.seq <= pinned.document.seq:
        raise StaleDocumentError("document must have a higher seq than the one known")
    return Pinned(text=text, document=document, recovered=chain.recovered)


def _check_revoked(before: NodeDocument, after: NodeDocument) -> None:
    """Return if nothing counts any more that may have been stolen. Raises: RevokedKeyError."""
    if online_keys(before) & {*online_keys(after), after.keys.recovery}:
        raise RevokedKeyError("document has a key from before the statement of the recovery key")


class _Chain:
    """Walks from the pinned keys over those statements that a known key signed."""

    def __init__(self, pinned: Pinned) -> None:
        self.entity = pinned.document.entity
        self.federation = VerifyKey.parse(pinned.document.keys.federation)
        self.recovery = VerifyKey.parse(pinned.document.keys.recovery)
        self.recovered = pinned.recovered

    def apply(self, text: str) -> None:
        """Take one statement into account; those of unknown keys tell of times before the pin.

        Raises: MalformedError, UnverifiedError: a known key is named and the statement is not its own.
        """
        parsed = jws.parse(text, ROTATION_TYP)
        if parsed.header.kid == self.recovery.keyid:
            self._recover(_open(parsed, self.recovery, self.entity))
        elif parsed.header.kid == self.federation.keyid:
            self._rotate(_open(parsed, self.federation, self.entity))

    def _recover(self, rotation: Rotation) -> None:
        if rotation.number <= self.recovered:
            return
        self.recovered = rotation.number
        self.federation = VerifyKey.parse(rotation.new)
        if rotation.recovery is not None:
            self.recovery = VerifyKey.parse(rotation.recovery)

    def _rotate(self, rotation: Rotation) -> None:
        if rotation.old != self.federation.text:
            raise KeyChangedError("rotation statement starts from another key")
        if rotation.recovery is not None:
            raise KeyChangedError("only the recovery key can replace the recovery key")
        self.federation = VerifyKey.parse(rotation.new)


def _open(parsed: jws.Parsed, key: VerifyKey, entity: str) -> Rotation:
    rotation = decode(parsed.verify(key), Rotation, what="rotation statement")
    if rotation.entity != entity:
        raise KeyChangedError("rotation statement is about another entity")
    if rotation.new == rotation.old:
        raise MalformedError("rotation statement changes nothing")
    return rotation
