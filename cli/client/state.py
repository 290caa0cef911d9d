"""Everything that one person's program remembers, in one typed value; it is full of secrets and shows none."""

from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.e2ee.crypto import Own
from protocol.e2ee.keys import AccountSecret, DeviceSecret, PersonSealingKey
from protocol.e2ee.places import KeptPlace
from protocol.errors import MalformedError, MissingError, RefusedError

from .ask_records import AskRecord
from .blockrecord import BlockRecord
from .check_records import SelfCheckRecord, ToldLog
from .kept_records import ArchiveRecord, ChangingRecord, RecoveryRecord
from .records import (
    Account,
    Contact,
    DirectoryRecord,
    ParkedRecord,
    Pin,
    ProvenRecord,
    Record,
    SealingRecord,
    Seed,
    SessionRecord,
    TakeawayRecord,
    ThreadRecord,
)
from .reportrecord import ReportRecord
from .sibling_records import JoiningRecord, WordRecord

VERSION: Final = 1


class ClientState(Record, frozen=True, kw_only=True):
    """All of it. Change it with `msgspec.structs.replace` or the `with_…` methods; the old value stays as it was."""

    account_seed: Seed
    device_seed: Seed
    version: int = VERSION
    account: Account | None = None
    audiences: tuple[str, ...] = ()
    pins: dict[str, Pin] = msgspec.field(default_factory=dict)
    sealing: tuple[SealingRecord, ...] = ()
    asks: dict[str, AskRecord] = msgspec.field(default_factory=dict)
    threads: dict[str, ThreadRecord] = msgspec.field(default_factory=dict)
    sessions: dict[str, SessionRecord] = msgspec.field(default_factory=dict)
    contacts: tuple[Contact, ...] = ()
    takeaways: tuple[TakeawayRecord, ...] = ()
    mailbox_after: int = 0
    proven: dict[str, ProvenRecord] = msgspec.field(default_factory=dict)
    directories: dict[str, DirectoryRecord] = msgspec.field(default_factory=dict)
    parked: tuple[ParkedRecord, ...] = ()
    blocks: tuple[BlockRecord, ...] = ()
    #: Blocks that were forgotten, so that no other device of this person brings one back.
    unblocked: tuple[str, ...] = ()
    reports: tuple[ReportRecord, ...] = ()
    joining: dict[str, JoiningRecord] = msgspec.field(default_factory=dict)
    words: tuple[WordRecord, ...] = ()
    recovery: RecoveryRecord | None = None
    archive: ArchiveRecord = ArchiveRecord()
    self_checks: dict[str, SelfCheckRecord] = msgspec.field(default_factory=dict)
    #: When to look for oneself next; 0: not planned yet.
    self_check_at: int = 0
    #: The newest checkpoint of each organization's log that was proven to this device, as signed.
    logs: dict[str, str] = msgspec.field(default_factory=dict)
    told_logs: tuple[ToldLog, ...] = ()
    #: When the short codes with the holder of a master key matched.
    verified: dict[str, int] = msgspec.field(default_factory=dict)
    changes: tuple[bytes, ...] = ()
    changing: ChangingRecord | None = None
    #: Open sessions as the archive names them, in which this device is not.
    places: dict[str, KeptPlace] = msgspec.field(default_factory=dict)
    #: This device came back by recovery and has not read the archive yet.
    returning: bool = False
    #: The safe at the node may hold what was sealed under an earlier account secret.
    emptying: bool = False

    @property
    def account_secret(self) -> AccountSecret:
        """The person's account secret."""
        return AccountSecret(self.account_seed)

    @property
    def device_secret(self) -> DeviceSecret:
        """This device's secret."""
        return DeviceSecret(self.device_seed)

    @property
    def signed_in(self) -> Account:
        """The account. Raises: RefusedError: nobody is signed in here."""
        if self.account is None or not self.account.token:
            raise RefusedError(
                "this device is not signed in: use `mentormesh person sign-in LINK`", code="not-signed-in"
            )
        return self.account

    @property
    def last_ask(self) -> AskRecord | None:
        """The newest need, of several in one second the one asked last; None when nothing was asked yet."""
        return max(reversed(self.asks.values()), key=lambda ask: ask.created_at, default=None)

    def own(self, thread: ThreadRecord) -> Own:
        """Return this device's place in the group of `thread`."""
        return Own(device=self.device_secret.key(thread.audience), secret=thread.own_secret)

    def sealing_key(self, name: str) -> PersonSealingKey:
        """Return the sealing key of hash `name`. Raises: MissingError."""
        for record in self.sealing:
            if record.hash == name:
                return record.key
        raise MissingError("this device no longer holds the key that the brief was sealed to")

    def thread(self, thread: str) -> ThreadRecord:
        """Return the record of a thread. Raises: MissingError."""
        if thread not in self.threads:
            raise MissingError("this device knows no such request: `mentormesh threads` lists them")
        return self.threads[thread]

    def session(self, thread: str) -> SessionRecord:
        """Return the session of a thread. Raises: MissingError."""
        if thread not in self.sessions:
            raise MissingError("this device has no such session: it is not open yet, or it is over")
        return self.sessions[thread]

    def with_thread(self, record: ThreadRecord) -> "ClientState":
        """Return the state with this thread added or replaced."""
        return replace(self, threads={**self.threads, record.thread: record})

    def with_ask(self, record: AskRecord) -> "ClientState":
        """Return the state with this need added or replaced."""
        return replace(self, asks={**self.asks, record.id: record})

    def with_session(self, record: SessionRecord) -> "ClientState":
        """Return the state with this session added or replaced."""
        return replace(self, sessions={**self.sessions, record.thread: record})

    def without_session(self, thread: str) -> "ClientState":
        """Return the state with a session destroyed: its keys and frames are gone with the next save."""
        rest = {name: record for name, record in self.sessions.items() if name != thread}
        return replace(self, sessions=rest)

    def without_threads(self, *names: str) -> "ClientState":
        """Return the state without these threads and their one-time keys."""
        rest = {name: record for name, record in self.threads.items() if name not in names}
        return replace(self, threads=rest)


def dump_state(state: ClientState) -> bytes:
    """Return the state as MessagePack for the vault."""
    return msgspec.msgpack.encode(state)


def load_state(data: bytes) -> ClientState:
    """Return the state of `dump_state`. Raises: MalformedError: damaged, or written by a newer program."""
    try:
        state = msgspec.msgpack.decode(data, type=ClientState)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        raise MalformedError(f"the vault's content cannot be read: {error}") from None
    if state.version != VERSION:
        raise MalformedError("the vault was written by a newer program: update yours")
    return state
