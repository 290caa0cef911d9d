"""Files over real nodes: they arrive byte for byte, go on where they were interrupted, and never overwrite anything."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli.client import files as client
from cli.client.files import sweep_files
from cli.client.parts import FOLDER, in_path, out_path
from cli.client.person import Person
from cli.client.views import Shown
from node.services import blobs as service
from node.services.blobs import Blobs
from protocol.e2ee.files import FileDamagedError
from protocol.errors import ConflictError, LimitError, MalformedError, MissingError, UnavailableError

from .test_journey import asked
from .world import PROMPTS, Company, become_mentor, companies, company, happens, lists_something, meet, need

pytestmark = [pytest.mark.slow, pytest.mark.system]

PORTION = 100_000


def nothing(_done: int, _total: int) -> None:
    """Show no progress."""


@pytest.fixture(autouse=True)
def small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of some hundred kilobytes need several portions."""
    monkeypatch.setattr(service, "PORTION_BYTES", PORTION)
    monkeypatch.setattr("node.api.blobs.PORTION_BYTES", PORTION)
    monkeypatch.setattr(client, "PORTION_BYTES", PORTION)


async def met(ana: Person, ben: Person) -> str:
    """Return the thread of an open session of two companies."""
    await become_mentor(ben)
    await lists_something(ana)
    await ana.ask(need())
    thread = (await ana.request(1, prompts=PROMPTS)).thread
    for _ in range(60):
        if ben.requests():
            break
        await ben.poll(wait_s=0.5)
    await ben.accept(thread)
    await meet(ana, ben)
    return thread


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Company, Person, Person, str]]:
    async with (
        companies(folder, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
        yield aurora, ana, ben, await met(ana, ben)


def held(aurora: Company) -> list[Path]:
    folder = aurora.node.base.directory / "data" / "blobs"
    return list(folder.iterdir()) if folder.exists() else []


async def test_a_file_passes_between_two_companies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(3 * PORTION + 17)
    source = tmp_path / "report final.pdf"
    source.write_bytes(data)
    async with pair(tmp_path) as (aurora, ana, ben, thread):
        assert await ana.files.send(thread, source, name="", progress=nothing)
        shown = await happens(ben, Shown)
        assert (shown.kind, shown.text) == ("file", "report final.pdf (300.0 kB)")
        (view,) = ben.files.list(thread)
        assert (view.name, view.size, view.media_type, view.mine) == (
            "report final.pdf",
            len(data),
            "application/pdf",
            False,
        )
        # Nothing readable lies at the sender's node, and nothing at all at the receiver's.
        (stored,) = held(aurora)
        assert data[:64] not in stored.read_bytes()
        await _interrupted(ben, thread, monkeypatch)
        target = tmp_path / "got"
        target.mkdir()
        assert await ben.files.get(thread, "1", to=target, progress=nothing) == target / "report final.pdf"
        assert (target / "report final.pdf").read_bytes() == data
        assert (target / "report final.pdf").stat().st_mode & 0o777 == 0o600
        assert [path.name for path in target.iterdir()] == ["report final.pdf"]
        assert list((ben.folder / FOLDER).iterdir()) == []
        with pytest.raises(ConflictError, match="exists already"):
            await ben.files.get(thread, view.name, to=target, progress=nothing)
        await _damaged(aurora, ben, thread, tmp_path)
        await _refused(aurora, ana, ben, thread, tmp_path)


async def _interrupted(ben: Person, thread: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a download end after two portions: what is here stays, and no file has appeared."""
    seen: list[int] = []

    def stop(done: int, _total: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    folder = ben.folder / "elsewhere"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        await ben.files.get(thread, "1", to=folder, progress=stop)
    (view,) = ben.files.list(thread)
    assert in_path(ben.folder, view.blob).stat().st_size == 2 * PORTION
    assert list(folder.iterdir()) == []
    asked_for: list[int] = []
    get = Blobs.get

    async def counted(self: Blobs, label: str, thread: str, side: object, blob: str, offset: int) -> bytes:
        asked_for.append(offset)
        return await get(self, label, thread, side, blob, offset)  # type: ignore[arg-type] # handed on

    with monkeypatch.context() as patched:
        patched.setattr(Blobs, "get", counted)
        await ben.files.get(thread, "1", to=folder, progress=nothing)
    assert asked_for[0] == 2 * PORTION


async def _damaged(aurora: Company, ben: Person, thread: str, tmp_path: Path) -> None:
    """A node that changes one bit is found out, and nothing of the file appears."""
    (stored,) = held(aurora)
    data = stored.read_bytes()
    stored.write_bytes(data[:70_000] + bytes([data[70_000] ^ 1]) + data[70_001:])
    folder = tmp_path / "damaged"
    folder.mkdir()
    with pytest.raises(FileDamagedError):
        await ben.files.get(thread, "1", to=folder, progress=nothing)
    assert list(folder.iterdir()) == []
    assert list((ben.folder / FOLDER).iterdir()) == []
    stored.write_bytes(data)


async def _refused(aurora: Company, ana: Person, ben: Person, thread: str, tmp_path: Path) -> None:
    """Only its owner deletes a file; names that are paths, folders and too large files are not sent."""
    with pytest.raises(MissingError, match="only who sent"):
        await ben.files.delete(thread, "1")
    with pytest.raises(MissingError, match="no such file"):
        await ben.files.get(thread, "2", to=tmp_path, progress=nothing)
    with pytest.raises(MalformedError, match="without path"):
        await ana.files.send(thread, tmp_path / "report final.pdf", name="../evil", progress=nothing)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(LimitError, match="at most"):
        await ana.files.send(thread, large, name="", progress=nothing)
    await ana.files.delete(thread, "1")
    assert held(aurora) == []
    with pytest.raises(MissingError):
        await ben.files.get(thread, "1", to=tmp_path / "late", progress=nothing)
    assert not (tmp_path / "late").exists()


async def test_an_interrupted_upload_goes_on_and_is_told_once(tmp_path: Path) -> None:
    data = os.urandom(3 * PORTION)
    source = tmp_path / "notes.bin"
    source.write_bytes(data)
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana, aurora.person("aurora2") as ben:
        thread = await asked(ana, ben)
        await ben.accept(thread)
        await meet(ana, ben)
        steps: list[int] = []

        def stop(done: int, _total: int) -> None:
            steps.append(done)
            if done == PORTION:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await ana.files.send(thread, source, name="", progress=stop)
        (upload,) = ana.state.session(thread).uploads
        assert out_path(ana.folder, upload.blob).exists()
        assert ana.files.list(thread) == ()
        await ana.poll()  # what another program of hers does meanwhile takes nothing away
        steps.clear()
        assert await ana.files.send(thread, source, name="", progress=lambda done, _total: steps.append(done))
        assert steps[0] == 2 * PORTION
        assert (ana.state.session(thread).uploads, list((ana.folder / FOLDER).iterdir())) == ((), [])
        await happens(ben, Shown)
        target = tmp_path / "copy.bin"
        await asyncio.gather(ben.files.get(thread, "notes.bin", to=target, progress=nothing))
        assert target.read_bytes() == data
        left = ana.folder / FOLDER / "left"
        left.write_bytes(b"of a session that is over")
        sweep_files(ana.folder, ana.state)
        assert not left.exists()
        await aurora.node.people.erasure.erase(ana.state.signed_in.member)
        assert held(aurora) == []
        with pytest.raises((MissingError, UnavailableError)):
            await ben.files.get(thread, "1", to=tmp_path / "late", progress=nothing)
