"""The commands that make, show, check, back up and restore a node: one sentence, what to do, an exit code."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from click.testing import CliRunner, Result

from cli.main import COMMANDS, SUMMARIES, main
from node import lock as locking
from tests.node.running import free_port

pytestmark = pytest.mark.system

INIT: Final = (
    "init",
    "--yes",
    "--entity",
    "https://aurora.example",
    "--name",
    "Aurora Freight",
    "--listen",
    "127.0.0.1:0",
)


def run(*words: str, answers: str = "", **variables: str) -> Result:
    return CliRunner(env=variables).invoke(main, list(words), input=answers, prog_name="mentormesh")


def said(result: Result) -> Any:  # noqa: ANN401 -- whatever the command prints
    assert result.stdout.count("\n") == 1, result.output
    return json.loads(result.stdout)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    made = tmp_path / "aurora"
    assert run(*INIT, "--dir", str(made), "--development").exit_code == 0
    return str(made)


def write(directory: str, text: str) -> None:
    with (Path(directory) / "mentormesh.toml").open("a") as file:
        file.write(text)


def test_every_command_is_listed_with_its_own_first_line() -> None:
    assert set(COMMANDS) == set(SUMMARIES)
    for name in COMMANDS:
        command = main.get_command(main.make_context("mentormesh", ["--help"], resilient_parsing=True), name)
        assert command is not None
        assert command.get_short_help_str(limit=200) == SUMMARIES[name], name


def test_every_command_speaks_json() -> None:
    for path, command in walk():
        assert any("--json" in option.opts for option in command.params), path


def walk() -> Iterator[tuple[str, Any]]:
    """Yield every command that does something."""
    context = main.make_context("mentormesh", ["--help"], resilient_parsing=True)
    for name in COMMANDS:
        yield from _inside(name, main.get_command(context, name))


def _inside(path: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 -- a command or a group of them
    inner: dict[str, Any] = getattr(command, "commands", {})
    if not inner:
        yield path, command
    for name, one in inner.items():
        yield from _inside(f"{path} {name}", one)


def test_help_and_version_need_no_node() -> None:
    assert run("--help").exit_code == 0
    assert run("-h").stdout.startswith("Usage: mentormesh")
    assert run("--version").stdout.startswith("mentormesh, version ")


def test_an_unknown_command_is_a_usage_error() -> None:
    result = run("sreve")
    assert (result.exit_code, "No such command" in result.stderr, result.stdout) == (2, True, "")


def test_init_says_the_next_three_steps(tmp_path: Path) -> None:
    result = run(*INIT, "--dir", str(tmp_path / "a"))
    assert result.exit_code == 0
    assert [line[:4] for line in result.stdout.splitlines() if line.startswith("  ")] == ["  1.", "  2.", "  3."]
    made = said(run(*INIT, "--dir", str(tmp_path / "b"), "--json"))
    assert (made["name"], made["entity"], len(made["next"])) == ("aurora", "https://aurora.example", 3)


def test_init_asks_for_what_is_not_given(tmp_path: Path) -> None:
    answers = f"{tmp_path / 'birch'}\nhttps://birch.example\nBirch Clinic\nDE, at\nen de\nQ\n250-1k\nEurope/Berlin\n"
    result = run("init", answers=answers)
    assert result.exit_code == 0, result.output
    settings = (tmp_path / "birch" / "mentormesh.toml").read_text()
    for line in ('countries = ["AT", "DE"]', 'languages = ["en", "de"]', 'sector = "Q"', 'size_band = "250-1k"'):
        assert line in settings


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--entity", "aurora"), 1, "entity identifier must look like"),
        (("--entity", "https://Aurora.example"), 1, "entity identifier must look like"),
        (("--country", "Germany"), 1, "countries"),
        (("--sector", "Z"), 1, "sector"),
        (("--listen", "0.0.0.0:80"), 1, "listen is open to other machines"),
        (("--size", "many"), 2, "Invalid value"),
        (("--name", " x "), 1, "display_name must have no spaces around it"),
    ],
)
def test_init_refuses_wrong_answers_and_writes_nothing(
    tmp_path: Path, words: tuple[str, str], code: int, sentence: str
) -> None:
    result = run(*INIT, "--dir", str(tmp_path / "a"), *words)
    assert (result.exit_code, sentence in result.stderr) == (code, True), result.output
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_init_needs_the_entity_and_the_name_when_it_may_not_ask(tmp_path: Path) -> None:
    result = run("init", "--yes", "--dir", str(tmp_path / "a"))
    assert (result.exit_code, "--entity is needed" in result.stderr) == (2, True)


def test_init_refuses_a_directory_with_something_in_it(directory: str) -> None:
    before = sorted(Path(directory).rglob("*"))
    result = run(*INIT, "--dir", directory)
    assert (result.exit_code, "not empty" in result.stderr) == (1, True)
    assert sorted(Path(directory).rglob("*")) == before


def test_config_show_prints_what_holds(directory: str) -> None:
    shown = said(run("config", "show", "--dir", directory, "--json", MENTORMESH_LIMITS_BODY_S="3"))
    assert (shown["limits"]["body_s"], shown["editions"]["k"]) == (3.0, 8)
    changed = said(run("config", "show", "--changed", "--dir", directory, "--json"))
    assert set(changed) == {"node", "org", "development"}
    text = run("config", "show", "--dir", directory).stdout
    assert "[handshake]\ntick_ms = 250\n" in text


def test_config_check_lists_every_mistake(directory: str) -> None:
    assert said(run("config", "check", "--dir", directory, "--json"))["valid"]
    write(directory, "\n[limits]\nbody_s = -1\nbdy = 1\n")
    result = run("config", "check", "--dir", directory)
    assert result.exit_code == 1
    assert "  - [limits] bdy is no setting: did you mean body_s?\n" in result.stderr
    assert "  - [limits] body_s: expected `float` > 0.0\n" in result.stderr
    assert "docs/reference/configuration.md" in result.stderr
    failure = json.loads(run("config", "check", "--dir", directory, "--json").stderr)
    assert failure["error"] == "config"


@pytest.mark.parametrize("words", [("status",), ("serve",), ("config", "check"), ("backup", "x.db"), ("peer", "list")])
def test_a_directory_without_a_node_says_what_to_do(tmp_path: Path, words: tuple[str, ...]) -> None:
    result = run(*words, "--dir", str(tmp_path))
    assert (result.exit_code, "mentormesh init" in result.stderr, result.stdout) == (1, True, "")


def test_the_directory_may_come_from_the_environment(directory: str) -> None:
    assert run("status", MENTORMESH_DIR=directory).exit_code == 0


def test_status_of_a_stopped_node(directory: str) -> None:
    shown = said(run("status", "--dir", directory, "--json"))
    assert (shown["runs"], shown["status"]["entity"]) == (False, "https://aurora.example")
    assert "is stopped" in run("status", "--dir", directory).stdout


def test_a_directory_in_use_is_unavailable(directory: str) -> None:
    with locking.hold(Path(directory)):
        result = run("status", "--dir", directory)
    assert (result.exit_code, "another process works on this node directory" in result.stderr) == (3, True)
    assert "Wait for the other command" in result.stderr


def test_a_node_that_was_killed_mid_answer_is_unavailable(directory: str) -> None:
    with locking.hold(Path(directory)) as lock:
        lock.publish(f"http://127.0.0.1:{free_port()}")
        result = run("status", "--dir", directory)
    assert (result.exit_code, "runs but does not answer" in result.stderr) == (3, True)


def test_keys_open_to_others_stop_every_command(directory: str) -> None:
    (Path(directory) / "keys" / "http.key").chmod(0o644)
    result = run("status", "--dir", directory)
    assert (result.exit_code, "chmod 600" in result.stderr) == (1, True)


@pytest.mark.slow
def test_a_backup_is_restored_as_the_next_generation(directory: str, tmp_path: Path) -> None:
    copy = str(tmp_path / "copy.db")
    assert run("status", "--dir", directory).exit_code == 0
    made = said(run("backup", copy, "--dir", directory, "--json"))
    assert made["size_bytes"] == Path(copy).stat().st_size
    assert Path(copy).stat().st_mode & 0o077 == 0
    result = run("restore", copy, "--dir", directory)
    assert (result.exit_code, "exists already" in result.stderr) == (1, True)
    restored = said(run("restore", copy, "--replace", "--dir", directory, "--json"))
    assert restored["generation"] == 2
    assert Path(restored["set_aside"]).exists()
    assert said(run("status", "--dir", directory, "--json"))["status"]["generation"] == 2


def test_a_backup_never_replaces_a_file(directory: str, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("precious")
    assert run("status", "--dir", directory).exit_code == 0
    assert run("backup", str(tmp_path / "copy.db"), "--dir", directory).exit_code == 1
    assert (tmp_path / "copy.db").read_text() == "precious"


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\x00" + b"\x00" * 4096])
def test_a_file_that_is_no_backup_leaves_the_database_in_place(directory: str, tmp_path: Path, content: bytes) -> None:
    assert run("status", "--dir", directory).exit_code == 0
    (tmp_path / "copy.db").write_bytes(content)
    result = run("restore", str(tmp_path / "copy.db"), "--replace", "--dir", directory)
    assert result.exit_code == 1, result.output
    assert said(run("status", "--dir", directory, "--json"))["status"]["generation"] == 1


def test_a_running_node_is_not_restored(directory: str, tmp_path: Path) -> None:
    assert run("status", "--dir", directory).exit_code == 0
    assert run("backup", str(tmp_path / "copy.db"), "--dir", directory).exit_code == 0
    with locking.hold(Path(directory)):
        result = run("restore", str(tmp_path / "copy.db"), "--replace", "--dir", directory)
    assert result.exit_code == 3


@pytest.mark.slow
def test_openapi_prints_the_description() -> None:
    assert said(run("openapi", "--json"))["openapi"] == "3.1.0"
    assert json.loads(run("openapi").stdout)["info"]["title"] == "mentormesh node"


def levels(result: Result) -> dict[str, str]:
    """Return the gravest level of each check."""
    found: dict[str, str] = {}
    for check in said(result)["checks"]:
        ranks = ("green", "yellow", "red")
        found[check["check"]] = max(found.get(check["check"], "green"), check["level"], key=ranks.index)
        assert check["level"] == "green" or check["fix"], check
    return found


def test_doctor_finds_a_new_node_well_but_for_the_recovery_key(directory: str) -> None:
    result = run("doctor", "--dir", directory, "--json")
    assert result.exit_code == 0, result.output
    found = levels(result)
    assert {name for name, level in found.items() if level == "yellow"} == {"configuration", "files"}
    (Path(directory) / "recovery.key").unlink()
    assert levels(run("doctor", "--dir", directory, "--json"))["files"] == "green"


def test_doctor_prints_a_fix_under_every_line_that_is_not_well(directory: str) -> None:
    (Path(directory) / "keys" / "log.key").chmod(0o644)
    result = run("doctor", "--dir", directory)
    assert result.exit_code == 1
    assert "\x1b" not in result.stdout
    assert f"do: chmod 600 {directory}/keys/log.key" in result.stdout


def damage_settings(directory: Path) -> None:
    write(str(directory), "\n[limits]\nbody_s = -1\n")


def damage_keys(directory: Path) -> None:
    (directory / "keys" / "http.key").unlink()


def damage_families(directory: Path) -> None:
    write(str(directory), '\n[vocabulary]\nfamilies = "none.json"\n')


def damage_database(directory: Path) -> None:
    (directory / "data" / "node.db").write_bytes(b"not a database, and long enough to be looked at " * 100)


def damage_clock(directory: Path) -> None:
    (directory / "data" / "later").touch()
    os.utime(directory / "data" / "later", (9_999_999_999, 9_999_999_999))


def damage_tls(directory: Path) -> None:
    write(str(directory), '\n[tls]\ncertificate = "none.pem"\nkey = "none.pem"\n')


def damage_room(directory: Path) -> None:
    write(str(directory), "\n[store]\nleast_free_mib = 1000000000\n")


DAMAGES = [
    (damage_settings, "configuration"),
    (damage_keys, "files"),
    (damage_families, "files"),
    (damage_database, "node"),
    (damage_clock, "clock"),
    (damage_tls, "tls"),
    (damage_room, "disk"),
]


@pytest.mark.parametrize(("damage", "check"), DAMAGES, ids=[check for _, check in DAMAGES])
def test_doctor_reports_a_damage_red_with_its_fix(directory: str, damage: Any, check: str) -> None:  # noqa: ANN401 -- one of the above
    damage(Path(directory))
    result = run("doctor", "--dir", directory, "--json")
    assert result.exit_code == 1
    assert levels(result)[check] == "red"


def test_doctor_reports_a_port_in_use(directory: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = run("doctor", "--dir", directory, "--json", MENTORMESH_NODE_LISTEN=f"127.0.0.1:{port}")
    assert levels(result)["port"] == "red"


@pytest.fixture
def mail_server() -> Iterator[int]:
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller.port
    controller.stop()


def mail_settings(port: int) -> dict[str, str]:
    return {
        "MENTORMESH_MAIL_MODE": "smtp",
        "MENTORMESH_MAIL_HOST": "127.0.0.1",
        "MENTORMESH_MAIL_PORT": str(port),
        "MENTORMESH_MAIL_SECURITY": "none",
    }


def test_doctor_greets_the_mail_server(directory: str, mail_server: int) -> None:
    assert levels(run("doctor", "--dir", directory, "--json", **mail_settings(mail_server)))["mail"] == "green"


def test_doctor_reports_a_mail_server_that_does_not_answer(directory: str) -> None:
    assert levels(run("doctor", "--dir", directory, "--json", **mail_settings(free_port())))["mail"] == "red"


def test_doctor_never_talks_to_a_mail_server_in_clear_when_told_to_encrypt(directory: str, mail_server: int) -> None:
    settings = mail_settings(mail_server) | {"MENTORMESH_MAIL_SECURITY": "starttls"}
    assert levels(run("doctor", "--dir", directory, "--json", **settings))["mail"] == "red"
