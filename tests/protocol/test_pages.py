"""What snapshot pages promise beyond their vectors (test_set_vectors.py)."""

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.commitments import Opening, check_opening, commit
from protocol.encoding import b64
from protocol.errors import LimitError, MalformedError, MeshError, UnverifiedError
from protocol.heads import SetHead, head_hash, open_head, sign_head, size_bucket
from protocol.pages import (
    MAX_INFLATED,
    PAGE_ENTRIES,
    IncompleteError,
    Page,
    decode_page,
    encode_page,
    open_pages,
    page_header,
    snapshot,
)
from protocol.signing import SigningKey

KEY = SigningKey(b"k" * 32)
AUDIENCE = b64(b"a" * 32)
ORIGIN = "https://aurora.example"
NOW = 1_800_000_000

openings = st.builds(
    Opening, salt=st.binary(min_size=16, max_size=16), body=st.text(max_size=80).map(lambda text: text.encode())
)


def some(count: int) -> list[Opening]:
    return [Opening(salt=number.to_bytes(16, "big"), body=b'{"number":%d}' % number) for number in range(count)]


def head_of(entries: list[Opening]) -> SetHead:
    made = snapshot("offers", entries)
    return SetHead(
        origin=ORIGIN,
        audience=AUDIENCE,
        kind="offers",
        seq=1,
        shards=made.shards,
        size_bucket=made.size_bucket,
        issued_at=NOW,
        not_after=NOW + 60,
    )


@pytest.mark.slow
@given(st.lists(openings, max_size=12), st.integers(0, 15), st.integers(0, 500), st.integers(1, 20))
def test_a_page_is_what_was_encoded(entries: list[Opening], shard: int, number: int, more: int) -> None:
    of = min(number + more, 528)
    page = Page(shard=shard, number=min(number, of - 1), of=of, entries=tuple(entries))
    assert decode_page(encode_page(page)) == page


@pytest.mark.slow
@given(st.lists(openings, max_size=20, unique=True), st.randoms())
def test_the_root_does_not_depend_on_the_order_of_entries(entries: list[Opening], chance: object) -> None:
    shuffled = list(entries)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert snapshot("offers", entries) == snapshot("offers", shuffled)


@pytest.mark.slow
@given(st.lists(openings, max_size=20, unique=True))
def test_a_snapshot_opens_to_the_set_it_was_made_of(entries: list[Opening]) -> None:
    pages = [decode_page(data) for data in snapshot("offers", entries).pages]
    found = open_pages(head_of(entries), pages)
    assert {one.opening for one in found} == set(entries)
    for one in found:
        check_opening(one.commitment, "offer", one.opening)


@pytest.mark.parametrize("count", [0, 1, PAGE_ENTRIES, PAGE_ENTRIES + 1, 3 * PAGE_ENTRIES])
def test_a_set_is_cut_into_full_pages(count: int) -> None:
    made = snapshot("offers", some(count))
    pages = [decode_page(data) for data in made.pages]
    assert [len(page.entries) for page in pages[:-1]] == [PAGE_ENTRIES] * (len(pages) - 1)
    assert sum(len(page.entries) for page in pages) == count
    assert made.size_bucket == size_bucket(count)
    assert len(open_pages(head_of(some(count)), pages)) == count


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_page_with_any_byte_changed_never_shows_another_set(data: st.DataObject) -> None:
    entries = some(5)
    whole = snapshot("offers", entries).pages[0]
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    try:
        found = open_pages(head_of(entries), [decode_page(changed)])
    except MeshError:
        return
    # zstd can say one text in several ways: then it is the same set, byte for byte.
    assert {one.opening for one in found} == set(entries)


def test_every_changed_byte_of_a_page_header_and_of_a_head_is_refused() -> None:
    entries = some(3)
    whole = snapshot("offers", entries).pages[0]
    for at in range(20):
        with pytest.raises(MeshError):
            open_pages(head_of(entries), [decode_page(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])])
    signed = sign_head(head_of(entries), KEY)
    for at, letter in enumerate(signed):
        other = "A" if letter != "A" else "B"
        with pytest.raises(MeshError):
            open_head(
                signed[:at] + other + signed[at + 1 :], KEY.public, origin=ORIGIN, audience=AUDIENCE, kind="offers"
            )


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(64 * MAX_INFLATED))
    page = Page(shard=0, number=0, of=1, entries=())
    with pytest.raises(LimitError):
        decode_page(page_header(page, 64 * MAX_INFLATED) + bomb)
    with pytest.raises(MalformedError, match="does not hold what the header declares"):
        decode_page(page_header(page, 100) + bomb)


def test_a_frame_that_asks_for_a_large_window_is_refused() -> None:
    # Frame header without the single-segment flag: window descriptor 0x70 is 16 MiB, 0x68 is 8 MiB.
    block = (len(b"{}") << 3 | 1).to_bytes(3, "little") + b"{}"
    place = page_header(Page(shard=0, number=0, of=1, entries=()), 2)
    assert not decode_page(place + bytes.fromhex("28b52ffd806802000000") + block).entries
    with pytest.raises(MalformedError, match="does not hold what the header declares"):
        decode_page(place + bytes.fromhex("28b52ffd807002000000") + block)


def test_a_page_longer_than_any_page_is_refused_unread() -> None:
    with pytest.raises(LimitError):
        decode_page(bytes(MAX_INFLATED + 65_537))


def test_an_entry_that_occurs_twice_or_is_too_long_is_a_mistake_of_the_publisher() -> None:
    with pytest.raises(ValueError, match="twice"):
        snapshot("offers", some(1) * 2)
    with pytest.raises(ValueError, match="8192"):
        snapshot("offers", [Opening(salt=bytes(16), body=b"x" * 8193)])


def test_a_set_over_its_limit_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.pages.MAX_ENTRIES", 3)
    assert snapshot("offers", some(3)).size_bucket == 4
    with pytest.raises(LimitError):
        snapshot("offers", some(4))


def test_a_body_over_the_limit_of_bytes_is_refused_even_with_few_characters() -> None:
    text = f'{{"entries":[{{"body":"{"ü" * 4097}","salt":"{b64(bytes(16))}"}}]}}'
    frame = zstandard.ZstdCompressor().compress(text.encode())
    with pytest.raises(MalformedError, match="8192"):
        decode_page(page_header(Page(shard=0, number=0, of=1, entries=()), len(text.encode())) + frame)


def test_the_kind_of_a_set_is_part_of_every_commitment() -> None:
    entries = some(2)
    assert snapshot("offers", entries).shards != snapshot("keys", entries).shards
    with pytest.raises(UnverifiedError):
        check_opening(commit("offer", entries[0]), "key-entry", entries[0])


def test_entries_of_a_signed_set_without_one_of_its_pages_are_incomplete() -> None:
    entries = some(PAGE_ENTRIES + 1)
    pages = [decode_page(data) for data in snapshot("offers", entries).pages]
    with pytest.raises(IncompleteError):
        open_pages(head_of(entries), pages[1:])


def test_the_hash_of_a_head_is_that_of_its_payload() -> None:
    first, second = sign_head(head_of(some(1)), KEY), sign_head(head_of(some(1)), SigningKey(b"o" * 32))
    assert first != second
    assert head_hash(first) == head_hash(second)
    assert head_hash(first) != head_hash(sign_head(head_of(some(2)), KEY))


def test_a_salt_is_sixteen_bytes() -> None:
    with pytest.raises(ValueError, match="16"):
        Opening(salt=b"short", body=b"")
