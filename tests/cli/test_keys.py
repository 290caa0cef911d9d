"""`mentormesh keys` and `peer confirm-key`, as an administrator types them; the node does not run."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.keyfiles import ROLES
from node.keys import load_keys
from node.services.peers import public_keys
from protocol.rotation import open_recovery
from tests.cli.test_operator_commands import INIT, run, said

ENTITY = "https://aurora.example"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "aurora"
    assert run(*INIT, "--dir", str(made), "--development").exit_code == 0
    return made


def keys(directory: Path, *words: str, answers: str = "") -> Any:  # noqa: ANN401 -- click's result
    return run("keys", *words, "--dir", str(directory), answers=answers)


def ended(directory: Path, before: dict[str, str]) -> set[str]:
    """Return the roles whose key is another one now."""
    after = publics(directory)
    return {name for name, key in before.items() if after[name] != key}


def publics(directory: Path) -> dict[str, str]:
    named = public_keys(load_keys(directory))
    return {field: getattr(named, field) for field in named.__struct_fields__}


def test_keys_are_listed_by_role(directory: Path) -> None:
    result = keys(directory, "list")
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == [*ROLES, "words"]
    listed = said(keys(directory, "list", "--json"))
    assert [one["role"] for one in listed["keys"]] == list(ROLES)
    assert (listed["peers"], listed["untold"], listed["recovery_prepared"]) == (0, [], False)


@pytest.mark.parametrize("role", ROLES)
def test_a_key_is_changed_after_a_question(directory: Path, role: str) -> None:
    before = publics(directory)
    refused = keys(directory, "rotate", role, answers="n\n")
    assert refused.exit_code == 1
    assert ended(directory, before) == set()
    done = keys(directory, "rotate", role, answers="y\n")
    assert done.exit_code == 0, done.output
    assert ended(directory, before) == {role.replace("-", "_")}
    assert ("Tickets" in done.stderr) is (role == "federation")


def test_an_unknown_role_is_named(directory: Path) -> None:
    assert keys(directory, "rotate", "recovery", "--yes").exit_code == 2


@pytest.mark.slow
def test_a_recovery_from_the_first_word_to_the_last(directory: Path, tmp_path: Path) -> None:
    before = publics(directory)
    offline = tmp_path / "offline"
    offline.mkdir()
    (directory / "recovery.key").rename(offline / "recovery.key")
    prepared = keys(directory, "recover")
    assert prepared.exit_code == 0, prepared.output
    words = prepared.stdout.replace("\\\n", " ").split()
    command = words[words.index("recovery-statement") + 1 : words.index("--new") + 2]
    command[command.index("recovery.key")] = str(offline / "recovery.key")
    assert ended(directory, before) == set()
    stated = run("keys", "recovery-statement", *command, "--new-recovery", str(offline / "second.key"))
    assert stated.exit_code == 0, stated.output
    (tmp_path / "statement.txt").write_text(stated.stdout)
    statement = open_recovery(stated.stdout.strip(), entity=ENTITY, recovery=load_keys(directory).recovery)
    assert statement.number > 1_700_000_000
    assert keys(directory, "recover", str(tmp_path / "statement.txt"), answers="n\n").exit_code == 1
    assert "new keys wait" in keys(directory, "list").stdout
    done = keys(directory, "recover", str(tmp_path / "statement.txt"), "--yes")
    assert done.exit_code == 0, done.output
    assert ended(directory, before) == set(before)
    assert (offline / "second.key").stat().st_mode & 0o777 == 0o600
    again = keys(directory, "recover", stated.stdout.strip(), "--yes", "--json")
    assert again.exit_code == 1
    assert json.loads(again.stderr)["error"] == "not-prepared"


def test_a_statement_needs_the_recovery_key_and_two_different_keys(directory: Path) -> None:
    key = str(directory / "recovery.key")
    old, other = load_keys(directory).federation.public.text, load_keys(directory).http.public.text
    made = run("keys", "recovery-statement", "--key", key, "--entity", ENTITY, "--old", old, "--new", other, "--json")
    assert made.exit_code == 0
    assert said(made)["statement"].count(".") == 2
    for words in (
        ("--key", str(directory / "keys" / "http.key"), "--entity", ENTITY, "--old", old, "--new", other),
        ("--key", key, "--entity", "aurora.example", "--old", old, "--new", other),
        ("--key", key, "--entity", ENTITY, "--old", old, "--new", old),
        ("--key", key, "--entity", ENTITY, "--old", "x", "--new", other),
        ("--key", key, "--entity", ENTITY, "--old", old, "--new", other, "--new-recovery", key),
    ):
        refused = run("keys", "recovery-statement", *words)
        assert refused.exit_code == 1, words
        assert refused.stderr.startswith("Error: ")


def test_a_statement_that_is_neither_file_nor_text_is_one_sentence(directory: Path) -> None:
    keys(directory, "recover")
    for text in ("missing.txt", "a.b.c"):
        refused = keys(directory, "recover", text, "--yes")
        assert refused.exit_code == 1
        assert refused.stderr.startswith("Error: ")


def test_there_is_nothing_to_confirm_without_a_changed_key(directory: Path) -> None:
    refused = run("peer", "confirm-key", "https://birch.example", "--dir", str(directory), "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stderr)["error"] == "nothing-pending"
