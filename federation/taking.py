"""Takes in the set of a head, in portions of pages: each is checked in a thread before the next is asked for.

A set may be the largest that a peer dares to sign: what is held of it meanwhile is bounded, and nothing else waits for
its digests and signatures. Source: docs/protocol/12-set-heads.md §8–§11.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, ParamSpec, TypeVar

import msgspec

from protocol.errors import LimitError, MalformedError, MissingError
from protocol.heads import SetHead, SetKind
from protocol.offerreading import open_offers
from protocol.offers import Offer
from protocol.pages import MAX_PAGE_BYTES, PAGE_ENTRIES, IncompleteError, PageCheck, declared_size, decode_page

from .sets import Contents, Fetch, Paged, Pages, Source, page_path

P = ParamSpec("P")
T = TypeVar("T")

#: What inflates to no more is opened faster than a thread begins.
SMALL: Final = 16 * 1024
#: Pages that are together about as large are opened in one go: their thread is not begun for each of them.
PORTION: Final = 1024 * 1024
#: Of the bodies of one set together.
MAX_SET_BYTES: Final = 96 * 1024 * 1024


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A whole set that agrees with its head: the pages as they came, and what they hold.

    `bodies` are those of a kind that is looked at whole.
    """

    pages: tuple[bytes, ...]
    entries: int
    offers: tuple[Offer, ...] = ()
    bodies: tuple[bytes, ...] = ()


class _Offers:
    """The offers of a set, each in form and with an id of its own."""

    def __init__(self) -> None:
        self.offers: Final[list[Offer]] = []
        self._ids: Final[set[str]] = set()

    def take(self, bodies: Sequence[bytes]) -> None:
        try:
            found = open_offers(bodies)
        except MalformedError as error:
            raise IncompleteError(str(error)) from None
        self.offers.extend(found)
        self._ids.update([each.offer_id for each in found])
        if len(self._ids) != len(self.offers):
            raise IncompleteError("two offers of the set have one id")


class _Bodies:
    """The bodies of a set of a kind that is small."""

    def __init__(self) -> None:
        self.bodies: Final[list[bytes]] = []

    def take(self, bodies: Sequence[bytes]) -> None:
        self.bodies.extend(bodies)


class _Unread:
    """A set that is kept for others."""

    def take(self, bodies: Sequence[bytes]) -> None:
        pass


class Taking:
    """Fetches whole sets; `contents` and `paged` say what must hold for kinds other than offers."""

    def __init__(self, fetch: Fetch, contents: Mapping[SetKind, Contents], paged: Mapping[SetKind, Paged]) -> None:
        self._fetch: Final = fetch
        self._contents: Final = contents
        self._paged: Final = paged

    async def whole(self, source: Source, head: SetHead) -> Taken:
        """Return the whole set that a verified head signs.

        Raises: IncompleteError; LimitError: it is too large to be mirrored; MeshError: of a fetch, or what its kind
            says about an entry.
        """
        pages = await self._begin(source, head)
        check = PageCheck(head)
        most = head.size_bucket // PAGE_ENTRIES + len(head.shards)
        came: list[bytes] = []
        size = 0
        while not check.is_whole:
            portion = await self._portion(source, head.seq, len(came), of=check.of)
            came += portion
            size += await _apart(sum(map(_size, portion)) > SMALL, _open, portion, check, pages)
            if check.of > most:
                raise IncompleteError("snapshot has more pages than its size needs")
            if size > MAX_SET_BYTES:
                raise LimitError(f"a set of more than {MAX_SET_BYTES} bytes is not mirrored")
        return Taken(
            pages=tuple(came),
            entries=await _apart(len(came) > 1, check.finish),
            offers=tuple(pages.offers) if isinstance(pages, _Offers) else (),
            bodies=tuple(pages.bodies) if isinstance(pages, _Bodies) else (),
        )

    async def _begin(self, source: Source, head: SetHead) -> Pages:
        if source.kind == "offers":
            return _Offers()
        kind = self._contents.get(source.kind) or self._paged.get(source.kind)
        if kind is not None:
            kind.check_size(head.size_bucket)
        if source.kind in self._paged:
            return await self._paged[source.kind].begin(source)
        return _Bodies() if kind is not None else _Unread()

    async def _portion(self, source: Source, seq: int, first: int, *, of: int) -> list[bytes]:
        """Return pages from `first` on: one while their number is not known, then as many as are worth a thread."""
        pages = [await self._page(source, seq, first)]
        while first + len(pages) < of and sum(map(_size, pages)) < PORTION:
            pages.append(await self._page(source, seq, first + len(pages)))
        return pages

    async def _page(self, source: Source, seq: int, number: int) -> bytes:
        try:
            path = page_path(source.audience, source.kind, seq, number)
            answer = await self._fetch(source.peer, path, "", limit=MAX_PAGE_BYTES, signed=False)
        except MissingError:
            raise IncompleteError("a page of the snapshot is missing") from None
        return answer.body


async def _apart(large: bool, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:  # noqa: FBT001
    """Return what `work` returns, done in a thread when it is large."""
    return await asyncio.to_thread(work, *args, **kwargs) if large else work(*args, **kwargs)


def _size(page: bytes) -> int:
    """Return what a page takes, or says that it will take."""
    return max(len(page), declared_size(page))


def _open(portion: Sequence[bytes], check: PageCheck, pages: Pages) -> int:
    """Check the next pages, and return the bytes of their bodies."""
    size = 0
    for data in portion:
        try:
            page = decode_page(data)
        except (MalformedError, LimitError) as error:
            raise IncompleteError(str(error)) from None
        check.add(page)
        bodies = [each.body for each in page.entries]
        pages.take(bodies)
        size += sum(map(len, bodies))
    return size
