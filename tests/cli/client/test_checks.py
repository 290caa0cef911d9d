"""What a node might try with its own people: every dishonest step is noticed, and changes nothing."""

import pytest
from msgspec.structs import replace

from cli.client.account import Accounts
from cli.client.asking import Asking
from cli.client.brief import check_own
from cli.client.core import ENGINE
from cli.client.entries import take_entry
from cli.client.keychecks import KeyChecks, UnprovenError
from cli.client.mailbox import MailboxLoop
from cli.client.pins import UnknownSenderError, open_item
from cli.client.render import event_line, session_lines, unvouched
from cli.client.requesting import Requesting
from cli.client.session import view, with_frame
from cli.client.state import ClientState
from cli.client.views import Alarm, Named, Refused, Secured, Shown
from node.api.exchange import Entry
from protocol.bodies import DeclinedBody
from protocol.e2ee.frames import Again, Chat, Name
from protocol.e2ee.keys import DeviceSecret, PersonSealingKey, certify
from protocol.encoding import b64, sha256
from protocol.errors import MalformedError, RefusedError, UnverifiedError
from protocol.signing import SigningKey

from .pair import NOW, PROMPTS, REF, SLOTS, Pair, seed

OTHER_ID = b64(sha256(b"another thread")[:16])


def test_an_honest_exchange_ends_in_two_proven_names() -> None:
    pair = Pair()
    pair.until_open()
    for by_mentor in (True, False):
        (envelope,) = pair.outgoing(by_mentor=by_mentor)
        (event,) = pair.hear(envelope, by_mentor=not by_mentor)
        assert event == Named(
            thread=pair.thread,
            from_role="mentor" if by_mentor else "mentee",
            name="Mentor" if by_mentor else "Mentee",
        )


# the quote


def test_a_quote_by_another_node_or_about_another_request_is_refused() -> None:
    pair = Pair()
    request = pair.ask()
    with pytest.raises(UnverifiedError):
        pair.offered(pair.quote(request, thread=OTHER_ID))
    pair.cobalt.sign = SigningKey(seed("a stranger"))
    with pytest.raises(UnknownSenderError):
        pair.offered(pair.quote(request))
    pair.cobalt.sign = pair.aurora.sign  # the own node plays the other one
    with pytest.raises(UnverifiedError, match="another request"):
        pair.offered(pair.quote(request))
    assert pair.record().state == "REQUESTED"


def test_a_message_for_another_node_is_refused() -> None:
    pair = Pair()
    item = pair.quote(pair.ask())
    with pytest.raises(UnverifiedError, match="addressed to another node"):
        open_item(pair.mentee, item, audience=pair.cobalt.entity)


# the acceptance


def test_an_own_node_that_sends_something_else_is_noticed() -> None:
    pair = Pair()
    item, body, _ = pair.accept(pair.offered(pair.quote(pair.ask())))
    record = pair.record()
    check_own(pair.mentee, record, item, pair.accepted, body)
    other = replace(body, choice=body.choice[:-4] + "AAAA")
    for wrong in (
        (item, pair.accepted, other),
        (item, b64(sha256(b"another hash")), body),
        (pair.aurora.say(pair.cobalt, OTHER_ID, "consumer", "accept", body), pair.accepted, body),
    ):
        with pytest.raises(UnverifiedError, match="something else"):
            check_own(pair.mentee, record, *wrong)


# the request, at the mentor's device


def test_a_request_shows_the_brief_and_only_times_that_the_mentee_wrote() -> None:
    pair = Pair()
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask())))
    pair.arrive(pair.entry(item, choice, held=(SLOTS[1], SLOTS[1] + 1800)))
    record = pair.record(by_mentor=True)
    assert record.brief is not None
    assert (record.brief.prompts, record.slots) == (PROMPTS, (SLOTS[1],))


def test_a_request_of_another_thread_or_for_another_person_does_not_open() -> None:
    pair = Pair()
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask())))
    thread = pair.thread
    pair.thread = OTHER_ID
    with pytest.raises(UnverifiedError, match="another thread"):
        pair.arrive(pair.entry(item, choice))
    pair.thread = thread
    with pytest.raises(UnverifiedError):
        pair.arrive(pair.entry(item, replace(choice, ref=OTHER_ID)))
    assert pair.mentor.threads == {}


def test_a_request_sealed_to_another_device_is_named_as_that() -> None:
    pair = Pair()
    foreign = PersonSealingKey(seed("foreign")).public.text
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask(), keys=(foreign,))))
    # Perhaps to another device of the same mentor: it cannot be read here, so there is nothing to be alarmed about.
    with pytest.raises(RefusedError, match="sealed to another device") as caught:
        pair.arrive(pair.entry(item, choice))
    assert caught.value.code == "other-device"


def test_an_answered_request_shown_again_changes_nothing() -> None:
    pair = Pair()
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask())))
    pair.arrive(pair.entry(item, choice))
    yes = pair.yes()
    pair.verify(pair.agreement(yes.hash))
    before = pair.mentor
    assert pair.arrive(pair.entry(item, choice)) == []
    assert pair.mentor == before


def test_a_brief_that_brings_a_strange_device_along_gets_no_yes() -> None:
    pair = Pair()
    pair.until_arrived()
    device, record = DeviceSecret(seed("strange")), pair.record(by_mentor=True)
    certificate = certify(pair.mentee.account_secret, device, audience=record.audience, now=NOW)
    _, strange = ENGINE.prepare(device.key(record.audience), certificate, now=NOW, entropy=seed("strange"))
    pair.mentor = pair.mentor.with_thread(replace(record, key_packages=(*record.key_packages, strange)))
    with pytest.raises(UnverifiedError, match="was not checked"):
        pair.yes()
    assert pair.mentor.sessions == {}


# messages in the mailbox


def test_an_answer_that_the_own_node_makes_up_is_not_believed() -> None:
    pair = Pair()
    pair.until_arrived()
    body = DeclinedBody(reason="no-time")
    made_up = pair.aurora.say(pair.aurora, pair.thread, "provider", "decline", body)
    elsewhere = pair.cobalt.say(pair.aurora, OTHER_ID, "provider", "decline", body)
    own_side = pair.cobalt.say(pair.aurora, pair.thread, "consumer", "decline", body)
    for item in (made_up, elsewhere, own_side):
        with pytest.raises(UnverifiedError, match="another thread"):
            take_entry(pair.core, pair.mentee, entry(pair, item))
    genuine = pair.cobalt.say(pair.aurora, pair.thread, "provider", "decline", body)
    after, events = take_entry(pair.core, pair.mentee, entry(pair, genuine))
    assert after.threads[pair.thread].state == "DECLINED"
    assert [type(event) for event in events] == [Refused]
    # What comes after the end changes nothing any more.
    assert take_entry(pair.core, after, entry(pair, genuine)) == (after, [])


def test_an_entry_that_another_program_took_in_is_passed_over() -> None:
    pair = Pair()
    pair.until_arrived()
    item = pair.cobalt.say(pair.aurora, pair.thread, "provider", "decline", DeclinedBody(reason="no-time"))
    accounts = Accounts(pair.core)
    checks = KeyChecks(pair.core, accounts.look)
    loop = MailboxLoop(pair.core, accounts, Requesting(pair.core, Asking(pair.core), checks), checks)
    after, events = loop._stored(entry(pair, item), pair.mentee, last=True)
    assert (after.mailbox_after, len(events)) == (1, 1)
    before = replace(pair.mentee, mailbox_after=1)
    assert loop._stored(entry(pair, item), before, last=True) == (before, [])


def entry(pair: Pair, item: bytes) -> Entry:
    """Return a message in the mentee's mailbox."""
    return Entry(cursor=1, thread=pair.thread, side="consumer", kind="message", data=b64(item), at=NOW)


# the agreement


@pytest.mark.parametrize(
    "changed",
    [
        {"thread": OTHER_ID},
        {"accepted": b64(sha256(b"another acceptance"))},
        {"consumer": "https://cobalt.example"},
        {"provider": "https://aurora.example"},
        {"slot": SLOTS[0] + 1800},
    ],
)
def test_an_agreement_about_something_else_is_refused_on_both_sides(changed: dict[str, object]) -> None:
    pair = Pair()
    pair.until_arrived()
    yes = pair.yes()
    agreement = pair.agreement(yes.hash, **changed)
    with pytest.raises(UnverifiedError):
        pair.agree(agreement, yes.private)
    assert (pair.record().state, pair.mentee.sessions) == ("ACCEPTED", {})
    if "slot" not in changed:  # only the mentee can tell which times were asked for; the mentor signed one
        with pytest.raises(UnverifiedError):
            pair.verify(agreement)


def test_a_yes_that_this_device_never_gave_is_noticed() -> None:
    pair = Pair()
    pair.until_arrived()
    pair.yes()
    with pytest.raises(UnverifiedError, match="another consent than this device's"):
        pair.verify(pair.agreement(b64(sha256(b"another consent"))))


def test_a_brief_that_a_second_key_could_open_stops_before_names() -> None:
    pair = Pair()
    foreign = PersonSealingKey(seed("foreign")).public.text
    keys = (pair.sealing.public.text, foreign)
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask(), keys=keys)))
    pair.arrive(pair.entry(item, choice))
    yes = pair.yes()
    events = pair.agree(pair.agreement(yes.hash), yes.private)
    (alarm,) = [event for event in events if isinstance(event, Alarm)]
    assert "someone else could read your brief" in alarm.sentence
    assert (pair.record().cancel, pair.mentee.sessions) == ("conflict", {})


def test_another_time_in_the_agreement_than_in_the_consent_stops_before_names() -> None:
    pair = Pair()
    pair.until_arrived()
    yes = pair.yes(SLOTS[1])
    events = pair.agree(pair.agreement(yes.hash), yes.private)
    assert [type(event) for event in events][1:] == [Alarm]
    assert pair.mentee.sessions == {}


def test_after_a_yes_by_mail_the_proof_comes_as_the_first_envelope() -> None:
    pair = Pair()
    pair.until_arrived()
    agreement = pair.agreement(None)
    pair.agree(agreement, None)
    assert pair.mentee.sessions == {}
    assert isinstance(pair.verify(agreement)[-1], Secured)
    assert [one.header.kind for one in pair.outgoing(by_mentor=True)] == ["welcome", "message"]


# the session


def name_of(state: ClientState, pair: Pair, name: str) -> Name:
    """Return what somebody's device says to be believed under a name."""
    vouch = state.account_secret.open_vouch(pair.audience, name)
    return Name(
        name=name,
        identity=vouch.identity,
        master_key=vouch.master_key,
        name_salt=b64(vouch.name_salt),
        identity_salt=b64(vouch.identity_salt),
    )


def test_a_name_counts_only_with_a_vouch_of_today_and_is_marked_when_the_directory_does_not_stand_for_it() -> None:
    pair = Pair()
    pair.until_open()
    (envelope,) = pair.outgoing(by_mentor=True)
    proven = pair.mentee.proven
    # Yesterday's proof is none: the directory is looked up first.
    pair.mentee = replace(pair.mentee, proven={place: replace(one, until=NOW) for place, one in proven.items()})
    with pytest.raises(UnprovenError):
        pair.hear(envelope, by_mentor=False)
    # A directory that vouches for another master key: refused in red.
    other = {place: replace(one, vouched_identity="A" * 43) for place, one in proven.items()}
    pair.mentee = replace(pair.mentee, proven=other)
    with pytest.raises(UnverifiedError, match="another identity statement was vouched for"):
        pair.hear(envelope, by_mentor=False)
    # A directory that vouches for another name: shown, and marked.
    pair.mentee = replace(
        pair.mentee, proven={place: replace(one, vouched_name="A" * 43) for place, one in proven.items()}
    )
    (named,) = pair.hear(envelope, by_mentor=False)
    assert isinstance(named, Named)
    assert not named.vouched
    assert unvouched("en") in event_line(named, "en")
    assert unvouched("de") in session_lines(view(pair.mentee, pair.thread, now=NOW), "de")


def test_a_name_with_the_vouch_of_its_directory_is_told_without_a_caution() -> None:
    pair = Pair()
    pair.until_open()
    for by_mentor in (True, False):
        (envelope,) = pair.outgoing(by_mentor=by_mentor)
        (named,) = pair.hear(envelope, by_mentor=not by_mentor)
        assert isinstance(named, Named)
        assert named.vouched


def test_a_name_told_by_somebody_else_is_not_believed() -> None:
    pair = Pair()
    pair.until_open()
    stranger = replace(pair.mentor, account_seed=seed("stranger"))
    told = name_of(stranger, pair, "The director")
    pair.outgoing(by_mentor=True)
    pair.mentor = with_frame(pair.core, pair.mentor, pair.thread, told)
    (envelope,) = pair.outgoing(by_mentor=True)
    with pytest.raises(UnverifiedError, match="somebody else"):
        pair.hear(envelope, by_mentor=False)
    pair.mentor = with_frame(pair.core, pair.mentor, pair.thread, Name(name="The director"))
    (envelope,) = pair.outgoing(by_mentor=True)
    assert isinstance(pair.hear(envelope, by_mentor=False)[0], Alarm)
    assert pair.mentee.sessions[pair.thread].name == ""


def test_a_changed_or_repeated_message_shows_nothing_and_the_genuine_one_still_opens() -> None:
    pair = Pair()
    pair.until_open()
    pair.outgoing(by_mentor=True)
    pair.mentor = with_frame(pair.core, pair.mentor, pair.thread, Chat(text="Hello"))
    (envelope,) = pair.outgoing(by_mentor=True)
    before = pair.mentee
    changed = replace(envelope, ciphertext=envelope.ciphertext[:-1] + bytes([envelope.ciphertext[-1] ^ 1]))
    elsewhere = replace(envelope, header=replace(envelope.header, thread=REF))
    for wrong in (changed, elsewhere, replace(envelope, ciphertext=b"")):
        with pytest.raises((UnverifiedError, MalformedError)):
            pair.hear(wrong, by_mentor=False)
    assert pair.mentee == before
    (shown,) = pair.hear(envelope, by_mentor=False)
    assert isinstance(shown, Shown)
    with pytest.raises(RefusedError, match="read before"):
        pair.hear(envelope, by_mentor=False)


def test_an_own_message_seen_back_gets_its_number_and_is_not_shown_again() -> None:
    pair = Pair()
    pair.until_open()
    pair.outgoing(by_mentor=True)
    pair.mentor = with_frame(pair.core, pair.mentor, pair.thread, Chat(text="Hello"))
    (envelope,) = pair.outgoing(by_mentor=True)
    assert pair.hear(envelope, by_mentor=True) == []
    assert pair.mentor.sessions[pair.thread].frames[-1].number == envelope.header.number


def test_one_yes_to_meeting_again_is_never_told() -> None:
    pair = Pair()
    pair.until_open()
    pair.outgoing(by_mentor=True)
    pair.mentor = with_frame(pair.core, pair.mentor, pair.thread, Again(yes=True))
    (envelope,) = pair.outgoing(by_mentor=True)
    assert pair.hear(envelope, by_mentor=False) == []
    pair.outgoing(by_mentor=False)
    pair.mentee = with_frame(pair.core, pair.mentee, pair.thread, Again(yes=False))
    (envelope,) = pair.outgoing(by_mentor=False)
    assert pair.hear(envelope, by_mentor=True) == []
