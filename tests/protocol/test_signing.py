"""Keys that sign and keys that only verify."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.encoding import sha256, unb64
from protocol.errors import MalformedError, UnverifiedError
from protocol.signing import SigningKey, VerifyKey, jwk, thumbprint

from .e2ee.damage import cut, flipped

KEY = SigningKey(sha256(b"a key"))
OTHER = SigningKey(sha256(b"another key"))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_a_signature_holds_for_its_message_and_key(seed: bytes, message: bytes) -> None:
    key = SigningKey(seed)
    key.public.verify(key.sign(message), message)
    with pytest.raises(UnverifiedError):
        key.public.verify(key.sign(message), message + b"\0")


def test_a_signature_that_is_changed_or_cut_anywhere_is_refused() -> None:
    signature = KEY.sign(b"message")
    for wrong in (*flipped(signature), *cut(signature)):
        with pytest.raises(UnverifiedError, match=r"^offer does not verify$"):
            KEY.public.verify(wrong, b"message", what="offer")


def test_a_key_is_known_by_its_text_and_its_thumbprint() -> None:
    parsed = VerifyKey.parse(KEY.public.text)
    assert parsed == KEY.public
    assert hash(parsed) == hash(KEY.public)
    assert parsed != OTHER.public
    assert parsed != KEY.public.text
    assert parsed.keyid == thumbprint(KEY.public.raw)
    assert unb64(jwk(KEY.public.raw)["x"]) == KEY.public.raw


def test_the_thumbprint_of_rfc_8037_is_met() -> None:
    """The key of RFC 8037 appendix A.1 and its thumbprint of A.3."""
    key = SigningKey(unb64("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")).public
    assert key.text == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert key.keyid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_what_is_shown_of_a_key_is_no_secret() -> None:
    shown = repr(KEY) + repr(KEY.public)
    assert KEY.seed.hex() not in shown
    assert str(KEY.seed) not in shown
    assert KEY.public.keyid in repr(KEY)
    assert repr(KEY.public) == f"VerifyKey({KEY.public.keyid})"


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_size_is_a_programming_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(bytes(size))


def test_a_public_key_that_is_none_is_malformed() -> None:
    for wrong in (bytes(32), b"\xff" * 32, KEY.public.raw[:31]):
        with pytest.raises(MalformedError):
            VerifyKey(wrong)
    with pytest.raises(MalformedError):
        VerifyKey.parse(KEY.public.text + "=")
