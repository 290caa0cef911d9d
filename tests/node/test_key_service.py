"""What an operator does about keys reaches files, document, log and peers, at once or at the next start."""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest

from federation.pending import WAIT_S, PendingKey
from federation.ports import where
from federation.rows import LogEntryRow, OwnDocumentRow, PeerRow
from node import config as configuration
from node.app import Node, open_node
from node.keyfiles import ROLES, Role
from node.keys import KeyRing, load_keys
from node.rekeying import recovery_key, rotate_key, waiting_key
from node.sections import Config, NodeSection, OrgSection
from node.services.keys import (
    ConfirmKey,
    KeyList,
    ListKeys,
    ListPending,
    Prepared,
    PrepareRecovery,
    Recover,
    RotateKey,
)
from node.services.peers import draft_document, public_keys
from node.status import NodeStatus, ShowStatus
from protocol.errors import MeshError, MissingError, RefusedError, UnavailableError
from protocol.keydirectory import DIRECTORY_PATH
from protocol.logleaves import NodeKeyLeaf, SuccessorLeaf, parse_leaf
from protocol.peers import DOCUMENT_PATH, open_document, sign_document
from protocol.rotation import Rotation, pin, sign_rotation
from protocol.rotation import follow as follow_document
from protocol.signing import VerifyKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.federation.stations import key_ring
from tests.node.running import ENTITY, Running, make_directory, running

pytestmark = pytest.mark.system

BIRCH = "https://birch.example"
FIELDS = {role: role.replace("-", "_") for role in ROLES}


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path / "aurora") as started:
        for _ in range(20):  # beyond what the keys of the node were made of
            started.node.base.entropy.take(32)
        await started.node.log.announce()
        await started.node.log.sequencer.sequence()
        yield started


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_directory(tmp_path / "aurora")


def opened(directory: Path) -> AbstractAsyncContextManager[Node]:
    config = configuration.parse((directory / "mentormesh.toml").read_text(), {})
    return open_node(directory, config, clock=SteppedClock(), entropy=SeededEntropy(3))


async def rotate(node: Node, role: Role) -> KeyList:
    return await node.operations.call("keys.rotate", RotateKey(role=role), KeyList)


async def leaves(node: Node, log: int) -> list[object]:
    await node.log.sequencer.sequence()
    async with node.base.store.read() as rows:
        found = await rows.find(LogEntryRow, where(log=log), order="number")
    return [parse_leaf(row.entry) for row in found]


def document_follows(before: str, node: Node) -> bool:
    """Tell whether a peer that pinned `before` follows to the node's present document."""
    known = open_document(before)
    try:
        follow_document(pin(before, VerifyKey.parse(known.keys.federation)), node.peering.identity.text)
    except MeshError:
        return False
    return True


@pytest.mark.parametrize("role", ROLES)
async def test_a_running_node_goes_on_with_a_new_key(node: Running, role: Role) -> None:
    before = node.node.peering.identity.text
    found = await rotate(node.node, role)
    document = node.node.peering.identity.document
    assert document.keys == public_keys(load_keys(node.node.base.directory))
    old, new = open_document(before).keys, document.keys
    assert {field for field in new.__struct_fields__ if getattr(old, field) != getattr(new, field)} == {FIELDS[role]}
    assert document_follows(before, node.node)
    async with aiohttp.ClientSession() as http, http.get(f"{node.url}{DOCUMENT_PATH}", headers=node.api) as answer:
        assert await answer.text() == node.node.peering.identity.text
    assert found.peers == 0
    assert bool(found.keys[ROLES.index(role)].earlier_until) is (
        role in {"attest", "log", "envelope-sign", "envelope-seal"}
    )
    said = [leaf for leaf in await leaves(node.node, 2 if role == "log" else 1) if isinstance(leaf, NodeKeyLeaf)]
    (last,) = [leaf for leaf in said if leaf.role == FIELDS[role]][-1:]
    assert role == "envelope-seal" or last.key == getattr(document.keys, FIELDS[role])


async def test_the_key_directory_shows_the_new_transport_key(node: Running) -> None:
    await rotate(node.node, "http")
    async with aiohttp.ClientSession() as http, http.get(f"{node.url}{DIRECTORY_PATH}", headers=node.api) as answer:
        (jwk,) = json.loads(await answer.read())["keys"]
    assert jwk["x"] == node.node.peering.identity.document.keys.http


async def test_a_new_log_key_is_announced_with_the_successor_it_signs(node: Running) -> None:
    await rotate(node.node, "log")
    document = node.node.peering.identity.document
    assert document.log_origin == "aurora.example/log/2"
    first, *rest = await leaves(node.node, 2)
    assert isinstance(first, SuccessorLeaf)
    assert {leaf.role for leaf in rest if isinstance(leaf, NodeKeyLeaf)} == {*FIELDS.values(), "recovery"}


async def test_a_log_that_is_not_whole_keeps_its_key(node: Running) -> None:
    base = node.node.base
    before = load_keys(base.directory).log.public
    async with base.store.write() as tx:
        await tx.delete(LogEntryRow, where(log=1, number=0))
    with pytest.raises(MeshError) as refusal:
        await rotate(node.node, "log")
    assert refusal.value.code == "log-damaged"
    assert load_keys(base.directory).log.public == before
    assert (await rotate(node.node, "http")).keys  # which needs no log


@pytest.mark.parametrize("role", ROLES)
async def test_a_node_that_stopped_after_the_file_changed_makes_up_for_it(directory: Path, role: Role) -> None:
    async with opened(directory) as node:
        await node.log.announce()
        await node.log.sequencer.sequence()
        before = node.peering.identity.text
    rotate_key(directory, role, ENTITY, entropy=SeededEntropy(5), now=1_800_000_000, until=2_000_000_000)
    async with opened(directory) as node:
        await node.keys.look_after()
        document = node.peering.identity.document
        assert document.keys == public_keys(load_keys(directory))
        assert document_follows(before, node)
        log = 2 if role == "log" else 1
        assert document.log_origin.removeprefix("aurora.example/log") == ("/2" if log == 2 else "")
        keys = [leaf for leaf in await leaves(node, log) if isinstance(leaf, NodeKeyLeaf)]
        assert FIELDS[role] in {leaf.role for leaf in keys[-8 if log == 2 else -1 :]}
        text = node.peering.identity.text
        await node.keys.look_after()
        assert node.peering.identity.text == text


async def test_a_full_disk_after_the_file_changed_is_made_up_for(
    node: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = node.node.peering.identity.text

    async def full(*_given: object, **_named: object) -> None:
        raise UnavailableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(node.node.log, "announce", full)
        with pytest.raises(UnavailableError):
            await rotate(node.node, "federation")
    await node.node.keys.look_after()
    assert node.node.peering.identity.document.keys == public_keys(load_keys(node.node.base.directory))
    assert document_follows(before, node.node)


async def statement(node: Node, **changes: object) -> str:
    prepared = await node.operations.call("keys.prepare", PrepareRecovery(), Prepared)
    said = {"entity": prepared.entity, "number": 1, "old": prepared.old, "new": prepared.new, "issued_at": 0, **changes}
    return sign_rotation(Rotation(**said), recovery_key(node.base.directory / "recovery.key"))  # type: ignore[arg-type]


async def test_a_recovery_replaces_every_key_of_a_running_node(node: Running) -> None:
    before = node.node.peering.identity.text
    text = await statement(node.node)
    assert (await node.node.operations.call("keys.list", ListKeys(), KeyList)).recovery_prepared
    found = await node.node.operations.call("keys.recover", Recover(statement=text + "\n"), KeyList)
    assert not found.recovery_prepared
    assert waiting_key(node.node.base.directory) is None
    old, new = open_document(before).keys, node.node.peering.identity.document.keys
    assert [field for field in old.__struct_fields__ if getattr(old, field) == getattr(new, field)] == ["recovery"]
    assert document_follows(before, node.node)
    with pytest.raises(MissingError):
        await node.node.operations.call("keys.recover", Recover(statement=text), KeyList)


def earlier_keys(node: Running) -> tuple[str, ...]:
    return node.node.peering.identity.document.earlier


async def test_earlier_keys_are_erased_when_their_time_is_over(node: Running) -> None:
    for role in ("attest", "log", "envelope-sign", "envelope-seal"):
        await rotate(node.node, role)
    clock = node.node.base.clock
    assert isinstance(clock, SteppedClock)
    assert len(earlier_keys(node)) == 3
    clock.advance(45 * 86_400)
    await node.node.keys.look_after()
    keys = node.node.base.keys
    assert (keys.earlier_log, keys.earlier_sign, keys.earlier_seal) == ((), (), ())
    assert earlier_keys(node) == ()


async def test_there_is_nothing_to_confirm_about_a_stranger_or_a_known_key(node: Running) -> None:
    operations = node.node.operations
    assert await operations.call_json("peer.pending", b"{}") == b"[]"
    with pytest.raises(MissingError):
        await operations.call_json("peer.confirm-key", b'{"entity":"https://birch.example","words":"a"}')


async def test_the_database_never_holds_a_private_key(node: Running) -> None:
    for role in ROLES:
        await rotate(node.node, role)
    async with node.node.base.store.read() as rows:
        (row,) = await rows.find(OwnDocumentRow)
    seeds = [path.read_text().split()[2] for path in (node.node.base.directory / "keys").glob("*.key")]
    assert not [seed for seed in seeds if seed.encode() in row.document]


async def test_a_peers_changed_key_shows_until_it_is_confirmed(node: Running) -> None:
    peering, clock = node.node.peering, node.node.base.clock
    assert isinstance(clock, SteppedClock)
    old, new = key_ring("birch"), key_ring("birch 2")
    row = PeerRow(
        entity=BIRCH,
        connect_to="127.0.0.1:1",  # nobody answers there
        keyid=old.http.public.keyid,
        federation_key=old.federation.public.text,
        document=birch(old).encode(),
        mode="full",
        added_at=clock.now(),
        fetched_at=clock.now(),
    )
    async with node.node.base.store.write() as tx:
        await tx.put(row)
    peer = peering.directory.put(row)
    await peering.discovery.pending.see(peer, birch(new))
    operations = node.node.operations
    (seen,) = await operations.call("peer.pending", ListPending(), tuple[PendingKey, ...])
    status = await operations.call("node.status", ShowStatus(), NodeStatus)
    assert [alert.about for alert in status.alerts if BIRCH in alert.detail] == ["changed key"]
    command = ConfirmKey(entity=BIRCH, words=seen.new_words)
    with pytest.raises(RefusedError, match="UTC"):
        await operations.call("peer.confirm-key", command, PendingKey)
    clock.advance(WAIT_S)
    assert await operations.call("peer.confirm-key", command, PendingKey) == seen
    assert peering.directory.get(BIRCH).http_key == new.http.public
    status = await operations.call("node.status", ShowStatus(), NodeStatus)
    assert [alert for alert in status.alerts if BIRCH in alert.detail] == []
    with pytest.raises(RefusedError) as refusal:
        await operations.call("peer.confirm-key", command, PendingKey)
    assert refusal.value.code == "known-key"


def birch(keys: KeyRing) -> str:
    """Return a document of Birch with these keys."""
    config = Config(node=NodeSection(entity=BIRCH), org=OrgSection(display_name="Birch Clinic", countries=("DE",)))
    return sign_document(draft_document(config, keys), keys.federation)
