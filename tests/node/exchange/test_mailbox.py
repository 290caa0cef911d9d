"""Mailboxes: what may wait in them, how many may wait for them, and what is asked for again when they are full."""

import asyncio
from contextlib import suppress

import pytest
from msgspec.structs import replace

from federation.ports import where
from federation.rows import MailboxRow, OutboxRow, SessionRow
from node.sections import HandshakeSection
from node.services import mailbox
from node.services.mailbox import MAX_WATCHERS
from protocol.errors import LimitError, RefusedError
from protocol.handshake import Side
from protocol.session import LIFE_S

from .conftest import Town
from .people import Mentee, agree, waiting_request
from .test_sessions import agreed, sent, shown, submit
from .world import TestNode, settle


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a mailbox hold four kilobytes."""
    monkeypatch.setattr(mailbox, "MAX_WAITING_BYTES", 4096)
    return 4096


async def test_envelopes_for_a_full_mailbox_wait_at_the_sender_and_arrive_in_order(town: Town, small: int) -> None:
    thread = (await agreed(town)).thread
    await drain(town, town.ben.label)
    for number in range(6):
        await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"%d" % number + bytes(small // 3)))
    await settle(town.aurora, town.cobalt)
    assert [text[:1] for _, _, text in await shown(town.ben)] == [b"0", b"1", b"2"]
    for _ in range(4):
        await drain(town, town.ben.label)
        town.clock.advance(20)
        await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        session = await tx.get(SessionRow, thread, "provider")
    assert session is not None
    assert (session.heard, session.number) == (6, 6)


async def drain(town: Town, label: str) -> None:
    """Let the person's only device read everything."""
    async with town.cobalt.store.read() as tx:
        rows = await tx.find(MailboxRow, where(label=label), order="cursor")
    if rows:
        await town.cobalt.exchanging.mailboxes.acknowledge(label, "laptop", rows[-1].cursor, devices=("laptop",))


async def test_a_full_mailbox_of_ones_own_is_said_at_once(town: Town, small: int) -> None:
    thread = (await agreed(town)).thread
    await drain(town, town.ben.label)
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, bytes(small)))
    with pytest.raises(LimitError) as caught:
        await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, b"more"))
    assert caught.value.code == "mailbox-full"


async def test_messages_of_a_handshake_are_let_into_a_full_mailbox(town: Town, small: int) -> None:
    thread = (await agreed(town)).thread
    await drain(town, town.ben.label)
    await submit(town.ben, thread, Side.PROVIDER, sent(town.cobalt, bytes(small)))
    await town.aurora.exchanging.consumer.cancel(town.ana.label, thread, "conflict")
    await settle(town.aurora, town.cobalt)
    assert (await town.ben.entries())[-1].kind == "message"


async def test_one_person_cannot_hold_connections_without_end(town: Town) -> None:
    boxes = town.ana.node.exchanging.mailboxes
    waiting = [asyncio.create_task(boxes.wait(town.ana.label, 0, 60)) for _ in range(MAX_WATCHERS)]
    await town.clock.until_sleeping(MAX_WATCHERS)
    with pytest.raises(LimitError):
        await boxes.wait(town.ana.label, 0, 60)
    assert await boxes.wait(town.ben.label, 0, 0) == []
    for task in waiting:
        task.cancel()
    for task in waiting:
        with suppress(asyncio.CancelledError):
            await task
    assert not boxes.is_watched(town.ana.label)


# Envelopes and the agreement they belong to


@pytest.fixture
async def flushed(town: Town) -> Town:
    """Return a town whose nodes send handshake messages once a minute."""
    beat = HandshakeSection(tick_ms=0, flush_s=60, quota_least=50)
    for name, number in (("aurora", 1), ("cobalt", 2)):
        before: TestNode = getattr(town, name)
        node = TestNode(name, town.network, town.vocabulary, town.clock, before.store, number, beat)
        for peer in before.directory.all():
            node.meet(town.network.nodes[peer.entity])
        setattr(town, name, node)
    town.ana.node, town.ben.node = town.aurora, town.cobalt  # type: ignore[misc]
    return town


async def requested_with_flush(town: Town) -> Mentee:
    """Return a request that waits for Ben's answer."""
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    town.clock.advance(67)
    await settle(town.aurora, town.cobalt)
    return mentee


async def test_an_envelope_does_not_arrive_before_its_agreement(flushed: Town) -> None:
    town = flushed
    mentee = await requested_with_flush(town)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    for text in (b"my name is Ben", b"see you"):
        await submit(town.ben, mentee.thread, Side.PROVIDER, sent(town.cobalt, text))
    await settle(town.aurora, town.cobalt)
    assert await shown(town.ana) == []
    town.clock.advance(60)
    await settle(town.aurora, town.cobalt)
    assert [text for _, _, text in await shown(town.ana)] == [b"my name is Ben", b"see you"]


async def test_an_envelope_that_overtook_its_agreement_is_asked_for_again(town: Town) -> None:
    """A peer that does not hold it back must not lose it either."""
    mentee = town.mentee()
    await mentee.accept(await mentee.quote())
    await settle(town.aurora, town.cobalt)
    await agree(town.ben, town.aurora, slot=(await waiting_request(town.ben)).held[0])
    await submit(town.ben, mentee.thread, Side.PROVIDER, sent(town.cobalt, b"early"))
    async with town.cobalt.store.write() as tx:
        for row in await tx.find(OutboxRow):
            late = row.due_ms if row.item[0] == 2 else town.clock.now_ms() + 30_000
            await tx.put(replace(row, due_ms=late))
    await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        assert await tx.count(OutboxRow) == 2
    for _ in range(2):
        town.clock.advance(60)
        await settle(town.aurora, town.cobalt)
    assert [text for _, _, text in await shown(town.ana)] == [b"early"]


async def test_a_session_that_the_other_side_does_not_know_is_closed_and_told(town: Town) -> None:
    thread = (await agreed(town)).thread
    async with town.cobalt.store.write() as tx:
        await tx.delete(SessionRow, where(thread=thread))
    for _ in range(3):
        await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"hello"))
    await settle(town.aurora, town.cobalt)
    notices = [entry.data for entry in await town.ana.entries() if entry.kind == "notice"]
    assert notices == [b"missing"]
    with pytest.raises(RefusedError, match="over"):
        await submit(town.ana, thread, Side.CONSUMER, sent(town.aurora, b"hello"))


async def test_an_envelope_nobody_takes_for_a_week_is_told(town: Town) -> None:
    mentee = await agreed(town)
    town.network.down.add(town.cobalt.entity)
    await submit(town.ana, mentee.thread, Side.CONSUMER, sent(town.aurora, b"hello"))
    town.clock.advance(LIFE_S)
    await settle(town.aurora)
    notices = [entry.data for entry in await town.ana.entries() if entry.kind == "notice"]
    assert notices == [b"expired"]
