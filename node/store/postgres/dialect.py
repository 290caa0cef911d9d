"""Where PostgreSQL reads SQL differently from SQLite: marks for values and names of types. All else is one text."""

import re
from functools import lru_cache
from itertools import count
from typing import Final

#: What the migrations write, and what holds the same values here. Text sorts by code point whatever the database does.
_TYPES: Final = {"INTEGER": "BIGINT", "BLOB": "BYTEA", "REAL": "DOUBLE PRECISION", "TEXT": 'TEXT COLLATE "C"'}
_TYPE: Final = re.compile(rf"\b({'|'.join(_TYPES)})\b")
_TABLE_OPTIONS: Final = re.compile(r"\)\s*STRICT(,\s*WITHOUT ROWID)?\s*;\s*$")
_CACHED: Final = 4096


@lru_cache(_CACHED)
def numbered(text: str) -> str:
    """Return a statement of `node.store.statements` with `$1`, `$2`, … for its `?`; no name in it has a `?`."""
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", text)


def declared(text: str) -> str:
    """Return a statement of a migration as PostgreSQL takes it; every type here is as strict as STRICT makes SQLite."""
    return _TABLE_OPTIONS.sub(");", _TYPE.sub(lambda found: _TYPES[found[1]], text))
