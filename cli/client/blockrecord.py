"""What a vault remembers of people who are blocked."""

from protocol.encoding import b64, sha256

from .records import Record


class BlockRecord(Record, frozen=True, kw_only=True):
    """Somebody whom this person wants to meet no more; `sealing`: keys that briefs to them were sealed to.

    `former` are other master keys that were shown to be theirs, by a change or by a contact.
    """

    entity: str
    at: int
    id: str = ""
    name: str = ""
    master_key: str = ""
    former: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()
    sealing: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """By what devices of one person know that they mean the same block; of one made before ids, it follows."""
        return self.id or b64(sha256(f"{self.entity} {self.at} {self.master_key}".encode())[:16])

    @property
    def masters(self) -> frozenset[str]:
        """Every master key of theirs that is known."""
        return frozenset((self.master_key, *self.former)) - {""}
