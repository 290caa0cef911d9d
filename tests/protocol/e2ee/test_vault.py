"""A sealed container opens with its secret, and says clearly whether the secret or the file is wrong."""

from collections.abc import Callable

import pytest

from protocol.e2ee.vault import (
    DEFAULT_COST,
    MAGIC,
    NONCE_BYTES,
    Cost,
    DamagedVaultError,
    Header,
    VaultKey,
    WrongKeyError,
    read_header,
    unlock,
)
from protocol.encoding import b64, encode, sha256
from protocol.errors import MeshError

from .damage import cut, flipped
from .people import seed

QUICK = Cost(passes=1, memory_kib=8)
SALT = seed("salt")[:16]
NONCE = seed("nonce")[:NONCE_BYTES]
PASSPHRASE = "correct horse"
SECRET = VaultKey.from_passphrase(PASSPHRASE, salt=SALT, cost=QUICK)
BY_PASSPHRASE = SECRET.seal(b"state", nonce=NONCE)
BY_KEY = VaultKey(seed("raw key"), name="key of the test").seal(b"state", nonce=NONCE)


def test_a_passphrase_opens_and_its_key_seals_again_without_asking() -> None:
    key, plaintext = unlock(BY_PASSPHRASE, PASSPHRASE)
    assert plaintext == b"state"
    again = key.seal(b"new state", nonce=seed("other nonce")[:NONCE_BYTES])
    assert unlock(again, PASSPHRASE)[1] == b"new state"


def test_a_raw_key_opens_and_the_header_says_where_it_is_kept() -> None:
    assert VaultKey(seed("raw key"), name="any").open(BY_KEY) == b"state"
    assert read_header(BY_KEY) == Header(nonce=b64(NONCE), key_name="key of the test")


def test_the_default_cost_is_three_passes_over_64_mib() -> None:
    assert Cost(passes=3, memory_kib=64 * 1024) == DEFAULT_COST


@pytest.mark.parametrize("wrong", ["", "Correct horse", "correct horse ", "correct\x00horse"])
def test_a_wrong_passphrase_is_told_from_a_damaged_file(wrong: str) -> None:
    with pytest.raises(WrongKeyError, match="passphrase"):
        unlock(BY_PASSPHRASE, wrong)


def test_a_passphrase_is_the_same_in_both_unicode_forms() -> None:
    composed = VaultKey.from_passphrase("caf\u00e9 caf\u00e9", salt=SALT, cost=QUICK).seal(b"x", nonce=NONCE)
    assert unlock(composed, "cafe\u0301 cafe\u0301")[1] == b"x"


def test_a_passphrase_from_the_environment_that_is_not_utf_8_works_too() -> None:
    odd = b"caf\xe9 caf\xe9".decode("utf-8", "surrogateescape")
    assert unlock(VaultKey.from_passphrase(odd, salt=SALT, cost=QUICK).seal(b"x", nonce=NONCE), odd)[1] == b"x"


def test_a_file_of_another_kind_is_called_so() -> None:
    letter = b"Dear Ada, this is a letter and not a vault.\n"
    for other in (letter, letter + sha256(letter)):
        with pytest.raises(DamagedVaultError, match="not a vault"):
            read_header(other)


def test_a_passphrase_for_a_container_that_a_key_seals_is_refused() -> None:
    with pytest.raises(WrongKeyError, match="key of this machine"):
        unlock(BY_KEY, PASSPHRASE)


def test_another_key_does_not_open() -> None:
    with pytest.raises(WrongKeyError):
        VaultKey(seed("other"), name="x").open(BY_KEY)


@pytest.mark.parametrize("container", [BY_PASSPHRASE, BY_KEY], ids=["passphrase", "key"])
def test_a_changed_or_missing_byte_is_called_damage(container: bytes) -> None:
    for damaged in (*flipped(container), *cut(container)):
        with pytest.raises(DamagedVaultError):
            read_header(damaged)


def test_changed_bytes_under_a_new_checksum_do_not_open_either() -> None:
    key = VaultKey(seed("raw key"), name="any")
    for damaged in flipped(BY_KEY[:-32]):
        with pytest.raises(MeshError):
            key.open(damaged + sha256(damaged))


def with_header(header: bytes) -> bytes:
    body = MAGIC + len(header).to_bytes(4, "big") + header + bytes(40)
    return body + sha256(body)


GOOD = {"nonce": b64(NONCE), "salt": b64(SALT), "cost": {"passes": 1, "memory_kib": 8}}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda h: h | {"cost": {"passes": 17, "memory_kib": 8}}, id="too many passes"),
        pytest.param(lambda h: h | {"cost": {"passes": 1, "memory_kib": 1_048_577}}, id="too much memory"),
        pytest.param(lambda h: h | {"cost": {"passes": 0, "memory_kib": 8}}, id="no pass"),
        pytest.param(lambda h: h | {"key_name": "x"}, id="both kinds"),
        pytest.param(lambda h: {"nonce": h["nonce"]}, id="no kind"),
        pytest.param(lambda h: {"nonce": h["nonce"], "salt": h["salt"]}, id="salt without cost"),
        pytest.param(lambda h: {"nonce": h["nonce"], "cost": h["cost"]}, id="cost without salt"),
        pytest.param(lambda h: h | {"nonce": "AAAA"}, id="short nonce"),
        pytest.param(lambda h: h | {"salt": "AAAA"}, id="short salt"),
        pytest.param(lambda h: h | {"more": 1}, id="an unknown field"),
    ],
)
def test_a_header_that_is_not_allowed_is_refused(change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    read_header(with_header(encode(GOOD)))
    with pytest.raises(DamagedVaultError):
        read_header(with_header(encode(change(dict(GOOD)))))


@pytest.mark.parametrize("header", [b"", b"{}", b"null", b" " * 2_000])
def test_a_header_that_is_none_is_refused(header: bytes) -> None:
    with pytest.raises(DamagedVaultError):
        read_header(with_header(header))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_a_programming_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        VaultKey(bytes(size))


def test_the_container_shows_nothing_of_what_it_holds() -> None:
    assert b"state" not in BY_PASSPHRASE + BY_KEY
    assert PASSPHRASE.encode() not in BY_PASSPHRASE
