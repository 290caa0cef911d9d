"""Real nodes that witness each other over loopback: cosignatures, the exact statuses, and the check at a start."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from federation.cosigning import WitnessStatus
from federation.gossip import Checkpoints
from federation.rows import CosignatureRow, EarlierDocumentRow, LogEntryRow, WatchedLogRow
from federation.sequencer import RolledBackError
from federation.startcheck import ClaimedAheadError, StartCheck, UncheckedLogError
from node.app import Node
from node.services.witness_operations import ListWitnesses, OverrideLog
from node.store.backup import backup
from protocol.encoding import encode
from protocol.errors import RefusedError
from protocol.peers import log_key, log_vkey, sign_document, witness_key
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from protocol.tlog.cosignature import cosigners
from protocol.tlog.merkle import EMPTY_ROOT
from protocol.tlog.note import MAX_NOTE_BYTES, render_note
from protocol.tlog.policy import parse_policy
from protocol.tlog.witness import AddCheckpoint, parse_answer, render_request
from tests.fakes.clock import SteppedClock
from tests.node.pairing import grow, nodes
from tests.node.running import Running, problem
from tests.patience import comes_true

pytestmark = pytest.mark.system


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Running, Running]]:
    async with nodes(tmp_path, "aurora", "birch") as (aurora, birch):
        yield aurora, birch


async def cosigned_by(aurora: Running, birch: Running) -> int:
    """Return the size of the checkpoint that aurora serves once birch's line on it verifies, 0 without such a line."""
    async with aiohttp.ClientSession() as http, http.get(f"{aurora.url}/log/checkpoint") as answer:
        note = await answer.read()
    document = aurora.node.peering.identity.document
    signed = open_checkpoint(parse_checkpoint(note), [log_key(document)])
    witness = witness_key(birch.node.peering.identity.document)
    found = cosigners(signed, [witness], now=aurora.node.base.clock.now())
    return signed.checkpoint.size if found else 0


@pytest.mark.slow
async def test_two_peers_witness_each_other_without_being_told(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    for one, other in (pair, pair[::-1]):
        assert await cosigned_by(one, other) == 0
        await one.node.witnessing.cosigner.collect()
        assert await cosigned_by(one, other) == 9
    await grow(aurora.node, 300)
    await aurora.node.witnessing.cosigner.collect()
    assert await cosigned_by(aurora, birch) == 309
    (status,) = await aurora.node.operations.call("log.witnesses", ListWitnesses(), tuple[WitnessStatus, ...])
    assert (status.name, status.size, status.problem) == ("https://birch.example", 309, "")


async def test_a_cosignature_is_part_of_a_proof(pair: tuple[Running, Running]) -> None:
    aurora, _ = pair
    await aurora.node.witnessing.cosigner.collect()
    async with aurora.node.base.store.read() as rows:
        entry = (await rows.find(LogEntryRow, limit=1))[0].entry
    assert "— birch.example/witness " in await aurora.node.log.book.prove(entry)


async def test_a_witness_that_forgot_is_told_from_where_to_begin(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    await aurora.node.witnessing.cosigner.collect()
    await grow(aurora.node, 3)
    async with aurora.node.base.store.write() as tx:
        await tx.delete(CosignatureRow)
    await aurora.node.witnessing.cosigner.collect()
    assert await cosigned_by(aurora, birch) == 12


async def test_every_process_follows_the_logs_that_peers_had_before(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    document = aurora.node.peering.identity.document
    origin = "aurora.example/log/2"
    vkey = log_vkey(origin, aurora.node.base.keys.log.public.raw)
    former = replace(document, log_origin=origin, log_vkey=vkey)
    text = sign_document(former, aurora.node.base.keys.federation).encode()
    now = birch.node.base.clock.now()
    async with birch.node.base.store.write() as tx:
        await tx.put(EarlierDocumentRow(entity=document.entity, seq=1, document=text, replaced_at=now))
    assert birch.node.witnessing.logs.of(origin) is None
    birch.node.witnessing.start_everywhere()
    await comes_true(lambda: birch.node.witnessing.logs.of(origin) is not None)


async def test_little_is_kept_of_the_log_of_a_peer_that_is_gone(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    await birch.node.witnessing.watch.poll_due()
    birch.node.peering.directory.remove(aurora.node.base.entity)
    await birch.node.witnessing.round()
    async with birch.node.base.store.read() as rows:
        (row,) = await rows.find(WatchedLogRow)
    assert (row.size, row.read) == (9, 0)


@pytest.mark.slow
async def test_a_witness_that_is_away_is_asked_again_after_a_pause(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with nodes(tmp_path, "aurora", "birch", clock=clock) as (aurora, birch):
        cosigner = aurora.node.witnessing.cosigner
        birch.node.peering.directory.remove("https://aurora.example")
        await cosigner.collect()
        (status,) = await cosigner.status()
        assert status.problem == "witness-unknown"
        await birch.node.peering.directory.load(birch.node.base.store)
        await cosigner.collect()
        assert await cosigned_by(aurora, birch) == 0
        clock.advance(6)
        await cosigner.collect()
        assert await cosigned_by(aurora, birch) == 9


KEY = SigningKey(b"\7" * 32)


def request(key: SigningKey = KEY, *, origin: str = "aurora.example/log", old: int = 0, size: int = 0) -> bytes:
    root = EMPTY_ROOT if size == 0 else bytes(32)
    checkpoint = sign_checkpoint(Checkpoint(origin=origin, size=size, root=root), key)
    return render_request(AddCheckpoint(old_size=old, proof=(), checkpoint=checkpoint))


async def post(node: Running, body: bytes) -> tuple[int, str, bytes, str]:
    async with aiohttp.ClientSession() as http:
        headers = {"Host": "birch.example"}
        async with http.post(f"{node.url}/witness/add-checkpoint", data=body, headers=headers) as answer:
            code = (await problem(answer)).code if answer.content_type == "application/problem+json" else ""
            return answer.status, answer.content_type, await answer.read(), code


async def test_every_refusal_has_the_status_of_the_specification(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    own = aurora.node.base.keys.log
    await aurora.node.witnessing.cosigner.collect()
    cases = {
        "another log": (request(origin="cobalt.example/log"), 404, "unknown-log"),
        "another log signed by nobody known": (request(origin="cobalt.example/log", old=9), 404, "unknown-log"),
        "its own log": (request(birch.node.base.keys.log, origin="birch.example/log"), 404, "unknown-log"),
        "another key": (request(), 403, "unsigned"),
        "an old size that is too large": (request(own, old=10, size=9), 400, "old-size"),
        "no proof": (request(own, old=9, size=10), 422, "bad-consistency"),
        "the same size with another root": (request(own, old=9, size=9), 422, "bad-consistency"),
        "nothing": (b"", 400, "witness-lines"),
        "a note without signature": (b"old 0\n\naurora.example/log\n", 400, "note-shape"),
        "too much": (bytes(MAX_NOTE_BYTES + 20_000), 413, "too-large"),
    }
    for name, (body, status, code) in cases.items():
        found = await post(birch, body)
        assert (found[0], found[3]) == (status, code), name
    assert await post(birch, request(own, old=3, size=9)) == (409, "text/x.tlog.size", b"9\n", "")


async def test_what_was_not_durable_is_not_cosigned(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    held = await aurora.node.log.book.checkpoint(1)
    body = render_request(AddCheckpoint(old_size=0, proof=(), checkpoint=parse_checkpoint(held)))
    status, _, answer, _ = await post(birch, body)
    assert status == 200
    assert parse_answer(answer)
    # Once held, the same request no longer begins where the witness is.
    assert (await post(birch, body))[0] == 409


def start_check(node: Node, *, wait_s: int = 86_400) -> StartCheck:
    """Return the check of a node that starts now, in place of the one from its real start."""
    watching, base = node.witnessing, node.base
    watching.start_check = StartCheck(  # type: ignore[misc]
        base.store,
        base.clock,
        watching.witnesses,
        watching.cosigner,
        watching.own_log,
        wait_s=wait_s,
        report=base.events.log_opened,
        history=lambda: base.store.history,
    )
    node.log.sequencer.guard(watching.start_check)
    return watching.start_check


async def test_a_log_goes_on_after_a_start_once_its_witness_answered(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    await aurora.node.witnessing.cosigner.collect()
    start_check(aurora.node)
    await grow(aurora.node)
    assert await cosigned_by(aurora, birch) == 0
    await aurora.node.witnessing.cosigner.collect()
    assert await cosigned_by(aurora, birch) == 10


@pytest.mark.slow
async def test_a_database_set_back_is_noticed_before_anything_is_signed(tmp_path: Path) -> None:
    async with nodes(tmp_path, "aurora", "birch") as (aurora, _):
        await aurora.node.witnessing.cosigner.collect()
        older = await snapshot(aurora.node)
        await grow(aurora.node, 4)
        await aurora.node.witnessing.cosigner.collect()
        await set_back(aurora.node, older)
        start_check(aurora.node)
        with pytest.raises(RolledBackError, match="successor"):
            await grow(aurora.node)
        assert (await aurora.node.log.sequencer.succeed()).origin == "aurora.example/log/30000000"


async def test_a_database_set_back_to_before_a_successor_is_noticed(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    await aurora.node.witnessing.cosigner.collect()
    own = aurora.node.base.keys.log
    lost = sign_checkpoint(Checkpoint(origin="aurora.example/log/2", size=2, root=bytes(32)), own)

    async def shown() -> bytes:
        return encode(Checkpoints(checkpoints=(render_note(lost.note).decode(),)))

    birch.node.witnessing.gossip.answer = shown  # type: ignore[method-assign]
    # Birch has followed to the successor, and knows nothing of the log before.
    birch.node.witnessing.logs.of = lambda _: None  # type: ignore[method-assign,assignment]
    start_check(aurora.node)
    with pytest.raises(RolledBackError, match="successor"):
        await grow(aurora.node)


async def test_a_larger_log_that_is_only_claimed_waits_for_an_administrator(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    older = await snapshot(aurora.node)
    await grow(aurora.node, 4)
    await aurora.node.witnessing.cosigner.collect()
    await set_back(aurora.node, older)
    start_check(aurora.node)
    birch.node.witnessing.gossip.answer = _nothing  # type: ignore[method-assign]
    with pytest.raises(ClaimedAheadError, match=r"https://birch\.example"):
        await grow(aurora.node)
    (alert,) = await aurora.node.witnessing.alerts()
    assert alert.about == "log"
    await aurora.node.operations.call("log.override", OverrideLog(), dict)
    await aurora.node.log.sequencer.sequence()
    with pytest.raises(RefusedError, match="waits for nobody"):
        await aurora.node.witnessing.override()


@pytest.mark.slow
async def test_a_witness_that_is_gone_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with nodes(tmp_path, "aurora", "birch", clock=clock) as (aurora, birch):
        await aurora.node.witnessing.cosigner.collect()
        birch.node.peering.authenticator.meet_stranger = _silent  # type: ignore[method-assign]
        start_check(aurora.node, wait_s=3600)
        clock.advance(3601)  # it was not on duty so long, and nobody was asked
        with pytest.raises(UncheckedLogError, match=r"https://birch\.example"):
            await grow(aurora.node)
        clock.advance(3000)
        with pytest.raises(UncheckedLogError):
            await aurora.node.log.sequencer.sequence()
        clock.advance(700)
        assert (await aurora.node.log.sequencer.sequence()) is not None


async def test_without_the_peer_that_is_gone_the_log_is_free(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    await aurora.node.witnessing.cosigner.collect()
    birch.node.peering.authenticator.meet_stranger = _silent  # type: ignore[method-assign]
    start_check(aurora.node, wait_s=0)
    with pytest.raises(UncheckedLogError):
        await grow(aurora.node)
    await aurora.node.peering.service.remove("https://birch.example")
    aurora.node.base.clock.advance(3600)  # type: ignore[attr-defined]
    assert (await aurora.node.log.sequencer.sequence()) is not None


async def test_an_override_holds_over_a_restart_until_the_log_has_grown(pair: tuple[Running, Running]) -> None:
    aurora, birch = pair
    await aurora.node.witnessing.cosigner.collect()
    birch.node.peering.authenticator.meet_stranger = _silent  # type: ignore[method-assign]
    start_check(aurora.node)
    with pytest.raises(UncheckedLogError):
        await grow(aurora.node)
    await aurora.node.witnessing.override()
    start_check(aurora.node)
    await aurora.node.log.sequencer.sequence()
    start_check(aurora.node)
    with pytest.raises(UncheckedLogError):
        await grow(aurora.node)


@pytest.mark.slow
async def test_a_quorum_that_is_demanded_is_waited_for(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with nodes(tmp_path, "aurora", "birch", clock=clock) as (aurora, birch):
        key = witness_key(birch.node.peering.identity.document).vkey
        policy = parse_policy(f"witness b {key}\nquorum b\n".encode())
        aurora.node.witnessing.witnesses.policy = policy  # type: ignore[misc]
        birch.node.peering.authenticator.meet_stranger = _silent  # type: ignore[method-assign]
        start_check(aurora.node, wait_s=3600)
        for _ in range(3):
            clock.advance(7200)
            with pytest.raises(UncheckedLogError):
                await grow(aurora.node)
        await aurora.node.witnessing.override()
        assert (await aurora.node.log.sequencer.sequence()) is not None


async def _nothing() -> bytes:
    return encode(Checkpoints())


def _silent(address: str) -> None:  # noqa: ARG001 -- as the method it stands for
    raise ConnectionAbortedError


async def snapshot(node: Node) -> Path:
    """Return a copy of the database as it is, as a snapshot of the machine would hold it."""
    path = node.base.directory / node.base.config.store.path
    copy = node.base.directory / "snapshot.db"
    await backup(path, copy, now=1)
    return copy


async def set_back(node: Node, copy: Path) -> None:
    """Make the log's tables what they are in `copy`, and let the process forget what it signed and read."""
    tables = ("log_entry", "log_tile", "log_checkpoint", "log_stated", "cosignature")
    path = node.base.directory / node.base.config.store.path
    with sqlite3.connect(path) as database:
        database.execute("ATTACH ? AS old", (str(copy),))
        for table in tables:
            database.execute(f"DELETE FROM {table}")
            database.execute(f"INSERT INTO {table} SELECT * FROM old.{table}")
    database.close()
    node.log.sequencer._signed = None
    node.log.book._memory._kept.clear()
