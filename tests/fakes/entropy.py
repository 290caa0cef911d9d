"""Randomness that is the same in every run."""

import hashlib
import itertools


class SeededEntropy:
    """An endless stream of bytes that depends on `seed` alone."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = f"entropy {seed} ".encode()
        self._calls = itertools.count()

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        return hashlib.shake_256(self._seed + str(next(self._calls)).encode()).digest(size)
