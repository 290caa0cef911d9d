"""A decrypted file on its way to its name: nothing of it stays when it does not get there, also after a kill.

Until all of it was verified it has no name at all, so that the system forgets it with the program. On a disk that knows
no such files it stands beside its target, and a note in the folder of files says where: the next start removes both.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from node.disk import sync
from protocol.errors import ConflictError

NOTE: Final = ".beside"
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW
_DESCRIPTORS: Final = Path("/proc/self/fd")
#: What systems and disks say that have no files without a name.
_NOT_HERE: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EISDIR, errno.EINVAL, errno.ENOSYS, errno.ENOENT})
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})


@contextmanager
def to_be_named(target: Path, *, note: Path) -> Iterator[BinaryIO]:
    """Yield a new file for its owner only, which is `target`, and on the disk, once the block has ended well.

    Raises: ConflictError: `target` exists.
    """
    handle = _without_name(target.parent)
    if handle is None:
        with _beside(target, note) as file:
            yield file
        return
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
        _link(_DESCRIPTORS / str(file.fileno()), target)
    sync(target.parent)


def clean(note: Path) -> None:
    """Remove what a note names, and the note; nobody is writing there."""
    try:
        beside = Path(note.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return
    if beside.name == f".{note.stem}.part":  # never anything else, whatever came into the note
        beside.unlink(missing_ok=True)
    note.unlink(missing_ok=True)


@contextmanager
def created(path: Path) -> Iterator[BinaryIO]:
    """Yield a new file for its owner only, on the disk when the block ends; taken away when it fails."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _without_name(folder: Path) -> int | None:
    """Return a handle of a new file without a name on the disk of `folder`; None where there are none."""
    flag = getattr(os, "O_TMPFILE", None)
    if flag is None or not _DESCRIPTORS.is_dir():
        return None
    try:
        return os.open(folder, os.O_WRONLY | flag | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _NOT_HERE and folder.is_dir():
            return None
        raise


def _link(descriptor: Path, target: Path) -> None:
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # A folder's handle has the system follow the link that a descriptor is; the path itself is whole.
        _named(lambda: os.link(descriptor, target, src_dir_fd=folder, follow_symlinks=True), target)
    finally:
        os.close(folder)


@contextmanager
def _beside(target: Path, note: Path) -> Iterator[BinaryIO]:
    beside = target.resolve().with_name(f".{note.stem}.part")
    clean(note)
    with created(note) as file:
        file.write(str(beside).encode())
    beside.unlink(missing_ok=True)
    try:
        with created(beside) as file:
            yield file
        try:
            _named(lambda: os.link(beside, target, follow_symlinks=False), target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():
                raise _taken(target) from None
            beside.rename(target)
        sync(target.parent)
    finally:
        beside.unlink(missing_ok=True)
        note.unlink(missing_ok=True)


def _named(link: Callable[[], None], target: Path) -> None:
    """Give a verified file its name, never another's."""
    try:
        link()
    except FileExistsError:
        raise _taken(target) from None


def _taken(target: Path) -> ConflictError:
    return ConflictError(f"{target} exists already: choose another name with --to")
