"""Keys of a peer that changed: what still counts, what is ended for good, and what awaits the administrator."""

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from federation.discovery import REFETCH_S
from federation.pending import WAIT_S
from federation.pins import MOST_ENDED, forget_peer
from federation.ports import where
from federation.rows import PeerRow, PendingDocumentRow, RevokedKeyRow
from node.keys import KeyRing
from node.services.peers import public_keys
from protocol.errors import ConflictError, LimitError, MissingError, RefusedError, UnverifiedError
from protocol.fingerprints import fingerprint_words
from protocol.keydirectory import UnprovenKeyError
from protocol.peers import NodeDocument, log_vkey, sign_document
from protocol.rotation import KeyChangedError, RevokedKeyError, Rotation, sign_rotation
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock

from .stations import Station, befriend, key_ring, station

pytestmark = pytest.mark.system

OLD, NEW, THIRD = key_ring("aurora"), key_ring("aurora 2"), key_ring("aurora 3")
RECOVERY = key_ring("aurora").recovery


def recovery_signer() -> SigningKey:
    return SigningKey(hashlib.sha256(b"aurora recovery").digest())


def document(
    aurora: Station, keys: KeyRing, *, seq: int = 2, statements: tuple[str, ...] = (), earlier: tuple[str, ...] = ()
) -> NodeDocument:
    """Return Aurora's document with other keys; the recovery key stays."""
    origin = aurora.own.document.log_origin
    return replace(
        aurora.own.document,
        keys=replace(public_keys(keys), recovery=RECOVERY.text),
        log_vkey=log_vkey(origin, keys.log.public.raw),
        seq=seq,
        rotations=statements,
        earlier_sign=earlier,
    )


def serve(
    aurora: Station, keys: KeyRing, *, seq: int = 2, statements: tuple[str, ...] = (), earlier: tuple[str, ...] = ()
) -> str:
    """Let Aurora serve a document with these keys; return it."""
    aurora.own.text = sign_document(
        document(aurora, keys, seq=seq, statements=statements, earlier=earlier), keys.federation
    )
    aurora.federation.rekey(keys.http)
    return aurora.own.text


def recovery(aurora: Station, *, number: int = 1, new: KeyRing = NEW) -> str:
    old = aurora.keys.federation.public.text
    said = Rotation(entity=aurora.entity, number=number, old=old, new=new.federation.public.text, issued_at=0)
    return sign_rotation(said, recovery_signer())


async def look(birch: Station, aurora: Station, clock: SteppedClock) -> None:
    clock.advance(REFETCH_S)
    await birch.discovery.refresh(aurora.entity)


async def test_messages_by_an_earlier_key_verify_as_long_as_the_document_says(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    new = replace(OLD, envelope_sign=NEW.envelope_sign)
    serve(aurora, new, earlier=(OLD.envelope_sign.public.text,))
    await look(birch, aurora, clock)
    keys = birch.directory.get(aurora.entity).document.message_keys
    assert keys.present == NEW.envelope_sign.public
    assert OLD.envelope_sign.public.keyid in keys
    serve(aurora, new, seq=3)
    await look(birch, aurora, clock)
    assert OLD.envelope_sign.public.keyid not in birch.directory.get(aurora.entity).document.message_keys


async def test_a_recovery_ends_every_key_from_before_at_once(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    serve(aurora, replace(OLD, envelope_sign=THIRD.envelope_sign), earlier=(OLD.envelope_sign.public.text,))
    await look(birch, aurora, clock)
    serve(aurora, NEW, seq=3, statements=(recovery(aurora),), earlier=(OLD.envelope_sign.public.text,))
    with pytest.raises(RevokedKeyError):
        await look(birch, aurora, clock)
    serve(aurora, NEW, seq=3, statements=(recovery(aurora),))
    await look(birch, aurora, clock)
    assert birch.directory.by_keyid(OLD.http.public.keyid) is None
    async with birch.store.read() as rows:
        ended = {row.public for row in await rows.find(RevokedKeyRow)}
    assert {OLD.federation.public.text, OLD.http.public.text, OLD.log.public.text} <= ended


async def test_the_thief_of_the_old_keys_does_not_come_back(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    serve(aurora, NEW, statements=(recovery(aurora),))
    await look(birch, aurora, clock)
    known = birch.directory.get(aurora.entity)
    step = Rotation(
        entity=aurora.entity,
        number=9,
        old=OLD.federation.public.text,
        new=THIRD.federation.public.text,
        issued_at=0,
    )
    by_old = sign_rotation(step, OLD.federation)
    # With the old document, a later one, a step to another key, and the recovery statement played again.
    for keys, statements in (
        (OLD, ()),
        (OLD, (recovery(aurora),)),
        (THIRD, (by_old,)),
        (THIRD, (recovery(aurora), by_old)),
    ):
        serve(aurora, keys, seq=99, statements=statements)
        with pytest.raises((KeyChangedError, RevokedKeyError)):
            await look(birch, aurora, clock)
        assert birch.directory.get(aurora.entity) == known
    # The old key does not even wait for confirmation; the third one does, and shows for three days.
    pending = await birch.discovery.pending.all()
    assert [one.new_words for one in pending] == [fingerprint_words(THIRD.federation.public)]


async def test_an_ended_key_does_not_await_confirmation(aurora: Station, birch: Station, clock: SteppedClock) -> None:
    serve(aurora, NEW, statements=(recovery(aurora),))
    await look(birch, aurora, clock)
    serve(aurora, OLD, seq=99)
    with pytest.raises(RevokedKeyError):
        await look(birch, aurora, clock)
    assert await birch.discovery.pending.all() == ()


async def test_a_thief_does_not_come_back_by_ticket_either(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    serve(aurora, NEW, statements=(recovery(aurora),))
    await look(birch, aurora, clock)
    await birch.peering.remove(aurora.entity)
    serve(aurora, OLD, seq=99)
    aurora.own.document = document(aurora, OLD, seq=99)
    with pytest.raises(RevokedKeyError):
        await birch.peering.accept((await aurora.peering.invite()).ticket)
    await aurora.peering.remove(birch.entity)
    with pytest.raises(UnverifiedError) as refusal:
        await aurora.peering.accept((await birch.peering.invite()).ticket)
    assert refusal.value.code == RevokedKeyError.code
    assert birch.directory.all() == ()


async def test_an_ended_key_is_not_taken_in_another_role_later(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    statement = recovery(aurora)
    serve(aurora, NEW, statements=(statement,))
    await look(birch, aurora, clock)
    known = birch.directory.get(aurora.entity)
    serve(aurora, replace(NEW, http=OLD.federation), seq=3, statements=(statement,))
    with pytest.raises(RevokedKeyError):
        await look(birch, aurora, clock)
    assert birch.directory.get(aurora.entity) == known


async def test_a_peer_does_not_fill_the_store_with_keys_that_it_ends(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    ended = [RevokedKeyRow(entity=aurora.entity, public=f"{number:043}", at=0) for number in range(MOST_ENDED)]
    async with birch.store.write() as tx:
        await tx.put(*ended)
    known = birch.directory.get(aurora.entity)
    serve(aurora, NEW, statements=(recovery(aurora),))
    with pytest.raises(LimitError):
        await look(birch, aurora, clock)
    assert birch.directory.get(aurora.entity) == known
    async with birch.store.write() as tx:
        await tx.delete(RevokedKeyRow, where(public=ended[0].public))
    await look(birch, aurora, clock)
    assert birch.directory.get(aurora.entity).document.keys.federation == NEW.federation.public.text


async def test_the_transport_key_of_another_peer_is_not_taken(
    tmp_path: Path, aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    async with station("cobalt", tmp_path, clock) as cobalt:
        await befriend(birch, cobalt)
        serve(aurora, replace(OLD, http=cobalt.keys.http))
        with pytest.raises(ConflictError):
            await look(birch, aurora, clock)
        peer = birch.directory.by_keyid(cobalt.keys.http.public.keyid)
        assert peer is not None
        assert peer.entity == cobalt.entity


async def test_a_key_that_nobody_vouches_for_is_seen_for_three_days_before_it_can_be_confirmed(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    serve(aurora, NEW)
    with pytest.raises(KeyChangedError):
        await look(birch, aurora, clock)
    seen = await birch.discovery.pending.show(aurora.entity)
    words = fingerprint_words(NEW.federation.public)
    assert (seen.known_words, seen.new_words) == (fingerprint_words(OLD.federation.public), words)
    assert seen.confirm_from == clock.now() + WAIT_S
    clock.advance(WAIT_S - 1)
    with pytest.raises(RefusedError, match="UTC") as refusal:
        await birch.discovery.pending.confirm(aurora.entity, words)
    assert refusal.value.code == "too-early"
    assert birch.directory.get(aurora.entity).http_key == OLD.http.public  # which goes on working meanwhile
    clock.advance(1)
    with pytest.raises(RefusedError) as refusal:
        await birch.discovery.pending.confirm(aurora.entity, seen.known_words)
    assert refusal.value.code == "wrong-words"
    peer = await birch.discovery.pending.confirm(aurora.entity, words)
    assert peer.document.keys.federation == NEW.federation.public.text
    assert birch.directory.by_keyid(NEW.http.public.keyid) == peer
    async with birch.store.read() as rows:
        row = await rows.get(PeerRow, aurora.entity)
        assert row is not None
        assert (row.federation_key, row.document) == (NEW.federation.public.text, aurora.own.text.encode())
        assert await rows.count(PendingDocumentRow) == 0
    with pytest.raises(MissingError):
        await birch.discovery.pending.confirm(aurora.entity, words)


async def test_a_third_key_starts_the_wait_anew_and_the_same_one_does_not(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    begun: list[int] = []
    for keys, seq in ((NEW, 2), (NEW, 3), (THIRD, 4), (NEW, 5)):
        serve(aurora, keys, seq=seq)
        with pytest.raises(KeyChangedError):
            await look(birch, aurora, clock)
        seen = await birch.discovery.pending.show(aurora.entity)
        assert seen.seen_at == clock.now()
        begun.append(seen.first_seen)
    assert begun == [begun[0], begun[0], begun[0] + 2 * REFETCH_S, begun[0] + 3 * REFETCH_S]


async def test_the_return_of_the_known_key_ends_the_wait(aurora: Station, birch: Station, clock: SteppedClock) -> None:
    before = aurora.own.text
    serve(aurora, NEW)
    with pytest.raises(KeyChangedError):
        await look(birch, aurora, clock)
    aurora.own.text = before
    aurora.federation.rekey(OLD.http)
    await look(birch, aurora, clock)
    assert await birch.discovery.pending.all() == ()
    with pytest.raises(MissingError):
        await birch.discovery.pending.show(aurora.entity)


async def test_a_changed_recovery_key_alone_never_awaits_confirmation(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    other = replace(aurora.own.document, keys=replace(aurora.own.document.keys, recovery=NEW.recovery.text), seq=2)
    aurora.own.text = sign_document(other, OLD.federation)
    with pytest.raises(KeyChangedError):
        await look(birch, aurora, clock)
    assert await birch.discovery.pending.all() == ()


async def test_a_document_of_somebody_else_never_awaits_confirmation(
    tmp_path: Path, aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    async with station("cobalt", tmp_path, clock) as cobalt:
        aurora.own.text = cobalt.own.text
        with pytest.raises(UnprovenKeyError):
            await look(birch, aurora, clock)
    assert await birch.discovery.pending.all() == ()


async def test_what_is_known_of_a_peers_keys_goes_with_it_but_not_what_was_ended(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    serve(aurora, NEW, statements=(recovery(aurora),))
    await look(birch, aurora, clock)
    serve(aurora, THIRD, seq=3)
    with pytest.raises(KeyChangedError):
        await look(birch, aurora, clock)
    async with birch.store.write() as tx:
        assert await tx.count(PendingDocumentRow) == 1
        await forget_peer(tx, aurora.entity)
        assert await tx.count(PendingDocumentRow) == 0
        assert await tx.count(RevokedKeyRow) > 0


async def test_a_step_from_a_document_that_was_refused_leads_nowhere(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    known = birch.directory.get(aurora.entity)
    serve(aurora, NEW)
    with pytest.raises(KeyChangedError):
        await look(birch, aurora, clock)
    step = Rotation(
        entity=aurora.entity,
        number=2,
        old=NEW.federation.public.text,
        new=THIRD.federation.public.text,
        issued_at=0,
    )
    serve(aurora, THIRD, seq=3, statements=(sign_rotation(step, NEW.federation),))
    with pytest.raises(KeyChangedError):
        await look(birch, aurora, clock)
    assert birch.directory.get(aurora.entity) == known
