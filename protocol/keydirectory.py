"""The HTTP message signatures directory: our transport key in the form that Web Bot Auth readers know.

Corporate bot filters look there before they let an unknown caller through. The response signs itself over the
authority it was asked at. Source: docs/protocol/20-identity.md §6; draft-meunier-http-message-signatures-directory.
"""

import binascii
from typing import Final

from .encoding import b64, encode
from .signing import SigningKey, VerifyKey, jwk

DIRECTORY_PATH: Final = "/.well-known/http-message-signatures-directory"
DIRECTORY_TYPE: Final = "application/http-message-signatures-directory+json"
DIRECTORY_TAG: Final = "http-message-signatures-directory"
LIFETIME_S: Final = 300


def directory(key: VerifyKey) -> bytes:
    """Return the JWK set `{"keys":[{"crv":"Ed25519","kid":…,"kty":"OKP","use":"sig","x":…}]}`."""
    return encode({"keys": [{**jwk(key.raw), "kid": key.keyid, "use": "sig"}]})


def sign_directory(authority: str, *, key: SigningKey, now: int, nonce: bytes) -> dict[str, str]:
    """Return the headers that sign a directory response asked for at `authority`."""
    parameters = (
        f'("@authority";req);created={now};expires={now + LIFETIME_S};nonce="{b64(nonce)}";'
        f'keyid="{key.public.keyid}";alg="ed25519";tag="{DIRECTORY_TAG}"'
    )
    base = f'"@authority";req: {authority}\n"@signature-params": {parameters}'.encode("ascii")
    signature = binascii.b2a_base64(key.sign(base), newline=False).decode("ascii")
    return {"signature-input": f"sig1={parameters}", "signature": f"sig1=:{signature}:"}
