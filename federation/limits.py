"""Token buckets: how often somebody may come, by address or by key."""

import ipaddress
from functools import lru_cache
from typing import Final

from protocol.errors import LimitError

#: So many callers are remembered at most; the one that came longest ago is forgotten first.
CAPACITY: Final = 10_000


class Buckets:
    """A bucket of `burst` tokens for each key, filled again at `per_minute`."""

    def __init__(self, *, per_minute: int, burst: int | None = None, capacity: int = CAPACITY) -> None:
        self._per_ms: Final = per_minute / 60_000
        self._burst: Final = float(per_minute if burst is None else burst)
        self._capacity: Final = capacity
        #: Key → tokens left, and when that was, in Unix milliseconds; who came last stands last.
        self._state: Final[dict[str, tuple[float, int]]] = {}

    def check(self, key: str, *, now_ms: int) -> None:
        """Return if `key` has a token left; nothing is taken. Raises: LimitError, saying when to come back."""
        self._left(key, now_ms)

    def take(self, key: str, *, now_ms: int) -> None:
        """Take one token of `key`. Raises: LimitError: there is none."""
        tokens = self._left(key, now_ms) - 1
        self._state.pop(key, None)
        if len(self._state) >= self._capacity:
            del self._state[next(iter(self._state))]
        self._state[key] = (tokens, now_ms)

    def give_back(self, key: str, *, now_ms: int) -> None:
        """Return one token to `key`, never above the burst."""
        self._state[key] = (min(self._burst, self._tokens(key, now_ms) + 1), now_ms)

    def _left(self, key: str, now_ms: int) -> float:
        tokens = self._tokens(key, now_ms)
        if tokens < 1:
            wait_s = (1 - tokens) / self._per_ms / 1000
            raise LimitError("too many requests: slow down", retry_at=int(now_ms / 1000 + wait_s) + 1)
        return tokens

    def _tokens(self, key: str, now_ms: int) -> float:
        tokens, at_ms = self._state.get(key, (self._burst, now_ms))
        if now_ms < at_ms:  # the clock was set back: the bucket fills from now on
            self._state[key] = tokens, now_ms
        return min(self._burst, tokens + max(0, now_ms - at_ms) * self._per_ms)


@lru_cache(4096)
def address_key(address: str) -> str:
    """Return what an address is limited by: itself, or its /64, of which one host has all in IPv6."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)).network_address)
