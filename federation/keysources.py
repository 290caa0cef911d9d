"""Every set of offers that is mirrored has a key directory beside it: same peer, same audience, same key."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from .sets import Source, SourceBook


class WithKeys:
    """The sources of a book, and the key directories beside them."""

    def __init__(self, book: SourceBook) -> None:
        self._book: Final = book

    async def sources(self) -> Sequence[Source]:
        """Return them all."""
        found = await self._book.sources()
        return [*found, *(replace(one, kind="keys") for one in found if one.kind == "offers")]
