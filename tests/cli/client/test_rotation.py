"""Keys change in the middle of everything, on real nodes: what was begun comes to its end, and thieves stay outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.person import Person
from cli.client.views import Agreed, Arrived, Event, Named, Secured
from federation.checkup import HELLO_PATH
from federation.client import ClientSettings, PeerClient
from federation.mirror import MirrorStatus
from federation.rows import ThreadRow
from node.clock import SystemClock, SystemEntropy
from node.keyfiles import ROLES, Role
from node.keys import KeyRing
from node.rekeying import recovery_key
from node.services.keys import KeyList, Prepared, PrepareRecovery, Recover, RotateKey
from node.services.peers import draft_document
from protocol.errors import MeshError, UnverifiedError
from protocol.peers import DOCUMENT_TYPE, DOCUMENTS_PATH, open_document, sign_document
from protocol.rotation import Rotation, sign_rotation
from tests.patience import PATIENCE_S, comes_true

from .world import PROMPTS, Company, become_mentor, companies, happens, lists_something, need

pytestmark = [pytest.mark.slow, pytest.mark.system]


async def rotate(company: Company, *roles: Role) -> None:
    """Give roles new keys, as an operator does while the node runs."""
    for role in roles:
        found = await company.node.operations.call("keys.rotate", RotateKey(role=role), KeyList)
        assert found.untold == ()


async def recover(company: Company) -> KeyRing:
    """Let the recovery key replace every key; return those from before."""
    before = company.node.base.keys
    prepared = await company.node.operations.call("keys.prepare", PrepareRecovery(), Prepared)
    said = Rotation(entity=prepared.entity, number=1, old=prepared.old, new=prepared.new, issued_at=0)
    statement = sign_rotation(said, recovery_key(company.node.base.directory / "recovery.key"))
    await company.node.operations.call("keys.recover", Recover(statement=statement), KeyList)
    return before


@asynccontextmanager
async def begun(folder: Path) -> AsyncIterator[tuple[Company, Company, Person, Person]]:
    """Run two companies; Ana of the first has seen who could help her at the second."""
    async with (
        companies(folder, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
        await become_mentor(ben)
        await lists_something(ana)
        await ana.ask(need())
        yield aurora, cobalt, ana, ben


async def both_know(mentee: Person, mentor: Person) -> None:
    """Return once both have an agreement and the other's name, in whatever order they learn it."""
    wanted = {Agreed, Secured, Named}
    seen: list[list[Event]] = [[], []]
    async with asyncio.timeout(PATIENCE_S):
        while not all(wanted <= {type(event) for event in events} for events in seen):
            for number, person in enumerate((mentee, mentor)):
                seen[number] += await person.poll(wait_s=0.1)


async def state_of(company: Company, thread: str) -> str:
    async with company.store.read() as rows:
        (row,) = [row for row in await rows.find(ThreadRow) if row.thread == thread]
    return row.state


@pytest.mark.parametrize("role", ROLES)
async def test_a_handshake_survives_a_new_key_of_either_side_at_every_step(tmp_path: Path, role: Role) -> None:
    async with begun(tmp_path) as (aurora, cobalt, ana, ben):
        await rotate(cobalt, role)  # a need and a quote are sealed and signed already
        request = await ana.request(1, prompts=PROMPTS)
        await rotate(aurora, role)
        await rotate(cobalt, role)
        arrived = await happens(ben, Arrived)
        assert arrived.request.prompts == PROMPTS
        await rotate(cobalt, role)
        await ben.accept(request.thread)
        await rotate(aurora, role)
        await both_know(ana, ben)
        assert await state_of(aurora, request.thread) == "FINALIZED"
        assert await state_of(cobalt, request.thread) == "FINALIZED"
        await rotate(aurora, role)
        await ana.send_chat(request.thread, "Hello Ben!")


async def test_messages_that_wait_while_all_keys_change_still_arrive(tmp_path: Path) -> None:
    async with begun(tmp_path) as (aurora, cobalt, ana, ben):
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        await rotate(aurora, *ROLES)
        await rotate(cobalt, *ROLES)
        await ben.accept(request.thread)
        await rotate(cobalt, *ROLES)
        await both_know(ana, ben)
        assert await state_of(aurora, request.thread) == "FINALIZED"


async def offers_of(company: Company) -> MirrorStatus:
    """Return how the offers of the only peer stand."""
    (status,) = [one for one in await company.node.catalog.mirror.status() if one.kind == "offers"]
    return status


async def test_offers_of_a_node_with_a_new_log_key_are_shown_again(tmp_path: Path) -> None:
    async with begun(tmp_path) as (aurora, cobalt, ana, _):
        seq = (await offers_of(aurora)).seq
        await rotate(cobalt, "log")

        async def shown() -> bool:
            status = await offers_of(aurora)
            return status.seq > seq and (status.state, status.problem) == ("fresh", "")

        await comes_true(shown)
        assert (await ana.api.search(need(), ())).offers
        assert aurora.node.peering.directory.get(cobalt.entity).document.log_origin == "cobalt.example/log/2"


def thief(keys: KeyRing) -> PeerClient:
    """Return a client that signs with a stolen transport key."""
    settings = ClientSettings(development=True, connect_s=2, total_s=5)
    return PeerClient(key=keys.http, clock=SystemClock(), entropy=SystemEntropy(), settings=settings)


async def test_stolen_keys_are_refused_by_every_peer_that_is_reached(tmp_path: Path) -> None:
    async with companies(tmp_path, "aurora", "birch", "cobalt") as (aurora, birch, cobalt):
        stolen = await recover(aurora)
        robber = thief(stolen)
        try:
            for company in (birch, cobalt):
                peer = aurora.node.peering.directory.get(company.entity)
                with pytest.raises(MeshError) as refusal:
                    await robber.get(peer, HELLO_PATH)
                assert refusal.value.code == "unknown-peer"
                answer = await aurora.node.peering.calls.get(peer, HELLO_PATH)
                assert answer.status == 200
        finally:
            await robber.close()


async def test_the_thief_of_the_federation_key_cannot_bring_a_document(tmp_path: Path) -> None:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt):
        before = aurora.node.peering.identity.document
        stolen = await recover(aurora)
        known = cobalt.node.peering.directory.get(aurora.entity)
        said = replace(draft_document(aurora.node.base.config, stolen), seq=before.seq + 100, issued_at=1)
        text = sign_document(said, stolen.federation)
        robber = thief(stolen)
        try:
            peer = aurora.node.peering.directory.get(cobalt.entity)
            with pytest.raises(MeshError) as refusal:
                await robber.post(peer, DOCUMENTS_PATH, text.encode(), DOCUMENT_TYPE)
            assert refusal.value.code == "missing"
        finally:
            await robber.close()
        assert cobalt.node.peering.directory.get(aurora.entity) == known


async def mirrored(*made: Company) -> dict[tuple[str, str], int]:
    """Return how far each company's mirrors of the others have come."""
    return {
        (company.entity, one.kind): one.seq if one.state == "fresh" and not one.problem else 0
        for company in made
        for one in await company.node.catalog.mirror.status()
    }


async def test_after_a_recovery_people_begin_anew(tmp_path: Path) -> None:
    async with begun(tmp_path) as (aurora, cobalt, ana, ben):
        await recover(aurora)
        before = await mirrored(aurora, cobalt)

        async def renewed() -> bool:
            """Tell whether heads are signed, attested and fetched with the new keys."""
            now = await mirrored(aurora, cobalt)
            return all(now[place] >= seq + 4 for place, seq in before.items())

        await comes_true(renewed)
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        await ben.accept(request.thread)
        await both_know(ana, ben)


async def test_a_statement_works_once(tmp_path: Path) -> None:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt):
        await recover(aurora)
        first = cobalt.node.peering.directory.get(aurora.entity).pinned
        await rotate(aurora, "federation", "http")
        second = cobalt.node.peering.directory.get(aurora.entity).pinned
        assert (first.recovered, second.recovered) == (1, 1)
        with pytest.raises(UnverifiedError):
            await cobalt.node.peering.discovery.learn(aurora.entity, first.text)
        assert cobalt.node.peering.directory.get(aurora.entity).pinned == second


async def test_a_ticket_from_before_names_a_key_that_is_gone(tmp_path: Path) -> None:
    async with companies(tmp_path, "aurora") as (aurora,), companies(tmp_path / "other", "cobalt") as (cobalt,):
        made = await aurora.node.peering.service.invite()
        await rotate(aurora, "federation")
        with pytest.raises(UnverifiedError):
            await cobalt.node.peering.service.accept(made.ticket)
        made = await aurora.node.peering.service.invite()
        accepted = await cobalt.node.peering.service.accept(made.ticket)
        assert accepted.peer.entity == aurora.entity
        assert open_document(aurora.node.peering.identity.text).rotations
