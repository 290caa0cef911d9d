"""Requests of a peer that probes, repeats, floods or lies: what the quote round gives away, and what it keeps."""

import asyncio

import pytest
from msgspec.structs import replace

from federation.inbox import Guard
from federation.ports import Writer, where
from federation.rows import CandidateRow, MessageRow, QuotaRow, ThreadRow
from node.housekeeping import forget_old_rows
from node.sections import HandshakeSection
from node.services.mentor_side import ProviderNotes
from node.services.profile import ProfileTopic
from node.services.quotes import KEEP_S, MAX_UNTAKEN
from protocol.addresses import audience_id
from protocol.bodies import RefusedBody, Request, RequestBody, Target
from protocol.e2ee.sealing import seal_request
from protocol.encoding import b64, decode, encode
from protocol.errors import ConflictError, LimitError, MalformedError, MeshError, RefusedError, UnverifiedError
from protocol.handshake import State
from protocol.ids import message_id, random_id
from protocol.messages import MessageHead, body_hash, parse_item, sign_message
from protocol.needs import Need, Window
from protocol.sealing import SealingPublicKey
from protocol.threads import Book
from tests.fakes.memory_store import MemoryStore

from .conftest import Town
from .people import NEED, Mentee
from .world import ORG, TOPIC, TestNode, mentor_profile, settle

DAY_S = 86_400
OTHER_TOPIC = "mm:dismissing-somebody"


async def unguarded(_tx: Writer) -> None:
    """The request's own signature is not the matter here."""


def request_item(
    town: Town, mentee: Mentee, head: dict[str, object] | None = None, *, reply_key: str | None = None
) -> bytes:
    """Return a REQUESTED as Aurora's node would sign it; `head` changes what the head says."""
    request = Request(
        target=Target(type="offer", id=mentee.offer.offer_id),
        need=mentee.need,
        reply_key=reply_key or mentee.reply_key.public.text,
    )
    body = RequestBody(request=seal_request(request, town.cobalt.keys.envelope_seal.public, mentee.context))
    said = MessageHead(
        mid=message_id(town.clock.now_ms(), town.aurora.entropy.take(10)),
        aud=town.cobalt.entity,
        thread=mentee.thread,
        side="consumer",
        seq=1,
        deadline=town.clock.now() + 900,
        type="request",
        body_hash=body_hash(body),
    )
    return sign_message(replace(said, **(head or {})), body, town.aurora.keys.envelope_sign).item


async def ask(town: Town, item: bytes, *, peer: str | None = None, guard: Guard = unguarded) -> bytes:
    """Hand a REQUESTED to Cobalt as a peer."""
    return await town.cobalt.exchanging.quotes.quote(peer or town.aurora.entity, item, guard, org=ORG)


async def rows(town: Town) -> tuple[int, int, int]:
    """Return how many threads, candidates and quotas Cobalt keeps."""
    async with town.cobalt.store.read() as tx:
        return await tx.count(ThreadRow), await tx.count(CandidateRow), await tx.count(QuotaRow)


def degenerate(key: SealingPublicKey) -> str:
    """Return a key to which nothing can be sealed: its X25519 share is zero."""
    return b64(key.raw[:-32] + bytes(32))


async def test_a_key_to_which_nothing_can_be_sealed_tells_nothing_for_free(town: Town) -> None:
    with_somebody, with_nobody = town.mentee(), Mentee(town.ana, town.cobalt, town.offer, replace(NEED, length=60))
    errors: list[str] = []
    for mentee in (with_somebody, with_nobody):
        item = request_item(town, mentee, reply_key=degenerate(mentee.reply_key.public))
        with pytest.raises(MalformedError) as caught:
            await ask(town, item)
        errors.append(str(caught.value))
    assert errors[0] == errors[1], "whether there is somebody to propose would show, and no quota would count it"
    assert await rows(town) == (0, 0, 0)


@pytest.mark.parametrize(
    ("head", "kind", "code"),
    [
        ({"seq": 2}, RefusedError, "out-of-order"),
        ({"prev": "A" * 43}, UnverifiedError, "fork"),
        ({"seen": "A" * 43}, UnverifiedError, "wrong-seen"),
        ({"side": "provider"}, UnverifiedError, "wrong-thread"),
        ({"aud": "https://birch.example"}, UnverifiedError, "wrong-audience"),
        ({"thread": random_id(bytes(16))}, UnverifiedError, "unverified"),
        ({"deadline": 0}, RefusedError, "too-late"),
        ({"deadline": 253_402_300_799}, RefusedError, "deadline"),
    ],
)
async def test_a_request_that_is_wrong_in_one_way_leaves_nothing(
    town: Town, head: dict[str, object], kind: type[MeshError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        await ask(town, request_item(town, town.mentee(), head))
    assert caught.value.code == code
    assert await rows(town) == (0, 0, 0)


async def test_asking_twice_at_once_gives_one_answer_and_one_quote(town: Town) -> None:
    item = request_item(town, town.mentee())
    assert await ask(town, item) == await ask(town, item)
    assert await rows(town) == (1, 1, 1)


async def test_two_of_the_same_request_get_one_answer(town: Town) -> None:
    item = request_item(town, town.mentee())
    first, second = await asyncio.gather(ask(town, item), ask(town, item))
    assert first == second
    assert await rows(town) == (1, 1, 1)


async def test_a_crash_between_request_and_answer_is_repaired_by_asking_again(town: Town) -> None:
    mentee = town.mentee()
    item = request_item(town, mentee)
    await ask(town, item)
    async with town.cobalt.store.write() as tx:
        (row,) = await tx.find(ThreadRow)
        book = replace(decode(row.book, Book), said=(), moved=0, state=State.REQUESTED)
        await tx.put(replace(row, book=encode(book), state="REQUESTED"))
        await tx.delete(MessageRow, where(sender="provider"))
        await tx.delete(CandidateRow)
    assert mentee.read(await ask(town, item)).head.type == "offer"


async def test_the_last_quote_of_a_day_is_given_once_to_two_who_ask_at_once(town: Town) -> None:
    async with town.cobalt.store.write() as tx:
        await tx.put(QuotaRow(peer=town.aurora.entity, day=town.clock.now() // DAY_S, quoted=49, accepted=0))
    asked = [town.mentee() for _ in range(3)]
    answers = await asyncio.gather(*(ask(town, request_item(town, one)) for one in asked))
    types = [mentee.read(answer).head.type for mentee, answer in zip(asked, answers, strict=True)]
    assert sorted(types) == ["offer", "refuse", "refuse"]


async def test_an_old_request_is_not_answered_anew_when_its_thread_is_forgotten(town: Town) -> None:
    item = request_item(town, town.mentee())
    await ask(town, item)
    town.clock.advance(900 + KEEP_S)
    await forget(town)
    assert (await rows(town))[0] == 0
    with pytest.raises(RefusedError, match="too old"):
        await ask(town, item)


async def forget(town: Town) -> None:
    """Do at Cobalt what a node does every few minutes."""
    exchanging = town.cobalt.exchanging
    await exchanging.sweep()
    await forget_old_rows(town.cobalt.store, town.clock, exchanging.mailboxes, exchanging.desk, undelivered_days=30)


async def test_the_thread_of_one_peer_tells_another_nothing(town: Town) -> None:
    birch = TestNode("birch", town.network, town.vocabulary, town.clock, MemoryStore(), 3)
    town.cobalt.meet(birch)
    mentee = town.mentee()
    await ask(town, request_item(town, mentee))
    body = RequestBody(request=mentee.ask().request)
    head = parse_item(request_item(town, mentee)).claimed
    item = sign_message(replace(head, body_hash=body_hash(body)), body, birch.keys.envelope_sign).item
    with pytest.raises(ConflictError):
        await ask(town, item, peer=birch.entity)


async def test_a_refused_request_keeps_nothing_of_the_need(town: Town) -> None:
    mentee = Mentee(town.ana, town.cobalt, town.offer, replace(NEED, length=60))
    assert await mentee.refusal() == "no-capacity"
    async with town.cobalt.store.read() as tx:
        (row,) = await tx.find(ThreadRow)
    assert decode(row.notes, ProviderNotes) == ProviderNotes()


async def test_quotes_nobody_takes_up_are_forgotten_within_hours(town: Town) -> None:
    await town.mentee().quote()
    town.clock.advance(900 + KEEP_S)
    await forget(town)
    assert (await rows(town))[:2] == (0, 0)


async def test_a_peer_cannot_fill_the_disk_with_requests(town: Town) -> None:
    await ask(town, request_item(town, town.mentee()))
    async with town.cobalt.store.write() as tx:
        (row,) = await tx.find(ThreadRow)
        await tx.put(*(replace(row, thread=random_id(number.to_bytes(16))) for number in range(MAX_UNTAKEN - 1)))
    with pytest.raises(LimitError) as caught:
        await ask(town, request_item(town, town.mentee()))
    assert caught.value.retry_at == town.clock.now() + KEEP_S


async def test_another_topic_than_the_offers_is_not_answered_through_it(town: Town) -> None:
    audience = (audience_id(town.aurora.entity, town.cobalt.entity),)
    secret = ProfileTopic(id=OTHER_TOPIC, kind="been-through")
    shown = ProfileTopic(id=TOPIC, kind="been-through")
    await town.cobalt.add_person("dora", audiences=audience, profile=mentor_profile(topics=(shown, secret)))
    probe = Mentee(town.ana, town.cobalt, town.offer, replace(NEED, topics=(OTHER_TOPIC,)))
    assert await probe.refusal() == "no-capacity"
    assert len((await town.mentee().quote()).candidates) == 2


async def test_the_id_of_ones_own_thread_does_not_tell_who_asked_in_it(town: Town) -> None:
    """A peer asks back under the id of a thread in which somebody here asked it: who that was must not be left out."""
    audience = (audience_id(town.aurora.entity, town.cobalt.entity),)
    offer = await town.aurora.list_offer(town.cobalt.entity)
    cleo = await town.aurora.add_person("cleo", audiences=audience, profile=mentor_profile())
    hers = Mentee(cleo, town.cobalt, town.offer)
    await hers.quote()
    back = Mentee(town.ben, town.aurora, offer)
    back.context = replace(back.context, thread=hers.thread)
    assert len((await back.quote()).candidates) == 1


async def test_times_without_end_are_not_searched(town: Town) -> None:
    now = town.clock.now()
    far = Window(start=now + 10 * 365 * DAY_S, end=now + 900 * 365 * DAY_S)
    need = replace(NEED, windows=(far,))
    assert await Mentee(town.ana, town.cobalt, town.offer, need).refusal() == "no-capacity"
    wide = replace(NEED, windows=(Window(start=0, end=253_402_300_799),))
    (candidate,) = (await Mentee(town.ana, town.cobalt, town.offer, wide).quote()).candidates
    assert all(now < slot <= now + 60 * DAY_S for slot in candidate.slots)


async def test_requests_called_off_before_an_answer_weigh_on_the_quota(town: Town) -> None:
    consumer = town.aurora.exchanging.consumer
    for _ in range(3):
        mentee = town.mentee()
        await mentee.accept(await mentee.quote())
        await settle(town.aurora, town.cobalt)
        await consumer.cancel(town.ana.label, mentee.thread, "not-needed")
        await settle(town.aurora, town.cobalt)
    async with town.cobalt.store.read() as tx:
        (quota,) = await tx.find(QuotaRow)
    assert (quota.quoted, quota.accepted) == (3, 0)


@pytest.mark.parametrize("need", [NEED, replace(NEED, length=60)], ids=["offer", "refusal"])
@pytest.mark.parametrize("searched_s", [0.0, 0.1])
async def test_the_moment_of_the_answer_does_not_tell_how_long_the_search_took(
    town: Town, need: Need, searched_s: float
) -> None:
    slow = HandshakeSection(tick_ms=250, flush_s=0, quota_least=50)
    cobalt = TestNode("cobalt", town.network, town.vocabulary, town.clock, town.cobalt.store, 2, slow)
    cobalt.meet(town.aurora)
    town.clock.advance(0.2)
    arrived_ms = town.clock.now_ms()

    async def search(_tx: Writer) -> None:
        town.clock.advance(searched_s)

    mentee = Mentee(town.ana, cobalt, town.offer, need)
    item = request_item(town, mentee)

    async def answered() -> tuple[bytes, int]:
        return await cobalt.exchanging.quotes.quote(town.aurora.entity, item, search, org=ORG), town.clock.now_ms()

    task = asyncio.create_task(answered())
    await town.clock.until_sleeping()
    await town.clock.elapse(1)
    answer, answered_ms = await task
    assert isinstance(mentee.read(answer).body, RefusedBody) == (need.length == 60)
    assert answered_ms - arrived_ms == 300
