"""Key files: made once, private, each of its role; and the lock of a directory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import lock as locking
from node.birth import create_node
from node.keyfiles import ROLES
from node.keys import load_keys, operator_token, same_token
from protocol.encoding import unb64
from protocol.errors import MalformedError, RefusedError, UnavailableError
from protocol.signing import SigningKey
from tests.fakes.entropy import SeededEntropy
from tests.node.running import BASIC, make_directory, settings


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return make_directory(tmp_path / "aurora")


def test_every_file_of_a_new_node_is_readable_by_its_owner_alone(directory: Path) -> None:
    assert directory.stat().st_mode & 0o777 == 0o700
    for path in directory.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_every_role_has_a_key_of_its_own(directory: Path) -> None:
    keys = load_keys(directory)
    signing = [keys.federation, keys.http, keys.log, keys.envelope_sign, keys.attest, keys.witness]
    publics = {key.public.text for key in signing} | {keys.recovery.text}
    assert len(publics) == 7


def test_the_recovery_key_is_needed_only_as_its_public_half(directory: Path) -> None:
    private = (directory / "recovery.key").read_text().split()[2]
    keys = load_keys(directory)
    assert SigningKey(unb64(private)).public == keys.recovery
    (directory / "recovery.key").unlink()
    assert load_keys(directory).recovery == keys.recovery


@pytest.mark.parametrize("name", [*(f"keys/{role}.key" for role in ROLES), "keys/recovery.pub", "keys"])
def test_keys_open_to_others_are_refused_with_the_command_that_mends_it(directory: Path, name: str) -> None:
    (directory / name).chmod(0o755 if name == "keys" else 0o640)
    with pytest.raises(RefusedError, match=f"chmod {'700' if name == 'keys' else '600'}"):
        load_keys(directory)


def test_a_token_open_to_others_is_refused(directory: Path) -> None:
    (directory / "operator.token").chmod(0o604)
    with pytest.raises(RefusedError, match="chmod 600"):
        operator_token(directory)


def test_a_missing_key_is_named(directory: Path) -> None:
    (directory / "keys" / "log.key").unlink()
    with pytest.raises(RefusedError, match=r"keys/log\.key is missing"):
        load_keys(directory)


@pytest.mark.parametrize(
    "text", ["", "x", "mentormesh-key/1 http AAAA", "mentormesh-key/2 log " + "A" * 43, "mentormesh-key/1 log AAAA"]
)
def test_a_file_that_is_no_key_of_its_role_is_refused(directory: Path, text: str) -> None:
    (directory / "keys" / "log.key").write_text(text)
    with pytest.raises(MalformedError):
        load_keys(directory)


def test_a_key_of_one_role_does_not_serve_another(directory: Path) -> None:
    (directory / "keys" / "log.key").write_text((directory / "keys" / "http.key").read_text())
    with pytest.raises(MalformedError, match="does not hold a log key"):
        load_keys(directory)


def test_a_file_that_is_not_text_is_refused(directory: Path) -> None:
    (directory / "keys" / "log.key").write_bytes(b"\xff\xfe")
    with pytest.raises(MalformedError):
        load_keys(directory)


def test_tokens_are_compared_whole() -> None:
    assert same_token("abc", "abc")
    assert not same_token("abc", "abd")
    assert not same_token("", "abc")
    assert not same_token("ä", "abc")


@pytest.mark.parametrize("left", ["mentormesh.toml", ".hidden", "folder/file"])
def test_a_directory_with_anything_in_it_is_refused_and_left_alone(tmp_path: Path, left: str) -> None:
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("x")
    with pytest.raises(RefusedError, match="not empty"):
        create_node(tmp_path, BASIC, SeededEntropy())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(left).name]


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "aurora").write_text("x")
    with pytest.raises(RefusedError):
        create_node(tmp_path / "aurora", BASIC, SeededEntropy())


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "aurora").mkdir()
    make_directory(tmp_path / "aurora")
    assert (tmp_path / "aurora" / "mentormesh.toml").exists()


def test_wrong_settings_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(MalformedError):
        create_node(tmp_path / "aurora", settings(node={"entity": "aurora"}), SeededEntropy())
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    class Broken(SeededEntropy):
        def take(self, size: int) -> bytes:
            raise OSError(f"no randomness for {size} bytes")

    with pytest.raises(OSError, match="no randomness"):
        create_node(tmp_path / "aurora", BASIC, Broken())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder that this process may not write, also when the tests run as root."""
    folder = tmp_path / "closed"
    folder.mkdir()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    folder.chmod(0o555)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(was)
        folder.chmod(0o755)


def test_a_place_that_cannot_be_written_is_refused_in_one_sentence(read_only: Path) -> None:
    with pytest.raises(RefusedError, match="choose a place this user may write"):
        create_node(read_only / "aurora", BASIC, SeededEntropy())
    with pytest.raises(RefusedError, match="cannot be written by this user"), locking.hold(read_only):
        pass


def test_a_directory_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="mentormesh init"), locking.hold(tmp_path / "none"):
        pass


def test_one_process_at_a_time_holds_a_directory_and_says_where_it_answers(tmp_path: Path) -> None:
    assert locking.serving_at(tmp_path) is None
    with locking.hold(tmp_path) as lock:
        assert locking.serving_at(tmp_path) is None
        lock.publish("http://127.0.0.1:8440")
        assert locking.serving_at(tmp_path) == "http://127.0.0.1:8440"
        with pytest.raises(UnavailableError), locking.hold(tmp_path):
            pass
    assert locking.serving_at(tmp_path) is None
    with locking.hold(tmp_path):
        assert locking.serving_at(tmp_path) is None


@pytest.mark.slow
def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from node import lock\n"
        "with lock.hold(pathlib.Path(sys.argv[1])) as held:\n"
        "    held.publish('http://x'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert locking.serving_at(tmp_path) == "http://x"
        process.kill()
        process.wait()
    assert locking.serving_at(tmp_path) is None
