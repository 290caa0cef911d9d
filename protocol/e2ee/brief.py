"""The brief: what a mentee tells the one mentor they chose, readable by that mentor's devices and nobody between.

Signed inside by the mentee's device over thread, `ref`, audience and the hashes of the keys it is sealed to: a node
that opened a brief with a key of its own cannot seal it again for the real mentor. Encrypted once, always to the same
length, and wrapped for at most two devices. Source: docs/protocol/42-sealing.md §6.
"""

from typing import Annotated, Final

import msgspec

from protocol import contexts
from protocol.bodies import SealedBrief, Slots, Wrapped
from protocol.contexts import ThreadContext
from protocol.devices import StatementText, open_device, sealing_key_hash
from protocol.encoding import Wire, b64, decode, encode, label, length_prefixed, split_prefixed, unb64
from protocol.errors import MalformedError, UnverifiedError
from protocol.ids import Bytes32, Entity, RandomId, parse_entity
from protocol.needs import Reason
from protocol.sealing import SealingPublicKey
from protocol.signing import VerifyKey
from protocol.text import check_displayable

from .content import open_content, seal_content
from .keys import DeviceKey, PersonSealingKey
from .padding import pad, unpad

#: Every brief is this long before encryption, so that its length says nothing.
BRIEF_BYTES: Final = 14_336
MAX_PROMPT_CHARACTERS: Final = 600
MAX_PROMPT_BYTES: Final = 1_800
MAX_PACKAGES: Final = 3
#: What is left for key packages beside the longest words.
MAX_PACKAGE_BYTES: Final = 9_600

#: A chip about the mentee, such as `sector-h` or `band-senior`; each device words it in its own language.
About = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,23}(?!\n)$")]


class BriefWords(Wire, frozen=True, kw_only=True):
    """The readable part: `{"about":["sector-h"],"chosen_because":"been-through-it","prompts":["…","…","…"],…}`.

    Prompts: the question and its context; what was tried; what would make the session worth it. Together at most 600
    Unicode code points and 1,800 bytes of UTF-8. `again`: the two have met, and the mentor's device may say so.
    """

    thread: RandomId
    ref: RandomId
    audience: Bytes32
    consumer: Entity
    provider: Entity
    prompts: tuple[str, str, str]
    about: Annotated[tuple[About, ...], msgspec.Meta(max_length=4)] = ()
    chosen_because: Reason
    chosen_from: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    slots: Slots = ()
    again: bool = False
    identity_key: Bytes32
    certificate: StatementText

    def __post_init__(self) -> None:
        """Refuse entities in another spelling, and prompts that are too long or not displayable."""
        parse_entity(self.consumer, what="consumer")
        parse_entity(self.provider, what="provider")
        text = "".join(self.prompts)
        check_displayable(text, "brief")
        if len(text) > MAX_PROMPT_CHARACTERS or len(text.encode()) > MAX_PROMPT_BYTES:
            raise MalformedError(f"brief takes {MAX_PROMPT_CHARACTERS} characters and {MAX_PROMPT_BYTES} bytes")

    @property
    def context(self) -> ThreadContext:
        """The thread and the two nodes that the brief says it belongs to."""
        return ThreadContext(thread=self.thread, consumer=self.consumer, provider=self.provider)


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """The words, the one-time key for the answer, and key packages of the mentee's devices for the session engine."""

    words: BriefWords
    reply_key: SealingPublicKey
    key_packages: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        """Refuse more key packages than every brief has room for."""
        if len(self.key_packages) > MAX_PACKAGES or sum(map(len, self.key_packages)) > MAX_PACKAGE_BYTES:
            raise MalformedError(f"brief takes {MAX_PACKAGES} key packages of together {MAX_PACKAGE_BYTES} bytes")


class OpenedBrief(msgspec.Struct, frozen=True, kw_only=True):
    """A brief whose signature, certificate and context hold, with the device that signed it and all who can read it."""

    brief: Brief
    device: VerifyKey
    readers: tuple[Bytes32, ...]


def seal_brief(brief: Brief, device: DeviceKey, keys: tuple[SealingPublicKey, ...], *, entropy: bytes) -> SealedBrief:
    """Return the brief signed by `device` and sealed to the 1–2 sealing keys of the chosen candidate.

    Args:
        entropy: 32 bytes, the content key.
    Raises: MalformedError: a field out of its bounds; the words are checked as a receiver would.
    """
    words = decode(encode(brief.words), BriefWords, what="brief")
    readers = tuple(sealing_key_hash(key) for key in keys)
    signed = _parts(brief, encode(words))
    plain = length_prefixed(device.sign(_to_sign(words, readers, signed)), *signed)
    padded = pad(plain, BRIEF_BYTES, what="brief")
    box = seal_content(padded, entropy, contexts.brief_box(words.context, ref=words.ref, audience=words.audience))
    wrapped = tuple(_wrap(key, words, entropy) for key in keys)
    return SealedBrief(wrapped=wrapped, box=b64(box))


def open_brief(
    sealed: SealedBrief, key: PersonSealingKey, *, context: ThreadContext, ref: str, audience: str, now: int
) -> OpenedBrief:
    """Return the brief that was written for `ref` in this thread and sealed to `key`, and nothing else.

    Raises: UnverifiedError: not sealed to this key, bound to another thread, `ref`, audience or set of keys, not
        signed by the device that its certificate names, or the certificate does not hold; MalformedError.
    """
    content_key = _unwrap(sealed, key, contexts.brief_wrap(context, ref=ref, audience=audience, key=key.public))
    aad = contexts.brief_box(context, ref=ref, audience=audience)
    padded = open_content(unb64(sealed.box, what="brief"), content_key, aad, what="brief")
    signature, brief = _split(unpad(padded, BRIEF_BYTES, what="brief"))
    words = brief.words
    if (words.context, words.ref, words.audience) != (context, ref, audience):
        raise UnverifiedError("brief was written for another thread or candidate", code="wrong-context")
    identity = VerifyKey.parse(words.identity_key)
    certificate = open_device(words.certificate, identity, audience=audience, now=now)
    device = VerifyKey.parse(certificate.device_key)
    readers = tuple(one.key for one in sealed.wrapped)
    device.verify(signature, _to_sign(words, readers, _parts(brief, encode(words))), what="brief signature")
    return OpenedBrief(brief=brief, device=device, readers=readers)


def _wrap(key: SealingPublicKey, words: BriefWords, content_key: bytes) -> Wrapped:
    info = contexts.brief_wrap(words.context, ref=words.ref, audience=words.audience, key=key)
    return Wrapped(key=sealing_key_hash(key), sealed=b64(key.seal(content_key, info)))


def _unwrap(sealed: SealedBrief, key: PersonSealingKey, info: bytes) -> bytes:
    name = sealing_key_hash(key.public)
    for wrapped in sealed.wrapped:
        if wrapped.key == name:
            return key.open(unb64(wrapped.sealed, what="brief key"), info, what="brief key")
    raise UnverifiedError("brief is not sealed to this device", code="wrong-key")


def _parts(brief: Brief, words: bytes) -> tuple[bytes, ...]:
    """Return what is signed and sealed: the canonical words, the reply key, the key packages."""
    return words, brief.reply_key.raw, *brief.key_packages


def _to_sign(words: BriefWords, readers: tuple[str, ...], parts: tuple[bytes, ...]) -> bytes:
    bound = (words.thread, words.ref, words.audience, ",".join(readers))
    return label("brief") + length_prefixed(*(text.encode("ascii") for text in bound), *parts)


def _split(plain: bytes) -> tuple[bytes, Brief]:
    """Return the signature and the brief of an opened box, still unverified. Raises: MalformedError."""
    parts: list[bytes] = []
    rest = plain
    while rest:
        end = 4 + int.from_bytes(rest[:4], "big")
        parts += split_prefixed(rest[:end], 1, what="brief")
        rest = rest[end:]
    if len(parts) < 3:
        raise MalformedError("brief must hold a signature, words and a reply key")
    signature, words, reply, *packages = parts
    brief = Brief(
        words=decode(words, BriefWords, what="brief"), reply_key=SealingPublicKey(reply), key_packages=tuple(packages)
    )
    return signature, brief
