"""What a log owes: proofs of trees that somebody else holds of it, or that a message of its node named.

Kept in memory only: who still holds such a tree says so again in the next round of gossip.
Source: docs/protocol/53-witnesses.md §9.
"""

import asyncio
from typing import Final

from protocol.errors import LimitError, MeshError, UnavailableError
from protocol.messages import CheckpointRef
from protocol.tlog.checkpoint import CheckpointNote

#: Checkpoints that others showed and that the log has yet to prove, for each log.
MOST_DOUBTS: Final = 64
#: Checkpoints that messages referred to and that were not yet compared, for each log.
MOST_SAID: Final = 8
#: A log that cannot be reached at all may owe for so long: nodes are switched off over night.
AWAY_S: Final = 86_400
#: Networks lose an answer, and another one; in so many looks a log that serves its checkpoint holds the rest back.
MOST_LOST: Final = 3

#: Size and root.
Place = tuple[int, bytes]


class Watch:
    """What is remembered of one log between two looks."""

    def __init__(self) -> None:
        self.turn: Final = asyncio.Lock()
        self.due_at = 0.0
        self.looked_at = float("-inf")
        #: Until then the log, which was too slow or showed nothing, is asked in its own look only.
        self.rests_until = 0.0
        self.failures = 0
        self.failure = ""
        #: When the log was read to its end last, or looked at first.
        self.whole_at: int | None = None
        #: Checkpoints that others showed, and since when the log owes their proof.
        self.doubts: Final[dict[Place, tuple[CheckpointNote, int]]] = {}
        #: Checkpoints that messages of the log's node referred to, and since when.
        self.said: Final[dict[tuple[int, str], int]] = {}
        #: Whether the log showed a checkpoint in this look, and entries that were not read before.
        self.is_shown = self.is_read_on = False
        #: Since when looks have ended without what belongs to the checkpoint shown, and how many of them.
        self.short_since: int | None = None
        self.short_looks = 0
        self._short_at = float("-inf")

    def is_read(self, now: int, *, whole: bool) -> bool:
        """Tell whether what the log lists is known by now: it was read to its end, or has had none for a day."""
        if whole or self.whole_at is None:
            self.whole_at = now
        return whole or now >= self.whole_at + AWAY_S

    def failed(self, now: int, *, rest_s: float) -> None:
        """Note that the log did not show what was asked of it: the second time in a row, it is left alone for a while.

        One lost answer must not keep what others show from being compared.
        """
        self.failures += 1
        if self.failures > 1:
            self.failures, self.rests_until = 0, now + rest_s

    def doubt(self, found: CheckpointNote, now: int) -> None:
        """Remember a checkpoint that the log has to prove; of too many the first are kept."""
        place = found.checkpoint.size, found.checkpoint.root
        if len(self.doubts) < MOST_DOUBTS:
            self.doubts.setdefault(place, (found, now))

    def refer(self, reference: CheckpointRef, now: int) -> None:
        """Remember what a message referred to; of too many the first are kept."""
        if len(self.said) < MOST_SAID:
            self.said.setdefault((reference.size, reference.root), now)

    def ended(self, error: MeshError | None, now: int, *, apart_s: float) -> None:
        """Note how a look ended, None: well; of short looks that are less than `apart_s` apart one counts."""
        if error is None:
            self.short_since, self.short_looks = None, 0
        elif self.is_shown:
            # A long log that is read in many looks over a bad line owes nothing by itself.
            self.short_since = None if self.is_read_on else self.short_since or now
            if now >= self._short_at + apart_s:
                self.short_looks, self._short_at = self.short_looks + 1, now

    def owes_for(self, now: int) -> int:
        """Return for how many seconds the log has owed the oldest proof; 0: it owes none."""
        since = [*(each for _, each in self.doubts.values()), *self.said.values()]
        since += [] if self.short_since is None else [self.short_since]
        return max(0, now - min(since)) if since else 0

    def is_late(self, error: MeshError | None, now: int, *, prove_s: int) -> bool:
        """Tell whether the log has owed a proof for too long, after a look that ended with `error`."""
        is_lost = isinstance(error, (UnavailableError, LimitError)) and self.short_looks < MOST_LOST
        return self.owes_for(now) >= (AWAY_S if is_lost else prove_s)
