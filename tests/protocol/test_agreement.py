"""Two signatures over the same terms, both required, in one order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from protocol.agreement import agreement_hash, check_same, countersign, open_agreement, open_proposed, propose
from protocol.bodies import MAX_WINDOW_S, Agreement
from protocol.encoding import b64, decode, encode, sha256
from protocol.errors import MalformedError, UnverifiedError
from protocol.handshake import Side
from protocol.signing import SigningKey

from .e2ee.damage import flipped
from .pairs import HASH, KEYS, NODES, NOW, THREAD

CONSUMER, PROVIDER = KEYS[Side.CONSUMER], KEYS[Side.PROVIDER]
STRANGER = SigningKey(sha256(b"stranger"))
SECONDS = st.integers(0, 253402300799)
HASHES = st.binary(min_size=32, max_size=32).map(b64)


def agreement(**changed: object) -> Agreement:
    fields: dict[str, object] = {
        "thread": THREAD,
        "consumer": NODES[Side.CONSUMER],
        "provider": NODES[Side.PROVIDER],
        "accepted": HASH,
        "slot": NOW + 86_400,
        "format": "call",
        "length": 30,
        "consent": HASH,
        "agreed_at": NOW,
    }
    return Agreement(**{**fields, **changed})  # type: ignore[arg-type] # a table of fields


TEXT = {"format": "text", "slot": None}
AGREEMENTS = st.one_of(
    st.builds(agreement, slot=SECONDS, accepted=HASHES, agreed_at=SECONDS, length=st.sampled_from([15, 30, 60])),
    st.integers(1, MAX_WINDOW_S).map(lambda window: agreement(**TEXT, window_s=window)),
    st.just(agreement(attested="node", consent=None)),
)


@given(AGREEMENTS)
@settings(max_examples=40)
def test_both_copies_say_the_same_and_open_with_both_keys(terms: Agreement) -> None:
    proposed = propose(terms, PROVIDER)
    signed = countersign(proposed, CONSUMER)
    assert open_proposed(proposed, PROVIDER.public) == terms
    assert open_agreement(signed, PROVIDER.public, CONSUMER.public) == terms
    assert decode(encode(terms), Agreement) == terms
    check_same(open_proposed(proposed, PROVIDER.public), terms)


@pytest.mark.parametrize(
    "changed",
    [
        {"slot": None},
        {"window_s": 60},
        {"slot": None, "window_s": 60},
        {"format": "text"},
        {"format": "text", "window_s": 60},
        TEXT,
        {"consent": None},
        {"attested": "node"},
    ],
)
def test_terms_that_contradict_themselves_cannot_be_made(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"session has a window|consent is named"):
        agreement(**changed)


def test_half_an_agreement_is_none() -> None:
    proposed = propose(agreement(), PROVIDER)
    with pytest.raises(UnverifiedError):
        open_agreement(proposed, PROVIDER.public, CONSUMER.public)
    with pytest.raises(UnverifiedError):
        open_proposed(countersign(proposed, CONSUMER), PROVIDER.public)


@pytest.mark.parametrize(
    ("provider", "consumer"),
    [(CONSUMER, PROVIDER), (PROVIDER, STRANGER), (STRANGER, CONSUMER), (PROVIDER, PROVIDER)],
)
def test_other_keys_in_either_place_are_refused(provider: SigningKey, consumer: SigningKey) -> None:
    signed = countersign(propose(agreement(), PROVIDER), CONSUMER)
    with pytest.raises(UnverifiedError):
        open_agreement(signed, provider.public, consumer.public)


def test_a_document_changed_in_any_byte_is_refused() -> None:
    signed = countersign(propose(agreement(), PROVIDER), CONSUMER)
    for wrong in flipped(signed.encode()):
        with pytest.raises((MalformedError, UnverifiedError)):
            open_agreement(wrong.decode("latin-1"), PROVIDER.public, CONSUMER.public)


def test_nobody_signs_a_third_time() -> None:
    with pytest.raises(MalformedError):
        countersign(countersign(propose(agreement(), PROVIDER), CONSUMER), CONSUMER)


def test_other_terms_than_the_proposed_ones_are_refused() -> None:
    with pytest.raises(UnverifiedError) as caught:
        check_same(agreement(), replace(agreement(), length=60))
    assert caught.value.code == "agreement-changed"


def test_the_hash_names_the_document_with_both_signatures() -> None:
    proposed = propose(agreement(), PROVIDER)
    signed = countersign(proposed, CONSUMER)
    assert agreement_hash(signed) == b64(sha256(signed.encode()))
    assert agreement_hash(signed) != agreement_hash(proposed)
