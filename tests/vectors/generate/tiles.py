"""Vectors of docs/protocol/52-tiles.md: names, bytes and hashes of tiles and entry bundles."""

import hashlib
from typing import Any, Final

from tests.vectors import rfc6962
from tests.vectors.c2sp import ENTRIES, LEAVES

from .devices import Case, file

SIZE: Final = 258
#: The tiles of a log of 258 entries, by path.
TILES: Final = {
    "tile/0/000": b"".join(LEAVES[:256]),
    "tile/0/001.p/2": b"".join(LEAVES[256:258]),
    "tile/1/000.p/1": rfc6962.mth(LEAVES[:256]),
}
#: What the same log had at 257 entries, which is not part of the tree of 258.
OLD_TILE: Final = {"tile/0/001.p/1": LEAVES[256]}
GROWTHS: Final = (
    (0, 1),
    (0, 255),
    (0, 256),
    (1, 300),
    (255, 257),
    (255, 255),
    (256, 256),
    (256, 258),
    (0, 70_000),
    (69_999, 70_000),
)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "tiles/paths.json": file(
            "52-tiles §1",
            "`input` is a path below the prefix of the log; `level` is `entries` for a bundle.",
            [*_paths(), *_bad_paths()],
        ),
        "tiles/bundles.json": file(
            "52-tiles §3", "`input` (hex) is a bundle of `width` entries; `result` are the entries as hex.", _bundles()
        ),
        "tiles/growth.json": file(
            "52-tiles §2, §4",
            "Growing from `old_size` to `new_size` leaves writes the paths of `result`, hash tiles before bundles; "
            "where `sha256` stands, leaf n is the text `entry n` and these are the digests of the tiles and bundles. "
            "The refused cases are bytes (hex) under the path of a tile that has another length.",
            [*_growth(), *_no_growth()],
        ),
        "tiles/reading.json": file(
            "52-tiles §5",
            "From the `tiles` (hex) that `take` names, one byte of one of them xored with 1 where `flip` stands, the "
            "hash of the whole subtree `node` (level, index) is read in the tree of 258 leaves with this `root`, or in "
            "one that is said to have another `root`.",
            [*_reading(), *_bad_reading()],
            root=rfc6962.mth(LEAVES[:SIZE]).hex(),
            tiles={path: data.hex() for path, data in {**TILES, **OLD_TILE}.items()},
        ),
    }


def _paths() -> list[Case]:
    named: dict[str, tuple[int | str, int, int]] = {
        "tile/0/000": (0, 0, 256),
        "tile/0/000.p/1": (0, 0, 1),
        "tile/0/255.p/255": (0, 255, 255),
        "tile/0/999": (0, 999, 256),
        "tile/0/x001/000": (0, 1000, 256),
        "tile/1/x001/x234/067": (1, 1_234_067, 256),
        "tile/2/x001/x234/067.p/8": (2, 1_234_067, 8),
        "tile/6/000.p/31": (6, 0, 31),
        "tile/entries/000.p/7": ("entries", 0, 7),
        "tile/entries/x123/456": ("entries", 123_456, 256),
        "tile/0/x035/x184/x372/x088/831.p/255": (0, 2**45 - 1, 255),
    }
    return [
        {"name": path, "input": path, "result": {"level": level, "index": index, "width": width}}
        for path, (level, index, width) in named.items()
    ]


def _bad_paths() -> list[Case]:
    refused = {
        "a slash at the start": "/tile/0/000",
        "another folder": "tiles/0/000",
        "no level": "tile/000",
        "a level with a leading zero": "tile/00/000",
        "a negative level": "tile/-1/000",
        "a level above every tree": "tile/7/000.p/1",
        "a level of three digits": "tile/100/000",
        "a level of Arabic-Indic digits": "tile/\u0660/000",
        "the word of another format for entries": "tile/data/000",
        "a tile height of another format": "tile/8/0/000",
        "an index of two digits": "tile/0/00",
        "an index of four digits": "tile/0/1000",
        "an index with needless zeros": "tile/0/x000/001",
        "the last part with an x": "tile/0/x001",
        "an earlier part without an x": "tile/0/001/000",
        "an index above every tree": "tile/0/x035/x184/x372/x088/831",
        "a width of zero": "tile/0/000.p/0",
        "a width of 256": "tile/0/000.p/256",
        "a width with a leading zero": "tile/0/000.p/01",
        "no width after the mark": "tile/0/000.p/",
        "a width without its mark": "tile/0/000/12",
        "a path that climbs": "tile/0/../000",
        "an encoded slash": "tile/0/x001%2F000",
        "a query": "tile/0/000?",
        "a slash at the end": "tile/0/000/",
        "a line feed at the end": "tile/0/000\n",
        "nothing at all": "",
    }
    return [{"name": name, "input": path, "error": "malformed", "rule": "tile-path"} for name, path in refused.items()]


def _prefixed(*entries: bytes) -> bytes:
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def _bundles() -> list[Case]:
    two = _prefixed(b"first", b"second")
    good = [
        ("one entry", 1, [b"entry"]),
        ("an empty entry between two others", 3, [b"a", b"", b"b"]),
        ("the longest entry", 1, [bytes(4096)]),
        ("a full bundle", 256, [b"%d" % number for number in range(256)]),
    ]
    refused = [
        ("an entry too few", 3, two),
        ("an entry too many", 1, two),
        ("no entry", 1, b""),
        ("an entry cut short", 2, two[:-1]),
        ("a length cut short", 3, two + b"\0"),
        ("a byte after the last entry", 2, two + b"\0"),
        ("a length that runs past the end", 1, b"\x00\x06entry"),
        ("an entry of 4,097 bytes", 1, _prefixed(bytes(4097))),
    ]
    return [
        *(
            {"name": name, "width": width, "input": _prefixed(*each).hex(), "result": [entry.hex() for entry in each]}
            for name, width, each in good
        ),
        *(
            {"name": name, "width": width, "input": data.hex(), "error": "malformed", "rule": "bundle"}
            for name, width, data in refused
        ),
    ]


def _number(index: int) -> str:
    thousands, last = divmod(index, 1000)
    return f"x{thousands:03}/{last:03}" if thousands else f"{last:03}"


def _names(kind: int | str, old: int, new: int) -> list[str]:
    """Return the pieces of 256 that hold items `old` to `new`, the unfinished one as it stands at `new`."""
    found = []
    for index in range(old // 256, -(-new // 256)):
        width = min(256, new - index * 256)
        found.append(f"tile/{kind}/{_number(index)}" + (f".p/{width}" if width < 256 else ""))
    return found


def _growth() -> list[Case]:
    cases = []
    for old, new in GROWTHS:
        paths = []
        for level in range(3):
            span = 256**level
            if new // span > old // span:
                paths += _names(level, old // span, new // span)
        paths += _names("entries", old, new) if new > old else []
        case = {"name": f"from {old} to {new}", "old_size": old, "new_size": new, "result": paths}
        if new <= len(ENTRIES):
            case["sha256"] = {path: hashlib.sha256(_content(path)).hexdigest() for path in paths}
        cases.append(case)
    return cases


def _content(path: str) -> bytes:
    """Return the bytes of a tile or bundle of a small log."""
    _, level, name = path.split("/", 2)
    number, _, width = name.partition(".p/")
    start = int(number) * 256
    items = range(start, start + int(width or 256))
    if level == "entries":
        return _prefixed(*(ENTRIES[item] for item in items))
    span = 256 ** int(level)
    return b"".join(rfc6962.mth(LEAVES[item * span : (item + 1) * span]) for item in items)


def _no_growth() -> list[Case]:
    """A tile whose bytes are not as many as its name says."""
    one = LEAVES[0]
    sizes = {
        "one hash for two": ("tile/0/000.p/2", one),
        "two hashes for one": ("tile/0/000.p/1", one * 2),
        "a hash cut short": ("tile/0/000.p/1", one[:-1]),
        "a byte after the last hash": ("tile/0/000.p/1", one + b"\0"),
        "no hash": ("tile/0/000.p/1", b""),
        "255 hashes for a full tile": ("tile/0/000", one * 255),
        "257 hashes for a full tile": ("tile/0/000", one * 257),
        "a full tile under a partial name": ("tile/0/000.p/255", one * 256),
        "a line feed after the last hash": ("tile/0/000.p/1", one + b"\n"),
    }
    return [
        {"name": name, "path": path, "input": data.hex(), "error": "malformed", "rule": "tile-length"}
        for name, (path, data) in sizes.items()
    ]


def _reading() -> list[Case]:
    every = list(TILES)
    edge = every[1:]

    def case(name: str, level: int, index: int, take: list[str]) -> Case:
        span = 1 << level
        result = rfc6962.mth(LEAVES[index * span : (index + 1) * span]).hex()
        return {"name": name, "node": [level, index], "take": take, "result": result}

    return [
        case("a leaf in a full tile", 0, 17, every),
        case("a leaf in a partial tile", 0, 257, edge),
        case("a subtree inside a tile", 5, 3, every),
        case("a subtree that is a whole tile, from the tile above", 8, 0, edge),
        case("the tiles in another order", 1, 128, every[::-1]),
    ]


def _bad_reading() -> list[Case]:
    full, partial, above = TILES

    def case(error: str, rule: str, name: str, take: list[str], **more: Any) -> Case:  # noqa: ANN401 -- of any type
        return {"name": name, "node": [0, 17], "take": take, **more, "error": error, "rule": rule}

    def flipped(name: str, path: str, at: int) -> Case:
        return case("unverified", "tile-hash", name, list(TILES), flip={"path": path, "at": at})

    return [
        flipped("one bit of the leaf's tile changed", full, 17 * 32),
        flipped("one bit of another leaf changed", full, 8191),
        flipped("one bit of the partial tile changed", partial, 0),
        flipped("one bit of the tile above changed", above, 31),
        case("unverified", "tile-hash", "the root of another log", list(TILES), root=LEAVES[0].hex()),
        case("unverified", "tile-hash", "a partial tile of another size besides", [*TILES, *OLD_TILE]),
        case("missing", "missing-tile", "the leaf's tile is missing", [partial, above]),
        case("missing", "missing-tile", "the tile above is missing", [full, partial]),
        case("missing", "missing-tile", "the partial tile is missing", [full, above]),
    ]
