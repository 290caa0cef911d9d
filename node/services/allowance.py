"""How often one key, such as a network address, may do something; kept in memory, bounded in size."""

from typing import Final

from federation.ports import Clock
from protocol.errors import LimitError

#: More keys than this are not told apart: the oldest is forgotten.
MAX_KEYS: Final = 20_000


class Allowance:
    """At most `most` uses per key within `per_s` seconds from the key's first use."""

    def __init__(self, clock: Clock, *, most: int, per_s: int) -> None:
        self._clock = clock
        self._most = most
        self._per_s = per_s
        self._used: dict[str, tuple[int, int]] = {}  # key: (start of its time, uses); in order of starts

    def use(self, key: str, *, what: str) -> None:
        """Count one use. Raises: LimitError: too many; `what` names them in the message."""
        now = self._clock.now()
        start, uses = self._used.get(key, (now, 0))
        if not start <= now < start + self._per_s:
            self._used.pop(key, None)
            start, uses = now, 0
        if uses >= self._most:
            raise LimitError(f"too many {what} from here", retry_at=start + self._per_s)
        if len(self._used) >= MAX_KEYS and key not in self._used:
            self._used.pop(next(iter(self._used)))
        self._used[key] = (start, uses + 1)
