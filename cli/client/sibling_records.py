"""What a device remembers of its siblings: words that wait to be sent to them, sessions that it was invited to."""

from typing import Literal

from .records import Record


class JoiningRecord(Record, frozen=True, kw_only=True):
    """A session that this device was invited to; `held` are envelopes that came before the handoff."""

    audience: str
    own_secret: bytes
    since: int
    held: tuple[bytes, ...] = ()


class WordRecord(Record, frozen=True, kw_only=True):
    """A word (canonical JSON) that waits to be sealed for another own device and sent."""

    thread: str
    side: Literal["consumer", "provider"]
    audience: str
    device: str
    word: bytes
