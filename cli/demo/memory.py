"""The memory of a running process as an administrator of the machine reads it: every readable byte, through `/proc`.

Linux only. The process stands still meanwhile, so that nothing moves out of the way of the search.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocol.errors import UnavailableError

#: Bytes read at a time.
CHUNK: Final = 1 << 22
#: Pages that belong to the kernel; reading them fails or shows clocks.
_KERNEL: Final = ("[vvar", "[vsyscall]")


def memory_of(pid: int, *, overlap: int) -> Iterator[bytes]:
    """Yield the memory of a process of one's own in pieces that each begin with the end of the one before.

    Args:
        overlap: longest text that must not be cut apart, less one, in bytes.
    Raises: UnavailableError: this platform does not show a process's memory to its parent.
    """
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            os.kill(pid, signal.SIGSTOP)
            try:
                for start, end in _regions(pid):
                    yield from _pieces(memory.fileno(), start, end, overlap)
            finally:
                os.kill(pid, signal.SIGCONT)
    except OSError as error:
        raise UnavailableError(f"the memory of a process cannot be read here: {error.strerror}") from None


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    """Yield where the process has readable memory, as first and last address but one."""
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        span, modes, *rest = line.split(maxsplit=5)
        name = rest[3] if len(rest) > 3 else ""
        if modes.startswith("r") and not name.startswith(_KERNEL):
            start, _, end = span.partition("-")
            yield int(start, 16), int(end, 16)


def _pieces(handle: int, start: int, end: int, overlap: int) -> Iterator[bytes]:
    kept = b""
    while start < end:
        try:
            piece = os.pread(handle, min(CHUNK, end - start), start)
        except OSError:
            return  # mapped but not backed, such as the end of a file that was cut
        if not piece:
            return
        yield kept + piece
        kept = (kept + piece)[-overlap:] if overlap else b""
        start += len(piece)
