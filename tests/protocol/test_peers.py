"""What documents, tickets and words promise beyond their vectors (test_peers_vectors.py)."""

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.addresses import audience_id, parse_api, parse_loopback
from protocol.errors import MalformedError, MeshError
from protocol.fingerprints import WORDS, fingerprint_words, words_of
from protocol.peers import PROTOCOLS, NodeDocument, common_protocol, log_vkey, open_document, sign_document
from protocol.rotation import Rotation, pin, sign_rotation
from protocol.signing import SigningKey
from protocol.tickets import Ticket, code_hash, parse_ticket, render_ticket
from tests.vectors.generate import peers as made

TICKET = Ticket(
    entity="https://aurora.example",
    api="https://aurora.example",
    fingerprint="A" * 43,
    code="A" * 22,
    expires_at=1_800_000_000,
)


def document() -> NodeDocument:
    return open_document(made.signed(made.document()))


def test_what_we_speak_is_what_our_vectors_speak() -> None:
    assert document().protocols == PROTOCOLS


def test_a_document_is_signed_by_the_key_it_names() -> None:
    key = SigningKey(made.FEDERATION.encode())
    assert sign_document(document(), key) == made.signed(made.document())
    with pytest.raises(ValueError, match="federation key"):
        sign_document(document(), SigningKey(bytes(32)))


def test_a_rotation_statement_is_signed_as_the_page_says() -> None:
    old, new = made.key("aurora federation"), made.key("aurora federation 2")
    statement = Rotation(entity=made.ENTITY, number=1, old=made.text_of(old), new=made.text_of(new), issued_at=made.NOW)
    expected = made.rotation(old, "aurora federation", "aurora federation 2")
    assert sign_rotation(statement, SigningKey(old.encode())) == expected


def test_a_peer_that_was_just_pinned_has_followed_no_recovery() -> None:
    key = SigningKey(made.FEDERATION.encode()).public
    assert pin(made.signed(made.document()), key).recovered == 0


@pytest.mark.parametrize(
    ("statement", "recovered"),
    [
        (made.rotation(made.FEDERATION, "aurora federation", "aurora federation 2"), 0),
        (made.rotation(made.key("aurora recovery"), "aurora federation 0", "aurora federation", number=3), 3),
        (made.rotation(made.key("aurora recovery 0"), "aurora federation 0", "aurora federation", number=4), 0),
        (made.rotation(made.key("recovery 0"), "old", "aurora federation", number=5, recovery="aurora recovery"), 5),
    ],
    ids=["a step", "a recovery", "of an earlier recovery key", "a new recovery key"],
)
def test_statements_from_before_the_first_sight_cannot_be_played_again(statement: str, recovered: int) -> None:
    text = made.signed(made.document({"rotations": [statement]}))
    assert pin(text, SigningKey(made.FEDERATION.encode()).public).recovered == recovered


def test_a_document_that_claims_a_recovery_it_has_not_is_not_pinned() -> None:
    forged = made.rotation(made.key("aurora recovery"), "aurora federation 0", "aurora federation")[:-4] + "AAAA"
    text = made.signed(made.document({"rotations": [forged]}))
    with pytest.raises(MeshError):
        pin(text, SigningKey(made.FEDERATION.encode()).public)


@pytest.mark.parametrize(
    ("ours", "theirs", "common"),
    [
        (("mentormesh/1",), ("mentormesh/1",), "mentormesh/1"),
        (("mentormesh/2", "mentormesh/1"), ("mentormesh/1", "mentormesh/2"), "mentormesh/2"),
        (("mentormesh/9", "mentormesh/10"), ("mentormesh/10", "mentormesh/9"), "mentormesh/10"),
        (("mentormesh/1",), ("mentormesh/2",), None),
    ],
)
def test_the_highest_common_version_is_spoken(
    ours: tuple[str, ...], theirs: tuple[str, ...], common: str | None
) -> None:
    assert common_protocol(ours, theirs) == common


def test_a_verifier_key_is_that_of_the_signed_note_library() -> None:
    # The example in the documentation of golang.org/x/mod/sumdb/note.
    known = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    public = base64.b64decode(known.rpartition("+")[2])[1:]
    assert log_vkey("PeterNeumann", public) == known


@given(place=st.integers(0, 500), character=st.sampled_from("ABCxyz019-_"))
def test_no_mistyped_character_of_a_ticket_goes_unnoticed(place: int, character: str) -> None:
    text = render_ticket(TICKET)
    at = 4 + place % (len(text) - 4)
    changed = text[:at] + character + text[at + 1 :]
    if changed != text:
        with pytest.raises(MalformedError):
            parse_ticket(changed)


def test_spaces_around_a_ticket_do_not_matter() -> None:
    assert parse_ticket(f"  {render_ticket(TICKET)}\n") == TICKET


@given(st.text(max_size=80))
def test_any_other_text_is_no_ticket(text: str) -> None:
    with pytest.raises(MeshError):
        parse_ticket(text)


def test_the_hash_of_a_code_is_kept_apart_from_other_hashes() -> None:
    assert len(code_hash("A" * 22)) == 32
    assert code_hash("A" * 22) != code_hash("B" * 21 + "A")


@pytest.mark.slow
def test_the_words_are_short_and_hard_to_confuse() -> None:
    assert len(WORDS) == len(set(WORDS)) == 256
    assert all(4 <= len(word) <= 8 and word.isascii() and word.islower() for word in WORDS)
    assert len({word[:4] for word in WORDS}) == 256
    assert all(_distance(one, other) >= 3 for one, other in itertools.combinations(WORDS, 2))


def _distance(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        following = [number]
        for place, second in enumerate(other, 1):
            following.append(min(row[place] + 1, following[-1] + 1, row[place - 1] + (letter != second)))
        row = following
    return row[-1]


def test_a_key_and_its_thumbprint_have_the_same_eight_words() -> None:
    key = SigningKey(bytes(32)).public
    assert fingerprint_words(key) == words_of(key.keyid)
    assert len(fingerprint_words(key).split()) == 8


def test_an_audience_of_three_is_a_programming_mistake() -> None:
    with pytest.raises(ValueError, match="audience"):
        audience_id("https://a.example", "https://b.example", "https://c.example")


def test_an_organization_and_itself_are_one_audience() -> None:
    assert audience_id("https://a.example", "https://a.example") == audience_id("https://a.example")


@pytest.mark.parametrize(
    "text", ["127.0.0.1", "127.0.0.2:80", "localhost:80", "127.0.0.1:0", "127.0.0.1:65536", "::1:80"]
)
def test_a_development_address_is_loopback_with_a_port(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_loopback(text)


def test_both_loopback_addresses_are_taken() -> None:
    assert parse_loopback("127.0.0.1:8441") == ("127.0.0.1", 8441)
    assert parse_loopback("[::1]:8441") == ("::1", 8441)


@given(st.text(max_size=30))
def test_an_api_base_is_taken_as_it_is_or_not_at_all(text: str) -> None:
    for candidate in (text, f"https://{text}"):
        try:
            assert parse_api(candidate) == candidate
        except MalformedError:
            continue
