"""The board in words: whatever is wrong is said in a word, on any width, and nothing a peer wrote moves the cursor."""

from typing import Any, Final

import pytest
from msgspec.structs import replace
from rich.console import Console

from cli.board import screen
from node.services.board import SendingState, TakingState
from node.services.standing import (
    Attested,
    BoardView,
    Cosigned,
    HeldSet,
    LogRead,
    OwnLine,
    PeerLine,
    quorum_size,
)
from protocol.tlog.policy import parse_policy
from tests.vectors.c2sp import BIRCH, COBALT, DELTA

NOW: Final = 1_800_000_000
OWN: Final = OwnLine(
    origin="aurora.example/log",
    size=12,
    waiting=0,
    problem="",
    cosigned_by=("https://birch.example",),
    missing=(),
    needed=1,
)


def held(kind: str, **changes: Any) -> HeldSet:  # noqa: ANN401 -- values of any field
    usual = HeldSet(kind=kind, audience="", state="fresh", entries=4, issued_at=NOW - 180, age_s=180, problem="")
    return replace(usual, **changes)


WELL: Final = PeerLine(
    entity="https://birch.example",
    display_name="Birch Clinic",
    mode="full",
    sending=SendingState(state="closed", failures=0, last_error="", down_since=None, until=None),
    taking=TakingState(state="closed", faults=0, until=None),
    waiting=0,
    oldest_at=None,
    lag_s=0,
    contact_at=NOW - 5,
    comparing=False,
    lost=0,
    mode_reason="",
    mode_until=None,
    frozen_at=None,
    sets=(held("offers"), held("keys")),
    its_keys=Attested(given=1, needed=1, usable=True),
    own_keys=Attested(given=1, needed=1, usable=True),
    cosigned_ours=Cosigned(size=12, at=NOW - 9),
    cosigned_theirs=Cosigned(size=9, at=NOW - 9),
    log=LogRead(size=9, behind=0, at=NOW - 3, problem=""),
)


def shown(width: int, *peers: PeerLine, own: OwnLine = OWN, note: str = "") -> str:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        for part in screen(BoardView(entity="https://aurora.example", now=NOW, log=own, peers=peers), width, note=note):
            console.print(part)
    return capture.get()


def test_one_of_several_processes_says_what_it_cannot_know() -> None:
    view = BoardView(entity="https://aurora.example", now=NOW, log=OWN, peers=(), several=True, on_duty=False)
    text = " ".join(str(part) for part in screen(view, 200))
    assert "breakers, pauses and last contacts are its own" in text
    assert "the one on duty knows" in text
    assert "several" not in shown(200, WELL)


def test_a_peer_with_which_all_is_well_says_so() -> None:
    text = shown(200, WELL)
    for words in (
        "offers 3 min, fresh",
        "theirs: 1 of 1, enough",
        "ours: 12 of 12",
        "theirs: 9 of 9",
        "9 entries, all read",
        "looked 3 s ago",
        "out: ok",
        "in: ok",
        "nothing",
        "5 s ago",
        "cosigned by 1 of 1 (1 needed): enough",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"frozen_at": NOW}, "FROZEN 2027-01-15"),
        ({"mode": "blocked", "mode_reason": "audit", "mode_until": NOW}, "suspended; audit; until 2027-01-15"),
        ({"mode": "no-new-requests"}, "no-new-requests"),
        ({"sets": (held("keys", state="forked", problem="fork"),)}, "offers not mirrored; keys 3 min, forked (fork)"),
        ({"sets": (held("offers"), held("offers", state="stale", age_s=90_000))}, "offers 1 d, stale"),
        ({"its_keys": Attested(given=0, needed=2, usable=False)}, "theirs: 0 of 2, not usable"),
        ({"own_keys": Attested(given=1, needed=2, usable=True)}, "ours: 1 of 2, older in use"),
        ({"its_keys": None}, "theirs: none"),
        ({"cosigned_ours": Cosigned(size=3, at=NOW, problem="peer-down")}, "ours: 3 of 12 (peer-down)"),
        ({"cosigned_ours": Cosigned(size=3, at=NOW, problem="witness-contradicts")}, "claims another log"),
        ({"cosigned_ours": None}, "ours: not asked"),
        ({"log": LogRead(size=9, behind=4, at=NOW, problem="forked")}, "9 entries, 4 behind; looked 0 s ago; forked"),
        ({"log": None}, "its log        not read"),
        (
            {"sending": SendingState(state="open", failures=3, last_error="peer-down", down_since=1, until=NOW + 60)},
            "out: paused (peer-down, again in 1 min)",
        ),
        ({"taking": TakingState(state="open", faults=0, until=NOW + 7)}, "in: turned away for 7 s"),
        ({"comparing": True}, "comparing after a restore"),
        ({"waiting": 3, "lag_s": 7300}, "3; oldest 2 h"),
        ({"contact_at": None}, "not since start"),
    ],
)
def test_what_is_wrong_is_said_in_a_word(changes: dict[str, Any], words: str) -> None:
    # One cell a line, so that its parts stand beside each other.
    assert words in shown(110, replace(WELL, **changes))


def test_every_row_fits_a_narrow_terminal() -> None:
    text = shown(40, WELL, replace(WELL, entity="https://a-rather-long-name-of-a-company.example"))
    assert max(map(len, text.splitlines())) <= 40
    assert text.count("delivery") == 2


def test_the_own_log_says_what_is_missing() -> None:
    own = replace(OWN, cosigned_by=(), missing=("https://birch.example",), problem="log-rolled-back")
    text = shown(200, WELL, own=own)
    for words in ("cosigned by 0 of 1 (1 needed): too few", "not yet: birch.example", "not signed: log-rolled-back"):
        assert words in text


def test_no_peers_and_no_answer_are_said() -> None:
    text = shown(80, own=replace(OWN, cosigned_by=()), note="The node does not answer")
    for words in ("mentormesh peer invite", "nobody is asked to cosign", "The node does not answer"):
        assert words in text


def test_what_a_peer_calls_itself_moves_no_cursor() -> None:
    text = shown(200, replace(WELL, display_name="Birch\x1b[2J\u202eClinic"))
    assert "\x1b" not in text
    assert "\u202e" not in text


WITNESSES: Final = "".join(f"witness w{at} {party.vkey}\n" for at, party in enumerate((BIRCH, COBALT, DELTA)))


@pytest.mark.parametrize(
    ("rest", "needed"),
    [
        ("quorum none\n", 0),
        ("quorum w1\n", 1),
        ("group g all w0 w1 w2\nquorum g\n", 3),
        ("group g any w0 w1 w2\nquorum g\n", 1),
        ("group h all w0 w1\ngroup g any h w2\nquorum g\n", 1),
        ("group h all w0 w1\ngroup g 2 h w2\nquorum g\n", 3),
    ],
)
def test_a_policy_needs_as_many_as_its_smallest_quorum(rest: str, needed: int) -> None:
    assert quorum_size(parse_policy((WITNESSES + rest).encode())) == needed
