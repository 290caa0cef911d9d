"""The parts of a node are joined: jobs run and stop, retention and leaving reach every part."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from federation.ports import Writer
from federation.rows import InboxRow
from node.app import Node, open_node
from node.config import load
from node.housekeeping import forget_old_rows
from node.rows import MailRow
from node.services.mail import Recipient, compose
from node.services.notices import SignInLink
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.node.running import ENTITY, make_directory


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def node(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Node]:
    directory = make_directory(tmp_path / "aurora")
    opened = open_node(directory, load(directory, {}), port=8440, clock=clock, entropy=SeededEntropy())
    async with opened as made:
        yield made


async def test_all_jobs_run_and_stop(node: Node, clock: SteppedClock) -> None:
    node.start_jobs()
    await clock.until_sleeping(7)
    reports = node.base.jobs.report()
    assert {report.job for report in reports} == {
        "agreements",
        "announcements",
        "attestations",
        "catalogs",
        "cosignatures",
        "deadlines",
        "documents",
        "doubts",
        "erasures",
        "gossip",
        "keys",
        "log",
        "log-watch",
        "mail",
        "memberships",
        "mirror",
        "outbox",
        "reports",
        "retention",
        "returning",
        "seats",
        "start-check",
    }
    assert {report.state for report in reports} == {"running"}
    assert (await node.health.readiness()).ready
    assert await node.base.jobs.stop(5) == ()


async def test_the_jobs_survive_a_day(node: Node, clock: SteppedClock) -> None:
    node.start_jobs()
    await clock.until_sleeping(7)
    for _ in range(24):
        await clock.elapse(30, turns=5)
        clock.advance(3570)
    assert [report for report in node.base.jobs.report() if report.failures] == []
    assert await node.base.jobs.stop(5) == ()


async def test_the_document_says_who_the_node_is_and_is_signed_once(node: Node) -> None:
    identity = node.peering.identity
    assert (identity.entity, identity.document.seq, identity.connect_to) == (ENTITY, 1, "127.0.0.1:8440")
    assert identity.document.limits["batch_items"] == 64


async def test_a_restart_says_the_same_and_a_new_name_says_more(tmp_path: Path, clock: SteppedClock) -> None:
    directory = make_directory(tmp_path / "aurora")
    texts = []
    for variables in ({}, {}, {"MENTORMESH_ORG_DISPLAY_NAME": "Aurora Freight SE"}):
        async with open_node(directory, load(directory, variables), clock=clock) as node:
            texts.append((node.peering.identity.text, node.peering.identity.document.seq))
    assert texts[0] == texts[1]
    assert [seq for _, seq in texts] == [1, 1, 2]


async def test_mail_of_development_is_written_into_the_folder(
    node: Node, clock: SteppedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    notice = SignInLink(link="http://aurora.localhost:8440/sign-in", minutes=15)
    to = Recipient(member="m", address="ana@aurora.example")
    now = clock.now()
    async with node.base.store.write() as tx:
        await tx.insert(compose(notice, to, entropy=bytes(16), now=now, expires_at=now + 60))
    await node.people.mail.pump()
    assert len(list((node.base.directory / "mail").glob("*.eml"))) == 1
    assert "mail for ana@aurora.example" in capsys.readouterr().err
    async with node.base.store.read() as reader:
        assert await reader.count(MailRow) == 0


async def _old_rows(tx: Writer, now: int) -> None:
    await tx.insert(
        InboxRow(peer="https://b.example", mid="old", hash="A" * 43, outcome=b"", purge_at=now),
        InboxRow(peer="https://b.example", mid="new", hash="A" * 43, outcome=b"", purge_at=now + 1),
    )


async def test_rows_are_forgotten_when_their_time_is_over(node: Node, clock: SteppedClock) -> None:
    store, handshakes = node.base.store, node.handshakes
    async with store.write() as tx:
        await _old_rows(tx, clock.now())
    await forget_old_rows(store, clock, handshakes.mailboxes, handshakes.desk, undelivered_days=30)
    async with store.read() as reader:
        assert [row.mid for row in await reader.find(InboxRow)] == ["new"]


async def test_operations_of_every_part_are_in_the_table(node: Node) -> None:
    nouns = {name.partition(".")[0] for name in node.operations.by_name}
    assert nouns == {"evidence", "keys", "log", "member", "node", "offer", "peer", "registry", "report", "vocabulary"}
