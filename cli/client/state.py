"""Everything that one person's program remembers, in one typed value; it is full of secrets and shows none."""

from typing import Annotated, Final, Literal

import msgspec

from protocol.bodies import Candidate, Quote, Target
from protocol.contexts import ThreadContext
from protocol.e2ee.agreed import SentBrief
from protocol.e2ee.brief import BriefWords
from protocol.e2ee.crypto import Own
from protocol.e2ee.keys import AccountSecret, DeviceSecret, PersonSealingKey, ReplyKey
from protocol.errors import MalformedError, MissingError
from protocol.needs import Need
from protocol.offers import OrgProfile

VERSION: Final = 1

#: 32 secret bytes.
Seed = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what is kept: immutable, and its repr names only its type, because fields hold secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Account(Record, frozen=True, kw_only=True):
    """Where the person is signed in: address of their own node, its entity, the bearer token, their member id."""

    url: str
    entity: str
    token: str
    member: str
    name: str = ""


class SealingRecord(Record, frozen=True, kw_only=True):
    """One sealing key that was published; `hash` is how briefs name it. Deleting the record ends it."""

    hash: str
    seed: Seed
    audience: str
    expires_at: int

    @property
    def key(self) -> PersonSealingKey:
        """The private key."""
        return PersonSealingKey(self.seed)


class ThreadRecord(Record, frozen=True, kw_only=True):
    """One handshake as this device knows it; what only one side has is absent on the other.

    Mentee: `need`, `target`, `quote_seed`, `quote`, `answer_seed` (reply key inside the brief), `sealed_to`.
    Mentor: `brief`, `reply_key`, `key_packages`, `consent`. Both: `ref`, `accepted` (hash of ACCEPTED), `own_secret`
    (belongs to this device's key package), `agreement` (document), `peer_devices` (checked device keys).
    """

    thread: str
    role: Literal["mentee", "mentor"]
    consumer: str
    provider: str
    audience: str
    state: str
    updated_at: int
    ref: str = ""
    accepted: str = ""
    agreement: str = ""
    consent: str = ""
    own_secret: bytes = b""
    peer_devices: tuple[str, ...] = ()
    need: Need | None = None
    target: Target | None = None
    quote_seed: bytes = b""
    quote: Quote | None = None
    answer_seed: bytes = b""
    sealed_to: tuple[str, ...] = ()
    brief: BriefWords | None = None
    reply_key: bytes = b""
    key_packages: tuple[bytes, ...] = ()

    @property
    def context(self) -> ThreadContext:
        """The thread and its two nodes, as sealed parts are bound to them."""
        return ThreadContext(thread=self.thread, consumer=self.consumer, provider=self.provider)

    @property
    def sent(self) -> SentBrief:
        """What the mentee's device compares an agreement with."""
        return SentBrief(
            context=self.context,
            ref=self.ref,
            audience=self.audience,
            accepted=self.accepted,
            sealed_to=self.sealed_to,
        )

    @property
    def quote_key(self) -> ReplyKey:
        """The one-time key that opens the quote."""
        return ReplyKey(self.quote_seed)

    @property
    def answer_key(self) -> ReplyKey:
        """The one-time key that opens the agreement's private part."""
        return ReplyKey(self.answer_seed)


class FrameRecord(Record, frozen=True, kw_only=True):
    """One frame of a session as it was sent or shown: hub's number, sender's device key, canonical JSON."""

    number: int
    sender: str
    frame: bytes


class SessionRecord(Record, frozen=True, kw_only=True):
    """One session: the engine's state (secret), the frames so far, and how far the hub's list was read.

    `outbox` holds ciphertexts that were stored and not yet acknowledged by the node.
    """

    thread: str
    engine: str
    state: bytes
    frames: tuple[FrameRecord, ...] = ()
    outbox: tuple[bytes, ...] = ()
    after: int = 0
    again_mine: bool | None = None
    again_theirs: bool | None = None
    closed_mine: bool = False
    closed_theirs: bool = False


class Contact(Record, frozen=True, kw_only=True):
    """Somebody met, whom both would meet again or who told their name."""

    thread: str
    name: str
    entity: str
    label: str
    master_key: str
    met_at: int
    again: bool = False
    token: str = ""


class TakeawayRecord(Record, frozen=True, kw_only=True):
    """One thing that stays, or one action; kept after the session is destroyed."""

    thread: str
    kind: Literal["takeaway", "action", "goal"]
    text: str
    at: int
    done: bool = False
    id: str = ""


class ShortlistRecord(Record, frozen=True, kw_only=True):
    """A candidate not chosen, kept for thirty days."""

    thread: str
    org: OrgProfile
    candidate: Candidate
    keep_until: int


class ClientState(Record, frozen=True, kw_only=True):
    """All of it. Change it with `msgspec.structs.replace` or the `with_…` methods; the old value stays as it was."""

    account_seed: Seed
    device_seed: Seed
    version: int = VERSION
    account: Account | None = None
    audiences: tuple[str, ...] = ()
    sealing: tuple[SealingRecord, ...] = ()
    threads: dict[str, ThreadRecord] = {}
    sessions: dict[str, SessionRecord] = {}
    contacts: tuple[Contact, ...] = ()
    takeaways: tuple[TakeawayRecord, ...] = ()
    shortlist: tuple[ShortlistRecord, ...] = ()
    mailbox_after: int = 0

    @property
    def account_secret(self) -> AccountSecret:
        """The person's account secret."""
        return AccountSecret(self.account_seed)

    @property
    def device_secret(self) -> DeviceSecret:
        """This device's secret."""
        return DeviceSecret(self.device_seed)

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
            raise MissingError("this device knows no such request")
        return self.threads[thread]

    def session(self, thread: str) -> SessionRecord:
        """Return the session of a thread. Raises: MissingError."""
        if thread not in self.sessions:
            raise MissingError("this device has no such session")
        return self.sessions[thread]

    def with_thread(self, record: ThreadRecord) -> "ClientState":
        """Return the state with this thread added or replaced."""
        return msgspec.structs.replace(self, threads={**self.threads, record.thread: record})

    def with_session(self, record: SessionRecord) -> "ClientState":
        """Return the state with this session added or replaced."""
        return msgspec.structs.replace(self, sessions={**self.sessions, record.thread: record})

    def without_session(self, thread: str) -> "ClientState":
        """Return the state with a session destroyed: its keys and frames are gone with the next save."""
        rest = {name: record for name, record in self.sessions.items() if name != thread}
        return msgspec.structs.replace(self, sessions=rest)


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
