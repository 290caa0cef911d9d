"""Comparing short codes in a session: what this device does at each step, and what it remembers of one that matched.

Whoever begins sees the code when the other device has answered, and so does the other. Source: 43-devices.md §8.
"""

from typing import Final

from msgspec.structs import replace

from protocol.e2ee.crypto import Received
from protocol.e2ee.emoji import EMOJI
from protocol.e2ee.shortcode import (
    MAX_RUNS,
    NONCE_BYTES,
    CodeAnswer,
    CodeCommit,
    CodeReveal,
    Masters,
    Own,
    Run,
    ShortCode,
    State,
    Step,
    advance,
    begin,
    code_of,
)
from protocol.errors import RefusedError, UnverifiedError

from .core import ENGINE, fresh_id, fresh_secret
from .records import SessionRecord, ThreadRecord
from .state import ClientState
from .views import Alarm, CodeReady, Event, Picture, Problem

COMPARING: Final = (CodeCommit, CodeAnswer, CodeReveal)
PURPOSE: Final = "short-code"


def begun(state: ClientState, thread: str) -> tuple[ClientState, CodeCommit]:
    """Return the state with a run of one's own, and what to send.

    Raises: RefusedError: the other person's key is not known yet, or codes were compared too often in this session.
    """
    session = _counted(state.session(thread))
    if not session.master_key:
        raise RefusedError("the other person has not told their name yet: wait for it, then compare")
    group = ENGINE.load(session.state)
    run, said = begin(
        fresh_id(),
        device=state.device_secret.key(state.thread(thread).audience).public.text,
        nonce=fresh_secret(),
        epoch=ENGINE.epoch(group),
        epoch_secret=ENGINE.export(group, PURPOSE, NONCE_BYTES),
    )
    return state.with_session(replace(session, code=run)), said


def stepped(
    state: ClientState, record: ThreadRecord, said: Step, received: Received
) -> tuple[ClientState, Step | None, list[Event]]:
    """Return the state after a step of the other person's device, what to send next, and what the person is told.

    What no run of this device waits for is passed over: it is for another device of theirs, or late.
    """
    session = state.session(record.thread)
    group = ENGINE.load(session.state)
    if isinstance(said, CodeCommit):
        if not said.epoch == received.epoch == ENGINE.epoch(group) or not session.master_key:
            sentence = "The other person wants to compare codes, but keys were just renewed: begin again"
            return state, None, [Problem(thread=record.thread, code="epoch", sentence=sentence)]
        session = _counted(session)
    own = Own(
        device=state.device_secret.key(record.audience).public.text,
        nonce=fresh_secret(),
        epoch_secret=ENGINE.export(group, PURPOSE, NONCE_BYTES),
    )
    try:
        run, out = advance(session.code, said, own, sender=received.sender)
    except RefusedError:
        return state, None, []
    except UnverifiedError as error:
        state = state.with_session(replace(session, code=None))
        sentence = f"Somebody stands between you and the other person: {error}. Say nothing more here"
        return state, None, [Alarm(thread=record.thread, sentence=sentence, code="code")]
    state = state.with_session(replace(session, code=run))
    return state, out, [ready(state, record.thread)] if run.state is State.DONE else []


def ready(state: ClientState, thread: str) -> CodeReady:
    """Return the code of a session, to be read aloud. Raises: RefusedError: none is complete."""
    code = _code(state, thread)
    pictures = tuple(Picture(number=at + 1, emoji=EMOJI[at][0], name=EMOJI[at][1]) for at in code.pictures)
    return CodeReady(thread=thread, pictures=pictures, numbers=code.numbers)


def matched(state: ClientState, thread: str, *, now: int) -> ClientState:
    """Return the state that knows the other person's master key as verified now.

    Raises: RefusedError: no code was compared in this session.
    """
    _code(state, thread)
    session = state.session(thread)
    return replace(state, verified={**state.verified, session.master_key: now})


def another_key(state: ClientState, session: SessionRecord, record: ThreadRecord) -> list[Event]:
    """Return a warning when somebody of this name and organization was verified before, with another key."""
    known = [
        state.verified[one.master_key]
        for one in state.contacts
        if (one.name, one.entity) == (session.name, record.peer) and one.master_key in state.verified
    ]
    if not known or session.master_key in state.verified:
        return []
    sentence = (
        "Somebody of this name and organization had another key when you compared codes. It may be a new device, or "
        "somebody else: compare again before you say anything that matters"
    )
    return [Alarm(thread=record.thread, sentence=sentence, code="another-key")]


def _code(state: ClientState, thread: str) -> ShortCode:
    session = state.session(thread)
    run: Run | None = session.code
    if run is None:
        raise RefusedError("no codes were compared in this session: run `mentormesh session verify`", code="no-code")
    own = state.account_secret.master().public.text
    mine = run.began == state.device_secret.key(state.thread(thread).audience).public.text
    masters = Masters(
        began=own if mine else session.master_key,
        answered=session.master_key if mine else own,
    )
    return code_of(run, masters)


def _counted(session: SessionRecord) -> SessionRecord:
    if session.runs >= MAX_RUNS:
        raise RefusedError(f"codes were compared {MAX_RUNS} times in this session: begin another", code="full")
    return replace(session, runs=session.runs + 1)
