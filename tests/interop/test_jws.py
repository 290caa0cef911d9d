"""joserfc and jose agree with our own signer on JWS with Ed25519 (RFC 7515, RFC 8037, RFC 9864).

They read every form of ours that is a JWS: node documents, rotations, set heads, messages, receipts, certificates of
devices, agreements. The documents are those of the vectors, so that a new form is read here as soon as it has some.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from protocol import jws
from protocol.encoding import b64, encode, unb64
from protocol.errors import UnverifiedError
from protocol.signing import SigningKey, jwk

from .counterpart import ask
from .node_counterpart import ask_node

TYP: Final = "mentormesh-test+jws"
PAYLOAD: Final = '{"minutes":30}'
KEY, OTHER = SigningKey(bytes(range(32))), SigningKey(bytes(32))
VECTORS: Final = Path(__file__).parents[1] / "vectors"
COMPACT: Final = re.compile(r"[\w-]+\.[\w-]*\.[\w-]+")

Library = Callable[[object], Any]

pytestmark = pytest.mark.slow


@pytest.fixture(params=["joserfc", "jose"])
def library(request: pytest.FixtureRequest) -> Library:
    return partial(ask, "jws_counterpart.py") if request.param == "joserfc" else partial(ask_node, "jose.cjs")


def public(key: SigningKey) -> str:
    return json.dumps(jwk(key.public.raw))


def signer(key: SigningKey) -> dict[str, str]:
    header = json.dumps({"alg": "Ed25519", "kid": key.public.keyid, "typ": TYP})
    return {"jwk": json.dumps(jwk(key.public.raw) | {"d": b64(key.seed)}), "header": header}


def signed_by(library: Library, key: SigningKey) -> str:
    token = library({"do": "sign", "payload": PAYLOAD, **signer(key)})
    assert isinstance(token, str)
    return token


def read(name: str) -> list[dict[str, Any]]:
    cases = json.loads((VECTORS / name).read_bytes())["cases"]
    return [case for case in cases if "result" in case]


def compact_forms() -> dict[str, list[tuple[str, str]]]:
    """Return, by file, every compact JWS of the vectors that is accepted, with its key."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(VECTORS.glob("*/*.json")):
        name = path.relative_to(VECTORS).as_posix()
        for case in read(name):
            text, key = case.get("input", case.get("document")), case.get("key", case.get("federation_key"))
            if name == "messages/items.json":
                text = message_of(case["input"])
            if isinstance(text, str) and COMPACT.fullmatch(text) and isinstance(key, str):
                found.setdefault(name, []).append((text, key))
    return found


def message_of(item: str) -> str:
    """Return the JWS inside a handshake item (docs/protocol/30-messages.md §1)."""
    data = unb64(item, what="item")
    return data[5 : 5 + int.from_bytes(data[1:5], "big")].decode()


FORMS: Final = compact_forms()


def as_jwk(key: str) -> str:
    return json.dumps({"kty": "OKP", "crv": "Ed25519", "x": key})


def test_the_vectors_have_these_forms() -> None:
    assert set(FORMS) >= {
        "devices/certificates.json", "devices/identity.json", "devices/sealing-keys.json", "heads/heads.json",
        "jws/compact.json", "messages/items.json", "messages/receipts.json", "peers/documents.json",
    }  # fmt: skip


def opened(library: Library, tokens: list[tuple[str, str]]) -> list[dict[str, Any]]:
    questions = [{"do": "verify", "jwk": as_jwk(key), "jws": text} for text, key in tokens]
    answers = library({"do": "several", "questions": questions})
    assert isinstance(answers, list)
    return answers


def test_the_library_verifies_every_form_of_ours(library: Library) -> None:
    tokens = [token for tokens in FORMS.values() for token in tokens]
    payloads = [unb64(text.split(".")[1], what="payload").decode() for text, _ in tokens]
    assert [answer.get("payload") for answer in opened(library, tokens)] == payloads


def test_the_library_refuses_every_form_of_ours_by_another_key(library: Library) -> None:
    tokens = [(text, KEY.public.text) for tokens in FORMS.values() for text, _ in tokens]
    assert [answer for answer in opened(library, tokens) if "error" not in answer] == []


def test_the_library_verifies_what_we_sign(library: Library) -> None:
    answer = library({"do": "verify", "jwk": public(KEY), "jws": jws.sign(PAYLOAD.encode(), KEY, TYP)})
    assert answer == {"header": {"alg": "Ed25519", "kid": KEY.public.keyid, "typ": TYP}, "payload": PAYLOAD}


def test_the_library_refuses_a_payload_that_we_did_not_sign(library: Library) -> None:
    header, _, signature = jws.sign(PAYLOAD.encode(), KEY, TYP).split(".")
    forged = f"{header}.{b64(PAYLOAD.replace('30', '60').encode())}.{signature}"
    assert "error" in library({"do": "verify", "jwk": public(KEY), "jws": forged})


def test_we_verify_what_the_library_signs(library: Library) -> None:
    assert jws.parse(signed_by(library, KEY), TYP).verify(KEY.public) == PAYLOAD.encode()


def test_we_refuse_what_the_library_signs_with_another_key_under_our_key_id(library: Library) -> None:
    header, payload, _ = signed_by(library, KEY).split(".")
    _, _, signature = signed_by(library, OTHER).split(".")
    with pytest.raises(UnverifiedError, match="does not verify"):
        jws.parse(f"{header}.{payload}.{signature}", TYP).verify(KEY.public)


def test_both_compute_the_same_thumbprint(library: Library) -> None:
    assert library({"do": "thumbprint", "jwk": public(KEY)}) == KEY.public.keyid


def test_the_library_verifies_every_signature_of_our_agreements(library: Library) -> None:
    for case in read("agreement/documents.json"):
        keys = [case[party] for party in ("provider", "consumer") if party in case]
        answer = library({"do": "verify-general", "document": case["input"], "jwks": [as_jwk(key) for key in keys]})
        assert [each["payload"] for each in answer] == [case["result"]] * len(keys)
        assert {each["header"]["typ"] for each in answer} == {"mentormesh-agreement+jws"}


def test_the_library_refuses_an_agreement_with_the_terms_changed(library: Library) -> None:
    case = next(case for case in read("agreement/documents.json") if "consumer" in case)
    document = json.loads(case["input"])
    document["payload"] = b64(case["result"].replace('"length":', '"length":1').encode())
    jwks = [as_jwk(case[party]) for party in ("provider", "consumer")]
    assert "error" in library({"do": "verify-general", "document": json.dumps(document), "jwks": jwks})


def test_we_verify_a_document_that_the_library_signs_twice(library: Library) -> None:
    document = encode(library({"do": "sign-general", "payload": PAYLOAD, "signers": [signer(KEY), signer(OTHER)]}))
    assert jws.verify_general(document, (KEY.public, OTHER.public), TYP) == PAYLOAD.encode()
    with pytest.raises(UnverifiedError, match="another key"):
        jws.verify_general(document, (OTHER.public, KEY.public), TYP)


def test_we_refuse_a_document_that_the_library_signs_once_where_two_must(library: Library) -> None:
    document = encode(library({"do": "sign-general", "payload": PAYLOAD, "signers": [signer(KEY)]}))
    with pytest.raises(UnverifiedError, match="2 signatures"):
        jws.verify_general(document, (KEY.public, OTHER.public), TYP)
