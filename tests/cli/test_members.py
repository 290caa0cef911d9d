"""Tests of `mentormesh member`, with the node's own operations behind it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result

from cli import node_access
from cli.members import member
from cli.node_access import DirectNode, NodeAccess
from node.operations import Operations
from node.services.member_csv import parse_members
from node.services.member_operations import MemberOperations, OperatorRules
from protocol.errors import LimitError, MeshError, RefusedError
from tests.fakes.memory_store import MemoryStore
from tests.node.services.people.world import World, people_file, row, staff

#: Whatever a command prints.
Json: TypeAlias = Any


class Desk:
    """A node behind the commands."""

    def __init__(self, folder: Path, rules: OperatorRules) -> None:
        self.world = World(MemoryStore())
        self.folder = folder
        made = MemberOperations(self.world.members, self.world.accounts, self.world.erasure, rules)
        self.operations = Operations(made.operations())

    def run(self, *words: str, answer: str = "") -> Result:
        return CliRunner().invoke(member, list(words), input=answer)

    def json(self, *words: str) -> Json:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def file(self, data: bytes) -> str:
        path = self.folder / "members.csv"
        path.write_bytes(data)
        return str(path)


@pytest.fixture
def rules() -> OperatorRules:
    return OperatorRules(development=True)


@pytest.fixture
def desk(tmp_path: Path, rules: OperatorRules, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path, rules)

    @asynccontextmanager
    async def open_node(_directory: Path) -> AsyncIterator[NodeAccess]:
        yield DirectNode(made.operations)

    monkeypatch.setattr(node_access, "open_node", open_node)
    return made


def refusal(result: Result) -> MeshError:
    assert isinstance(result.exception, MeshError), result.output
    return result.exception


def test_fields_prints_the_published_list_and_a_file_that_can_be_imported(desk: Desk) -> None:
    assert "job_family" in desk.run("fields").stdout
    assert {field["name"] for field in desk.json("fields")} >= {"id", "mail", "status"}
    assert len(parse_members(desk.run("fields", "--csv").stdout.encode()).records) == 1


def test_a_dry_run_shows_the_difference_and_changes_nothing(desk: Desk) -> None:
    result = desk.run("import", desk.file(staff(3)), "--dry-run")
    assert result.stdout.splitlines() == ["3 would join: E0, E1, E2", "0 unchanged"]
    assert desk.json("import", desk.file(staff(3)), "--dry-run")["added"] == ["E0", "E1", "E2"]
    assert desk.json("list", "--all")["groups"] == []


def test_an_import_asks_first(desk: Desk) -> None:
    no = desk.run("import", desk.file(staff(3)), answer="n\n")
    assert no.exit_code == 1
    assert "3 would join" in no.stderr
    assert desk.json("list", "--all")["groups"] == []
    yes = desk.run("import", desk.file(staff(3)), answer="y\n")
    assert yes.exit_code == 0
    assert yes.stdout.splitlines() == ["3 joined: E0, E1, E2", "0 unchanged"]
    assert desk.json("list", "--all")["groups"] == [{"status": "active", "job_family": "Finance", "members": 3}]


def test_with_json_nobody_is_asked(desk: Desk) -> None:
    assert "--yes" in str(refusal(desk.run("import", desk.file(staff(1)), "--json")))
    assert desk.json("import", desk.file(staff(1)), "--yes")["added"] == ["E0"]
    assert "--yes" in str(refusal(desk.run("erase", "E0", "--json")))


def test_every_part_of_a_difference_is_said(desk: Desk) -> None:
    desk.run("import", desk.file(people_file(row("E1"), row("E2"), row("E3"))), "--yes")
    desk.run("import", desk.file(people_file(row("E1"), row("E2"), row("E3", "not"))), "--yes")
    file = people_file(row("E1", band="lead"), row("E3"), row("E4"), row("E9", "not"))
    assert desk.run("import", desk.file(file), "--dry-run").stdout.splitlines() == [
        "1 would join: E4",
        "1 would change: E1 (band)",
        "1 would come back: E3",
        "1 would leave: E2",
        "0 unchanged",
        "1 not active and never known here: passed over",
    ]


def test_long_lists_are_cut_for_people_and_whole_in_json(desk: Desk) -> None:
    assert "… and 10 more" in desk.run("import", desk.file(staff(30)), "--dry-run").stdout
    assert len(desk.json("import", desk.file(staff(30)), "--dry-run")["added"]) == 30


def test_refused_rows_are_listed_and_nothing_is_imported(desk: Desk) -> None:
    result = desk.run("import", desk.file(people_file(row("E1"), row("E2", band="zebra"))), "--yes")
    assert "1 row was refused" in str(refusal(result))
    assert "band" in result.stdout
    assert "zebra" not in result.output
    many = people_file(*(row(f"E{number}", band="x") for number in range(30)))
    assert "… and 10 more" in desk.run("import", desk.file(many)).stderr
    listed = desk.run("import", desk.file(many), "--json")
    assert len(json.loads(listed.stdout)) == 30
    assert desk.json("list", "--all")["groups"] == []


def test_the_brake_says_what_to_do(desk: Desk) -> None:
    desk.run("import", desk.file(staff(20)), "--yes")
    assert "Careful: 10 of 20" in desk.run("import", desk.file(staff(10)), "--dry-run").stdout
    assert "--force" in str(refusal(desk.run("import", desk.file(staff(10)), "--yes")))
    assert desk.run("import", desk.file(staff(10)), "--yes", "--force").exit_code == 0


def test_a_file_that_is_not_there_or_too_large_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(desk.run("import", str(desk.folder / "none.csv")).exception, FileNotFoundError)
    monkeypatch.setattr("cli.members.MAX_FILE_BYTES", 10)
    assert isinstance(refusal(desk.run("import", desk.file(staff(1)))), LimitError)


def test_list_counts_and_writes_csv_without_formulas(desk: Desk) -> None:
    rows = [row(f"E{number}", job_family="=cmd()") for number in range(6)]
    desk.run("import", desk.file(people_file(*rows, row("L1", "active", job_family="Legal"))), "--yes")
    assert desk.run("list", "--csv", "--all").stdout.splitlines() == [
        "status,job_family,members",
        "active,'=cmd(),6",
        "active,Legal,1",
    ]
    assert desk.run("list").stdout.split()[-2:] == ["ones)", "7"]


def test_a_status_with_few_people_is_said_without_a_number(desk: Desk) -> None:
    desk.run("import", desk.file(staff(3)), "--yes")
    result = desk.run("list")
    assert "active: fewer than 5" in result.stderr
    assert "3" not in result.output


def test_show_export_link_and_erase_one_person(desk: Desk) -> None:
    desk.run("import", desk.file(staff(2)), "--yes")
    assert "e1@aurora.example" in desk.run("show", "E1").stdout
    assert desk.json("show", "E1")["languages"] == []
    assert desk.run("link", "E1").stdout.startswith("https://aurora.example/sign-in#")
    assert desk.json("export", "E1")["format"] == "mentormesh-person-export/1"
    assert json.loads(desk.run("export", "E1").stdout)["sections"]
    assert desk.run("export", "E1", "--html").stdout.startswith("<!doctype html>")
    assert desk.run("erase", "E1", answer="n\n").exit_code == 1
    assert "Erased." in desk.run("erase", "E1", "--yes").stdout
    assert str(refusal(desk.run("show", "E1"))) == "no member has this id"


@pytest.mark.parametrize("rules", [OperatorRules(works_council=True)])
@pytest.mark.parametrize("words", [("list", "--all"), ("export", "E1"), ("link", "E1")])
def test_works_council_mode_shows_nobody(desk: Desk, words: tuple[str, ...]) -> None:
    desk.run("import", desk.file(staff(2)), "--yes")
    assert isinstance(refusal(desk.run(*words)), RefusedError)


def test_every_command_says_what_it_does_and_takes_json() -> None:
    for name, command in member.commands.items():
        assert command.help, name
        assert any("--json" in parameter.opts for parameter in command.params), name
