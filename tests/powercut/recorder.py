"""Everything that SQLite does to the files of one directory, in order, written down by a virtual file system.

The files are written for real too: only the images of `disk` are made from what is written down.
"""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec


class Created(msgspec.Struct, frozen=True):
    """A file got a name."""

    name: str


class Written(msgspec.Struct, frozen=True):
    """Bytes were handed to the system."""

    name: str
    offset: int
    data: bytes


class Truncated(msgspec.Struct, frozen=True):
    """A file was cut to a size."""

    name: str
    size: int


class Synced(msgspec.Struct, frozen=True):
    """What was written to a file is on the disk; so are all names of the directory, if `names`."""

    name: str
    names: bool


class Deleted(msgspec.Struct, frozen=True):
    """A name was taken away, on the disk only if `synced`."""

    name: str
    synced: bool


class Acknowledged(msgspec.Struct, frozen=True):
    """Somebody was told that the transaction of this number is durable; transactions count from 1."""

    transaction: int


class Served(msgspec.Struct, frozen=True):
    """Somebody was shown this signed checkpoint of the log."""

    note: bytes


Step = Created | Written | Truncated | Synced | Deleted | Acknowledged | Served


class Recorder:
    """The steps of one database's life."""

    _numbers: Final = itertools.count()

    def __init__(self) -> None:
        self.steps: Final[list[Step]] = []
        self.name: Final = f"recorder-{next(self._numbers)}"
        self._names: Final[set[str]] = set()
        self._unsynced_names: Final[set[str]] = set()

    def opened(self, name: str, *, is_log: bool) -> None:
        """Take note of a file that may be new; SQLite syncs the directory with the first sync of a new log."""
        if name not in self._names:
            self._names.add(name)
            self.steps.append(Created(name))
            if is_log:
                self._unsynced_names.add(name)

    def synced(self, name: str) -> None:
        """Take note of a sync."""
        self.steps.append(Synced(name, name in self._unsynced_names))
        self._unsynced_names.discard(name)

    def deleted(self, name: str, *, synced: bool) -> None:
        """Take note of a name that is gone."""
        self._names.discard(name)
        self.steps.append(Deleted(name, synced))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let connections be opened over this recorder by its name while inside."""
        system = _FileSystem(self)
        try:
            yield
        finally:
            system.unregister()


_LOGS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


class _FileSystem(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Final = recorder
        super().__init__(recorder.name, base="")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> "_File":  # noqa: N802 -- SQLite's name
        return _File(self._recorder, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self._recorder.deleted(Path(filename).name, synced=syncdir)


class _File(apsw.VFSFile):
    def __init__(self, recorder: Recorder, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        assert name is not None, "temporary files stay in memory"
        self._recorder: Final = recorder
        self._name: Final = Path(name.filename() if isinstance(name, apsw.URIFilename) else name).name
        super().__init__("", name, flags)
        recorder.opened(self._name, is_log=bool(flags[0] & _LOGS))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._recorder.steps.append(Written(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        super().xTruncate(newsize)
        self._recorder.steps.append(Truncated(self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._recorder.synced(self._name)
