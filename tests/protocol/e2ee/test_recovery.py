"""Recovery bundles: what vectors cannot show, and the strength of passphrases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.e2ee.recovery import (
    MAX_BUNDLE_BYTES,
    MAX_SLOTS,
    Bundle,
    DamagedBundleError,
    Recovered,
    open_bundle,
    parse_bundle,
    render_bundle,
)
from protocol.e2ee.recovery_slots import (
    PasskeySlot,
    WeakPassphraseError,
    check_strength,
    key_by_passkey,
    key_by_passphrase,
    key_by_words,
    words_slot,
)
from protocol.e2ee.recovery_words import WORD_COUNT, parse_words, render_words
from protocol.encoding import b64, encode, sha256
from protocol.errors import MalformedError, MeshError, RefusedError
from tests.vectors.generate.recovery import ENTROPY, ID, KEY, NOW, PASSPHRASE, RECOVERED, bundle


def bare(*slots: object) -> Bundle:
    return Bundle(id=ID, seq=1, salt=b64(sha256(b"s")[:16]), slots=slots)  # type: ignore[arg-type]


def test_a_passkey_slot_is_kept_and_refused_with_a_clear_sentence() -> None:
    kept = PasskeySlot(id=b64(sha256(b"p")[:16]), added_at=NOW, credential="abc", salt=b64(sha256(b"x")), sealed="abc")
    words = words_slot(ENTROPY, KEY, slot=b64(sha256(b"w")[:16]), now=NOW)
    found = parse_bundle(render_bundle(bare(kept, words), RECOVERED, KEY))
    assert open_bundle(found, key_by_words(found.slots, ENTROPY)) == RECOVERED
    assert found.slots[0] == kept
    with pytest.raises(RefusedError, match="a passkey opens nothing in this version"):
        key_by_passkey(found.slots)
    with pytest.raises(RefusedError) as caught:
        key_by_words((kept,), ENTROPY)
    assert caught.value.code == "no-slot"
    with pytest.raises(RefusedError) as caught:
        key_by_passphrase((kept,), PASSPHRASE)
    assert caught.value.code == "no-slot"


def test_every_changed_byte_of_a_bundle_is_refused() -> None:
    def recovered(data: bytes) -> Recovered:
        found = parse_bundle(data)
        return open_bundle(found, key_by_words(found.slots, ENTROPY))

    data = bundle()
    assert recovered(data) == RECOVERED
    for at in range(len(data)):
        with pytest.raises(MeshError):
            recovered(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def test_a_bundle_is_bounded() -> None:
    slots = [words_slot(ENTROPY, KEY, slot=b64(sha256(bytes([n]))[:16]), now=NOW) for n in range(MAX_SLOTS + 1)]
    assert len(render_bundle(bare(*slots[:-1]), RECOVERED, KEY)) < MAX_BUNDLE_BYTES
    with pytest.raises(DamagedBundleError):
        parse_bundle(encode(bare(*slots)))
    with pytest.raises(DamagedBundleError):
        parse_bundle(bytes(MAX_BUNDLE_BYTES + 1))
    with pytest.raises(DamagedBundleError, match="two slots have one id"):
        parse_bundle(encode(bare(slots[0])).replace(b'"slots":[', b'"slots":[' + encode(slots[0]) + b","))


def test_nothing_secret_shows_in_a_repr() -> None:
    assert RECOVERED.account_secret not in repr(RECOVERED)


@given(st.binary(min_size=32, max_size=32))
def test_words_of_any_bytes_come_back(entropy: bytes) -> None:
    words = render_words(entropy)
    assert len(words) == WORD_COUNT
    assert parse_words(" ".join(words)) == entropy


@pytest.mark.parametrize(
    "passphrase",
    [
        "otter plays seven drums before noon",
        "Über sieben Brücken musst du gehn",
        "x8!kQ2vv0-p7Lm4#zT9w",
        "a1" + "bcdefghij" * 2,
    ],
)
def test_a_passphrase_that_cannot_be_guessed_is_taken(passphrase: str) -> None:
    check_strength(passphrase)


@pytest.mark.parametrize(
    "passphrase",
    [
        "",
        "correct horse",
        "Tr0ub4dor&3",
        "no no no no no no",
        "a b c d e f g",
        "a" * 40,
        "12" * 12,
        " " * 30 + "short one",
    ],
)
def test_a_passphrase_that_could_be_guessed_is_refused(passphrase: str) -> None:
    with pytest.raises(WeakPassphraseError, match="could guess at it"):
        check_strength(passphrase)


def test_the_entropy_of_words_has_one_size() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        render_words(bytes(31))
    with pytest.raises(MalformedError, match="recovery words are 33 words"):
        parse_words("acid " * 1000)
