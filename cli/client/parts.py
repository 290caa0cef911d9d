"""Ciphertext of files on this machine: encrypted before it leaves, checked before it has a name.

It stands in the folder `files` beside the vault. Everything here blocks; call it in a thread.
"""

import fcntl
import os
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from msgspec.structs import replace

from protocol.e2ee.files import HEADER_BYTES, KEY_BYTES, FileDamagedError, FileOpener, FileSealer, sealed_size
from protocol.e2ee.frames import File
from protocol.encoding import b64, unb64
from protocol.errors import ConflictError, MalformedError
from protocol.ids import id_bytes

from .core import fresh_id
from .plaintext import NOTE, clean, created, to_be_named
from .records import UploadRecord

FOLDER: Final = "files"
_OUT: Final = ".out"
_IN: Final = ".in"
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW

#: Called with the bytes that are done and the bytes there are.
Progress = Callable[[int, int], None]


def begun(source: Path, *, name: str, media_type: str) -> UploadRecord:
    """Return the record of a file that is to be sent, with fresh keys; nothing of it is encrypted yet."""
    return UploadRecord(
        blob=fresh_id(),
        name=name,
        media_type=media_type,
        key=secrets.token_bytes(KEY_BYTES),
        header=b64(secrets.token_bytes(HEADER_BYTES)),
        source=str(source.resolve()),
    )


def sealed_copy(folder: Path, source: Path, upload: UploadRecord, *, progress: Progress) -> UploadRecord:
    """Encrypt a file into the folder, once, and return its record. Raises: MalformedError, LimitError; OSError."""
    with open_source(source) as (file, facts):
        sealer = FileSealer(facts.st_size, key=upload.key, header=unb64(upload.header))
        total, done = sealed_size(facts.st_size), 0
        with created(out_path(folder, upload.blob)) as target:
            for piece in sealer.pieces(file.read):
                target.write(piece)
                done += len(piece)
                progress(done, total)
    return replace(upload, size=facts.st_size, changed_ns=facts.st_mtime_ns, hash=sealer.hash)


@contextmanager
def open_source(source: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Yield a file that is to be sent, and what the system says about it. Raises: MalformedError: no plain file."""
    with source.open("rb") as file:
        facts = os.fstat(file.fileno())
        if not source.is_file():
            raise MalformedError("only plain files can be sent: pack a folder first")
        yield file, facts


def opened_to(folder: Path, file: File, target: Path, *, progress: Progress) -> None:
    """Decrypt what was fetched into the new file `target`, which appears only when all of it was verified.

    Raises: FileDamagedError: not what the sender made, the ciphertext is deleted; ConflictError: `target` exists.
    """
    source = in_path(folder, file.blob)
    try:
        with source.open("rb") as ciphertext, to_be_named(target, note=_note_path(folder, file.blob)) as plain:
            done = 0
            for piece in FileOpener(file).pieces(ciphertext.read):
                plain.write(piece)
                done += len(piece)
                progress(done, file.size)
    except FileDamagedError:
        source.unlink()
        raise
    source.unlink()


def new_target(to: Path, name: str) -> Path:
    """Return where a file of this name goes: into the folder `to`, or to that path. Raises: ConflictError."""
    target = to / name if to.is_dir() else to
    if target.exists() or target.is_symlink():
        raise ConflictError(f"{target} exists already: choose another name with --to")
    return target


@contextmanager
def fetching(folder: Path, blob: str) -> Iterator[BinaryIO]:
    """Yield the file that fetched ciphertext is added to, at its end; one program at a time. Raises: ConflictError."""
    path = in_path(folder, blob)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError("another program is fetching this file") from None
        file.seek(0, os.SEEK_END)
        yield file


def out_path(folder: Path, blob: str) -> Path:
    """Return where the ciphertext of a file to be sent stands."""
    return folder / FOLDER / f"{id_bytes(blob).hex()}{_OUT}"


def in_path(folder: Path, blob: str) -> Path:
    """Return where the ciphertext of a file that is fetched stands."""
    return folder / FOLDER / f"{id_bytes(blob).hex()}{_IN}"


def sweep(folder: Path, *, sending: Collection[str], fetched: Collection[str]) -> None:
    """Remove what belongs to no session any more, and what of a decrypted file a program left that was killed."""
    known = {out_path(folder, one) for one in sending} | {in_path(folder, one) for one in fetched}
    for path in (folder / FOLDER).iterdir():
        if path.suffix == NOTE:
            _cleaned(path)
        elif path not in known:
            path.unlink(missing_ok=True)


def _cleaned(note: Path) -> None:
    """Remove what was decrypted beside its target, unless a program that runs is at it."""
    try:
        handle = os.open(note.with_suffix(_IN), os.O_RDWR | _FLAGS)
    except FileNotFoundError:
        clean(note)
        return
    with os.fdopen(handle, "r+b") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        clean(note)


def _note_path(folder: Path, blob: str) -> Path:
    return folder / FOLDER / f"{id_bytes(blob).hex()}{NOTE}"
