"""Signed notes and verifier keys (C2SP signed-note): a text, and lines that say who signed it.

Of the signature types this reads and writes Ed25519 (`0x01`) and the timestamped cosignature (`0x04`). Lines of every
other type, such as ML-DSA-44 (`0x06`, reserved here), belong to keys that nobody can configure: they are kept as they
are and never looked at. Source: docs/protocol/51-checkpoints.md §1–§3.
"""

import re
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, TypeVar

import msgspec

from protocol.encoding import sha256
from protocol.errors import LimitError, MalformedError, UnverifiedError
from protocol.signing import VerifyKey

from .lines import base64_bytes, base64_text

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04

MAX_NOTE_BYTES: Final = 128 * 1024
MAX_SIGNATURES: Final = 16
MAX_NAME_BYTES: Final = 255
KEY_ID_BYTES: Final = 4

_MARK: Final = "— "
# Control characters, and the line separators that some programs break a line at: what one reader takes for one line
# would be two for another. Surrogates have no UTF-8.
_FORBIDDEN: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_VKEY: Final = re.compile(r"([^+]*)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]{0,4096})")


class NoteLimitError(LimitError):
    """A note is longer, or has more signatures, than anybody needs."""

    code = "note-limit"


class NoteBytesError(MalformedError):
    """A note is not UTF-8, or has a control character or a line separator other than the line feed."""

    code = "note-bytes"


class NoteShapeError(MalformedError):
    """A note is not a text, a blank line and signature lines, each ended by a line feed."""

    code = "note-shape"


class SignatureLineError(MalformedError):
    """A signature line is not `— NAME BASE64` with one space each, a key id and a signature."""

    code = "signature-line"


class KeyNameError(MalformedError):
    """A key name is empty, too long, or has a space or a plus in it."""

    code = "key-name"


class VkeyError(MalformedError):
    """A verifier key is not `NAME+ID+BASE64`, or its key is not a valid public key."""

    code = "vkey"


class KeyIdError(MalformedError):
    """The id in a verifier key is not that of its name and key."""

    code = "vkey-id"


class KeyTypeError(MalformedError):
    """A verifier key is of a signature type that is not implemented, so nothing could ever be verified with it."""

    code = "vkey-type"


class RepeatedSignerError(UnverifiedError):
    """A known key signed twice: which of the two counts would be the reader's choice."""

    code = "repeated-signer"


class BadSignatureError(UnverifiedError):
    """A line of a known key does not verify: the whole note is refused."""

    code = "bad-signature"


class UnsignedError(UnverifiedError):
    """No known key signed."""

    code = "unsigned"


class SignatureLine(msgspec.Struct, frozen=True, kw_only=True):
    """Who says to have signed, and the signature: `— aurora.example/log oUWBDkP0…`."""

    name: str
    key_id: bytes
    signature: bytes


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A note taken apart and not yet verified; `text` ends in a line feed.

    An example of a note.
    (blank line)
    — aurora.example/log oUWBDkP0hzoiA4j5e5Bj6D/Z/nfVRTt7e6VlpxZaJ5KgbTBJDLQWsec0oVQpsxiZ…
    """

    text: str
    signatures: tuple[SignatureLine, ...]


class NoteKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key under its name, for one signature type; see `LogKey` and `WitnessKey`."""

    type: ClassVar[int]

    name: str
    key: VerifyKey

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def key_id(self) -> bytes:
        """The four bytes that name this key in a signature line."""
        return key_id(self.name, self.type, self.key.raw)

    @property
    def vkey(self) -> str:
        """The key as text: `aurora.example/log+a145810e+AS+cOt/dkTN2oJuqzMWNPar3TW2QjuC/3JSNFlIE1IlP`."""
        return f"{self.name}+{self.key_id.hex()}+{base64_text(bytes([self.type]) + self.key.raw)}"


class LogKey(NoteKey, frozen=True, kw_only=True):
    """What a log signs its checkpoints with (type `0x01`); its name is the log's origin."""

    type: ClassVar[int] = ED25519


class WitnessKey(NoteKey, frozen=True, kw_only=True):
    """What a witness cosigns with (type `0x04`)."""

    type: ClassVar[int] = COSIGNATURE


KeyT = TypeVar("KeyT", bound=NoteKey)


def check_name(name: str) -> None:
    """Return when `name` can be a key name. Raises: KeyNameError."""
    if not 0 < len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES:
        raise KeyNameError(f"key name must be 1 to {MAX_NAME_BYTES} bytes")
    if "+" in name or any(each.isspace() for each in name) or _FORBIDDEN.search(name):
        raise KeyNameError("key name must not contain a space, a plus or a control character")


def key_id(name: str, signature_type: int, public: bytes) -> bytes:
    """Return the first four bytes of SHA-256(name ‖ line feed ‖ type ‖ public key)."""
    return sha256(f"{name}\n".encode(), bytes([signature_type]), public)[:KEY_ID_BYTES]


def parse_vkey(text: str) -> LogKey | WitnessKey:
    """Return the key of a verifier key text.

    Raises: VkeyError, KeyNameError, Base64Error, KeyTypeError, KeyIdError.
    """
    match = _VKEY.fullmatch(text)
    if not match:
        raise VkeyError("verifier key must be a name, an id of 8 hex digits and base64, joined by plus signs")
    name, said_id, material = match[1], bytes.fromhex(match[2]), base64_bytes(match[3], what="verifier key")
    check_name(name)
    kind = next((kind for kind in (LogKey, WitnessKey) if material[:1] == bytes([kind.type])), None)
    if kind is None:
        raise KeyTypeError("verifier key must be of signature type 0x01 or 0x04")
    if said_id != key_id(name, kind.type, material[1:]):
        raise KeyIdError("verifier key: the id is not that of name and key")
    try:
        return kind(name=name, key=VerifyKey(material[1:]))
    except MalformedError:
        raise VkeyError("verifier key must hold a valid Ed25519 public key") from None


def parse_note(data: bytes) -> Note:
    """Return the text and the signature lines of `data`; nothing is verified yet.

    Raises: NoteLimitError, NoteBytesError, NoteShapeError, SignatureLineError, KeyNameError, Base64Error.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise NoteLimitError(f"note is over {MAX_NOTE_BYTES} bytes")
    whole = _decoded(data)
    text, blank, lines = whole.rpartition("\n\n")
    if not blank:
        raise NoteShapeError("note must be a text, a blank line and signatures")
    return Note(text=f"{text}\n", signatures=parse_signatures(lines))


def _decoded(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise NoteBytesError("note must be UTF-8") from None
    if _FORBIDDEN.search(text):
        raise NoteBytesError("note must not have control characters or line separators but the line feed")
    return text


def parse_signatures(lines: str) -> tuple[SignatureLine, ...]:
    """Return one or more signature lines, as they stand in a note or in a witness's answer.

    Raises: NoteLimitError, NoteShapeError, SignatureLineError, KeyNameError, Base64Error.
    """
    if not lines.endswith("\n"):
        raise NoteShapeError("note must end with a signature line and a line feed")
    found = lines[:-1].split("\n")
    if len(found) > MAX_SIGNATURES:
        raise NoteLimitError(f"note has over {MAX_SIGNATURES} signatures")
    return tuple(_signature_line(line) for line in found)


def _signature_line(line: str) -> SignatureLine:
    name, space, text = line.removeprefix(_MARK).partition(" ")
    if not line.startswith(_MARK) or not space:
        raise SignatureLineError("signature line must be an em dash, a name and base64, with one space between them")
    check_name(name)
    data = base64_bytes(text, what="signature")
    if len(data) <= KEY_ID_BYTES:
        raise SignatureLineError("signature line must hold a key id and a signature")
    return SignatureLine(name=name, key_id=data[:KEY_ID_BYTES], signature=data[KEY_ID_BYTES:])


def render_note(note: Note) -> bytes:
    """Return the bytes of a note. Raises: ValueError: it would not be read back."""
    data = f"{note.text}\n{render_signatures(note.signatures)}".encode()
    if parse_note(data) != note:
        raise ValueError("note would not be read back as it is")
    return data


def render_signatures(signatures: Iterable[SignatureLine]) -> str:
    """Return signature lines, each with its line feed."""
    return "".join(f"{_MARK}{each.name} {base64_text(each.key_id + each.signature)}\n" for each in signatures)


def with_signatures(note: Note, added: Iterable[SignatureLine]) -> Note:
    """Return the note with these signatures; one of a key that signed before takes the older one's place."""
    by_key = {(each.name, each.key_id): each for each in (*note.signatures, *added)}
    return Note(text=note.text, signatures=tuple(by_key.values()))


def lines_of(note: Note, keys: Sequence[KeyT]) -> tuple[tuple[KeyT, SignatureLine], ...]:
    """Return the lines that name one of `keys`, with that key; none of them is verified yet.

    Raises: RepeatedSignerError: a key has two lines. ValueError: two keys share name and id.
    """
    known = {(key.name, key.key_id): key for key in keys}
    if len(known) != len(keys):
        raise ValueError("two known keys share name and id")
    named = [(line.name, line.key_id) for line in note.signatures]
    if any(named.count(each) > 1 for each in named if each in known):
        raise RepeatedSignerError("note is signed twice by one key")
    return tuple((known[each], line) for each, line in zip(named, note.signatures, strict=True) if each in known)
