"""The demo as a visitor runs it: real processes, every line it prints, every way in which it can end."""

import base64
import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.patience import PATIENCE_S, until

pytestmark = [pytest.mark.system, pytest.mark.slow]

PROGRAM: Final = (sys.executable, "-m", "cli.main", "demo", "--json")
WHOLE_RUN_S: Final = 300
STATES: Final = ["REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED"]
MESSAGE: Final = 'canary "text" <script>alert(1)</script>\n100 % Größe 🙂'
NAMES: Final = {1: ["aurora"], 2: ["aurora", "cobalt"], 3: ["aurora", "birch", "cobalt"]}

Line = dict[str, Any]


@contextmanager
def playing(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a running demo; nothing of it is left afterwards, whatever the test found."""
    process = subprocess.Popen(
        [*PROGRAM, "--dir", str(folder), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # As under a supervisor that knows no UTF-8: the lines are UTF-8 all the same.
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        for pid in processes_of(folder):
            os.kill(pid, signal.SIGKILL)


def processes_of(folder: Path) -> list[int]:
    """Return the processes that serve a node below `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if (b"serve" in words or b"cli.demo.liar" in words) and any(
                word.startswith(bytes(folder)) for word in words
            ):
                found.append(int(entry.name))
    return found


def next_line(process: subprocess.Popen[bytes]) -> Line:
    assert process.stdout is not None
    raw = process.stdout.readline()
    assert raw, process.stderr.read().decode() if process.stderr else ""
    line = json.loads(raw)
    assert isinstance(line, dict)
    return line


def lines_to_summary(process: subprocess.Popen[bytes]) -> list[Line]:
    lines = [next_line(process)]
    while "handshake_states" not in lines[-1]:
        lines.append(next_line(process))
    return lines


def run(folder: Path, *arguments: str) -> tuple[int, list[Line], bytes]:
    """Return exit code, the parsed lines and the raw output of a whole run."""
    with playing(folder, *arguments) as process:
        raw, errors = process.communicate(timeout=WHOLE_RUN_S)
    assert process.returncode == 0, errors.decode()
    return process.returncode, [json.loads(line) for line in raw.splitlines()], raw


def occurrences(folder: Path, text: str) -> int:
    """Return how often a text stands below `folder`, by other means than the demo's own search."""
    spellings = [text.encode(), text.encode("utf-16-le"), base64.b64encode(text.encode()).rstrip(b"=")[:-1]]
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return sum(data.count(spelling) for data in files for spelling in spellings)


def check_summary(lines: list[Line], companies: int, message: str) -> None:
    *before, summary = lines
    nodes = [line for line in before if line["event"] == "node"]
    shown = [line for line in before if line["event"] == "shown"]
    assert [line["name"] for line in nodes] == NAMES[companies]
    assert all(re.fullmatch(r"http://127\.0\.0\.1:\d+", line["url"]) for line in nodes)
    assert summary["handshake_states"] == STATES
    assert summary["refused_before"] >= 1
    assert summary["plaintext_hits_on_nodes"] == 0
    assert summary["not_searchable"] == []
    check_witnesses([line for line in before if line["event"] == "witnessed"], companies, summary)
    assert summary["companies"] == companies
    assert [line["company"] for line in before if line["event"] == "process"] == [
        name for name in NAMES[companies] for _ in range(2 if summary["store"] != "file" else 0)
    ]
    assert 0 < summary["story_seconds"] < summary["seconds"] < WHOLE_RUN_S
    assert summary["mentor_received"] == [message]
    assert summary["mentee_received"][0] == message
    assert len(summary["mentee_received"]) == 2
    for role, key, company in (
        ("mentor", "mentor_received", NAMES[companies][-1]),
        ("mentee", "mentee_received", "aurora"),
    ):
        said = [line["text"] for line in shown if (line["role"], line["device"]) == (role, "laptop")]
        assert said == summary[key]
        assert {line["company"] for line in shown if line["role"] == role} == {company}
    # The phone shows what its owner wrote on the laptop, too.
    assert [line["text"] for line in shown if line["device"] == "phone"] == [message, *summary["mentee_received"]]


def check_witnesses(signed: list[Line], companies: int, summary: Line) -> None:
    """Every company's log is signed by all others."""
    names = NAMES[companies]
    pairs = {(line["log"], line["witness"]) for line in signed}
    assert pairs == {(log, witness) for log in names for witness in names if log != witness}
    assert all(line["size"] > 0 for line in signed)
    assert summary["cosignatures"] == len(signed)


@pytest.mark.parametrize("companies", [3, pytest.param(2, marks=pytest.mark.long), 1])
def test_the_story_is_told_and_no_server_holds_a_word_of_it(companies: int, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "demo"
    _, lines, raw = run(folder, "--once", "--companies", str(companies), "--seed", "7", "--message", MESSAGE)
    check_summary(lines, companies, MESSAGE)
    assert "Größe 🙂".encode() in raw
    assert sorted(path.name for path in (folder / "nodes").iterdir()) == NAMES[companies]
    assert (folder / "clients" / "ana" / "state.vault").is_file()
    assert (folder / "clients" / "ana-phone" / "state.vault").is_file()
    assert occurrences(folder / "nodes", "canary") == 0
    assert occurrences(folder / "nodes", MESSAGE) == 0
    assert processes_of(folder) == []
    page = (folder / "report.html").read_text(encoding="utf-8")
    check_report(page)
    assert ("witness signed Aurora’s log (size " in page) is (companies > 1)
    assert ("without leaving proof" in page) is (companies > 1)


def check_report(page: str) -> None:
    """The page escapes what the visitor wrote, runs nothing and loads nothing."""
    assert "canary &#34;text&#34; &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert not re.search(r"(?:src|href|@import|url\()\s*=?\s*[\"']?\s*(?:https?:)?//", page)
    assert page.count("FINALIZED") == 1


def test_without_a_terminal_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Settings of another node in the visitor's environment must not reach the nodes of the demo.
    monkeypatch.setenv("MENTORMESH_NODE_LISTEN", "127.0.0.1:1")
    _, lines, _ = run(tmp_path / "demo", "--companies", "1")
    check_summary(lines, 1, lines[-1]["mentor_received"][0])


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_kept_nodes_answer_until_a_signal_and_stop_in_good_order(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--keep", "--companies", "1") as process:
        lines = lines_to_summary(process)
        assert health(lines[0]["url"]) == 200
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_S) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert processes_of(folder) == []


def health(url: str) -> int:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)) as connection:
        connection.request("GET", "/health")
        return connection.getresponse().status


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.long)])
def test_a_signal_in_the_middle_stops_every_node(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--companies", "2") as process:
        assert next_line(process)["event"] == "node"
        assert processes_of(folder)
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_S) == 128 + number
    assert processes_of(folder) == []


def test_a_signal_while_nodes_start_leaves_none_behind(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--companies", "3") as process:
        until(lambda: bool(processes_of(folder)))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGINT
        until(lambda: not processes_of(folder))


def test_nodes_do_not_outlive_a_demo_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--companies", "2") as process:
        assert next_line(process)["event"] == "node"
        process.kill()
        process.wait()
        until(lambda: not processes_of(folder))


def test_nobody_reading_the_lines_any_more_ends_the_demo(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--companies", "1") as process:
        assert process.stdout is not None
        next_line(process)
        process.stdout.close()
        assert process.wait(timeout=WHOLE_RUN_S) != 0
    assert processes_of(folder) == []


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_twenty_random_seeds_all_come_to_the_end(tmp_path: Path) -> None:
    for seed in random.SystemRandom().sample(range(2**31), 20):
        companies = seed % 3 + 1
        folder = tmp_path / str(seed)
        _, lines, _ = run(
            folder, "--once", "--companies", str(companies), "--seed", str(seed), "--message", "canary text"
        )
        check_summary(lines, companies, "canary text")
        assert lines[-1]["seed"] == seed
        assert occurrences(folder / "nodes", "canary text") == 0
