"""JWS made with PyNaCl and by hand from docs/protocol/03-keys-and-signatures.md, without the program under test."""

import hashlib
import json
from base64 import urlsafe_b64encode
from typing import Any, Final

import nacl.signing

Signer = nacl.signing.SigningKey

ALICE: Final = Signer(hashlib.sha256(b"alice").digest())
BOB: Final = Signer(hashlib.sha256(b"bob").digest())


def b64(data: bytes) -> str:
    """Return unpadded base64url."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def digest(data: bytes) -> str:
    """Return the SHA-256 as base64url."""
    return b64(hashlib.sha256(data).digest())


def canonical(value: Any) -> str:  # noqa: ANN401 -- JSON is of any type
    """Return canonical JSON of what has no defaults left to drop."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def key_of(signer: Signer) -> str:
    """Return the public key as base64url."""
    return b64(bytes(signer.verify_key))


def kid_of(signer: Signer) -> str:
    """Return the RFC 7638 thumbprint."""
    return digest(f'{{"crv":"Ed25519","kty":"OKP","x":"{key_of(signer)}"}}'.encode())


def header_of(signer: Signer, typ: str) -> str:
    """Return the one spelling of a protected header."""
    return f'{{"alg":"Ed25519","kid":"{kid_of(signer)}","typ":"{typ}"}}'


def compact(header: str, payload: bytes, signer: Signer) -> str:
    """Return a compact JWS of exactly these bytes."""
    text = f"{b64(header.encode())}.{b64(payload)}"
    return f"{text}.{b64(signer.sign(text.encode()).signature)}"


def signed(value: Any, signer: Signer, typ: str) -> str:  # noqa: ANN401 -- JSON is of any type
    """Return the compact JWS of a body."""
    return compact(header_of(signer, typ), canonical(value).encode(), signer)


def signature(payload: str, signer: Signer, typ: str) -> dict[str, str]:
    """Return one member of `signatures` in a general JWS."""
    protected = b64(header_of(signer, typ).encode())
    text = f"{protected}.{b64(payload.encode())}"
    return {"protected": protected, "signature": b64(signer.sign(text.encode()).signature)}


def general(payload: str, *signatures: dict[str, str], **more: object) -> str:
    """Return a general JWS."""
    return canonical({**more, "payload": b64(payload.encode()), "signatures": list(signatures)})
