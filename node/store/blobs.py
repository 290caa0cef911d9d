"""The bytes of encrypted files, one file each beside the database; what they are and how long stands in its rows.

Rows are the truth: the sweep drops bytes without a row, and a row without bytes is a file that is gone.
"""

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from protocol.errors import MissingError, UnavailableError
from protocol.ids import id_bytes

from .errors import RETRY_S, DiskFullError

R = TypeVar("R")

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class FileBytes(Protocol):
    """Where the bytes of files stand. Raises, all methods: UnavailableError: it cannot be used at the moment."""

    def name(self, blob: str) -> str:
        """Return what `names` and `drop` call a blob."""
        ...

    async def check_room(self, size: int) -> None:
        """Return if there is room for everything else beside `size` more bytes. Raises: DiskFullError."""
        ...

    async def write(self, blob: str, offset: int, data: bytes, *, last: bool) -> None:
        """Store a portion; with `last` the whole file is durable.

        Raises: MissingError: what stood before `offset` is gone, as after a crash; DiskFullError.
        """
        ...

    async def read(self, blob: str, offset: int, count: int) -> bytes:
        """Return at most `count` bytes from `offset` on. Raises: MissingError: the bytes are gone."""
        ...

    async def remove(self, blob: str) -> None:
        """Remove the bytes of a blob, if there are any."""
        ...

    async def names(self) -> tuple[str, ...]:
        """Return the names of everything that is kept."""
        ...

    async def drop(self, names: Iterable[str]) -> None:
        """Remove what has these names."""
        ...


class BlobFiles:
    """The folder of one node; every method runs in a thread."""

    def __init__(self, folder: Path, *, least_free_bytes: int, now: Callable[[], int]) -> None:
        """Take the folder, which is made when it is first written to."""
        self._folder: Final = folder
        self._least_free: Final = least_free_bytes
        self._now: Final = now

    def name(self, blob: str) -> str:
        """Return the name of a blob's file."""
        return file_name(blob)

    async def check_room(self, size: int) -> None:
        """Return if the disk keeps enough room for everything else beside `size` more bytes. Raises: DiskFullError."""
        await self._run(lambda: self._check_room(size))

    async def write(self, blob: str, offset: int, data: bytes, *, last: bool) -> None:
        """Store a portion; with `last` the whole file has reached the disk.

        Raises: MissingError: what stood before `offset` is gone, as after a crash; DiskFullError, UnavailableError.
        """
        await self._run(lambda: self._write(blob, offset, data, last=last))

    async def read(self, blob: str, offset: int, count: int) -> bytes:
        """Return at most `count` bytes from `offset` on. Raises: MissingError: the bytes are gone; UnavailableError."""
        return await self._run(lambda: self._read(blob, offset, count))

    async def remove(self, blob: str) -> None:
        """Remove the bytes of a blob, if there are any."""
        await self._run(lambda: self._path(blob).unlink(missing_ok=True))

    async def names(self) -> tuple[str, ...]:
        """Return the names of all files, as `drop` takes them."""
        return await self._run(self._names)

    async def drop(self, names: Iterable[str]) -> None:
        """Remove files by name."""
        await self._run(lambda: self._drop(names))

    async def _run(self, work: Callable[[], R]) -> R:
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            if error.errno in _FULL:
                raise DiskFullError(
                    "the disk is full: make room, nothing of this file's portion was kept",
                    retry_at=self._now() + RETRY_S,
                ) from None
            what = "the folder of files cannot be used: see the permissions of the data directory"
            raise UnavailableError(what) from error

    def _check_room(self, size: int) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(self._folder).free < size + self._least_free:
            raise DiskFullError(
                "the node has no room for files at the moment: ask its administrator", retry_at=self._now() + RETRY_S
            )

    def _write(self, blob: str, offset: int, data: bytes, *, last: bool) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path(blob), os.O_WRONLY | os.O_CREAT | _FLAGS, 0o600)
        try:
            if os.fstat(handle).st_size < offset:
                raise MissingError("the beginning of this file is gone: send it anew")
            view = memoryview(data)
            while view:
                written = os.pwrite(handle, view, offset)
                view, offset = view[written:], offset + written
            if last:
                os.fsync(handle)
        finally:
            os.close(handle)

    def _read(self, blob: str, offset: int, count: int) -> bytes:
        try:
            handle = os.open(self._path(blob), os.O_RDONLY | _FLAGS)
        except FileNotFoundError:
            raise MissingError("this file is gone") from None
        try:
            return os.pread(handle, count, offset)
        finally:
            os.close(handle)

    def _names(self) -> tuple[str, ...]:
        return tuple(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else ()

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _path(self, blob: str) -> Path:
        return self._folder / file_name(blob)


def file_name(blob: str) -> str:
    """Return the name of a blob's file: hexadecimal, for disks that do not tell `a` from `A`."""
    return id_bytes(blob, what="blob").hex()
