"""`mentormesh vocabulary` imports whole files or nothing, and says what it did."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import node_access
from cli.vocabulary import vocabulary
from node.operations import Operations
from node.services.vocabulary import VocabularyService
from protocol.errors import LimitError, MalformedError
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore

GOOD = '{"id":"ext:harbour:mooring","en":"Mooring","de":"Festmachen","code":"7"}\n'


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> VocabularyService:
    """Put a node with the real service behind the commands, so that no directory is needed."""
    service = VocabularyService(MemoryStore(), SteppedClock(1_800_000_000))

    @asynccontextmanager
    async def opened(_: Path) -> AsyncIterator[node_access.NodeAccess]:
        yield node_access.DirectNode(Operations(service.operations()))

    monkeypatch.setattr(node_access, "open_node", opened)
    return service


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(vocabulary, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "harbour.jsonl"
    path.write_text(GOOD, encoding="utf-8")
    return path


def test_an_import_is_listed_found_and_removed(file: Path) -> None:
    imported = run("import", file, "--scheme", "harbour")
    assert imported.exit_code == 0
    assert imported.stdout.splitlines() == [
        "Imported harbour: 1 concept (0 of them groups), 2 labels in de, en.",
        "These keys were not read: code.",
        "There is no group among them: topics cannot be generalized. See --groups.",
    ]
    listed = run("list").stdout
    assert "situations" in listed
    assert "2027-01-15" in listed
    assert "ext:harbour:mooring" in run("search", "festm", "--lang", "de").stdout
    assert run("remove", "harbour").stdout == "Removed harbour (1 concept).\n"
    assert "No label has these words." in run("search", "festm").stderr


def test_the_same_in_json(file: Path) -> None:
    report = json.loads(run("import", file, "--scheme", "harbour", "--json").stdout)
    assert (report["scheme"], report["concepts"], report["keys_passed_over"]) == ("harbour", 1, ["code"])
    assert [each["scheme"] for each in json.loads(run("list", "--json").stdout)] == ["situations", "harbour"]
    (found,) = json.loads(run("search", "moor", "--json").stdout)
    assert (found["id"], found["language"]) == ("ext:harbour:mooring", "en")


def test_a_file_of_groups_is_marked(file: Path, tmp_path: Path) -> None:
    groups = tmp_path / "groups.jsonl"
    groups.write_text('{"id":"ext:harbour:ships","en":"Ships"}\n', encoding="utf-8")
    imported = run("import", file, "--groups", groups, "--scheme", "harbour")
    assert imported.stdout.startswith("Imported harbour: 2 concepts (1 of them groups)")


def test_importing_again_replaces(file: Path) -> None:
    run("import", file, "--scheme", "harbour")
    assert run("import", file, "--scheme", "harbour").stdout.startswith("Replaced harbour: 1 concept ")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (GOOD.encode() + b'{"id":"ext:x"}', "harbour.jsonl: line 2: en: "),
        (GOOD.encode() + b'{"id":"ext:x","en":"\xff"}', "harbour.jsonl: line 2: not a JSON object in UTF-8"),
        (b'{"id":"ext:x","en":"' + b"x" * 200_000, "harbour.jsonl: line 1: longer than 65536 bytes"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(file: Path, content: bytes, sentence: str) -> None:
    file.write_bytes(content)
    refused = run("import", file, "--scheme", "harbour")
    assert isinstance(refused.exception, MalformedError)
    assert str(refused.exception).startswith(sentence)
    assert len(json.loads(run("list", "--json").stdout)) == 1


def test_a_limit_keeps_its_kind(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.concept_lines.MAX_CONCEPTS", 0)
    assert isinstance(run("import", file, "--scheme", "harbour").exception, LimitError)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    assert run("import", tmp_path / "none.jsonl", "--scheme", "harbour").exit_code == 2
