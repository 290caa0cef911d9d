"""One process at a time works on a node directory; the lock says who, and where a running node answers.

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
def hold(directory: Path) -> Iterator[Lock]:
    """Hold the lock of a node directory while inside.

    Raises: UnavailableError: another process holds it. RefusedError: the directory cannot be written.
    """
    handle = _open(directory / LOCK_FILE)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError("another process works on this node directory", code="locked") from None
        lock = Lock(handle)
        lock.publish("")
        yield lock
    finally:
        os.close(handle)


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
    try:
        handle = os.open(directory / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(handle, 1024, 0).decode("ascii", "replace") or None
    finally:
        os.close(handle)
    return None
