"""`mentormesh log` against a running node."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from cli import log_reader
from cli.log import log
from federation.rows import LogEntryRow, LogTileRow
from protocol.encoding import b64
from protocol.errors import MalformedError, MissingError, RefusedError, UnavailableError, UnverifiedError
from protocol.logleaves import AgreementsLeaf
from protocol.peers import log_vkey
from protocol.signing import SigningKey
from protocol.tlog.note import WitnessKey
from tests.node.running import Running, free_port, running, settings

from .direct import reach

pytestmark = pytest.mark.system


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    async with running(tmp_path / "aurora") as started:
        reach(monkeypatch, started)
        yield started


async def run(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, log, list(words))


async def text(*words: str) -> str:
    result = await run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


async def error(kind: type[Exception], *words: str) -> str:
    result = await run(*words)
    assert isinstance(result.exception, kind), result.output
    return str(result.exception)


async def grow(node: Running, count: int) -> None:
    """Sign a log of the keys, the policy and `count` periods."""
    await node.node.log.announce()
    async with node.node.base.store.write() as tx:
        await node.node.log.sequencer.append(
            tx, *(AgreementsLeaf(root=b64(bytes(32)), until=at) for at in range(count))
        )
    await node.node.log.sequencer.sequence()


async def test_a_log_is_verified_over_http(node: Running) -> None:
    await grow(node, 591)
    found = json.loads(await text("verify", node.url, "--json"))
    assert (found["origin"], found["size"]) == ("aurora.example/log", 600)
    told = await text("verify", node.url, "--key", found["vkey"])
    assert told.startswith("Good: all 600 entries of aurora.example/log belong to its signed checkpoint.\n")


async def test_a_log_that_does_not_hold_is_refused(node: Running) -> None:
    await grow(node, 300)
    store = node.node.base.store
    async with store.read() as rows:
        entry, tile = await rows.get(LogEntryRow, 1, 3), await rows.get(LogTileRow, 1, 0, 0)
    assert entry is not None
    assert tile is not None
    for row in (replace(entry, entry=entry.entry.replace(b"0", b"1", 1)), replace(tile, data=bytes(8192))):
        async with store.write() as tx:
            await tx.put(entry, tile)
            await tx.put(row)
        await error(UnverifiedError, "verify", node.url)
        await error(UnverifiedError, "check")
    other = log_vkey("aurora.example/log", SigningKey(b"o" * 32).public.raw)
    await error(UnverifiedError, "verify", node.url, "--key", other)


async def test_a_key_that_is_none_of_a_log_and_a_wrong_address_are_refused(node: Running) -> None:
    await error(MissingError, "verify", node.url)
    witness = WitnessKey(name="birch.example/witness", key=SigningKey(b"w" * 32).public)
    await error(UnverifiedError, "verify", node.url, "--key", witness.vkey)
    for url in ("aurora.example", "ftp://aurora.example", f"{node.url}/log", "http://127.0.0.1:x", "https://"):
        await error(MalformedError, "verify", url)
    await error(UnavailableError, "verify", f"http://127.0.0.1:{free_port()}")


@pytest.mark.slow
async def test_a_reader_waits_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    async with running(tmp_path / "aurora", settings(limits={"address_per_minute": 2})) as node:
        await grow(node, 0)
        clock = node.node.base.clock
        loop = asyncio.get_running_loop()

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            loop.call_soon_threadsafe(clock.advance, int(seconds))  # type: ignore[attr-defined]

        monkeypatch.setattr(time, "sleep", sleep)
        assert (await text("verify", node.url)).startswith("Good: all 9 entries")
    assert waited
    assert max(waited) <= log_reader.LONGEST_WAIT_S


async def test_an_operator_sees_and_checks_the_log(node: Running) -> None:
    assert "no checkpoint yet" in await error(RefusedError, "check")
    assert "aurora.example/log, 0 entries, 0 waiting" in await text("show")
    await grow(node, 300)
    assert json.loads(await text("show", "--json"))["size"] == 309
    assert await text("check") == "Good: all 309 entries of aurora.example/log belong to its checkpoint.\n"


async def test_a_successor_is_started_only_for_a_log_that_cannot_go_on(node: Running) -> None:
    await grow(node, 1)
    await error(RefusedError, "successor", "--yes")
    async with node.node.base.store.write() as tx:
        await tx.delete(LogTileRow)
    assert "aurora.example/log/30000000" in await text("successor", "--yes")
    assert json.loads(await text("verify", node.url, "--key", (await status(node)), "--json"))["size"] == 10
    assert (await run("successor")).exit_code == 1


async def status(node: Running) -> str:
    found: str = json.loads(await text("show", "--json"))["vkey"]
    assert node.url
    return found
