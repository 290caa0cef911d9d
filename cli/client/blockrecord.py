"""What a vault remembers of people who are blocked."""

from .records import Record


class BlockRecord(Record, frozen=True, kw_only=True):
    """Somebody whom this person wants to meet no more; `sealing`: keys that briefs to them were sealed to."""

    entity: str
    at: int
    name: str = ""
    master_key: str = ""
    identities: tuple[str, ...] = ()
    sealing: tuple[str, ...] = ()
