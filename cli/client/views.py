"""What a person's client tells its callers: people proposed, requests that wait, and everything that happens.

Texts in these values come from other people; they have passed the displayable filter and may be printed as they are.
"""

from typing import Literal

import msgspec

from protocol.bodies import Candidate, Slots
from protocol.needs import Need
from protocol.offers import OrgProfile

Role = Literal["mentee", "mentor"]


class View(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what callers get: immutable, and printed as JSON as it is."""


class Synced(View, frozen=True, kw_only=True):
    """What a `sync` did: organizations that were enrolled for anew, those that are known, warnings to show in red."""

    enrolled: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class SignedIn(View, frozen=True, kw_only=True):
    """A sign-in that this device now acts in."""

    entity: str
    url: str
    member: str
    name: str
    first_device: bool
    synced: Synced


class LinkCode(View, frozen=True, kw_only=True):
    """What a device that waits to be linked shows: eight digits, the same as text of a QR code, and until when."""

    code: str
    qr: str
    expires_at: int


class Approved(View, frozen=True, kw_only=True):
    """A new device was let into the account; `device_key` is its key inside one's own organization."""

    device_key: str


class Proposal(View, frozen=True, kw_only=True):
    """One person proposed: `number` is how to choose them, `thread` where, `valid_until` until when."""

    number: int
    thread: str
    entity: str
    org: OrgProfile
    own: bool
    candidate: Candidate
    valid_until: int


class Shortlist(View, frozen=True, kw_only=True):
    """Up to five people for one need. `companies` list the topic; `answers` says what each asked node answered."""

    id: str
    need: Need
    companies: int
    asked: int
    proposals: tuple[Proposal, ...] = ()
    refused: tuple[str, ...] = ()


class Requested(View, frozen=True, kw_only=True):
    """A request that is on its way to one person."""

    thread: str
    entity: str
    org: OrgProfile
    known_as: str = ""
    slots: Slots = ()
    attempt: int = 1
    backups: int = 0


class Waiting(View, frozen=True, kw_only=True):
    """A request that awaits this mentor's answer, its brief opened on this device.

    `witnessed` is False when nobody outside the mentee's organization can attest their keys: show it in amber. `known`
    is the name of somebody whom the mentor has met, and who asks again.
    """

    thread: str
    entity: str
    org: str
    topic: str
    reason: str
    chosen_from: int
    about: tuple[str, ...]
    prompts: tuple[str, str, str]
    format: str
    length: int
    slots: Slots
    deadline: int
    witnessed: bool = True
    known: str = ""


class Line(View, frozen=True, kw_only=True):
    """One thing said or shared in a session. `kind` is the frame's type; `text` is ready to print, in English.

    `gone_at` is when it vanishes, where the two have wished so.
    """

    number: int
    at: int
    from_role: Role
    mine: bool
    kind: str
    text: str
    gone_at: int | None = None


class Vanishing(View, frozen=True, kw_only=True):
    """When words go on both devices: all of them at `end_at`, each so long after it was said; None: not by a wish."""

    end_at: int | None = None
    said_s: int | None = None


class Task(View, frozen=True, kw_only=True):
    """One thing to do, in its newest form."""

    id: str
    text: str
    owner: Role
    due_at: int | None = None
    done: bool = False


class Part(View, frozen=True, kw_only=True):
    """One part of the agenda and how much of it is left."""

    title: str
    minutes: int
    left_s: int


class Board(View, frozen=True, kw_only=True):
    """What the two have put on the board; `running` tells whether the agenda's clock runs, `slot` is start, minutes."""

    goals: tuple[str, ...] = ()
    actions: tuple[Task, ...] = ()
    agenda: tuple[Part, ...] = ()
    running: bool = False
    place: str = ""
    slot: tuple[int, ...] = ()


class Blocked(View, frozen=True, kw_only=True):
    """Somebody blocked; `by_person` tells whether they are known whatever organization they write from."""

    number: int
    name: str
    entity: str
    at: int
    by_person: bool


class FileView(View, frozen=True, kw_only=True):
    """One file of a session; `number` and `name` name it."""

    number: int
    name: str
    size: int
    media_type: str
    mine: bool
    at: int
    expires_at: int
    expired: bool
    blob: str


class Private(View, frozen=True, kw_only=True):
    """A note that stands in this device's vault and nowhere else."""

    id: str
    at: int
    text: str


class SessionView(View, frozen=True, kw_only=True):
    """One session as this device shows it; `name` is the other person's, once told; `witnessed` as in `Waiting`.

    `safety` is the number to compare with the other person, once it can be made; `verified_at` when codes matched;
    `forked_at` when another history of this session showed, 0 for never.
    """

    thread: str
    role: Role
    name: str
    entity: str
    slot: int | None
    ends_at: int
    lines: tuple[Line, ...]
    board: Board = Board()
    private: tuple[Private, ...] = ()
    vanishing: Vanishing = Vanishing()
    again: Literal["", "waiting", "yes"] = ""
    closed_mine: bool = False
    closed_theirs: bool = False
    witnessed: bool = True
    safety: str = ""
    verified_at: int = 0
    vouched: bool = True
    forked_at: int = 0


# Events


class Happened(View, frozen=True, kw_only=True, tag_field="event"):
    """Base of events; `thread` is the handshake or session it belongs to."""

    thread: str


class Arrived(Happened, frozen=True, kw_only=True, tag="arrived"):
    """Mentor: somebody chose you."""

    request: Waiting


class Refused(Happened, frozen=True, kw_only=True, tag="refused"):
    """Mentee: the answer was no; `reason` is a code (`no-capacity`, `no-time`, `expired`, `no-answer`, …)."""

    entity: str
    org: str
    reason: str


class Passed(Happened, frozen=True, kw_only=True, tag="passed"):
    """Mentee: after a no, the next person was asked by itself; `thread` is the new one."""

    before: str
    request: Requested


class Exhausted(Happened, frozen=True, kw_only=True, tag="exhausted"):
    """Mentee: nobody is left to ask; `thread` is the last one."""

    tried: int


class Countered(Happened, frozen=True, kw_only=True, tag="countered"):
    """Mentee: the mentor proposes other times; take one up with `take_up`."""

    entity: str
    org: str
    slots: Slots
    valid_until: int


class Agreed(Happened, frozen=True, kw_only=True, tag="agreed"):
    """Either: a session is agreed. `attested` is `node` when the mentor said yes by mail link."""

    role: Role
    entity: str
    slot: int | None
    ends_at: int
    attested: str = "device"


class Secured(Happened, frozen=True, kw_only=True, tag="secured"):
    """Either: keys are checked and the session is open, messages can be sent; `witnessed` as in `Waiting`."""

    role: Role
    witnessed: bool = True


class Named(Happened, frozen=True, kw_only=True, tag="named"):
    """Either: the other person told their name; with `vouched` their organization's key directory stands for it."""

    from_role: Role
    name: str
    vouched: bool = True


class KeyChanged(Happened, frozen=True, kw_only=True, tag="key-changed"):
    """Either: somebody met has another master key; `believed` when the old one signed it, or the wait is over."""

    name: str
    believed: bool
    sentence: str


class Moved(Happened, frozen=True, kw_only=True, tag="moved"):
    """Either: somebody met is at another organization now, with the same keys."""

    name: str
    entity: str
    before: str


class Shown(Happened, frozen=True, kw_only=True, tag="shown"):
    """Either: this device shows something the other person said or shared; `kind` is `chat` for a chat message."""

    from_role: Role
    kind: str
    text: str
    at: int
    number: int = 0


class Mutual(Happened, frozen=True, kw_only=True, tag="mutual"):
    """Either: both would meet again; as long as one has not said yes, nobody learns anything."""


class Closed(Happened, frozen=True, kw_only=True, tag="closed"):
    """Either: a side closed; with `both` the session is over and its keys are destroyed."""

    by: Role
    both: bool = False


class Cancelled(Happened, frozen=True, kw_only=True, tag="cancelled"):
    """Either: the other side stepped back or called the session off."""

    reason: str


class Alarm(Happened, frozen=True, kw_only=True, tag="alarm"):
    """Either: something does not verify and was stopped; show `sentence` in red. `code` names the reason."""

    sentence: str
    code: str = ""


class Picture(View, frozen=True, kw_only=True):
    """One picture of a short code: its number from 1, the character, and its name."""

    number: int
    emoji: str
    name: str


class CodeReady(Happened, frozen=True, kw_only=True, tag="code"):
    """Either: both devices have made the short code; read it to each other, then say whether it matches."""

    pictures: tuple[Picture, ...]
    numbers: tuple[int, ...]


class Devices(Happened, frozen=True, kw_only=True, tag="devices"):
    """Either: so many devices came into the session or left it; each was checked."""

    joined: int = 0
    left: int = 0


class Problem(Happened, frozen=True, kw_only=True, tag="problem"):
    """Either: one entry could not be used and was passed over."""

    code: str
    sentence: str


Event = (
    Arrived
    | Refused
    | Passed
    | Exhausted
    | Countered
    | Agreed
    | Secured
    | Named
    | KeyChanged
    | Moved
    | Shown
    | Mutual
    | Closed
    | Cancelled
    | Alarm
    | CodeReady
    | Devices
    | Problem
)
