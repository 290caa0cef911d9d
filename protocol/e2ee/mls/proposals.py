"""Commits and the two proposals of the profile: a member joins, a member leaves; both stand in the commit itself.

Source: RFC 9420 §12.1, §12.4.
"""

from typing import Any, Final, Generic, TypeVar

import msgspec

from .codec import FormError, Reader, optional, u8, u16, u32, vector, vector_of
from .nodes import KeyPackage, read_key_package
from .profile import Profile
from .treekem import UpdatePath, read_path

ADD: Final = 1
REMOVE: Final = 3
_BY_VALUE: Final = 1
_BY_REFERENCE: Final = 2

P = TypeVar("P")


class Add(msgspec.Struct, frozen=True, array_like=True, tag=ADD):
    """Whoever made this key package becomes a member."""

    package: KeyPackage

    def encoded(self) -> bytes:
        """Return the bytes of the proposal."""
        return u16(ADD) + self.package.encoded()


class Remove(msgspec.Struct, frozen=True, array_like=True, tag=REMOVE):
    """The member at this place is one no longer."""

    leaf: int

    def encoded(self) -> bytes:
        """Return the bytes of the proposal."""
        return u16(REMOVE) + u32(self.leaf)


Proposal = Add | Remove


class Reference(msgspec.Struct, frozen=True, array_like=True):
    """The name of a proposal that was sent before; outside the profile."""

    name: bytes


class Commit(msgspec.Struct, Generic[P], frozen=True):
    """What changes from one epoch to the next; `P` are proposals, or what the profile's hooks read."""

    proposals: tuple[P, ...]
    path: UpdatePath | None

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        return vector_of(_write(each) for each in self.proposals) + optional(self.path.encoded() if self.path else None)


def _write(proposal: Any) -> bytes:  # noqa: ANN401 -- also those of the profile's hooks
    if isinstance(proposal, Reference):
        return u8(_BY_REFERENCE) + vector(proposal.name)
    encoded: bytes = proposal.encoded()
    return u8(_BY_VALUE) + encoded


def read_proposal(reader: Reader, profile: Profile) -> Any:  # noqa: ANN401 -- also those of the profile's hooks
    """Return the next proposal. Raises: FormError, ProfileError: a kind that the profile leaves out."""
    kind = reader.u16()
    if kind == ADD:
        return Add(read_key_package(reader))
    if kind == REMOVE:
        return Remove(reader.u32())
    return profile.extras.read_proposal(kind, reader)


def read_commit(reader: Reader, profile: Profile) -> Commit[Any]:
    """Return the next commit. Raises: FormError, ProfileError."""

    def entry(inner: Reader) -> Any:  # noqa: ANN401 -- as above
        kind = inner.u8()
        if kind == _BY_VALUE:
            return read_proposal(inner, profile)
        if kind == _BY_REFERENCE:
            return Reference(inner.vector())
        raise FormError("a commit holds something that is no proposal")

    proposals = reader.each(entry)
    return Commit(proposals, read_path(reader) if reader.optional() else None)
