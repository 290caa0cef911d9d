"""Looking up a few entries of a large directory reads the pages on which they stand, and no others."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import msgspec
import pytest

from node.services import shelves
from node.services.shelves import PORTION, Shelves
from protocol.commitments import Opening, commit
from protocol.decoys import Crowd, DecoyPolicy, advance, render_decoy
from protocol.encoding import b64, unb64
from protocol.errors import LimitError, MissingError
from protocol.heads import SetHead
from protocol.ids import id_bytes
from protocol.keyentries import KeyEntry, encode_entry, lookup_prefix
from protocol.keyproof import PlacedEntry
from protocol.pages import PAGE_ENTRIES, Snapshot, snapshot
from protocol.tlog.merkle import leaf_hash, verify_inclusion

AUDIENCE = b64(bytes(32))
PLACE = ("https://aurora.example", AUDIENCE)
ENTRIES = 3 * PAGE_ENTRIES


class Directory:
    """A directory of one decoy under many keys, and what was read of it."""

    def __init__(self, entries: Sequence[KeyEntry]) -> None:
        openings = [
            Opening(salt=sha256(each.label.encode()).digest()[:16], body=encode_entry(each)) for each in entries
        ]
        self.set: Snapshot = snapshot("keys", openings)
        self.pages = list(self.set.pages)
        self.read_pages: list[int] = []

    @property
    def head(self) -> SetHead:
        return SetHead(
            origin=PLACE[0],
            audience=AUDIENCE,
            kind="keys",
            seq=1,
            shards=self.set.shards,
            size_bucket=self.set.size_bucket,
            issued_at=0,
            not_after=1,
        )

    async def read(self, numbers: Sequence[int]) -> Sequence[bytes]:
        there = [number for number in numbers if number < len(self.pages)]
        self.read_pages += there
        return [self.pages[number] for number in there]


def entries(first: int = 0, count: int = ENTRIES) -> list[KeyEntry]:
    crowd = advance(Crowd(), {}, now=1_800_000_000, entropy=bytes(32), policy=DecoyPolicy())
    one = render_decoy(crowd.decoys[0], AUDIENCE)
    names = [sha256(number.to_bytes(4, "big")).digest() for number in range(first, first + count)]
    return [msgspec.structs.replace(one, label=b64(name[:16]), identity_key=b64(name)) for name in names]


@pytest.fixture(scope="module")
def listed() -> list[KeyEntry]:
    return entries()


@pytest.fixture
def directory(listed: list[KeyEntry]) -> Directory:
    return Directory(listed)


async def find(kept: Shelves, directory: Directory, prefix: int, bits: int = 16) -> tuple[PlacedEntry, ...]:
    return await kept.find(PLACE, directory.head, directory.read, prefix=prefix, shift=16 - bits)


async def test_a_second_look_reads_the_pages_of_its_entries_alone(directory: Directory, listed: list[KeyEntry]) -> None:
    kept = Shelves()
    wanted = listed[5]
    prefix = int(lookup_prefix(wanted.identity_key, 16), 16)
    first = await find(kept, directory, prefix)
    assert set(directory.read_pages) == set(range(len(directory.pages)))
    assert len(directory.pages) < PORTION
    directory.read_pages.clear()
    again = await find(kept, directory, prefix)
    assert again == first
    assert [each.body.encode() for each in again] == [encode_entry(wanted)]
    assert directory.read_pages == [again[0].index // PAGE_ENTRIES]


async def test_entries_come_with_their_way_to_the_root_of_the_head(directory: Directory) -> None:
    kept = Shelves()
    quarters = [await find(kept, directory, number << 14, 2) for number in range(4)]
    placed = [each for quarter in quarters for each in quarter]
    assert sorted(each.index for each in placed) == list(range(ENTRIES))
    for each in placed[:: PAGE_ENTRIES // 4]:
        opening = Opening(salt=id_bytes(each.salt, what="salt"), body=each.body.encode())
        verify_inclusion(
            unb64(directory.head.shards[0]),
            leaf=leaf_hash(commit("key-entry", opening)),
            index=each.index,
            size=each.size,
            proof=[unb64(one) for one in each.proof],
        )


async def test_a_prefix_that_is_too_short_for_the_directory_is_refused(directory: Directory) -> None:
    with pytest.raises(LimitError, match="more bits"):
        await find(Shelves(), directory, 0, 0)


def _other(directory: Directory) -> None:
    directory.pages = list(Directory(entries(first=ENTRIES)).pages)


def _shorter(directory: Directory) -> None:
    directory.pages = directory.pages[:-1]


def _gone(directory: Directory) -> None:
    directory.pages = []


@pytest.mark.parametrize("change", [_other, _shorter, _gone])
@pytest.mark.parametrize("indexed", [False, True])
async def test_pages_that_are_not_those_of_the_head_are_not_shown(
    directory: Directory, change: Callable[[Directory], None], *, indexed: bool
) -> None:
    kept = Shelves()
    if indexed:
        await find(kept, directory, 0, 2)
    change(directory)
    with pytest.raises(MissingError, match="is changing"):
        await find(kept, directory, 0, 2)


async def test_the_indexes_asked_for_last_are_kept_and_no_more(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "MAX_INDEXED", 2 * ENTRIES)
    kept = Shelves()
    for origin in ("a", "b", "a", "c"):
        await kept.find((origin, AUDIENCE), directory.head, directory.read, prefix=0, shift=12)
    assert [origin for origin, _ in kept._kept] == ["a", "c"]
