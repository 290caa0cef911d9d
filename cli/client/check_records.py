"""What a vault remembers of looks at one's own keys and of logs that others saw."""

from .records import Record


class SelfCheckRecord(Record, frozen=True, kw_only=True):
    """The last look for oneself in an audience: at which mirror, what came of it, and the devices seen there."""

    mirror: str
    at: int
    outcome: str
    seq: int = 0
    devices: tuple[str, ...] = ()


class ToldLog(Record, frozen=True, kw_only=True):
    """A checkpoint of an organization's log that waits to be compared with what this device saw; `note` is signed.

    `next_at`: when to try again, because the log did not answer.
    """

    thread: str
    entity: str
    note: str
    at: int
    next_at: int = 0
