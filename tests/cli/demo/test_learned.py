"""What each company learned is worded from its rows alone."""

import pytest

from cli.demo.learned import learned
from cli.demo.servers import Ledger, Meeting

A, B, C = "https://aurora.example", "https://birch.example", "https://cobalt.example"
NAMES = {A: "Aurora Freight", B: "Birch Clinic", C: "Cobalt Works"}
TOPIC = "mm:first-board-presentation"
EMPTY = Ledger(asked=(), asked_by=(), proposed=0, turned_away=0, waiting=0, meetings=())

ROWS = [
    ("empty rows", A, EMPTY, "Nothing: it was not asked, and nobody here asked."),
    (
        "a company whose person asked others",
        A,
        Ledger(
            asked=(A, B, C),
            asked_by=((A, TOPIC),),
            proposed=0,
            turned_away=0,
            waiting=0,
            meetings=(Meeting(side="consumer", peer=C, envelopes=15),),
        ),
        (
            "Somebody here asked Birch Clinic and Cobalt Works. Asked about “First presentation to the board” by"
            " somebody here. Somebody here met somebody at Cobalt Works: 15 sealed envelopes."
            " No word, no name."
        ),
    ),
    (
        "a company whose people were busy",
        B,
        Ledger(asked=(), asked_by=((A, TOPIC), (C, TOPIC)), proposed=2, turned_away=1, waiting=1, meetings=()),
        (
            "Asked about “First presentation to the board” by somebody at Aurora Freight and somebody at Cobalt Works:"
            " 1 request found no free place and 1 request waits. No word, no name."
        ),
    ),
    (
        "a company that had nobody",
        A,
        Ledger(asked=(A, B), asked_by=((A, ""),), proposed=0, turned_away=0, waiting=0, meetings=()),
        ("Somebody here asked Birch Clinic. Asked by somebody here, of which it kept nothing. No word, no name."),
    ),
    (
        "a company that kept one request of two",
        B,
        Ledger(asked=(), asked_by=((A, ""), (C, TOPIC)), proposed=2, turned_away=1, waiting=1, meetings=()),
        (
            "Asked about “First presentation to the board” by somebody at Cobalt Works: 1 request"
            " found no free place and 1 request waits. Asked by somebody at Aurora Freight, of which it kept nothing."
            " No word, no name."
        ),
    ),
    (
        "two people of one company",
        A,
        Ledger(
            asked=(A,),
            asked_by=((A, TOPIC),),
            proposed=3,
            turned_away=0,
            waiting=2,
            meetings=(
                Meeting(side="consumer", peer=A, envelopes=7),
                Meeting(side="provider", peer=A, envelopes=7),
            ),
        ),
        (
            "Asked about “First presentation to the board” by somebody here: 2 requests wait."
            " Two people here met: 7 sealed envelopes. No word, no name."
        ),
    ),
]


@pytest.mark.parametrize(("entity", "ledger", "line"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_line_says_what_the_rows_hold(entity: str, ledger: Ledger, line: str) -> None:
    assert learned(entity, ledger, NAMES) == line
