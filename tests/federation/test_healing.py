"""Two nodes find each other again after either has changed its keys, whoever was told what."""

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from federation.announcer import Announcer
from federation.answers import UnverifiedAnswerError
from federation.calls import Answer
from federation.discovery import REFETCH_S
from federation.healing import HealingCalls
from federation.identity import issue
from federation.rows import ToldDocumentRow
from node.services.peers import draft_document
from protocol.digest import content_digest
from protocol.encoding import sha256
from protocol.errors import MeshError, MissingError, UnavailableError
from protocol.httpsig import RequestLine, sign_request
from protocol.peers import DOCUMENT_TYPE, DOCUMENTS_PATH, open_document
from protocol.signing import SigningKey
from tests.fakes.clock import SteppedClock

from .stations import BATCH, Station, befriend, raw, station

pytestmark = pytest.mark.system

SEE = "/federation/v1/see"
ACT = "/federation/v1/batch"


def healing(one: Station) -> tuple[HealingCalls, Announcer]:
    """Return the calls of a station that heal, and who brings its document to others."""
    calls = HealingCalls(one.client, one.clock, one.directory, one.discovery)
    announcer = Announcer(one.store, calls, one.clock, one.entropy, one.directory, own=one.own)
    calls.connect(announcer)
    return calls, announcer


def new_key(one: Station, number: int = 2) -> SigningKey:
    return SigningKey(hashlib.sha256(f"{one.name} http {number}".encode()).digest())


async def rekey(one: Station, number: int = 2) -> SigningKey:
    """Give a station another http key, in its document and in use; nobody is told."""
    key = new_key(one, number)
    draft = draft_document(one.config, replace(one.keys, http=key))
    fresh = await issue(one.store, draft, one.keys.federation, now=one.clock.now())
    one.own.document, one.own.text = fresh.document, fresh.text
    one.client.rekey(key)
    one.federation.rekey(key)
    return key


async def see(one: Station, other: Station, calls: HealingCalls) -> Answer:
    return await calls.get(one.directory.get(other.entity), SEE)


async def test_who_does_not_know_our_key_is_brought_our_document(aurora: Station, birch: Station) -> None:
    calls, announcer = healing(birch)
    key = await rekey(birch)
    assert (await see(birch, aurora, calls)).status == 200
    assert aurora.directory.get(birch.entity).http_key == key.public
    assert await announcer.untold() == ()


async def test_without_healing_the_same_request_is_refused(aurora: Station, birch: Station) -> None:
    await rekey(birch)
    with pytest.raises(UnavailableError) as refusal:
        await birch.client.get(birch.directory.get(aurora.entity), SEE)
    assert refusal.value.code == "unknown-peer"


async def test_an_answer_by_an_unknown_key_lets_the_document_be_fetched(aurora: Station, birch: Station) -> None:
    calls, _ = healing(birch)
    key = await rekey(aurora)
    assert (await see(birch, aurora, calls)).status == 200
    assert birch.directory.get(aurora.entity).http_key == key.public


async def test_both_may_have_changed_their_keys(aurora: Station, birch: Station) -> None:
    calls, _ = healing(birch)
    keys = await rekey(aurora), await rekey(birch)
    assert (await see(birch, aurora, calls)).status == 200
    found = birch.directory.get(aurora.entity).http_key, aurora.directory.get(birch.entity).http_key
    assert found == (keys[0].public, keys[1].public)


async def test_a_request_with_an_effect_has_it_once_when_it_is_repeated(aurora: Station, birch: Station) -> None:
    calls, _ = healing(birch)
    await rekey(birch)
    before = len((await aurora.rows())["invite"])
    peer = birch.directory.get(aurora.entity)
    assert (await calls.post(peer, ACT, b"x", BATCH)).status == 200
    assert len((await aurora.rows())["invite"]) == before + 1


async def test_a_stranger_stays_one_and_is_not_told_again_and_again(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    calls, announcer = healing(birch)
    await aurora.peering.remove(birch.entity)
    told: list[str] = []
    tell = announcer.tell

    async def counted(entity: str) -> None:
        told.append(entity)
        await tell(entity)

    announcer.tell = counted  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(UnavailableError) as refusal:
            await see(birch, aurora, calls)
        assert refusal.value.code == "unknown-peer"
    assert told == [aurora.entity]
    clock.advance(REFETCH_S)
    with pytest.raises(UnavailableError):
        await see(birch, aurora, calls)
    assert told == [aurora.entity] * 2


async def test_a_new_document_is_brought_within_the_same_minute(aurora: Station, birch: Station) -> None:
    calls, _ = healing(birch)
    for number in (2, 3):
        key = await rekey(birch, number)
        assert (await see(birch, aurora, calls)).status == 200
        assert aurora.directory.get(birch.entity).http_key == key.public


async def test_an_answer_that_nothing_explains_is_not_believed(aurora: Station, birch: Station) -> None:
    calls, _ = healing(birch)
    aurora.federation.rekey(new_key(aurora))  # which no document names
    for _ in range(2):
        with pytest.raises(UnverifiedAnswerError):
            await see(birch, aurora, calls)


async def test_documents_are_brought_until_each_peer_has_confirmed(
    tmp_path: Path, aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    async with station("cobalt", tmp_path, clock) as cobalt:
        await befriend(cobalt, birch)
        _, announcer = healing(birch)
        assert await announcer.step() is None
        await rekey(birch)
        await cobalt.hang_up()
        pause = await announcer.step()
        assert pause is not None
        assert 0 < pause <= 5
        assert await announcer.untold() == (cobalt.entity,)
        await cobalt.listen()
        clock.advance(pause + 1)
        assert await announcer.step() is None
    async with birch.store.read() as rows:
        told = await rows.find(ToldDocumentRow)
    assert {row.entity for row in told} == {aurora.entity, cobalt.entity}
    assert {row.hash for row in told} == {sha256(birch.own.text.encode())}


async def test_what_was_confirmed_is_remembered_over_a_restart(aurora: Station, birch: Station) -> None:
    _, announcer = healing(birch)
    assert await announcer.untold() == (aurora.entity,)
    assert await announcer.step() is None
    _, after = healing(birch)
    assert await after.untold() == ()


async def test_a_peer_that_forgot_a_document_is_brought_it_once_more(aurora: Station, birch: Station) -> None:
    calls, announcer = healing(birch)
    row = next(row for row in (await aurora.rows())["peer"])
    await rekey(birch)
    await announcer.step()
    async with aurora.store.write() as tx:  # as after a restore of its database
        await tx.put(row)
    aurora.directory.put(row)  # type: ignore[arg-type]
    assert (await see(birch, aurora, calls)).status == 200


async def bring(to: Station, text: str, key: SigningKey, **changes: str) -> int:
    """Return the status of the answer to a document that is brought over a bare socket."""
    line = RequestLine(method="POST", authority=f"{to.name}.example", target=DOCUMENTS_PATH)
    body = text.encode()
    request = sign_request(line, body, DOCUMENT_TYPE, key=key, now=to.clock.now(), nonce=bytes(16))
    headers = {"Host": f"{to.name}.example", **request.headers, **changes}
    return (await raw(to.port, "POST", DOCUMENTS_PATH, list(headers.items()), body)).status


async def test_only_who_is_in_the_document_can_bring_it(aurora: Station, birch: Station) -> None:
    assert await bring(aurora, birch.own.text, birch.keys.http) == 204
    assert await bring(aurora, birch.own.text, aurora.keys.http) == 401
    assert await bring(aurora, birch.own.text + "A", birch.keys.http) == 400
    assert await bring(aurora, "nonsense", birch.keys.http) == 400
    assert await bring(aurora, "é", birch.keys.http) == 400
    digest = content_digest(b"other")
    assert await bring(aurora, birch.own.text, birch.keys.http, **{"Content-Digest": digest}) in {400, 401}


async def test_nobody_learns_from_a_refusal_who_our_peers_are(tmp_path: Path, aurora: Station, birch: Station) -> None:
    async with station("cobalt", tmp_path, aurora.clock) as cobalt:
        stranger = await bring(aurora, cobalt.own.text, cobalt.keys.http)
    first = birch.own.text
    key = await rekey(birch)
    assert await bring(aurora, birch.own.text, key) == 204
    stale = await bring(aurora, first, birch.keys.http)
    assert stale == stranger == 404
    assert open_document(aurora.directory.get(birch.entity).pinned.text).keys.http == key.public.text


async def test_a_document_is_not_taken_for_longer_than_it_may_be(aurora: Station, birch: Station) -> None:
    assert await bring(aurora, "A" * (33 * 1024), birch.keys.http) == 413


async def test_a_request_whose_key_ends_while_it_comes_in_has_no_effect(aurora: Station, birch: Station) -> None:
    line = RequestLine(method="POST", authority="aurora.example", target=ACT)
    now = aurora.clock.now()
    request = sign_request(line, b"x", BATCH, key=birch.keys.http, now=now, nonce=bytes(16))
    headers = [("Host", "aurora.example"), *request.headers.items()]
    admission = aurora.authenticator.admit(line, request.headers.items(), address="127.0.0.1")
    authenticated = aurora.authenticator.verify(
        aurora.authenticator.admit(line, request.headers.items(), address="127.0.0.1"), b"x"
    )
    key = await rekey(birch)
    assert await bring(aurora, birch.own.text, key) == 204
    with pytest.raises(MeshError) as refusal:
        aurora.authenticator.verify(admission, b"x")
    assert refusal.value.code == "unknown-peer"
    async with aurora.store.write() as tx:
        with pytest.raises(MeshError) as refusal:
            await authenticated.spend(tx)
    assert refusal.value.code == "unknown-peer"
    assert (await raw(aurora.port, "POST", ACT, headers, b"x")).status == 403


async def test_a_removed_peer_is_not_told_of_anything(aurora: Station, birch: Station) -> None:
    _, announcer = healing(birch)
    await birch.peering.remove(aurora.entity)
    assert await announcer.untold() == ()
    with pytest.raises(MissingError):
        await announcer.tell(aurora.entity)
