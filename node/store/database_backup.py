"""Backups of a node that keeps its rows in PostgreSQL: the same file as of one that keeps them in a file."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from node.rows import MetaRow
from protocol.errors import UnverifiedError

from .backup import Copy, copied, passing_file, place, refuse_existing
from .copying import Progress, carry
from .errors import MovedError
from .file_copying import Files, Place, carry_files
from .file_rows import FileRows
from .moving import fill, mark, meta_of
from .pieces import FilePieces
from .places import database_rows, open_current

if TYPE_CHECKING:
    from .postgres.connection import Server


async def back_up(server: "Server", target: Path, *, files: bool, now: int, progress: Progress) -> Copy:
    """Write all rows to the new file `target`, with `files` the bytes of encrypted files too; return what is in it.

    The copy is the state at one moment; a running node goes on writing meanwhile.

    Raises:
        RefusedError: `target` exists, or the tables are older than this program.
        UnavailableError: the database or the folder of `target` cannot be used.
    """
    from .postgres import schema
    from .postgres.connection import SNAPSHOT
    from .postgres.errors import FAILURES, raise_explained
    from .postgres.rows import patient

    refuse_existing(target)
    with passing_file(target.parent) as copy:
        async with patient(server, now=now) as rows:
            try:
                await schema.check_server(rows.session)
                await rows.session.script(SNAPSHOT)
                await schema.require_current(rows.session)
            except FAILURES as error:
                raise_explained(error, now=now)
            meta = await meta_of(rows)
            if meta is None:
                raise UnverifiedError("the database does not say what it is", code="damaged")
            with closing(open_current(copy, now=now)) as connection:
                file = FileRows(connection, now=now)
                await carry(rows, file, progress=progress)
                kept = Files()
                if files:
                    kept = await carry_files(Place(rows, FilePieces(rows)), FilePieces(file), progress=progress)
                await mark(file, meta)
        size = copy.stat().st_size
        place(copy, target)
    return Copy(size_bytes=size, files=kept)


async def bring_back(
    source: Path, server: "Server", folder: Path, *, now: int, progress: Progress
) -> tuple[MetaRow, Files]:
    """Fill an empty schema with the backup `source`, of a node that is not running; return its new meta row.

    With it what there is of files. As with `node.store.backup.restore`, `generation` has grown and `restored_at` is
    `now`. What broke off goes on when it is called again.

    Args:
        folder: of the node; a checked copy of the backup lies there meanwhile.

    Raises:
        DatabaseInUseError: a node runs on the schema.
        SchemaError: the backup is from a newer program.
        RefusedError: the schema holds other rows.
        UnverifiedError, UnavailableError: as for `backup`.
    """
    with copied(source, folder, now=now) as copy, closing(open_current(copy, now=now)) as connection:
        file = FileRows(connection, now=now)
        meta = await meta_of(file)
        if meta is None:
            raise UnverifiedError("the backup does not say what it is", code="damaged")
        if meta.generation < 1:
            raise MovedError
        becomes = MetaRow(generation=meta.generation + 1, created_at=meta.created_at, restored_at=now)
        async with database_rows(server, now=now) as rows:
            await fill(file, rows, becomes, progress=progress)
            files = await carry_files(Place(file, FilePieces(file)), FilePieces(rows), progress=progress)
            await mark(rows, becomes)
    return becomes, files
