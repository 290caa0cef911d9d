"""What each sealed part of a handshake is bound to: the one place where `info` values are made.

A sealed part opens only for the purpose, thread, two nodes and key that it was sealed for. Nodes use `request`,
`quote` and `choice`; the others are for people's devices. Source: docs/protocol/42-sealing.md §3.
"""

import msgspec

from .devices import sealing_key_hash
from .encoding import label, length_prefixed, sha256, unb64
from .ids import Bytes32, Entity, RandomId, id_bytes
from .sealing import SealingPublicKey, info


class ThreadContext(msgspec.Struct, frozen=True, kw_only=True):
    """The thread and its two nodes: the mentee's (consumer) and the mentor's (provider)."""

    thread: RandomId
    consumer: Entity
    provider: Entity

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The three values as bytes, in the order in which every context starts."""
        return id_bytes(self.thread, what="thread"), self.consumer.encode(), self.provider.encode()


def request(context: ThreadContext, node_key: SealingPublicKey) -> bytes:
    """Return the context of a `Request` sealed to the provider's envelope key."""
    return info("request", *context.parts, _key(node_key))


def quote(context: ThreadContext, reply_key: SealingPublicKey) -> bytes:
    """Return the context of a `Quote` sealed to the one-time key that came with the request."""
    return info("quote", *context.parts, _key(reply_key))


def choice(context: ThreadContext, node_key: SealingPublicKey) -> bytes:
    """Return the context of a `Choice` sealed to the provider's envelope key."""
    return info("choice", *context.parts, _key(node_key))


def brief_wrap(context: ThreadContext, *, ref: str, audience: str, key: SealingPublicKey) -> bytes:
    """Return the context of a brief's content key sealed to one device of the candidate `ref`."""
    return info("brief-wrap", *context.parts, id_bytes(ref, what="ref"), _bytes32(audience), _key(key))


def brief_box(context: ThreadContext, *, ref: str, audience: str) -> bytes:
    """Return the associated data of the brief itself, which is encrypted once for all devices."""
    return info("brief-box", *context.parts, id_bytes(ref, what="ref"), _bytes32(audience))


def agreed_private(context: ThreadContext, *, ref: str, audience: str, reply_key: SealingPublicKey) -> bytes:
    """Return the context of the agreement's private part, sealed to the one-time key that came with the brief."""
    return info("agreed-private", *context.parts, id_bytes(ref, what="ref"), _bytes32(audience), _key(reply_key))


def session(*, thread: str, accepted: Bytes32, consent: Bytes32) -> bytes:
    """Return the 32 bytes that a session's group is bound to: thread, hash of ACCEPTED, hash of the consent."""
    parts = id_bytes(thread, what="thread"), _bytes32(accepted), _bytes32(consent)
    return sha256(label("session-context"), length_prefixed(*parts))


def _key(key: SealingPublicKey) -> bytes:
    return _bytes32(sealing_key_hash(key))


def _bytes32(text: str) -> bytes:
    return unb64(text, size=32, what="hash")
