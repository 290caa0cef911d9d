"""What devices of one person tell each other about a session: signed by one, sealed to another, through their own node.

`Invite` → `Package` → `Handoff`: a device in a session tells another one of it, which answers with a key package; when
the change that adds it has counted, it is told all that its sibling knows. Source: docs/protocol/46-own-devices.md §6.
"""

from typing import Annotated, Final, Literal

import msgspec

from protocol.devices import open_device, sealing_key_hash
from protocol.encoding import Wire, b64, decode, encode, label, length_prefixed, split_prefixed, unb64
from protocol.errors import MalformedError, UnverifiedError
from protocol.ids import Bytes32, Entity, RandomId, Seconds
from protocol.sealing import OVERHEAD_BYTES, SealingPublicKey, info
from protocol.signing import VerifyKey

from .keys import DeviceKey, PersonSealingKey

#: One word, sealed; as much as an envelope.
MAX_ITEM_BYTES: Final = 80 * 1024
#: Frames that a device is told of; more never fit into an item.
MAX_FRAMES: Final = 512
#: Devices that were taken out of a session, the last ones.
MAX_LEFT: Final = 64
NAME_BYTES: Final = 32

PackageText = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
WelcomeText = Annotated[str, msgspec.Meta(min_length=1, max_length=120_000)]
#: A frame as canonical JSON.
FrameText = Annotated[str, msgspec.Meta(min_length=2, max_length=65_536)]


class Invite(Wire, frozen=True, kw_only=True, tag="invite"):
    """`{"type":"invite"}`: this session is open, and the device that reads it is no member."""


class Package(Wire, frozen=True, kw_only=True, tag="package"):
    """`{"package":…,"type":"package"}`: a fresh key package of the sender, for this session only."""

    package: PackageText


class Told(Wire, frozen=True, kw_only=True):
    """One frame that was said: the hub's number, and who said it."""

    number: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    sender: Bytes32
    frame: FrameText


class Handoff(Wire, frozen=True, kw_only=True, tag="handoff"):
    """All that a device must know of a session: how to join, who the other person is, what was agreed and said.

    `rejoin` is the key of the session for words of a device without a place, `left` are devices that were taken out.
    `number` is the hub's of the commit that adds the reader: what has a higher one, it reads itself.
    """

    role: Literal["mentee", "mentor"]
    consumer: Entity
    provider: Entity
    context: Bytes32
    welcome: WelcomeText
    number: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    peer_identity: Bytes32
    peer_next: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=2)] = ()
    peer_chain: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=8)] = ()
    peer_devices: Annotated[tuple[Bytes32, ...], msgspec.Meta(min_length=1, max_length=32)]
    agreement: Annotated[str, msgspec.Meta(max_length=8192)]
    attested: Annotated[str, msgspec.Meta(max_length=16)]
    format: Annotated[str, msgspec.Meta(max_length=16)]
    length: Annotated[int, msgspec.Meta(ge=0, le=480)] = 0
    topic: Annotated[str, msgspec.Meta(max_length=200)] = ""
    slot: Seconds | None = None
    ends_at: Seconds
    witnessed: bool = True
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    master_key: Annotated[str, msgspec.Meta(max_length=43)] = ""
    label: Annotated[str, msgspec.Meta(max_length=22)] = ""
    former: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=20)] = ()
    vouched: bool = True
    again_mine: bool | None = None
    again_theirs: bool | None = None
    closed_mine: bool = False
    closed_theirs: bool = False
    frames: Annotated[tuple[Told, ...], msgspec.Meta(max_length=MAX_FRAMES)] = ()
    rejoin: Bytes32 | None = None
    left: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MAX_LEFT)] = ()

    def __repr__(self) -> str:
        return "Handoff(…)"


Content = Invite | Package | Handoff


class Word(Wire, frozen=True, kw_only=True):
    """`{"at":…,"content":…,"thread":…}`."""

    thread: RandomId
    at: Seconds
    content: Content


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A word whose signature holds, and the device key and certificate of the sibling that said it."""

    device: VerifyKey
    word: Word


def seal_word(word: Word, to: SealingPublicKey, device: DeviceKey, certificate: str, *, audience: str) -> bytes:
    """Return `word` by `device` for the sibling that holds `to`. Raises: MalformedError: too long."""
    body = encode(word)
    signature = device.sign(_signed(audience, to, body))
    item = sealing_key_bytes(to) + to.seal(
        length_prefixed(certificate.encode("ascii"), signature, body), _context(audience, to)
    )
    if len(item) > MAX_ITEM_BYTES:
        raise MalformedError(f"what a device tells another takes at most {MAX_ITEM_BYTES} bytes")
    return item


def reader_of(item: bytes) -> str:
    """Return the hash of the sealing key that an item is for. Raises: MalformedError."""
    if not NAME_BYTES + OVERHEAD_BYTES < len(item) <= MAX_ITEM_BYTES:
        raise MalformedError("what a device tells another has a length that it cannot have")
    return b64(item[:NAME_BYTES])


def open_word(item: bytes, key: PersonSealingKey, identity: VerifyKey, *, audience: str, now: int) -> Heard:
    """Return what a sibling told this device; whether the directory lists that sibling is checked beside it.

    Args:
        identity: the person's own identity key in `audience`.
    Raises: UnverifiedError: sealed to another key, changed, of another audience, or not by a device of this person;
        MalformedError.
    """
    if reader_of(item) != sealing_key_hash(key.public):
        raise UnverifiedError("sealed to another device", code="wrong-key")
    plain = key.open(item[NAME_BYTES:], _context(audience, key.public), what="word of another device")
    certificate, signature, body = split_prefixed(plain, 3, what="word of another device")
    opened = open_device(_ascii(certificate), identity, audience=audience, now=now)
    device = VerifyKey.parse(opened.device_key)
    device.verify(signature, _signed(audience, key.public, body), what="word of another device")
    return Heard(device=device, word=decode(body, Word, what="word of another device"))


def sealing_key_bytes(key: SealingPublicKey) -> bytes:
    """Return the 32 bytes by which items name a sealing key."""
    return unb64(sealing_key_hash(key), size=NAME_BYTES)


def _context(audience: str, key: SealingPublicKey) -> bytes:
    return info("sibling", unb64(audience, size=32, what="audience"), sealing_key_bytes(key))


def _signed(audience: str, key: SealingPublicKey, body: bytes) -> bytes:
    place = unb64(audience, size=32, what="audience")
    return label("sibling") + length_prefixed(place, sealing_key_bytes(key), body)


def _ascii(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError("a certificate is not ASCII") from None
