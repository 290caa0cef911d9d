"""What a disk may hold after a power cut: all that was synced, and of the rest any part.

A write is torn at sectors of 512 bytes, each of which is there, is not, or (rarely) is neither; bytes beside a write
never change, which is what SQLite assumes of a disk too ("powersafe overwrite"). Names of files that were made or taken
away since the directory was synced may be as before.
"""

import random
from pathlib import Path
from typing import Final, Literal

from .recorder import Created, Deleted, Step, Synced, Truncated, Written

SECTOR: Final = 512
Style = Literal["nothing", "everything", "some", "first", "last", "noise"]
#: Which of the writes since the last sync survive.
STYLES: Final[tuple[Style, ...]] = ("nothing", "everything", "some", "first", "last", "noise")


class _File:
    """Bytes on the disk, and what was asked for since the last sync."""

    def __init__(self) -> None:
        self.bytes: Final = bytearray()
        self.asked: Final[list[Written | Truncated]] = []

    def sync(self) -> None:
        for step in self.asked:
            _apply(self.bytes, step)
        self.asked.clear()


class Disk:
    """One directory: `step` goes on, `image` says what may be found if the power goes now."""

    def __init__(self) -> None:
        self._named: Final[dict[str, _File]] = {}
        self._named_durably: Final[dict[str, _File]] = {}

    def step(self, step: Step) -> None:
        """Take over what happened."""
        match step:
            case Created(name):
                self._named[name] = _File()
            case Written(name) | Truncated(name):
                self._named[name].asked.append(step)
            case Synced(name, names):
                self._named[name].sync()
                if names:
                    self._sync_names()
            case Deleted(name, synced):
                del self._named[name]
                if synced:
                    self._sync_names()
            case _:
                pass

    def _sync_names(self) -> None:
        self._named_durably.clear()
        self._named_durably.update(self._named)

    def image(self, dice: random.Random) -> dict[str, bytes]:
        """Return files by name."""
        style = dice.choice(STYLES)
        found = {}
        for name in sorted(self._named.keys() | self._named_durably.keys()):
            file = self._one(name, style, dice)
            if file is not None:
                found[name] = _survivors(file, style, dice)
        return found

    def _one(self, name: str, style: Style, dice: random.Random) -> _File | None:
        before, now = self._named_durably.get(name), self._named.get(name)
        if style == "nothing":
            return before
        return now if style == "everything" or dice.random() < 0.5 else before


def write(image: dict[str, bytes], folder: Path) -> None:
    """Put an image where a store can open it."""
    for name, data in image.items():
        (folder / name).write_bytes(data)


def _apply(data: bytearray, step: Written | Truncated) -> None:
    if isinstance(step, Truncated):
        _resize(data, step.size)
        return
    if step.offset > len(data):
        _resize(data, step.offset)
    data[step.offset : step.offset + len(step.data)] = step.data


def _resize(data: bytearray, size: int) -> None:
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


def _survivors(file: _File, style: Style, dice: random.Random) -> bytes:
    if style == "nothing" or not file.asked:
        return bytes(file.bytes)
    data, asked = bytearray(file.bytes), file.asked
    torn = dice.randrange(len(asked)) if style in {"first", "last"} else -1
    share = dice.random()
    for at, step in enumerate(asked):
        whole = style == "everything" or (style == "first" and at < torn) or (style == "last" and at > torn)
        gone = (style == "first" and at > torn) or (style == "last" and at < torn)
        if whole:
            _apply(data, step)
        elif not gone:
            _tear(data, step, share, dice, noisy=style == "noise")
    return bytes(data)


def _tear(data: bytearray, step: Written | Truncated, share: float, dice: random.Random, *, noisy: bool) -> None:
    """Apply each sector of a step with the likelihood `share`."""
    if isinstance(step, Truncated):
        if dice.random() < share:
            _apply(data, step)
        return
    start, end = step.offset, step.offset + len(step.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        if dice.random() < share:
            part = step.data[start - step.offset : stop - step.offset]
            noise = noisy and dice.random() < 0.1
            _apply(data, Written(step.name, start, dice.randbytes(len(part)) if noise else part))
        start = stop
