"""docs/protocol/01 to 04 and this program agree on their vectors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol import jws
from protocol.encoding import b64, decode, encode, label, length_prefixed, sha256, split_prefixed, unb64
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.ids import Bytes32, MessageId, RandomId, Seconds, entity_host, id_bytes, message_id
from protocol.sealing import NodeSealingKey, SealingPublicKey, info
from protocol.signing import VerifyKey
from tests.together import together
from tests.vectors.generate.encoding import Example
from tests.vectors.generate.jws import TYP

VECTORS = Path(__file__).parents[1] / "vectors"
TOPICS = ("encoding", "ids", "jws", "sealing")
KINDS: dict[str, type[MeshError]] = {"malformed": MalformedError, "unverified": UnverifiedError}

Case = dict[str, Any]


def every_case() -> list[Any]:
    return [
        pytest.param(f"{topic}/{path.stem}", case, id=f"{topic}/{path.stem}: {case['name']}")
        for topic in TOPICS
        for path in sorted((VECTORS / topic).glob("*.json"))
        for case in json.loads(path.read_bytes())["cases"]
    ]


def quoted(text: str, kind: Any) -> Any:  # noqa: ANN401 -- a type of msgspec
    """Return `text` read as a JSON text of `kind`."""
    return decode(encode(text), kind)


# each reader returns what a case calls its result


def canonical(case: Case) -> object:
    data = case["input"].encode() if "input" in case else bytes.fromhex(case["hex"])
    return json.loads(encode(decode(data, Example)))


def base64url(case: Case) -> object:
    return unb64(case["input"], size=case.get("size")).hex()


def prefixed(case: Case) -> object:
    data = bytes.fromhex(case["input"])
    parts = split_prefixed(data, case["count"])
    assert length_prefixed(*parts) == data
    return [part.hex() for part in parts]


def hashed(case: Case) -> object:
    parts = [bytes.fromhex(part) for part in case["parts"]]
    said = length_prefixed(*parts) if case["prefixed"] else b"".join(parts)
    return sha256(label(case["purpose"]), said).hex()


def random_id(case: Case) -> object:
    found = id_bytes(quoted(case["input"], RandomId))
    assert b64(found) == case["input"]
    return found.hex()


def mid(case: Case) -> object:
    if "entropy" in case:
        assert message_id(case["now_ms"], bytes.fromhex(case["entropy"])) == case["input"]
    return quoted(case["input"], MessageId)


def signature(case: Case) -> object:
    VerifyKey.parse(case["key"]).verify(unb64(case["signature"]), bytes.fromhex(case["message"]))
    return True


def compact(case: Case) -> object:
    return jws.parse(case["input"], TYP).verify(VerifyKey.parse(case["key"])).decode()


def general(case: Case) -> object:
    keys = tuple(VerifyKey.parse(key) for key in case["keys"])
    return jws.verify_general(case["input"].encode(), keys, TYP).decode()


def sealing_key(case: Case) -> object:
    key = SealingPublicKey.parse(case["key"])
    key.seal(b"plaintext", b"info")
    assert NodeSealingKey(unb64(case["seed"])).public == key
    return sha256(key.raw).hex()


def context(case: Case) -> bytes:
    return info(case["purpose"], *(bytes.fromhex(part) for part in case["context"]))


def sealed(case: Case) -> object:
    return NodeSealingKey(unb64(case["seed"])).open(unb64(case["input"]), context(case)).decode()


READERS: dict[str, Callable[[Case], object]] = {
    "encoding/canonical": canonical,
    "encoding/base64url": base64url,
    "encoding/prefixed": prefixed,
    "encoding/hashes": hashed,
    "ids/entities": lambda case: entity_host(case["input"]),
    "ids/random-ids": random_id,
    "ids/hashes": lambda case: unb64(quoted(case["input"], Bytes32), size=32).hex(),
    "ids/message-ids": mid,
    "ids/seconds": lambda case: decode(case["input"].encode(), Seconds),
    "jws/keys": lambda case: VerifyKey.parse(case["key"]).keyid,
    "jws/signatures": signature,
    "jws/compact": compact,
    "jws/general": general,
    "sealing/keys": sealing_key,
    "sealing/info": lambda case: context(case).hex(),
    "sealing/sealed": sealed,
}


@together(every_case(), by=": ")
def test_a_case_ends_as_the_vectors_say(name: str, case: Case) -> None:
    if "error" not in case:
        assert READERS[name](case) == case["result"]
        return
    with pytest.raises(MeshError) as caught:
        READERS[name](case)
    assert isinstance(caught.value, KINDS[case["error"]])
