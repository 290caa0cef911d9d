"""The words for what is wrong with a log, and what a watcher says about one.

Source: docs/protocol/53-witnesses.md §9.
"""

from typing import Final

import msgspec

from protocol.errors import UnverifiedError

REPEATED: Final = "repeated-head"
NO_LEAF: Final = "log-leaf"
TOO_MANY: Final = "log-too-many-chains"
NOT_LISTED: Final = "head-not-listed"
OTHER_LISTED: Final = "other-head-listed"
SUCCESSOR: Final = "successor-contradicts"
FORKED: Final = "forked"
UNPROVEN: Final = "log-unproven"
WENT_BACK: Final = "log-went-back"
OTHER_THAN_SAID: Final = "log-contradicts-message"
#: What an operator should look at; anything else in a status only says why a log could not be read.
ALARMING: Final = frozenset(
    {FORKED, NO_LEAF, NOT_LISTED, OTHER_LISTED, OTHER_THAN_SAID, REPEATED, SUCCESSOR, TOO_MANY, UNPROVEN, WENT_BACK}
)
#: What stays noted until an operator decides.
LASTING: Final = frozenset({FORKED, NO_LEAF, OTHER_LISTED, REPEATED, SUCCESSOR, TOO_MANY})


class WentBackError(UnverifiedError):
    """A log serves an older checkpoint than it did before."""

    code = WENT_BACK


class ContradictedLogError(UnverifiedError):
    """Two checkpoints of a log cannot both be true; the evidence is kept."""

    code = FORKED


class WatchPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Each log is looked at every `poll_s` seconds (± a fifth), and after a doubt no sooner than `gap_s`.

    A checkpoint that somebody showed must be proved within `prove_s`, a head that is mirrored be listed within
    `listed_s`.
    """

    poll_s: float = 300.0
    gap_s: float = 5.0
    prove_s: int = 900
    listed_s: int = 900


class WatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one log of somebody else stands; `problem` is empty while everything fits."""

    origin: str
    entity: str
    size: int = 0
    read: int = 0
    at: int | None = None
    problem: str = ""
