"""The records of a person's vault, one type for each thing that is remembered; they hold secrets and print none."""

from typing import Annotated, Literal

import msgspec

from protocol.bodies import Quote, Slots, Target
from protocol.contexts import ThreadContext
from protocol.e2ee.agreed import SentBrief
from protocol.e2ee.brief import BriefWords
from protocol.e2ee.keys import PersonSealingKey, ReplyKey
from protocol.e2ee.shortcode import Run
from protocol.needs import Need

#: 32 secret bytes.
Seed = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what is kept: immutable, and its repr names only its type, because fields hold secrets."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Account(Record, frozen=True, kw_only=True):
    """Where the person is signed in: address of their own node, its entity, the bearer token, their member id.

    `name` is what the other person of a session reads. An empty token: signed out.
    """

    url: str
    entity: str
    token: str
    member: str
    name: str = ""

    @property
    def told_name(self) -> str:
        """The name that is vouched for and told: a session has somebody's name in any case."""
        return self.name or "Somebody"


class Pin(Record, frozen=True, kw_only=True):
    """An organization as this device knows it since first sight: its document, verified against the key seen first.

    `changed` holds the words of another key that was shown, in the document `shown`: nothing is sent there until the
    person has compared the words. `bilateral` and `registries` say where the two organizations meet.
    """

    entity: str
    document: str
    recovered: int = 0
    own: bool = False
    changed: str = ""
    shown: str = ""
    bilateral: bool = True
    registries: tuple[str, ...] = ()


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


class DirectoryRecord(Record, frozen=True, kw_only=True):
    """The newest head of an organization's key directory in one audience that was proven to this device."""

    seq: int
    head_hash: str
    issued_at: int


class ProvenRecord(Record, frozen=True, kw_only=True):
    """Keys of somebody that were proven to this device; good before `until`.

    `witnessed`: somebody beside their organization holds the same directory. `refused`: why the proof was wrong.
    """

    origin: str
    audience: str
    identity_key: str
    until: int
    label: str = ""
    devices: tuple[str, ...] = ()
    witnessed: bool = False
    vouched_name: str = ""
    vouched_identity: str = ""
    refused: str = ""


class ParkedRecord(Record, frozen=True, kw_only=True):
    """A mailbox entry that cannot be used before somebody's keys are listed; `entry` is its JSON.

    `aside`: what comes later of the thread does not wait for it.
    """

    thread: str
    entry: bytes
    since: int
    aside: bool = False


class ThreadRecord(Record, frozen=True, kw_only=True):
    """One handshake as this device knows it; what only one side has is absent on the other.

    Mentee: `ask`, `need`, `target`, `quote_seed`, `quote`, `answer_seed` (reply key inside the brief), `sealed_to`.
    Mentor: `brief`, `reply_key`, `key_packages`, `consent`, `reader` (hash of the own key that opened the brief).
    Both: `ref`, `accepted` (hash of ACCEPTED), `own_secret` (belongs to this device's key package), `agreement`
    (document), `peer_devices` (checked device keys), `peer_identity`. `cancel` is a reason that is still to be sent,
    `private` the part of a yes that the node may not have yet: the same yes is said again, never a second one.
    `witnessed` is False when nobody outside their organization can attest the other person's keys. `peer_chain` are
    identity keys that followed `peer_identity` one after the other; `peer_next` were stated to follow the last of all;
    it counts while it is the only one.
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
    private: str = ""
    own_secret: bytes = b""
    peer_devices: tuple[str, ...] = ()
    peer_identity: str = ""
    peer_next: tuple[str, ...] = ()
    peer_chain: tuple[str, ...] = ()
    ask: str = ""
    need: Need | None = None
    target: Target | None = None
    quote_seed: bytes = b""
    quote: Quote | None = None
    answer_seed: bytes = b""
    sealed_to: tuple[str, ...] = ()
    brief: BriefWords | None = None
    reader: str = ""
    reply_key: bytes = b""
    key_packages: tuple[bytes, ...] = ()
    topic: str = ""
    format: str = ""
    length: int = 0
    slots: Slots = ()
    deadline: int = 0
    slot: int | None = None
    ends_at: int = 0
    attested: str = ""
    reason: str = ""
    cancel: str = ""
    witnessed: bool = True
    consented: str = ""

    @property
    def peer(self) -> str:
        """The organization of the other person."""
        return self.provider if self.role == "mentee" else self.consumer

    @property
    def peer_identities(self) -> tuple[str, ...]:
        """The keys that certify the other person's devices: the one checked, and those that it was said to become."""
        last = self.peer_next if len(self.peer_next) == 1 else ()
        return (self.peer_identity, *self.peer_chain, *last)

    @property
    def side(self) -> Literal["consumer", "provider"]:
        """The role as nodes name it."""
        return "consumer" if self.role == "mentee" else "provider"

    def bare(self, *, state: str, now: int) -> "ThreadRecord":
        """Return who this was with and what about, in another state: no key, no word, no way to go on."""
        return ThreadRecord(
            thread=self.thread,
            role=self.role,
            consumer=self.consumer,
            provider=self.provider,
            audience=self.audience,
            state=state,
            updated_at=now,
            topic=self.topic,
            format=self.format,
            length=self.length,
        )

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


class Outgoing(Record, frozen=True, kw_only=True):
    """One envelope that is stored and that the node has not taken yet; `id` makes sending it twice harmless.

    `epoch` is what the hub is told; `at` is when a commit was handed over last.
    """

    id: str
    kind: Literal["welcome", "message", "commit", "close"]
    ciphertext: bytes
    epoch: int = 0
    at: int = 0


class FrameRecord(Record, frozen=True, kw_only=True):
    """One frame of a session as it was sent or shown: hub's number (0: own and not seen back), sender's device key.

    `frame` is canonical JSON; `envelope` the envelope's id; `epoch` that of an own frame's ciphertext. `hidden`: its
    sender took it back; `taken_at`: when this device stored it; `proof`: what shows others who said it.
    """

    number: int
    sender: str
    frame: bytes
    envelope: str = ""
    epoch: int = 0
    hidden: bool = False
    taken_at: int = 0
    proof: bytes = b""


class UploadRecord(Record, frozen=True, kw_only=True):
    """A file on its way to the own node; without `hash` its encryption was interrupted, and begins again."""

    blob: str
    name: str
    media_type: str
    key: Seed
    header: str
    source: str
    size: int = 0
    changed_ns: int = 0
    hash: str = ""


class PrivateNote(Record, frozen=True, kw_only=True):
    """A person's own note about a session, which never leaves the vault."""

    id: str
    at: int
    text: str


class ForkRecord(Record, frozen=True, kw_only=True):
    """Evidence of two histories: an epoch, its mark as this device knows it, and the item that shows another one."""

    at: int
    epoch: int
    mark: bytes
    envelope: bytes


class RejoinRecord(Record, frozen=True, kw_only=True):
    """An ask to be let in again: its key package's secret, when, the last epoch followed, and what came since."""

    own_secret: bytes
    at: int
    epoch: int
    held: tuple[bytes, ...] = ()


class SessionRecord(Record, frozen=True, kw_only=True):
    """One session: the engine's state (secret), the frames so far, and what is still to be sent.

    `commit` is an own change that has not come back yet; `ahead` is added to the epochs that the hub is told. `token`
    was given by the mentor's device after both would meet again. `code` is the last comparison of short codes, `runs`
    how many there were. `vouched`: the directory stands for the name. `welcome`: own first envelope, not ordered yet.
    `marks` are those of the newest epochs; `fork` is the first sign of another history.
    `said` counts own frames; `late`: this device came later, and was told the newest of what was said.
    `rejoin_key` is what all devices of the session have in common; with `rejoin` this one `asked` to be let in again.
    `asks` are when others did. `newcomers` are key packages of devices to be added, `adding` those in `commit`; of them
    those `returning` are told by an envelope. `leaving` are own devices to be taken out, `invited` those asked in.
    `former` are master keys that `master_key` followed in this session. `left` are devices that were taken out.
    `context`: this device is new and in no group; what it joins is bound to it.
    """

    thread: str
    engine: str
    state: bytes
    frames: tuple[FrameRecord, ...] = ()
    outbox: tuple[Outgoing, ...] = ()
    name: str = ""
    master_key: str = ""
    label: str = ""
    again_mine: bool | None = None
    again_theirs: bool | None = None
    token: str = ""
    token_until: int = 0
    closed_mine: bool = False
    closed_theirs: bool = False
    commit: Outgoing | None = None
    ahead: int = 0
    welcome: str = ""
    newcomers: dict[str, bytes] = msgspec.field(default_factory=dict)
    adding: dict[str, bytes] = msgspec.field(default_factory=dict)
    leaving: tuple[str, ...] = ()
    invited: tuple[str, ...] = ()
    private: tuple[PrivateNote, ...] = ()
    uploads: tuple[UploadRecord, ...] = ()
    code: Run | None = None
    runs: int = 0
    vouched: bool = True
    certificates: dict[str, str] = msgspec.field(default_factory=dict)
    marks: dict[int, bytes] = msgspec.field(default_factory=dict)
    fork: ForkRecord | None = None
    rejoin_key: bytes = b""
    rejoin: RejoinRecord | None = None
    asked: int = 0
    said: int = 0
    late: bool = False
    asks: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict)
    returning: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    context: bytes = b""
    former: tuple[str, ...] = ()


class Contact(Record, frozen=True, kw_only=True):
    """Somebody met, whom both would meet again or who told their name.

    `token` lets this person ask them again until `token_until`; `given` lets them ask this person, until then, too.
    `identity` is their identity key where they met. `next_key` is a master key that the known one did not sign, first
    seen at `next_since`; `former` are keys of before; `disputed`: two keys claim to follow one, and none is believed.
    `compared_at`: when the safety number last said which key is theirs. `revoked`: neither is to ask the other again.
    """

    thread: str
    name: str
    entity: str
    label: str
    master_key: str
    met_at: int
    again: bool = False
    token: str = ""
    token_until: int = 0
    given: str = ""
    identity: str = ""
    next_key: str = ""
    next_since: int = 0
    former: tuple[str, ...] = ()
    disputed: bool = False
    revoked: bool = False
    compared_at: int = 0


class TakeawayRecord(Record, frozen=True, kw_only=True):
    """One thing that stays, or one action; kept after the session is destroyed."""

    thread: str
    kind: Literal["takeaway", "action", "goal", "private"]
    text: str
    at: int
    done: bool = False
    id: str = ""
