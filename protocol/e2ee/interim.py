"""A small interim session engine: each message signed, encrypted once, its key wrapped for every other member.

It lacks what the MLS engine that replaces it has: forward secrecy within a session (who steals a device's state reads
all of that session), healing after a compromise, change of members. It has: content and signature bound to one group
and one place in its sender's sequence; X-Wing; keys for one session only. Source: docs/protocol/46-session-interim.md.
"""
# ruff: noqa: D102 -- `SessionCrypto` documents the methods

from collections.abc import Collection
from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.encoding import b64, label, length_prefixed, sha256
from protocol.errors import MalformedError, RefusedError, UnverifiedError
from protocol.sealing import OVERHEAD_BYTES, PrivateSealingKey, SealingPublicKey, info
from protocol.signing import SIGNATURE_BYTES, VerifyKey

from .content import KEY_BYTES, open_content, seal_content
from .crypto import CONTEXT_BYTES, Own, Received
from .keys import DeviceKey

MAX_MEMBERS: Final = 4
WINDOW: Final = 64
SEALING_BYTES: Final = 1216
PACKAGE_BYTES: Final = SEALING_BYTES + 32  # X-Wing public key, then the device's Ed25519 key
#: A message is version, sender's place, 8-byte counter; a wrap for each other member in order; the box.
HEAD_BYTES: Final = 10
WRAP_BYTES: Final = KEY_BYTES + OVERHEAD_BYTES
VERSION: Final = 1


class Group(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A member's view; `seen` holds per member the highest counter and a bit for each of the last 64. Closed: empty."""

    version: int
    group: bytes
    me: int
    seeds: bytes
    members: tuple[bytes, ...]
    sent: int
    seen: tuple[tuple[int, int], ...]

    def __repr__(self) -> str:
        return f"Group(me={self.me}, members={len(self.members)}, sent={self.sent})"


class InterimCrypto:
    """The engine as a `SessionCrypto`, whose docstrings hold here; groups of 2 to 4 devices that never change."""

    name: Final = "interim-1"

    def prepare(self, device: DeviceKey, *, entropy: bytes) -> tuple[Own, bytes]:
        return (own := Own(device=device, secret=entropy)), _package(own)

    def start(self, own: Own, members: tuple[bytes, ...], *, context: bytes, entropy: bytes) -> tuple[Group, bytes]:
        del entropy  # for engines with group secrets
        everyone = (_package(own), *members)
        listed = context + b"".join(everyone)  # all of fixed sizes
        return _state(own, everyone, context), listed + own.device.sign(label("session-welcome") + listed)

    def join(self, own: Own, welcome: bytes, *, context: bytes, allowed: Collection[str]) -> Group:
        listed, signature = welcome[:-SIGNATURE_BYTES], welcome[-SIGNATURE_BYTES:]
        everyone = tuple(listed[at : at + PACKAGE_BYTES] for at in range(CONTEXT_BYTES, len(listed), PACKAGE_BYTES))
        state = _state(own, everyone, context)
        VerifyKey(everyone[0][SEALING_BYTES:]).verify(signature, label("session-welcome") + listed, what="welcome")
        if listed[:CONTEXT_BYTES] != context:
            raise UnverifiedError("welcome is for another agreement", code="wrong-context")
        if state.me == 0 or not set(self.members(state)) <= {*allowed, own.device.public.text}:
            raise UnverifiedError("welcome names a device that was not checked", code="unknown-member")
        return state

    def members(self, state: Group) -> tuple[str, ...]:
        return tuple(b64(one[SEALING_BYTES:]) for one in state.members)

    def encrypt(self, state: Group, frame: bytes, *, entropy: bytes) -> tuple[Group, bytes]:
        _check_open(state)
        head = bytes([VERSION, state.me]) + (state.sent + 1).to_bytes(8, "big")
        others = ((at, SealingPublicKey(one[:SEALING_BYTES])) for at, one in enumerate(state.members) if at != state.me)
        wraps = b"".join(key.seal(entropy, info("session-wrap", state.group, head, bytes([at]))) for at, key in others)
        signed = DeviceKey(state.seeds[32:]).sign(_to_sign(state, head, frame)) + frame
        box = seal_content(signed, entropy, info("session-box", state.group, head, wraps))
        return replace(state, sent=state.sent + 1), head + wraps + box

    def receive(self, state: Group, ciphertext: bytes) -> tuple[Group, Received]:
        _check_open(state)
        head, sender = ciphertext[:HEAD_BYTES], int.from_bytes(ciphertext[1:2], "big")
        if len(head) < HEAD_BYTES or head[0] != VERSION or sender >= len(state.members):
            raise MalformedError("session message has no valid head")
        seen = _advance(state, sender, counter := int.from_bytes(head[2:], "big"))
        split = HEAD_BYTES + (len(state.members) - 1) * WRAP_BYTES
        wraps, box = ciphertext[HEAD_BYTES:split], ciphertext[split:]
        at = (state.me - (state.me > sender)) * WRAP_BYTES
        context = info("session-wrap", state.group, head, bytes([state.me]))
        key = PrivateSealingKey(state.seeds[:32]).open(wraps[at : at + WRAP_BYTES], context, what="session message")
        signed = open_content(box, key, info("session-box", state.group, head, wraps), what="session message")
        device, frame = VerifyKey(state.members[sender][SEALING_BYTES:]), signed[SIGNATURE_BYTES:]
        device.verify(signed[:SIGNATURE_BYTES], _to_sign(state, head, frame), what="session message")
        return replace(state, seen=seen), Received(sender=device.text, counter=counter, frame=frame)

    def close(self, state: Group) -> Group:
        return Group(VERSION, b"", 0, b"", (), state.sent, ())

    def dump(self, state: Group) -> bytes:
        return msgspec.msgpack.encode(state)

    def load(self, data: bytes) -> Group:
        try:
            state = msgspec.msgpack.decode(data, type=Group)
        except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
            raise MalformedError("session state is damaged") from None
        if state.version != VERSION or not state.me <= len(state.members) == len(state.seen):
            raise MalformedError("session state is damaged or of another version")
        return state


def _package(own: Own) -> bytes:
    return PrivateSealingKey(own.secret).public.raw + own.device.public.raw


def _state(own: Own, everyone: tuple[bytes, ...], context: bytes) -> Group:
    assert len(context) == CONTEXT_BYTES
    keys = [key for one in everyone for key in (SealingPublicKey(one[:SEALING_BYTES]), VerifyKey(one[SEALING_BYTES:]))]
    if not 2 <= len(everyone) <= MAX_MEMBERS or len(set(keys)) != len(keys) or _package(own) not in everyone:
        raise RefusedError(f"session takes 2 to {MAX_MEMBERS} different devices, this one among them")
    group = sha256(label("session-group"), length_prefixed(context, *everyone))
    me, seen = everyone.index(_package(own)), ((0, 0),) * len(everyone)
    return Group(VERSION, group, me, own.secret + own.device.seed, everyone, 0, seen)


def _check_open(state: Group) -> None:
    if not state.members:
        raise RefusedError("session is closed", code="closed")


def _to_sign(state: Group, head: bytes, frame: bytes) -> bytes:
    return label("session-frame") + length_prefixed(state.group, head, frame)


def _advance(state: Group, sender: int, counter: int) -> tuple[tuple[int, int], ...]:
    """Return `seen` with this message in it. Raises: RefusedError: own, seen before, or behind the window."""
    highest, bits = state.seen[sender]
    age = highest - counter
    if sender == state.me or counter == 0 or age >= WINDOW or (age >= 0 and bits >> age & 1):
        raise RefusedError("session message was seen before or is too old", code="replayed")
    now = (highest, bits | 1 << age) if age >= 0 else (counter, bits << min(-age, WINDOW) & (1 << WINDOW) - 1 | 1)
    return (*state.seen[:sender], now, *state.seen[sender + 1 :])
