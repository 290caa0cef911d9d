"""Finds a few entries in a large key directory: an index is made once for every content, and pages are read by need.

Only the index stays in memory. Pages are taken apart in threads, because a whole directory may be a hundred megabytes.
Source: docs/protocol/13-key-directory.md §7.
"""

import asyncio
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from federation.headproofs import KIND
from protocol.commitments import commit, commit_all
from protocol.encoding import b64
from protocol.errors import LimitError, MissingError
from protocol.heads import ENTRY_PURPOSE, SetHead
from protocol.keyentries import KeyEntry, lookup_prefix
from protocol.keyproof import PlacedEntry
from protocol.pages import decode_page
from protocol.tlog.merkle import Tree, leaf_hash

MAX_ANSWERED: Final = 512
#: Entries of all directories whose indexes are kept; each costs about 150 bytes.
MAX_INDEXED: Final = 2**17
#: Pages that are read together while an index is made.
PORTION: Final = 8

#: Reads the pages of these numbers that there are, in order.
ReadPages = Callable[[Sequence[int]], Awaitable[Sequence[bytes]]]
Place = tuple[str, str]


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """Where entries stand: by page their shard, the index of the first there and all look-up prefixes, and trees."""

    shards: tuple[str, ...]
    pages: tuple[tuple[int, int, Sequence[int]], ...]
    trees: Mapping[int, Tree]

    @property
    def size(self) -> int:
        """Number of entries."""
        return sum(len(prefixes) for _, _, prefixes in self.pages)

    def find(self, prefix: int, shift: int) -> dict[int, list[int]]:
        """Return which entries of which pages begin with the bits of `prefix` above `shift`. Raises: LimitError."""
        found = {
            number: [at for at, one in enumerate(prefixes) if one >> shift == prefix >> shift]
            for number, (_, _, prefixes) in enumerate(self.pages)
        }
        if sum(map(len, found.values())) > MAX_ANSWERED:
            raise LimitError(f"an answer has at most {MAX_ANSWERED} entries: ask with more bits")
        return {number: each for number, each in found.items() if each}


class Shelves:
    """The indexes of the directories asked for last."""

    def __init__(self) -> None:
        self._kept: Final[OrderedDict[Place, Index]] = OrderedDict()
        self._turn: Final = asyncio.Lock()

    async def find(
        self, place: Place, head: SetHead, read: ReadPages, *, prefix: int, shift: int
    ) -> tuple[PlacedEntry, ...]:
        """Return the entries with a look-up prefix. Raises: LimitError; MissingError: pages are not those of `head`."""
        index = await self._index(place, head, read)
        found = index.find(prefix, shift)
        pages = await read(sorted(found))
        if len(pages) != len(found):
            raise changing()
        return await asyncio.to_thread(_take, index, found, pages)

    async def _index(self, place: Place, head: SetHead, read: ReadPages) -> Index:
        async with self._turn:  # one directory at a time is in memory, and each is taken apart once
            kept = self._kept.get(place)
            if kept is None or kept.shards != head.shards:
                kept = self._kept[place] = await _make(head, read)
            self._kept.move_to_end(place)
            while len(self._kept) > 1 and sum(one.size for one in self._kept.values()) > MAX_INDEXED:
                self._kept.popitem(last=False)
            return kept


def changing() -> MissingError:
    """Return the refusal while the pages held are not those of the proven head."""
    return MissingError("this directory is changing: try again in a moment", code="not-proven")


async def _make(head: SetHead, read: ReadPages) -> Index:
    pages: list[tuple[int, int, Sequence[int]]] = []
    leaves: dict[int, list[bytes]] = {shard: [] for shard in range(len(head.shards))}
    while came := await read(range(len(pages), len(pages) + PORTION)):
        await asyncio.to_thread(_list, came, pages, leaves)
    trees = {shard: Tree(each) for shard, each in leaves.items()}
    if tuple(b64(trees[shard].root) for shard in sorted(trees)) != head.shards:
        raise changing()
    return Index(shards=head.shards, pages=tuple(pages), trees=trees)


def _list(came: Sequence[bytes], pages: list[tuple[int, int, Sequence[int]]], leaves: dict[int, list[bytes]]) -> None:
    for data in came:
        page = decode_page(data)
        shard = leaves.setdefault(page.shard, [])
        identities = (msgspec.json.decode(one.body, type=KeyEntry).identity_key for one in page.entries)
        prefixes = array("H", [int(lookup_prefix(each, 16), 16) for each in identities])
        pages.append((page.shard, len(shard), prefixes))
        shard += map(leaf_hash, commit_all(ENTRY_PURPOSE[KIND], page.entries))


def _take(index: Index, found: Mapping[int, Sequence[int]], pages: Sequence[bytes]) -> tuple[PlacedEntry, ...]:
    taken = []
    for (number, places), data in zip(sorted(found.items()), pages, strict=True):
        shard, first, prefixes = index.pages[number]
        entries, tree = decode_page(data).entries, index.trees[shard]
        if len(entries) != len(prefixes):
            raise changing()
        for at in places:
            opening = entries[at]
            if leaf_hash(commit(ENTRY_PURPOSE[KIND], opening)) != tree.subtree(0, first + at):
                raise changing()
            taken.append(
                PlacedEntry(
                    body=opening.body.decode(),
                    salt=b64(opening.salt),
                    shard=shard,
                    index=first + at,
                    size=tree.size,
                    proof=tuple(b64(each) for each in tree.inclusion_proof(first + at)),
                )
            )
    return tuple(taken)
