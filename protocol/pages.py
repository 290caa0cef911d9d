"""Snapshot pages: the entries of a set in pieces of 256, and the check that all pages together are the whole set.

A page is valid `application/zstd`: a skippable frame that declares position and inflated size, then one frame with
canonical JSON. The declared size is compared with the cap and with the frame before a byte is inflated.
Source: docs/protocol/12-set-heads.md §8–§9.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import itemgetter, lt
from typing import Annotated, Final

import msgspec
import zstandard

from .commitments import Opening, commit_all
from .encoding import Wire, b64, decode, encode
from .errors import LimitError, MalformedError, UnverifiedError
from .heads import ENTRY_PURPOSE, MAX_ENTRIES, MAX_SHARDS, SetHead, SetKind, size_bucket
from .ids import many_id_bytes
from .tlog.merkle import leaf_hash, root_hash

PAGE_ENTRIES: Final = 256
MAX_PAGES: Final = MAX_ENTRIES // PAGE_ENTRIES + MAX_SHARDS
MAX_BODY_BYTES: Final = 8192
MAX_INFLATED: Final = 4 * 1024 * 1024
MAX_WINDOW: Final = 8 * 1024 * 1024
#: A page that did not shrink at all, with its frame.
MAX_PAGE_BYTES: Final = MAX_INFLATED + 65_536

_LEVEL: Final = 3
#: zstd skippable frame 0 (RFC 8878 §3.1.2) of 12 bytes.
_PREFIX: Final = b"\x50\x2a\x4d\x18\x0c\x00\x00\x00"
#: Format version, shard, page, pages, zero, inflated size.
_HEADER: Final = struct.Struct(">BBHHHI")
_VERSION: Final = 1


class IncompleteError(UnverifiedError):
    """The pages are not exactly the set that the head signs: the set must not be shown."""

    code = "incomplete"


class _Entry(Wire, frozen=True, kw_only=True, gc=False):
    body: Annotated[str, msgspec.Meta(max_length=MAX_BODY_BYTES)]
    #: A random id; all of a page are checked at once.
    salt: Annotated[str, msgspec.Meta(min_length=22, max_length=22)]


class _Body(Wire, frozen=True, kw_only=True):
    r"""`{"entries":[{"body":"{\"band\":…}","salt":"…22…"}]}`; a page of an empty set is `{}`."""

    entries: Annotated[tuple[_Entry, ...], msgspec.Meta(max_length=PAGE_ENTRIES)] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded page: its place, and openings that are not yet checked against a root."""

    shard: int
    number: int
    of: int
    entries: tuple[Opening, ...]


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A member of a complete set."""

    shard: int
    commitment: bytes
    opening: Opening


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A set ready to be signed and served: its roots, its size for the head, and its pages."""

    shards: tuple[str, ...]
    size_bucket: int
    entries: tuple[Entry, ...]
    pages: tuple[bytes, ...]


def snapshot(kind: SetKind, openings: Iterable[Opening]) -> Snapshot:
    """Return the one-shard snapshot of `openings`, whatever their order.

    Raises: LimitError: more entries than a set may have. ValueError: a body is too long, not UTF-8, or twice the same.
    """
    found = tuple(openings)
    commitments = commit_all(ENTRY_PURPOSE[kind], found)
    entries = [
        Entry(shard=0, commitment=commitment, opening=opening)
        for commitment, opening in sorted(zip(commitments, found, strict=True), key=itemgetter(0))
    ]
    if len(entries) > MAX_ENTRIES:
        raise LimitError(f"a set has at most {MAX_ENTRIES} entries")
    if any(left.commitment == right.commitment for left, right in pairwise(entries)):
        raise ValueError("an entry occurs twice with one salt")
    chunks = [entries[at : at + PAGE_ENTRIES] for at in range(0, len(entries), PAGE_ENTRIES)] or [[]]
    pages = (
        Page(shard=0, number=number, of=len(chunks), entries=tuple(entry.opening for entry in chunk))
        for number, chunk in enumerate(chunks)
    )
    return Snapshot(
        shards=(b64(_root([entry.commitment for entry in entries])),),
        size_bucket=size_bucket(len(entries)),
        entries=tuple(entries),
        pages=tuple(encode_page(page) for page in pages),
    )


def _root(commitments: Sequence[bytes]) -> bytes:
    return root_hash([leaf_hash(each) for each in commitments])


def page_json(page: Page) -> bytes:
    """Return what a page inflates to."""
    if any(len(one.body) > MAX_BODY_BYTES for one in page.entries):
        raise ValueError(f"a body is over {MAX_BODY_BYTES} bytes")
    return encode(_Body(entries=tuple(_Entry(body=one.body.decode(), salt=b64(one.salt)) for one in page.entries)))


def page_header(page: Page, inflated: int) -> bytes:
    """Return the skippable frame in front of a page that inflates to `inflated` bytes."""
    return _PREFIX + _HEADER.pack(_VERSION, page.shard, page.number, page.of, 0, inflated)


def encode_page(page: Page) -> bytes:
    """Return the bytes to serve for a page."""
    text = page_json(page)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)
    return page_header(page, len(text)) + compressor.compress(text)


def declared_size(data: bytes) -> int:
    """Return what the header of a page says that it inflates to; 0 for what has no header, and inflates to nothing."""
    start = len(_PREFIX)
    return _HEADER.unpack_from(data, start)[-1] if len(data) >= start + _HEADER.size else 0


def decode_page(data: bytes) -> Page:
    """Return the page of served bytes, never inflating more than `MAX_INFLATED`.

    Raises:
        LimitError: the page, or what it declares, is over its cap.
        MalformedError: header, frame or JSON is not in form, or the frame holds another size than declared.
    """
    if len(data) > MAX_PAGE_BYTES:
        raise LimitError("page is too long")
    start = len(_PREFIX) + _HEADER.size
    if len(data) < start or not data.startswith(_PREFIX):
        raise MalformedError("page must start with its header")
    version, shard, number, of, zero, inflated = _HEADER.unpack_from(data, len(_PREFIX))
    if version != _VERSION or zero:
        raise MalformedError("page header is of another version")
    if shard >= MAX_SHARDS or not number < of <= MAX_PAGES:
        raise MalformedError("page header: shard or page number outside its range")
    if inflated > MAX_INFLATED:
        raise LimitError("page declares more than it may inflate to")
    body = decode(_inflate(data[start:], inflated), _Body, what="page")
    return Page(shard=shard, number=number, of=of, entries=_openings(body))


def _inflate(frame: bytes, declared: int) -> bytes:
    """Return exactly `declared` bytes from one zstd frame that is the whole of `frame`."""
    try:
        parameters = zstandard.get_frame_parameters(frame)
        if parameters.content_size != declared or parameters.dict_id or parameters.window_size > MAX_WINDOW:
            raise MalformedError("page frame does not hold what the header declares")
        text = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompress(
            frame, max_output_size=declared, allow_extra_data=False
        )
    except zstandard.ZstdError:
        raise MalformedError("page is not a zstd frame") from None
    if len(text) != declared:
        raise MalformedError("page inflates to another size than declared")
    return text


def _openings(body: _Body) -> tuple[Opening, ...]:
    salts = many_id_bytes([entry.salt for entry in body.entries], what="salt")
    try:
        bodies = [entry.body.encode() for entry in body.entries]
    except UnicodeEncodeError:
        raise MalformedError("page: a body is not Unicode text") from None
    if any(len(raw) > MAX_BODY_BYTES for raw in bodies):
        raise MalformedError(f"page: a body is over {MAX_BODY_BYTES} bytes")
    return tuple([Opening(salt=salt, body=raw) for salt, raw in zip(salts, bodies, strict=True)])


class PageCheck:
    """Checks the pages of the set that `head` signs one after the other, and keeps nothing of them but commitments."""

    def __init__(self, head: SetHead) -> None:
        self._head: Final = head
        self._purpose: Final = ENTRY_PURPOSE[head.kind]
        self._shards: Final[list[list[bytes]]] = [[] for _ in head.shards]
        self._came = 0
        #: Number of pages, once one of them came.
        self.of = 0

    @property
    def is_whole(self) -> bool:
        """Whether every page came."""
        return self._came == self.of > 0

    def add(self, page: Page) -> list[bytes]:
        """Take the next page; return the commitments to its entries. Raises: IncompleteError: it is misplaced."""
        self.of = self.of or page.of
        if (page.number, page.of) != (self._came, self.of):
            raise IncompleteError("snapshot does not have its pages in order")
        if page.shard >= len(self._shards):
            raise IncompleteError("snapshot has a page of a shard that the head does not name")
        commitments = commit_all(self._purpose, page.entries)
        self._shards[page.shard] += commitments
        self._came += 1
        return commitments

    def finish(self) -> int:
        """Return the number of entries when they are the set of the head: all pages, none left out or added.

        Raises: IncompleteError: a page is missing, an entry is out of order, or a root or the size differs.
        """
        if not self.is_whole:
            raise IncompleteError("snapshot does not have its pages in order")
        for commitments, root in zip(self._shards, self._head.shards, strict=True):
            if not all(map(lt, commitments, commitments[1:])):
                raise IncompleteError("snapshot entries are not in ascending order")
            if b64(_root(commitments)) != root:
                raise IncompleteError("snapshot entries do not give the root of the head")
        count = sum(map(len, self._shards))
        if size_bucket(count) != self._head.size_bucket:
            raise IncompleteError("snapshot has another size than its head says")
        return count


def open_pages(head: SetHead, pages: Sequence[Page]) -> tuple[Entry, ...]:
    """Return every entry of the set that `head` signs, by shard, or nothing. Raises: IncompleteError."""
    check = PageCheck(head)
    shards: list[list[Entry]] = [[] for _ in head.shards]
    for page in pages:
        found = zip(check.add(page), page.entries, strict=True)
        shards[page.shard] += [Entry(shard=page.shard, commitment=one, opening=opening) for one, opening in found]
    check.finish()
    return tuple(entry for entries in shards for entry in entries)
