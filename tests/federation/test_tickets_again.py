"""A ticket between nodes that know each other, or by a node that says two things: no way around what documents may."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from federation.ports import where
from federation.rows import EarlierDocumentRow, PeerRow
from node.services.peers import public_keys
from protocol.encoding import encode
from protocol.errors import RefusedError, UnverifiedError
from protocol.keydirectory import UnprovenKeyError
from protocol.peers import NodeDocument, log_vkey, sign_document
from protocol.rotation import KeyChangedError, StaleDocumentError
from protocol.tickets import Redeemed
from tests.fakes.clock import SteppedClock

from .stations import Station, key_ring, station

pytestmark = pytest.mark.system


@pytest.fixture
async def cobalt(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Station]:
    async with station("cobalt", tmp_path, clock) as made:
        yield made


def with_http_of(one: Station, other: Station) -> str:
    """Return a document of `one`, whole and newer, that names the transport key of `other`."""
    document = replace(one.own.document, keys=replace(one.own.document.keys, http=other.own.document.keys.http), seq=2)
    return sign_document(document, one.keys.federation)


async def test_who_redeems_with_one_transport_key_does_not_take_another_that_it_does_not_hold(
    birch: Station, cobalt: Station, tmp_path: Path, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with station("mallory", tmp_path, clock) as mallory:
        made = await birch.peering.invite()
        # What it serves when its own address is asked is another document than the one that it brings.
        served = replace(mallory.own, text=with_http_of(mallory, cobalt))
        monkeypatch.setattr(mallory.federation, "own", served)
        with pytest.raises(RefusedError) as refusal:
            await mallory.peering.accept(made.ticket)
        assert refusal.value.code == "not-reachable"
        # Nor does who invites: it answers with another document than the one that was fetched.
        invited = await mallory.peering.invite()
        lie = encode(Redeemed(document=with_http_of(mallory, cobalt), mode="full"))

        async def redeem(*_: object, **__: object) -> bytes:
            return lie

        monkeypatch.setattr(mallory.federation, "own", mallory.own)
        monkeypatch.setattr(mallory.peering, "redeem", redeem)
        with pytest.raises(UnprovenKeyError):
            await birch.peering.accept(invited.ticket)
    assert birch.directory.by_keyid(cobalt.keys.http.public.keyid) is None
    await cobalt.peering.accept((await birch.peering.invite()).ticket)
    peer = birch.directory.by_keyid(cobalt.keys.http.public.keyid)
    assert peer is not None
    assert peer.entity == cobalt.entity


def serve(aurora: Station, document: NodeDocument) -> None:
    """Let Aurora show and bring this document from now on."""
    aurora.own.text = sign_document(document, aurora.keys.federation)
    aurora.own.document = document


async def tickets_refused(aurora: Station, birch: Station, kind: type[UnverifiedError], code: str) -> None:
    """Try tickets in both directions; both end with this refusal, and the pin stays."""
    known = birch.directory.get(aurora.entity)
    with pytest.raises(kind):
        await birch.peering.accept((await aurora.peering.invite()).ticket)
    with pytest.raises(UnverifiedError) as refusal:
        await aurora.peering.accept((await birch.peering.invite()).ticket)
    assert refusal.value.code == code
    assert birch.directory.get(aurora.entity) == known


async def test_the_thief_of_a_federation_key_does_not_change_the_recovery_key_by_a_ticket(
    aurora: Station, birch: Station
) -> None:
    document = aurora.own.document
    stolen = replace(document, keys=replace(document.keys, recovery=key_ring("thief").recovery.text), seq=2)
    serve(aurora, stolen)
    await tickets_refused(aurora, birch, KeyChangedError, "federation-key-changed")


async def test_an_older_document_does_not_come_back_by_a_ticket(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    before = aurora.own.document
    serve(aurora, replace(before, seq=3))
    clock.advance(60)
    await birch.discovery.refresh(aurora.entity)
    serve(aurora, replace(before, seq=2))
    await tickets_refused(aurora, birch, StaleDocumentError, "stale-document")


async def test_a_log_key_that_a_peer_left_behind_by_a_ticket_counts_against_it_still(
    aurora: Station, birch: Station
) -> None:
    document = aurora.own.document
    other = key_ring("aurora 2").log.public
    changed = replace(
        document,
        keys=replace(public_keys(aurora.keys), log=other.text),
        log_vkey=log_vkey(document.log_origin, other.raw),
        seq=2,
    )
    serve(aurora, changed)
    await aurora.peering.accept((await birch.peering.invite()).ticket)
    assert birch.directory.get(aurora.entity).document == changed
    async with birch.store.read() as rows:
        kept = await rows.find(EarlierDocumentRow, where(entity=aurora.entity))
        row = await rows.get(PeerRow, aurora.entity)
    assert [each.seq for each in kept] == [1]
    assert row is not None
    assert row.mode == "full"
