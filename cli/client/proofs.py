"""Where a client keeps what proves that somebody lied: files beside the vault, for whoever is shown them later."""

import os
from pathlib import Path
from typing import Final

FOLDER: Final = "evidence"


def kept(folder: Path, name: str, data: bytes) -> Path:
    """Write a proof below a vault's folder, readable by its owner alone, and return where it is. Raises: OSError."""
    place = folder / FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    file = place / name
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)
    return file
