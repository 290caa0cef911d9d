"""An administrator looks at the board of two real nodes, suspends the peer, and lets it in again."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.patience import PATIENCE_S, until

from .test_peers import AURORA, BIRCH, answer, make, program, run

pytestmark = [pytest.mark.system, pytest.mark.slow]

#: Logs of others are looked at every second, so that the board fills while the test waits.
QUICK: Final = {"MENTORMESH_LOG_WATCH_S": "1", "MENTORMESH_EDITIONS_POLL_S": "1"}

Place = tuple[str, str]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Run two nodes that are peers; yield how commands reach each."""
    directories = make(tmp_path, "aurora"), make(tmp_path, "birch")
    processes = [
        subprocess.Popen(
            program("serve", "--dir", one, "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **QUICK},
        )
        for one in directories
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "ready"
        aurora, birch = (("--dir", one) for one in directories)
        ticket = run("peer", "invite", *aurora).stdout.strip()
        run("peer", "accept", *birch, ticket, "--yes")
        yield aurora, birch
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE_S)
            assert process.stdout is not None
            process.stdout.close()


def board(place: Place) -> Any:  # noqa: ANN401 -- as the command prints it
    return answer("peer", "board", *place)


def is_well(place: Place) -> bool:
    """Tell whether everything on the board of a node is as it should be with its only peer."""
    view = board(place)
    (line,) = view["peers"]
    return (
        view["log"]["size"] > 0
        and not view["log"]["missing"]
        and {each["kind"]: each["state"] for each in line["sets"]} == {"keys": "fresh", "offers": "fresh"}
        and all((line[whose] or {}).get("usable") for whose in ("its_keys", "own_keys"))
        and line["cosigned_ours"]["size"] == view["log"]["size"]
        and bool(line["log"])
        and line["log"]["size"] == line["cosigned_theirs"]["size"] > 0
        and line["log"]["behind"] == 0
    )


def in_terminal(columns: int, *arguments: str) -> str:
    """Return what a command shows on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "50", "NO_COLOR": "1", "TERM": "xterm"}
    process = subprocess.Popen(program(*arguments), stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    seen = bytearray()
    try:
        while chunk := os.read(ours, 65_536):
            seen += chunk
    except OSError:  # the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(PATIENCE_S) == 0, seen.decode()
    return seen.decode().replace("\r\n", "\n")


def test_the_board_fills_and_a_suspension_takes_effect_at_once(pair: tuple[Place, Place]) -> None:
    aurora, birch = pair
    until(lambda: is_well(aurora) and is_well(birch))
    (line,) = board(aurora)["peers"]
    assert (line["entity"], line["mode"], line["frozen_at"]) == (BIRCH, "full", None)
    assert (line["its_keys"]["given"], line["its_keys"]["needed"]) == (1, 1)
    assert (line["sending"]["state"], line["taking"]["state"], line["waiting"]) == ("closed", "closed", 0)
    check_texts(aurora)
    check_suspension(aurora, birch)


def says_it_is_well(plain: str) -> bool:
    """Tell whether a board does; between two looks a log may have grown, and waits for its witness again."""
    assert "\x1b" not in plain
    words = ("cosigned by 1 of 1 (1 needed): enough", "signed: birch.example", "theirs: 1 of 1, enough", "all read")
    return all(one in plain for one in (*words, "out: ok", "in: ok"))


def check_texts(aurora: Place) -> None:
    until(lambda: says_it_is_well(run("peer", "board", *aurora).stdout))
    narrow = in_terminal(60, "peer", "board", "--once", *aurora)
    assert "  delivery       out: ok; in: ok" in narrow
    assert max(map(len, narrow.splitlines())) <= 60
    wide = in_terminal(160, "peer", "board", "--once", *aurora)
    assert "keys attested" in wide.splitlines()[3]


CHECKS: Final = ("reachable", "document", "clock", "pinned key", "signatures", "mode", "witness", "its log")


def run_doctor(*birch: str) -> dict[str, bool]:
    """Return what one node finds of the other, which it has to ask anew about its log after a suspension."""
    command = program("peer", "doctor", *birch, AURORA, "--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return {one["check"]: one["ok"] for one in json.loads(done.stdout)}


def check_suspension(aurora: Place, birch: Place) -> None:
    unsure = run("peer", "suspend", *aurora, BIRCH, refused=True)
    assert "nothing was suspended" in unsure.stderr
    assert answer("peer", "show", *aurora, BIRCH)["mode"] == "full"
    done = run("peer", "suspend", *aurora, BIRCH, "--reason", "audit", "--days", "2", "--yes")
    assert f"{BIRCH} is suspended: mode blocked until" in done.stdout
    # At once: whatever the peer asks next is refused, and it is no witness any more.
    refused = run("peer", "doctor", *birch, AURORA, refused=True)
    assert "BAD  signatures" in refused.stdout
    view = board(aurora)
    (line,) = view["peers"]
    assert (line["mode"], line["mode_reason"], line["sets"]) == ("blocked", "audit", [])
    assert line["mode_until"] - view["now"] == pytest.approx(2 * 86_400, abs=3600)
    assert (view["log"]["cosigned_by"], view["log"]["missing"], line["cosigned_ours"]) == ([], [], None)
    shown = run("peer", "board", *aurora).stdout
    assert "suspended" in shown
    assert "audit" in shown
    own = run("peer", "doctor", *aurora, BIRCH, refused=True)
    assert "BAD  mode" in own.stdout
    assert "peer resume" in own.stdout
    resumed = answer("peer", "resume", *aurora, BIRCH, "--mode", "no-new-requests", "--yes")
    assert (resumed["mode"], resumed["mode_until"]) == ("no-new-requests", None)
    twice = run("peer", "resume", *aurora, BIRCH, "--yes", refused=True)
    assert "is not suspended: its mode is no-new-requests" in twice.stderr
    limited = run("peer", "suspend", *aurora, BIRCH, "--yes")
    assert "It was in mode no-new-requests" in limited.stderr
    assert answer("peer", "resume", *aurora, BIRCH, "--yes")["mode"] == "full"
    until(lambda: is_well(aurora))
    until(lambda: run_doctor(*birch) == dict.fromkeys(CHECKS, True))


def test_a_board_without_peers_says_how_to_begin(tmp_path: Path) -> None:
    directory = make(tmp_path, "aurora")
    done = run("peer", "board", "--dir", directory)
    assert "mentormesh peer invite" in done.stdout
    assert "nobody is asked to cosign" in done.stdout
    assert "does not run" in done.stderr
    stranger = run("peer", "suspend", BIRCH, "--dir", directory, "--yes", refused=True)
    assert "no such peer" in stranger.stderr
    assert answer("peer", "board", "--dir", directory)["peers"] == []


def test_the_board_follows_until_it_is_interrupted(pair: tuple[Place, Place]) -> None:
    aurora, _ = pair
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "140", "LINES": "50", "NO_COLOR": "1", "TERM": "xterm"}
    process = subprocess.Popen(
        program("peer", "board", *aurora), stdout=theirs, stderr=theirs, stdin=theirs, env=environment
    )
    os.close(theirs)
    seen = ""
    try:
        while "Birch" not in seen:
            seen += os.read(ours, 65_536).decode("utf-8", "replace")
        run("peer", "suspend", *aurora, BIRCH, "--yes")
        while "suspended" not in seen:
            seen += os.read(ours, 65_536).decode("utf-8", "replace")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        os.close(ours)
