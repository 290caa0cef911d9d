"""joserfc signs and verifies JWS, compact and general: one question on standard input, its answer as JSON."""

import json
import sys
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

ALGORITHMS = ["Ed25519"]


def imported(jwk: str) -> OKPKey:
    """Return the key of a JWK as text."""
    return OKPKey.import_key(json.loads(jwk))


def sign(question: dict[str, Any]) -> object:
    """Return the compact JWS of a payload."""
    header = json.loads(question["header"])
    return jws.serialize_compact(header, question["payload"], imported(question["jwk"]), algorithms=ALGORITHMS)


def verify(question: dict[str, Any]) -> object:
    """Return header and payload of a compact JWS."""
    opened = jws.deserialize_compact(question["jws"], imported(question["jwk"]), algorithms=ALGORITHMS)
    return {"header": opened.headers(), "payload": opened.payload.decode()}


def sign_general(question: dict[str, Any]) -> object:
    """Return the general JWS of a payload with a signature of each of `signers`."""
    keys = [imported(signer["jwk"]) for signer in question["signers"]]
    members: Any = [{"protected": json.loads(signer["header"])} for signer in question["signers"]]
    # Keys are asked for in the order of the members.
    asked = iter(keys)
    return jws.serialize_json(members, question["payload"], lambda _: next(asked), algorithms=ALGORITHMS)


def verify_general(question: dict[str, Any]) -> object:
    """Return what each key signed: joserfc wants every signature of a document to verify with the key it is given."""
    document = json.loads(question["document"])
    opened = []
    for one, jwk in zip(document["signatures"], question["jwks"], strict=True):
        alone: Any = {"payload": document["payload"], "signatures": [one]}
        found = jws.deserialize_json(alone, imported(jwk), algorithms=ALGORITHMS)
        assert found.payload is not None
        opened.append({"header": found.members[0].headers(), "payload": found.payload.decode()})
    return opened


def thumbprint(question: dict[str, Any]) -> object:
    """Return the RFC 7638 thumbprint of a key."""
    return imported(question["jwk"]).thumbprint()


def several(question: dict[str, Any]) -> object:
    """Return the answers to several questions: starting this program is slower than any of them."""
    return [answer(one) for one in question["questions"]]


HANDLERS = {
    "several": several,
    "sign": sign,
    "verify": verify,
    "sign-general": sign_general,
    "verify-general": verify_general,
    "thumbprint": thumbprint,
}


def answer(question: dict[str, Any]) -> object:
    """Return what joserfc makes of one question."""
    try:
        return HANDLERS[question["do"]](question)
    except JoseError as error:
        return {"error": type(error).__name__}


json.dump(answer(json.load(sys.stdin)), sys.stdout)
