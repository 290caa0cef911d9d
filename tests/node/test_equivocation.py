"""A real node that tells two stories over loopback is caught by its peers, who freeze it and can show others why."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.log import log
from federation.directory import FrozenPeerError
from federation.mirror import MirrorStatus
from federation.rows import SetHeadRow, SetPageRow
from node.app import Node
from node.status import NodeStatus, ShowStatus
from protocol.addresses import audience_id
from protocol.errors import MeshError
from protocol.evidence import open_bundle
from tests.node.pairing import grow, nodes, publish
from tests.node.running import Running
from tests.node.test_witnessing import set_back, snapshot

pytestmark = pytest.mark.system

AURORA = "https://aurora.example"


Three = tuple[Running, Running, Running]


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[Three]:
    async with nodes(tmp_path, "aurora", "birch", "cobalt") as (aurora, birch, cobalt):
        yield aurora, birch, cobalt


async def tell_two_stories(aurora: Running, birch: Running, cobalt: Running, sizes: tuple[int, int]) -> None:
    """Let aurora's log grow in two ways from one state, one seen by birch and the other by cobalt."""
    older = await snapshot(aurora.node)
    await grow(aurora.node, sizes[0])
    await look(birch.node)
    await set_back(aurora.node, older)
    await grow(aurora.node, sizes[1])
    await look(cobalt.node)


async def look(node: Node) -> None:
    for known in node.witnessing.logs.all():
        await node.witnessing.watch.poll(known)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 2), (2, 300)])
async def test_a_forked_log_is_caught_by_gossip(three: Three, sizes: tuple[int, int]) -> None:
    aurora, birch, cobalt = three
    await tell_two_stories(aurora, birch, cobalt, sizes)
    await birch.node.witnessing.round()
    await cobalt.node.witnessing.round()
    caught = [each for each in (birch, cobalt) if each.node.peering.directory.get(AURORA).frozen]
    assert caught
    for each in caught:
        (found,) = await each.node.witnessing.evidence.all()
        opened = open_bundle(await each.node.witnessing.evidence.bundle(found.hash))
        assert (opened.bundle.kind, opened.bundle.accused) == ("two-checkpoints", AURORA)
        assert opened.keys == (aurora.node.base.keys.federation.public,)
        alerts = (await each.node.operations.call("node.status", ShowStatus(), NodeStatus)).alerts
        assert {"evidence", "logs"} <= {alert.about for alert in alerts}


@pytest.mark.slow
async def test_a_log_that_no_longer_shows_what_a_peer_holds_is_reported(three: Three) -> None:
    aurora, birch, cobalt = three
    await tell_two_stories(aurora, birch, cobalt, (300, 2))
    await cobalt.node.witnessing.round()
    with pytest.raises(MeshError):
        await look(birch.node)
    alerts = await birch.node.witnessing.alerts()
    assert ["log-went-back" in alert.detail for alert in alerts] == [True]
    aurora.node.base.clock.advance(901)  # type: ignore[attr-defined]
    await look(cobalt.node)
    assert ["log-unproven" in alert.detail for alert in await cobalt.node.witnessing.alerts()] == [True]
    # Neither is proof: the log may come back, and nobody is frozen for what it did not show.
    assert not birch.node.peering.directory.get(AURORA).frozen


async def test_a_frozen_peer_begins_nothing_and_goes_on_with_what_was_begun(
    three: Three,
) -> None:
    aurora, birch, cobalt = three
    await tell_two_stories(aurora, birch, cobalt, (2, 2))
    await birch.node.witnessing.round()
    peer, now = birch.node.peering.directory.get(AURORA), birch.node.base.clock.now()
    assert not peer.may("request", now=now)
    assert not peer.may("catalog", now=now)
    assert peer.may("continue", now=now)
    with pytest.raises(FrozenPeerError):
        peer.require("request", now=now)
    # It is refused over HTTP too, by its own word.
    asking = aurora.node.peering
    audience = audience_id(AURORA, birch.node.base.entity)
    with pytest.raises(MeshError) as refused:
        await asking.client.get(asking.directory.get(birch.node.base.entity), _head(audience))
    assert refused.value.code == "peer-frozen"
    assert AURORA not in {each.name for each in birch.node.witnessing.witnesses.all()}


def _head(audience: str) -> str:
    return f"/federation/v1/sets/{audience}/offers/head"


async def test_two_heads_of_one_set_are_caught_by_the_mirror(three: Three) -> None:
    aurora, birch, _ = three
    audience = audience_id(AURORA, birch.node.base.entity)
    await publish(aurora.node, audience)
    (source,) = [each for each in await birch.node.peering.audiences.sources() if each.peer == AURORA]
    await birch.node.catalog.mirror.poll(source)
    async with aurora.node.base.store.write() as tx:
        await tx.delete(SetHeadRow)
        await tx.delete(SetPageRow)
    aurora.node.base.clock.advance(1)  # type: ignore[attr-defined]
    await publish(aurora.node, audience)
    with pytest.raises(MeshError):
        await birch.node.catalog.mirror.poll(source)
    await birch.node.witnessing.round()
    (found,) = await birch.node.witnessing.evidence.all()
    assert (found.kind, found.frozen) == ("two-heads", True)
    await birch.node.witnessing.thaw(AURORA)
    await birch.node.catalog.mirror.poll(source)
    statuses: tuple[MirrorStatus, ...] = await birch.node.catalog.mirror.status()
    states = [each.state for each in statuses if (each.peer, each.kind) == (AURORA, "offers")]
    assert states == ["fresh"]


async def run(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, log, list(words))


async def test_evidence_is_verified_without_a_node_and_handed_on(three: Three, tmp_path: Path) -> None:
    aurora, birch, cobalt = three
    await tell_two_stories(aurora, birch, cobalt, (2, 2))
    await birch.node.witnessing.round()
    (found,) = await birch.node.witnessing.evidence.all()
    file = tmp_path / "evidence.json"
    file.write_bytes(await birch.node.witnessing.evidence.bundle(found.hash[:8]))
    verdict = json.loads((await run("evidence", "verify", str(file), "--json")).stdout)
    assert (verdict["accused"], verdict["hash"]) == (AURORA, found.hash)
    assert "two things that cannot" in (await run("evidence", "verify", str(file))).stdout
    file.write_bytes(file.read_bytes().replace(b'"seq"', b'"sEq"', 1)[:-10])
    assert isinstance((await run("evidence", "verify", str(file))).exception, MeshError)
