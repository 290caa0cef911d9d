"""What the tests of the house have in common: where it stands and what is in it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("node", "protocol", "federation", "cli")


def tracked_files() -> tuple[Path, ...]:
    """Return every file that git would give to a clone, as it stands on the disk now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def texts(*, suffixes: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each tracked file that is UTF-8, of these suffixes only when given."""
    for path in tracked_files():
        if suffixes and path.suffix not in suffixes:
            continue
        try:
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def python_files(*folders: str) -> Iterator[Path]:
    """Yield the Python files under these folders, whether tracked yet or not."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))
