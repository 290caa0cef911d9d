"""The HTTP message signatures directory: our transport key in the form that Web Bot Auth readers know.

Corporate bot filters look there before they let an unknown caller through. The response signs itself over the
authority it was asked at. Source: docs/protocol/20-identity.md §6; draft-meunier-http-message-signatures-directory.
"""

import binascii
import re
from collections.abc import Mapping
from typing import Final

from .encoding import b64, encode
from .errors import UnverifiedError
from .signing import SigningKey, VerifyKey, jwk

DIRECTORY_PATH: Final = "/.well-known/http-message-signatures-directory"
DIRECTORY_TYPE: Final = "application/http-message-signatures-directory+json"
DIRECTORY_TAG: Final = "http-message-signatures-directory"
LIFETIME_S: Final = 300
SKEW_S: Final = 60

_INPUT: Final = re.compile(
    r'sig1=(\("@authority";req\);created=([1-9][0-9]{0,11});expires=([1-9][0-9]{0,11});nonce="[A-Za-z0-9_-]{22}"'
    rf';keyid="([A-Za-z0-9_-]{{43}})";alg="ed25519";tag="{DIRECTORY_TAG}")',
    re.ASCII,
)
_SIGNATURE: Final = re.compile(r"sig1=:([A-Za-z0-9+/]{86}==):", re.ASCII)


class UnprovenKeyError(UnverifiedError):
    """Whoever answers at the address does not show that it holds the transport key."""

    code = "key-not-held"


def directory(key: VerifyKey) -> bytes:
    """Return the JWK set `{"keys":[{"crv":"Ed25519","kid":…,"kty":"OKP","use":"sig","x":…}]}`."""
    return encode({"keys": [{**jwk(key.raw), "kid": key.keyid, "use": "sig"}]})


def sign_directory(authority: str, *, key: SigningKey, now: int, nonce: bytes) -> dict[str, str]:
    """Return the headers that sign a directory response asked for at `authority`."""
    parameters = (
        f'("@authority";req);created={now};expires={now + LIFETIME_S};nonce="{b64(nonce)}";'
        f'keyid="{key.public.keyid}";alg="ed25519";tag="{DIRECTORY_TAG}"'
    )
    base = _base(authority, parameters)
    signature = binascii.b2a_base64(key.sign(base), newline=False).decode("ascii")
    return {"signature-input": f"sig1={parameters}", "signature": f"sig1=:{signature}:"}


def verify_directory(headers: Mapping[str, str], authority: str, key: VerifyKey, *, now: int) -> None:
    """Return once a directory response asked for at `authority` shows that `key` is held there.

    Args:
        headers: of the response, names in lower case; the signature is read in the spelling of `sign_directory` only.
    Raises: UnprovenKeyError.
    """
    given = _INPUT.fullmatch(headers.get("signature-input", ""))
    encoded = _SIGNATURE.fullmatch(headers.get("signature", ""))
    if given is None or encoded is None:
        raise UnprovenKeyError("key directory is not signed in the form of the profile")
    parameters, created, expires, keyid = given.groups()
    if keyid != key.keyid:
        raise UnprovenKeyError("key directory is signed by another key than the document names")
    if int(created) > now + SKEW_S or not now <= int(expires) <= int(created) + LIFETIME_S:
        raise UnprovenKeyError("signature of the key directory has expired or is of the future: compare the clocks")
    try:
        key.verify(binascii.a2b_base64(encoded[1]), _base(authority, parameters))
    except UnverifiedError:
        raise UnprovenKeyError("signature of the key directory does not verify") from None


def _base(authority: str, parameters: str) -> bytes:
    return f'"@authority";req: {authority}\n"@signature-params": {parameters}'.encode("ascii")
