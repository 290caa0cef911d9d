"""The nodes of a ratchet tree and what they are made of: leaves with their owner's credential, parents with a key.

Every structure is read with its bounds and written back to the same bytes. Source: RFC 9420 §7.1–§7.3, §5.3.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from .codec import FormError, Reader, u8, u16, u32, u64, vector, vector_of
from .errors import ProfileError
from .profile import BASIC, VERSION
from .suites import Suite

_LEAF: Final = 1
_PARENT: Final = 2

KEY_PACKAGE: Final = 1
UPDATE: Final = 2
COMMIT: Final = 3


class Extension(msgspec.Struct, frozen=True, array_like=True):
    """One extension, opaque here."""

    kind: int
    data: bytes

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        return u16(self.kind) + vector(self.data)


def read_extension(reader: Reader) -> Extension:
    """Return the next extension."""
    return Extension(reader.u16(), reader.vector())


def read_extensions(reader: Reader) -> tuple[Extension, ...]:
    """Return a list of extensions. Raises: FormError: one kind occurs twice."""
    found = reader.each(read_extension)
    if len({each.kind for each in found}) != len(found):
        raise FormError("an extension occurs twice")
    return found


def write_extensions(extensions: tuple[Extension, ...]) -> bytes:
    """Return the bytes of a list of extensions."""
    return vector_of(each.encoded() for each in extensions)


def _numbers(reader: Reader) -> tuple[int, ...]:
    return reader.each(Reader.u16)


def _write_numbers(numbers: tuple[int, ...]) -> bytes:
    return vector_of(u16(each) for each in numbers)


class Capabilities(msgspec.Struct, frozen=True, array_like=True):
    """What a member's client understands, by registered numbers."""

    versions: tuple[int, ...]
    suites: tuple[int, ...]
    extensions: tuple[int, ...]
    proposals: tuple[int, ...]
    credentials: tuple[int, ...]

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        lists = (self.versions, self.suites, self.extensions, self.proposals, self.credentials)
        return b"".join(_write_numbers(each) for each in lists)


def read_capabilities(reader: Reader) -> Capabilities:
    """Return the next capabilities."""
    return Capabilities(_numbers(reader), _numbers(reader), _numbers(reader), _numbers(reader), _numbers(reader))


class LeafNode(msgspec.Struct, frozen=True, array_like=True, tag=_LEAF):
    """One member: keys, credential, and where this version of the leaf comes from.

    `identity` is what the basic credential holds. `lifetime` is present in key packages only, `parent_hash` in commits.
    """

    encryption_key: bytes
    signature_key: bytes
    identity: bytes
    capabilities: Capabilities
    source: int
    lifetime: tuple[int, int] = (0, 0)
    parent_hash: bytes = b""
    extensions: tuple[Extension, ...] = ()
    signature: bytes = b""

    def content(self) -> bytes:
        """Return the bytes that are signed, before what binds them to a group."""
        head = vector(self.encryption_key) + vector(self.signature_key) + u16(BASIC) + vector(self.identity)
        return head + self.capabilities.encoded() + u8(self.source) + self._origin() + write_extensions(self.extensions)

    def _origin(self) -> bytes:
        if self.source == KEY_PACKAGE:
            return u64(self.lifetime[0]) + u64(self.lifetime[1])
        return vector(self.parent_hash) if self.source == COMMIT else b""

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        return self.content() + vector(self.signature)

    def _to_sign(self, group_id: bytes, leaf: int) -> bytes:
        if self.source == KEY_PACKAGE:
            return self.content()
        return self.content() + vector(group_id) + u32(leaf)

    def signed(self, suite: Suite, seed: bytes, *, group_id: bytes = b"", leaf: int = 0) -> "LeafNode":
        """Return the leaf with the signature of its owner; group and place count unless it is in a key package."""
        return replace(
            self, signature=suite.sign(seed, self.signature_key, b"LeafNodeTBS", self._to_sign(group_id, leaf))
        )

    def verify(self, suite: Suite, *, group_id: bytes = b"", leaf: int = 0) -> None:
        """Return when its owner signed this leaf for this place. Raises: SignatureError."""
        content = self._to_sign(group_id, leaf)
        suite.verify(self.signature_key, b"LeafNodeTBS", content, self.signature, what="a member's leaf")


def read_leaf(reader: Reader) -> LeafNode:
    """Return the next leaf node."""
    encryption_key, signature_key = reader.vector(), reader.vector()
    if reader.u16() != BASIC:
        raise ProfileError("a member has a credential that is not basic")
    identity, capabilities, source = reader.vector(), read_capabilities(reader), reader.u8()
    lifetime, parent_hash = (0, 0), b""
    if source == KEY_PACKAGE:
        lifetime = reader.u64(), reader.u64()
    elif source == COMMIT:
        parent_hash = reader.vector()
    elif source != UPDATE:
        raise FormError("a leaf comes from nowhere")
    return LeafNode(
        encryption_key,
        signature_key,
        identity,
        capabilities,
        source,
        lifetime,
        parent_hash,
        read_extensions(reader),
        reader.vector(),
    )


class ParentNode(msgspec.Struct, frozen=True, array_like=True, tag=_PARENT):
    """An inner node: a key whose private half all members below know, except the unmerged ones."""

    encryption_key: bytes
    parent_hash: bytes
    unmerged: tuple[int, ...] = ()

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        leaves = vector_of(u32(each) for each in self.unmerged)
        return vector(self.encryption_key) + vector(self.parent_hash) + leaves


def read_parent(reader: Reader) -> ParentNode:
    """Return the next parent node. Raises: FormError: unmerged leaves are not ascending."""
    node = ParentNode(reader.vector(), reader.vector(), reader.each(Reader.u32))
    if list(node.unmerged) != sorted(set(node.unmerged)):
        raise FormError("unmerged leaves are not in ascending order")
    return node


Node = LeafNode | ParentNode


def write_node(node: Node) -> bytes:
    """Return a node with its kind in front."""
    return u8(_LEAF if isinstance(node, LeafNode) else _PARENT) + node.encoded()


def read_node(reader: Reader) -> Node:
    """Return the next node with its kind in front."""
    kind = reader.u8()
    if kind == _LEAF:
        return read_leaf(reader)
    if kind == _PARENT:
        return read_parent(reader)
    raise FormError("a node is neither leaf nor parent")


class KeyPackage(msgspec.Struct, frozen=True, array_like=True):
    """What others add a device by, once: a one-time key for the welcome, and the leaf it will have."""

    suite: int
    init_key: bytes
    leaf: LeafNode
    extensions: tuple[Extension, ...] = ()
    signature: bytes = b""

    def content(self) -> bytes:
        """Return the bytes that are signed."""
        head = u16(VERSION) + u16(self.suite) + vector(self.init_key)
        return head + self.leaf.encoded() + write_extensions(self.extensions)

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        return self.content() + vector(self.signature)

    def signed(self, suite: Suite, seed: bytes) -> "KeyPackage":
        """Return the key package with its owner's signature."""
        return replace(self, signature=suite.sign(seed, self.leaf.signature_key, b"KeyPackageTBS", self.content()))

    def verify(self, suite: Suite) -> None:
        """Return when its owner signed both package and leaf. Raises: SignatureError."""
        content = self.content()
        suite.verify(self.leaf.signature_key, b"KeyPackageTBS", content, self.signature, what="a key package")
        self.leaf.verify(suite)

    def reference(self, suite: Suite) -> bytes:
        """Return the name under which a welcome addresses this package."""
        return suite.reference(b"MLS 1.0 KeyPackage Reference", self.encoded())


def read_key_package(reader: Reader) -> KeyPackage:
    """Return the next key package. Raises: FormError, ProfileError."""
    if reader.u16() != VERSION:
        raise FormError("a key package is of another version")
    return KeyPackage(reader.u16(), reader.vector(), read_leaf(reader), read_extensions(reader), reader.vector())
