"""Published vocabularies for tests: never in this repository, found through MENTORMESH_DATA or beside the clone."""

import os
from pathlib import Path
from typing import Final

import pytest

DATA: Final = Path(os.environ.get("MENTORMESH_DATA") or Path(__file__).parents[2] / "shared" / "data")


def published(name: str) -> Path:
    """Return the path of a published file; without it the test is skipped and says what is missing."""
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"third-party file {name} is not here: set MENTORMESH_DATA to the folder that holds it")
    return path
