"""Batches between nodes: each message once, in order, answered with the same receipt again, refused when forged."""

import pytest
from msgspec.structs import replace

from federation.inbox import outcomes_of
from federation.ports import where
from federation.rows import EvidenceRow, InboxRow, MessageRow, OutboxRow, PlaceRow, RevokedKeyRow, ThreadRow
from node.api.problems import problem_of
from node.services.exchange import MESSAGES_PATH
from protocol.bodies import CancelledBody
from protocol.errors import LimitError, MalformedError
from protocol.messages import (
    MAX_ITEM_BYTES,
    MessageHead,
    Outcome,
    body_hash,
    join_batch,
    open_receipt,
    parse_item,
    sign_message,
    split_batch,
)
from protocol.signing import SigningKey

from .conftest import Town
from .people import waiting_request
from .test_agreement import requested, states
from .world import TestNode, settle


async def unguarded(_tx: object) -> None:
    """The request's own signature is not the matter here."""


async def deliver(
    town: Town, *items: bytes, sender: TestNode | None = None, to: TestNode | None = None
) -> list[Outcome]:
    """Hand items to a node as a peer's batch and return the outcomes."""
    receiver, peer = to or town.cobalt, (sender or town.aurora).entity
    answer = await receiver.exchanging.inbox.receive(peer, join_batch(list(items)), unguarded)
    mids = [parse_item(item).claimed.mid for item in items]
    return list(outcomes_of(answer, mids))


async def own_messages(town: Town, thread: str) -> list[MessageRow]:
    """Return what Aurora said in a thread."""
    async with town.aurora.store.read() as tx:
        return await tx.find(MessageRow, where(thread=thread, sender="consumer"), order="seq")


async def test_a_repeat_is_answered_with_the_first_receipt_and_has_no_effect(town: Town) -> None:
    mentee = await requested(town)
    (_, accepted) = await own_messages(town, mentee.thread)
    first, again = (await deliver(town, accepted.item))[0], (await deliver(town, accepted.item))[0]
    assert first == again
    assert again.status == "duplicate"
    receipt = open_receipt(again.receipt, town.cobalt.keys.envelope_sign.public)
    assert (receipt.hash, receipt.state.value) == (accepted.hash, "ACCEPTED")
    assert receipt.deadline == (await waiting_request(town.ben)).deadline
    async with town.cobalt.store.read() as tx:
        assert await tx.count(PlaceRow) == 1


async def test_the_same_id_with_other_bytes_is_refused_and_kept_as_evidence(town: Town) -> None:
    mentee = await requested(town)
    (_, accepted) = await own_messages(town, mentee.thread)
    head = parse_item(accepted.item).claimed
    other = CancelledBody(reason="not-needed")
    forked = sign_message(
        replace(head, type="cancel", body_hash=body_hash(other)), other, town.aurora.keys.envelope_sign
    )
    (outcome,) = await deliver(town, forked.item)
    assert (outcome.status, outcome.code) == ("refused", "conflict")
    async with town.cobalt.store.read() as tx:
        assert [row.hash for row in await tx.find(EvidenceRow)] == [forked.hash]
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")


def _head(head: MessageHead, change: str) -> MessageHead:
    """Return a head that is wrong in one way."""
    wrong: dict[str, dict[str, object]] = {
        "other audience": {"aud": "https://birch.example"},
        "other thread": {"thread": "A" * 22},
        "other side": {"side": "provider"},
        "gap": {"seq": head.seq + 5},
        "broken chain": {"prev": "A" * 43},
        "never sent": {"seen": "A" * 43},
        "repeated place": {"seq": 1},
    }
    return replace(head, mid="00000000-0000-7000-8000-000000000001", **wrong[change])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("other audience", "wrong-audience"),
        ("other thread", "missing"),
        ("other side", "missing"),
        ("gap", "out-of-order"),
        ("broken chain", "fork"),
        ("never sent", "wrong-seen"),
        ("repeated place", "fork"),
    ],
)
async def test_a_message_in_the_wrong_place_is_refused_by_name(town: Town, change: str, code: str) -> None:
    mentee = await requested(town)
    (_, accepted) = await own_messages(town, mentee.thread)
    body = CancelledBody(reason="not-needed")
    claimed = parse_item(accepted.item).claimed
    head = replace(claimed, seq=3, prev=accepted.hash, type="cancel", body_hash=body_hash(body))
    message = sign_message(_head(head, change), body, town.aurora.keys.envelope_sign)
    (outcome,) = await deliver(town, message.item)
    assert (outcome.status, outcome.code) == ("refused", code)
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")


async def test_a_message_signed_by_another_key_has_no_effect(town: Town) -> None:
    mentee = await requested(town)
    (_, accepted) = await own_messages(town, mentee.thread)
    body = CancelledBody(reason="not-needed")
    head = replace(
        parse_item(accepted.item).claimed,
        mid="00000000-0000-7000-8000-000000000001",
        seq=3,
        prev=accepted.hash,
        type="cancel",
        body_hash=body_hash(body),
    )
    message = sign_message(head, body, SigningKey(bytes(32)))
    (outcome,) = await deliver(town, message.item)
    assert (outcome.status, outcome.code) == ("later", "unknown-key")  # the document that names it may be on its way
    async with town.cobalt.store.write() as tx:
        assert await tx.get(InboxRow, town.aurora.entity, head.mid) is None
        await tx.insert(RevokedKeyRow(entity=town.aurora.entity, public=SigningKey(bytes(32)).public.text, at=0))
    (outcome,) = await deliver(town, message.item)
    assert (outcome.status, outcome.code) == ("refused", "revoked-key")
    async with town.cobalt.store.read() as tx:
        assert await tx.get(InboxRow, town.aurora.entity, head.mid) is None


async def test_a_damaged_item_refuses_the_whole_batch_before_any_effect(town: Town) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    (_, accepted) = await own_messages(town, mentee.thread)
    damaged = accepted.item[:-1] + b"\x01"
    with pytest.raises(MalformedError, match="padding"):
        await town.cobalt.exchanging.inbox.receive(town.aurora.entity, join_batch([accepted.item, damaged]), unguarded)
    assert await states(town, mentee.thread) == ("ACCEPTED", "OFFERED")


async def test_an_item_that_is_too_long_is_named_and_refuses_the_whole_batch(town: Town) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    (_, accepted) = await own_messages(town, mentee.thread)
    long = accepted.item + bytes(MAX_ITEM_BYTES)
    with pytest.raises(LimitError, match="item 2 of the batch") as refusal:
        await town.cobalt.exchanging.inbox.receive(town.aurora.entity, join_batch([accepted.item, long]), unguarded)
    assert problem_of(refusal.value).status == 413
    assert await states(town, mentee.thread) == ("ACCEPTED", "OFFERED")


@pytest.mark.parametrize(
    "batch", [b"", b"\0\0\0\0", b"\0\0\0\5abcd", b"\0\0\0\1a" * 65, b"\xff\xff\xff\xff", b"\0\0\0\1a\0"]
)
def test_a_batch_that_is_not_whole_is_refused(batch: bytes) -> None:
    with pytest.raises(MalformedError):
        split_batch(batch)


async def test_a_lost_answer_is_repaired_by_sending_the_same_bytes_again(town: Town) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    async with town.aurora.store.read() as tx:
        (row,) = await tx.find(OutboxRow)
    await deliver(town, row.item)
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")
    sent = [
        body for sender, path, body in town.network.delivered if (sender, path) == (town.aurora.entity, MESSAGES_PATH)
    ]
    assert split_batch(sent[-1]) == [row.item]
    async with town.aurora.store.read() as tx:
        assert await tx.count(OutboxRow) == 0


async def test_a_message_that_can_never_arrive_is_told_to_the_person(town: Town) -> None:
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    town.network.down.add(town.cobalt.entity)
    town.clock.advance(15 * 86_400)
    assert await town.aurora.exchanging.outbox.step(town.cobalt.entity) == 0
    async with town.aurora.store.read() as tx:
        row = await tx.get(ThreadRow, mentee.thread, "consumer")
        assert await tx.count(OutboxRow) == 0
    assert row is not None
    assert row.state == "TERMINATED"
    assert [entry.data for entry in await town.ana.entries()] == [b"expired"]


async def test_an_answer_about_other_items_is_not_believed(town: Town) -> None:
    mentee = await requested(town)
    (_, accepted) = await own_messages(town, mentee.thread)
    (outcome,) = await deliver(town, accepted.item)
    with pytest.raises(MalformedError, match="in order"):
        outcomes_of(b'{"outcomes":[{"mid":"%s","status":"stored"}]}' % outcome.mid.encode(), ["other"])
