"""Tiles and bundles of the own logs that were read lately: they never change, so memory is as good as the store.

The checkpoint is not kept: one that is older than what another process has shown meanwhile looks like a log that went
back.
"""

from collections import OrderedDict
from typing import Final

from protocol.tlog.tiles import Bundle, Tile

#: Some 500 full tiles, and at least the four largest bundles.
MOST_BYTES: Final = 4 * 2**20

Key = tuple[int, Tile | Bundle]


class TileMemory:
    """At most `most_bytes` of what was read last, by the number of its log and its name."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes: Final = most_bytes
        self._kept: Final[OrderedDict[Key, bytes]] = OrderedDict()
        self.size_bytes = 0

    def get(self, key: Key) -> bytes | None:
        """Return what is kept under `key`."""
        data = self._kept.get(key)
        if data is not None:
            self._kept.move_to_end(key)
        return data

    def put(self, key: Key, data: bytes) -> None:
        """Keep `data`, which a signed checkpoint covers, and forget what was not asked for the longest."""
        self.size_bytes += len(data) - len(self._kept.pop(key, b""))
        self._kept[key] = data
        while self.size_bytes > self._most_bytes:
            _, gone = self._kept.popitem(last=False)
            self.size_bytes -= len(gone)
