"""What a mirror remembers of one source between two polls: when it was asked, how it went, when to ask again.

Lost at a stop, which only means asking sooner.
"""

import asyncio
from typing import Final

import msgspec

from protocol.errors import MeshError

from .ports import Clock, Entropy
from .waiting import jittered, try_again_at

#: A head without its proof is asked for again after this long.
UNPROVEN_S: Final = 5.0
#: After a poll a peer rests for so many times as long as the poll took, whatever it says meanwhile; and no longer than
#: this, because the clock may have been set while the poll was under way.
REST: Final = 4
LONGEST_REST_S: Final = 1500


class MirrorPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When peers are asked: every `poll_s` seconds (± a fifth), after a nudge no sooner than `nudge_gap_s`.

    A peer that fails is asked again after `poll_s`, then twice as long each time up to `longest_s`. Entries of a set
    that ran out `forget_s` ago are deleted. `at_once` bounds the peers asked at the same time.
    """

    poll_s: float = 300.0
    nudge_gap_s: float = 1.0
    longest_s: float = 3600.0
    forget_s: int = 86_400
    at_once: int = 8


class SourceWatch:
    """One source, as `policy` has it asked."""

    def __init__(self, policy: MirrorPolicy, clock: Clock, entropy: Entropy) -> None:
        self._policy: Final = policy
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._nudged = False
        self.turn: Final = asyncio.Lock()
        self.under_way = False
        self.due_at = 0.0
        self.rests_until = 0.0
        self.failures = 0
        self.asked_at: int | None = None
        self.answered_at: int | None = None
        self.problem = ""
        self.contradicted: tuple[str, ...] = ()
        self.whole = True

    def nudge(self) -> None:
        """Have the source asked as soon as it may be, once more if it is being asked."""
        self._nudged = True
        self.hasten()

    def hasten(self) -> None:
        """Have the source asked as soon as it may be."""
        self.due_at = min(self.due_at, self.rests_until)

    def is_due(self, now: int) -> bool:
        """Tell whether the source is to be asked: its time has come, or the clock was set back behind the last time."""
        return self.due_at <= now or (self.asked_at is not None and now < self.asked_at)

    def rests(self, now: int) -> bool:
        """Tell whether the source may not be asked, whatever it says."""
        return now < self.rests_until and (self.asked_at is None or now >= self.asked_at)

    def begins(self) -> None:
        """Note that the source is asked now."""
        self._nudged = False
        self.asked_at = self._clock.now()
        self.rests_until = self.asked_at + self._policy.nudge_gap_s

    def ended(self, error: MeshError | None) -> None:
        """Plan the next time: after the usual pause, or backing off as `try_again_at` says."""
        now = self._clock.now()
        took_s = now - (self.asked_at or now)
        self.rests_until = max(self.rests_until, now + min(REST * took_s, LONGEST_REST_S))
        if error is None:
            self.failures, self.problem = 0, ""
            pause = self._policy.poll_s if self.whole else min(UNPROVEN_S, self._policy.poll_s)
            self.due_at = now + jittered(pause, self._entropy)
        else:
            self.problem = error.code
            self.due_at = try_again_at(
                error,
                first_s=self._policy.poll_s,
                failures=self.failures,
                longest_s=self._policy.longest_s,
                now=now,
                entropy=self._entropy,
            )
            self.failures += 1
        self.due_at = max(self.due_at, self.rests_until)
        if self._nudged:
            self.nudge()
