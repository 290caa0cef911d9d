"""Having things on the disk, not only on their way there."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return once the bytes of a file, or the names in a folder, are on the disk. Raises: OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
