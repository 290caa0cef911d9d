"""MLS against bare Ed25519: a message, a set-up of two, and a commit in a group of twenty devices.

Both the floor and the subject are measured in turns, in processor time, and the best of many rounds counts, because
other work makes single rounds slow. The floor of a message is one signature over as many bytes, verified. What it
cannot do without is more: all calls of the libraries that RFC 9420 asks for, one after the other and nothing between.
"""

import hashlib
import os
import time
from collections.abc import Callable
from typing import Final

import nacl.bindings
import nacl.signing
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.e2ee.mls import commits, welcome
from protocol.e2ee.mls.group import hear, speak
from protocol.e2ee.mls.state import Group, alone
from protocol.e2ee.mls.suites import NONCE_BYTES, X25519, X_WING, Suite
from protocol.e2ee.mls.welcome import Newcomer
from tests.e2ee.groups import AGREED, accept, begun, device, rules

from .figures import Figure

ROUNDS: Final = 400
FEW_ROUNDS: Final = 15
BODY: Final = os.urandom(1024)
LEAVES: Final = 20
#: Of what is signed beside the text: the head of the content, and the context of a group of two.
SIGNED_BYTES: Final = 256


def run() -> list[Figure]:
    """Return what messages and commits cost in both suites."""
    return [figure for suite in (X_WING, X25519) for figure in (*_message(suite), _two(suite), *_commit(suite))]


def _best(*calls: Callable[[], object], rounds: int) -> list[float]:
    """Return the shortest time of each call in seconds, measured in turns."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for place, call in enumerate(calls):
            started = time.process_time()
            call()
            best[place] = min(best[place], time.process_time() - started)
    return best


def _message(suite: Suite) -> list[Figure]:
    ana, ben = begun("ana", "ben", suite=suite)
    judge, entropy = rules(), bytes(4)
    # A first message takes the secret tree apart; it is not measured.
    ana, data = speak(ana, BODY, entropy=entropy)
    first, _ = hear(ben, data, judge)
    assert first is not None
    reader = first
    _, data = speak(ana, BODY, entropy=entropy)
    bare = nacl.signing.SigningKey(bytes(range(32)))

    def ours() -> None:
        _, message = speak(ana, BODY, entropy=entropy)
        hear(reader, message, judge)

    def floor() -> None:
        bare.verify_key.verify(BODY, bare.sign(BODY).signature)

    other = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    checks = other.public_key()

    def other_floor() -> None:
        checks.verify(other.sign(BODY), BODY)

    mine, least, by_openssl, bare_calls = _best(ours, floor, other_floor, _calls(suite), rounds=ROUNDS)
    name, floor_name = f"{suite}: 1 KiB sent and read", "one Ed25519 sign and verify"
    return [
        Figure(name=name, value=mine / least, unit="×", aim="≤ 1.6", ratio_to=f"{floor_name} by libsodium"),
        Figure(name=name, value=mine / by_openssl, unit="×", ratio_to=f"{floor_name} by OpenSSL"),
        Figure(name=name, value=mine / bare_calls, unit="×", ratio_to="the same calls of the libraries alone"),
        Figure(name=name, value=mine * 1e6, unit="µs"),
        Figure(name=f"{suite}: bytes over 1 KiB of text", value=len(data) - len(BODY), unit="bytes", aim="≤ 150"),
    ]


def _calls(suite: Suite) -> Callable[[], None]:
    """Return what calls the libraries as a message that is sent and read does: signed, sealed, opened, verified."""
    public, secret = nacl.bindings.crypto_sign_seed_keypair(bytes(range(32)))
    hashed = getattr(hashlib, suite.hash_name)
    block, info, text = bytes(hashed().block_size), bytes(32), BODY + bytes(SIGNED_BYTES)
    key, nonce, place = bytes(suite.key_bytes), bytes(NONCE_BYTES), bytes(12)

    def expand(times: int) -> None:
        inner, outer = hashed(block), hashed(block)
        for _ in range(times):
            first, second = inner.copy(), outer.copy()
            first.update(info)
            second.update(first.digest())
            second.digest()

    def calls() -> None:
        signed = nacl.bindings.crypto_sign(text, secret)
        expand(3)  # key, nonce, next secret
        sealed = AESGCM(key).encrypt(nonce, BODY, info)
        expand(2)  # key and nonce of the sender's place
        sealed_place = AESGCM(key).encrypt(nonce, place, info)
        expand(2)
        AESGCM(key).decrypt(nonce, sealed_place, info)
        expand(3)
        AESGCM(key).decrypt(nonce, sealed, info)
        nacl.bindings.crypto_sign_open(signed, public)

    return calls


def _alone(own: Newcomer, suite: Suite) -> Group:
    entropy = os.urandom(32)
    return alone(suite, own.package.leaf, private=own.private, seed=own.seed, agreement=AGREED, entropy=entropy)


def _two(suite: Suite) -> Figure:
    def both() -> None:
        first, second = device("ana", suite), device("ben", suite)
        group = _alone(first, suite)
        staged = commits.make(group, add=[second.package], rules=rules(), entropy=os.urandom(32))
        welcome.join(welcome.make(staged), second, rules(), accept=accept)

    (taken,) = _best(both, rounds=FEW_ROUNDS)
    aim = "≤ 25 ms" if suite is X_WING else ""
    return Figure(name=f"{suite}: two key packages, group, welcome, join", value=taken * 1e3, unit="ms", aim=aim)


def _commit(suite: Suite) -> list[Figure]:
    """Measure in a warm tree: everybody has committed once, so that inner nodes have keys."""
    members = begun(*(f"device {number}" for number in range(LEAVES)), suite=suite)
    for place in range(LEAVES):
        staged = commits.make(members[place], rules=rules(), entropy=os.urandom(32))
        members = [staged.next if at == place else _after(each, staged.message) for at, each in enumerate(members)]
    first, last = members[0], members[-1]
    message = commits.make(first, rules=rules(), entropy=os.urandom(32)).message
    made, followed = _best(
        lambda: commits.make(first, rules=rules(), entropy=os.urandom(32)),
        lambda: _after(last, message),
        rounds=FEW_ROUNDS,
    )
    name = f"{suite}: commit at {LEAVES} leaves, made and followed"
    return [
        Figure(name=name, value=(made + followed) * 1e3, unit="ms", aim="≤ 30 ms"),
        Figure(name=f"{suite}: commit at {LEAVES} leaves", value=len(message), unit="bytes"),
    ]


def _after(group: Group, message: bytes) -> Group:
    after, _ = hear(group, message, rules())
    assert after is not None
    return after
