"""Vectors of docs/protocol/31-handshake.md: every step of the machine, and whole conversations."""

from itertools import product
from typing import Final

from protocol.contacttokens import token_commitment
from protocol.encoding import b64, sha256
from protocol.handshake import CANCEL, CROSSING, MAX_COUNTERS, NEXT, VERBS, Side, State, Verb

from .devices import Case, file

C, P = "consumer", "provider"
Event = tuple[str, str]
OFFERED: Final[list[Event]] = [(C, "request"), (P, "hear"), (P, "offer"), (C, "hear")]
ACCEPTED: Final[list[Event]] = [*OFFERED, (C, "accept"), (P, "hear")]
AGREED: Final[list[Event]] = [*ACCEPTED, (P, "agree"), (C, "hear")]
FINALIZED: Final[list[Event]] = [*AGREED, (C, "verify"), (P, "hear"), (P, "finalize"), (C, "hear")]


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "handshake/steps.json": file(
            "31-handshake §2–§4",
            "`side` does `verb` in `state` (null: there is no thread yet) after `counters` counters; `crossing` says "
            "that it had not seen the last move of the other side. `result` is the state after it.",
            [*_steps(), *_crossings(), *_counters()],
        ),
        "handshake/contact-tokens.json": file("31-handshake §12", "The commitment of a contact token.", _tokens()),
        "handshake/conversations.json": file(
            "31-handshake §4",
            "`events` in order: a side says a verb, or hears the next message on its way to it (`hear`), which is "
            "allowed, or which it keeps without effect because its thread is at an ending (`late`, 30-messages §6.4). "
            "`result` is how both sides end; where there is an `error`, the last event is the one that is refused.",
            [*_conversations(), *_refused_conversations()],
        ),
    }


def _tokens() -> list[Case]:
    token = b64(sha256(b"contact token")[:16])
    bad = {
        "a token of 15 bytes": token[:-2],
        "a token of 17 bytes": token + "A",
        "padding": token + "==",
        "nothing": "",
    }
    good = {"a token": token, "zeros": "A" * 22}
    return [
        *({"name": name, "input": text, "result": token_commitment(text)} for name, text in good.items()),
        *({"name": name, "input": text, "error": "malformed"} for name, text in bad.items()),
    ]


def _outcome(after: State | None) -> Case:
    return {"error": "refused"} if after is None else {"result": after.value}


def _step(state: State | None, side: Side, verb: Verb, after: State | None, *, crossing: bool = False) -> Case:
    place = "before there is a thread" if state is None else f"in {state.value}"
    name = f"{side.value} says {verb} {place}" + (", crossing" if crossing else "")
    given = {"state": None if state is None else state.value, "side": side.value, "verb": verb, "counters": 0}
    return {"name": name, **given, "crossing": crossing, **_outcome(after)}


def _steps() -> list[Case]:
    states: list[State | None] = [None, *State]
    legal: dict[tuple[State | None, Side, Verb], State] = dict(NEXT)
    legal.update({(state, side, "cancel"): after for (state, side), after in CANCEL.items()})
    return [
        _step(state, side, verb, legal.get((state, side, verb))) for state, side, verb in product(states, Side, VERBS)
    ]


def _crossings() -> list[Case]:
    cancels = [
        _step(state, side, "cancel", CROSSING.get((state, side)), crossing=True) for state, side in product(State, Side)
    ]
    others = [_step(state, side, verb, None, crossing=True) for state, side, verb in NEXT if state is not None]
    return [*cancels, *others]


def _counters() -> list[Case]:
    def case(verb: Verb, counters: int, after: State | None) -> Case:
        made = _step(State.ACCEPTED, Side.PROVIDER, verb, after)
        return {**made, "name": f"{made['name']} after {counters}", "counters": counters}

    last = MAX_COUNTERS - 1
    return [
        case("counter", last, State.OFFERED),
        case("redirect", last, State.OFFERED),
        case("counter", MAX_COUNTERS, None),
        case("redirect", MAX_COUNTERS, None),
        case("agree", MAX_COUNTERS, State.AGREED),
    ]


def _talk(name: str, events: list[Event], **outcome: object) -> Case:
    return {"name": name, "events": [list(event) for event in events], **outcome}


def _conversations() -> list[Case]:
    def ends(state: str, *, called_off: bool = False) -> Case:
        return {"state": state, "session_cancelled": called_off}

    both_cancel = [(C, "cancel"), (P, "cancel"), (C, "hear"), (P, "hear")]
    return [
        _talk("an agreement", FINALIZED, result=ends("FINALIZED")),
        _talk("a refusal", [*OFFERED[:2], (P, "refuse"), (C, "hear")], result=ends("TERMINATED")),
        _talk("a counter, taken up", [*ACCEPTED, (P, "counter"), (C, "hear"), *AGREED[4:]], result=ends("AGREED")),
        _talk(
            "a cancel that crosses AGREED wins",
            [*ACCEPTED, (P, "agree"), (C, "cancel"), (P, "hear"), (C, "late")],
            result=ends("CANCELLED"),
        ),
        _talk(
            "a cancel that crosses a decline wins",
            [*ACCEPTED, (P, "decline"), (C, "cancel"), (P, "hear"), (C, "late")],
            result=ends("CANCELLED"),
        ),
        _talk(
            "a cancel that crosses a counter wins",
            [*ACCEPTED, (P, "counter"), (C, "cancel"), (P, "hear"), (C, "late")],
            result=ends("CANCELLED"),
        ),
        _talk(
            "a provider's cancel that crosses an acceptance wins",
            [*OFFERED, (P, "cancel"), (C, "accept"), (C, "hear"), (P, "late")],
            result=ends("CANCELLED"),
        ),
        _talk("both cancel an offer", [*OFFERED, *both_cancel[:2], (C, "late"), (P, "late")], result=ends("CANCELLED")),
        _talk(
            "a cancel after AGREED was seen calls off the session",
            [*AGREED, (C, "cancel"), (P, "hear"), (C, "verify"), (P, "hear"), (P, "finalize"), (C, "hear")],
            result=ends("FINALIZED", called_off=True),
        ),
        _talk(
            "a provider's cancel crosses the second signature",
            [*AGREED, (P, "cancel"), (C, "verify"), (P, "hear"), (C, "hear"), (P, "finalize"), (C, "hear")],
            result=ends("FINALIZED", called_off=True),
        ),
        _talk("both call off the session", [*FINALIZED, *both_cancel], result=ends("FINALIZED", called_off=True)),
    ]


def _refused_conversations() -> list[Case]:
    counter = [(P, "counter"), (C, "hear"), (C, "accept"), (P, "hear")]
    cases = {
        "an answer before the request": [(P, "offer")],
        "a second request": [*OFFERED, (C, "request")],
        "a second offer": [*OFFERED, (P, "offer")],
        "an acceptance before the offer is heard": [(C, "request"), (P, "hear"), (P, "offer"), (C, "accept")],
        "an agreement by the mentee's side": [*ACCEPTED, (C, "agree")],
        "a second answer": [*ACCEPTED, (P, "decline"), (P, "agree")],
        "an acceptance after a decline": [*ACCEPTED, (P, "decline"), (C, "hear"), (C, "accept")],
        "a fourth counter": [*ACCEPTED, *counter, *counter, *counter, (P, "counter")],
        "a decline after AGREED": [*ACCEPTED, (P, "agree"), (P, "decline")],
        "a verification of one's own": [*AGREED, (P, "verify")],
        "a second verification": [*AGREED, (C, "verify"), (C, "verify")],
        "a cancel of an unanswered request": [(C, "request"), (C, "cancel")],
        "a provider's cancel of a request that a person looks at": [*ACCEPTED, (P, "cancel")],
        "a cancel of what was declined": [*ACCEPTED, (P, "decline"), (C, "hear"), (C, "cancel")],
        "a late message taken for a move": [*ACCEPTED, (P, "agree"), (C, "cancel"), (P, "hear"), (C, "hear")],
    }
    return [_talk(name, events, error="refused") for name, events in cases.items()]
