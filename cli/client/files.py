"""Files of a session: sent, listed, fetched and deleted; each step goes on where it was interrupted.

Source: docs/protocol/40-files.md.
"""

import asyncio
import mimetypes
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

from msgspec.structs import replace

from protocol.e2ee.files import sealed_size
from protocol.e2ee.frames import File, Frame, check_file_name
from protocol.encoding import b64, decode
from protocol.errors import MissingError, UnavailableError
from protocol.text import displayable

from .core import Core
from .parts import FOLDER, Progress, begun, fetching, new_target, open_source, opened_to, out_path, sealed_copy, sweep
from .records import UploadRecord
from .session import with_frame
from .state import ClientState
from .views import FileView

#: What the node takes and gives at once.
PORTION_BYTES: Final = 1024 * 1024
UNKNOWN_TYPE: Final = "application/octet-stream"


class Files:
    """The files of one person's sessions."""

    def __init__(self, core: Core, flush: Callable[[str], Awaitable[bool]]) -> None:
        self._core: Final = core
        self._flush: Final = flush

    async def send(self, thread: str, path: Path, *, name: str, progress: Progress) -> bool:
        """Encrypt a file, store it at the own node and tell the other; False: the telling waits for the node.

        Called again for the same unchanged file, it goes on where it was.

        Raises: MissingError: no session; MalformedError, LimitError: the file; UnavailableError: a node or the disk.
        """
        state, folder = self._core.state(), self._core.vault.folder
        state.session(thread)
        upload = _begun(state, thread, folder, path)
        if upload is None:
            shown = name or displayable(path.name, lines=False)
            check_file_name(shown)
            guessed = mimetypes.guess_type(path.name)[0] or UNKNOWN_TYPE
            # First the record, so that no other program takes the ciphertext for a left-over.
            upload = begun(path, name=shown, media_type=guessed)
            self._core.vault.update(partial(_with_upload, thread=thread, upload=upload))
            upload = await asyncio.to_thread(partial(sealed_copy, folder, path, upload, progress=progress))
            self._core.vault.update(partial(_with_upload, thread=thread, upload=upload))
        expires_at = await self._upload(thread, upload, progress)
        self._core.vault.update(partial(_told, self._core, thread=thread, upload=upload, expires_at=expires_at))
        out_path(folder, upload.blob).unlink(missing_ok=True)
        return await self._flush(thread)

    async def _upload(self, thread: str, upload: UploadRecord, progress: Progress) -> int:
        """Store what the node does not have yet; return until when it keeps the file."""
        side, api, size = self._core.state().thread(thread).side, self._core.api(), sealed_size(upload.size)
        known = {one.blob: one for one in await api.blobs()}
        stored = known[upload.blob].stored if upload.blob in known else 0
        expires_at = known[upload.blob].expires_at if upload.blob in known else 0
        with out_path(self._core.vault.folder, upload.blob).open("rb") as file:
            while stored < size:
                file.seek(stored)
                data = file.read(PORTION_BYTES)
                answer = await api.put_blob(thread, side, upload.blob, data, offset=stored, size=size)
                stored, expires_at = answer.stored, answer.expires_at
                progress(stored, size)
        return expires_at

    def list(self, thread: str) -> tuple[FileView, ...]:
        """Return the files of a session, in the order in which they were told."""
        state = self._core.state()
        record, now = state.thread(thread), self._core.now()
        told = (
            (one, frame, frame.content)
            for one, frame in ((one, decode(one.frame, Frame)) for one in state.session(thread).frames)
            if isinstance(frame.content, File) and not one.hidden
        )
        return tuple(
            FileView(
                number=number,
                name=file.name,
                size=file.size,
                media_type=file.media_type,
                mine=one.sender not in record.peer_devices,
                at=frame.at,
                expires_at=file.expires_at,
                expired=file.expires_at <= now,
                blob=file.blob,
            )
            for number, (one, frame, file) in enumerate(told, 1)
        )

    async def get(self, thread: str, which: str, *, to: Path, progress: Progress) -> Path:
        """Fetch, verify and decrypt a file into `to` (a folder or a new file); return where it is.

        Raises: MissingError: no such file; ConflictError: there is one; FileDamagedError; UnavailableError.
        """
        view = self._named(thread, which)
        file = self._file(thread, view.blob)
        target = new_target(to, file.name)
        folder = self._core.vault.folder
        with fetching(folder, file.blob) as part:
            await self._fetch(thread, file, part, progress)
            part.flush()
            await asyncio.to_thread(partial(opened_to, folder, file, target, progress=progress))
        return target

    async def _fetch(self, thread: str, file: File, part: BinaryIO, progress: Progress) -> None:
        side, api, size = self._core.state().thread(thread).side, self._core.api(), sealed_size(file.size)
        if part.tell() > size:
            part.truncate(0)
            part.seek(0)
        while (have := part.tell()) < size:
            data = await api.blob(thread, side, file.blob, offset=have)
            if not data or have + len(data) > size:
                raise UnavailableError("the node answers with another file than was sent", code="node-away")
            part.write(data)
            progress(part.tell(), size)

    async def delete(self, thread: str, which: str) -> FileView:
        """Delete an own file from the own node; who has fetched it keeps it. Raises: MissingError."""
        view = self._named(thread, which)
        if not view.mine:
            raise MissingError("only who sent a file can delete it")
        await self._core.api().delete_blob(thread, view.blob)
        return view

    def _named(self, thread: str, which: str) -> FileView:
        found = [one for one in self.list(thread) if which in (str(one.number), one.name)]
        if not found:
            raise MissingError("this session has no such file: `session file list` shows them")
        return found[-1]

    def _file(self, thread: str, blob: str) -> File:
        contents = (decode(one.frame, Frame).content for one in self._core.state().session(thread).frames)
        return next(one for one in contents if isinstance(one, File) and one.blob == blob)


def sweep_files(folder: Path, state: ClientState) -> None:
    """Remove ciphertext of sessions that are over."""
    if not (folder / FOLDER).is_dir():
        return
    sessions = state.sessions.values()
    contents = (decode(one.frame, Frame).content for session in sessions for one in session.frames)
    sweep(
        folder,
        sending={one.blob for session in sessions for one in session.uploads},
        fetched={one.blob for one in contents if isinstance(one, File)},
    )


def _begun(state: ClientState, thread: str, folder: Path, path: Path) -> UploadRecord | None:
    """Return an interrupted upload of exactly this file."""
    with open_source(path) as (_, facts):
        wanted = (str(path.resolve()), facts.st_size, facts.st_mtime_ns)
    for one in state.session(thread).uploads:
        if one.hash and (one.source, one.size, one.changed_ns) == wanted and out_path(folder, one.blob).exists():
            return one
    return None


def _with_upload(state: ClientState, *, thread: str, upload: UploadRecord) -> ClientState:
    """Return the state with an upload in place of an earlier one of the same file."""
    session = state.session(thread)
    others = (one for one in session.uploads if one.source != upload.source)
    return state.with_session(replace(session, uploads=(*others, upload)))


def _told(core: Core, state: ClientState, *, thread: str, upload: UploadRecord, expires_at: int) -> ClientState:
    """Return the state with the frame that tells of a file, whose upload is done."""
    file = File(
        blob=upload.blob,
        name=upload.name,
        media_type=upload.media_type,
        size=upload.size,
        hash=upload.hash,
        key=b64(upload.key),
        header=upload.header,
        expires_at=expires_at,
    )
    state = with_frame(core, state, thread, file)
    session = state.session(thread)
    rest = tuple(one for one in session.uploads if one.blob != upload.blob)
    return state.with_session(replace(session, uploads=rest))
