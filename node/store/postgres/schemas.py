"""Makes and removes whole schemas, for programs that need a database of their own for a while."""

import re
from typing import Final

from .connection import Server
from .errors import FAILURES, raise_explained
from .rows import patient

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def within(url: str, name: str) -> str:
    """Return the URL that leads into a schema of the database at `url`."""
    return f"{url}{'&' if '?' in url else '?'}search_path={name}"


async def create(server: Server, name: str, *, now: int) -> None:
    """Make an empty schema. Raises: MeshError: the database cannot be reached, or does not let us."""
    await _run(server, f"CREATE SCHEMA {_checked(name)}", now)


async def drop(server: Server, name: str, *, now: int) -> None:
    """Remove a schema with all that is in it, if it is there. Raises: as `create`."""
    await _run(server, f"DROP SCHEMA IF EXISTS {_checked(name)} CASCADE", now)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a schema is named by small letters, digits and underscores")
    return name


async def _run(server: Server, statement: str, now: int) -> None:
    try:
        async with patient(server, now=now) as rows:
            await rows.session.script(statement)
    except FAILURES as error:
        raise_explained(error, now=now)
