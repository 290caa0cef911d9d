"""joserfc and our own signer agree on compact JWS with Ed25519 (RFC 7515, RFC 8037, RFC 9864)."""

import json

import pytest

from protocol import jws
from protocol.encoding import b64
from protocol.errors import UnverifiedError
from protocol.signing import SigningKey, jwk

from .counterpart import ask

SCRIPT = "jws_counterpart.py"
TYP = "mentormesh-test+jws"
PAYLOAD = '{"minutes":30}'

pytestmark = pytest.mark.slow


@pytest.fixture
def key() -> SigningKey:
    return SigningKey(bytes(range(32)))


def _public(key: SigningKey) -> str:
    return json.dumps(jwk(key.public.raw))


def test_joserfc_verifies_what_we_sign(key: SigningKey) -> None:
    opened = ask(SCRIPT, {"do": "verify", "jwk": _public(key), "jws": jws.sign(PAYLOAD.encode(), key, TYP)})
    assert opened == {"header": {"alg": "Ed25519", "kid": key.public.keyid, "typ": TYP}, "payload": PAYLOAD}


def test_joserfc_refuses_a_payload_that_we_did_not_sign(key: SigningKey) -> None:
    header, _, signature = jws.sign(PAYLOAD.encode(), key, TYP).split(".")
    forged = f"{header}.{b64(PAYLOAD.replace('30', '60').encode())}.{signature}"
    assert ask(SCRIPT, {"do": "verify", "jwk": _public(key), "jws": forged}) == {"error": "BadSignatureError"}


def test_we_verify_what_joserfc_signs(key: SigningKey) -> None:
    token = _signed_by_joserfc(key)
    assert jws.parse(token, TYP).verify(key.public) == PAYLOAD.encode()


def test_we_refuse_what_joserfc_signs_with_another_key_under_our_key_id(key: SigningKey) -> None:
    other = SigningKey(bytes(32))
    header, payload, _ = _signed_by_joserfc(key).split(".")
    _, _, signature = _signed_by_joserfc(other).split(".")
    with pytest.raises(UnverifiedError, match="does not verify"):
        jws.parse(f"{header}.{payload}.{signature}", TYP).verify(key.public)


def test_both_compute_the_same_thumbprint(key: SigningKey) -> None:
    assert ask(SCRIPT, {"do": "thumbprint", "jwk": _public(key)}) == key.public.keyid


def _signed_by_joserfc(key: SigningKey) -> str:
    header = json.dumps({"alg": "Ed25519", "kid": key.public.keyid, "typ": TYP})
    private = json.dumps(jwk(key.public.raw) | {"d": b64(key.seed)})
    token = ask(SCRIPT, {"do": "sign", "jwk": private, "header": header, "payload": PAYLOAD})
    assert isinstance(token, str)
    return token
