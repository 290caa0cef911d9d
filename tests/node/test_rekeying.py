"""Key files change in one step: a stop at any moment leaves the old keys or the new ones, never a mixture."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node import rekeying
from node.keyfiles import ROLES, Role
from node.keys import KeyRing, load_key_file, load_keys
from node.rekeying import (
    finish_install,
    forget_expired,
    install_recovery,
    prepare_recovery,
    recovery_key,
    rotate_key,
    write_recovery_key,
)
from node.services.peers import public_keys
from protocol.errors import MalformedError, MissingError, RefusedError, UnverifiedError
from protocol.peers import MAX_ROTATIONS
from protocol.rotation import Rotation, open_recovery, sign_rotation
from protocol.signing import SigningKey
from tests.fakes.entropy import SeededEntropy
from tests.node.running import ENTITY, make_directory

NOW = 1_800_000_000
UNTIL = NOW + 86_400
FIELDS: dict[Role, str] = {role: role.replace("-", "_") for role in ROLES}


class StoppedError(Exception):
    """The power is gone."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_directory(tmp_path / "aurora")


def rotate(directory: Path, role: Role, *, seed: int = 7, now: int = NOW, until: int = UNTIL) -> KeyRing:
    rotate_key(directory, role, ENTITY, entropy=SeededEntropy(seed), now=now, until=until)
    return load_keys(directory)


def publics(keys: KeyRing) -> dict[str, str]:
    named = public_keys(keys)
    return {name: getattr(named, name) for name in named.__struct_fields__}


def statement(directory: Path, **changes: object) -> str:
    """Return a statement of the recovery key for the keys that wait."""
    new = prepare_recovery(directory, SeededEntropy(9)).text
    said = {"entity": ENTITY, "number": NOW, "old": load_keys(directory).federation.public.text, "new": new}
    signer = recovery_key(directory / "recovery.key")
    return sign_rotation(Rotation(**{**said, "issued_at": NOW, **changes}), signer)  # type: ignore[arg-type]


def recover(directory: Path, text: str) -> KeyRing:
    install_recovery(directory, text, ENTITY, now=NOW, until=UNTIL)
    return load_keys(directory)


@pytest.mark.parametrize("role", ROLES)
def test_a_rotation_changes_one_key_and_no_other(directory: Path, role: Role) -> None:
    before = publics(load_keys(directory))
    after = publics(rotate(directory, role))
    assert {name for name in before if before[name] != after[name]} == {FIELDS[role]}


@pytest.mark.parametrize("role", ROLES)
def test_key_files_stay_private_through_a_rotation(directory: Path, role: Role) -> None:
    rotate(directory, role)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (directory / "keys").iterdir())


def test_what_is_under_way_keeps_the_keys_it_needs(directory: Path) -> None:
    before = load_keys(directory)
    for number, role in enumerate(ROLES):
        rotate(directory, role, seed=number)
    after = load_keys(directory)
    assert [key.public for key in after.earlier_log] == [before.log.public]
    assert [key.public for key in after.earlier_seal] == [before.envelope_seal.public]
    assert after.earlier_sign == (before.envelope_sign.public,)
    assert after.earlier_attest == (before.attest.public,)
    assert after.ended == frozenset()
    assert before.envelope_sign.public.keyid in after.own_messages


@pytest.mark.parametrize("role", ["federation", "http", "envelope-sign", "attest", "witness"])
def test_a_private_key_that_only_signs_is_gone_after_its_rotation(directory: Path, role: Role) -> None:
    old = (directory / "keys" / f"{role}.key").read_text().split()[2]
    rotate(directory, role)
    assert old not in (directory / "keys" / f"{role}.key").read_text()


def test_several_earlier_keys_count_until_their_time_is_over(directory: Path) -> None:
    first = load_keys(directory).envelope_seal.public
    second = rotate(directory, "envelope-seal", until=NOW + 10).envelope_seal.public
    after = rotate(directory, "envelope-seal", seed=8, now=NOW + 5, until=NOW + 20)
    assert [key.public for key in after.earlier_seal] == [second, first]
    assert not forget_expired(directory, now=NOW + 9)
    assert forget_expired(directory, now=NOW + 10)
    assert [key.public for key in load_keys(directory).earlier_seal] == [second]
    assert forget_expired(directory, now=NOW + 20)
    assert load_keys(directory).earlier_seal == ()
    assert not forget_expired(directory, now=NOW + 20)


def test_rotating_without_end_keeps_a_few_earlier_keys_and_statements(directory: Path) -> None:
    for number in range(10):
        rotate(directory, "federation", seed=number)
        rotate(directory, "envelope-sign", seed=100 + number)
    keys = load_keys(directory)
    assert (len(keys.rotations), len(keys.earlier_sign)) == (MAX_ROTATIONS, rekeying.MAX_EARLIER)


def test_a_file_that_a_rotation_left_behind_does_not_stop_the_next(directory: Path) -> None:
    (directory / "keys" / "http.key.new").write_text("half")
    before = load_keys(directory)
    assert rotate(directory, "http").http.public != before.http.public


@pytest.mark.parametrize("line", ["earlier AAAA 7", "earlier", "rotation x", "later x", f"earlier {'A' * 43} soon"])
def test_a_line_that_means_nothing_is_refused(directory: Path, line: str) -> None:
    path = directory / "keys" / "http.key"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(MalformedError):
        load_keys(directory)


def test_a_recovery_replaces_every_key_but_its_own(directory: Path) -> None:
    before = publics(load_keys(directory))
    after = recover(directory, statement(directory))
    assert {name for name, key in publics(after).items() if key == before[name]} == {"recovery"}
    assert (after.earlier_sign, after.earlier_attest) == ((), ())
    assert {key.public for key in after.earlier_log} == set(after.ended)
    assert len(after.earlier_seal) == 1
    assert not (directory / "keys" / "next").exists()
    assert not (directory / "keys" / "install").exists()
    assert open_recovery(after.rotations[-1], entity=ENTITY, recovery=after.recovery).new == (
        after.federation.public.text
    )


def test_the_recovery_key_names_its_successor(directory: Path, tmp_path: Path) -> None:
    new = write_recovery_key(tmp_path / "second.key", bytes(range(32)))
    assert recover(directory, statement(directory, recovery=new.text)).recovery == new
    assert recovery_key(tmp_path / "second.key").public == new
    with pytest.raises(UnverifiedError):
        recover(directory, statement(directory))  # the first one has no say any more


def test_preparing_twice_waits_for_the_same_statement(directory: Path) -> None:
    assert prepare_recovery(directory, SeededEntropy(1)) == prepare_recovery(directory, SeededEntropy(2))


def test_no_statement_no_recovery(directory: Path) -> None:
    keys = publics(load_keys(directory))
    with pytest.raises(MissingError):
        recover(directory, "a.b.c")
    good = statement(directory)
    thief = sign_rotation(
        Rotation(
            entity=ENTITY,
            number=NOW,
            old="A" * 43,
            new=prepare_recovery(directory, SeededEntropy(1)).text,
            issued_at=NOW,
        ),
        SigningKey(bytes(32)),
    )
    for text, error in (
        ("nonsense", MalformedError),
        (thief, UnverifiedError),
        (statement(directory, entity="https://birch.example"), UnverifiedError),
        (statement(directory, new=SigningKey(bytes(32)).public.text), RefusedError),
    ):
        with pytest.raises(error):
            recover(directory, text)
        assert publics(load_keys(directory)) == keys
    recover(directory, good)
    with pytest.raises(MissingError):
        recover(directory, good)


def test_an_existing_file_is_never_made_a_recovery_key(directory: Path) -> None:
    for path in (directory / "recovery.key", directory / "recovery.txt"):
        with pytest.raises(RefusedError):
            write_recovery_key(path, bytes(32))


def _stops(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[[], int]:
    """Let the machine stop at the file operation with this number; return a count of them."""
    count = 0

    def counted(do: Callable[..., object]) -> Callable[..., object]:
        def stopping(*given: object, **named: object) -> object:
            nonlocal count
            count += 1
            if count > after:
                raise StoppedError
            return do(*given, **named)

        return stopping

    for owner, name in ((os, "open"), (os, "fsync"), (Path, "replace"), (Path, "rename"), (Path, "rmdir")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    return lambda: count


def _boundaries() -> Iterator[int]:
    yield from range(60)


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("role", ["federation", "envelope-seal"])
def test_a_stop_at_any_step_of_a_rotation_leaves_the_old_key_or_the_new(
    directory: Path, monkeypatch: pytest.MonkeyPatch, role: Role, after: int
) -> None:
    before = load_keys(directory)
    with monkeypatch.context() as patch:
        _stops(patch, after)
        with pytest.raises(StoppedError):
            rotate(directory, role)
    stopped = load_keys(directory)
    changed = publics(stopped) != publics(before)
    assert changed is bool(stopped.rotations if role == "federation" else stopped.earlier_seal)
    again = rotate(directory, role, seed=8)
    assert publics(again)[FIELDS[role]] not in {publics(before)[FIELDS[role]], publics(stopped)[FIELDS[role]]}


@pytest.mark.slow
def test_a_stop_at_any_step_of_a_recovery_leaves_all_old_keys_or_all_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = set()
    for after in _boundaries():
        directory = make_directory(tmp_path / f"aurora{after}")
        before, text = publics(load_keys(directory)), statement(directory)
        with monkeypatch.context() as patch:
            steps = _stops(patch, after)
            try:
                recover(directory, text)
            except StoppedError:
                done = False
            else:
                done = True
            assert steps() > 0
        stopped = publics(load_keys(directory))
        unchanged = {name for name in before if before[name] == stopped[name]}
        assert unchanged in (set(before), {"recovery"})
        outcomes.add((len(unchanged), done))
        finish_install(directory)
        assert publics(load_keys(directory)) == stopped
        if len(unchanged) > 1:
            recover(directory, text)
        assert load_key_file(directory, "federation").rotations == (text,)
    assert outcomes == {(8, False), (1, False), (1, True)}
