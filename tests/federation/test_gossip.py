"""Whoever shows two peers two logs is found by their gossip, with evidence; whoever does not is never accused."""

import asyncio
import json

import pytest
from msgspec.structs import replace

from federation import gossip
from federation.earlier import MOST
from federation.evidence import IMPORTED
from federation.gossip import open_checkpoints
from federation.mirror import MirrorStatus
from federation.pins import note_followed
from federation.rows import (
    BundleRow,
    EarlierDocumentRow,
    EvidenceRow,
    FrozenRow,
    LogAheadRow,
    MessageRow,
    MirrorRow,
    PeerRow,
    TakenHeadRow,
    WitnessedLogRow,
)
from federation.sets import Fetched
from federation.watchwords import FORKED, LASTING
from protocol.bodies import DeclinedBody
from protocol.encoding import b64, decode, unb64
from protocol.errors import LimitError, MeshError, MissingError
from protocol.evidence import make_bundle, open_bundle, signed_checkpoint
from protocol.heads import HEAD_TYP, SetHead, head_hash, sign_head
from protocol.ids import message_id
from protocol.jws import parse
from protocol.logleaves import SetHeadLeaf, head_leaf
from protocol.messages import CheckpointRef, MessageHead, body_hash, sign_message
from protocol.peers import log_key, log_vkey, sign_document
from protocol.rotation import follow
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from tests.patience import PATIENCE_S
from tests.vectors.generate import evidence as vectors

from .stations import key_ring
from .watchers import AUDIENCE, Town, Watcher, fork, leaves, problem_of

AURORA = "https://aurora.example"
LOG = "aurora.example/log"


async def bundles(watcher: Watcher) -> list[BundleRow]:
    async with watcher.store.read() as rows:
        return await rows.find(BundleRow)


async def frozen(watcher: Watcher) -> list[str]:
    async with watcher.store.read() as rows:
        return [row.peer for row in await rows.find(FrozenRow)]


@pytest.mark.slow
async def test_honest_nodes_accuse_nobody_however_their_logs_grow() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    for number in range(6, 12):
        await town.watchers[number % 3].stories[0].grow(*leaves(300, first=number * 1000))
        await town.round()
    for each in town.watchers:
        assert [one.problem for one in await each.watch.status()] == ["", ""]
        assert all(one.read == one.size > 5 for one in await each.watch.status())
        assert await bundles(each) == []


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(7, 7), (7, 12), (12, 7), (300, 513), (256, 300)])
async def test_two_logs_for_two_peers_are_found_within_two_rounds(sizes: tuple[int, int]) -> None:
    town = await Town.of("aurora", "birch", "cobalt", "delta", "elm")
    await town.round()
    aurora, others = town.watchers[0], town.watchers[1:]
    for each in others[::2]:
        aurora.told[each.entity] = 1
    await fork(aurora, sizes)
    for _ in range(2):
        await town.round()
    found = [open_bundle(row.bundle) for each in others for row in await bundles(each)]
    assert {opened.bundle.accused for opened in found} == {AURORA}
    assert {opened.bundle.kind for opened in found} == {"two-checkpoints"}
    # A peer that holds the larger log proves it against the smaller; the others may wait for the log to grow.
    holders = others if sizes[0] == sizes[1] else [each for each in others if await bundles(each)]
    assert len(holders) >= 2
    for each in holders:
        assert await frozen(each) == [AURORA]
        assert each.directory.get(AURORA).frozen
        assert await problem_of(each, LOG) == FORKED
    assert not aurora.reported


@pytest.mark.slow
@pytest.mark.long
async def test_a_split_view_among_fifty_is_found_within_two_rounds() -> None:
    town = await Town.of("aurora", *(f"n{number:02}" for number in range(49)))
    aurora = town.watchers[0]
    aurora.told[town.watchers[-1].entity] = 1
    await fork(aurora)
    for _ in range(2):
        await town.round()
    assert all([await frozen(each) == [AURORA] for each in town.watchers[1:]])


async def test_a_log_that_shows_one_peer_a_fork_of_itself_is_caught_by_that_peer() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await fork(aurora, (8, 300))
    await town.round()
    aurora.told[birch.entity] = 1
    await town.round()
    (row,) = await bundles(birch)
    opened = open_bundle(row.bundle)
    assert opened.bundle.gap is not None
    assert await frozen(birch) == [AURORA]


async def test_a_log_that_goes_back_is_reported_and_not_accused() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await fork(aurora, (9, 5))
    await town.round()
    aurora.told[birch.entity] = 1
    await town.round()
    assert await problem_of(birch, LOG) == "log-went-back"
    assert await bundles(birch) == []


async def test_a_log_that_does_not_show_what_somebody_holds_of_it_is_reported_in_time() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    aurora.told[cobalt.entity] = 1
    await fork(aurora, (5, 9))
    for _ in range(3):
        await town.round()
    assert await problem_of(birch, LOG) == ""
    for _ in range(5):
        await town.round()
    assert await problem_of(birch, LOG) == "log-unproven"
    assert "log-unproven" not in LASTING
    # Cobalt holds the larger tree and proves against birch's smaller one that nothing is wrong so far.
    assert await bundles(cobalt) == []


async def test_a_log_that_lists_two_heads_under_one_number_proves_it_itself() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await aurora.stories[0].grow(*leaves(300, first=6), *leaves(1, first=305, story=1))
    await town.round()
    (row,) = await bundles(birch)
    assert open_bundle(row.bundle).what == "two set heads in one chain, number 305 and 305"
    assert await problem_of(birch, LOG) == "repeated-head"
    await aurora.stories[0].grow(*leaves(1, first=306))
    await town.round()
    assert await problem_of(birch, LOG) == "repeated-head"


async def test_a_number_that_goes_back_is_reported() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await aurora.stories[0].grow(*leaves(1, first=2))
    await town.round()
    assert await problem_of(birch, LOG) == "repeated-head"
    assert await bundles(birch) == []


def head(watcher: Watcher, seq: int, *, at: int, shard: int = 0) -> str:
    said = SetHead(
        origin=watcher.entity,
        audience=AUDIENCE,
        kind="offers",
        seq=seq,
        prev=b64(bytes(32)) if seq > 1 else None,
        shards=(b64(bytes([shard] * 32)),),
        size_bucket=1,
        issued_at=at,
        not_after=at + 900,
    )
    return sign_head(said, watcher.keys.log)


async def mirrored(watcher: Watcher, origin: Watcher, jws: str, seq: int, *, evidence: str = "") -> None:
    """Let a watcher mirror this head."""
    taken = TakenHeadRow(
        origin=origin.entity, chain=listing(jws).chain, seq=seq, head=jws, issued_at=watcher.town.clock.now()
    )
    row = MirrorRow(
        origin=origin.entity,
        audience=AUDIENCE,
        kind="offers",
        seq=seq,
        head=jws,
        head_hash=head_hash(jws),
        issued_at=watcher.town.clock.now(),
        not_after=watcher.town.clock.now() + 900,
        state="forked" if evidence else "complete",
        entries=0,
        evidence=evidence,
    )
    async with watcher.store.write() as tx:
        await tx.put(row, taken)


def listing(jws: str) -> SetHeadLeaf:
    return head_leaf(decode(parse(jws, HEAD_TYP).payload, SetHead, what="set head"), jws)


async def test_a_mirrored_head_must_be_listed_in_time() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    jws = head(aurora, 1, at=town.clock.now())
    await mirrored(birch, aurora, jws, 1)
    await town.round()
    assert await problem_of(birch, LOG) == ""
    town.clock.advance(900)
    await town.round()
    assert await problem_of(birch, LOG) == "head-not-listed"
    await aurora.stories[0].grow(listing(jws))
    await town.round()
    assert await problem_of(birch, LOG) == ""


async def test_a_mirrored_head_that_the_log_passes_over_is_reported_at_once_and_whatever_is_held_by_then() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    shown = [head(aurora, seq, at=town.clock.now()) for seq in range(1, 6)]
    for seq in (1, 2, 4):
        await mirrored(birch, aurora, shown[seq - 1], seq)
    await aurora.stories[0].grow(listing(shown[0]), listing(shown[1]))
    await town.round()
    assert await problem_of(birch, LOG) == ""
    await aurora.stories[0].grow(listing(shown[2]), listing(shown[4]))
    await town.round()
    assert await problem_of(birch, LOG) == "head-not-listed"
    await mirrored(birch, aurora, shown[4], 5)
    town.clock.advance(86_400)
    await town.round()
    assert await problem_of(birch, LOG) == "head-not-listed"


async def test_a_head_held_for_a_moment_only_must_be_listed_too() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    for seq in range(1, 20):
        await mirrored(birch, aurora, head(aurora, seq, at=town.clock.now()), seq)
        await town.round()
    assert await problem_of(birch, LOG) == "head-not-listed"


async def test_a_log_that_lists_the_other_head_among_many_numbers_hides_nothing() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    shown, listed = (head(aurora, 2, at=town.clock.now(), shard=shard) for shard in (1, 2))
    await aurora.stories[0].grow(listing(head(aurora, 1, at=town.clock.now())))
    await town.round()
    await mirrored(birch, aurora, shown, 2)
    later = [replace(listing(shown), seq=seq) for seq in range(3, 300)]
    await aurora.stories[0].grow(listing(listed), *later)
    await town.round()
    assert await problem_of(birch, LOG) == "other-head-listed"
    (row,) = await bundles(birch)
    assert open_bundle(row.bundle).bundle.kind == "two-heads"


async def test_another_head_than_the_one_shown_proves_itself() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    shown, listed = (head(aurora, 1, at=town.clock.now(), shard=shard) for shard in (1, 2))
    await mirrored(birch, aurora, shown, 1)
    await aurora.stories[0].grow(listing(listed))
    await town.round()
    (row,) = await bundles(birch)
    assert open_bundle(row.bundle).bundle.kind == "two-heads"
    assert await frozen(birch) == [AURORA]


async def test_a_stranger_who_lists_heads_of_others_accuses_nobody() -> None:
    # The stranger comes first by name, so that what it lists is found first.
    town = await Town.of("aurora", "birch", "alder")
    aurora, birch, alder = town.watchers
    shown, other = (head(aurora, 1, at=town.clock.now(), shard=shard) for shard in (1, 2))
    await mirrored(birch, aurora, shown, 1)
    await aurora.stories[0].grow(listing(shown))
    await alder.stories[0].grow(listing(other))
    for _ in range(2):
        await town.round()
    assert await problem_of(birch, LOG) == ""
    assert await bundles(birch) == []


async def test_two_heads_for_two_peers_are_found_by_the_gossip_of_their_answers() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    for watcher, shard in ((birch, 1), (cobalt, 2)):
        await mirrored(watcher, aurora, head(aurora, 3, at=town.clock.now(), shard=shard), 3)
    status = MirrorStatus(peer=cobalt.entity, audience=AUDIENCE, kind="offers", state="fresh", contradicted=(AURORA,))
    await birch.gossip.round((status,))
    (row,) = await bundles(birch)
    assert open_bundle(row.bundle).bundle.kind == "two-heads"
    assert await frozen(birch) == [AURORA]


async def moves(accused: Watcher, *others: Watcher) -> SigningKey:
    """Let a node change log and log key, without a word about the earlier ones; return the new key."""
    key = SigningKey(b"\7" * 32)
    origin = "aurora.example/log/2"
    document = replace(
        accused.document,
        seq=accused.document.seq + 1,
        keys=replace(accused.document.keys, log=key.public.text),
        log_origin=origin,
        log_vkey=log_vkey(origin, key.public.raw),
    )
    text = sign_document(document, accused.keys.federation)
    for each in others:
        before = each.directory.get(accused.entity)
        async with each.store.write() as tx:
            await note_followed(tx, before.pinned, follow(before.pinned, text), now=accused.town.clock.now())
        each.directory.put(
            PeerRow(
                entity=accused.entity, keyid=before.http_key.keyid, federation_key=document.keys.federation,
                document=text.encode(), mode="full", added_at=0, fetched_at=0,
            )
        )  # fmt: skip
    return key


async def test_who_changes_the_log_key_between_two_heads_is_held_to_both() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    one = head(aurora, 3, at=town.clock.now(), shard=1)
    said = decode(parse(one, HEAD_TYP).payload, SetHead, what="set head")
    key = await moves(aurora, birch)
    other = sign_head(replace(said, shards=(b64(bytes(32)),)), key)
    await mirrored(birch, aurora, one, 3, evidence=other)
    assert [each.kind for each in await birch.evidence.collect()] == ["two-heads"]
    assert await frozen(birch) == [AURORA]


async def test_a_fork_is_found_although_the_log_has_a_successor_meanwhile() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    await fork(aurora, (9, 7))
    aurora.told[cobalt.entity] = 1
    for each in (birch, cobalt):
        await each.watch.poll_due()
    await moves(aurora, birch, cobalt)
    for _ in range(2):
        await town.round()
    assert await frozen(birch) == [AURORA]
    assert {open_bundle(row.bundle).bundle.kind for row in await bundles(birch)} == {"two-checkpoints"}


async def test_a_former_log_is_forgotten_in_time_and_owes_nothing_meanwhile() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    await fork(aurora, (9, 5))
    for each in (birch, cobalt):
        await each.watch.poll_due()
    # It came back from a backup: the others hold a larger tree than it has.
    aurora.told.update({birch.entity: 1, cobalt.entity: 1})
    await moves(aurora, birch, cobalt)
    for _ in range(20):
        await town.round()
    assert await problem_of(birch, LOG) == ""
    assert await bundles(birch) == []
    town.clock.advance(14 * 86_400)
    await town.round()
    assert [each.origin for each in await birch.watch.status()] == [f"{LOG}/2", "cobalt.example/log"]


async def test_a_peer_cannot_change_its_keys_until_what_they_signed_is_forgotten() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    now = town.clock.now()
    rows = [EarlierDocumentRow(entity=AURORA, seq=1000 + at, document=b"", replaced_at=now) for at in range(MOST)]
    async with birch.store.write() as tx:
        await tx.put(*rows)
    with pytest.raises(LimitError):
        await moves(aurora, birch)
    town.clock.advance(14 * 86_400)
    await moves(aurora, birch)


@pytest.mark.slow
async def test_false_claims_of_a_peer_cost_one_short_turn_and_hide_nobody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gossip, "TURN_S", 0.2)
    town = await Town.of("aurora", "birch", "cobalt", "delta", "elm")
    aurora, birch, cobalt, delta, elm = town.watchers
    for watcher, shard in ((birch, 1), (cobalt, 2)):
        await mirrored(watcher, aurora, head(aurora, 3, at=town.clock.now(), shard=shard), 3)
    asked: list[str] = []

    async def fetch(peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:
        asked.append(peer)
        if peer == delta.entity:
            await asyncio.Event().wait()
        return await birch.fetch(peer, path, etag, limit=limit, signed=signed)

    birch.gossip._fetch = fetch  # type: ignore[misc]
    false = tuple(f"https://n{number}.example" for number in range(50))
    status = [
        MirrorStatus(peer=each.entity, audience=AUDIENCE, kind="offers", state="fresh", contradicted=claimed)
        for each, claimed in ((delta, false), (elm, false), (cobalt, (AURORA,)))
    ]
    async with asyncio.timeout(PATIENCE_S):
        await birch.gossip.round(tuple(status))
    assert asked.count(delta.entity) == 2
    assert asked.count(elm.entity) == 1 + gossip.MOST_CLAIMS
    assert await frozen(birch) == [AURORA]


async def test_a_head_that_the_accused_did_not_sign_freezes_nobody() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    await mirrored(birch, aurora, head(aurora, 3, at=town.clock.now(), shard=1), 3)
    forged = SetHead(
        origin=AURORA, audience=AUDIENCE, kind="offers", seq=3, prev=b64(bytes(32)), shards=(b64(bytes(32)),),
        size_bucket=1, issued_at=town.clock.now(), not_after=town.clock.now() + 900,
    )  # fmt: skip
    await mirrored(cobalt, aurora, sign_head(forged, cobalt.keys.log), 3)
    status = MirrorStatus(peer=cobalt.entity, audience=AUDIENCE, kind="offers", state="fresh", contradicted=(AURORA,))
    await birch.gossip.round((status,))
    assert await bundles(birch) == []


async def test_a_head_is_shown_to_members_of_its_audience_only() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await mirrored(birch, aurora, head(aurora, 1, at=town.clock.now()), 1)
    assert await birch.gossip.held_head(AUDIENCE, "offers", "aurora.example", AURORA)
    for audience, host, requester in (
        (AUDIENCE, "aurora.example", "https://cobalt.example"),
        (b64(b"\1" * 32), "aurora.example", AURORA),
        (AUDIENCE, "cobalt.example", AURORA),
        (AUDIENCE, "birch.example", AURORA),
    ):
        with pytest.raises(MissingError):
            await birch.gossip.held_head(audience, "offers", host, requester)


async def test_what_the_mirror_and_the_inbox_kept_becomes_evidence() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    one, other = (head(aurora, 3, at=town.clock.now(), shard=shard) for shard in (1, 2))
    await mirrored(birch, aurora, one, 3, evidence=other)
    assert [each.kind for each in await birch.evidence.collect()] == ["two-heads"]
    assert await birch.evidence.collect() == ()
    assert await frozen(birch) == [AURORA]


async def test_two_messages_that_the_inbox_kept_become_evidence_without_their_bodies() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    bodies = DeclinedBody(reason="no-time"), DeclinedBody(reason="other")
    thread = "A" * 22
    one, other = (
        sign_message(
            MessageHead(
                mid=message_id(town.clock.now_ms(), bytes([at] * 10)),
                aud=birch.entity,
                thread=thread,
                side="provider",
                seq=2,
                prev=b64(bytes(32)),
                deadline=town.clock.now(),
                type="decline",
                body_hash=body_hash(body),
            ),
            body,
            aurora.keys.envelope_sign,
        )
        for at, body in enumerate(bodies)
    )
    async with birch.store.write() as tx:
        await tx.put(
            MessageRow(
                thread=thread, side="consumer", sender="provider", seq=2, mid=one.head.mid, hash=one.hash,
                item=one.item, at=0,
            ),
            EvidenceRow(peer=AURORA, hash=other.hash, thread=thread, item=other.item, at=0),
        )  # fmt: skip
    (recorded,) = await birch.evidence.collect()
    assert (recorded.kind, recorded.frozen) == ("two-messages", True)
    bundle = await birch.evidence.bundle(recorded.hash)
    assert b"no-time" not in bundle
    texts = [json.loads(bundle)[place]["text"] for place in ("first", "second")]
    assert all(b"no-time" not in unb64(text.split(".")[1]) for text in texts)


async def test_a_forged_bundle_alerts_and_freezes_nobody() -> None:
    town = await Town.of("aurora", "birch")
    _, birch = town.watchers
    forger = key_ring("forger")
    document = town.watchers[0].document
    claimed = replace(
        document,
        keys=replace(document.keys, federation=forger.federation.public.text, log=forger.log.public.text),
        log_vkey=log_key(replace(document, keys=replace(document.keys, log=forger.log.public.text))).vkey,
    )
    text = sign_document(claimed, forger.federation)
    checkpoints = [
        signed_checkpoint(
            sign_checkpoint(Checkpoint(origin=LOG, size=9, root=bytes([at] * 32)), forger.log), log_key(claimed), text
        )
        for at in (1, 2)
    ]
    recorded = await birch.evidence.record(make_bundle("two-checkpoints", AURORA, *checkpoints), source=IMPORTED)
    assert (recorded.bound, recorded.frozen) == (False, False)
    assert await frozen(birch) == []
    assert birch.directory.get(AURORA).may("request", now=town.clock.now())
    assert birch.reported == [("two-checkpoints", False)]


async def test_a_bundle_about_nobody_known_is_kept_and_freezes_nobody() -> None:
    town = await Town.of("birch")
    (birch,) = town.watchers
    (file,) = vectors.files().values()
    for case in json.loads(file)["cases"]:
        if "result" in case:
            assert not (await birch.evidence.record(case["input"].encode(), source=IMPORTED)).bound
        else:
            with pytest.raises(MeshError):
                await birch.evidence.record(case["input"].encode(), source=IMPORTED)
    assert await frozen(birch) == []


async def test_an_imported_bundle_that_is_bound_freezes_once() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    aurora, birch, cobalt = town.watchers
    await fork(aurora)
    aurora.told[cobalt.entity] = 1
    for _ in range(2):
        await town.round()
    (row,) = await bundles(birch)
    elm = Watcher(town, "elm")
    elm.meets(aurora)
    recorded = await elm.evidence.record(row.bundle, source=IMPORTED)
    assert (recorded.bound, recorded.frozen, recorded.source) == (True, True, IMPORTED)
    await elm.evidence.thaw(AURORA)
    assert not (await elm.evidence.record(row.bundle, source=IMPORTED)).frozen
    assert not elm.directory.get(AURORA).frozen
    with pytest.raises(MissingError):
        await elm.evidence.thaw(AURORA)


async def test_a_thawed_log_begins_anew_with_what_it_shows() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await fork(aurora, (8, 9))
    await town.round()
    aurora.told[birch.entity] = 1
    await town.round()
    assert await problem_of(birch, LOG) == FORKED
    await birch.evidence.thaw(AURORA)
    await birch.watch.forget(AURORA)
    await town.round()
    assert await problem_of(birch, LOG) == ""
    assert len(await bundles(birch)) == 1


async def test_a_message_that_refers_to_another_tree_is_reported() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    newest = parse_checkpoint(await aurora.stories[0].book.checkpoint(1)).checkpoint
    birch.watch.refer(AURORA, CheckpointRef(origin=LOG, size=newest.size, root=b64(newest.root)))
    await town.round()
    assert await problem_of(birch, LOG) == ""
    birch.watch.refer("https://cobalt.example", CheckpointRef(origin=LOG, size=5, root=b64(bytes(32))))
    await town.round()
    assert await problem_of(birch, LOG) == ""
    birch.watch.refer(AURORA, CheckpointRef(origin=LOG, size=5, root=b64(bytes(32))))
    await town.round()
    assert await problem_of(birch, LOG) == "log-contradicts-message"


async def test_a_log_that_shows_the_own_witness_another_tree_is_caught() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await fork(aurora, (9, 7))
    note = await aurora.stories[1].book.checkpoint(1)
    async with birch.store.write() as tx:
        await tx.put(WitnessedLogRow(origin=LOG, size=7, note=note, at=0))
    await town.round()
    assert await frozen(birch) == [AURORA]


async def test_gossip_tells_the_larger_of_what_watcher_and_witness_hold() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await town.round()
    await aurora.stories[0].grow(*leaves(3, first=6))
    note = await aurora.stories[0].book.checkpoint(1)
    for origin in (LOG, "cobalt.example/log"):
        async with birch.store.write() as tx:
            await tx.put(WitnessedLogRow(origin=origin, size=8, note=note, at=0))
    # What is held of a log that is followed no more is nobody's business.
    assert [found.checkpoint.size for found in open_checkpoints(await birch.gossip.answer())] == [8]


async def test_gossip_that_the_log_did_not_sign_means_nothing() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await town.round()
    for key in (key_ring("forger").log, birch.keys.log):
        forged = sign_checkpoint(Checkpoint(origin=LOG, size=5, root=bytes(32)), key)
        await birch.gossip.hear("https://cobalt.example", forged)
    assert await problem_of(birch, LOG) == ""
    assert await bundles(birch) == []
    async with aurora.store.read() as rows:
        assert await rows.find(LogAheadRow) == []


async def test_a_peer_that_shows_our_own_log_larger_than_it_is_ends_it() -> None:
    town = await Town.of("aurora", "birch")
    aurora, _ = town.watchers
    larger = sign_checkpoint(Checkpoint(origin=LOG, size=99, root=bytes(32)), aurora.keys.log)
    await aurora.gossip.hear("https://birch.example", larger)
    async with aurora.store.read() as rows:
        (ahead,) = await rows.find(LogAheadRow)
    assert (ahead.size, ahead.said_by) == (99, "https://birch.example")


@pytest.mark.parametrize(
    ("origin", "lost"), [(f"{LOG}/2", True), (f"{LOG}/30000000", True), ("aurora.example/2", False)]
)
async def test_a_successor_that_this_database_does_not_know_ends_the_log(origin: str, *, lost: bool) -> None:
    town = await Town.of("aurora", "birch")
    aurora, _ = town.watchers
    shown = sign_checkpoint(Checkpoint(origin=origin, size=2, root=bytes(32)), aurora.keys.log)
    assert await aurora.own_log.hear(shown, said_by="https://birch.example") is lost
    forged = sign_checkpoint(Checkpoint(origin=origin, size=2, root=bytes(32)), key_ring("forger").log)
    assert not await aurora.own_log.hear(forged, said_by="https://birch.example")


async def test_a_node_that_is_away_is_no_problem_of_others() -> None:
    town = await Town.of("aurora", "birch", "cobalt")
    town.watchers[0].away = True
    await town.round()
    statuses = await town.watchers[1].watch.status()
    assert [each.problem for each in statuses] == ["unavailable", ""]
    town.watchers[0].away = False
    await town.round()
    assert await problem_of(town.watchers[1], LOG) == ""
