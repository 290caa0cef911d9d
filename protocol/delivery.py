"""What two nodes tell each other about delivery itself: cursors, and the heads of their threads after a restore.

Source: docs/protocol/33-delivery.md §7 and §8.
"""

from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec

from .encoding import MAX_SAFE_INTEGER, Wire
from .ids import Bytes32, RandomId, Seconds

#: Threads in one portion of heads.
MAX_HEADS: Final = 200
MINUTE_S: Final = 60

_Count = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class Cursor(Wire, frozen=True, kw_only=True):
    """How much of a peer's a node holds durably: `{"at":1800000000,"life":"…","stored":17}`.

    `stored` counts the items stored, in the order of their commits, so that it has no gaps; `life` is drawn anew when
    the node's database was restored. `at` is the minute of the last item, absent before the first.
    """

    life: RandomId
    stored: Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]
    at: Seconds | None = None

    def __post_init__(self) -> None:
        if (self.at is None) is (self.stored > 0):
            raise ValueError("cursor names the minute of the last item exactly when there is one")
        if self.at is not None and self.at % MINUTE_S:
            raise ValueError("cursor names a whole minute")


class Returned(Wire, frozen=True, kw_only=True):
    """Answer to a node that is back: the answering node's own cursor, and the asker's as it was last told."""

    cursor: Cursor
    told: Cursor | None = None


class ThreadHead(Wire, frozen=True, kw_only=True):
    """Where one side of a thread stands: how many messages it said and heard, and the hash of the last of each."""

    thread: RandomId
    side: Literal["consumer", "provider"]
    said: _Count
    heard: _Count
    last_said: Bytes32 | None = None
    last_heard: Bytes32 | None = None

    def __post_init__(self) -> None:
        if (self.said > 0) is (self.last_said is None) or (self.heard > 0) is (self.last_heard is None):
            raise ValueError("thread head has a hash exactly where it has a message")


class Heads(Wire, frozen=True, kw_only=True):
    """All threads that a restored node shares with the peer and whose ids are above `after` and at most `upto`.

    Without `after` from the first one on, without `upto` to the last.
    """

    after: RandomId | None = None
    upto: RandomId | None = None
    heads: Annotated[tuple[ThreadHead, ...], msgspec.Meta(max_length=MAX_HEADS)] = ()

    def __post_init__(self) -> None:
        ids = [*([self.after] if self.after is not None else []), *(head.thread for head in self.heads)]
        if any(one >= other for one, other in pairwise(ids)):
            raise ValueError("heads stand by thread id, each once, above `after`")
        if self.upto is not None and ids and ids[-1] > self.upto:
            raise ValueError("heads end at `upto`")


class HeadsAnswer(Wire, frozen=True, kw_only=True):
    """Answer to heads: the threads that cannot go on, because words of the asker are lost or contradict the peer's.

    `upto` is the last thread id that was looked at, absent when all of the portion were.
    """

    lost: Annotated[tuple[RandomId, ...], msgspec.Meta(max_length=MAX_HEADS)] = ()
    upto: RandomId | None = None
