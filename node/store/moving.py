"""Fills one database with the rows of another, of either kind: moving house, backup and restore.

A database that is being filled, and one that was left, have a negative generation, by which a store that is opened on
them by mistake knows that it must not be used. So there is never more than one that a node can go on with: two would be
two nodes with the same keys.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from node.rows import MetaRow
from protocol.errors import RefusedError

from .copying import Content, Progress, Rows, carry
from .errors import MovedError
from .file_copying import Files, Place, carry_files

_META: Final = "SELECT generation, created_at, restored_at FROM meta"
_MARK: Final = (
    "INSERT INTO meta (id, generation, created_at, restored_at) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "generation = excluded.generation, created_at = excluded.created_at, restored_at = excluded.restored_at"
)


async def meta_of(rows: Rows) -> MetaRow | None:
    """Return what a database says of itself; None if nothing has been in it."""
    found = await rows.query(_META)
    if not found:
        return None
    ((generation, created_at, restored_at),) = found
    assert isinstance(generation, int)
    assert isinstance(created_at, int)
    assert restored_at is None or isinstance(restored_at, int)
    return MetaRow(generation=generation, created_at=created_at, restored_at=restored_at)


async def mark(rows: Rows, meta: MetaRow) -> None:
    """Let a database say `meta` of itself."""
    await rows.change(_MARK, (meta.generation, meta.created_at, meta.restored_at))


class Moved(msgspec.Struct, frozen=True):
    """What is at the new place."""

    contents: tuple[Content, ...]
    files: Files


async def move(source: Place, target: Place, *, progress: Progress) -> Moved:
    """Move everything from `source` to `target` and return what is there now; a move that broke off goes on.

    Raises:
        MovedError: `source` was moved before.
        RefusedError: `source` holds no node's rows, or `target` holds others.
        UnverifiedError: what arrived differs.
    """
    left = await meta_of(source.rows)
    if left is None:
        raise RefusedError("there are no rows to move: the node has never been started here", code="empty")
    becomes = replace(left, generation=abs(left.generation))
    if left.generation < 0 and not await _is_filling(target.rows, becomes):
        raise MovedError
    contents = await fill(source.rows, target.rows, becomes, progress=progress)
    files = await carry_files(source, target.files, progress=progress)
    left = replace(left, generation=-becomes.generation)
    await mark(source.rows, left)  # first: from here on nobody uses it again
    await mark(target.rows, becomes)
    return Moved(contents, files)


async def fill(source: Rows, target: Rows, becomes: MetaRow, *, progress: Progress) -> tuple[Content, ...]:
    """Carry everything to `target`, which then waits to be marked as what it `becomes`; return what is there.

    Raises:
        RefusedError: `target` holds other rows.
        UnverifiedError: what arrived differs.
    """
    if await meta_of(target) is None:
        await mark(target, replace(becomes, generation=-becomes.generation))
    elif not await _is_filling(target, becomes):
        raise RefusedError("there is a node's database already: name an empty one", code="not-empty")
    return await carry(source, target, progress=progress)


async def _is_filling(target: Rows, becomes: MetaRow) -> bool:
    """Return whether `target` waits for the rest of the rows of what it `becomes`."""
    found = await meta_of(target)
    return found is not None and (found.generation, found.created_at) == (-becomes.generation, becomes.created_at)
