"""http-message-signatures signs and verifies: `{"do": "sign"|"verify", "message": …}` on standard input, JSON out.

A message is `{"method", "url", "headers"}`; a response has `{"status_code", "headers", "request"}`.
"""

import base64
import datetime as dt
import json
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)


class Message:
    """A request or response as the library wants to see it."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.headers: dict[str, str] = given["headers"]
        if "status_code" in given:
            self.status_code = given["status_code"]
            self.request = Message(given["request"])
        else:
            self.method = given["method"]
            self.url = given["url"]


class Keys(HTTPSignatureKeyResolver):  # type: ignore[misc]
    """The one key of a question."""

    def __init__(self, question: dict[str, Any]) -> None:
        self._question = question

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        """Return the public key if it is meant."""
        if key_id != self._question["keyid"]:
            return None
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(self._question["public"]))

    def resolve_private_key(self, key_id: str) -> Ed25519PrivateKey:
        """Return the private key."""
        assert key_id == self._question["keyid"]
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(self._question["seed"]))


class Verifier(HTTPMessageVerifier):  # type: ignore[misc]
    """Allows the clock difference that our profile allows."""

    max_clock_skew = dt.timedelta(seconds=60)


def answer(question: dict[str, Any]) -> object:
    """Return what the library makes of one question."""
    message = Message(question["message"])
    options = {"signature_algorithm": algorithms.ED25519, "key_resolver": Keys(question)}
    body = question["body"].encode() if "body" in question else None
    if question["do"] == "sign":
        HTTPMessageSigner(**options).sign(
            message,
            key_id=question["keyid"],
            created=dt.datetime.fromtimestamp(question["created"], tz=dt.UTC),
            expires=dt.datetime.fromtimestamp(question["created"] + 300, tz=dt.UTC),
            nonce=question["nonce"],
            label="sig1",
            tag=question["tag"],
            covered_component_ids=tuple(question["covered"]),
            body=body,
        )
        return message.headers
    try:
        (verified,) = Verifier(**options).verify(
            message,
            max_age=dt.timedelta(seconds=300),
            expect_tag=question["tag"],
            expect_label="sig1",
            require_components=tuple(question["covered"]),
            body=body,
        )
    except InvalidSignature as error:
        return {"error": str(error)}
    return {"parameters": verified.parameters}


json.dump(answer(json.load(sys.stdin)), sys.stdout)
