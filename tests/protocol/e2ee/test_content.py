"""Padding and content boxes: one length, one key, one text."""

import nacl.bindings as sodium
import pytest

from protocol.e2ee.content import NONCE_BYTES, OVERHEAD_BYTES, open_content, seal_content
from protocol.e2ee.padding import pad, unpad
from protocol.errors import LimitError, MalformedError, UnverifiedError

from .damage import cut, flipped
from .people import seed

KEY = seed("content key")


def test_a_box_opens_with_its_key_and_context() -> None:
    box = seal_content(b"hello", KEY, b"context")
    assert open_content(box, KEY, b"context", what="box") == b"hello"
    assert len(box) == 5 + OVERHEAD_BYTES


@pytest.mark.parametrize(
    ("key", "aad"),
    [(seed("other"), b"context"), (KEY, b"other"), (KEY, b""), (b"", b"context"), (KEY[:31], b"context")],
)
def test_a_box_opens_with_nothing_else(key: bytes, aad: bytes) -> None:
    with pytest.raises(UnverifiedError):
        open_content(seal_content(b"hello", KEY, b"context"), key, aad, what="box")


def test_a_box_with_a_changed_or_missing_byte_does_not_open() -> None:
    box = seal_content(b"hello", KEY, b"context")
    for damaged in (*flipped(box), *cut(box)):
        with pytest.raises(UnverifiedError):
            open_content(damaged, KEY, b"context", what="box")


def test_a_box_whose_nonce_does_not_commit_to_its_key_is_refused() -> None:
    nonce = bytes(NONCE_BYTES)
    box = nonce + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(b"hello", b"context", nonce, KEY)
    with pytest.raises(UnverifiedError):
        open_content(box, KEY, b"context", what="box")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_content_key_of_another_size_is_a_programming_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        seal_content(b"", bytes(size), b"")


@pytest.mark.parametrize("length", [0, 1, 11, 12])
def test_padded_content_comes_back(length: int) -> None:
    content = b"\x01" * length
    padded = pad(content, 16, what="content")
    assert len(padded) == 16
    assert unpad(padded, 16, what="content") == content


def test_content_that_does_not_fit_is_refused() -> None:
    with pytest.raises(LimitError, match="1 bytes too long"):
        pad(bytes(13), 16, what="content")


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        bytes(15),
        bytes(17),
        b"\x00\x00\x00\x0d" + bytes(12),
        b"\xff\xff\xff\xff" + bytes(12),
        b"\x00\x00\x00\x01" + bytes(11) + b"\x01",
        b"\x00\x00\x00\x01\x00\x01" + bytes(10),
    ],
)
def test_padding_of_another_size_or_not_of_zeros_is_refused(padded: bytes) -> None:
    with pytest.raises(MalformedError):
        unpad(padded, 16, what="content")
