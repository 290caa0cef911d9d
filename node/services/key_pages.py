"""What must hold for the directory of a peer before it is mirrored: every entry holds, and none went back.

Its pages are looked at in threads, and only what changed is verified: a directory may have a hundred thousand
certificates. Source: docs/protocol/13-key-directory.md §3.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from federation.ports import Clock, Store, where
from federation.rows import MirrorPageRow
from federation.sets import Source
from protocol.errors import LimitError, MalformedError, UnverifiedError
from protocol.keyentries import EntrySet, HeldEntry, held_entry
from protocol.pages import IncompleteError, decode_page

#: Entries that this node mirrors of one peer at most.
MAX_MIRRORED: Final = 2**16


class KeyContents:
    """What must hold for a set of kind `keys`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    def check_size(self, bucket: int) -> None:
        """Return if a directory of this size is mirrored. Raises: LimitError."""
        if bucket > MAX_MIRRORED:
            raise LimitError(f"a key directory of more than {MAX_MIRRORED} entries is not mirrored")

    async def begin(self, source: Source) -> "KeyPages":
        """Return what looks at the pages of a set in place of the one held now."""
        place = where(origin=source.peer, audience=source.audience, kind=source.kind)
        async with self._store.read() as rows:
            held = [page.data for page in await rows.find(MirrorPageRow, place)]
        before = await asyncio.to_thread(_held, held) if held else {}
        return KeyPages(EntrySet(audience=source.audience, now=self._clock.now(), before=before))


class KeyPages:
    """The pages of one directory."""

    def __init__(self, entries: EntrySet) -> None:
        self._entries: Final = entries

    def take(self, bodies: Sequence[bytes]) -> None:
        """Return if these are entries that may stand beside those before. Raises: IncompleteError."""
        try:
            for body in bodies:
                self._entries.take(body)
        except (MalformedError, UnverifiedError) as error:
            raise IncompleteError(str(error)) from None


def _held(pages: Sequence[bytes]) -> dict[str, HeldEntry]:
    return dict(held_entry(one.body) for data in pages for one in decode_page(data).entries)
