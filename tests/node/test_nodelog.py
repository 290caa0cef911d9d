"""A running node's log over HTTP: readable by anybody, verifiable by whoever knows C2SP and the verifier key alone."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from federation.agreements import note_agreement
from federation.ports import where
from federation.rows import LogAgreementRow, LogEntryRow, LogPeriodRow, LogTileRow
from node import config as configuration
from node.app import open_node
from node.nodelog import CheckLog, LogChecked, ShowLog, SucceedLog
from node.operations import Operations
from node.status import LogStatus
from node.store.backup import backup, restore
from protocol.encoding import b64
from protocol.errors import MalformedError, MissingError, RefusedError, UnverifiedError
from protocol.logaudit import LogAudit
from protocol.logleaves import (
    AgreementsLeaf,
    NodeKeyLeaf,
    PolicyLeaf,
    SuccessorLeaf,
    agreement_commitment,
    parse_leaf,
    period_root,
    render_leaf,
)
from protocol.peers import DOCUMENT_PATH, open_document
from protocol.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from protocol.tlog.merkle import leaf_hash
from protocol.tlog.note import LogKey, parse_vkey
from protocol.tlog.tiles import Bundle, Tile, tile_path
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.interop.go_counterpart import ask_go
from tests.node.running import Running, problem, running, settings

pytestmark = pytest.mark.system


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "aurora") as started:
        await started.node.log.announce()
        yield started


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Reader:
    """A program that knows C2SP and reads the log of a running node."""

    def __init__(self, node: Running, http: aiohttp.ClientSession) -> None:
        self.node, self.http = node, http

    async def get(self, path: str) -> bytes:
        async with self.http.get(f"{self.node.url}{path}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def key(self) -> LogKey:
        key = parse_vkey(open_document((await self.get(DOCUMENT_PATH)).decode()).log_vkey)
        assert isinstance(key, LogKey)
        return key

    async def checkpoint(self) -> Checkpoint:
        data = await self.get("/log/checkpoint")
        return open_checkpoint(parse_checkpoint(data), [await self.key()]).checkpoint

    async def audit(self) -> int:
        """Return how many entries of the whole log belong to its checkpoint."""
        audit = LogAudit(await self.checkpoint())
        while (wanted := audit.next) is not None:
            tiles: dict[Tile, bytes] = {name: await self.get(f"/log/{tile_path(name)}") for name in wanted.tiles}
            bundles: dict[Bundle, bytes] = {name: await self.get(f"/log/{tile_path(name)}") for name in wanted.bundles}
            audit.take(wanted, tiles, bundles)
        return audit.size


@pytest.fixture
def reader(node: Running, http: aiohttp.ClientSession) -> Reader:
    return Reader(node, http)


async def periods(node: Running, count: int) -> None:
    """Log so many periods in one transaction."""
    async with node.node.base.store.write() as tx:
        await node.node.log.sequencer.append(
            tx, *(AgreementsLeaf(root=b64(bytes(32)), until=at) for at in range(count))
        )


async def test_a_log_of_several_bundles_verifies_over_http(node: Running, reader: Reader) -> None:
    await periods(node, 300)
    found = await node.node.log.sequencer.sequence()
    assert found == await reader.checkpoint()
    assert await reader.audit() == 309


async def test_keys_and_policy_begin_the_log_and_are_not_repeated(node: Running) -> None:
    await node.node.log.announce()
    async with node.node.base.store.read() as rows:
        leaves = [parse_leaf(row.entry) for row in await rows.find(LogEntryRow)]
    keys = [leaf for leaf in leaves if isinstance(leaf, NodeKeyLeaf)]
    assert sorted(leaf.role for leaf in keys) == [
        "attest", "envelope_seal", "envelope_sign", "federation", "http", "log", "recovery", "witness",
    ]  # fmt: skip
    assert {leaf.key for leaf in keys} >= {node.node.base.keys.http.public.text, node.node.base.keys.log.public.text}
    (policy,) = [leaf for leaf in leaves if isinstance(leaf, PolicyLeaf)]
    assert (policy.k, policy.map_version) == (8, 1)
    assert len(leaves) == 9


async def test_tiles_may_be_kept_for_a_year_and_checkpoints_for_seconds(
    node: Running, http: aiohttp.ClientSession
) -> None:
    await node.node.log.sequencer.sequence()
    async with http.get(f"{node.url}/log/checkpoint") as answer:
        assert answer.headers["Cache-Control"] == "public, max-age=2"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "Signature" not in answer.headers
    for path in ("tile/0/000.p/8", "tile/entries/000.p/8"):
        async with http.get(f"{node.url}/log/{path}") as answer:
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/log/tile/0/000.p/10", 404, "missing"),
        ("/log/tile/0/000", 404, "missing"),
        ("/log/tile/0/0", 400, "tile-path"),
        ("/log/tile/0/%3000.p/8", 404, "missing"),
        ("/log/tile/7/000", 400, "tile-path"),
        ("/log/tile/entries/001.p/1", 404, "missing"),
        ("/log/2/checkpoint", 404, "missing"),
        ("/log/2/tile/0/000.p/1", 404, "missing"),
    ],
)
async def test_what_is_not_there_is_refused(node: Running, path: str, status: int, code: str) -> None:
    await node.node.log.sequencer.sequence()
    answer = await node.raw(f"GET {path} HTTP/1.1\r\nHost: aurora.example\r\nConnection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == str(status).encode()
    assert json.loads(body)["code"] == code


async def test_before_the_first_checkpoint_there_is_nothing_to_read(node: Running, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{node.url}/log/checkpoint") as answer:
        assert (answer.status, (await problem(answer)).code) == (404, "missing")


async def test_readers_are_limited_by_their_address(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with running(tmp_path / "aurora", settings(limits={"address_per_minute": 2})) as node:
        await node.node.log.announce()
        await node.node.log.sequencer.sequence()
        for status in (200, 200, 429):
            async with http.get(f"{node.url}/log/checkpoint") as answer:
                assert answer.status == status


async def test_a_period_commits_to_its_agreements_and_looks_like_any_other(node: Running) -> None:
    log, store = node.node.log, node.node.base.store
    async with store.write() as tx:
        await note_agreement(tx, "A" * 22, "consumer", b64(b"h" * 32), now=node.node.base.clock.now())
    for _ in range(2):
        await log.periods.end()
    async with store.read() as rows:
        entries = [row for row in await rows.find(LogEntryRow) if isinstance(parse_leaf(row.entry), AgreementsLeaf)]
        (agreement,) = await rows.find(LogAgreementRow)
        (period,) = await rows.find(LogPeriodRow)
    assert len({len(row.entry) for row in entries}) == 1
    assert agreement.leaf == period.leaf == entries[0].hash
    commitments = [period.commitments[at : at + 32] for at in range(0, len(period.commitments), 32)]
    assert len(commitments) == 16
    assert agreement_commitment(b"h" * 32, agreement.salt) in commitments
    leaf = parse_leaf(entries[0].entry)
    assert isinstance(leaf, AgreementsLeaf)
    assert leaf.root == b64(period_root(commitments))
    clock = node.node.base.clock
    assert isinstance(clock, SteppedClock)
    clock.advance(30 * 86_400)
    await log.periods.end()
    async with store.read() as rows:
        assert (await rows.count(LogAgreementRow), await rows.count(LogPeriodRow)) == (0, 0)


async def show(operations: Operations) -> LogStatus:
    return await operations.call("log.show", ShowLog(), LogStatus)


async def test_an_operator_sees_how_the_log_is_and_has_it_checked(node: Running) -> None:
    operations = node.node.operations
    assert (await show(operations)).waiting == 9
    with pytest.raises(MissingError):
        await operations.call("log.check", CheckLog(), LogChecked)
    await periods(node, 291)
    await node.node.log.sequencer.sequence()
    status = await show(operations)
    assert (status.origin, status.size, status.waiting, status.problem) == ("aurora.example/log", 300, 0, "")
    assert status.vkey.startswith("aurora.example/log+")
    checked = await operations.call("log.check", CheckLog(), LogChecked)
    assert (checked.checked, checked.size) == (300, 300)
    for start in (-256, 1, 512):
        with pytest.raises(MalformedError):
            await operations.call("log.check", CheckLog(start=start), LogChecked)


async def test_a_check_finds_a_flipped_bit_far_from_the_right_edge(node: Running) -> None:
    await periods(node, 600)
    await node.node.log.sequencer.sequence()
    store, operations = node.node.base.store, node.node.operations
    async with store.read() as rows:
        entry, tile = await rows.get(LogEntryRow, 1, 3), await rows.get(LogTileRow, 1, 0, 0)
    assert entry is not None
    assert tile is not None
    for row in (replace(entry, entry=entry.entry + b" "), replace(tile, data=b"\0" + tile.data[1:])):
        async with store.write() as tx:
            await tx.put(row)
        with pytest.raises(UnverifiedError):
            await operations.call("log.check", CheckLog(), LogChecked)
        async with store.write() as tx:
            await tx.put(entry, tile)
    async with store.write() as tx:
        await tx.delete(LogEntryRow, where(number=3))
    with pytest.raises(MissingError):
        await operations.call("log.check", CheckLog(), LogChecked)


@pytest.mark.slow
async def test_a_restored_node_goes_on_in_a_successor_that_its_document_names(tmp_path: Path) -> None:
    async with running(tmp_path / "aurora") as made:
        await made.node.log.announce()
        await made.node.log.sequencer.sequence()
        directory, config = made.node.base.directory, made.node.base.config
        await backup(directory / config.store.path, tmp_path / "copy.db", now=1)
        await made.node.log.periods.end()
        lost = await made.node.log.sequencer.sequence()
    for name in ("", "-wal", "-shm"):
        (directory / f"{config.store.path}{name}").unlink(missing_ok=True)
    await restore(tmp_path / "copy.db", directory / config.store.path, now=2)
    config = configuration.parse((directory / "mentormesh.toml").read_text(), {})
    async with open_node(directory, config, clock=SteppedClock(), entropy=SeededEntropy(2)) as node:
        await node.log.periods.end()
        with pytest.raises(RefusedError):
            await node.log.sequencer.sequence()
        assert (await show(node.operations)).problem == "log-restored"
        status = await node.operations.call("log.successor", SucceedLog(), LogStatus)
        assert (status.origin, status.size, status.problem) == ("aurora.example/log/30000000", 11, "")
        with pytest.raises(RefusedError):
            await node.operations.call("log.successor", SucceedLog(), LogStatus)
        document = node.peering.identity.document  # said at once, without another start
        assert (document.log_origin, document.log_vkey) == (status.origin, status.vkey)
        async with node.base.store.read() as rows:
            (row,) = await rows.find(LogEntryRow, where(log=30_000_000, number=0))
        leaf = parse_leaf(row.entry)
        assert isinstance(leaf, SuccessorLeaf)
        assert lost is not None
        assert (leaf.origin, leaf.size) == (lost.origin, lost.size - 1)
    async with open_node(directory, config, clock=SteppedClock(), entropy=SeededEntropy(3)) as node:
        document = node.peering.identity.document
        assert (document.log_origin, document.log_vkey) == (status.origin, status.vkey)
        assert await node.log.book.checkpoint(1)
        assert await node.log.book.checkpoint(30_000_000)


@pytest.mark.slow
async def test_a_foreign_program_verifies_the_log_of_a_running_node(node: Running, reader: Reader) -> None:
    await periods(node, 300)
    await node.node.log.sequencer.sequence()
    checkpoint, key = await reader.checkpoint(), await reader.key()
    script = "sumdb_counterpart.go"
    note = (await reader.get("/log/checkpoint")).decode()
    opened = ask_go(script, {"do": "open", "note": note, "keys": [key.vkey]})
    assert opened == {"text": checkpoint.text, "signed": [key.name]}
    names = (Tile(0, 0), Tile(0, 1, 53), Tile(1, 0, 1))
    tiles = {tile_path(name): base64.b64encode(await reader.get(f"/log/{tile_path(name)}")).decode() for name in names}
    indexes = [0, 255, 256, 307]
    root = base64.b64encode(checkpoint.root).decode()
    proved = ask_go(
        script, {"do": "prove", "size": 309, "root": root, "tiles": tiles, "indexes": indexes, "old": [9, 309]}
    )
    assert isinstance(proved, dict)
    assert len(proved["inclusion"]) == len(indexes)
    async with node.node.base.store.read() as rows:
        stored = await rows.get(LogEntryRow, 1, 307)
    assert stored is not None
    assert leaf_hash(render_leaf(parse_leaf(stored.entry))) == stored.hash
    proof = await node.node.log.book.prove(stored.entry)
    entry = base64.b64encode(stored.entry).decode()
    assert ask_go(script, {"do": "verify", "proof": proof, "keys": [key.vkey], "entry": entry}) == 1
