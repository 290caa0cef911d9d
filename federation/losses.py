"""How far numbers go on beyond those that a restored or set-back database has forgotten.

What is counted here changes once a second at most, so seconds bound what was lost.
Source: docs/protocol/12-set-heads.md §5; docs/protocol/13-key-directory.md §1.
"""

from typing import Final

import msgspec

from protocol.heads import number_after_loss

from .logbook import MINUTE_S, current_log
from .ports import Reader

#: Smallest number of a log that is a time in minutes: 2020-01-01. Nobody changes a key so often.
FIRST_MINUTE: Final = 26_297_280


class Losses(msgspec.Struct, frozen=True, kw_only=True):
    """What a database may have lost: with each restore, and before `until` (0: nothing) by being set back without one.

    `generation` grows by one with each restore.
    """

    generation: int
    until: int

    def first(self, now: int) -> int:
        """Return the number of what is new: it may have been there before, and have been forgotten whole."""
        return number_after_loss(now) if self.generation > 1 or self.until else 1

    def since(self, generation: int, at: int, *, now: int) -> int:
        """Return how many numbers can have been given and lost after what was written in `generation`, at `at`."""
        return now - at if generation != self.generation or at < self.until else 0


async def losses_of(rows: Reader, generation: int) -> Losses:
    """Return what the database of this node may have lost.

    A successor of a lost log has the time in minutes as its number. What was written before it began can have been
    written otherwise before.
    """
    log = await current_log(rows)
    return Losses(generation=generation, until=(log + 1) * MINUTE_S if log >= FIRST_MINUTE else 0)
