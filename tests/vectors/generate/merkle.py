"""Vectors of docs/protocol/12-set-heads.md §3: Merkle trees, read from the recursive definition of RFC 6962 §2.1."""

import json
from hashlib import sha256
from typing import Any, Final

Case = dict[str, Any]

SIZES: Final = (1, 2, 3, 5, 7, 8)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    content = {
        "spec": "12-set-heads §3",
        "comment": "`entries` are the leaves, `proof` leads from `leaf` at `index` of `size` to `root`; all in hex.",
        "cases": [*_good(), *_refused()],
    }
    return {"merkle/inclusion.json": (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()}


def _leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def _root(hashes: list[bytes]) -> bytes:
    """MTH(D[n]) of RFC 6962."""
    if len(hashes) == 1:
        return hashes[0]
    split = _split(len(hashes))
    return sha256(b"\x01" + _root(hashes[:split]) + _root(hashes[split:])).digest()


def _path(index: int, hashes: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962."""
    if len(hashes) == 1:
        return []
    split = _split(len(hashes))
    if index < split:
        return [*_path(index, hashes[:split]), _root(hashes[split:])]
    return [*_path(index - split, hashes[split:]), _root(hashes[:split])]


def _split(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def _case(name: str, size: int, index: int) -> Case:
    entries = [sha256(b"entry %d" % number).digest()[:5] for number in range(size)]
    hashes = [_leaf(entry) for entry in entries]
    return {
        "name": name,
        "entries": [entry.hex() for entry in entries],
        "leaf": entries[index].hex(),
        "index": index,
        "size": size,
        "root": _root(hashes).hex(),
        "proof": [each.hex() for each in _path(index, hashes)],
    }


def _good() -> list[Case]:
    return [
        {**_case(f"leaf {index} of {size}", size, index), "result": "included"}
        for size in SIZES
        for index in sorted({0, size // 2, size - 1})
    ]


def _refused() -> list[Case]:
    cases = []
    for size, index in ((2, 1), (5, 4), (7, 3), (8, 0)):
        good = _case("", size, index)
        nearest = bytearray.fromhex(good["proof"][0])
        nearest[0] ^= 1
        flipped = [nearest.hex(), *good["proof"][1:]]
        cases += [
            {**good, "name": f"leaf {index} of {size} said to be its neighbour", "index": index ^ 1},
            {**good, "name": f"leaf {index} of {size} outside the tree", "index": size},
            {**good, "name": f"leaf {index} of {size} with a path too short", "proof": good["proof"][:-1]},
            {**good, "name": f"leaf {index} of {size} with a path too long", "proof": [*good["proof"], "00" * 32]},
            {
                **good,
                "name": f"leaf {index} of {size} with one bit changed",
                "proof": flipped,
            },
        ]
    return [{**case, "error": "unverified"} for case in cases]
