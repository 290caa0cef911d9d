"""Published vectors that Go's own source tree carries: HPKE of RFC 9180 and of draft-ietf-hpke-pq, and Ed25519.

The tree is installed with the counterparts, so nothing is copied here. Our HPKE offers no AAD and no choice of KDF and
AEAD; the ciphertexts of the draft have both, so they are opened one level below our own wrapper.
"""

import gzip
import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.bindings import _rust
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM
from cryptography.hazmat.primitives.hpke import Suite as Hpke

from protocol.e2ee.mls.suites import X25519, X_WING
from protocol.errors import UnverifiedError
from protocol.sealing import PrivateSealingKey
from protocol.signing import SigningKey, VerifyKey

from .node_counterpart import ENVIRONMENT

pytestmark = pytest.mark.slow

DHKEM_X25519: Final = 0x0020
XWING: Final = 0x647A
KDFS: Final = {1: KDF.HKDF_SHA256, 17: KDF.SHAKE256}
CHACHA: Final = 3

Case = dict[str, Any]
h = bytes.fromhex


def tree() -> Path:
    found = sorted(ENVIRONMENT.glob("lib/python*/site-packages/go/src/crypto"))
    assert found, "no Go among the counterparts: run `make .venv-interop/.deps`"
    return found[0]


def cases(name: str, kem: int) -> list[Case]:
    every: list[Case] = json.loads((tree() / "hpke" / "testdata" / name).read_bytes())
    return [case for case in every if case["kem_id"] == kem]


def test_our_x25519_keys_are_those_of_rfc_9180() -> None:
    found = cases("rfc9180.json", DHKEM_X25519)
    assert len(found) >= 8
    for case in found:
        for ikm, public in ((case["ikmR"], case["pkRm"]), (case["ikmE"], case["enc"])):
            assert X25519.kem.derive(h(ikm))[1] == h(public)
        assert X25519.kem.derive(h(case["ikmR"]))[0] == h(case["skRm"])


def test_our_x_wing_keys_and_ciphertexts_are_those_of_the_draft() -> None:
    found = cases("hpke-pq.json", XWING)
    assert len(found) >= 2
    for case in found:
        key = PrivateSealingKey(h(case["skRm"]))
        assert key.public.raw == X_WING.kem.public(h(case["skRm"])) == h(case["pkRm"])
        assert case["aead_id"] == CHACHA
        suite = Hpke(KEM.MLKEM768_X25519, KDFS[case["kdf_id"]], AEAD.CHACHA20_POLY1305)
        first = case["encryptions"][0]
        sealed = h(case["enc"]) + h(first["ct"])
        opened = _rust.openssl.hpke._decrypt_with_aad(suite, sealed, key._key, h(case["info"]), h(first["aad"]))
        assert opened == h(first["pt"])


def test_every_ed25519_vector_is_signed_and_verified_as_written() -> None:
    lines = gzip.decompress((tree() / "ed25519" / "testdata" / "sign.input.gz").read_bytes()).decode().splitlines()
    assert len(lines) >= 128
    for line in lines:
        secret, public, message, signed = (h(part) for part in line.split(":")[:4])
        key = SigningKey(secret[:32])
        assert key.public.raw == public
        assert key.sign(message) == signed[:64]
        VerifyKey(public).verify(signed[:64], message)
        with pytest.raises(UnverifiedError):
            VerifyKey(public).verify(signed[:64], message + b"\x00")
