"""Where the secret of a vault comes from: a file, the environment, the machine's keyring; each with its sentence."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import keyring.errors
import pytest

from cli.client.state import ClientState
from cli.client.unlock import VARIABLE, create_keyring_vault, given_passphrase, new_state, open_vault
from cli.client.vault import ClientVault
from protocol.e2ee.vault import VaultKey
from protocol.errors import ConflictError, MalformedError, MissingError, UnavailableError

STATE = ClientState(account_seed=b"a" * 32, device_seed=b"d" * 32)


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring of one test."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # untyped in the library
        self.kept: dict[str, str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[f"{service}/{username}"] = password

    def delete_password(self, service: str, username: str) -> None:
        if f"{service}/{username}" not in self.kept:
            raise keyring.errors.PasswordDeleteError
        del self.kept[f"{service}/{username}"]


@pytest.fixture
def machine() -> Iterator[MemoryKeyring]:
    before, ours = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(ours)
    yield ours
    keyring.set_keyring(before)


def never_asked() -> str:
    raise AssertionError("nobody is to be asked")


def test_the_file_goes_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    file.write_text("from the file \nsecond line\n", encoding="utf-8")
    assert given_passphrase(file, {VARIABLE: "from the environment"}) == "from the file "
    assert given_passphrase(None, {VARIABLE: "from the environment"}) == "from the environment"
    assert given_passphrase(None, {VARIABLE: ""}) is None
    assert given_passphrase(None, {}) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"\nsecond", b"\xff\xfe"])
def test_a_passphrase_file_without_a_passphrase_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "passphrase"
    file.write_bytes(content)
    with pytest.raises(MalformedError):
        given_passphrase(file, {})


def test_a_passphrase_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"passphrase: No such file"):
        given_passphrase(tmp_path / "passphrase", {})


def test_a_vault_in_the_keyring_opens_without_a_question(tmp_path: Path, machine: MemoryKeyring) -> None:
    create_keyring_vault(tmp_path, STATE)
    assert len(machine.kept) == 1
    assert open_vault(tmp_path, passphrase=None, ask=never_asked).read() == STATE


def test_a_key_that_left_the_keyring_is_one_clear_sentence(tmp_path: Path, machine: MemoryKeyring) -> None:
    create_keyring_vault(tmp_path, STATE)
    machine.kept.clear()
    with pytest.raises(MissingError, match="no longer has the key"):
        open_vault(tmp_path, passphrase=None, ask=never_asked)


@pytest.mark.parametrize("kept", ["", "not base64", "AAAA", "ß"])
def test_something_else_in_the_keyring_is_refused(tmp_path: Path, machine: MemoryKeyring, kept: str) -> None:
    create_keyring_vault(tmp_path, STATE)
    machine.kept = dict.fromkeys(machine.kept, kept)
    with pytest.raises(MalformedError, match="something else"):
        open_vault(tmp_path, passphrase=None, ask=never_asked)


def test_a_machine_without_a_keyring_is_told_to_use_a_passphrase(tmp_path: Path, machine: MemoryKeyring) -> None:
    assert isinstance(keyring.get_keyring(), type(machine))
    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call] # untyped in the library
    with pytest.raises(UnavailableError, match="passphrase"):
        create_keyring_vault(tmp_path / "client", STATE)
    assert not (tmp_path / "client").exists()
    ClientVault.create(tmp_path, VaultKey(b"k" * 32, name="gone"), STATE)
    with pytest.raises(UnavailableError, match="does not answer"):
        open_vault(tmp_path, passphrase=None, ask=never_asked)


def test_a_vault_that_could_not_be_made_leaves_no_key_behind(tmp_path: Path, machine: MemoryKeyring) -> None:
    create_keyring_vault(tmp_path, STATE)
    with pytest.raises(ConflictError):
        create_keyring_vault(tmp_path, STATE)
    assert len(machine.kept) == 1


def test_a_new_state_has_secrets_of_its_own() -> None:
    first, second = new_state(), new_state()
    assert len({first.account_seed, first.device_seed, second.account_seed, second.device_seed}) == 4


@pytest.mark.slow
def test_the_keyring_library_waits_until_a_vault_needs_it() -> None:
    code = "import sys, cli.person, cli.ask; print(any(name.partition('.')[0] == 'keyring' for name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"
