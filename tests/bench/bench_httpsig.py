"""Signed requests against bare PyNaCl.

The floor is one bare signature over all that the profile protects, the base and the body; parsing, building the base
and the digest of the body come on top. Both are measured in turns, and the best of many rounds counts, because other
work makes single rounds slow.
"""

import time
from collections.abc import Callable

import nacl.signing

from protocol import httpsig
from protocol.httpsig import RequestLine, parse_request, sign_request, sign_response, verify_request
from protocol.signing import SigningKey

from .figures import Figure

ROUNDS = 300
CALLS = 20
NOW = 1_800_000_000
SEED = bytes(range(32))
KEY = SigningKey(SEED)
BARE = nacl.signing.SigningKey(SEED)


def run() -> list[Figure]:
    """Return the cost of verifying and signing as a share of the bare operation."""
    body = bytes(1024)
    return [
        *_verify("GET", "/federation/v1/sets/x/offers/head", b"", None),
        *_verify("POST", "/federation/v1/messages", body, "application/vnd.mentormesh.batch"),
        _sign(body),
        _answer(body),
    ]


def _best(*calls: Callable[[], object]) -> list[float]:
    """Return the shortest time of each call in seconds, measured in turns."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for place, call in enumerate(calls):
            started = time.perf_counter()
            for _ in range(CALLS):
                call()
            best[place] = min(best[place], (time.perf_counter() - started) / CALLS)
    return best


def _line(method: str, target: str) -> RequestLine:
    return RequestLine(method=method, authority="birch.example", target=target)


def _verify(method: str, target: str, body: bytes, content_type: str | None) -> list[Figure]:
    sent = sign_request(_line(method, target), body, content_type, key=KEY, now=NOW, nonce=bytes(16))
    headers = [*sent.headers.items(), ("Host", "birch.example"), ("Accept", "*/*"), ("User-Agent", "mentormesh")]
    signed = parse_request(headers)
    base = httpsig._request_base(_line(method, target), signed.digest, signed.content_type, signed.parameters)

    def ours() -> None:
        verify_request(parse_request(headers), _line(method, target), body, key=KEY.public, now=NOW)

    protected = base + body
    floor_signature = BARE.sign(protected).signature

    def bare() -> None:
        BARE.verify_key.verify(protected, floor_signature)

    mine, floor = _best(ours, bare)
    what = f"{method}, {len(body)} byte body"
    return [
        Figure(name=f"verify {what}: speed", value=floor / mine, unit="×", aim="≥ 0.9", ratio_to="bare PyNaCl verify"),
        Figure(name=f"verify {what}", value=mine * 1e6, unit="µs"),
    ]


def _sign(body: bytes) -> Figure:
    line = _line("POST", "/federation/v1/messages")
    mine, floor = _best(
        lambda: sign_request(line, body, "text/plain", key=KEY, now=NOW, nonce=bytes(16)), lambda: BARE.sign(body)
    )
    return Figure(name="sign a POST: speed", value=floor / mine, unit="×", ratio_to="bare PyNaCl sign")


def _answer(body: bytes) -> Figure:
    asked = sign_request(
        _line("POST", "/federation/v1/messages"), body, "text/plain", key=KEY, now=NOW, nonce=bytes(16)
    ).asked
    mine, floor = _best(lambda: sign_response(200, body, asked=asked, key=KEY, now=NOW), lambda: BARE.sign(body))
    return Figure(name="sign an answer: speed", value=floor / mine, unit="×", ratio_to="bare PyNaCl sign")
