"""Who lost every device comes back into open sessions by the same identity, and nobody else does."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from cli.client.book import book_of, with_book
from cli.client.core import ENGINE, fresh_id
from cli.client.ending import let_go
from cli.client.epochs import PATIENCE_S
from cli.client.keychecks import UnprovenError
from cli.client.person import Person
from cli.client.places import coming_back
from cli.client.recovery import Words
from cli.client.rejoining import MOST, NEW_DEVICE, asked_in
from cli.client.session import WAITS, view
from cli.client.state import ClientState
from cli.client.views import Arrived, Event, Problem, Shown
from protocol.e2ee.kept import Book
from protocol.e2ee.keys import certify
from protocol.e2ee.rejoin import Answer, Ask, Rejoin, open_rejoin, package_of, seal_rejoin
from protocol.encoding import b64, decode
from protocol.envelope import Envelope
from protocol.errors import RefusedError, UnverifiedError
from protocol.session import LIFE_S
from tests import patience

from .pair import NOW, Pair, seed
from .recovering import ENTROPY, another
from .test_epochs import deliver, opened, renew, texts, write
from .test_forks import said
from .test_rejoining import codes
from .world import PROMPTS, Company, become_mentor, companies, happens, lists_something, meet, need

MENTEE: Final = False
MENTOR: Final = True


def settled() -> Pair:
    """Return two people in the second epoch, who have said something."""
    pair = opened()
    deliver(pair, renew(pair, by_mentor=False))
    deliver(pair, [said(pair, "before", by_mentor=True), said(pair, "before", by_mentor=False)])
    return pair


def new_device(pair: Pair, *, by_mentor: bool, account: bytes = b"") -> None:
    """Replace somebody's only device by a new one that has the account secret and the archive, and nothing else.

    The other one can look it up from now on.
    """
    lost = pair.mentor if by_mentor else pair.mentee
    fresh = ClientState(
        account_seed=account or lost.account_seed,
        device_seed=seed(f"new device {by_mentor}"),
        account=lost.account,
        pins=lost.pins,
        proven=lost.proven,
    )
    fresh = coming_back(with_book(fresh, book_of(lost, now=NOW)), now=pair.now)
    pair.keep(fresh, by_mentor=by_mentor)
    other = pair.mentee if by_mentor else pair.mentor
    pair.keep(pair.knows(other, fresh), by_mentor=not by_mentor)


def ask(pair: Pair, *, by_mentor: bool) -> list[Envelope]:
    state = pair.mentor if by_mentor else pair.mentee
    pair.keep(asked_in(pair.core, state, thread=pair.thread), by_mentor=by_mentor)
    return pair.outgoing(by_mentor=by_mentor)


def devices(pair: Pair, *, by_mentor: bool) -> list[str]:
    state = pair.mentor if by_mentor else pair.mentee
    return [one.device for one in ENGINE.members(ENGINE.load(state.session(pair.thread).state))]


def hear_each_other(pair: Pair) -> None:
    for by_mentor in (True, False):
        assert texts(deliver(pair, [said(pair, "hello", by_mentor=by_mentor)])) == ["hello"]


@pytest.mark.parametrize("by_mentor", [MENTEE, MENTOR])
def test_a_new_device_of_the_same_person_is_let_in_and_both_are_told(by_mentor: bool) -> None:
    pair = settled()
    new_device(pair, by_mentor=by_mentor)
    state = pair.mentor if by_mentor else pair.mentee
    assert view(state, pair.thread, now=pair.now).lines == ()
    with pytest.raises(RefusedError, match="waits to be let into") as refused:
        write(pair, "too early", by_mentor=by_mentor)
    assert refused.value.code == WAITS
    unread = said(pair, "What nobody reads", by_mentor=not by_mentor)
    assert deliver(pair, [unread]) == []
    asks = ask(pair, by_mentor=by_mentor)
    assert ask(pair, by_mentor=by_mentor) == []
    (told,) = deliver(pair, asks)
    assert isinstance(told, Problem)
    assert (told.code, "joined again with a new device" in told.sentence) == (NEW_DEVICE, True)
    commit = renew(pair, by_mentor=not by_mentor)
    between = said(pair, "between", by_mentor=not by_mentor)
    assert texts(deliver(pair, commit)) == []
    answer = pair.outgoing(by_mentor=not by_mentor)
    after = said(pair, "after", by_mentor=not by_mentor)
    events = deliver(pair, [after, *answer, between], to=(by_mentor,))
    assert codes(events)[:1] == ["let-in-again"]
    assert "after" in texts(events)
    assert sorted(devices(pair, by_mentor=True)) == sorted(devices(pair, by_mentor=False))
    hear_each_other(pair)


def come_back(pair: Pair, *, by_mentor: bool) -> None:
    deliver(pair, ask(pair, by_mentor=by_mentor))
    deliver(pair, renew(pair, by_mentor=not by_mentor))
    assert codes(deliver(pair, pair.outgoing(by_mentor=not by_mentor))) == ["let-in-again"]


def test_the_device_that_was_lost_goes_by_the_same_change_and_does_not_come_back() -> None:
    pair = settled()
    lost = pair.mentee
    hers = lost.device_secret.key(pair.audience).public.text
    new_device(pair, by_mentor=False)
    come_back(pair, by_mentor=False)
    assert len(devices(pair, by_mentor=True)) == 2
    assert hers not in devices(pair, by_mentor=True)
    assert pair.mentor.session(pair.thread).left == (hers,)
    # Whoever holds it asks with the key that all devices had, and a proof of before still lists it.
    new = pair.mentee
    pair.mentee = coming_back(with_book(replace(lost, threads={}, sessions={}), book_of(lost, now=NOW)), now=pair.now)
    asks = ask(pair, by_mentor=False)
    pair.mentee, pair.mentor = new, pair.knows(pair.mentor, lost)
    assert deliver(pair, asks, to=(True,)) == []
    assert pair.mentor.session(pair.thread).newcomers == {}


def test_a_node_that_lists_a_device_of_its_own_gets_nobody_in() -> None:
    """Even with the common key of a lost device: an identity key has to certify the new one."""
    pair = settled()
    new_device(pair, by_mentor=False, account=seed("made up by the node"))
    with pytest.raises(UnverifiedError, match="belongs to nobody"):
        pair.hear(ask(pair, by_mentor=False)[0], by_mentor=True)
    assert pair.mentor.session(pair.thread).newcomers == {}


def test_whoever_has_the_account_secret_and_stands_in_no_directory_is_not_let_in() -> None:
    pair = settled()
    proven = pair.mentor.proven
    new_device(pair, by_mentor=False)
    pair.mentor = replace(pair.mentor, proven=proven)
    before = pair.mentor
    with pytest.raises(UnprovenError):
        pair.hear(ask(pair, by_mentor=False)[0], by_mentor=True)
    assert pair.mentor == before


def both_lost() -> Pair:
    pair = settled()
    new_device(pair, by_mentor=True)
    new_device(pair, by_mentor=False)
    return pair


def anew(pair: Pair) -> list[Envelope]:
    """Let both ask and the mentor's device begin a group anew; return its answer."""
    assert deliver(pair, ask(pair, by_mentor=True)) == []
    events = deliver(pair, ask(pair, by_mentor=False))
    assert codes(events) == ["began-anew"]
    return pair.outgoing(by_mentor=True)


def test_when_nobody_is_left_the_mentors_device_begins_a_group_anew_under_the_same_agreement() -> None:
    pair = both_lost()
    context = pair.mentee.session(pair.thread).context
    (answer,) = anew(pair)
    word = said(pair, "first", by_mentor=True)
    events = deliver(pair, [word, answer], to=(False,))
    assert (codes(events), texts(events)) == (["let-in-again"], ["first"])
    for state in (pair.mentor, pair.mentee):
        assert ENGINE.context(ENGINE.load(state.session(pair.thread).state)) == context
    hear_each_other(pair)
    deliver(pair, renew(pair, by_mentor=False))
    hear_each_other(pair)


def test_a_mentee_who_asked_before_the_mentor_was_back_asks_again_when_he_does() -> None:
    pair = both_lost()
    ask(pair, by_mentor=False)  # which the lost device of the mentor took
    pair.now += PATIENCE_S
    assert deliver(pair, ask(pair, by_mentor=True)) == []
    again = pair.outgoing(by_mentor=False)
    assert codes(deliver(pair, again)) == ["began-anew"]
    deliver(pair, pair.outgoing(by_mentor=True))
    hear_each_other(pair)


def test_a_mentor_who_hears_her_ask_before_he_may_ask_himself_begins_once_he_has() -> None:
    pair = both_lost()
    assert deliver(pair, ask(pair, by_mentor=False)) == []
    assert codes(deliver(pair, ask(pair, by_mentor=True))) == ["began-anew"]
    deliver(pair, pair.outgoing(by_mentor=True))
    hear_each_other(pair)


def test_no_group_begins_anew_while_the_directory_lists_somebody_who_may_be_in_the_old_one() -> None:
    pair = both_lost()
    place, proven = next(iter(pair.mentor.proven.items()))
    more = replace(proven, devices=(*proven.devices, b64(seed("her tablet"))))
    pair.mentor = replace(pair.mentor, proven={place: more})
    ask(pair, by_mentor=True)
    assert deliver(pair, ask(pair, by_mentor=False)) == []
    assert ENGINE.is_closed(ENGINE.load(pair.mentor.session(pair.thread).state))


def test_a_group_begun_too_soon_is_left_for_the_one_of_before() -> None:
    """An ask of before that is read late: the mentee is in the old group, and lets the mentor in."""
    pair = settled()
    old = pair.mentee
    new_device(pair, by_mentor=True)
    in_group = pair.mentee
    his = ask(pair, by_mentor=True)
    new_device(pair, by_mentor=False)
    pair.mentee = coming_back(with_book(replace(old, threads={}, sessions={}), book_of(old, now=NOW)), now=pair.now)
    pair.mentor = pair.knows(pair.mentor, old)
    stale = ask(pair, by_mentor=False)
    pair.mentee = in_group
    assert codes(deliver(pair, stale, to=(True,))) == ["began-anew"]
    assert deliver(pair, pair.outgoing(by_mentor=True), to=(False,)) == []
    assert codes(deliver(pair, his)) == [NEW_DEVICE]
    deliver(pair, renew(pair, by_mentor=False))
    assert codes(deliver(pair, pair.outgoing(by_mentor=False))) == ["let-in-again"]
    hear_each_other(pair)


def test_a_mentee_who_waits_keeps_what_was_said_when_the_mentor_begins_anew() -> None:
    pair = settled()
    pair.now += PATIENCE_S
    deliver(pair, [said(pair, "more", by_mentor=True)])
    deliver(pair, renew(pair, by_mentor=True), to=(True,))
    deliver(pair, [said(pair, "unread", by_mentor=True)])
    hers = pair.outgoing(by_mentor=False)
    new_device(pair, by_mentor=True)
    assert deliver(pair, ask(pair, by_mentor=True), to=(False,)) == []  # she waits herself
    assert codes(deliver(pair, hers, to=(True,))) == ["began-anew"]
    events = deliver(pair, pair.outgoing(by_mentor=True))
    assert codes(events) == ["let-in-again"]
    shown = [line.text for line in view(pair.mentee, pair.thread, now=pair.now).lines]
    assert shown.count("before") == 2
    assert "more" in shown
    deliver(pair, pair.outgoing(by_mentor=False))
    hear_each_other(pair)


def led(pair: Pair, *, by: ClientState, context: bytes) -> Envelope:
    """Return an answer to the mentee's ask, by somebody with the common key, that leads into a group of their own."""
    (asked,) = ask(pair, by_mentor=False)
    key = pair.mentee.session(pair.thread).rejoin_key
    word = open_rejoin(asked.ciphertext, key, thread=pair.thread)
    assert isinstance(word.content, Ask)
    device = by.device_secret.key(pair.audience)
    certificate = certify(by.account_secret, by.device_secret, audience=pair.audience, now=pair.now)
    own, _ = ENGINE.prepare(device, certificate, now=pair.now, entropy=seed("entropy"))
    _, welcome = ENGINE.start(
        own, [package_of(word.content)], context=context, check=lambda _: None, now=pair.now, entropy=seed("group")
    )
    hers = pair.mentee.device_secret.key(pair.audience).public.text
    answer = Rejoin(at=pair.now, content=Answer(device=hers, number=1, welcome=b64(welcome)))
    data = seal_rejoin(answer, key, thread=pair.thread, salt=seed("salt"))
    return replace(asked, ciphertext=data)


def test_nobody_is_led_into_a_group_of_a_stranger_or_of_another_agreement() -> None:
    pair = settled()
    new_device(pair, by_mentor=False)
    context = pair.mentee.session(pair.thread).context
    stranger = replace(pair.mentor, account_seed=seed("stranger"))
    unlisted = replace(pair.mentor, device_seed=seed("removed device of the mentor"))
    before = pair.mentee
    for by, given, what in (
        (stranger, context, UnverifiedError),
        (unlisted, context, UnprovenError),
        (pair.mentor, seed("another agreement"), UnverifiedError),
    ):
        pair.mentee = before
        answer = led(pair, by=by, context=given)
        asked = pair.mentee
        with pytest.raises(what):
            pair.hear(answer, by_mentor=False)
        assert pair.mentee == asked
    pair.mentee = before
    assert codes(deliver(pair, [led(pair, by=pair.mentor, context=context)], to=(False,))) == ["let-in-again"]


def test_a_new_device_asks_five_times_at_most_and_once_in_ten_minutes() -> None:
    pair = settled()
    new_device(pair, by_mentor=False)
    asked = len(ask(pair, by_mentor=False))
    for _ in range(MOST + 1):
        for _ in range(2):
            deliver(pair, [said(pair, "unread", by_mentor=True)], to=(False,))
        asked += len(pair.outgoing(by_mentor=False))
        pair.now += PATIENCE_S
    assert asked == MOST


def test_the_archive_names_open_sessions_without_a_word_and_forgets_them_when_they_end() -> None:
    pair = settled()
    document = book_of(pair.mentee, now=NOW)
    assert b"before" not in document
    fresh = with_book(replace(pair.mentee, threads={}, sessions={}), document)
    assert list(fresh.places) == [pair.thread]
    assert book_of(fresh, now=NOW) == document
    assert with_book(pair.mentee, document).places == {}
    (place,) = fresh.places.values()
    assert let_go(fresh, now=place.ends_at + LIFE_S - 1).places == fresh.places
    assert let_go(fresh, now=place.ends_at + LIFE_S).places == {}
    assert coming_back(fresh, now=place.ends_at + LIFE_S).sessions == {}
    closed = replace(pair.mentee.session(pair.thread), closed_theirs=True)
    assert decode(book_of(pair.mentee.with_session(closed), now=NOW), Book).places == ()


async def back(company: Company, name: str, stack: AsyncExitStack) -> Person:
    """Return the person on a new device after every other one was lost, with nothing but recovery words."""
    person = await stack.enter_async_context(another(company, fresh_id()))
    await person.recovery.begin(await company.link(name))
    await person.restore(Words(ENTROPY))
    return person


async def let_into(thread: str, waits: Person, other: Person) -> list[str]:
    """Return once a new device is in the session, with what the other one was told meanwhile."""
    told: list[Event] = []
    async with asyncio.timeout(patience.PATIENCE_S):
        while waits.state.session(thread).context:
            await waits.poll(wait_s=0.1)
            told += await other.poll(wait_s=0.1)
    return codes(told)


async def say(speaker: Person, listener: Person, thread: str, text: str) -> None:
    await speaker.send_chat(thread, text)
    while (await happens(listener, Shown)).text != text:
        await speaker.poll()


@pytest.mark.slow
@pytest.mark.system
async def test_people_who_lost_everything_go_on_in_their_session_through_real_nodes(tmp_path: Path) -> None:
    async with (
        AsyncExitStack() as stack,
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
        for person in (ana, ben):
            await person.recovery.add_words(ENTROPY)
        await become_mentor(ben)
        await lists_something(ana)
        await ana.ask(need())
        thread = (await ana.request(1, prompts=PROMPTS)).thread
        await happens(ben, Arrived)
        await ben.accept(thread)
        await meet(ana, ben)
        await say(ana, ben, thread, "Here I am")
        await say(ben, ana, thread, "So am I")
        later = await back(aurora, "aurora1", stack)
        assert later.session(thread).name == "cobalt1"
        assert await let_into(thread, later, ben) == [NEW_DEVICE]
        await say(later, ben, thread, "I lost my laptop")
        await say(ben, later, thread, "Good to see you")
        assert len(ENGINE.members(ENGINE.load(ben.state.session(thread).state))) == 2
        latest, mentor = await back(aurora, "aurora1", stack), await back(cobalt, "cobalt1", stack)
        assert "began-anew" in await let_into(thread, latest, mentor)
        await say(mentor, latest, thread, "Nobody was left")
        await say(latest, mentor, thread, "And here we are")
