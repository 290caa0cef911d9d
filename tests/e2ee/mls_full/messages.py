"""Public messages, senders outside a group, and all proposals of RFC 9420 §6.2 and §12.1."""

from typing import Any, Final

import msgspec

from protocol.e2ee.mls.codec import FormError, Reader, u8, u16, u32, u64, vector
from protocol.e2ee.mls.framing import APPLICATION, COMMIT, MEMBER, Content, Signed, read_body, written
from protocol.e2ee.mls.nodes import LeafNode, read_extensions, read_leaf, write_extensions
from protocol.e2ee.mls.profile import VERSION, Profile
from protocol.e2ee.mls.suites import Suite
from protocol.e2ee.mls.welcome import read_psk_id

PUBLIC_MESSAGE: Final = 1
EXTERNAL: Final = 2
UPDATE: Final = 2
PRE_SHARED_KEY: Final = 4
RE_INIT: Final = 5
EXTERNAL_INIT: Final = 6
CONTEXT_EXTENSIONS: Final = 7


class Update(msgspec.Struct, frozen=True):
    """A member replaces its own leaf."""

    leaf: LeafNode

    def encoded(self) -> bytes:
        """Return the bytes of the proposal."""
        return u16(UPDATE) + self.leaf.encoded()


class Raw(msgspec.Struct, frozen=True):
    """A proposal of which only the bytes matter here."""

    kind: int
    data: bytes

    def encoded(self) -> bytes:
        """Return the bytes of the proposal."""
        return u16(self.kind) + self.data


class ContextExtensions(msgspec.Struct, frozen=True):
    """The group gets other extensions."""

    extensions: tuple[Any, ...]

    def encoded(self) -> bytes:
        """Return the bytes of the proposal."""
        return u16(CONTEXT_EXTENSIONS) + write_extensions(self.extensions)


def read_more(kind: int, reader: Reader) -> Any:  # noqa: ANN401 -- a hook of the profile
    """Return a proposal that is neither add nor remove."""
    start = reader.at
    if kind == UPDATE:
        return Update(read_leaf(reader))
    if kind == CONTEXT_EXTENSIONS:
        return ContextExtensions(read_extensions(reader))
    if kind == PRE_SHARED_KEY:
        read_psk_id(reader)
    elif kind == RE_INIT:
        reader.vector()
        reader.take(4)
        read_extensions(reader)
    elif kind == EXTERNAL_INIT:
        reader.vector()
    else:
        raise FormError("a proposal is of an unknown kind")
    return Raw(kind, reader.since(start))


class PublicMessage(msgspec.Struct, frozen=True):
    """Signed content in clear; `sender` is its encoded sender, of any kind."""

    group_id: bytes
    epoch: int
    sender: bytes
    authenticated_data: bytes
    content_type: int
    body: bytes
    signature: bytes
    tag: bytes
    membership_tag: bytes

    def _content(self) -> bytes:
        head = vector(self.group_id) + u64(self.epoch) + self.sender + vector(self.authenticated_data)
        return head + u8(self.content_type) + written(self.content_type, self.body)

    def encoded(self) -> bytes:
        """Return the bytes of an MLSMessage with this in it."""
        tag = vector(self.tag) if self.content_type == COMMIT else b""
        membership = vector(self.membership_tag) if self.sender[0] == MEMBER else b""
        return u16(VERSION) + u16(PUBLIC_MESSAGE) + self._content() + vector(self.signature) + tag + membership

    def signed(self) -> Signed:
        """Return what a member says in it."""
        assert self.sender[0] == MEMBER
        leaf = int.from_bytes(self.sender[1:], "big")
        content = Content(self.group_id, self.epoch, leaf, self.content_type, self.body, self.authenticated_data)
        return Signed(content, self.signature, self.tag)


def public_message(signed: Signed, suite: Suite, membership_key: bytes, context: bytes) -> PublicMessage:
    """Return a member's content as a public message. Raises: ValueError: application content is never public."""
    if signed.content.content_type == APPLICATION:
        raise ValueError("application content is never public")
    content = signed.content
    return PublicMessage(
        content.group_id,
        content.epoch,
        u8(MEMBER) + u32(content.sender),
        content.authenticated_data,
        content.content_type,
        content.body,
        signed.signature,
        signed.tag,
        membership_tag(signed, suite, membership_key, context),
    )


def membership_tag(signed: Signed, suite: Suite, membership_key: bytes, context: bytes) -> bytes:
    """Return the tag by which members know a public message of a member."""
    return suite.mac(membership_key, signed.content.to_sign(context, wire_format=PUBLIC_MESSAGE) + signed.auth())


def read_public(reader: Reader, profile: Profile) -> PublicMessage:
    """Return the next public message, behind the head of an MLSMessage."""
    group_id, epoch, start = reader.vector(), reader.u64(), reader.at
    kind = reader.u8()
    if not MEMBER <= kind <= 4:
        raise FormError("a message has a sender of an unknown kind")
    if kind in (MEMBER, EXTERNAL):
        reader.u32()
    sender, authenticated_data, content_type = reader.since(start), reader.vector(), reader.u8()
    body, signature = read_body(reader, content_type, profile), reader.vector()
    tag = reader.vector() if content_type == COMMIT else b""
    membership = reader.vector() if kind == MEMBER else b""
    return PublicMessage(group_id, epoch, sender, authenticated_data, content_type, body, signature, tag, membership)
