"""Each side of a linking checks the other by itself: neither relies on what the other would notice."""

import pytest
from msgspec.structs import replace

from protocol.e2ee import pake
from protocol.e2ee.keys import AccountSecret, DeviceSecret
from protocol.e2ee.linking import Account, Grant, LinkKey, NewDevice, NewSide, OldSide, Proof, certified
from protocol.encoding import b64, decode, encode, sha256
from protocol.errors import UnverifiedError

ACCOUNT = Account(entity="https://aurora.example", member="member")
AUDIENCE = b64(sha256(b"audience"))
NOW = 1_800_000_000
NEW, OLD = DeviceSecret(sha256(b"new")), DeviceSecret(sha256(b"old"))
SECRET = AccountSecret(sha256(b"account"))
DEVICE = NewDevice(
    device_id=NEW.device_id(AUDIENCE), device_key=NEW.key(AUDIENCE).public.text, sign_in=b64(sha256(b"sign-in"))
)


def sides(typed: str = "12345678") -> tuple[NewSide, OldSide]:
    run, entropy = b64(sha256(b"run")[:16]), sha256(b"one") + sha256(b"two")
    new = NewSide(ACCOUNT, "12345678", run=run, key=LinkKey(sha256(b"key")), entropy=entropy)
    return new, OldSide(ACCOUNT, typed, new.opening, key=LinkKey(sha256(b"other key")), entropy=entropy[::-1])


def granted(device: NewDevice = DEVICE) -> Grant:
    certificate, word = certified(SECRET, OLD.key(AUDIENCE), device, audience=AUDIENCE, now=NOW)
    return Grant(account=b64(SECRET.seed), authorization=word, certificate=certificate, known=())


def test_the_new_device_answers_nobody_who_was_not_told_the_code() -> None:
    new, old = sides("12345679")
    with pytest.raises(UnverifiedError) as caught:
        new.prove(old.reply, DEVICE)
    assert caught.value.code == "wrong-code"
    with pytest.raises(UnverifiedError, match="nobody has shown"):
        new.take(old.grant(granted()), NEW, audience=AUDIENCE, now=NOW)


def test_the_old_device_believes_nobody_who_did_not_make_the_code() -> None:
    new, old = sides()
    proof = decode(new.prove(old.reply, DEVICE), Proof)
    assert old.check(encode(proof)) == DEVICE
    with pytest.raises(UnverifiedError) as caught:
        old.check(encode(replace(proof, confirm=b64(sha256(b"another")))))
    assert caught.value.code == "wrong-code"


def test_a_grant_is_for_this_device_and_from_the_one_that_was_told_the_code() -> None:
    new, old = sides()
    old.check(new.prove(old.reply, DEVICE))
    assert new.take(old.grant(granted()), NEW, audience=AUDIENCE, now=NOW) == granted()
    other = replace(DEVICE, device_key=OLD.key(AUDIENCE).public.text)
    with pytest.raises(UnverifiedError) as caught:
        new.take(old.grant(granted(other)), NEW, audience=AUDIENCE, now=NOW)
    assert caught.value.code == "wrong-device"
    _, stranger = sides("00000000")
    with pytest.raises(UnverifiedError, match="does not open"):
        new.take(stranger.grant(granted()), NEW, audience=AUDIENCE, now=NOW)


def test_secrets_of_a_run_show_nothing() -> None:
    share = pake.begin(b"12345678", b"context", entropy=bytes(63) + b"\x01")
    assert repr(share) == "Share(…)"
    assert b64(SECRET.seed) not in repr(granted())
    assert repr(pake.agree(share, share.share, b"seen")) == "Agreed(…)"
    with pytest.raises(ValueError, match="64 bytes"):
        pake.begin(b"12345678", b"context", entropy=bytes(63))
