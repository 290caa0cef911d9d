"""Vectors of docs/protocol/04-sealing.md: X-Wing keys and contexts; what is sealed is frozen.

`python -m tests.vectors.generate.sealing` seals anew, which is right only when the format has changed.
"""

import hashlib
from typing import Final

from protocol.encoding import b64
from protocol.sealing import NodeSealingKey, info

from .brief import FOLDER
from .devices import Case, file

SEED: Final = hashlib.sha256(b"a node's envelope key").digest()
KEY: Final = NodeSealingKey(SEED)
CONTEXT: Final = (b"thread", b"", b"ref")

#: Checked by opening only.
frozen: Final = ("sealing/sealed.json",)


def files() -> dict[str, bytes]:
    """Return the content of each vector file that is made again, by its path under `tests/vectors`."""
    return {
        "sealing/keys.json": file(
            "04-sealing §2",
            "`seed` makes `key` (both base64url); something is sealed to `key`. `result` is the SHA-256 of the key.",
            _keys(),
        ),
        "sealing/info.json": file(
            "04-sealing §3", "`purpose` and `context` (hex) make the `info` that `result` is, as hex.", _infos()
        ),
    }


def seal() -> dict[str, bytes]:
    """Return new content of the frozen file."""
    return {
        "sealing/sealed.json": file(
            "04-sealing §4",
            "`input` (base64url) is opened with the key of `seed` and the `info` of `purpose` and `context` (hex); "
            "`result` is the plaintext as text.",
            _sealed(),
        )
    }


def _keys() -> list[Case]:
    def case(name: str, key: bytes, **outcome: object) -> Case:
        return {"name": name, "key": b64(key), **outcome}

    raw = KEY.public.raw
    refused = {
        "1,215 bytes": raw[:-1],
        "1,217 bytes": raw + b"\0",
        "an ML-KEM key alone": raw[:1184],
        "an X25519 key alone": raw[1184:],
        "an ML-KEM coefficient that is not reduced": b"\xff\xff" + raw[2:],
        "the last ML-KEM coefficient is not reduced": raw[:1150] + b"\xff\xff" + raw[1152:],
        "an X25519 part of zeros, whose shared secret is zero": raw[:1184] + bytes(32),
        "an X25519 part of order 1": raw[:1184] + b"\x01" + bytes(31),
    }
    other = NodeSealingKey(bytes(32))
    return [
        case("the key of a seed", raw, seed=b64(SEED), result=hashlib.sha256(raw).hexdigest()),
        case(
            "the key of zeros",
            other.public.raw,
            seed=b64(bytes(32)),
            result=hashlib.sha256(other.public.raw).hexdigest(),
        ),
        *(case(name, key, error="malformed") for name, key in refused.items()),
    ]


def _infos() -> list[Case]:
    return [
        {
            "name": "a purpose alone",
            "purpose": "request",
            "context": [],
            "result": b"mentormesh/seal/request/v1\n".hex(),
        },
        {
            "name": "a purpose and three parts, one of them empty",
            "purpose": "quote",
            "context": [part.hex() for part in CONTEXT],
            "result": (b"mentormesh/seal/quote/v1\n" + b"\0\0\0\6thread" + bytes(4) + b"\0\0\0\3ref").hex(),
        },
    ]


def _sealed() -> list[Case]:
    sealed = KEY.public.seal(b"plaintext", info("quote", *CONTEXT))
    empty = KEY.public.seal(b"", info("quote", *CONTEXT))
    given = {
        "seed": b64(SEED),
        "purpose": "quote",
        "context": [part.hex() for part in CONTEXT],
    }

    def case(name: str, data: bytes = sealed, **changed: object) -> Case:
        return {"name": name, "input": b64(data), **given, **changed}

    def flipped(at: int) -> bytes:
        return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]

    refused = [
        case("another key", seed=b64(bytes(32))),
        case("another purpose", purpose="choice"),
        case("another context", context=[part.hex() for part in reversed(CONTEXT)]),
        case("the same context cut elsewhere", context=[b"threa".hex(), b"d".hex(), b"ref".hex()]),
        case("no context", context=[]),
        case("one bit of the ML-KEM ciphertext changed", flipped(0)),
        case("one bit of the X25519 share changed", flipped(1088)),
        case("one bit of the text changed", flipped(1120)),
        case("one bit of the tag changed", flipped(len(sealed) - 1)),
        case("a byte cut off", sealed[:-1]),
        case("a byte more", sealed + b"\0"),
        case("no more than an encapsulation", sealed[:1120]),
        case("an X25519 share of zeros", sealed[:1088] + bytes(32) + sealed[1120:]),
        case("nothing", b""),
    ]
    return [
        case("a text", result="plaintext"),
        case("an empty text", empty, result=""),
        *(one | {"error": "unverified"} for one in refused),
    ]


if __name__ == "__main__":
    for path, content in seal().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_bytes(content)
