"""What an organization can try against people who meet, and what each of them sees of it."""

import pytest
from msgspec.structs import replace

from cli.client.entries import take_entry
from cli.client.pins import document_of
from cli.client.records import SealingRecord
from cli.client.remains import destroyed
from cli.client.views import Alarm, Countered
from node.api.exchange import Entry
from protocol import contexts
from protocol.bodies import OfferedBody, Quote
from protocol.devices import sealing_key_hash
from protocol.e2ee.keys import AccountSecret, DeviceSecret, PersonSealingKey
from protocol.encoding import b64, encode
from protocol.errors import RefusedError, UnverifiedError

from .pair import ASK, NOW, PROMPTS, Pair, seed


def impostor(pair: Pair, sealing: PersonSealingKey) -> None:
    """Let Cobalt's node act as a mentor with keys of its own, under whatever label it likes."""
    record = SealingRecord(
        hash=sealing_key_hash(sealing.public), seed=sealing.seed, audience=pair.audience, expires_at=NOW + 86_400
    )
    pair.mentor = replace(
        pair.mentor,
        account_seed=AccountSecret(seed("impostor")).seed,
        device_seed=DeviceSecret(seed("impostor device")).seed,
        sealing=(record,),
    )


def brief_to(pair: Pair, sealing: PersonSealingKey) -> bytes:
    """Let the mentee choose somebody behind this key; return the entry for the mentor's mailbox."""
    item, _, choice = pair.accept(pair.offered(pair.quote(pair.ask(), keys=(sealing.public.text,))))
    return pair.entry(item, choice)


def test_a_node_that_puts_its_own_key_into_the_quote_reads_the_brief_and_gets_no_further() -> None:
    pair = Pair()
    own = PersonSealingKey(seed("cobalt's own"))
    entry = brief_to(pair, own)
    # The mentor's client cannot open what was sealed to somebody else, and says so.
    with pytest.raises(RefusedError, match="sealed to another device"):
        pair.arrive(entry)
    # The node opens it: that is not prevented, and the threat model says so.
    impostor(pair, own)
    pair.arrive(entry)
    assert pair.record(by_mentor=True).brief is not None
    assert pair.record(by_mentor=True).brief.prompts == PROMPTS  # type: ignore[union-attr]  # just looked
    # A yes by its own keys, which no directory lists: the mentee's client asks for the proof and opens nothing.
    yes = pair.yes()
    with pytest.raises(UnverifiedError, match="not proven"):
        pair.agree(pair.agreement(yes.hash), yes.private)
    assert pair.mentee.sessions == {}


def test_a_yes_by_the_real_mentor_to_a_brief_that_the_node_could_read_stops_before_names() -> None:
    pair = Pair()
    own = PersonSealingKey(seed("cobalt's own"))
    entry = brief_to(pair, own)
    real = pair.mentor
    pair.mentor = replace(
        real,
        sealing=(
            *real.sealing,
            SealingRecord(
                hash=sealing_key_hash(own.public), seed=own.seed, audience=pair.audience, expires_at=NOW + 86_400
            ),
        ),
    )
    pair.arrive(entry)
    # The device of the mentor is made to say yes with the key that it has published, not with the node's.
    record = pair.record(by_mentor=True)
    pair.mentor = pair.mentor.with_thread(replace(record, reader=sealing_key_hash(pair.sealing.public)))
    yes = pair.yes()
    events = pair.agree(pair.agreement(yes.hash), yes.private)
    (alarm,) = [event for event in events if isinstance(event, Alarm)]
    assert "someone else could read your brief" in alarm.sentence
    assert (pair.record().cancel, pair.mentee.sessions) == ("conflict", {})


def test_an_invented_mentor_who_stands_in_the_directory_passes_and_the_organization_stays_on_record() -> None:
    pair = Pair()
    own = PersonSealingKey(seed("cobalt's own"))
    impostor(pair, own)
    pair.mentee = pair.knows(pair.mentee, pair.mentor)
    pair.mentor = pair.knows(pair.mentor, pair.mentee)
    pair.arrive(brief_to(pair, own))
    yes = pair.yes()
    pair.agree(pair.agreement(yes.hash), yes.private)
    pair.verify(pair.agreement(yes.hash))
    # Nothing tells an invented person from a real one; what is left says who received the brief.
    left = destroyed(pair.mentee, pair.thread, now=NOW).threads[pair.thread]
    assert (left.peer, left.state) == (pair.cobalt.entity, "CLOSED")


def test_a_mentees_node_cannot_send_a_brief_of_its_own_in_her_name() -> None:
    pair = Pair()
    stranger = replace(pair.mentee, account_seed=seed("stranger"), device_seed=seed("stranger device"))
    pair.mentee = stranger
    entry = brief_to(pair, pair.sealing)
    # Ben's client asks whose device signed it: no directory lists it for anybody.
    with pytest.raises(UnverifiedError, match="not proven"):
        pair.arrive(entry)
    assert pair.mentor.threads == {}


def countered(pair: Pair, keys: tuple[str, ...]) -> None:
    """Let Cobalt's node propose other times of the same person, behind these keys, and the mentee take them up."""
    request = pair.mentee.threads[pair.thread]
    candidate = replace(pair.mentee.asks[ASK].offered[0].candidate, keys=keys)
    quote = Quote(org=document_of(pair.mentee, pair.cobalt.entity).org, candidates=(candidate,), valid_until=NOW + 900)
    key = request.quote_key.public
    body = OfferedBody(quote=b64(key.seal(encode(quote), contexts.quote(request.context, key))))
    item = pair.cobalt.say(pair.aurora, pair.thread, "provider", "counter", body)
    entry = Entry(cursor=1, thread=pair.thread, side="consumer", kind="message", data=b64(item), at=NOW)
    pair.mentee, (event,) = take_entry(pair.core, pair.mentee, entry)
    assert isinstance(event, Countered)


def test_a_node_that_read_a_brief_does_not_get_it_sealed_again_for_the_real_mentor() -> None:
    """It proposes other times, to have a second brief that the real mentor opens and says yes to."""
    pair = Pair()
    brief_to(pair, PersonSealingKey(seed("cobalt's own")))
    before = pair.mentee
    with pytest.raises(UnverifiedError, match="another key than your brief was sealed to") as refused:
        countered(pair, (pair.sealing.public.text,))
    assert refused.value.code == "foreign-reader"
    assert pair.mentee == before


def test_other_times_behind_the_same_key_are_taken_up() -> None:
    pair = Pair()
    brief_to(pair, pair.sealing)
    with pytest.raises(UnverifiedError):
        countered(pair, (pair.sealing.public.text, PersonSealingKey(seed("cobalt's own")).public.text))
    countered(pair, (pair.sealing.public.text,))
    item, _, choice = pair.accept(pair.mentee.asks[ASK].offered[0])
    pair.arrive(pair.entry(item, choice))
    yes = pair.yes()
    pair.agree(pair.agreement(yes.hash), yes.private)
    assert list(pair.mentee.sessions) == [pair.thread]
