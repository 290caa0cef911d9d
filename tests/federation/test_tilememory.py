"""What was read of the log lately is kept, within bounds."""

from federation.tilememory import TileMemory
from protocol.tlog.tiles import Bundle, Tile


def test_what_was_not_asked_for_the_longest_is_forgotten_first() -> None:
    memory = TileMemory(most_bytes=100)
    first, second, third = ((1, Tile(level=0, index=index, width=256)) for index in range(3))
    memory.put(first, b"a" * 50)
    memory.put(second, b"b" * 50)
    assert memory.get(first) == b"a" * 50
    memory.put(third, b"c" * 50)
    assert [memory.get(key) is not None for key in (first, second, third)] == [True, False, True]
    assert memory.size_bytes == 100


def test_the_same_twice_counts_once_and_what_is_too_large_is_not_kept() -> None:
    memory = TileMemory(most_bytes=100)
    key = 1, Bundle(index=0, width=256)
    for _ in range(3):
        memory.put(key, b"a" * 60)
    assert memory.size_bytes == 60
    memory.put(key, b"a" * 101)
    assert (memory.get(key), memory.size_bytes) == (None, 0)


def test_logs_and_kinds_of_one_number_are_apart() -> None:
    memory = TileMemory()
    memory.put((1, Tile(level=0, index=0, width=2)), b"tile")
    assert memory.get((2, Tile(level=0, index=0, width=2))) is None
    assert memory.get((1, Bundle(index=0, width=2))) is None
    assert memory.get((1, Tile(level=0, index=0, width=1))) is None
