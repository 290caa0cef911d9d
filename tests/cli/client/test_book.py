"""What two devices of one person know put together: nothing is lost, and what was ended stays ended."""

import pytest
from msgspec.structs import replace

from cli.client.asking import KEEP_S
from cli.client.blockrecord import BlockRecord
from cli.client.blocks import find_block, without_block
from cli.client.book import book_of, shortlists_of, with_book
from cli.client.contacts import without_tokens
from cli.client.records import Contact, TakeawayRecord
from cli.client.state import ClientState, dump_state, load_state
from cli.client.unlock import new_state
from protocol.e2ee.kept import Book
from protocol.encoding import b64, decode, sha256
from protocol.errors import MalformedError

from .pair import NOW, Pair


def key(text: str) -> str:
    return b64(sha256(text.encode()))


def name(text: str) -> str:
    return b64(sha256(text.encode())[:16])


MET = Contact(
    thread=name("thread"),
    name="Ben",
    entity="https://birch.example",
    label="",
    master_key=key("first"),
    met_at=NOW,
    token=name("token"),
    token_until=NOW + 9,
)
BLOCK = BlockRecord(id=name("block"), entity="https://birch.example", at=NOW, master_key=key("bad"))


def told(to: ClientState, by: ClientState) -> ClientState:
    """Return the state of one device after the book of another."""
    return with_book(to, book_of(by, now=NOW))


def test_a_book_changes_nothing_on_the_device_that_wrote_it() -> None:
    pair = Pair()
    pair.until_open()
    state = replace(pair.mentee, contacts=(MET,), blocks=(BLOCK,), verified={key("first"): 5})
    after = told(state, state)
    assert book_of(after, now=NOW) == book_of(state, now=NOW)
    assert after.asks == state.asks


def test_a_block_of_one_device_holds_on_the_other_with_every_key_that_either_knows() -> None:
    here = replace(new_state(), blocks=(replace(BLOCK, former=(key("later"),)),))
    there = replace(new_state(), blocks=(replace(BLOCK, identities=(key("identity"),)),))
    (block,) = told(there, here).blocks
    assert (block.master_key, block.former, block.identities) == (key("bad"), (key("later"),), (key("identity"),))


def test_a_block_that_was_forgotten_on_one_device_comes_back_on_none() -> None:
    before = replace(new_state(), blocks=(BLOCK, replace(BLOCK, id=name("other"))))
    here = without_block(before, 1)
    assert [one.id for one in told(before, here).blocks] == [name("other")]
    assert [one.id for one in told(here, before).blocks] == [name("other")]


def test_a_block_of_before_ids_is_one_block_on_two_devices() -> None:
    here = replace(new_state(), blocks=(replace(BLOCK, id=""),))
    after = told(told(new_state(), here), load_state(dump_state(here)))
    assert len(after.blocks) == 1
    assert find_block(after, entity="", master_key=key("bad")) is not None


def test_a_block_that_comes_from_another_device_takes_them_out_of_the_shortlist() -> None:
    pair = Pair()
    pair.until_open()
    (offered,) = pair.mentee.asks[next(iter(pair.mentee.asks))].offered
    block = replace(BLOCK, entity=offered.entity, sealing=(offered.key,))
    after = told(pair.mentee, replace(new_state(), blocks=(block,)))
    assert [ask.offered for ask in after.asks.values()] == [()]


def test_who_may_not_ask_again_by_one_device_may_not_by_the_other() -> None:
    here = replace(new_state(), contacts=(MET,))
    there = without_tokens(here, MET)
    for after in (told(here, there), told(there, here)):
        (contact,) = after.contacts
        assert (contact.token, contact.token_until) == ("", 0)


def test_a_token_that_only_one_device_was_told_serves_both() -> None:
    late = replace(new_state(), contacts=(replace(MET, token="", token_until=0),))
    (contact,) = told(late, replace(new_state(), contacts=(MET,))).contacts
    assert (contact.token, contact.token_until) == (MET.token, MET.token_until)


def test_the_keys_of_a_contact_are_those_of_the_device_that_believed_a_change() -> None:
    before = replace(new_state(), contacts=(replace(MET, next_key=key("second"), next_since=NOW),))
    after = replace(new_state(), contacts=(replace(MET, master_key=key("second"), former=(key("first"),)),))
    for state in (told(before, after), told(after, before)):
        (contact,) = state.contacts
        assert (contact.master_key, contact.former, contact.next_key) == (key("second"), (key("first"),), "")


def test_a_change_that_waits_on_one_device_does_not_begin_to_count_on_the_other() -> None:
    waits = replace(new_state(), contacts=(replace(MET, next_key=key("second"), next_since=1),))
    (contact,) = told(replace(new_state(), contacts=(MET,)), waits).contacts
    assert (contact.next_key, contact.next_since) == ("", 0)


FIRST, SECOND, THIEF = key("first"), key("second"), key("thief")
FOLLOWED = replace(MET, master_key=SECOND, former=(FIRST,))
OTHER = replace(FOLLOWED, master_key=THIEF)
DISPUTED = replace(FOLLOWED, disputed=True, next_key=THIEF, next_since=NOW)
BEFORE = replace(DISPUTED, master_key=FIRST, former=())


@pytest.mark.parametrize(
    ("here", "there", "believed", "disputed"),
    [
        pytest.param(DISPUTED, FOLLOWED, SECOND, True, id="one device saw both keys"),
        pytest.param(
            replace(DISPUTED, master_key=FIRST, former=()), FOLLOWED, SECOND, True, id="before it believed any"
        ),
        pytest.param(FOLLOWED, OTHER, None, True, id="each device believed another key"),
        pytest.param(DISPUTED, replace(FOLLOWED, compared_at=NOW + 1), SECOND, False, id="compared since"),
        pytest.param(DISPUTED, replace(FOLLOWED, compared_at=NOW - 1), SECOND, True, id="compared before"),
        pytest.param(
            FOLLOWED,
            replace(FOLLOWED, master_key=THIEF, compared_at=NOW + 1),
            THIEF,
            False,
            id="compared on one device",
        ),
    ],
)
def test_a_key_that_is_disputed_on_one_device_is_on_the_other_until_it_was_compared(
    here: Contact, there: Contact, believed: str | None, disputed: bool
) -> None:
    states = [replace(new_state(), contacts=(one,)) for one in (here, there)]
    for mine, theirs in (states, states[::-1]):
        (contact,) = told(mine, theirs).contacts
        assert contact.disputed is disputed
        assert contact.master_key == (believed or mine.contacts[0].master_key)
        assert bool(contact.next_key) is disputed
        assert contact.next_key != contact.master_key
        again = told(replace(mine, contacts=(contact,)), theirs)
        assert again.contacts == (contact,)


def test_a_line_is_told_once_and_a_newer_code_counts() -> None:
    line = TakeawayRecord(thread=name("thread"), kind="takeaway", text="Ask early.", at=NOW)
    here = replace(new_state(), takeaways=(line,), verified={key("first"): 5, key("second"): 9})
    there = replace(new_state(), takeaways=(line,), verified={key("first"): 7})
    after = told(here, there)
    assert after.takeaways == (line,)
    assert after.verified == {key("first"): 7, key("second"): 9}


def test_a_shortlist_is_read_on_another_device_for_thirty_days_and_can_be_asked_from_on_none() -> None:
    pair = Pair()
    pair.until_open()
    (ask,) = pair.mentee.asks.values()
    after = told(new_state(), pair.mentee)
    (seen,) = shortlists_of(after, now=NOW)
    assert [one.org for one in seen.people] == [one.org.display_name for one in ask.offered]
    assert after.asks == {}
    candidate = ask.offered[0].candidate
    assert candidate.ref.encode() not in book_of(pair.mentee, now=NOW)
    assert candidate.keys[0].encode() not in book_of(pair.mentee, now=NOW)
    assert shortlists_of(after, now=ask.created_at + KEEP_S) == ()
    assert decode(book_of(pair.mentee, now=ask.created_at + KEEP_S), Book).shortlists == ()


@pytest.mark.parametrize("damaged", [b"", b"{}x", b'{"lines":[{}]}', b'{"more":1}'])
def test_a_book_that_cannot_be_read_changes_nothing(damaged: bytes) -> None:
    with pytest.raises(MalformedError):
        with_book(new_state(), damaged)
