"""JWS over opaque bytes with Ed25519 (RFC 7515, RFC 8037, alg name of RFC 9864): compact, detached-free, and general.

Only this profile is read: protected header exactly `{"alg":"Ed25519","kid":…,"typ":…}` in that order, no unprotected
header, no `crit`, no `b64`. Other producers' spellings of the same header are refused, because a signature that two
parsers read differently is worse than none. Source: docs/protocol/03-keys-and-signatures.md §3–§4.
"""

from typing import Annotated, Final, Literal

import msgspec

from .encoding import Wire, b64, decode, encode, unb64
from .errors import MalformedError, UnverifiedError
from .ids import Bytes32
from .signing import SIGNATURE_BYTES, Signer, SigningKey

MAX_JWS_BYTES: Final = 64 * 1024

Typ = Annotated[str, msgspec.Meta(pattern=r"^mentormesh-[a-z-]{1,40}\+jws(?!\n)$")]


class Header(Wire, frozen=True, kw_only=True):
    """Protected header: `{"alg":"Ed25519","kid":"<thumbprint>","typ":"mentormesh-msg+jws"}`."""

    alg: Literal["Ed25519"]
    kid: Bytes32
    typ: Typ


class Parsed(msgspec.Struct, frozen=True, kw_only=True):
    """A JWS taken apart and not yet verified: call `verify` before looking at `payload`."""

    header: Header
    payload: bytes
    signing_input: bytes
    signature: bytes

    def verify(self, signer: Signer) -> bytes:
        """Return the payload once the key that the header names, which is one of `signer`'s, verified it.

        Raises: UnverifiedError.
        """
        key = signer.named(self.header.kid)
        key.verify(self.signature, self.signing_input, what="JWS signature")
        return self.payload


def sign(payload: bytes, key: SigningKey, typ: str) -> str:
    """Return the compact JWS of `payload`, three base64url parts joined by dots."""
    text = _signing_input(payload, key, typ)
    return f"{text}.{b64(key.sign(text.encode('ascii')))}"


def _signing_input(payload: bytes, key: SigningKey, typ: str) -> str:
    header = encode(Header(alg="Ed25519", kid=key.public.keyid, typ=typ))
    return f"{b64(header)}.{b64(payload)}"


def parse(text: str, typ: str) -> Parsed:
    """Return the parts of a compact JWS of type `typ`. Raises: MalformedError."""
    if len(text) > MAX_JWS_BYTES:
        raise MalformedError("JWS is too long")
    parts = text.split(".")
    if len(parts) != 3 or not text.isascii():
        raise MalformedError("JWS must have three parts")
    return _parsed(parts[0], parts[1], parts[2], typ)


def _parsed(protected: str, payload: str, signature: str, typ: str) -> Parsed:
    header = decode(unb64(protected, what="JWS header"), Header, what="JWS header")
    if header.typ != typ:
        raise MalformedError(f"JWS must be of type {typ}")
    return Parsed(
        header=header,
        payload=unb64(payload, what="JWS payload"),
        signing_input=f"{protected}.{payload}".encode("ascii"),
        signature=unb64(signature, size=SIGNATURE_BYTES, what="JWS signature"),
    )


class _Signature(Wire, frozen=True, kw_only=True):
    protected: str
    signature: str


class _General(Wire, frozen=True, kw_only=True):
    payload: str
    signatures: Annotated[tuple[_Signature, ...], msgspec.Meta(min_length=1, max_length=2)]


def sign_general(payload: bytes, key: SigningKey, typ: str) -> bytes:
    """Return the General JWS JSON serialization (RFC 7515 §7.2.1) with one signature."""
    return encode(_General(payload=b64(payload), signatures=(_one(payload, key, typ),)))


def _one(payload: bytes, key: SigningKey, typ: str) -> _Signature:
    text = _signing_input(payload, key, typ)
    return _Signature(protected=text.partition(".")[0], signature=b64(key.sign(text.encode("ascii"))))


def add_signature(document: bytes, key: SigningKey, typ: str) -> bytes:
    """Return the General JWS with `key`'s signature added second; the payload bytes stay as they are."""
    general = decode(document, _General, what="agreement")
    if len(general.signatures) != 1:
        raise MalformedError("agreement must carry one signature before the second is added")
    payload = unb64(general.payload, what="agreement payload")
    return encode(_General(payload=general.payload, signatures=(*general.signatures, _one(payload, key, typ))))


def verify_general(document: bytes, keys: tuple[Signer, ...], typ: str) -> bytes:
    """Return the payload once every one of `keys`, in order, signed it, and nobody else.

    All key ids are required: libraries that are content with one good signature of several would accept half an
    agreement.

    Raises: MalformedError, UnverifiedError.
    """
    general = decode(document, _General, what="agreement")
    if len(general.signatures) != len(keys):
        raise UnverifiedError(f"agreement must carry {len(keys)} signatures")
    payload = b""
    for one, key in zip(general.signatures, keys, strict=True):
        payload = _parsed(one.protected, general.payload, one.signature, typ).verify(key)
    return payload
