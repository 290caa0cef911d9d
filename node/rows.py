"""The tables that only the node itself reads and writes, a section for each part; one class is one table.

The tables themselves are made by `node/store/migrations/`; a test compares both, column by column.
"""

from typing import ClassVar

from federation.ports import Row

from .rows_files import BlobPieceRow as BlobPieceRow  # noqa: PLC0414 -- all tables are found here
from .rows_files import BlobRow as BlobRow  # noqa: PLC0414
from .rows_reports import ReportRow as ReportRow  # noqa: PLC0414
from .rows_store import LastCommitRow as LastCommitRow  # noqa: PLC0414
from .rows_store import MetaRow as MetaRow  # noqa: PLC0414
from .rows_store import MigrationRow as MigrationRow  # noqa: PLC0414

# People


class MemberRow(Row, frozen=True, kw_only=True):
    """A person of this organization as the member file tells; `member` is random and used everywhere else.

    `languages` and `skills` are lists joined by `;`. A person who left keeps the row until it is forgotten.
    """

    table = "member"
    key = ("member",)
    unique = (("hris_id",),)
    purpose: ClassVar = {
        "member": "service: name the person inside this node",
        "hris_id": "import: recognize the person in the next member file",
        "mail": "service: sign-in links and notices",
        "active": "service: only people who work here take part",
        "job_family": "privacy: count who could hold an offer before it is listed",
        "band": "privacy and matching: seniority of an offer and of a mentor",
        "country": "privacy: region of an offer",
        "team": "operation: invite and report by group",
        "supervisor": "matching: never propose somebody's own supervisor",
        "languages": "privacy: language of an offer",
        "skills": "privacy: count who could hold a precise offer",
        "imported_at": "operation: age of what the member file said",
        "left_at": "retention: forget people some days after they left",
    }

    member: str
    hris_id: str
    mail: str
    active: bool
    job_family: str
    band: str
    country: str
    team: str = ""
    supervisor: str = ""
    languages: str = ""
    skills: str = ""
    imported_at: int
    left_at: int | None = None


class SignInLinkRow(Row, frozen=True, kw_only=True):
    """An open one-time link, known by its hash. One for an unknown address names no member and opens nothing."""

    table = "sign_in_link"
    key = ("token_hash",)
    purpose: ClassVar = {
        "token_hash": "security: recognize the link without being able to use it",
        "member": "security: whom the link signs in",
        "mail_hash": "security: bound the links of one address",
        "expires_at": "security: end of the link",
    }

    token_hash: bytes
    member: str
    mail_hash: bytes
    expires_at: int


class SignInRow(Row, frozen=True, kw_only=True):
    """A signed-in client, known by the hash of its token; `device` is set once it proved to hold a device key."""

    table = "sign_in"
    key = ("token_hash",)
    purpose: ClassVar = {
        "token_hash": "security: recognize the client without being able to act as it",
        "member": "security: who is signed in",
        "device": "security: which device is signed in",
        "started_at": "security: replace the oldest when there are too many",
        "expires_at": "security: end of an idle sign-in",
    }

    token_hash: bytes
    member: str
    device: str | None = None
    started_at: int
    expires_at: int


class DeviceRow(Row, frozen=True, kw_only=True):
    """A person's device. `added_on` and `seen_on` are the Unix seconds of a UTC midnight: a day, no time."""

    table = "device"
    key = ("device",)
    purpose: ClassVar = {
        "device": "service: name the device, random",
        "member": "service: whose device it is",
        "hint": "service: tell the owner which device it is",
        "added_on": "security: show the owner when it was added",
        "seen_on": "service: propose only mentors whose device is in use",
    }

    device: str
    member: str
    hint: str
    added_on: int
    seen_on: int


class EnrolmentRow(Row, frozen=True, kw_only=True):
    """What a device told about itself for one audience: canonical `protocol.devices.Enrolment`, and its parts to find.

    `device` is known inside this node only; towards each audience the device has another `device_id`.
    """

    table = "enrolment"
    key = ("device", "audience")
    unique = (("device_id",), ("device_key",))
    purpose: ClassVar = {
        "device": "service: which device",
        "audience": "service: towards whom it uses these keys",
        "member": "service: whose device it is",
        "device_id": "service: name of the device in its certificate, random",
        "identity_key": "security: refuse a device of another account secret",
        "device_key": "security: check what the device signed",
        "enrolment": "service: certificate and sealing keys to hand on",
        "expires_at": "security: end of the certificate",
    }

    device: str
    audience: str
    member: str
    device_id: str
    identity_key: str
    device_key: str
    enrolment: bytes
    expires_at: int


class LinkingRow(Row, frozen=True, kw_only=True):
    """Four messages by which a person's devices link another one, opaque to this node; one linking a person."""

    table = "linking"
    key = ("member",)
    purpose: ClassVar = {
        "member": "service: whose devices meet",
        "linking": "service: tell this linking from an earlier one, random",
        "sign_in": "security: which sign-in is to become a device",
        "opening": "service: first message, of the new device",
        "reply": "service: second message, of a device of the account",
        "proof": "service: third message, sealed",
        "given": "service: fourth message, sealed",
        "expires_at": "retention: end of the linking",
        "ended": "service: tell both devices why it ended",
    }

    member: str
    linking: str
    sign_in: bytes
    opening: bytes
    reply: bytes = b""
    proof: bytes = b""
    given: bytes = b""
    expires_at: int
    ended: str = ""


class LabelRow(Row, frozen=True, kw_only=True):
    """Whose mailbox a random label is: the only place where a thread or a directory entry leads to a person.

    `audience` is empty for the label that the node made for the person's mailbox itself.
    """

    table = "mailbox_label"
    key = ("label",)
    unique = (("member", "audience"),)
    purpose: ClassVar = {
        "label": "service: deliver without naming the person",
        "member": "service: whose mailbox it is",
        "audience": "service: towards whom the label is used",
    }

    label: str
    member: str
    audience: str = ""


class MentorRow(Row, frozen=True, kw_only=True):
    """A mentor's private profile (JSON of `services.profile.MentorProfile`) and what they opted into."""

    table = "mentor"
    key = ("member",)
    purpose: ClassVar = {
        "member": "matching: whose profile it is",
        "profile": "matching: topics, languages, times and formats of the mentor",
        "opted_in": "consent: whether the person mentors now",
        "listed": "consent: whether offers outside may rest on this person",
        "changed_at": "consent: since when this holds",
    }

    member: str
    profile: str
    opted_in: bool = False
    listed: bool = False
    changed_at: int


class ConsentRow(Row, frozen=True, kw_only=True):
    """A person agreed to one version of one consent text, and perhaps withdrew it."""

    table = "consent"
    key = ("member", "kind", "version")
    purpose: ClassVar = {
        "member": "accountability: who agreed",
        "kind": "accountability: to which text",
        "version": "accountability: to which version of it",
        "given_at": "accountability: when",
        "withdrawn_at": "accountability: since when no longer",
    }

    member: str
    kind: str
    version: int
    given_at: int
    withdrawn_at: int | None = None


class SafeRow(Row, frozen=True, kw_only=True):
    """One sealed thing that a person's devices keep at their own node, which cannot open it.

    `name` is `recovery`, `archive` or a random id; `stored_on` the Unix seconds of a UTC midnight.
    """

    table = "safe"
    key = ("member", "name")
    purpose: ClassVar = {
        "member": "service: whose it is",
        "name": "service: which of the person's sealed things",
        "version": "service: refuse a change that was made beside another one",
        "data": "service: ciphertext by which the person comes back after a loss",
        "stored_on": "service: tell the owner how old it is",
        "locator": "service: let whoever has the recovery words take out their data",
    }

    member: str
    name: str
    version: int
    data: bytes
    stored_on: int
    locator: bytes | None = None


class SafeUseRow(Row, frozen=True, kw_only=True):
    """How many things a person's safe holds, and of how many bytes: kept beside them, so that a change reads none."""

    table = "safe_use"
    key = ("member",)
    purpose: ClassVar = {
        "member": "service: whose it is",
        "things": "security: bound what is kept",
        "size_bytes": "security: bound what is kept",
    }

    member: str
    things: int
    size_bytes: int


class ContactTokenRow(Row, frozen=True, kw_only=True):
    """A hash of a token by which somebody whom this person met may ask them again; not who holds it."""

    table = "contact_token"
    key = ("commitment",)
    purpose: ClassVar = {
        "commitment": "service: recognize the token without being able to use it",
        "member": "service: whom it lets somebody ask",
        "expires_at": "retention: end of the token",
    }

    commitment: bytes
    member: str
    expires_at: int


# Vocabulary


class SchemeRow(Row, frozen=True, kw_only=True):
    """One imported vocabulary, under the name the operator gave it."""

    table = "vocabulary_scheme"
    key = ("scheme",)
    purpose: ClassVar = {
        "scheme": "operation: name the vocabulary, to replace or remove it",
        "source": "operation: tell the operator which files it came from",
        "concepts": "operation: tell the operator how large it is",
        "imported_at": "operation: age of the vocabulary",
    }

    scheme: str
    source: str
    concepts: int
    imported_at: int


class ConceptPageRow(Row, frozen=True, kw_only=True):
    """Some concepts of a scheme in file order, as MessagePack compressed with zstd."""

    table = "vocabulary_page"
    key = ("scheme", "page")
    purpose: ClassVar = {
        "scheme": "operation: which vocabulary",
        "page": "operation: order of the pages",
        "concepts": "service: labels and relations of topics, public knowledge",
    }

    scheme: str
    page: int
    concepts: bytes


# Mail


class MailRow(Row, frozen=True, kw_only=True):
    """One outgoing mail until it is sent or too old. `notice` is JSON of one of `services.notices`; never a brief.

    A mail without recipient stands for an address nobody here has: it costs the same and is never sent.
    """

    table = "mail"
    key = ("mail",)
    purpose: ClassVar = {
        "mail": "operation: identify the mail, also as its Message-ID",
        "member": "privacy: erase what waits for a person who leaves",
        "recipient": "service: where to send it",
        "language": "service: in which language",
        "notice": "service: what it says",
        "tries": "operation: pause longer after each failure",
        "due_at": "operation: when to try next",
        "expires_at": "retention: a mail that is too late is dropped",
    }

    mail: str
    member: str
    recipient: str
    language: str
    notice: str
    tries: int = 0
    due_at: int
    expires_at: int
