"""Vectors of docs/protocol/40-files.md: sizes, and streams with what is refused of them.

The ciphertexts are made by calls of libsodium alone, without the program.
"""

import hashlib
from typing import Any, Final

import nacl.bindings as sodium

from protocol.encoding import b64, sha256

from .devices import Case, file

KEY: Final = sha256(b"key of a file")
HEADER: Final = sha256(b"header of a file")[:24]
CHUNK: Final = 65_536
AAD: Final = b"mentormesh/file/v1\n"


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "files/sizes.json": file(
            "40-files §2", "`result` is the padded size of a file of `size`, and the size of its ciphertext.", _sizes()
        ),
        "files/streams.json": file(
            "40-files §2",
            "A file of `size` bytes, the lowest byte of i at place i. `result` is the hash of its ciphertext. `edit` "
            "changes the ciphertext before it is opened: `flip` [byte, bit], `cut` to a length, `more` (hex) behind "
            "it, `order` of its portions, `fill` of the padding before it is encrypted, `tags` (0 or 3) of its "
            "portions. `hash` is that of the changed ciphertext, so that it alone refuses nothing but the last case.",
            [*_streams(), *_refused()],
        ),
    }


def _sizes() -> list[Case]:
    def case(name: str, size: int, padded: int) -> Case:
        sealed = padded + 17 * -(-padded // CHUNK)
        return {"name": name, "size": size, "result": {"padded": padded, "sealed": sealed}}

    return [
        case("an empty file", 0, 4_096),
        case("one byte", 1, 4_096),
        case("the smallest size", 4_096, 4_096),
        case("one byte more", 4_097, 4_352),
        case("a full portion", 65_536, 65_536),
        case("one byte more than a portion", 65_537, 67_584),
        case("a mebibyte and a byte", 1_048_577, 1_081_344),
        case("the largest file", 2**30, 2**30),
        {"name": "a byte too many", "size": 2**30 + 1, "error": "limit"},
        {"name": "less than nothing", "size": -1, "error": "limit"},
    ]


def content(size: int) -> bytes:
    """Return the file of the vectors."""
    return bytes(range(256)) * (size // 256) + bytes(range(size % 256))


def portions(size: int, padded: int, *, fill: int = 0, tags: list[int] | None = None) -> list[bytes]:
    """Return the ciphertext of a file, portion by portion."""
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, HEADER, KEY)
    plain = content(size) + bytes([fill]) * (padded - size)
    pieces = [plain[at : at + CHUNK] for at in range(0, padded, CHUNK)]
    tags = tags or [0] * (len(pieces) - 1) + [3]
    push = sodium.crypto_secretstream_xchacha20poly1305_push
    return [push(state, piece, AAD, tag) for piece, tag in zip(pieces, tags, strict=True)]


def edited(size: int, padded: int, edit: Case) -> bytes:
    """Return the ciphertext of a file as `edit` changes it."""
    made = portions(size, padded, fill=edit.get("fill", 0), tags=edit.get("tags"))
    data = bytearray(b"".join(made[each] for each in edit.get("order", range(len(made)))))
    for place, bit in [edit["flip"]] if "flip" in edit else []:
        data[place] ^= 1 << bit
    return bytes(data[: edit.get("cut", len(data))]) + bytes.fromhex(edit.get("more", ""))


def _case(name: str, size: int, padded: int, **more: Any) -> Case:  # noqa: ANN401 -- JSON
    digest = hashlib.sha256(edited(size, padded, more.get("edit", {}))).digest()
    return {"name": name, "size": size, "key": b64(KEY), "header": b64(HEADER), "hash": b64(digest), **more}


def _streams() -> list[Case]:
    def case(name: str, size: int, padded: int) -> Case:
        made = _case(name, size, padded)
        return {**made, "result": made["hash"]}

    return [
        case("an empty file", 0, 4_096),
        case("a short file", 1_000, 4_096),
        case("a file of one full portion", 65_536, 65_536),
        case("a file that is padded into a second portion", 65_537, 67_584),
        case("a file of three portions", 190_000, 192_512),
    ]


def _refused() -> list[Case]:
    size, padded = 190_000, 192_512
    sealed = padded + 17 * 3

    def case(name: str, **edit: object) -> Case:
        return _case(name, size, padded, edit=edit, error="unverified")

    return [
        case("a flipped bit at the start", flip=[0, 0]),
        case("a flipped bit in the second portion", flip=[70_000, 7]),
        case("a flipped bit at the very end", flip=[sealed - 1, 3]),
        case("cut by a byte", cut=sealed - 1),
        case("cut behind a portion", cut=2 * (CHUNK + 17)),
        case("nothing", cut=0),
        case("one byte more", more="00"),
        case("its first portion again behind it", order=[0, 1, 2, 0]),
        case("portions in another order", order=[1, 0, 2]),
        case("a portion twice", order=[0, 0, 2]),
        case("without its first portion", order=[1, 2]),
        case("padding that is not zero", fill=1),
        case("no final tag", tags=[0, 0, 0]),
        case("a final tag too early", tags=[0, 3, 3]),
        _case("a good ciphertext and another hash", size, padded, hash=b64(bytes(32)), error="unverified"),
    ]
