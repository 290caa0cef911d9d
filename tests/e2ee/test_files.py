"""A file comes out whole or not at all, whatever happens to its ciphertext."""

import hashlib
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import nacl.bindings as sodium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.e2ee.files import (
    CHUNK_BYTES,
    HEADER_BYTES,
    FileChangedError,
    FileDamagedError,
    FileOpener,
    FileSealer,
    padded_size,
    sealed_size,
)
from protocol.e2ee.frames import MAX_FILE_BYTES, File
from protocol.encoding import b64
from protocol.errors import LimitError
from tests.vectors.generate.files import AAD, CHUNK, HEADER, KEY, content, edited

VECTORS = Path(__file__).parents[1] / "vectors"


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / name).read_bytes())["cases"]
    return found


def sealed(data: bytes) -> tuple[bytes, File]:
    sealer = FileSealer(len(data), key=KEY, header=HEADER)
    ciphertext = b"".join(sealer.pieces(io.BytesIO(data).read))
    return ciphertext, frame(len(data), sealer.hash)


def frame(size: int, digest: str) -> File:
    return File(
        blob="A" * 22,
        name="a.bin",
        media_type="application/octet-stream",
        size=size,
        hash=digest,
        key=b64(KEY),
        header=b64(HEADER),
        expires_at=1,
    )


def opened(ciphertext: bytes, file: File) -> bytes:
    return b"".join(FileOpener(file).pieces(io.BytesIO(ciphertext).read))


@pytest.mark.parametrize("case", cases("files/streams.json"), ids=lambda case: case["name"])
def test_a_stream_ends_as_the_vectors_say(case: dict[str, Any]) -> None:
    size, file = case["size"], frame(case["size"], case["hash"])
    ciphertext = edited(size, padded_size(size), case.get("edit", {}))
    if "result" in case:
        assert sealed(content(size))[0] == ciphertext
        assert opened(ciphertext, file) == content(size)
        return
    with pytest.raises(FileDamagedError):
        opened(ciphertext, file)


@pytest.mark.parametrize("case", cases("files/sizes.json"), ids=lambda case: case["name"])
def test_a_size_is_padded_as_the_vectors_say(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(LimitError):
            padded_size(case["size"])
        return
    size = case["size"]
    assert {"padded": padded_size(size), "sealed": sealed_size(size)} == case["result"]


@given(st.integers(4_096, MAX_FILE_BYTES))
def test_padding_adds_at_most_an_eighth_and_gives_few_sizes(size: int) -> None:
    padded = padded_size(size)
    assert size <= padded <= size * 1.125
    assert padded_size(padded) == padded
    assert padded.bit_count() <= 6


@given(st.binary(max_size=300), st.integers(0, 2), st.data())
def test_no_flipped_bit_survives(tail: bytes, chunks: int, data: st.DataObject) -> None:
    plain = content(chunks * CHUNK_BYTES) + tail
    ciphertext, file = sealed(plain)
    assert opened(ciphertext, file) == plain
    place = data.draw(st.integers(0, len(ciphertext) - 1))
    bit = data.draw(st.integers(0, 7))
    with pytest.raises(FileDamagedError):
        opened(ciphertext[:place] + bytes([ciphertext[place] ^ (1 << bit)]) + ciphertext[place + 1 :], file)


def test_another_hash_another_key_and_another_header_are_refused() -> None:
    ciphertext, file = sealed(content(70_000))
    other = b64(bytes(32))
    for changed in ({"hash": other}, {"key": other}, {"header": b64(bytes(HEADER_BYTES))}, {"size": 69_000}):
        fields = {name: getattr(file, name) for name in file.__struct_fields__} | changed
        with pytest.raises(FileDamagedError):
            opened(ciphertext, File(**fields))


def test_libsodiums_own_start_of_a_stream_is_read() -> None:
    state = sodium.crypto_secretstream_xchacha20poly1305_state()
    header = sodium.crypto_secretstream_xchacha20poly1305_init_push(state, KEY)
    piece = sodium.crypto_secretstream_xchacha20poly1305_push(state, content(4_096), AAD, 3)
    digest = b64(hashlib.sha256(piece).digest())
    fields = {name: getattr(frame(4_096, digest), name) for name in File.__struct_fields__}
    assert opened(piece, File(**fields | {"header": b64(header)})) == content(4_096)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_file_that_changes_while_it_is_read_is_not_sent(more: int) -> None:
    sealer = FileSealer(CHUNK + 5, key=KEY, header=HEADER)
    with pytest.raises(FileChangedError):
        list(sealer.pieces(io.BytesIO(content(CHUNK + 5 + more)).read))


def test_a_large_file_is_never_in_memory() -> None:
    size = 24 * 2**20
    left = [size]

    def read(count: int) -> bytes:
        taken = min(count, left[0])
        left[0] -= taken
        return bytes(taken)

    tracemalloc.start()
    sealer = FileSealer(size, key=KEY, header=HEADER)
    total = sum(len(piece) for piece in sealer.pieces(read))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == sealed_size(size)
    assert peak < 2 * 2**20


@pytest.mark.parametrize(("key", "header"), [(31, 24), (32, 23)])
def test_entropy_of_another_length_is_a_mistake(key: int, header: int) -> None:
    with pytest.raises(ValueError, match="entropy"):
        FileSealer(1, key=bytes(key), header=bytes(header))
