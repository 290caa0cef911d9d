"""The key schedule: from one epoch's secret and a commit to all secrets of the next; transcript hashes beside it.

Source: RFC 9420 §8, §8.2, §8.5.
"""

import msgspec

from .codec import FormError, Reader, u16, u64, vector
from .nodes import Extension, read_extensions, write_extensions
from .profile import VERSION
from .suites import Suite


class GroupContext(msgspec.Struct, frozen=True, array_like=True):
    """What all members of an epoch agree on."""

    suite: int
    group_id: bytes
    epoch: int
    tree_hash: bytes
    confirmed: bytes
    extensions: tuple[Extension, ...] = ()

    def encoded(self) -> bytes:
        """Return the bytes of the structure."""
        head = u16(VERSION) + u16(self.suite) + vector(self.group_id) + u64(self.epoch)
        return head + vector(self.tree_hash) + vector(self.confirmed) + write_extensions(self.extensions)


def read_context(reader: Reader) -> GroupContext:
    """Return the next group context. Raises: FormError."""
    if reader.u16() != VERSION:
        raise FormError("a group is of another version")
    return GroupContext(
        reader.u16(), reader.vector(), reader.u64(), reader.vector(), reader.vector(), read_extensions(reader)
    )


class EpochSecrets(msgspec.Struct, frozen=True, array_like=True):
    """The secrets of one epoch; what the profile has no use for is not derived."""

    sender_data: bytes
    exporter: bytes
    authenticator: bytes
    confirmation: bytes
    init: bytes

    def __repr__(self) -> str:
        return "EpochSecrets(…)"


class Derived(msgspec.Struct, frozen=True):
    """What a commit or a welcome leads to: the secrets kept, and those used at once."""

    secrets: EpochSecrets
    encryption: bytes
    welcome: bytes
    epoch: bytes

    def __repr__(self) -> str:
        return "Derived(…)"


def joiner_secret(suite: Suite, init: bytes, commit_secret: bytes, context: bytes) -> bytes:
    """Return what a welcome hands to new members."""
    return suite.expand(suite.extract(init, commit_secret), b"joiner", context, suite.hash_bytes)


def welcome_secret(suite: Suite, joiner: bytes, psk: bytes) -> bytes:
    """Return the secret that encrypts a welcome's group info."""
    return suite.derive(suite.extract(joiner, psk), b"welcome")


def derive_epoch(suite: Suite, joiner: bytes, psk: bytes, context: bytes) -> Derived:
    """Return all secrets of the epoch with this encoded context."""
    member = suite.extract(joiner, psk)
    return secrets_of(
        suite, suite.expand(member, b"epoch", context, suite.hash_bytes), suite.derive(member, b"welcome")
    )


def secrets_of(suite: Suite, epoch: bytes, welcome: bytes = b"") -> Derived:
    """Return what is derived of an epoch secret."""
    kept = EpochSecrets(
        sender_data=suite.derive(epoch, b"sender data"),
        exporter=suite.derive(epoch, b"exporter"),
        authenticator=suite.derive(epoch, b"authentication"),
        confirmation=suite.derive(epoch, b"confirm"),
        init=suite.derive(epoch, b"init"),
    )
    return Derived(kept, suite.derive(epoch, b"encryption"), welcome, epoch)


def export(suite: Suite, secrets: EpochSecrets, label: bytes, context: bytes, size: int) -> bytes:
    """Return a secret that all members of the epoch share, for another use."""
    return suite.expand(suite.derive(secrets.exporter, label), b"exported", suite.hash(context), size)


def confirmed_hash(suite: Suite, interim: bytes, committed: bytes) -> bytes:
    """Return the transcript hash over a commit; `committed` is wire format, content and signature as encoded."""
    return suite.hash(interim + committed)


def interim_hash(suite: Suite, confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """Return the transcript hash that the next commit goes on from."""
    return suite.hash(confirmed + vector(confirmation_tag))
