"""Vectors of docs/protocol/03-keys-and-signatures.md: keys, signatures, compact and general JWS.

Headers are written out here by hand and signed with PyNaCl alone, so that they judge the program.
"""

import json
from typing import Final

from tests.vectors import edwards
from tests.vectors.signed import ALICE, BOB, Signer, b64, compact, general, header_of, key_of, kid_of, signature

from .devices import Case, file

TYP: Final = "mentormesh-example+jws"
PAYLOAD: Final = '{"number":1}'
MESSAGE: Final = b"a message"
RAW: Final = bytes(ALICE.verify_key)
ZEROS: Final = Signer(bytes(32))


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "jws/keys.json": file(
            "03-keys-and-signatures §1", "`key` is base64url; `result` is its thumbprint, the key id.", _keys()
        ),
        "jws/signatures.json": file(
            "03-keys-and-signatures §2",
            "`signature` (base64url) over `message` (hex) by `key`; a `result` of true says that it holds.",
            _signatures(),
        ),
        "jws/compact.json": file(
            "03-keys-and-signatures §3",
            f"`input` is opened as type `{TYP}` with `key`; `result` is the payload as text.",
            [*_compact(), *_bad_headers(), *_bad_parts()],
        ),
        "jws/general.json": file(
            "03-keys-and-signatures §4",
            f"`input` is opened as type `{TYP}` with `keys`, in this order; `result` is the payload as text.",
            _general(),
        ),
    }


def _keys() -> list[Case]:
    def case(name: str, key: bytes, **outcome: object) -> Case:
        return {"name": name, "key": b64(key), **outcome}

    alice, small = edwards.decoded(RAW), edwards.torsion()
    refused = {
        "the neutral point": edwards.encoded((0, 1)),
        "a point of order 2": edwards.encoded((0, edwards.P - 1)),
        "a point of order 4": edwards.encoded(edwards.times(2, small)),
        "a point of order 8": edwards.encoded(small),
        "a good key plus a point of order 2": edwards.encoded(edwards.add(alice, (0, edwards.P - 1))),
        "a good key plus a point of order 8": edwards.encoded(edwards.add(alice, small)),
        "the neutral point in a second spelling": (edwards.P + 1).to_bytes(32, "little"),
        "the neutral point with a sign": (1 | 1 << 255).to_bytes(32, "little"),
        "no point of the curve": (2).to_bytes(32, "little"),
        "all bits set": b"\xff" * 32,
        "31 bytes": RAW[:31],
        "33 bytes": RAW + b"\0",
        "nothing": b"",
    }
    return [
        *(
            case(f"the key of {name}", bytes(one.verify_key), result=kid_of(one))
            for name, one in (("Alice", ALICE), ("Bob", BOB), ("zeros", ZEROS))
        ),
        *(case(name, key, error="malformed") for name, key in refused.items()),
        {"name": "padding", "key": key_of(ALICE) + "=", "error": "malformed"},
    ]


def _signatures() -> list[Case]:
    def case(name: str, signature: bytes, message: bytes = MESSAGE, **outcome: object) -> Case:
        given = {"key": key_of(ALICE), "message": message.hex(), "signature": b64(signature)}
        return {"name": name, **given, **outcome}

    good = ALICE.sign(MESSAGE).signature
    nonce, scalar = good[:32], int.from_bytes(good[32:], "little")
    refused = {
        "another message": BOB.sign(b"another").signature,
        "by another key": BOB.sign(MESSAGE).signature,
        "one bit of R changed": bytes([good[0] ^ 1]) + good[1:],
        "one bit of S changed": good[:32] + bytes([good[32] ^ 1]) + good[33:],
        "S plus the order of the group": nonce + (scalar + edwards.ORDER).to_bytes(32, "little"),
        "R of small order": _with_nonce(edwards.encoded(edwards.torsion()), 0),
        "R neutral": _with_nonce(edwards.encoded((0, 1)), 0),
        "R plus a point of order 8, which only a check times 8 accepts": _mixed(),
        "zeros": bytes(64),
        "63 bytes": good[:63],
        "65 bytes": good + b"\0",
        "nothing": b"",
    }
    return [
        case("a signature", good, result=True),
        case("of nothing", ALICE.sign(b"").signature, b"", result=True),
        case("of a thousand bytes", ALICE.sign(bytes(1000)).signature, bytes(1000), result=True),
        *(case(name, signature, error="unverified") for name, signature in refused.items()),
        case(
            "a signature cut a byte early, the message beginning with it",
            good[:63],
            good[63:] + MESSAGE,
            error="unverified",
        ),
        case("a signature cut a byte late", good + MESSAGE[:1], MESSAGE[1:], error="unverified"),
    ]


def _with_nonce(nonce: bytes, scalar: int) -> bytes:
    """Return a signature that answers its own challenge for a chosen R."""
    hashed = edwards.challenge(nonce, RAW, MESSAGE)
    answer = (scalar + hashed * edwards.secret_scalar(bytes(ALICE))) % edwards.ORDER
    return nonce + answer.to_bytes(32, "little")


def _mixed() -> bytes:
    nonce = edwards.add(edwards.times(12345, edwards.BASE), edwards.torsion())
    return _with_nonce(edwards.encoded(nonce), 12345)


def _sign(header: str, payload: bytes = PAYLOAD.encode(), signer: Signer = ALICE) -> str:
    return compact(header, payload, signer)


def _header(signer: Signer = ALICE, typ: str = TYP) -> str:
    return header_of(signer, typ)


def _opened(name: str, text: str, **outcome: object) -> Case:
    return {"name": name, "input": text, "key": key_of(ALICE), **outcome}


def _compact() -> list[Case]:
    header = _header()
    return [
        _opened("the usual form", _sign(header), result=PAYLOAD),
        _opened("an empty payload", _sign(header, b""), result=""),
        _opened("a payload that is no JSON", _sign(header, b"any bytes"), result="any bytes"),
    ]


def _bad_headers() -> list[Case]:
    kid = kid_of(ALICE)
    malformed = {
        "the algorithm by its family name": f'{{"alg":"EdDSA","kid":"{kid}","typ":"{TYP}"}}',
        "no algorithm": f'{{"alg":"none","kid":"{kid}","typ":"{TYP}"}}',
        "a MAC": f'{{"alg":"HS256","kid":"{kid}","typ":"{TYP}"}}',
        "fields in another order": f'{{"typ":"{TYP}","alg":"Ed25519","kid":"{kid}"}}',
        "a space": f'{{"alg": "Ed25519","kid":"{kid}","typ":"{TYP}"}}',
        "the key inside": f'{{"alg":"Ed25519","jwk":{{}},"kid":"{kid}","typ":"{TYP}"}}',
        "critical extensions": f'{{"alg":"Ed25519","crit":["b64"],"kid":"{kid}","typ":"{TYP}"}}',
        "an unencoded payload": f'{{"alg":"Ed25519","b64":false,"kid":"{kid}","typ":"{TYP}"}}',
        "no key id": f'{{"alg":"Ed25519","typ":"{TYP}"}}',
        "no type": f'{{"alg":"Ed25519","kid":"{kid}"}}',
        "another type of ours": _header(typ="mentormesh-other+jws"),
        "a type of others": _header(typ="JWT"),
        "a type with a media range": _header(typ=f"application/{TYP}"),
        "a line feed behind the type": _header(typ=TYP + r"\n"),
        "the algorithm twice": f'{{"alg":"none","alg":"Ed25519","kid":"{kid}","typ":"{TYP}"}}',
        "a key id of 31 bytes": f'{{"alg":"Ed25519","kid":"{kid[:42]}","typ":"{TYP}"}}',
    }
    return [
        *(_opened(name, _sign(header), error="malformed") for name, header in malformed.items()),
        _opened("the id of another key", _sign(_header(BOB)), error="unverified"),
    ]


def _bad_parts() -> list[Case]:
    good = _sign(_header())
    header, payload, signature = good.split(".")
    swapped = ("B" if signature[0] == "A" else "A") + signature[1:]
    malformed = {
        "two parts": f"{header}.{payload}",
        "four parts": good + ".AAAA",
        "nothing": "",
        "padding behind the payload": f"{header}.{payload}=.{signature}",
        "bits behind the signature": f"{header}.{payload}.{signature[:-1]}{'B' if signature[-1] != 'B' else 'C'}",
        "a signature of 63 bytes": f"{header}.{payload}.{'A' * 84}",
        "no signature": f"{header}.{payload}.",
        "no header": f".{payload}.{signature}",
        "a line feed at the end": good + "\n",
        "a letter outside ASCII": f"{header}.{payload}\u00e9.{signature}",
    }
    unverified = {
        "signed by another key under this key's id": _sign(_header(), signer=BOB),
        "another payload under the same signature": f"{header}.{b64(b'other')}.{signature}",
        "no payload under the same signature": f"{header}..{signature}",
        "one bit of the signature changed": f"{header}.{payload}.{swapped}",
    }
    return [
        *(_opened(name, text, error="malformed") for name, text in malformed.items()),
        *(_opened(name, text, error="unverified") for name, text in unverified.items()),
    ]


def _signature(signer: Signer, payload: str = PAYLOAD, typ: str = TYP) -> dict[str, str]:
    return signature(payload, signer, typ)


def _document(*signatures: dict[str, str], payload: str = PAYLOAD, **more: object) -> str:
    return general(payload, *signatures, **more)


def _general() -> list[Case]:
    def case(name: str, text: str, *keys: Signer, **outcome: object) -> Case:
        return {"name": name, "input": text, "keys": [key_of(key) for key in keys], **outcome}

    one, two = _signature(ALICE), _signature(BOB)
    both = _document(one, two)
    flat = json.dumps({"payload": b64(PAYLOAD.encode()), **one}, separators=(",", ":"))
    unverified = [
        case("the keys the other way round", both, BOB, ALICE),
        case("one signature where two are needed", _document(one), ALICE, BOB),
        case("two signatures where one is expected", both, ALICE),
        case("one key that signed twice", _document(one, one), ALICE, BOB),
        case("a second signature over another payload", _document(one, _signature(BOB, "other")), ALICE, BOB),
        case("a payload that nobody signed", _document(one, two, payload="other"), ALICE, BOB),
    ]
    malformed = [
        case("three signatures", _document(one, two, two), ALICE, BOB),
        case("no signature", _document(), ALICE),
        case("an unprotected header", _document({**one, "header": "{}"}), ALICE),
        case("a field beside the payload", _document(one, more="1"), ALICE),
        case(
            "a second signature of another type",
            _document(one, _signature(BOB, typ="mentormesh-other+jws")),
            ALICE,
            BOB,
        ),
        case("the flattened form", flat, ALICE),
        case("the compact form", _sign(_header()), ALICE),
        case("a space", both.replace(":", ": ", 1), ALICE, BOB),
        case("padding", both.replace('","signatures', '=","signatures'), ALICE, BOB),
    ]
    return [
        case("one signature", _document(one), ALICE, result=PAYLOAD),
        case("two signatures", both, ALICE, BOB, result=PAYLOAD),
        *(one_case | {"error": "unverified"} for one_case in unverified),
        *(one_case | {"error": "malformed"} for one_case in malformed),
    ]
