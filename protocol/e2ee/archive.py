"""A person's archive: contacts, what stays of sessions, and sessions that they chose to keep, sealed item by item.

A document longer than one item is cut into several. The manifest names every item with its hash, so that whoever keeps
them can neither exchange nor mix them; all are padded, so that sizes say little.
Source: docs/protocol/49-recovery.md §9.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Final, Literal

import msgspec

from protocol.encoding import Wire, b64, decode, encode, label, sha256
from protocol.errors import LimitError, MalformedError, UnverifiedError
from protocol.ids import Bytes32, Entity, RandomId, Seconds

from .content import open_content, seal_content
from .padding import LENGTH_BYTES, pad, unpad
from .recovery_slots import derived

MANIFEST: Final = "archive"
SALT_BYTES: Final = 16
BUCKETS: Final = (4_096, 16_384, 65_536, 262_144)
#: Bytes of a document in one item.
CHUNK_BYTES: Final = BUCKETS[-1] - LENGTH_BYTES
MAX_CHUNKS: Final = 16
MAX_PARTS: Final = 120
MAX_GONE: Final = 500

_Text = Annotated[str, msgspec.Meta(max_length=12_000)]


class DamagedArchiveError(MalformedError):
    """An item does not open, or is not the one that the manifest names."""

    code = "damaged-archive"


class KeptContact(Wire, frozen=True, kw_only=True):
    """Somebody met. Until `token_until` this person may ask them again by `token`, and they this person by `given`."""

    thread: RandomId
    name: Annotated[str, msgspec.Meta(max_length=80)]
    entity: Entity
    master_key: Annotated[str, msgspec.Meta(max_length=43)]
    label: Annotated[str, msgspec.Meta(max_length=22)] = ""
    met_at: Seconds
    again: bool = False
    token: Annotated[str, msgspec.Meta(max_length=22)] = ""
    token_until: Seconds = 0
    given: Annotated[str, msgspec.Meta(max_length=22)] = ""
    identity: Annotated[str, msgspec.Meta(max_length=43)] = ""
    next_key: Annotated[str, msgspec.Meta(max_length=43)] = ""
    next_since: Seconds = 0
    former: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=20)] = ()
    disputed: bool = False


class KeptLine(Wire, frozen=True, kw_only=True):
    """One takeaway, goal, action or private note."""

    thread: RandomId
    kind: Literal["takeaway", "goal", "action", "private"]
    text: _Text
    at: Seconds
    done: bool = False
    id: Annotated[str, msgspec.Meta(max_length=22)] = ""


class Book(Wire, frozen=True, kw_only=True):
    """The document of kind `book`: contacts and what stays of sessions."""

    contacts: Annotated[tuple[KeptContact, ...], msgspec.Meta(max_length=5_000)] = ()
    lines: Annotated[tuple[KeptLine, ...], msgspec.Meta(max_length=20_000)] = ()


class KeptSaid(Wire, frozen=True, kw_only=True):
    """One thing said or shared in a session, in words."""

    at: Seconds
    mine: bool = False
    kind: Annotated[str, msgspec.Meta(max_length=20)]
    text: _Text = ""


class KeptSession(Wire, frozen=True, kw_only=True):
    """The document of kind `session`: a session that its owner chose to keep."""

    thread: RandomId
    role: Literal["mentee", "mentor"]
    entity: Entity
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""
    topic: Annotated[str, msgspec.Meta(max_length=200)] = ""
    ended_at: Seconds
    said: Annotated[tuple[KeptSaid, ...], msgspec.Meta(max_length=6_000)] = ()


class ItemName(Wire, frozen=True, kw_only=True):
    """One item: its name at the node, and the SHA-256 of its bytes."""

    name: RandomId
    hash: Bytes32


class Part(Wire, frozen=True, kw_only=True):
    """One document: the hash of its plaintext, and its items in order."""

    kind: Literal["book", "session"]
    thread: RandomId | None = None
    digest: Bytes32
    items: Annotated[tuple[ItemName, ...], msgspec.Meta(min_length=1, max_length=MAX_CHUNKS)]


class Manifest(Wire, frozen=True, kw_only=True):
    """`{"bundle_seq":…,"gone":[…],"parts":[…],"seq":…,"v":…}`; `seq` grows, `gone` are sessions deleted on purpose."""

    v: Literal["mentormesh/archive/v1"] = "mentormesh/archive/v1"
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    bundle_seq: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0
    parts: Annotated[tuple[Part, ...], msgspec.Meta(max_length=MAX_PARTS)] = ()
    gone: Annotated[tuple[RandomId, ...], msgspec.Meta(max_length=MAX_GONE)] = ()


def seal_item(plaintext: bytes, account_secret: bytes, name: str, *, salt: bytes) -> bytes:
    """Return one item; `salt` is 16 bytes of entropy, fresh each time. Raises: LimitError: too long for an item."""
    size = next((bucket for bucket in BUCKETS if len(plaintext) + LENGTH_BYTES <= bucket), 0)
    if not size:
        raise LimitError(f"an item of the archive takes at most {CHUNK_BYTES} bytes")
    padded = pad(plaintext, size, what="archive item")
    return salt + seal_content(padded, _item_key(account_secret, name, salt), label("archive-item"))


def open_item(item: bytes, account_secret: bytes, name: str) -> bytes:
    """Return the plaintext of one item. Raises: DamagedArchiveError: changed, or another account's or name's."""
    salt, box = item[:SALT_BYTES], item[SALT_BYTES:]
    try:
        key = _item_key(account_secret, name, salt)
        padded = open_content(box, key, label("archive-item"), what="archive item")
        return unpad(padded, len(padded), what="archive item")
    except (MalformedError, UnverifiedError):
        raise DamagedArchiveError(
            "an item of the archive does not open: it was changed, or is of another account"
        ) from None


def open_manifest(item: bytes, account_secret: bytes) -> Manifest:
    """Return the manifest. Raises: DamagedArchiveError."""
    try:
        return decode(open_item(item, account_secret, MANIFEST), Manifest, what="archive manifest")
    except MalformedError as error:
        raise DamagedArchiveError(str(error)) from None


def cut(document: bytes) -> Iterator[bytes]:
    """Yield the chunks of a document. Raises: LimitError: it takes more than sixteen."""
    if len(document) > CHUNK_BYTES * MAX_CHUNKS:
        raise LimitError(f"a document of the archive takes at most {CHUNK_BYTES * MAX_CHUNKS} bytes")
    for at in range(0, max(1, len(document)), CHUNK_BYTES):
        yield document[at : at + CHUNK_BYTES]


def document_of(part: Part, items: Mapping[str, bytes], account_secret: bytes) -> bytes:
    """Return the document of `part`. Raises: DamagedArchiveError: an item is missing, changed or another one."""
    chunks: list[bytes] = []
    for one in part.items:
        item = items.get(one.name, b"")
        if b64(sha256(item)) != one.hash:
            raise DamagedArchiveError("an item of the archive is missing, or is not the one that belongs here")
        chunks.append(open_item(item, account_secret, one.name))
    return b"".join(chunks)


def render_book(contacts: Sequence[KeptContact], lines: Sequence[KeptLine]) -> bytes:
    """Return the document of contacts and lines."""
    return encode(Book(contacts=tuple(contacts), lines=tuple(lines)))


def digest_of(document: bytes) -> str:
    """Return the name by which a manifest says which document it holds."""
    return b64(sha256(document))


def _item_key(account_secret: bytes, name: str, salt: bytes) -> bytes:
    return derived("archive-item", account_secret, name.encode("ascii"), salt)
