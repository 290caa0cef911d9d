"""Vectors of docs/protocol/13-key-directory.md §10: tokens by which people read their directory at a foreign mirror."""

from typing import Final

from protocol.encoding import b64

from .keys import AUDIENCE, AURORA, BIRCH, OTHER, Case, Fields, canonical, file, flipped, key, signed

TOKEN_TYP: Final = "mentormesh-directory-token+jws"
DAY: Final = 20_454
MIDNIGHT: Final = DAY * 86_400


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "keys/directory-tokens.json": file(
            "13-key-directory §10", "`input` asks a mirror at `now`; the issuer's attest key is `key`.", _cases()
        )
    }


def token(signer: str = "aurora", typ: str = TOKEN_TYP, **changes: object) -> str:
    """Return a token."""
    body: Fields = {"audience": AUDIENCE, "day": DAY, "issuer": AURORA}
    return signed({**body, **changes}, key(f"{signer} attest"), typ)


def _cases() -> list[Case]:
    def case(name: str, text: str, now: int = MIDNIGHT + 43_200, **outcome: object) -> Case:
        fields: Fields = {
            name: outcome.pop(name) for name in ("audience", "issuer", "page", "extra") if name in outcome
        }
        body: Fields = {"audience": AUDIENCE, "issuer": AURORA, "page": 0, "token": text, **fields}
        if body["page"] == 0:
            del body["page"]
        asked = canonical(body)
        return {"name": name, "input": asked, "key": key("aurora attest").public.text, "now": now, **outcome}

    good = token()
    return [
        case("at noon of its day", good, result=0),
        case("for a later page", good, page=527, result=527),
        case("a minute before midnight, by a slow clock", good, now=MIDNIGHT - 60, result=0),
        case("within an hour after its day", good, now=MIDNIGHT + 90_000 - 1, result=0),
        case("61 s before its day", good, now=MIDNIGHT - 61, error="unverified"),
        case("an hour after its day", good, now=MIDNIGHT + 90_000, error="unverified"),
        case("of the day before", token(day=DAY - 1), error="unverified"),
        case("by another key", token("birch"), error="unverified"),
        case("for another audience than asked for", good, audience=OTHER, error="unverified"),
        case("given by another than is named", good, issuer=BIRCH, error="unverified"),
        case("that names another issuer", token(issuer=BIRCH), error="unverified"),
        case("one bit of the signature changed", flipped(good), error="unverified"),
        case("signed as an attestation", token(typ="mentormesh-head-attestation+jws"), error="malformed"),
        case("a field that none has", token(name="x"), error="malformed"),
        case("a question with a field that none has", good, extra=1, error="malformed"),
        case("for a page that no set has", good, page=528, error="malformed"),
        case("for a page before the first", good, page=-1, error="malformed"),
        case("no signature at all", b64(bytes(90)), error="malformed"),
    ]
