"""docs/protocol/31-handshake.md and the program have the same tables, and the diagram is drawn from them."""

from typing import get_args

from protocol.bodies import CancelReason, DeclineReason, Refusal
from protocol.handshake import CANCEL, CROSSING, MAX_COUNTERS, NEXT, TERMINAL, Side, State, may_move
from protocol.messages import BODIES

from .pages import section, table

START = "–"


def diagram() -> str:
    """Return the Mermaid text of all steps; cancels of the same effect share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, side, verb), after in NEXT.items():
        arrows.setdefault((before.value if before else "[*]", after.value), []).append(f"{side.value} {verb}")
    for (state, side), after in CANCEL.items():
        if after is not state:
            arrows.setdefault((state.value, after.value), []).append(f"{side.value} cancel")
    lines = [f"    {before} --> {after}: {', '.join(words)}" for (before, after), words in arrows.items()]
    ends = [f"    {state.value} --> [*]" for state in State if state in TERMINAL]
    return "\n".join(["stateDiagram-v2", *lines, *ends]) + "\n"


def name(state: State | None) -> str:
    return state.value if state else START


def rows(start: str, end: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in table(section("31-handshake", start, end))]


def test_the_table_of_states_says_who_may_move_and_what_an_ending_is() -> None:
    found = {row[0]: row[1] for row in rows("## 1", "## 2")}
    movers = {state: may_move(state) for state in State}
    assert found == {state.value: side.value if side else START for state, side in movers.items()}
    text = section("31-handshake", "## 1", "## 2").partition("*endings*")[2].partition(".")[0]
    assert {state.value for state in TERMINAL} == {state.value for state in State if f"`{state.value}`" in text}


def test_the_table_of_steps_is_that_of_the_program() -> None:
    steps = [(name(before), side.value, verb, after.value) for (before, side, verb), after in NEXT.items()]
    assert rows("## 2", "## 3") == steps


def test_the_table_of_cancels_is_that_of_the_program() -> None:
    assert rows("## 3", "## 4") == [(state.value, side.value, after.value) for (state, side), after in CANCEL.items()]


def test_the_table_of_crossing_cancels_is_that_of_the_program() -> None:
    assert rows("## 4", "## 5") == [(state.value, side.value, after.value) for (state, side), after in CROSSING.items()]


def test_the_diagram_is_drawn_from_the_tables() -> None:
    text = section("31-handshake", "## 5", "## 6")
    assert text.partition("```mermaid\n")[2].partition("```")[0] == diagram()


def test_the_page_states_the_number_of_counters() -> None:
    assert f"at most {MAX_COUNTERS} counters and redirects" in section("31-handshake", "## 2", "## 3")


def test_the_table_of_bodies_is_that_of_the_program() -> None:
    bodies, reasons = section("30-messages", "§5.1", "§5.2").split("Reasons are", 1)
    assert [tuple(row[:2]) for row in table(bodies)] == [(verb, kind.__name__) for verb, kind in BODIES.items()]
    for verb, row in zip(BODIES, table(bodies), strict=True):
        assert all(f"`{field}`" in f"`{row[2]}`" for field in BODIES[verb].__struct_fields__), verb
    words = {"RefusedBody": Refusal, "DeclinedBody": DeclineReason, "CancelledBody": CancelReason}
    listed = {row[0]: tuple(word.strip(" `") for word in row[1].split(",")) for row in table(reasons)}
    assert listed == {body: get_args(kind) for body, kind in words.items()}


def test_only_two_sides_play() -> None:
    assert {side.value for side in Side} == {row[1] for row in rows("## 2", "## 3")}
