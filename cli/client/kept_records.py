"""What a vault remembers about the ways back into the account, the archive, and a change of the master key."""

import msgspec

from protocol.e2ee.kept import KeptShortlist

from .records import Record, Seed


class RecoveryRecord(Record, frozen=True, kw_only=True):
    """The recovery copy as this device stored or saw it last, and its version at the node.

    `regaining`: this device has the account secret from it, and is not yet the only one that the node knows.
    """

    bundle: bytes
    version: int
    regaining: bool = False


class ArchiveRecord(Record, frozen=True, kw_only=True):
    """What is kept in the archive, and the archive at the node as this device stored it last.

    `on`: every session is kept when it ends; `chosen` and `spared` are sessions for which it is otherwise. `sessions`
    are canonical documents by thread; `gone` were deleted on purpose. `manifest` is canonical, empty before the first.
    `shared`: there is another device of this person, for which the book is stored also without a way back. `synced`
    names the book of this device after the last look at the node's. `shortlists` are those of other devices.
    """

    on: bool = False
    chosen: tuple[str, ...] = ()
    spared: tuple[str, ...] = ()
    sessions: dict[str, bytes] = msgspec.field(default_factory=dict)
    gone: tuple[str, ...] = ()
    manifest: bytes = b""
    version: int = 0
    shared: bool = False
    synced: str = ""
    shortlists: tuple[KeptShortlist, ...] = ()


class ChangingRecord(Record, frozen=True, kw_only=True):
    """A change of one's own master key that the node may not have taken yet: the new account secret, and the word."""

    seed: Seed
    change: bytes
