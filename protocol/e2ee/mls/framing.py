"""Messages of a group: content that its sender signs, encrypted so that not even the sender shows (RFC 9420 §6).

`PrivateMessage` is the only form on the wire here. What a member says is `AuthenticatedContent`; its bytes are hashed
into the transcript when it is a commit.
"""

import struct
from typing import Any, Final

import msgspec

from .codec import FormError, Reader, vector, whole
from .errors import DecryptError, SignatureError
from .profile import VERSION, Profile
from .proposals import Commit, read_commit
from .secrettree import MessageKey, SecretTree, Stream, next_key, take_key
from .suites import NONCE_BYTES, Suite

PRIVATE_MESSAGE: Final = 2
WELCOME: Final = 3
KEY_PACKAGE_MESSAGE: Final = 5

MEMBER: Final = 1
APPLICATION: Final = 1
PROPOSAL: Final = 2
COMMIT: Final = 3

GUARD_BYTES: Final = 4
#: Version and form; epoch, kind of sender, sender; a sender's leaf, its generation and the guard; epoch and kind of
#: content.
_FORM: Final = struct.Struct(">HH")
_SAID_BY: Final = struct.Struct(">QBI")
_SENDER: Final = struct.Struct(">II4s")
_OF: Final = struct.Struct(">QB")


class Content(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a member says in one epoch: bytes of the application, or an encoded commit (or proposal)."""

    group_id: bytes
    epoch: int
    sender: int
    content_type: int
    body: bytes
    authenticated_data: bytes = b""

    def encoded(self) -> bytes:
        """Return the bytes of FramedContent."""
        head = vector(self.group_id) + _SAID_BY.pack(self.epoch, MEMBER, self.sender) + vector(self.authenticated_data)
        return head + bytes((self.content_type,)) + written(self.content_type, self.body)

    def to_sign(self, context: bytes, *, wire_format: int = PRIVATE_MESSAGE) -> bytes:
        """Return the bytes that are signed; `context` is the encoded group context."""
        return _FORM.pack(VERSION, wire_format) + self.encoded() + context


class Signed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Content with its sender's signature, and with a confirmation tag when it is a commit."""

    content: Content
    signature: bytes
    tag: bytes = b""

    def committed(self, *, wire_format: int = PRIVATE_MESSAGE) -> bytes:
        """Return what of a commit goes into the confirmed transcript hash."""
        return wire_format.to_bytes(2, "big") + self.content.encoded() + vector(self.signature)

    def auth(self) -> bytes:
        """Return the bytes of FramedContentAuthData."""
        return vector(self.signature) + (vector(self.tag) if self.content.content_type == COMMIT else b"")


def written(content_type: int, body: bytes) -> bytes:
    """Return a body as it stands in content: application bytes as a vector, others as they are."""
    return vector(body) if content_type == APPLICATION else body


def read_body(reader: Reader, content_type: int, profile: Profile) -> bytes:
    """Return the next body. Raises: FormError, ProfileError: also when a commit in it cannot be read."""
    if content_type == APPLICATION:
        return reader.vector()
    start = reader.at
    if content_type == COMMIT:
        read_commit(reader, profile)
    elif content_type == PROPOSAL:
        profile.extras.skip_proposal(reader)
    else:
        raise FormError("a message has content of an unknown kind")
    return reader.since(start)


def open_commit(body: bytes, profile: Profile) -> Commit[Any]:
    """Return the commit of a body. Raises: FormError, ProfileError."""
    return whole(body, lambda reader: read_commit(reader, profile), what="a commit")


class PrivateMessage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An encrypted message: group, epoch and kind are visible, sender and content are not."""

    group_id: bytes
    epoch: int
    content_type: int
    authenticated_data: bytes
    sender_data: bytes
    ciphertext: bytes

    def encoded(self) -> bytes:
        """Return the bytes of an MLSMessage with this in it."""
        head = _FORM.pack(VERSION, PRIVATE_MESSAGE) + place_of(self) + vector(self.authenticated_data)
        return head + vector(self.sender_data) + vector(self.ciphertext)


def place_of(said: Content | PrivateMessage) -> bytes:
    """Return what is authenticated with the sender's place, and with the content: group, epoch and kind."""
    return vector(said.group_id) + _OF.pack(said.epoch, said.content_type)


def read_private(reader: Reader) -> PrivateMessage:
    """Return the next private message."""
    group_id = reader.vector()
    epoch, content_type = _OF.unpack(reader.take(_OF.size))
    if not APPLICATION <= content_type <= COMMIT:
        raise FormError("a message has content of an unknown kind")
    return PrivateMessage(group_id, epoch, content_type, reader.vector(), reader.vector(), reader.vector())


def open_message(data: bytes, wire_format: int, *, what: str) -> Reader:
    """Return a reader behind the head of an MLSMessage. Raises: FormError: another version or kind of message."""
    reader = Reader(data, what=what)
    if reader.take(_FORM.size) != _FORM.pack(VERSION, wire_format):
        raise FormError(f"{what} is of another version or kind")
    return reader


def parse_private(data: bytes) -> PrivateMessage:
    """Return the private message that `data` is. Raises: FormError."""
    reader = open_message(data, PRIVATE_MESSAGE, what="a message")
    message = read_private(reader)
    reader.end()
    return message


def sign_content(content: Content, suite: Suite, signer: tuple[bytes, bytes], context: bytes) -> bytes:
    """Return its sender's signature over content; `signer` is the Ed25519 seed and its public half."""
    return suite.sign(*signer, b"FramedContentTBS", content.to_sign(context))


def verify_content(
    signed: Signed, suite: Suite, public: bytes, context: bytes, *, wire_format: int = PRIVATE_MESSAGE
) -> None:
    """Return when `public` signed this content in this context. Raises: SignatureError."""
    to_sign = signed.content.to_sign(context, wire_format=wire_format)
    suite.verify(public, b"FramedContentTBS", to_sign, signed.signature, what="a message")


def encrypt(
    signed: Signed, suite: Suite, tree: SecretTree, sender_data: bytes, *, entropy: bytes, padding: int = 0
) -> tuple[SecretTree, PrivateMessage]:
    """Return the message and the secret tree without its key.

    Args:
        sender_data: the epoch's secret for the sender's place.
        entropy: four random bytes, so that a state copied by mistake does not use a nonce twice.
        padding: zero bytes behind the content.
    """
    content = signed.content
    tree, key = next_key(tree, suite, leaf=content.sender, stream=_stream(content.content_type))
    plain = written(content.content_type, content.body) + signed.auth() + bytes(padding)
    visible, data = place_of(content), content.authenticated_data
    ciphertext = suite.encrypt(key.key, _guarded(key, entropy), plain, visible + vector(data))
    data_key, data_nonce = suite.expand_each(sender_data, suite.for_data, ciphertext[: suite.hash_bytes])
    place = _SENDER.pack(content.sender, key.generation, entropy)
    sealed = suite.encrypt(data_key, data_nonce, place, visible)
    return tree, PrivateMessage(content.group_id, content.epoch, content.content_type, data, sealed, ciphertext)


class Opened(msgspec.Struct, frozen=True):
    """A decrypted message that is not verified yet, its generation, and the secret tree without its key."""

    signed: Signed
    generation: int
    tree: SecretTree


def decrypt(message: PrivateMessage, suite: Suite, tree: SecretTree, sender_data: bytes, *, profile: Profile) -> Opened:
    """Return what a message says; whoever calls verifies the signature before the tree is kept.

    Raises: DecryptError, ReplayError, FormError, ProfileError.
    """
    visible = place_of(message)
    data_key, data_nonce = suite.expand_each(sender_data, suite.for_data, message.ciphertext[: suite.hash_bytes])
    place = suite.decrypt(data_key, data_nonce, message.sender_data, visible)
    if len(place) != _SENDER.size:
        raise FormError("a sender's place is cut short or has trailing bytes")
    leaf, generation, guard = _SENDER.unpack(place)
    if leaf >= tree.leaves:
        raise SignatureError("a message comes from nobody in the group")
    tree, key = take_key(
        tree, suite, leaf=leaf, stream=_stream(message.content_type), generation=generation, profile=profile
    )
    aad = visible + vector(message.authenticated_data)
    plain = suite.decrypt(key.key, _guarded(key, guard), message.ciphertext, aad)
    return Opened(_inside(plain, message, leaf, profile), generation, tree)


def _inside(plain: bytes, message: PrivateMessage, leaf: int, profile: Profile) -> Signed:
    reader = Reader(plain, what="a message")
    body = read_body(reader, message.content_type, profile)
    signature = reader.vector()
    tag = reader.vector() if message.content_type == COMMIT else b""
    if any(plain[reader.at :]):
        raise DecryptError("a message has padding that is not zero")
    content = Content(message.group_id, message.epoch, leaf, message.content_type, body, message.authenticated_data)
    return Signed(content, signature, tag)


def _stream(content_type: int) -> Stream:
    return "application" if content_type == APPLICATION else "handshake"


def _guarded(key: MessageKey, guard: bytes) -> bytes:
    mask = guard.ljust(NONCE_BYTES, b"\x00")
    return (int.from_bytes(key.nonce, "big") ^ int.from_bytes(mask, "big")).to_bytes(NONCE_BYTES, "big")
