"""Tiles and entry bundles (C2SP tlog-tiles): their names, their bytes, and which of them a growing log writes.

Profile: an entry has at most 4,096 bytes; the log is not pruned; partial tiles stay served.
Source: docs/protocol/52-tiles.md §1–§4.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from protocol.errors import MalformedError

from .lines import MAX_SIZE
from .merkle import HASH_BYTES

WIDTH: Final = 256
HEIGHT: Final = 8
MAX_ENTRY_BYTES: Final = 4096
CONTENT_TYPE: Final = "application/octet-stream"

_LENGTH_BYTES: Final = 2
#: A full bundle of the longest entries.
MAX_BUNDLE_BYTES: Final = WIDTH * (_LENGTH_BYTES + MAX_ENTRY_BYTES)

_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


class TilePathError(MalformedError):
    """A path does not name a tile or an entry bundle in its only spelling."""

    code = "tile-path"


class TileLengthError(MalformedError):
    """A tile is not exactly its number of 32-byte hashes."""

    code = "tile-length"


class BundleError(MalformedError):
    """A bundle is not exactly its number of entries, each after its length, none over the limit."""

    code = "bundle"


class Tile(msgspec.Struct, frozen=True, order=True):
    """`width` hashes of whole subtrees of height `8 * level`, from number `256 * index` on; partial below 256."""

    level: int
    index: int
    width: int = WIDTH


class Bundle(msgspec.Struct, frozen=True, order=True):
    """`width` entries from number `256 * index` on."""

    index: int
    width: int = WIDTH


def tile_path(name: Tile | Bundle) -> str:
    """Return where a tile or bundle is served below the log's prefix, such as `tile/0/x001/x234/067.p/12`."""
    kind = "entries" if isinstance(name, Bundle) else str(name.level)
    thousands, last = divmod(name.index, 1000)
    number = f"{last:03}"
    while thousands:
        thousands, part = divmod(thousands, 1000)
        number = f"x{part:03}/{number}"
    partial = f".p/{name.width}" if name.width < WIDTH else ""
    return f"tile/{kind}/{number}{partial}"


def parse_tile_path(path: str) -> Tile | Bundle:
    """Return what `path` names; `tile_path` of it is `path` again. Raises: TilePathError."""
    match = _PATH.fullmatch(path)
    if not match:
        raise TilePathError("path must look like tile/0/x001/x234/067 or tile/entries/067.p/12")
    kind, number, partial = match.groups()
    index, width = int(number.replace("/", "").replace("x", "")), int(partial or WIDTH)
    name = Bundle(index, width) if kind == "entries" else Tile(int(kind), index, width)
    level = 0 if isinstance(name, Bundle) else name.level
    if tile_path(name) != path or (index * WIDTH + width) << HEIGHT * level > MAX_SIZE:
        raise TilePathError("path must name a tile of a possible tree, without needless digits")
    return name


def encode_tile(hashes: Sequence[bytes]) -> bytes:
    """Return the bytes of a tile: 1 to 256 hashes of 32 bytes. Raises: ValueError: anything else."""
    if not 0 < len(hashes) <= WIDTH or any(len(each) != HASH_BYTES for each in hashes):
        raise ValueError("a tile has 1 to 256 hashes of 32 bytes")
    return b"".join(hashes)


def decode_tile(data: bytes, tile: Tile) -> tuple[bytes, ...]:
    """Return the hashes of `tile`. Raises: TileLengthError: more or fewer bytes than its width says."""
    if len(data) != tile.width * HASH_BYTES:
        raise TileLengthError(f"tile must be {tile.width} hashes of {HASH_BYTES} bytes")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of an entry bundle. Raises: ValueError: not 1 to 256 entries, or one is too long."""
    if not 0 < len(entries) <= WIDTH or any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise ValueError(f"a bundle has 1 to 256 entries of at most {MAX_ENTRY_BYTES} bytes")
    return b"".join(len(entry).to_bytes(_LENGTH_BYTES, "big") + entry for entry in entries)


def decode_bundle(data: bytes, bundle: Bundle) -> tuple[bytes, ...]:
    """Return the entries of `bundle`. Raises: BundleError."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        length = int.from_bytes(data[at:start], "big")
        at = start + length
        if length > MAX_ENTRY_BYTES or at > len(data) or len(entries) == bundle.width:
            raise BundleError(f"bundle must be {bundle.width} whole entries of at most {MAX_ENTRY_BYTES} bytes")
        entries.append(data[start:at])
    if len(entries) != bundle.width:
        raise BundleError(f"bundle must be {bundle.width} whole entries")
    return tuple(entries)


def partial_tiles(size: int) -> tuple[Tile, ...]:
    """Return the unfinished right edge of a tree of `size` leaves, level 0 first; a level without one is left out."""
    found = []
    level = 0
    while size >> HEIGHT * level:
        index, width = divmod(size >> HEIGHT * level, WIDTH)
        if width:
            found.append(Tile(level, index, width))
        level += 1
    return tuple(found)


def tiles_written(old_size: int, new_size: int) -> tuple[Tile, ...]:
    """Return the tiles that are new when a log grows from `old_size` to `new_size` leaves, level 0 first."""
    found = []
    level = 0
    while new_size >> HEIGHT * level:
        old, new = old_size >> HEIGHT * level, new_size >> HEIGHT * level
        if old < new:
            found += [Tile(level, index, width) for index, width in _parts(old, new)]
        level += 1
    return tuple(found)


def bundles_written(old_size: int, new_size: int) -> tuple[Bundle, ...]:
    """Return the entry bundles that are new when a log grows from `old_size` to `new_size` leaves."""
    return tuple(Bundle(index, width) for index, width in _parts(old_size, new_size)) if old_size < new_size else ()


def _parts(old: int, new: int) -> list[tuple[int, int]]:
    """Return index and width of each piece of 256 that holds one of the items `old` to `new`."""
    full = [(index, WIDTH) for index in range(old // WIDTH, new // WIDTH)]
    return [*full, (new // WIDTH, new % WIDTH)] if new % WIDTH else full
