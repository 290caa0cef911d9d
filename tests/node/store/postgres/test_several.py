"""Several processes serve one node: what is done at one holds at the others."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from federation.authenticate import ReplayedError
from federation.rows import MailboxRow
from node.app import Node
from node.checks import check_database
from node.clock import SystemClock
from node.keys import load_keys
from node.nodelog import ShowLog, SucceedLog
from node.rows import LabelRow, MemberRow
from node.services.keys import RotateKey
from node.services.vocabulary import ConceptFile, ImportVocabulary
from node.status import LogStatus, NodeStatus, ShowStatus
from node.store.postgres.connection import Server
from node.store.postgres.store import PostgresStore
from protocol.addresses import audience_id
from protocol.errors import MeshError, RefusedError, UnverifiedError
from protocol.httpsig import RequestLine, sign_request
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.node.pairing import befriend, organization, publish
from tests.node.running import Running, make_directory, running, served
from tests.patience import comes_true
from tests.postgres import script

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("unwatched")]

BIRCH = "https://birch.example"


class Two:
    """Two processes of Aurora's node, and the clock of both."""

    def __init__(self, directory: Path, clock: SteppedClock, one: Running, other: Running) -> None:
        self.directory = directory
        self.clock = clock
        self.one = one
        self.other = other


@pytest.fixture
async def two(server: Server, tmp_path: Path) -> AsyncIterator[Two]:
    chosen = organization("aurora", store={"url": server.url, "several": True})
    async with both(make_directory(tmp_path / "aurora", chosen)) as made:
        yield made


@asynccontextmanager
async def both(directory: Path) -> AsyncIterator[Two]:
    """Yield two processes of the node in a directory."""
    clock = SteppedClock()
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(served(directory, clock=clock, seed=seed)) for seed in (1, 2)]
        for each in made:
            each.node.base.jobs.start("beside", each.node.base.beside.run)
        yield Two(directory, clock, *made)


def entities(node: Node) -> list[str]:
    return [peer.entity for peer in node.peering.directory.all()]


def shown(node: Node) -> list[str]:
    """Return whose offers a search looks through."""
    return sorted({found.origin for found in node.catalog.mirror.index.sets(node.base.clock.now())})


async def test_who_becomes_a_peer_at_one_process_is_a_peer_at_the_other_and_is_blocked_there_too(
    two: Two, tmp_path: Path
) -> None:
    async with running(tmp_path / "birch", organization("birch"), clock=two.clock, seed=3) as birch:
        await befriend(two.one.node, birch.node)
        await comes_true(lambda: entities(two.other.node) == [BIRCH])
        await two.other.node.peering.service.set_mode(BIRCH, "blocked", reason="")
        await comes_true(lambda: two.one.node.peering.directory.get(BIRCH).mode_at(two.clock.now()) == "blocked")
        await two.one.node.peering.service.remove(BIRCH)
        await comes_true(lambda: entities(two.other.node) == [])


async def test_a_safe_request_that_one_process_answered_is_a_repeat_at_the_other(two: Two, tmp_path: Path) -> None:
    async with running(tmp_path / "birch", organization("birch"), clock=two.clock, seed=3) as birch:
        await befriend(two.one.node, birch.node)
        await comes_true(lambda: entities(two.other.node) == [BIRCH])
        line = RequestLine(method="GET", authority="aurora.example", target="/federation/v1/hello")
        key = birch.node.base.keys.http
        signed = sign_request(line, b"", None, key=key, now=two.clock.now(), nonce=SeededEntropy(9).take(16))
        headers = [(name.lower(), value) for name, value in signed.headers.items()]
        for process in (two.one, two.other):
            knows = process.node.peering.authenticator
            authenticated = knows.verify(knows.admit(line, headers, address="192.0.2.1"), b"")
            if process is two.one:
                await knows.once(authenticated)
            else:
                with pytest.raises(ReplayedError):
                    await knows.once(authenticated)


async def test_who_signs_out_at_one_process_is_signed_out_at_the_other(two: Two) -> None:
    one, other = (process.node.people.accounts for process in (two.one, two.other))
    row = MemberRow(
        member="m" * 22,
        hris_id="1",
        mail="ana@aurora.example",
        active=True,
        job_family="it",
        band="senior",
        country="DE",
        imported_at=two.clock.now(),
    )
    async with two.one.node.base.store.write() as tx:
        await tx.insert(row)
    link = await other.issue_link(row.member)
    token = (await one.redeem(link.partition("#")[2], address="192.0.2.1")).token
    person = await other.authenticate(token)
    assert await other.authenticate(token) == person
    await one.sign_out(person)

    async def refused() -> bool:
        try:
            await other.authenticate(token)
        except UnverifiedError:
            return True
        return False

    await comes_true(refused)


async def test_a_set_that_one_process_mirrors_is_found_at_the_other_and_gone_there_with_its_peer(
    two: Two, tmp_path: Path
) -> None:
    async with running(tmp_path / "birch", organization("birch"), clock=two.clock, seed=3) as birch:
        await befriend(two.one.node, birch.node)
        await publish(birch.node, audience_id(BIRCH, two.one.node.base.entity))
        (source,) = await two.one.node.peering.audiences.sources()
        await two.one.node.catalog.mirror.poll(source)
        await comes_true(lambda: shown(two.other.node) == [BIRCH])
        await two.one.node.peering.service.set_mode(BIRCH, "blocked", reason="")
        await comes_true(lambda: shown(two.other.node) == [])


async def test_a_registry_of_two_processes_admits_at_one_who_applied_at_the_other(
    server: Server, tmp_path: Path
) -> None:
    consortium = {"enabled": True, "name": "Guild", "charter": "We answer."}
    chosen = organization("guild", store={"url": server.url, "several": True}, registry=consortium)
    async with (
        both(make_directory(tmp_path / "guild", chosen)) as two,
        running(tmp_path / "birch", organization("birch"), clock=two.clock, seed=3) as birch,
    ):
        one, other = two.one.node, two.other.node
        guild = one.base.config.registry.consortium()
        ticket = (await one.peering.service.invite(consortium=guild, policy="catalog-hidden")).ticket
        await birch.node.consortia.memberships.join(ticket)
        await comes_true(lambda: entities(other) == [BIRCH])
        await other.consortia.registry.admit(BIRCH)

        async def members() -> tuple[list[str], ...]:
            sets = [await node.peering.meeting.listed.audiences() for node in (one, other)]
            return tuple(sorted(member for each in found for member in each.members) for found in sets)

        async def listed() -> bool:
            return await members() == ([BIRCH, one.base.entity],) * 2

        async def nobody() -> bool:
            return await members() == ([], [])

        await comes_true(listed)
        await one.consortia.registry.remove(BIRCH, "left")
        await comes_true(nobody)


async def test_a_long_poll_at_one_process_is_woken_by_a_message_into_the_other(two: Two) -> None:
    async with two.one.node.base.store.write() as tx:
        await tx.insert(LabelRow(label="l" * 22, member="m" * 22))
    poll = asyncio.create_task(two.one.node.handshakes.mailboxes.wait("l" * 22, 0, 60))
    await comes_true(lambda: two.one.node.handshakes.mailboxes.is_watched("l" * 22))
    async with two.other.node.base.store.write() as tx:
        await two.other.node.handshakes.mailboxes.add(tx, "l" * 22, "notice", b"x", thread="", side="")
    assert [type(row) for row in await poll] == [MailboxRow]


async def test_a_vocabulary_imported_at_one_process_is_known_to_the_other(two: Two) -> None:
    text = '{"id":"ext:skills:welding","en":"Welding"}'
    asked = ImportVocabulary(scheme="skills", files=(ConceptFile(name="skills.jsonl", text=text),))
    await two.one.node.vocabulary.import_scheme(asked)
    await comes_true(lambda: "ext:skills:welding" in two.other.node.vocabulary.vocabulary)


async def test_one_process_is_on_duty_and_alone_signs_the_log(two: Two) -> None:
    assert await two.one.node.base.beside.seek_duty()
    await two.one.node.log.announce()
    checkpoint = await two.one.node.log.sequencer.sequence()
    assert checkpoint is not None
    with pytest.raises(MeshError, match="another process") as caught:
        await two.other.node.log.sequencer.sequence()
    assert caught.value.code == "log-elsewhere"
    with pytest.raises(RefusedError, match="on duty"):
        await two.other.node.operations.call("log.successor", SucceedLog(), object)
    status = await two.other.node.operations.call("node.status", ShowStatus(), NodeStatus)
    assert [(process.on_duty, process.here) for process in status.processes] == [(True, False), (False, True)]
    async with aiohttp.ClientSession() as http:
        for process, on_duty in ((two.one, True), (two.other, False)):
            async with http.get(process.url + "/ready") as answer:
                assert (answer.status, (await answer.json())["on_duty"]) == (200, on_duty)


async def test_doctor_counts_the_sessions_of_all_processes_and_one_more(two: Two) -> None:
    config = two.one.node.base.config
    now = SystemClock().now()
    few = await check_database(two.directory, config, now=now)
    assert not [check.detail for check in few if "connections" in check.detail or check.check == "clock"]
    many = replace(config, store=replace(config.store, sessions=16))
    checks = await check_database(two.directory, many, now=now)
    assert checks[-1].level == "red"
    assert "the processes (3) open up to 60 connections" in checks[-1].detail
    late = await check_database(two.directory, config, now=now - 3600)
    (clock,) = [check.detail for check in late if check.check == "clock"]
    assert "s behind the clock of the database" in clock


async def test_the_log_says_at_which_process_it_is_signed(two: Two) -> None:
    assert await two.one.node.base.beside.seek_duty()
    shown = [await process.node.operations.call("log.show", ShowLog(), LogStatus) for process in (two.one, two.other)]
    assert [one.on_duty for one in shown] == [True, False]


async def test_a_stopped_node_changes_a_key_though_nobody_is_on_duty(server: Server, tmp_path: Path) -> None:
    chosen = organization("aurora", store={"url": server.url, "several": True})
    directory = make_directory(tmp_path / "aurora", chosen)
    before = load_keys(directory).log.public
    async with served(directory, seed=7) as process:
        await process.node.operations.call("keys.rotate", RotateKey(role="log"), object)
    assert load_keys(directory).log.public != before


async def test_of_processes_that_start_after_a_restore_one_alone_makes_the_new_key_of_the_witness(
    server: Server, tmp_path: Path
) -> None:
    chosen = organization("aurora", store={"url": server.url, "several": True})
    directory, clock = make_directory(tmp_path / "aurora", chosen), SteppedClock()
    async with served(directory, clock=clock):
        pass
    await script(server.url, "UPDATE meta SET generation = 2, restored_at = 1800000000")
    before = load_keys(directory).witness.public
    async with await PostgresStore.open(server, clock=clock, alone=False) as first:
        assert first.others is not None
        assert await first.others.seek_duty()
        with pytest.raises(RefusedError, match="was restored"):
            async with served(directory, clock=clock, seed=7):
                pass
        assert load_keys(directory).witness.public == before
    async with served(directory, clock=clock, seed=7), served(directory, clock=clock, seed=8):
        assert load_keys(directory).witness.public != before


async def test_keys_change_only_while_one_process_serves_and_a_process_with_others_does_not_start(
    two: Two, tmp_path: Path
) -> None:
    before = load_keys(two.directory).http.public
    with pytest.raises(RefusedError, match="stop the other processes"):
        await two.one.node.operations.call("keys.rotate", RotateKey(role="http"), object)
    assert load_keys(two.directory).http.public == before
    second = make_directory(tmp_path / "second", organization("aurora"), seed=5)
    shutil.copy(two.directory / "mentormesh.toml", second)
    with pytest.raises(RefusedError, match="copy their folder `keys`"):
        async with served(second, clock=two.clock):
            pass
