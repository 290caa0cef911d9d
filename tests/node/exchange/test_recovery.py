"""A node that was restored from a backup: nothing is said twice in two ways, what can come again does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import pytest
from msgspec.structs import replace

from federation.delivery import JUMP, RecoveringError, begin, cursor_for, told_by
from federation.ports import Row, where
from federation.rows import DeliveryRow, EvidenceRow, MailboxHeadRow, PeerRow, PlaceRow, SessionRow, ThreadRow
from node.services import recovery
from protocol.delivery import Cursor, Heads, HeadsAnswer, Returned
from protocol.encoding import decode, encode
from protocol.errors import MalformedError
from protocol.handshake import Side
from protocol.session import SessionState
from tests.contracts.test_every_table import KINDS
from tests.fakes.entropy import SeededEntropy

from .conftest import Town
from .people import agree, waiting_request
from .test_agreement import requested, states
from .test_sessions import agreed, sent, shown, submit
from .world import TestNode, settle

Backup = Mapping[type[Row], list[Row]]


@pytest.fixture
async def two(town: Town) -> Town:
    """Return two nodes that have begun, and whose stores know each other."""
    for node, other in ((town.aurora, town.cobalt), (town.cobalt, town.aurora)):
        async with node.store.write() as tx:
            await tx.put(
                PeerRow(
                    entity=other.entity,
                    keyid=other.keys.http.public.keyid,
                    federation_key=other.keys.federation.public.text,
                    document=other.document.encode("ascii"),
                    mode="full",
                    added_at=0,
                    fetched_at=0,
                )
            )
        assert not await begin(
            node.store, SeededEntropy(7), entity=node.entity, generation=1, now=node.around.clock.now()
        )
    return town


async def backup(node: TestNode) -> Backup:
    async with node.store.read() as tx:
        return {kind: await tx.find(kind) for kind in KINDS}


async def restore(node: TestNode, held: Backup, *, generation: int = 2) -> None:
    async with node.store.write() as tx:
        for kind, rows in held.items():
            await tx.delete(kind)
            await tx.put(*rows)
    entropy = SeededEntropy(99)
    node.restart(node.store, entropy)
    await begin(node.store, entropy, entity=node.entity, generation=generation, now=node.around.clock.now())


async def come_back(node: TestNode, peer: TestNode) -> None:
    await node.exchanging.returning.announce(peer.entity)
    await settle(node, peer)


async def evidence(town: Town) -> int:
    found = 0
    for node in (town.aurora, town.cobalt):
        async with node.store.read() as tx:
            found += await tx.count(EvidenceRow)
    return found


async def notices(town: Town) -> list[bytes]:
    entries = [*await town.ana.entries(), *await town.ben.entries()]
    return [entry.data for entry in entries if entry.kind == "notice"]


async def test_both_sides_know_what_the_receiver_holds(two: Town) -> None:
    await requested(two)
    async with two.aurora.store.read() as tx:
        told = await told_by(tx, two.cobalt.entity)
    async with two.cobalt.store.read() as tx:
        held = await cursor_for(tx, two.cobalt.entity, two.aurora.entity)
    assert told == held
    assert held is not None
    assert (held.stored, held.at) == (1, two.clock.now() - two.clock.now() % 60)


async def test_a_message_that_a_restored_node_has_lost_comes_again(two: Town) -> None:
    mentee = two.mentee()
    quote = await mentee.quote()
    held = await backup(two.cobalt)
    await mentee.accept(quote)
    await settle(two.aurora, two.cobalt)
    await restore(two.cobalt, held)
    assert await states(two, mentee.thread) == ("ACCEPTED", "OFFERED")
    await come_back(two.cobalt, two.aurora)
    assert await states(two, mentee.thread) == ("ACCEPTED", "ACCEPTED")
    assert two.aurora.exchanging.outbox.status[two.cobalt.entity].failures == 0
    await agree(two.ben, two.aurora, slot=(await waiting_request(two.ben)).held[0])
    await settle(two.aurora, two.cobalt)
    assert await states(two, mentee.thread) == ("FINALIZED", "FINALIZED")
    assert await evidence(two) == 0


async def test_a_thread_whose_own_words_are_lost_ends_on_both_sides(two: Town) -> None:
    mentee = await requested(two)
    held = await backup(two.cobalt)
    await agree(two.ben, two.aurora, slot=(await waiting_request(two.ben)).held[0])
    await settle(two.aurora, two.cobalt)
    await restore(two.cobalt, held)
    await come_back(two.cobalt, two.aurora)
    assert (await states(two, mentee.thread))[1] == "TERMINATED"
    assert await notices(two) == [b"lost", b"lost"]
    async with two.cobalt.store.read() as tx:
        assert await tx.count(PlaceRow) == 0
    async with two.aurora.store.read() as tx:
        state = await two.aurora.exchanging.sessions.state(tx, mentee.thread, Side.CONSUMER)
    assert state is SessionState.CANCELLED
    assert await evidence(two) == 0


async def test_a_mentee_whose_thread_is_unknown_to_the_restored_node_is_told(two: Town) -> None:
    held = await backup(two.cobalt)
    mentee = await requested(two)
    await restore(two.cobalt, held)
    await come_back(two.cobalt, two.aurora)
    async with two.aurora.store.read() as tx:
        row = await tx.get(ThreadRow, mentee.thread, "consumer")
    assert row is not None
    assert row.state == "TERMINATED"
    assert await notices(two) == [b"missing"]


async def test_nothing_is_said_or_heard_in_a_thread_before_it_was_compared(two: Town) -> None:
    mentee = await requested(two)
    held = await backup(two.cobalt)
    await agree(two.ben, two.aurora, slot=(await waiting_request(two.ben)).held[0])
    await settle(two.aurora, two.cobalt)
    await restore(two.cobalt, held)
    with pytest.raises(RecoveringError):
        await agree(two.ben, two.aurora, slot=(await waiting_request(two.ben)).held[1])
    await two.aurora.exchanging.consumer.cancel(two.ana.label, mentee.thread, "not-needed")
    two.clock.advance(30 * 86_400)
    await two.cobalt.exchanging.provider.sweep()
    assert (await states(two, mentee.thread))[1] == "ACCEPTED", "its time is over, and still it may not say so"
    await come_back(two.cobalt, two.aurora)
    assert (await states(two, mentee.thread))[1] == "TERMINATED"
    assert await evidence(two) == 0


async def test_numbers_of_sessions_and_mailboxes_are_not_given_twice(two: Town) -> None:
    thread = (await agreed(two)).thread
    held = await backup(two.cobalt)
    for text in (b"one", b"two"):
        await submit(two.ben, thread, Side.PROVIDER, sent(two.cobalt, text))
    await settle(two.aurora, two.cobalt)
    before = [number for number, _, _ in await shown(two.ana)]
    async with two.cobalt.store.read() as tx:
        head = await tx.get(MailboxHeadRow, two.ben.label)
    await restore(two.cobalt, held)
    await submit(two.ben, thread, Side.PROVIDER, sent(two.cobalt, b"three"))
    await submit(two.ana, thread, Side.CONSUMER, sent(two.aurora, b"four"))
    await come_back(two.cobalt, two.aurora)
    after = await shown(two.ana)
    assert [text for _, _, text in after] == [b"one", b"two", b"three", b"four"]
    numbers = [number or 0 for number, _, _ in after]
    assert numbers[:2] == before
    assert numbers[2] > JUMP
    assert numbers[3] == numbers[2] + 1
    assert head is not None
    assert (await two.ben.entries())[-1].cursor > head.cursor


async def test_a_backup_that_is_restored_twice_gives_no_number_twice_either(two: Town) -> None:
    thread = (await agreed(two)).thread
    held = await backup(two.cobalt)
    cursors = []
    for words in ((b"one", b"two", b"three"), (b"four",)):
        await restore(two.cobalt, held)
        await come_back(two.cobalt, two.aurora)
        for text in words:
            await submit(two.ben, thread, Side.PROVIDER, sent(two.cobalt, text))
        await settle(two.aurora, two.cobalt)
        async with two.cobalt.store.read() as tx:
            head = await tx.get(MailboxHeadRow, two.ben.label)
        assert head is not None
        cursors.append(head.cursor)
        two.clock.advance(600)
    after = await shown(two.ana)
    assert [text for _, _, text in after] == [b"one", b"two", b"three", b"four"]
    numbers = [number or 0 for number, _, _ in after]
    assert numbers == sorted({*numbers})
    assert cursors == sorted({*cursors})


async def test_what_a_peer_has_lost_is_counted_once(two: Town) -> None:
    await requested(two)
    held = await backup(two.cobalt)
    thread = (await states_after_more(two))[0]
    assert thread
    await restore(two.cobalt, held)
    for _ in range(2):
        await come_back(two.cobalt, two.aurora)
    async with two.aurora.store.read() as tx:
        row = await tx.get(DeliveryRow, two.cobalt.entity)
    assert row is not None
    assert row.lost == 1


async def states_after_more(town: Town) -> list[str]:
    """Let Aurora say one thing more that Cobalt stores: Ana steps back from what waits."""
    async with town.aurora.store.read() as tx:
        rows = await tx.find(ThreadRow, where(side="consumer"))
    for row in rows:
        await town.aurora.exchanging.consumer.cancel(town.ana.label, row.thread, "not-needed")
    await settle(town.aurora, town.cobalt)
    return [row.thread for row in rows]


async def test_files_put_back_by_hand_are_noticed_by_what_the_peer_was_told(two: Town) -> None:
    mentee = await requested(two)
    held = await backup(two.cobalt)
    await states_after_more(two)
    await restore(two.cobalt, held, generation=1)
    async with two.cobalt.store.read() as tx:
        before = await tx.find(SessionRow)
    assert (await states(two, mentee.thread))[1] == "ACCEPTED"
    await come_back(two.cobalt, two.aurora)
    assert await states(two, mentee.thread) == ("CANCELLED", "CANCELLED")
    assert before == []


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    while not await reached():  # noqa: ASYNC110 -- there is no event
        await asyncio.sleep(0)


async def test_a_node_that_is_back_ends_the_pause_of_its_peers(two: Town) -> None:
    mentee = two.mentee()
    quote = await mentee.quote()
    two.network.down.add(two.cobalt.entity)

    async def pausing() -> bool:
        found = two.aurora.exchanging.outbox.status.get(two.cobalt.entity)
        return found is not None and found.pausing

    async def accepted() -> bool:
        return (await states(two, mentee.thread))[1] == "ACCEPTED"

    job = asyncio.create_task(two.aurora.exchanging.outbox.run())
    try:
        await mentee.accept(quote)
        await until(pausing)
        two.network.down.clear()
        await two.cobalt.exchanging.returning.announce(two.aurora.entity)
        two.aurora.exchanging.outbox.back(two.cobalt.entity)
        await two.clock.elapse(1)
        await until(accepted)
    finally:
        job.cancel()
        with suppress(asyncio.CancelledError):
            await job


async def test_many_threads_are_compared_in_portions(two: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "MAX_HEADS", 2)
    held = await backup(two.cobalt)
    mentees = []
    for _ in range(5):
        mentees.append(mentee := two.mentee())
        await mentee.quote()
    unknown = await backup(two.cobalt)
    await restore(two.cobalt, unknown)
    two.network.delivered.clear()
    await come_back(two.cobalt, two.aurora)
    asked = [decode(body, Heads) for _, target, body in two.network.delivered if target == recovery.HEADS_PATH]
    assert sorted(head.thread for heads in asked for head in heads.heads) == sorted(one.thread for one in mentees)
    assert [heads.upto is None for heads in asked][-1]
    async with two.cobalt.store.read() as tx:
        assert await tx.count(DeliveryRow, where(recovering=True)) == 0
    assert held


async def test_an_answer_that_goes_back_is_refused(two: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "MAX_HEADS", 1)
    for _ in range(3):
        await two.mentee().quote()
    await restore(two.cobalt, await backup(two.cobalt))

    def tampered(answer: bytes) -> bytes:
        return answer if b"cursor" in answer else encode(HeadsAnswer(upto="A" * 22))

    two.network.tamper = tampered
    announce = two.cobalt.exchanging.returning.announce
    with pytest.raises(MalformedError):
        await announce(two.aurora.entity)
    async with two.cobalt.store.read() as tx:
        assert await tx.count(DeliveryRow, where(recovering=True)) == 1


async def test_a_peer_that_claims_too_much_hurts_only_its_own_threads(two: Town) -> None:
    mentee = await requested(two)
    async with two.aurora.store.read() as tx:
        cursor = await cursor_for(tx, two.aurora.entity, two.cobalt.entity)
    assert cursor is not None
    invented = Returned(
        cursor=Cursor(life="A" * 22, stored=3, at=0), told=replace(cursor, stored=cursor.stored + 10**6, at=0)
    )
    two.network.tamper = lambda answer: encode(invented) if b"cursor" in answer else answer
    await two.aurora.exchanging.returning.announce(two.cobalt.entity)
    assert await states(two, mentee.thread) == ("ACCEPTED", "ACCEPTED")
