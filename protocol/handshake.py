"""The handshake's state machine: who may move in which state, and what crossing messages mean.

States and verbs follow the Eclipse Dataspace Protocol 2025-1 contract negotiation (consumer: the mentee's node,
provider: the mentor's), with counter, redirect and signed messages added. Both sides run this table over the same
ordered messages. Source: docs/protocol/31-handshake.md §2–§4.
"""

from enum import Enum
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from .errors import RefusedError


class State(Enum):
    """Where a thread stands; the first six are the way to an agreement, the rest are endings without one."""

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    AGREED = "AGREED"
    VERIFIED = "VERIFIED"
    FINALIZED = "FINALIZED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"
    TERMINATED = "TERMINATED"


class Side(Enum):
    """The two roles of a thread; inside one organization the same node plays both."""

    CONSUMER = "consumer"
    PROVIDER = "provider"

    @property
    def other(self) -> "Side":
        """The opposite role."""
        return Side.PROVIDER if self is Side.CONSUMER else Side.CONSUMER


Verb = Literal[
    "request",
    "offer",
    "refuse",
    "accept",
    "counter",
    "redirect",
    "agree",
    "decline",
    "expire",
    "verify",
    "finalize",
    "cancel",
]

VERBS: Final[tuple[Verb, ...]] = (
    "request",
    "offer",
    "refuse",
    "accept",
    "counter",
    "redirect",
    "agree",
    "decline",
    "expire",
    "verify",
    "finalize",
    "cancel",
)

#: From these on the agreement stands: a cancel ends the session, never the handshake.
BOUND: Final = frozenset({State.AGREED, State.VERIFIED, State.FINALIZED})
#: Nothing moves a thread out of these, except a crossing cancel out of the three that a provider can send blindly.
TERMINAL: Final = frozenset({State.FINALIZED, State.DECLINED, State.EXPIRED, State.CANCELLED, State.TERMINATED})
#: Counters and redirects in one thread, together.
MAX_COUNTERS: Final = 3

_C: Final = Side.CONSUMER
_P: Final = Side.PROVIDER

#: Every legal step that is not a cancel; what is not listed is refused.
NEXT: Final[dict[tuple[State | None, Side, Verb], State]] = {
    (None, _C, "request"): State.REQUESTED,
    (State.REQUESTED, _P, "offer"): State.OFFERED,
    (State.REQUESTED, _P, "refuse"): State.TERMINATED,
    (State.OFFERED, _C, "accept"): State.ACCEPTED,
    (State.ACCEPTED, _P, "counter"): State.OFFERED,
    (State.ACCEPTED, _P, "redirect"): State.OFFERED,
    (State.ACCEPTED, _P, "agree"): State.AGREED,
    (State.ACCEPTED, _P, "decline"): State.DECLINED,
    (State.ACCEPTED, _P, "expire"): State.EXPIRED,
    (State.ACCEPTED, _P, "refuse"): State.TERMINATED,
    (State.AGREED, _C, "verify"): State.VERIFIED,
    (State.VERIFIED, _P, "finalize"): State.FINALIZED,
}

#: A cancel that its sender had seen everything before sending.
CANCEL: Final[dict[tuple[State, Side], State]] = {
    (State.OFFERED, _C): State.CANCELLED,
    (State.OFFERED, _P): State.CANCELLED,
    (State.ACCEPTED, _C): State.CANCELLED,
    (State.AGREED, _C): State.AGREED,
    (State.AGREED, _P): State.AGREED,
    (State.VERIFIED, _C): State.VERIFIED,
    (State.VERIFIED, _P): State.VERIFIED,
    (State.FINALIZED, _C): State.FINALIZED,
    (State.FINALIZED, _P): State.FINALIZED,
}

#: A cancel sent before its sender saw the receiver's last move: before AGREED was seen, the cancel wins.
CROSSING: Final[dict[tuple[State, Side], State]] = {
    (State.OFFERED, _C): State.CANCELLED,
    (State.AGREED, _C): State.CANCELLED,
    (State.DECLINED, _C): State.CANCELLED,
    (State.EXPIRED, _C): State.CANCELLED,
    (State.TERMINATED, _C): State.CANCELLED,
    (State.ACCEPTED, _P): State.CANCELLED,
    (State.VERIFIED, _P): State.VERIFIED,
    (State.VERIFIED, _C): State.VERIFIED,
    (State.FINALIZED, _C): State.FINALIZED,
    (State.FINALIZED, _P): State.FINALIZED,
}


class IllegalStepError(RefusedError):
    """The verb is not allowed for this side in this state; carries the state for the answer."""

    code = "illegal-step"

    def __init__(self, message: str, state: State | None) -> None:
        super().__init__(message)
        self.state = state


class Handshake(msgspec.Struct, frozen=True, kw_only=True):
    """One side's view of a thread.

    `counters` counts counters and redirects; `session_cancelled` is set when a cancel came after AGREED.
    """

    state: State
    counters: int = 0
    session_cancelled: bool = False


def advance(handshake: Handshake | None, side: Side, verb: Verb, *, crossing: bool = False) -> Handshake:
    """Return the handshake after `side` did `verb`; on an error nothing has changed.

    Args:
        handshake: None before the first message.
        crossing: the sender had not seen the receiver's last move when it sent this (only cancels may cross).
    Raises: IllegalStepError: not in the table, or one counter too many.
    """
    state = handshake.state if handshake else None
    if verb == "cancel":
        return _cancel(handshake, side, crossing=crossing)
    after = NEXT.get((state, side, verb))
    if after is None or (crossing and handshake is not None):
        raise IllegalStepError(f"{side.value} may not {verb} in state {state.value if state else 'none'}", state)
    if handshake is None:
        return Handshake(state=after)
    if verb in ("counter", "redirect"):
        if handshake.counters >= MAX_COUNTERS:
            raise IllegalStepError(f"at most {MAX_COUNTERS} counters in a thread", state)
        return replace(handshake, state=after, counters=handshake.counters + 1)
    return replace(handshake, state=after)


def _cancel(handshake: Handshake | None, side: Side, *, crossing: bool) -> Handshake:
    if handshake is None:
        raise IllegalStepError("there is nothing to cancel", None)
    table = CROSSING if crossing else CANCEL
    after = table.get((handshake.state, side))
    if after is None:
        raise IllegalStepError(f"{side.value} may not cancel in state {handshake.state.value}", handshake.state)
    return replace(handshake, state=after, session_cancelled=after in BOUND)


def handshake_stands(before: Handshake | None, after: Handshake) -> bool:
    """Say whether a step left the state as it was: a cancel after AGREED, which is no move that others may cross."""
    return before is not None and before.state is after.state


def may_move(state: State) -> Side | None:
    """Return the one side that may move in `state`, or None in an ending."""
    sides = {side for (before, side, _), _ in NEXT.items() if before is state}
    return sides.pop() if sides else None
