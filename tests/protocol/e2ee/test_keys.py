"""Keys come from secrets in one way only, differ wherever they must, and never show a secret."""

import pytest

from protocol.e2ee.crypto import Own
from protocol.e2ee.keys import (
    AccountSecret,
    DeviceKey,
    DeviceSecret,
    IdentityKey,
    MasterKey,
    PersonSealingKey,
    ReplyKey,
)
from protocol.e2ee.mls.engine import MlsCrypto
from protocol.e2ee.vault import VaultKey
from protocol.encoding import b64

from .people import AUDIENCE, MENTEE, MENTOR, NOW, OTHER_AUDIENCE

ENGINE = MlsCrypto()
CANARY = b"canary secret of thirty-two byte"


def spellings(secret: bytes) -> list[str]:
    """Return the ways in which bytes could be printed."""
    return [secret.decode("latin-1"), secret.hex(), b64(secret), repr(secret)[2:-1]]


def test_the_same_secret_gives_the_same_keys() -> None:
    again = AccountSecret(MENTEE.account.seed)
    assert again.master().public == MENTEE.account.master().public
    assert again.identity(AUDIENCE).public == MENTEE.account.identity(AUDIENCE).public
    assert again.label(AUDIENCE) == MENTEE.account.label(AUDIENCE)


def test_every_key_and_name_of_a_person_differs_between_audiences_and_purposes() -> None:
    account, device = MENTEE.account, MENTEE.device()
    keys = [
        account.master().public.text,
        *(key for one in (AUDIENCE, OTHER_AUDIENCE) for key in (account.identity(one).public.text, account.label(one))),
        *(key for one in (AUDIENCE, OTHER_AUDIENCE) for key in (device.key(one).public.text, device.device_id(one))),
    ]
    assert len(set(keys)) == len(keys) == 9


def test_two_people_and_two_devices_share_nothing() -> None:
    assert MENTEE.account.label(AUDIENCE) != MENTOR.account.label(AUDIENCE)
    assert MENTEE.key(1).public != MENTEE.key(2).public


@pytest.mark.parametrize("kind", [AccountSecret, DeviceSecret])
@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_of_another_size_is_a_programming_mistake(kind: type[AccountSecret], size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        kind(bytes(size))


@pytest.mark.parametrize(
    "secret",
    [
        AccountSecret(CANARY),
        DeviceSecret(CANARY),
        MasterKey(CANARY),
        IdentityKey(CANARY),
        DeviceKey(CANARY),
        PersonSealingKey(CANARY),
        ReplyKey(CANARY),
        VaultKey(CANARY),
        Own(device=DeviceKey(CANARY), secret=CANARY),
        ENGINE.start(
            ENGINE.prepare(DeviceKey(CANARY), "", now=NOW, entropy=CANARY)[0],
            (ENGINE.prepare(MENTOR.key(), "", now=NOW, entropy=bytes(32))[1],),
            context=bytes(32),
            check=lambda _: None,
            now=NOW,
            entropy=CANARY,
        )[0],
    ],
    ids=lambda secret: type(secret).__name__,
)
def test_no_secret_shows_in_what_is_printed(secret: object) -> None:
    for shown in (repr(secret), str(secret), f"{secret}", repr([secret]), repr({"key": secret})):
        assert not any(spelling in shown for spelling in spellings(CANARY))


def test_the_search_for_a_printed_secret_would_find_one() -> None:
    shown = [repr(CANARY), CANARY.hex(), b64(CANARY)]
    assert all(any(spelling in one for spelling in spellings(CANARY)) for one in shown)
