"""Entries of a key directory: which devices stand behind one random label towards one audience.

An entry names nobody. Its vouch commits to a name and to the master key's statement; both are opened end to end, to the
other person of an agreement only. Source: docs/protocol/13-key-directory.md §1–§3.
"""

import hmac
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from .commitments import SALT_BYTES
from .devices import (
    DeviceCertificate,
    IdentityStatement,
    StatementText,
    Vouch,
    open_device,
    open_identity,
    reopen_device,
)
from .encoding import Wire, b64, decode, encode, label, sha256
from .errors import LimitError, MalformedError, UnverifiedError
from .ids import Bytes32, RandomId
from .pages import MAX_BODY_BYTES
from .signing import VerifyKey
from .text import check_displayable

MAX_DEVICES: Final = 8
MAX_SEQ: Final = 2**31
MAX_NAME_BYTES: Final = 320


class BadEntryError(UnverifiedError):
    """A set of keys holds something that is no entry, or entries that contradict each other."""

    code = "bad-entry"


class KeyEntry(Wire, frozen=True, kw_only=True):
    """One person, or nobody, towards one audience.

    {"devices":["<certificate>"],"identity_key":"…43…","label":"…22…","seq":3,"vouch":{"identity":"…","name":"…"}}

    `devices` are certificates by the identity key, ascending by device id; `seq` grows with every change.
    """

    label: RandomId
    identity_key: Bytes32
    devices: Annotated[tuple[StatementText, ...], msgspec.Meta(min_length=1, max_length=MAX_DEVICES)]
    seq: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQ)]
    vouch: Vouch


class OpenedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry whose certificates hold, with what they say, in the order of the entry."""

    entry: KeyEntry
    devices: tuple[DeviceCertificate, ...]

    def device(self, key: str) -> DeviceCertificate | None:
        """Return the certificate of the device with this key, if the entry lists it."""
        return next((one for one in self.devices if one.device_key == key), None)


class VouchOpening(msgspec.Struct, frozen=True, kw_only=True):
    """What opens a vouch, shown end to end: the name and the master key's statement, each with its 16-byte salt."""

    name: str
    name_salt: bytes
    identity: StatementText
    identity_salt: bytes
    master_key: Bytes32

    def __post_init__(self) -> None:
        if len(self.name_salt) != SALT_BYTES or len(self.identity_salt) != SALT_BYTES:
            raise ValueError("a salt is 16 bytes")

    def __repr__(self) -> str:
        return "VouchOpening(…)"


def encode_entry(entry: KeyEntry) -> bytes:
    """Return the canonical body. Raises: LimitError: longer than a page takes."""
    body = encode(entry)
    if len(body) > MAX_BODY_BYTES:
        raise LimitError(f"key entry is over {MAX_BODY_BYTES} bytes")
    return body


def open_entry(body: bytes, *, audience: str, now: int) -> OpenedEntry:
    """Return the entry once its identity key signed every device for `audience`, each valid at `now`.

    Raises: MalformedError; UnverifiedError: a certificate does not hold; BadEntryError: out of order, or one twice.
    """
    entry = _parse_entry(body)
    identity = VerifyKey.parse(entry.identity_key)
    return _opened(entry, tuple(open_device(text, identity, audience=audience, now=now) for text in entry.devices))


def _parse_entry(body: bytes) -> KeyEntry:
    if len(body) > MAX_BODY_BYTES:
        raise MalformedError(f"key entry is over {MAX_BODY_BYTES} bytes")
    return decode(body, KeyEntry, what="key entry")


def _opened(entry: KeyEntry, devices: tuple[DeviceCertificate, ...]) -> OpenedEntry:
    names = [one.device_id for one in devices]
    keys = {one.device_key for one in devices}
    if names != sorted(set(names)) or len(keys) != len(devices) or entry.identity_key in keys:
        raise BadEntryError("key entry must list each device once, ascending by device id")
    return OpenedEntry(entry=entry, devices=devices)


class HeldEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is remembered of an entry that was opened before: a digest of its body, and what may not go back."""

    digest: bytes
    identity_key: str
    seq: int


def held_entry(body: bytes) -> tuple[str, HeldEntry]:
    """Return the label of an entry that was opened before, and what to compare its successor with."""
    entry = msgspec.json.decode(body, type=KeyEntry)
    return entry.label, HeldEntry(digest=sha256(body), identity_key=entry.identity_key, seq=entry.seq)


class EntrySet:
    """The entries of a whole set, taken one after the other.

    Args:
        now: when its head was issued, so that everybody judges alike.
        before: the entries held before, by label; whose body is the same, its signatures are not verified again.
    """

    def __init__(self, *, audience: str, now: int, before: Mapping[str, HeldEntry]) -> None:
        self._audience: Final = audience
        self._now: Final = now
        self._before: Final = before
        self._labels: Final[set[str]] = set()
        self._keys: Final[set[str]] = set()

    def take(self, body: bytes) -> OpenedEntry:
        """Return the next entry.

        Raises: BadEntryError: not in form, its label or a key stood there before, or it changed without a larger
            number, or changed its identity key. UnverifiedError: a certificate does not hold.
        """
        try:
            opened = self._open(body)
        except MalformedError as error:
            raise BadEntryError(str(error)) from None
        keys = [opened.entry.identity_key, *(device.device_key for device in opened.devices)]
        if opened.entry.label in self._labels or not self._keys.isdisjoint(keys):
            raise BadEntryError("two entries of the set share a label or a key")
        self._labels.add(opened.entry.label)
        self._keys.update(keys)
        return opened

    def _open(self, body: bytes) -> OpenedEntry:
        entry = _parse_entry(body)
        known = self._before.get(entry.label)
        if known is None:
            return open_entry(body, audience=self._audience, now=self._now)
        if known.digest == sha256(body):
            devices = (reopen_device(text, audience=self._audience, now=self._now) for text in entry.devices)
            return _opened(entry, tuple(devices))
        if known.identity_key != entry.identity_key or entry.seq <= known.seq:
            raise BadEntryError("an entry changed without a larger number, or changed its identity key")
        return open_entry(body, audience=self._audience, now=self._now)


def make_vouch(opening: VouchOpening) -> Vouch:
    """Return the commitments that `opening` opens."""
    return Vouch(name=b64(_vouched_name(opening)), identity=b64(_vouched_identity(opening)))


def _vouched_name(opening: VouchOpening) -> bytes:
    return sha256(label("vouch-name"), opening.name_salt, opening.name.encode())


def _vouched_identity(opening: VouchOpening) -> bytes:
    return sha256(label("vouch-identity"), opening.identity_salt, opening.identity.encode("ascii"))


def check_vouch(entry: KeyEntry, opening: VouchOpening, *, audience: str) -> IdentityStatement:
    """Return the master key's statement once it is what the entry vouched for, and is about this entry.

    Raises: MalformedError: the name cannot be shown; UnverifiedError: another name, statement, label or key.
    """
    if not is_vouched_name(entry.vouch.name, opening):
        raise UnverifiedError("another name was vouched for", code="opening-mismatch")
    statement = check_vouched_identity(entry.vouch.identity, opening, audience=audience)
    if (statement.label, statement.identity_key) != (entry.label, entry.identity_key):
        raise UnverifiedError("identity statement is about another entry", code="wrong-identity")
    return statement


def is_vouched_name(vouched: str, opening: VouchOpening) -> bool:
    """Return whether a directory vouched for the name of `opening`. Raises: MalformedError: it cannot be shown."""
    check_displayable(opening.name, "name", lines=False)
    if len(opening.name.encode()) > MAX_NAME_BYTES:
        raise MalformedError(f"name is over {MAX_NAME_BYTES} bytes")
    return hmac.compare_digest(b64(_vouched_name(opening)), vouched)


def check_vouched_identity(vouched: str, opening: VouchOpening, *, audience: str) -> IdentityStatement:
    """Return the statement of `opening` once a directory vouched for it. Raises: UnverifiedError; MalformedError."""
    if not hmac.compare_digest(b64(_vouched_identity(opening)), vouched):
        raise UnverifiedError("another identity statement was vouched for", code="opening-mismatch")
    return open_identity(opening.identity, VerifyKey.parse(opening.master_key), audience=audience)


def lookup_prefix(identity_key: str, bits: int) -> str:
    """Return the first `bits` bits of SHA-256 of an identity key, as hexadecimal digits with zeros after them.

    People's devices ask their node for all entries of such a prefix, so that it does not learn whose they want.
    """
    return masked(sha256(label("key-lookup"), identity_key.encode("ascii"))[:2], bits)


def masked(prefix: bytes, bits: int) -> str:
    """Return two bytes with all but the first `bits` set to zero, as four hexadecimal digits."""
    if not 0 <= bits <= 16:
        raise ValueError("a look-up prefix has 0 to 16 bits")
    return f"{int.from_bytes(prefix, 'big') >> 16 - bits << 16 - bits:04x}"
