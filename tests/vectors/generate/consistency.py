"""Vectors of docs/protocol/50-log.md §6: consistency proofs, read from the recursive definition of RFC 6962 §2.1.2."""

from typing import Final

from tests.vectors.c2sp import LEAVES
from tests.vectors.rfc6962 import mth, proof

from .devices import Case, file

PAIRS: Final = (
    (1, 2),
    (1, 7),
    (2, 5),
    (3, 7),
    (4, 7),
    (4, 8),
    (6, 7),
    (6, 8),
    (7, 13),
    (8, 8),
    (0, 0),
    (0, 5),
    (255, 257),
)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "consistency/consistency.json": file(
            "50-log §6",
            "`proof` shows that the tree of `old_size` leaves is a prefix of that of `new_size`; leaf n is the text "
            "`entry n`. Hashes are hex.",
            [*_good(), *_refused()],
        )
    }


def _case(name: str, old: int, new: int) -> Case:
    return {
        "name": name,
        "old_size": old,
        "old_root": mth(LEAVES[:old]).hex(),
        "new_size": new,
        "new_root": mth(LEAVES[:new]).hex(),
        "proof": [each.hex() for each in proof(old, LEAVES[:new])],
    }


def _good() -> list[Case]:
    return [{**_case(f"from {old} to {new}", old, new), "result": "consistent"} for old, new in PAIRS]


def _refused() -> list[Case]:
    cases = []
    other = mth(LEAVES[100:107]).hex()
    for old, new in ((3, 7), (4, 7), (6, 8)):
        good = _case("", old, new)
        what = f"from {old} to {new}"
        cases += [
            {**good, "name": f"{what} with another old root", "old_root": other},
            {**good, "name": f"{what} with another new root", "new_root": other},
            {**good, "name": f"{what} with one hash less", "proof": good["proof"][:-1]},
            {**good, "name": f"{what} with one hash more", "proof": [*good["proof"], other]},
            {**good, "name": f"{what} without a proof", "proof": []},
            {**good, "name": f"{what} with a hash of zeros in front", "proof": ["00" * 32, *good["proof"][1:]]},
            {
                **good,
                "name": f"{what} with a hash of 33 bytes",
                "proof": [*good["proof"][:-1], good["proof"][-1] + "00"],
            },
            {**good, "name": f"{what} said to be one leaf less", "old_size": old - 1},
            {**good, "name": f"{what} said to be backwards", "old_size": new, "new_size": old},
        ]
    same, empty = _case("", 8, 8), _case("", 0, 5)
    cases += [
        {**same, "name": "the same size with another root", "new_root": other},
        {**same, "name": "the same size with a proof", "proof": [other]},
        {**empty, "name": "from nothing with a proof", "proof": [other]},
        {**empty, "name": "from nothing with a root", "old_root": other},
        {**empty, "name": "from nothing to nothing with a root", "new_size": 0, "old_root": other, "new_root": other},
        {**empty, "name": "from less than nothing", "old_size": -1},
    ]
    return [{**case, "error": "unverified", "rule": "bad-consistency"} for case in cases]
