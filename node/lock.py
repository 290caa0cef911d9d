"""One process at a time works on a node directory; the lock says who, and where a running node answers.

Where several processes serve a node together, as many may share its directory as there are places.

The kernel drops the lock with its process, so a crash leaves nothing to clean up.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from protocol.errors import RefusedError, UnavailableError

LOCK_FILE: Final = "node.lock"
#: Processes of one node that may share a directory.
PLACES: Final = 16


class Lock:
    """The lock, held by this process."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def publish(self, url: str) -> None:
        """Say where this process answers, such as `http://127.0.0.1:8440`."""
        self._write(url.encode("ascii"))

    def _write(self, text: bytes) -> None:
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text, 0)


@contextmanager
def hold(directory: Path, *, places: int = 1) -> Iterator[Lock]:
    """Hold the lock of a node directory while inside, one of so many `places`.

    Raises: UnavailableError: other processes hold them. RefusedError: the directory cannot be written.
    """
    handle = _taken(directory, places)
    try:
        lock = Lock(handle)
        lock.publish("")
        yield lock
    finally:
        os.close(handle)


def _taken(directory: Path, places: int) -> int:
    """Return the handle of the first free place."""
    for place in range(places):
        handle = _open(directory / _name(place))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
        else:
            return handle
    raise UnavailableError("another process works on this node directory", code="locked")


def _name(place: int) -> str:
    return f"{LOCK_FILE}.{place + 1}" if place else LOCK_FILE


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise RefusedError("there is no such node directory: run `mentormesh init`, or name it with --dir") from None
    except OSError:
        raise RefusedError(
            "the node directory cannot be written by this user: give it to the node's user, or run as that user"
        ) from None


def serving_at(directory: Path) -> str | None:
    """Return where the node of this directory answers; None when it does not run, or is only starting."""
    found = (_served(directory / _name(place)) for place in range(PLACES))
    return next((url for url in found if url), None)


def _served(path: Path) -> str | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(handle, 1024, 0).decode("ascii", "replace") or None
    finally:
        os.close(handle)
    return None
