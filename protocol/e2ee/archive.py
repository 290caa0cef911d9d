"""A person's archive: contacts, what stays of sessions, and sessions that they chose to keep, sealed item by item.

A document longer than one item is cut into several. The manifest names every item with its hash, so that whoever keeps
them can neither exchange nor mix them; all are padded, so that sizes say little.
Source: docs/protocol/49-recovery.md §9.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal

import msgspec

from protocol.encoding import Wire, b64, decode, label, sha256
from protocol.errors import LimitError, MalformedError, UnverifiedError
from protocol.ids import Bytes32, RandomId

from .content import open_content, seal_content
from .padding import LENGTH_BYTES, pad, unpad
from .recovery_slots import derived

MANIFEST: Final = "archive"
SALT_BYTES: Final = 16
BUCKETS: Final = (4_096, 16_384, 65_536, 262_144)
#: Salt, nonce and tag.
ITEM_OVERHEAD: Final = SALT_BYTES + 24 + 16
#: Bytes of a document in one item.
CHUNK_BYTES: Final = BUCKETS[-1] - LENGTH_BYTES
MAX_CHUNKS: Final = 16
MAX_DOCUMENT_BYTES: Final = CHUNK_BYTES * MAX_CHUNKS
MAX_PARTS: Final = 120
MAX_GONE: Final = 500


class DamagedArchiveError(MalformedError):
    """An item does not open, or is not the one that the manifest names."""

    code = "damaged-archive"


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


def item_size(plaintext: bytes) -> int:
    """Return how many bytes an item of a chunk has, salt and box included."""
    return next(bucket for bucket in BUCKETS if len(plaintext) + LENGTH_BYTES <= bucket) + ITEM_OVERHEAD


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
    if len(document) > MAX_DOCUMENT_BYTES:
        raise LimitError(f"a document of the archive takes at most {MAX_DOCUMENT_BYTES} bytes")
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


def digest_of(document: bytes) -> str:
    """Return the name by which a manifest says which document it holds."""
    return b64(sha256(document))


def _item_key(account_secret: bytes, name: str, salt: bytes) -> bytes:
    return derived("archive-item", account_secret, name.encode("ascii"), salt)
