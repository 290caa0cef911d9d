"""What is sealed opens for one key in one context, and for nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.encoding import sha256
from protocol.errors import MalformedError, UnverifiedError
from protocol.sealing import (
    OVERHEAD_BYTES,
    PUBLIC_BYTES,
    NodeSealingKey,
    PrivateSealingKey,
    SealingPublicKey,
    info,
)

from .e2ee.damage import cut, flipped

KEY = NodeSealingKey(sha256(b"a key"))
OTHER = NodeSealingKey(sha256(b"another key"))
INFO = info("request", b"thread", b"node")
SEALED = KEY.public.seal(b"plaintext", INFO)


@given(st.binary(max_size=200), st.lists(st.binary(max_size=8), max_size=3))
@settings(max_examples=25)
def test_a_sealed_text_opens_with_its_key_and_context(plaintext: bytes, context: list[bytes]) -> None:
    bound = info("quote", *context)
    sealed = KEY.public.seal(plaintext, bound)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert KEY.open(sealed, bound) == plaintext


def test_a_sealed_text_changed_in_any_part_is_refused() -> None:
    for wrong in (*flipped(SEALED, step=31), *cut(SEALED, step=97)):
        with pytest.raises(UnverifiedError, match=r"^choice does not open with this key and context$"):
            KEY.open(wrong, INFO, what="choice")


@pytest.mark.parametrize(
    ("key", "bound"),
    [
        (OTHER, INFO),
        (KEY, b""),
        (KEY, info("choice", b"thread", b"node")),
        (KEY, info("request", b"threadnode")),
        (KEY, info("request", b"node", b"thread")),
    ],
)
def test_another_key_or_context_opens_nothing(key: NodeSealingKey, bound: bytes) -> None:
    with pytest.raises(UnverifiedError):
        key.open(SEALED, bound)


def test_nothing_is_sealed_twice_to_the_same_bytes() -> None:
    assert KEY.public.seal(b"plaintext", INFO) != SEALED


def test_a_key_is_known_by_its_text() -> None:
    parsed = SealingPublicKey.parse(KEY.public.text)
    assert len(KEY.public.text) == 1622
    assert parsed == KEY.public
    assert hash(parsed) == hash(KEY.public)
    assert parsed != OTHER.public
    assert parsed != KEY.public.raw


def test_one_seed_makes_one_key() -> None:
    assert NodeSealingKey(KEY.seed).public == KEY.public
    assert len(KEY.public.raw) == PUBLIC_BYTES


def test_what_is_shown_of_a_key_is_no_secret() -> None:
    assert KEY.seed.hex() not in repr(KEY)
    assert str(KEY.seed) not in repr(KEY)
    assert repr(KEY) == f"NodeSealingKey({KEY.public!r})"
    assert repr(PrivateSealingKey(KEY.seed)).startswith("PrivateSealingKey(")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_seed_of_another_size_is_a_programming_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        NodeSealingKey(bytes(size))


@pytest.mark.parametrize("size", [0, 32, PUBLIC_BYTES - 1, PUBLIC_BYTES + 1])
def test_a_public_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(MalformedError, match="1216 bytes"):
        SealingPublicKey(bytes(size))


def test_a_public_key_that_is_not_reduced_is_refused() -> None:
    with pytest.raises(MalformedError, match="not a valid ML-KEM-768 key"):
        SealingPublicKey(b"\xff" * PUBLIC_BYTES)


def test_nothing_is_sealed_to_a_key_whose_secret_everybody_knows() -> None:
    degenerate = SealingPublicKey(KEY.public.raw[:1184] + bytes(32))
    with pytest.raises(MalformedError, match="degenerate"):
        degenerate.seal(b"plaintext", INFO)
