"""Two organizations become peers by one ticket, and only then (federation.md, Membership)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, cast

import pytest
from msgspec.structs import replace

from federation.answers import PeerUnavailableError
from federation.calls import Answer, Calls, Contact
from federation.checkup import HELLO_PATH
from federation.identity import issue
from federation.introductions import met_document
from federation.peering import MAX_INVITES, TICKET_S
from federation.proving import OtherHostError
from federation.rows import InviteRow, MirrorRow, NonceRow, OwnDocumentRow, PeerRow
from node.services.peers import draft_document
from protocol.encoding import encode
from protocol.errors import (
    ConflictError,
    LimitError,
    MalformedError,
    MeshError,
    MissingError,
    RefusedError,
    UnverifiedError,
)
from protocol.fingerprints import fingerprint_words
from protocol.peers import DOCUMENT_PATH, DOCUMENT_TYPE, log_vkey, sign_document
from protocol.tickets import Redeemed, Redemption, parse_ticket, render_ticket
from tests.fakes.clock import SteppedClock

from .stations import Station, befriend, key_ring, station

pytestmark = pytest.mark.system


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def aurora(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Station]:
    async with station("aurora", tmp_path, clock) as made:
        yield made


@pytest.fixture
async def birch(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Station]:
    async with station("birch", tmp_path, clock) as made:
        yield made


async def test_redemption_with_a_loopback_address_is_refused_outside_development(
    tmp_path: Path, clock: SteppedClock, birch: Station
) -> None:
    async with station("aurora", tmp_path, clock, development=False) as aurora:
        made = parse_ticket((await aurora.peering.invite()).ticket)
        with_address = render_ticket(replace(made, connect_to=f"127.0.0.1:{aurora.port}"))
        with pytest.raises(RefusedError) as refusal:
            await birch.peering.accept(with_address)
        assert refusal.value.code == "development-only"


async def test_a_ticket_lets_two_nodes_ask_each_other(aurora: Station, birch: Station) -> None:
    await befriend(aurora, birch)
    for one, other in ((aurora, birch), (birch, aurora)):
        answer = await one.client.get(one.directory.get(other.entity), HELLO_PATH)
        assert f'"peer":"{one.entity}"'.encode() in answer.body


async def test_both_sides_read_the_same_words(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite()
    assert birch.peering.preview(made.ticket).words == made.words == fingerprint_words(aurora.keys.federation.public)
    accepted = await birch.peering.accept(made.ticket)
    assert accepted.peer.words == made.words
    assert accepted.own_words == (await aurora.peering.show(birch.entity)).words


async def test_a_ticket_works_for_one_organization_only(
    tmp_path: Path, clock: SteppedClock, aurora: Station, birch: Station
) -> None:
    made = await aurora.peering.invite()
    await birch.peering.accept(made.ticket)
    async with station("cobalt", tmp_path, clock) as cobalt:
        with pytest.raises(RefusedError) as refusal:
            await cobalt.peering.accept(made.ticket)
        assert refusal.value.code == "ticket"
        assert cobalt.directory.all() == ()
    assert [peer.entity for peer in aurora.directory.all()] == [birch.entity]


async def test_the_same_node_may_repeat_an_acceptance_that_was_lost(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite()
    await birch.peering.accept(made.ticket)
    await birch.peering.remove(aurora.entity)
    await birch.peering.accept(made.ticket)
    assert birch.directory.get(aurora.entity).mode == "full"


async def test_a_used_ticket_does_not_bring_a_removed_peer_back(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite()
    await birch.peering.accept(made.ticket)
    await aurora.peering.remove(birch.entity)
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.accept(made.ticket)
    assert refusal.value.code == "ticket"
    assert aurora.directory.all() == ()


async def test_a_ticket_ends_at_its_second(aurora: Station, birch: Station, clock: SteppedClock) -> None:
    made = await aurora.peering.invite()
    clock.advance(TICKET_S)
    with pytest.raises(RefusedError, match="expired"):
        await birch.peering.accept(made.ticket)
    async with aurora.store.read() as reader:
        (row,) = await reader.find(InviteRow)
    assert row.expires_at == clock.now()


async def test_the_inviting_node_judges_the_end_of_a_ticket_itself(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    made = await aurora.peering.invite(valid_s=60)
    later = render_ticket(replace(parse_ticket(made.ticket), expires_at=clock.now() + 10_000))
    clock.advance(60)
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.accept(later)
    assert refusal.value.code == "ticket"


async def test_a_ticket_for_one_organization_is_no_use_to_another(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite(entity="https://cobalt.example")
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.accept(made.ticket)
    assert refusal.value.code == "ticket"


async def test_a_guessed_code_lets_nobody_in(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite()
    forged = render_ticket(replace(parse_ticket(made.ticket), code="A" * 22))
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.accept(forged)
    assert refusal.value.code == "ticket"


async def test_a_newcomer_that_cannot_be_reached_keeps_its_ticket(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite()
    await birch.hang_up()
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.accept(made.ticket)
    assert refusal.value.code == "not-reachable"
    assert aurora.directory.all() == ()
    await birch.listen()
    await birch.peering.accept(made.ticket)
    assert aurora.directory.get(birch.entity).mode == "full"


async def test_nobody_takes_the_name_of_an_organization_whose_address_it_does_not_hold(
    tmp_path: Path, clock: SteppedClock, birch: Station
) -> None:
    # Mallory holds a ticket that it intercepted and signs a whole document in Birch's name with keys of its own.
    known = {birch.entity: birch.own.connect_to}
    async with (
        station("aurora", tmp_path, clock, connect_to=known) as aurora,
        station("mallory", tmp_path, clock, entity=birch.entity) as mallory,
    ):
        made = await aurora.peering.invite()
        with pytest.raises(RefusedError) as refusal:
            await mallory.peering.accept(made.ticket)
        assert refusal.value.code == "not-reachable"
        assert aurora.directory.all() == ()


class Hosts:
    """Documents by address; counts as the calls of a node that meets others outside development."""

    def __init__(self, documents: dict[str, str]) -> None:
        self.documents: Final = documents

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:  # noqa: ARG002
        """Answer with the document of a host, as everybody would get it."""
        if target != DOCUMENT_PATH or contact.api not in self.documents:
            raise PeerUnavailableError("nothing answers there")
        return Answer(
            status=200, headers={"content-type": DOCUMENT_TYPE}, body=self.documents[contact.api].encode("ascii")
        )


async def meet(station: Station, hosts: dict[str, str], api: str) -> str:
    contact = Contact(api=api)
    keyid = station.keys.federation.public.keyid
    return await met_document(cast("Calls", Hosts(hosts)), contact, station.entity, keyid)


async def test_a_node_at_another_host_counts_once_the_host_of_its_name_says_so(aurora: Station, birch: Station) -> None:
    # Mallory serves a whole document in Aurora's name, signed by keys of its own, at its own address.
    api, other_port = "https://mallory.example", "https://aurora.example:8443"
    document = replace(aurora.own.document, api=api)
    text = sign_document(document, aurora.keys.federation)
    with pytest.raises(PeerUnavailableError):
        await meet(aurora, {api: text}, api)
    with pytest.raises(OtherHostError):
        await meet(aurora, {api: text, aurora.entity: birch.own.text}, api)
    keys = key_ring("the real one")
    real = sign_document(draft_document(aurora.config, keys), keys.federation)
    with pytest.raises(OtherHostError):
        await meet(aurora, {api: text, aurora.entity: real}, api)
    # The real one serves a document there, though an older one, and may take any port of its own host.
    assert await meet(aurora, {api: text, aurora.entity: aurora.own.text}, api) == text
    moved = sign_document(replace(document, api=other_port), aurora.keys.federation)
    assert await meet(aurora, {other_port: moved}, other_port) == moved


async def test_a_node_with_another_key_than_the_ticket_names_is_not_accepted(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite()
    other = render_ticket(replace(parse_ticket(made.ticket), fingerprint=birch.keys.federation.public.keyid))
    with pytest.raises(UnverifiedError, match="federation key"):
        await birch.peering.accept(other)
    assert birch.directory.all() == ()


async def test_another_node_at_the_address_of_a_ticket_is_not_accepted(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite()
    other = render_ticket(replace(parse_ticket(made.ticket), entity="https://cobalt.example"))
    with pytest.raises(UnverifiedError, match="another one"):
        await birch.peering.accept(other)


async def test_nodes_without_a_common_protocol_do_not_peer(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite()
    later = replace(aurora.own.document, protocols=("mentormesh/2",))
    aurora.own.text = sign_document(later, aurora.keys.federation)
    with pytest.raises(RefusedError, match="no protocol version in common"):
        await birch.peering.accept(made.ticket)


async def test_an_answer_about_another_entity_lets_nobody_in(
    aurora: Station, birch: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await aurora.peering.invite()
    other = replace(
        aurora.own.document,
        entity="https://cobalt.example",
        log_origin="cobalt.example/log",
        log_vkey=log_vkey("cobalt.example/log", aurora.keys.log.public.raw),
    )
    lie = encode(Redeemed(document=sign_document(other, aurora.keys.federation), mode="full"))

    async def redeem(*_: object, **__: object) -> bytes:
        return lie

    monkeypatch.setattr(aurora.peering, "redeem", redeem)
    with pytest.raises(UnverifiedError, match="another entity"):
        await birch.peering.accept(made.ticket)
    assert birch.directory.all() == ()


async def test_a_replayed_redemption_has_no_second_effect(aurora: Station, birch: Station) -> None:
    made = parse_ticket((await aurora.peering.invite()).ticket)
    redemption = Redemption(code=made.code, document=birch.own.text, connect_to=birch.own.connect_to)
    nonce = NonceRow(keyid=birch.keys.http.public.keyid, nonce="A" * 22, expires_at=aurora.clock.now() + 300)
    await aurora.peering.redeem(redemption, birch.own.document, nonce=nonce)
    with pytest.raises(ConflictError) as refusal:
        await aurora.peering.redeem(redemption, birch.own.document, nonce=nonce)
    assert refusal.value.code == "replay"


async def test_all_peers_are_listed_by_entity(aurora: Station, birch: Station) -> None:
    await befriend(aurora, birch)
    (one,) = await aurora.peering.peers()
    assert (one.entity, one.display_name, one.mode) == (birch.entity, "Birch", "full")
    assert one.words == fingerprint_words(birch.keys.federation.public)


async def test_a_known_organization_does_not_change_its_key_by_a_new_ticket(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    await befriend(aurora, birch)
    async with aurora.store.write() as tx:
        row = await tx.get(PeerRow, birch.entity)
        assert row is not None
        await tx.put(replace(row, federation_key="A" * 43))
    made = await aurora.peering.invite()
    clock.advance(1)
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.accept(made.ticket)
    assert refusal.value.code == "key-conflict"


async def test_a_blocked_peer_stays_blocked_whatever_ticket_it_holds(aurora: Station, birch: Station) -> None:
    await befriend(aurora, birch)
    await aurora.peering.set_mode(birch.entity, "blocked", reason="contract ended")
    made = await aurora.peering.invite()
    with pytest.raises(RefusedError) as refusal:
        await birch.peering.accept(made.ticket)
    assert refusal.value.code == "peer-blocked"


async def test_a_node_neither_invites_nor_accepts_itself(aurora: Station) -> None:
    made = await aurora.peering.invite()
    with pytest.raises(RefusedError, match="own"):
        await aurora.peering.accept(made.ticket)
    with pytest.raises(RefusedError, match="itself"):
        await aurora.peering.invite(entity=aurora.entity)
    with pytest.raises(MalformedError):
        await aurora.peering.invite(entity="birch")


async def test_in_development_a_ticket_names_the_port_of_a_running_node(aurora: Station) -> None:
    aurora.own.connect_to = ""
    with pytest.raises(RefusedError) as refusal:
        await aurora.peering.invite()
    assert refusal.value.code == "not-started"


async def test_open_tickets_are_bounded_and_expired_ones_forgotten(aurora: Station, clock: SteppedClock) -> None:
    for _ in range(MAX_INVITES):
        await aurora.peering.invite()
    with pytest.raises(LimitError):
        await aurora.peering.invite()
    clock.advance(TICKET_S)
    await aurora.peering.invite()


async def test_a_ticket_starts_the_peer_in_the_mode_that_was_proposed(aurora: Station, birch: Station) -> None:
    made = await aurora.peering.invite(policy="no-new-requests")
    accepted = await birch.peering.accept(made.ticket)
    assert accepted.peer.mode == "no-new-requests"
    assert (await aurora.peering.show(birch.entity)).mode == "no-new-requests"


async def test_outside_development_no_loopback_address_is_taken(
    tmp_path: Path, clock: SteppedClock, aurora: Station
) -> None:
    async with station("birch", tmp_path, clock, development=False) as birch:
        made = await aurora.peering.invite()
        with pytest.raises(RefusedError) as refusal:
            await birch.peering.accept(made.ticket)
        assert refusal.value.code == "development-only"
        assert parse_ticket((await birch.peering.invite()).ticket).connect_to == ""


async def test_a_mode_holds_until_its_end_and_a_removed_peer_is_nobody(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    await befriend(aurora, birch)
    await aurora.peering.set_mode(birch.entity, "blocked", reason="audit", days=1)
    assert await code_of_hello(birch, aurora) == "peer-blocked"
    clock.advance(86_400)
    assert await code_of_hello(birch, aurora) == ""
    await aurora.peering.remove(birch.entity)
    assert await code_of_hello(birch, aurora) == "unknown-peer"
    with pytest.raises(MissingError):
        await aurora.peering.show(birch.entity)
    with pytest.raises(MissingError):
        await aurora.peering.remove(birch.entity)


async def test_of_a_removed_peer_no_head_is_held_against_its_next_ones(aurora: Station, birch: Station) -> None:
    await befriend(aurora, birch)
    held = [
        MirrorRow(
            origin=each, audience="A" * 43, kind="offers", seq=4, head="…", head_hash="A" * 43, issued_at=1,
            not_after=2, state="forked", entries=0,
        )
        for each in (birch.entity, "https://cobalt.example")
    ]  # fmt: skip
    async with aurora.store.write() as tx:
        await tx.put(*held)
    await aurora.peering.remove(birch.entity)
    async with aurora.store.read() as rows:
        assert await rows.find(MirrorRow) == held[1:]


@pytest.mark.parametrize(("days", "reason"), [(0, "x"), (367, "x"), (None, "x" * 201)])
async def test_a_mode_has_a_bounded_end_and_reason(
    aurora: Station, birch: Station, days: int | None, reason: str
) -> None:
    await befriend(aurora, birch)
    with pytest.raises(MalformedError):
        await aurora.peering.set_mode(birch.entity, "blocked", reason=reason, days=days)
    assert aurora.directory.get(birch.entity).mode == "full"


async def test_peers_are_known_again_after_a_restart(aurora: Station, birch: Station) -> None:
    await befriend(aurora, birch)
    known = aurora.directory.get(birch.entity)
    aurora.directory.remove(birch.entity)
    await aurora.directory.load(aurora.store)
    assert aurora.directory.get(birch.entity) == known


async def test_the_own_document_is_signed_again_only_when_it_says_something_else(
    aurora: Station, clock: SteppedClock
) -> None:
    said = draft_document(aurora.config, aurora.keys)
    clock.advance(1000)
    same = await issue(aurora.store, said, aurora.keys.federation, now=clock.now())
    assert same.text == aurora.own.text
    changed = replace(said, org=replace(said.org, display_name="Aurora Freight SE"))
    other = await issue(aurora.store, changed, aurora.keys.federation, now=clock.now())
    assert (other.document.seq, other.document.org.version) == (2, 2)
    assert other.document.issued_at == clock.now()
    again = await issue(aurora.store, changed, aurora.keys.federation, now=clock.now() + 5)
    assert again.text == other.text


async def test_the_documents_after_two_restores_of_one_backup_do_not_share_numbers(
    aurora: Station, clock: SteppedClock
) -> None:
    said = draft_document(aurora.config, aurora.keys)
    async with aurora.store.read() as rows:
        (held,) = await rows.find(OwnDocumentRow)
    first = await issue(aurora.store, said, aurora.keys.federation, now=clock.now(), lost=True)
    async with aurora.store.write() as tx:
        await tx.put(held)
    clock.advance(600)
    again = await issue(aurora.store, said, aurora.keys.federation, now=clock.now(), lost=True)
    assert first.document.seq > aurora.own.document.seq + 1_000_000
    assert again.document.seq >= first.document.seq + 10
    assert again.document.org.version >= first.document.org.version + 10


async def test_a_process_with_other_keys_changes_nothing_while_others_serve(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    async def beside() -> bool:
        return True

    said = draft_document(aurora.config, aurora.keys)
    same = await issue(aurora.store, said, aurora.keys.federation, now=clock.now(), beside=beside)
    assert same.text == aurora.own.text
    other = replace(said, keys=draft_document(birch.config, birch.keys).keys)
    with pytest.raises(RefusedError, match="copy their folder `keys`"):
        await issue(aurora.store, other, birch.keys.federation, now=clock.now(), beside=beside)


async def code_of_hello(one: Station, other: Station) -> str:
    """Return the code with which `other` refuses `one`; empty when it answers."""
    try:
        await one.client.get(one.directory.get(other.entity), HELLO_PATH)
    except MeshError as error:
        return error.code
    return ""
