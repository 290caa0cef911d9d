"""What a file that is being decrypted leaves behind when the program is killed: nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.client import plaintext
from cli.client.parts import FOLDER, in_path, opened_to, sweep
from protocol.e2ee.files import FileDamagedError, FileSealer, sealed_size
from protocol.e2ee.frames import File
from protocol.encoding import b64, encode
from protocol.errors import ConflictError
from tests.architecture.house import ROOT

SECRET = b"canary " * 40_000
BLOB = b64(bytes(16))
#: Decrypts until the first piece is written, says so, and waits to be killed.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from protocol.e2ee.frames import File
from protocol.encoding import decode
from cli.client.parts import fetching, opened_to
if sys.argv[4] == "named":
    del os.O_TMPFILE

def wait(done, total):
    if done > 100_000:
        print("decrypting", flush=True)
        signal.pause()

folder = Path(sys.argv[1])
file = decode(Path(sys.argv[3]).read_bytes(), File)
with fetching(folder, file.blob):
    opened_to(folder, file, Path(sys.argv[2]), progress=wait)
"""


def nothing(_done: int, _total: int) -> None:
    """Show no progress."""


def sealed(folder: Path) -> File:
    """Return a file that was fetched, and its frame."""
    key, header = bytes(range(32)), bytes(24)
    sealer = FileSealer(len(SECRET), key=key, header=header)
    rest = memoryview(SECRET)

    def read(count: int) -> bytes:
        nonlocal rest
        piece, rest = bytes(rest[:count]), rest[count:]
        return piece

    path = in_path(folder, BLOB)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(sealer.pieces(read)))
    assert path.stat().st_size == sealed_size(len(SECRET))
    return File(
        blob=BLOB,
        name="report.pdf",
        media_type="application/pdf",
        size=len(SECRET),
        hash=sealer.hash,
        key=b64(key),
        header=b64(header),
        expires_at=2**31,
    )


def without_tmpfile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")


def left(folder: Path) -> list[str]:
    """Return the files in which something of the plaintext stands."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and b"canary" in path.read_bytes())


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("way", ["nameless", "named"])
def test_a_program_that_is_killed_while_it_decrypts_leaves_no_plaintext(tmp_path: Path, way: str) -> None:
    target, frame = tmp_path / "inbox" / "report.pdf", tmp_path / "frame"
    target.parent.mkdir()
    frame.write_bytes(encode(sealed(tmp_path)))
    words = [sys.executable, "-c", PROGRAM, str(tmp_path), str(target), str(frame), way]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=ROOT, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "decrypting\n"
        sweep(tmp_path, sending=(), fetched=(BLOB,))  # another program of the same person starts meanwhile
        assert len(left(tmp_path)) == (way == "named")
        program.kill()
    sweep(tmp_path, sending=(), fetched=(BLOB,))
    assert left(tmp_path) == []
    assert list(target.parent.iterdir()) == []
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [in_path(tmp_path, BLOB).name]


@pytest.mark.parametrize("named", [False, True])
def test_a_file_gets_its_name_once_it_is_whole_and_never_anothers(
    tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if named:
        without_tmpfile(monkeypatch)
    target = tmp_path / "report.pdf"
    opened_to(tmp_path, sealed(tmp_path), target, progress=nothing)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (SECRET, 0o600)
    target.write_bytes(b"somebody else's")
    with pytest.raises(ConflictError):
        opened_to(tmp_path, sealed(tmp_path), target, progress=nothing)
    assert target.read_bytes() == b"somebody else's"
    assert left(tmp_path) == []


@pytest.mark.parametrize("named", [False, True])
def test_a_damaged_file_leaves_nothing(tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if named:
        without_tmpfile(monkeypatch)
    file = sealed(tmp_path)
    path = in_path(tmp_path, BLOB)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(FileDamagedError):
        opened_to(tmp_path, file, tmp_path / "report.pdf", progress=nothing)
    assert list((tmp_path / FOLDER).iterdir()) == []
    assert left(tmp_path) == []


@pytest.mark.parametrize("said", [b"\xff", b"/etc/passwd", b""])
def test_a_note_that_says_something_else_removes_nothing_else(tmp_path: Path, said: bytes) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    note = tmp_path / f"{bytes(16).hex()}{plaintext.NOTE}"
    note.write_bytes(said or str(other).encode())
    plaintext.clean(note)
    assert other.read_bytes() == b"mine"
