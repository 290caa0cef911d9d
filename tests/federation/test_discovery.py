"""A refetched document changes what its keys may change (docs/protocol/20-identity.md §3-§4)."""

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace

from federation.answers import BadAnswerError
from federation.calls import Answer, Contact
from federation.checkup import Checkup
from federation.discovery import DOCUMENTS_AT_ONCE, REFETCH_S
from federation.proving import document_text
from federation.rows import PeerRow
from node.services.peers import public_keys
from protocol.errors import LimitError, MalformedError, MissingError
from protocol.keydirectory import UnprovenKeyError
from protocol.peers import log_vkey, sign_document
from protocol.rotation import KeyChangedError, Rotation, StaleDocumentError, sign_rotation
from protocol.signing import SigningKey, VerifyKey
from tests.fakes.clock import SteppedClock

from .stations import Station, key_ring, station

pytestmark = pytest.mark.system

NEW_HTTP = SigningKey(hashlib.sha256(b"aurora http 2").digest())
NEW_FEDERATION = SigningKey(hashlib.sha256(b"aurora federation 2").digest())
RECOVERY = SigningKey(hashlib.sha256(b"aurora recovery").digest())


def say(
    aurora: Station,
    *,
    federation: SigningKey | None = None,
    http: SigningKey | None = None,
    statement: str = "",
    seq: int = 2,
    recovered: bool = False,
    held: bool = True,
) -> None:
    """Let Aurora serve another document; after a recovery with new keys throughout, unless `held` is all one node."""
    keys = aurora.own.document.keys
    origin = aurora.own.document.log_origin
    if recovered:
        http = key_ring("aurora recovered").http
        keys = replace(public_keys(key_ring("aurora recovered")), recovery=keys.recovery)
    signer = federation or aurora.keys.federation
    if http is not None:
        keys = replace(keys, http=http.public.text)
    keys = replace(keys, federation=signer.public.text)
    document = replace(
        aurora.own.document,
        keys=keys,
        log_vkey=log_vkey(origin, VerifyKey.parse(keys.log).raw),
        seq=seq,
        rotations=(statement,) if statement else (),
    )
    aurora.own.text = sign_document(document, signer)
    if held:
        aurora.federation.rekey(http or aurora.keys.http)


def rotation(signer: SigningKey, aurora: Station) -> str:
    old, new = aurora.keys.federation.public.text, NEW_FEDERATION.public.text
    return sign_rotation(Rotation(entity=aurora.entity, number=1, old=old, new=new, issued_at=0), signer)


async def test_a_new_transport_key_is_taken_over(aurora: Station, birch: Station) -> None:
    say(aurora, http=NEW_HTTP)
    peer = await birch.discovery.refresh(aurora.entity)
    assert peer.http_key == NEW_HTTP.public
    assert birch.directory.by_keyid(NEW_HTTP.public.keyid) == peer
    assert birch.directory.by_keyid(aurora.keys.http.public.keyid) is None
    async with birch.store.read() as reader:
        row = await reader.get(PeerRow, aurora.entity)
    assert row is not None
    assert (row.keyid, row.document) == (NEW_HTTP.public.keyid, aurora.own.text.encode())


async def test_a_document_is_fetched_at_most_once_a_minute(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    await birch.discovery.refresh(aurora.entity)
    clock.advance(REFETCH_S - 1)
    say(aurora, http=NEW_HTTP)
    with pytest.raises(LimitError) as refusal:
        await birch.discovery.refresh(aurora.entity)
    assert refusal.value.retry_at == clock.now() + 1
    clock.advance(1)
    assert (await birch.discovery.refresh(aurora.entity)).http_key == NEW_HTTP.public


async def test_a_clock_that_was_set_back_delays_no_look_at_a_document(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    await birch.discovery.refresh(aurora.entity)
    clock.advance(-3600)
    say(aurora, http=NEW_HTTP)
    assert (await birch.discovery.refresh(aurora.entity)).http_key == NEW_HTTP.public


async def test_a_changed_federation_key_is_refused_and_the_pin_stays(aurora: Station, birch: Station) -> None:
    before = birch.directory.get(aurora.entity)
    say(aurora, federation=NEW_FEDERATION, http=NEW_HTTP)
    with pytest.raises(KeyChangedError):
        await birch.discovery.refresh(aurora.entity)
    assert birch.directory.get(aurora.entity) == before


@pytest.mark.parametrize("by_recovery", [False, True], ids=["by the old key", "by the recovery key"])
async def test_a_changed_federation_key_with_a_statement_is_followed(
    aurora: Station, birch: Station, *, by_recovery: bool
) -> None:
    statement = rotation(RECOVERY if by_recovery else aurora.keys.federation, aurora)
    say(aurora, federation=NEW_FEDERATION, statement=statement, recovered=by_recovery)
    peer = await birch.discovery.refresh(aurora.entity)
    assert peer.document.keys.federation == NEW_FEDERATION.public.text
    assert peer.pinned.recovered == int(by_recovery)
    birch.directory.remove(aurora.entity)
    await birch.directory.load(birch.store)
    assert birch.directory.get(aurora.entity) == peer


async def test_a_transport_key_that_the_peer_does_not_hold_is_not_taken(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    before = birch.directory.get(aurora.entity)
    say(aurora, http=NEW_HTTP, held=False)  # such as one that another organization is about to use
    with pytest.raises(UnprovenKeyError):
        await birch.discovery.refresh(aurora.entity)
    assert birch.directory.get(aurora.entity) == before
    assert birch.directory.by_keyid(NEW_HTTP.public.keyid) is None
    clock.advance(REFETCH_S)
    say(aurora, federation=NEW_FEDERATION, http=NEW_HTTP, held=False)
    with pytest.raises(UnprovenKeyError):
        await birch.discovery.refresh(aurora.entity)
    assert await birch.discovery.pending.all() == ()


async def test_an_older_document_is_refused(aurora: Station, birch: Station, clock: SteppedClock) -> None:
    say(aurora, http=NEW_HTTP, seq=3)
    await birch.discovery.refresh(aurora.entity)
    clock.advance(REFETCH_S)
    say(aurora, seq=2)
    with pytest.raises(StaleDocumentError):
        await birch.discovery.refresh(aurora.entity)


async def test_a_document_that_follows_another_at_once_is_taken_by_a_process_that_has_not_heard_of_that_one(
    aurora: Station, birch: Station
) -> None:
    before = birch.directory.get(aurora.entity)
    async with birch.store.read() as rows:
        known = await rows.get(PeerRow, aurora.entity)
    assert known is not None
    say(aurora, http=NEW_HTTP, seq=3)
    await birch.discovery.learn(aurora.entity, aurora.own.text)
    birch.directory.put(known)
    say(aurora, seq=2)
    with pytest.raises(StaleDocumentError):
        await birch.discovery.learn(aurora.entity, aurora.own.text)
    assert birch.directory.get(aurora.entity) == before
    say(aurora, http=NEW_HTTP, seq=3)
    assert (await birch.discovery.learn(aurora.entity, aurora.own.text)).document.seq == 3
    birch.directory.put(known)
    say(aurora, http=NEW_HTTP, seq=4)
    assert (await birch.discovery.learn(aurora.entity, aurora.own.text)).document.seq == 4


async def test_the_document_that_is_known_changes_nothing_when_it_is_brought_again(
    aurora: Station, birch: Station
) -> None:
    known = birch.directory.get(aurora.entity)
    assert await birch.discovery.learn(aurora.entity, aurora.own.text) is known


async def test_a_peer_that_brings_one_document_after_the_other_is_slowed_down(
    aurora: Station, birch: Station, clock: SteppedClock
) -> None:
    for seq in range(2, DOCUMENTS_AT_ONCE + 2):
        say(aurora, seq=seq)
        await birch.discovery.learn(aurora.entity, aurora.own.text)
    say(aurora, seq=1000)
    with pytest.raises(LimitError):
        await birch.discovery.learn(aurora.entity, aurora.own.text)
    clock.advance(60)
    assert (await birch.discovery.learn(aurora.entity, aurora.own.text)).document.seq == 1000


async def test_a_stranger_is_not_fetched(birch: Station) -> None:
    with pytest.raises(MissingError):
        await birch.discovery.refresh("https://cobalt.example")


def test_a_document_comes_as_a_jws() -> None:
    answer = Answer(status=200, headers={"content-type": "application/jose; charset=x"}, body=b"a.b.c")
    assert document_text(answer) == "a.b.c"
    with pytest.raises(BadAnswerError):
        document_text(replace(answer, headers={"content-type": "text/html"}))
    with pytest.raises(MalformedError):
        document_text(replace(answer, body="ä".encode()))


async def test_the_checkup_of_a_peer_goes_to_the_end(aurora: Station, birch: Station) -> None:
    findings = await birch.checkup.examine(aurora.entity)
    assert [finding.check for finding in findings] == ["reachable", "document", "clock", "pinned key", "signatures"]
    # The stepped clock stands in another year than the Date header of the machine.
    assert [finding.check for finding in findings if not finding.ok] == ["clock"]


async def test_the_checkup_names_the_first_step_that_fails(aurora: Station, birch: Station) -> None:
    say(aurora, federation=NEW_FEDERATION)
    findings = await birch.checkup.examine(aurora.entity)
    assert [finding.check for finding in findings] == ["reachable", "document", "clock", "pinned key"]
    assert "administrator" in findings[-1].fix
    aurora.own.text = "nonsense"
    findings = await birch.checkup.examine(aurora.entity)
    assert [(finding.check, finding.ok) for finding in findings] == [("reachable", True), ("document", False)]
    await aurora.hang_up()
    (finding,) = await birch.checkup.examine(aurora.entity)
    assert (finding.check, finding.ok) == ("reachable", False)


async def test_the_checkup_finds_a_peering_that_the_other_side_ended(aurora: Station, birch: Station) -> None:
    await aurora.peering.remove(birch.entity)
    findings = await birch.checkup.examine(aurora.entity)
    assert (findings[-1].check, findings[-1].ok) == ("signatures", False)
    assert "unknown-peer" in findings[-1].detail


async def test_the_checkup_of_a_stranger_ends_with_its_document(
    aurora: Station, birch: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    await birch.peering.remove(aurora.entity)
    fetch, here = birch.client.fetch, aurora.own.connect_to

    async def fetch_here(contact: Contact, target: str, *, limit: int | None = None) -> Answer:
        return await fetch(replace(contact, connect_to=here), target, limit=limit)

    monkeypatch.setattr(birch.client, "fetch", fetch_here)
    findings = await birch.checkup.examine(aurora.entity)
    assert [finding.check for finding in findings] == ["reachable", "document", "clock", "peer"]
    with pytest.raises(MalformedError):
        await birch.checkup.examine("aurora.example")


async def test_the_checkup_of_a_stranger_that_is_away_ends_at_once(tmp_path: Path, clock: SteppedClock) -> None:
    async def lookup(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    async with station("cobalt", tmp_path, clock, lookup=lookup) as cobalt:
        (finding,) = await cobalt.checkup.examine("https://delta.example")
    assert (finding.check, finding.ok) == ("reachable", False)


async def test_the_checkup_notices_that_a_peer_takes_us_for_somebody_else(aurora: Station, birch: Station) -> None:
    checkup = Checkup(birch.client, birch.clock, birch.directory, own_entity="https://cobalt.example")
    findings = await checkup.examine(aurora.entity)
    assert (findings[-1].ok, findings[-1].detail) == (False, "it takes us for somebody else")


@pytest.mark.parametrize(
    ("date", "ok"),
    [
        ("Fri, 15 Jan 2027 08:00:00 GMT", True),
        ("Fri, 15 Jan 2027 08:00:30 GMT", True),
        ("Fri, 15 Jan 2027 07:59:29 GMT", False),
        ("yesterday", False),
        (None, False),
    ],
)
async def test_the_checkup_compares_clocks(birch: Station, date: str | None, *, ok: bool) -> None:
    headers = {} if date is None else {"date": date}
    finding = birch.checkup._clock_of(Answer(status=200, headers=headers, body=b""))
    assert finding.ok is ok
    assert bool(finding.fix) is not ok
