"""An operator connects two nodes from the command line, both running as processes of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.system, pytest.mark.slow]

AURORA, BIRCH = "https://aurora.example", "https://birch.example"


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from cli.main import main; main()", *arguments]


def run(*arguments: str, refused: bool = False) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    done = subprocess.run(program(*arguments), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode != 0) is refused, done.stdout + done.stderr
    return done


def answer(*arguments: str) -> Any:  # noqa: ANN401 -- whatever the command prints
    """Return what a command prints with --json."""
    return json.loads(run(*arguments, "--json").stdout)


def make(folder: Path, name: str) -> str:
    directory = str(folder / name)
    entity = ("--entity", f"https://{name}.example", "--name", name.title(), "--country", "DE")
    run("init", "--dir", directory, *entity, "--development", "--listen", "127.0.0.1:0", "--yes")
    return directory


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Run two nodes that do not know each other."""
    directories = make(tmp_path, "aurora"), make(tmp_path, "birch")
    processes = [
        subprocess.Popen(program("serve", "--dir", one, "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for one in directories
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "ready"
        yield directories
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE_S)
            assert process.stdout is not None
            process.stdout.close()


def test_two_administrators_connect_and_part(nodes: tuple[str, str]) -> None:
    aurora, birch = (("--dir", one) for one in nodes)
    assert answer("peer", "list", *aurora) == []
    made = run("peer", "invite", *aurora)
    ticket = made.stdout.strip()
    assert ticket.startswith("mm1-")
    assert "accept TICKET" in made.stderr

    unsure = run("peer", "accept", *birch, ticket, refused=True)
    assert "by phone" in unsure.stderr
    assert answer("peer", "list", *birch) == []

    accepted = run("peer", "accept", *birch, ticket, "--yes")
    words = accepted.stderr.strip().splitlines()[-1].strip()
    assert answer("peer", "show", *aurora, BIRCH)["words"] == words
    assert words in run("peer", "show", *aurora, BIRCH).stdout
    assert BIRCH in run("peer", "list", *aurora).stdout

    findings = answer("peer", "doctor", *birch, AURORA)
    assert [(finding["check"], finding["ok"]) for finding in findings] == [
        (check, True)
        for check in ("reachable", "document", "clock", "pinned key", "signatures", "mode", "witness", "its log")
    ]

    blocked = run("peer", "mode", *aurora, BIRCH, "blocked", "--reason", "audit", "--days", "2")
    assert "blocked until" in blocked.stdout
    unwell = run("peer", "doctor", *birch, AURORA, refused=True)
    assert "BAD  signatures" in unwell.stdout
    assert "peer-blocked" in unwell.stdout

    run("peer", "remove", *aurora, BIRCH, refused=True)
    assert answer("peer", "remove", *aurora, BIRCH, "--yes") == {"removed": BIRCH}
    assert answer("peer", "list", *aurora) == []
    missing = run("peer", "show", *aurora, BIRCH, refused=True)
    assert "no such peer" in missing.stderr


def test_mistakes_end_in_one_sentence(nodes: tuple[str, str]) -> None:
    aurora, birch = (("--dir", one) for one in nodes)
    ticket = run("peer", "invite", *aurora, "https://cobalt.example").stdout.strip()
    for words, sentence in (
        (("accept", *birch, ticket, "--yes"), "ticket"),
        (("accept", *birch, ticket[:-3], "--yes"), "cut short or mistyped"),
        (("accept", *aurora, ticket, "--yes"), "this node's own"),
        (("accept", *birch, "hello", "--yes"), "one line that begins with mm1-"),
        (("invite", *aurora, "cobalt"), "https://"),
        (("invite", *aurora, AURORA), "invite itself"),
        (("doctor", *birch, "cobalt"), "https://"),
        (("doctor", *birch, "https://cobalt.invalid"), "not well"),
    ):
        failed = run("peer", *words, refused=True)
        assert sentence in failed.stderr
        assert failed.stderr.count("Error:") == 1
        assert "Traceback" not in failed.stderr


def test_a_node_that_never_ran_has_no_address_to_put_into_a_ticket(tmp_path: Path) -> None:
    directory = make(tmp_path, "aurora")
    assert "start the node first" in run("peer", "invite", "--dir", directory, refused=True).stderr
