"""The person's folder: one sealed file, whole at every moment, for one program at a time."""

import fcntl
import os
import stat
import threading
from pathlib import Path

import msgspec
import pytest

from cli.client import unlock, vault
from cli.client.records import SessionRecord, TakeawayRecord
from cli.client.state import ClientState, dump_state, load_state
from cli.client.vault import FILE_NAME, LOCK_NAME, ClientVault, replace_file
from protocol.e2ee.vault import Cost, DamagedVaultError, VaultKey, WrongKeyError
from protocol.errors import ConflictError, MalformedError, MeshError, MissingError, UnavailableError

QUICK = Cost(passes=1, memory_kib=8)
PASSPHRASE = "a long enough passphrase"
STATE = ClientState(account_seed=b"a" * 32, device_seed=b"d" * 32)
KEY = VaultKey(b"k" * 32, name="test")


def never_asked() -> str:
    raise AssertionError("nobody is to be asked")


def noted(state: ClientState, text: str = "note") -> ClientState:
    record = TakeawayRecord(thread="t", kind="takeaway", text=text, at=1)
    return msgspec.structs.replace(state, takeaways=(*state.takeaways, record))


@pytest.fixture
def made(tmp_path: Path) -> ClientVault:
    return ClientVault.create(tmp_path / "client", KEY, STATE)


def test_what_was_stored_is_there_for_the_next_program(made: ClientVault) -> None:
    made.update(noted)
    assert ClientVault(made.folder, KEY).read().takeaways[0].text == "note"


def test_change_returns_what_belongs_to_the_new_state(made: ClientVault) -> None:
    assert made.change(lambda state: (noted(state), "result")) == "result"
    assert len(made.read().takeaways) == 1


def test_two_programs_do_not_undo_each_other(made: ClientVault) -> None:
    other = ClientVault(made.folder, KEY)
    threads = [threading.Thread(target=lambda one=one: [one.update(noted) for _ in range(10)]) for one in (made, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made.read().takeaways) == 20


def test_an_error_in_a_change_stores_nothing(made: ClientVault) -> None:
    before = (made.folder / FILE_NAME).read_bytes()

    def failing(state: ClientState) -> ClientState:
        noted(state)
        raise MissingError("no such thread")

    with pytest.raises(MissingError):
        made.update(failing)
    assert (made.folder / FILE_NAME).read_bytes() == before
    made.update(noted)  # and the lock is free again


def test_a_change_that_changes_nothing_writes_nothing(made: ClientVault) -> None:
    before = (made.folder / FILE_NAME).read_bytes()
    made.update(lambda state: state)
    assert (made.folder / FILE_NAME).read_bytes() == before


def test_folder_and_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = ClientVault.create(tmp_path / "client", KEY, STATE)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (made.folder, *made.folder.iterdir())}
    assert modes == {"client": 0o700, FILE_NAME: 0o600, LOCK_NAME: 0o600}


def test_a_second_vault_in_a_folder_is_refused(made: ClientVault) -> None:
    with pytest.raises(ConflictError, match="holds a vault already"):
        ClientVault.create(made.folder, KEY, STATE)


def test_a_folder_without_a_vault_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="sign in first"):
        unlock.open_vault(tmp_path, passphrase=None, ask=never_asked)


def test_a_program_that_keeps_the_lock_is_named_as_the_cause(
    made: ClientVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "LOCK_TRIES", 2)
    monkeypatch.setattr(vault, "LOCK_PAUSE_S", 0)
    with (made.folder / LOCK_NAME).open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="another program"):
            made.update(noted)
    made.update(noted)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_while_writing_leaves_the_old_state(
    made: ClientVault, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full) if step == "fsync" else broken.setattr(Path, "replace", full)
        with pytest.raises(UnavailableError, match="No space left on device"):
            made.update(noted)
    assert made.read() == STATE
    assert sorted(path.name for path in made.folder.iterdir()) == [LOCK_NAME, FILE_NAME]


def test_what_a_crash_left_half_written_is_overwritten(made: ClientVault) -> None:
    (made.folder / f"{FILE_NAME}.new").write_bytes(b"half")
    made.update(noted)
    assert len(made.read().takeaways) == 1


def test_a_link_planted_where_the_new_file_goes_is_not_followed(made: ClientVault, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (made.folder / f"{FILE_NAME}.new").symlink_to(target)
    with pytest.raises(UnavailableError):
        made.update(noted)
    assert target.read_bytes() == b"mine"


def test_a_file_is_replaced_and_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    with path.open("rb") as opened:
        replace_file(path, b"new")
        assert opened.read() == b"old"
    assert path.read_bytes() == b"new"


def test_a_wrong_passphrase_is_one_clear_sentence(tmp_path: Path) -> None:
    unlock.create_vault(tmp_path, STATE, passphrase=PASSPHRASE, cost=QUICK)
    with pytest.raises(WrongKeyError) as caught:
        unlock.open_vault(tmp_path, passphrase="another passphrase", ask=never_asked)
    assert str(caught.value) == "the vault does not open with this passphrase or key"


def test_a_damaged_file_is_told_from_a_wrong_passphrase(tmp_path: Path) -> None:
    unlock.create_vault(tmp_path, STATE, passphrase=PASSPHRASE, cost=QUICK)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedVaultError, match="backup"):
        unlock.open_vault(tmp_path, passphrase=PASSPHRASE, ask=never_asked)


def test_the_passphrase_is_asked_for_only_when_none_was_given(tmp_path: Path) -> None:
    unlock.create_vault(tmp_path, STATE, passphrase=PASSPHRASE, cost=QUICK)
    assert unlock.open_vault(tmp_path, passphrase=PASSPHRASE, ask=never_asked).read() == STATE
    assert unlock.open_vault(tmp_path, passphrase=None, ask=lambda: PASSPHRASE).read() == STATE


def test_a_short_passphrase_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="at least 8"):
        unlock.create_vault(tmp_path / "client", STATE, passphrase="short")
    assert not (tmp_path / "client").exists()


def test_nothing_of_the_state_stands_readable_in_the_file(made: ClientVault) -> None:
    made.update(lambda state: noted(state, "canary sentence"))
    stored = (made.folder / FILE_NAME).read_bytes()
    assert b"canary" not in stored
    assert b"a" * 16 not in stored


# the state itself


def test_a_state_comes_back_as_it_was() -> None:
    state = noted(STATE).with_session(SessionRecord(thread="t", engine="mls-1", state=b"\x00secret"))
    assert load_state(dump_state(state)) == state


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", dump_state(STATE)[:-1], b"\x93" * 2_000])
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        load_state(data)


def test_a_state_of_a_newer_program_is_refused() -> None:
    with pytest.raises(MalformedError, match="newer program"):
        load_state(dump_state(msgspec.structs.replace(STATE, version=2)))


def test_a_destroyed_session_is_gone_and_the_others_stay() -> None:
    records = [SessionRecord(thread=name, engine="mls-1", state=b"s") for name in ("one", "two")]
    state = STATE.with_session(records[0]).with_session(records[1]).without_session("one")
    assert list(state.sessions) == ["two"]
    with pytest.raises(MissingError):
        state.session("one")


def test_what_is_not_known_is_a_clear_error() -> None:
    for ask in (STATE.thread, STATE.session, STATE.sealing_key):
        with pytest.raises(MeshError):
            ask("unknown")


def test_a_printed_state_shows_no_secret() -> None:
    state = noted(STATE, "canary")
    assert repr(state) == "ClientState(…)"
    assert "canary" not in repr(state.takeaways)
