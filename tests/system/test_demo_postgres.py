"""The demo on PostgreSQL: two processes for each company, one of which is killed in the middle."""

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.patience import until
from tests.postgres import Cluster

from .test_demo import WHOLE_RUN_S, Line, check_summary, next_line, occurrences, playing, processes_of, run

pytestmark = [pytest.mark.system, pytest.mark.slow]

MESSAGE: Final = "canary text"


def check_processes(lines: list[Line]) -> None:
    """The one on duty was killed, the other one is on duty since, and both had their share."""
    told = [line for line in lines if line["event"] == "process"]
    for killed, left in zip(told[::2], told[1::2], strict=True):
        if left["killed"]:
            killed, left = left, killed  # noqa: PLW2901 -- any of them may have been on duty
        assert (killed["killed"], killed["on_duty"]) == (True, False)
        assert (left["killed"], left["on_duty"]) == (False, True)
        assert min(killed["connections"], left["connections"]) >= 5
        assert killed["pid"] != left["pid"]


def test_a_process_is_killed_in_the_middle_of_the_story_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    story = ("--once", "--companies", "1", "--seed", "7", "--message", MESSAGE, "--store", "postgresql")
    _, lines, _ = run(folder, *story)
    check_summary(lines, 1, MESSAGE)
    check_processes(lines[:-1])
    assert lines[-1]["store"].startswith("PostgreSQL ")
    assert processes_of(folder) == []
    # What the server kept, looked through by other means than the demo's own.
    assert (folder / "postgresql" / "PG_VERSION").is_file()
    assert not (folder / "postgresql" / "postmaster.pid").exists()
    assert [occurrences(folder / part, MESSAGE) for part in ("postgresql", "nodes")] == [0, 0]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("killed on duty") == page.count("on duty since then") == 1
    assert f"all rows in one {lines[-1]['store']}" in page
    assert not re.search(r"<script|(?:src|href)\s*=", page)


@pytest.mark.long
async def test_an_existing_server_takes_the_whole_story_and_is_left_clean(tmp_path: Path, postgres: Cluster) -> None:
    folder = tmp_path / "demo"
    _, lines, _ = run(folder, "--once", "--message", MESSAGE, "--store", postgres.url)
    check_summary(lines, 3, MESSAGE)
    check_processes(lines[:-1])
    assert not (folder / "postgresql").exists()
    connection = await asyncpg.connect(postgres.url)
    assert await connection.fetch("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'mentormesh_demo%'") == []
    await connection.close()


@pytest.mark.long
@pytest.mark.parametrize(
    ("attack", "good"), [("equivocation", "caught"), ("read-as-admin", "unread"), ("key-swap", "caught")]
)
def test_every_attack_fails_with_several_processes_too(attack: str, good: str, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--attack", attack, "--store", "postgresql") as process:
        raw, errors = process.communicate(timeout=WHOLE_RUN_S)
    assert process.returncode == 0, errors.decode()
    assert json.loads(raw.splitlines()[-1])[good] is True
    assert processes_of(folder) == []


def servers_below(folder: str) -> list[str]:
    """Return the lines of the system's list that name a database server in a folder."""
    listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if folder in line]


@pytest.mark.long
def test_neither_nodes_nor_server_outlive_a_demo_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--companies", "1", "--store", "postgresql") as process:
        assert next_line(process)["event"] == "node"
        settings = (folder / "nodes" / "aurora" / "mentormesh.toml").read_text(encoding="utf-8")
        place = re.search(r"host=%2F([^&\"]+)", settings)
        assert place is not None
        server = "/" + place[1].replace("%2F", "/")
        assert servers_below(server)
        process.kill()
        process.wait()
        until(lambda: not processes_of(folder) and not servers_below(server))
