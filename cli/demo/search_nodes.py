"""The administrator's search: do any words of people stand anywhere on a node's disk, in any usual spelling?

Every file is searched byte by byte; of databases every value of every row as well, because a long value is cut into
pages and may be packed there, and packed values (zstd) are unpacked first.
"""

import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

import msgspec
import zstandard

from node.store.inspection import Where, cells

#: Shorter spellings occur in random bytes by chance: finding one would prove nothing.
SHORTEST: Final = 6
#: Bytes read at a time.
CHUNK: Final = 1 << 22
DATABASE_SUFFIX: Final = ".db"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_UNPACKED_MOST: Final = 64 * 1024 * 1024


class Needle(msgspec.Struct, frozen=True, kw_only=True):
    """One text that must not be found; `label` says what it is, and is all that is ever printed of it."""

    label: str
    text: str


class Spelling(msgspec.Struct, frozen=True, kw_only=True):
    """A needle as bytes that may stand in a file."""

    label: str
    form: str
    data: bytes


class Hit(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Where a spelling was found, and how often; `place` is a file below the searched folder, or a table's column."""

    place: str
    label: str
    form: str
    count: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search did: bytes and files looked through, spellings looked for, and where they were.

    `by_node` are bytes looked through by first folder; `unsearchable` are labels of needles too short for any spelling.
    """

    hits: tuple[Hit, ...]
    files: int
    searched_bytes: int
    spellings: int
    by_node: Mapping[str, int]
    unsearchable: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """All hits together."""
        return sum(hit.count for hit in self.hits)

    def hits_at(self, first: str) -> int:
        """Return the hits of one node, or of whatever else is searched as a whole."""
        return sum(hit.count for hit in self.hits if hit.place.split("/")[0] == first)


class Elsewhere(msgspec.Struct, frozen=True, kw_only=True):
    """What nodes keep outside their folders: databases by name of the node, folders of files by what they are of."""

    databases: Mapping[str, Where] = {}
    files: Mapping[str, Path] = {}


def spellings(needle: Needle) -> tuple[Spelling, ...]:
    """Return every spelling of a text that is long enough to mean something, each once."""
    forms = {data: form for form, data in reversed(tuple(_forms(needle.text))) if len(data) >= SHORTEST}
    return tuple(Spelling(label=needle.label, form=form, data=data) for data, form in forms.items())


def _forms(text: str) -> Iterator[tuple[str, bytes]]:
    raw = text.encode()
    yield "utf-8", raw
    for form in ("utf-16-le", "utf-16-be"):
        yield form, text.encode(form)
    for alignment in range(3):
        inner = _base64_inside(raw, alignment)
        yield f"base64+{alignment}", inner
        yield f"base64url+{alignment}", inner.translate(bytes.maketrans(b"+/", b"-_"))
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "json", json.dumps(text)[1:-1].encode()
    yield "json-utf-8", json.dumps(text, ensure_ascii=False)[1:-1].encode()
    for form, escaped in (("percent", quote(text, safe="")), ("percent-uri", quote(text, safe="!~*'()/"))):
        yield form, escaped.encode()
        yield f"{form}-lower", _lower_escapes(escaped).encode()
    yield "form", quote_plus(text).encode()


def _base64_inside(raw: bytes, alignment: int) -> bytes:
    """Return the characters of base64 that `raw` alone decides when `alignment` bytes stand before it."""
    encoded = base64.b64encode(bytes(alignment) + raw)
    first = -(-alignment * 8 // 6)
    last = (alignment + len(raw)) * 8 // 6
    return encoded[first:last]


def _lower_escapes(text: str) -> str:
    parts = text.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])


class Search:
    """A search for texts that must not be found, again and again.

    What stands on the nodes before anybody wrote it proves nothing when it is found later: such spellings are left out,
    and a text of which none is left is named.
    """

    def __init__(self, elsewhere: Elsewhere | None = None) -> None:
        """Take what is searched each time beside a folder."""
        self._elsewhere: Final = elsewhere or Elsewhere()
        self._labels: list[str] = []
        self._spellings: list[Spelling] = []

    def add(self, needles: Iterable[Needle], before: Path | None = None) -> None:
        """Search for these, too, from now on.

        Args:
            before: the folder, if they may stand there already by chance; nobody has written them there yet.
        """
        fresh = Search(self._elsewhere)
        for needle in needles:
            fresh._labels.append(needle.label)
            fresh._spellings += spellings(needle)
        known = {(hit.label, hit.form) for hit in fresh.run(before).hits} if before else set()
        self._labels += fresh._labels
        self._spellings += [one for one in fresh._spellings if (one.label, one.form) not in known]

    def run(self, folder: Path) -> Found:
        """Return what is found below `folder` and elsewhere; files that vanish meanwhile are passed over."""
        hits: list[Hit] = []
        by_node: Counter[str] = Counter()
        files = 0
        for path, place in self._files(folder):
            for name, data in self._contents(path, str(place)):
                by_node[place.parts[0]] += len(data)
                hits += self._hits(name, data)
            hits += self._hits(f"{place} (its name)", str(place).encode())
            files += 1
        for node, database in self._elsewhere.databases.items():
            for name, data in _values(database, f"{node}/(database)"):
                by_node[node] += len(data)
                hits += self._hits(name, data)
        searchable = {one.label for one in self._spellings}
        return Found(
            hits=tuple(_summed(hits)),
            files=files,
            searched_bytes=by_node.total(),
            spellings=len(self._spellings),
            by_node=by_node,
            unsearchable=tuple(label for label in dict.fromkeys(self._labels) if label not in searchable),
        )

    def over(self, place: str, pieces: Callable[[int], Iterable[bytes]]) -> tuple[tuple[Hit, ...], int]:
        """Return what is found in something that is no file, and how many bytes were looked through.

        Args:
            pieces: yields it, given by how many bytes each piece must begin with the end of the one before.
        """
        hits: list[Hit] = []
        size = 0
        for data in pieces(self._longest()):
            size += len(data)
            hits += self._hits(place, data)
        return tuple(_summed(hits)), size

    def _files(self, folder: Path) -> Iterator[tuple[Path, Path]]:
        """Yield every file, and its place: below the folder, or below the name of what it is of."""
        for top, name in ((folder, Path()), *((files, Path(name)) for name, files in self._elsewhere.files.items())):
            for path in sorted(one for one in top.rglob("*") if one.is_file()):
                yield path, name / path.relative_to(top)

    def _contents(self, path: Path, place: str) -> Iterator[tuple[str, bytes]]:
        yield from ((place, data) for data in _chunks(path, overlap=self._longest()))
        if path.suffix == DATABASE_SUFFIX:
            yield from _values(path, place)

    def _longest(self) -> int:
        return max((len(one.data) for one in self._spellings), default=1) - 1

    def _hits(self, place: str, data: bytes) -> Iterator[Hit]:
        for one in self._spellings:
            if one.data in data:
                yield Hit(place=place, label=one.label, form=one.form, count=data.count(one.data))


def _values(database: Where, place: str) -> Iterator[tuple[str, bytes]]:
    """Yield all values of a column in one go: thousands of short ones would cost a search each."""
    columns: dict[str, list[bytes]] = {}
    for table, column, value in cells(database, now=int(time.time())):
        columns.setdefault(f"{place} {table}.{column}", []).append(value)
    for name, values in columns.items():
        yield name, b"\0".join(values)
        if packed := [value for value in values if value.startswith(_ZSTD_MAGIC)]:
            yield f"{name} (unpacked)", b"\0".join(map(unpacked, packed))


def _chunks(path: Path, *, overlap: int) -> Iterator[bytes]:
    """Yield a file in pieces that each begin with the end of the one before, so that nothing is cut apart."""
    try:
        with path.open("rb") as file:
            kept = b""
            while piece := file.read(CHUNK):
                yield kept + piece
                kept = (kept + piece)[-overlap:] if overlap else b""
    except FileNotFoundError:
        return


def unpacked(value: bytes) -> bytes:
    """Return the content of a zstd frame, or nothing when it is none."""
    try:
        return zstandard.ZstdDecompressor().decompress(value, max_output_size=_UNPACKED_MOST)
    except zstandard.ZstdError:
        return b""


def _summed(hits: Iterable[Hit]) -> list[Hit]:
    counts: dict[tuple[str, str, str], int] = {}
    for hit in hits:
        place = (hit.place, hit.label, hit.form)
        counts[place] = counts.get(place, 0) + hit.count
    return sorted(
        Hit(place=place, label=label, form=form, count=count) for (place, label, form), count in counts.items()
    )
