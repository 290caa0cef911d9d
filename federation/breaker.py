"""Turns away, for a while, a peer that keeps sending what cannot be taken; kept in memory only.

One poisoned item costs an honest sender two faults, so only a flood of them opens the breaker.
Source: docs/protocol/33-delivery.md §9.
"""

from typing import Final

import msgspec

from protocol.errors import LimitError

#: Faults within a minute that open the breaker, and what a batch counts that cannot be read at all.
MOST_FAULTS: Final = 200
MALFORMED_FAULTS: Final = 10
WINDOW_S: Final = 60
#: The breaker stays open so long at first, and twice as long each time it opens again soon.
FIRST_S: Final = 60
LONGEST_S: Final = 900
#: A peer that behaved for so long begins anew.
FORGIVEN_S: Final = 3600


class Intake(msgspec.Struct, kw_only=True):
    """How receiving from one peer goes: its faults since `since`, and until when it is turned away."""

    since: int = 0
    faults: int = 0
    until: int = 0
    opened: int = 0

    def is_open(self, now: int) -> bool:
        """Tell whether the peer is turned away now."""
        return now < self.until <= now + LONGEST_S  # later than that: the clock was set back


class BreakerOpenError(LimitError):
    """The peer sent too much that cannot be taken."""

    code = "breaker-open"


class Breaker:
    """The incoming breakers of one node, one for each peer."""

    def __init__(self) -> None:
        self.intake: Final[dict[str, Intake]] = {}

    def check(self, peer: str, *, now: int) -> None:
        """Return if items of `peer` are taken now. Raises: BreakerOpenError, saying when to come back."""
        known = self.intake.get(peer)
        if known is not None and known.is_open(now):
            raise BreakerOpenError("too much of what you sent cannot be taken: come back later", retry_at=known.until)

    def fault(self, peer: str, count: int, *, now: int) -> None:
        """Count faults; too many within a minute open the breaker."""
        if not count:
            return
        known = self.intake.setdefault(peer, Intake(since=now))
        if now - known.since >= WINDOW_S:
            known.since, known.faults = now, 0
        if now - known.until >= FORGIVEN_S:
            known.opened = 0
        known.faults += count
        if known.faults >= MOST_FAULTS:
            known.until = now + min(FIRST_S * 2**known.opened, LONGEST_S)
            known.opened, known.faults = known.opened + 1, 0
