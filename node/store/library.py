"""The SQLite library that this Python was built with."""

import sqlite3
from typing import Final

#: STRICT tables, RETURNING and what else the statements use are all there from this one on.
OLDEST: Final = (3, 40, 0)


def version() -> str:
    """Return the version of the library, such as `3.40.1`."""
    return sqlite3.sqlite_version


def is_new_enough() -> bool:
    """Return whether a node can use the library."""
    return sqlite3.sqlite_version_info >= OLDEST
