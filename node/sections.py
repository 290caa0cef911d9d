"""The sections of a node's configuration: every setting with its type, bounds, default and meaning.

The only source of defaults; `docs/reference/configuration.md` is written from it, and a test compares the two.
"""

from typing import Annotated, Any, Literal

import msgspec

from protocol.reportitems import ReportContact, check_contact
from protocol.tickets import Consortium
from protocol.vocabulary import Country, Language

HostPort = r"^(\[[0-9a-f:]{2,39}\]|[A-Za-z0-9.-]{1,253}):[0-9]{1,5}$"
WebBase = r"^(https?://[a-z0-9.:\[\]-]{1,260})?$"
DatabaseUrl = r"^(postgres(ql)?://([^/:@\s]*@)?[^@\s]*)?$"
NodeName = r"^([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?)?$"


def doc(description: str, **bounds: Any) -> msgspec.Meta:  # noqa: ANN401 -- as msgspec.Meta takes them
    """Return the one-line meaning of a setting together with its bounds."""
    return msgspec.Meta(description=description, **bounds)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section; the first line of a section's docstring stands above its table."""


class NodeSection(Section, frozen=True, kw_only=True):
    """Who this node is, and where it listens."""

    entity: Annotated[str, doc("Entity identifier of the organization, never derived from an address.", max_length=261)]
    api_base: Annotated[str, doc("Where peers reach this node; empty: the entity identifier.", pattern=WebBase)] = ""
    listen: Annotated[str, doc("Address and port to listen on; port 0 takes a free one.", pattern=HostPort)] = (
        "127.0.0.1:8440"
    )
    name: Annotated[
        str, doc("Short name, also in NAME.localhost; empty: first label of the entity.", pattern=NodeName)
    ] = ""
    behind_proxy: Annotated[
        bool, doc("A reverse proxy on this machine adds X-Forwarded-For; believe its last address.")
    ] = False


class OrgSection(Section, frozen=True, kw_only=True):
    """What peers are told about the organization (its signed profile), and what holds for its people by default."""

    display_name: Annotated[str, doc("Name shown to other organizations.", min_length=1, max_length=80)]
    countries: Annotated[
        tuple[Country, ...], doc("Countries with members, ISO 3166-1 alpha-2.", min_length=1, max_length=64)
    ]
    kind: Annotated[Literal["company", "association"], doc("What the organization is.")] = "company"
    sector: Annotated[str, doc("NACE section letter, A to U.", pattern="^[A-U]$")] = "M"
    size_band: Annotated[Literal["<50", "50-250", "250-1k", "1k-5k", ">5k"], doc("Number of employees.")] = "50-250"
    website: Annotated[str, doc("Public website, or empty.", pattern=r"^(https://[!-~]{1,192})?$")] = ""
    languages: Annotated[
        tuple[Language, ...], doc("Languages of the site, for members who state none.", min_length=1, max_length=8)
    ] = ("en",)
    time_zone: Annotated[str, doc("IANA time zone of members who state none.", min_length=1, max_length=64)] = "UTC"


class StoreSection(Section, frozen=True, kw_only=True):
    """Where the node keeps its rows."""

    path: Annotated[str, doc("SQLite file, inside the node directory unless absolute.", min_length=1)] = "data/node.db"
    url: Annotated[
        str,
        doc(
            "PostgreSQL database instead of the file, such as postgresql://node@db.example/aurora; no password in it.",
            pattern=DatabaseUrl,
        ),
    ] = ""
    password_file: Annotated[str, doc("File that holds the database password, readable by the node alone.")] = ""
    sessions: Annotated[int, doc("PostgreSQL sessions that read; one more writes.", ge=2, le=100)] = 8
    several: Annotated[
        bool, doc("Any number of processes serve this node together; each has this setting, and a PostgreSQL url.")
    ] = False
    commit_window_ms: Annotated[int, doc("Transactions of this many ms share one fsync.", ge=0, le=5)] = 2
    least_free_mib: Annotated[int, doc("Below this free space `doctor` reports red, in MiB.", ge=1)] = 256


class TlsSection(Section, frozen=True, kw_only=True):
    """TLS of the listening socket; leave empty behind a reverse proxy."""

    certificate: Annotated[str, doc("PEM file with the certificate chain.")] = ""
    key: Annotated[str, doc("PEM file with the private key.")] = ""


class MailSection(Section, frozen=True, kw_only=True):
    """Outgoing mail: sign-in links and notices."""

    mode: Annotated[
        Literal["drop", "smtp"], doc("`smtp` sends; `drop` writes files into DIR/mail, for development.")
    ] = "drop"
    sender: Annotated[str, doc("Address in From.", max_length=254)] = "mentoring@localhost"
    host: Annotated[str, doc("SMTP server.", max_length=253)] = ""
    port: Annotated[int, doc("SMTP port.", ge=1, le=65535)] = 587
    security: Annotated[Literal["starttls", "tls", "none"], doc("How the connection is encrypted.")] = "starttls"
    username: Annotated[str, doc("SMTP user; empty: no login.", max_length=254)] = ""
    password_file: Annotated[str, doc("File that holds the SMTP password, readable by the node alone.")] = ""
    timeout_s: Annotated[float, doc("Give up on the server after this long.", gt=0, le=300)] = 30.0


class LimitsSection(Section, frozen=True, kw_only=True):
    """Bounds on what a browser or a peer can make the node do."""

    connections: Annotated[int, doc("Open connections at once; further ones are closed.", ge=8, le=100_000)] = 1024
    address_connections: Annotated[
        int, doc("Of these, one address (in IPv6 its /64) holds at most so many; 0: no bound.", ge=0, le=100_000)
    ] = 512
    header_s: Annotated[float, doc("A connection without a complete request head closes.", gt=0, le=120)] = 10.0
    body_s: Annotated[float, doc("A request body must have arrived by then.", gt=0, le=300)] = 20.0
    stall_s: Annotated[float, doc("A client that reads no answer for this long is cut off.", gt=0, le=300)] = 20.0
    body_bytes: Annotated[int, doc("Largest request body of people and pages.", ge=1024)] = 1024 * 1024
    batch_bytes: Annotated[int, doc("Largest batch of a peer.", ge=65536)] = 4 * 1024 * 1024
    operator_bytes: Annotated[int, doc("Largest operator request (a member file).", ge=65536)] = 32 * 1024 * 1024
    in_flight_bytes: Annotated[int, doc("Request bodies held in memory at once.", ge=1024 * 1024)] = 64 * 1024 * 1024
    address_per_minute: Annotated[int, doc("Unauthenticated requests of one address.", ge=1)] = 600
    peer_per_minute: Annotated[int, doc("Requests of one peer.", ge=1)] = 1200
    stop_s: Annotated[float, doc("A stop waits this long for running requests and jobs.", gt=0, le=60)] = 8.0


class EditionsSection(Section, frozen=True, kw_only=True):
    """How offers are formed and how often the catalog changes. Shorter or looser values are for development."""

    edition_s: Annotated[float, doc("The catalog changes once per edition, in seconds.", gt=0)] = 86400.0
    purge_every: Annotated[int, doc("Editions between two purge rounds.", ge=1)] = 30
    k: Annotated[int, doc("People who could hold a cell before it is listed.", ge=2)] = 8
    keep: Annotated[int, doc("A listed cell stays until fewer could hold it.", ge=2)] = 5
    ratio_percent: Annotated[int, doc("Largest share of mentors among those who could hold a cell.", ge=1, le=100)] = 50
    purge_percent: Annotated[int, doc("Chance of a listing to end at a purge round.", ge=0, le=100)] = 30
    rotate_percent: Annotated[int, doc("Share of cells that rotate out at random.", ge=0, le=100)] = 10
    mean_delay: Annotated[int, doc("Mean wait of a new offer, in editions; 0: none.", ge=0)] = 7
    smallest_members: Annotated[int, doc("Smaller organizations list only domains outside.", ge=0)] = 25
    head_every_s: Annotated[float, doc("A set head is signed this often, changed or not.", gt=0)] = 900.0
    head_valid_s: Annotated[int, doc("Peers stop showing a set this long after its head.", ge=1, le=86400)] = 86400
    poll_s: Annotated[float, doc("A peer's set is looked at this often without a nudge.", gt=0)] = 300.0


class DeliverySection(Section, frozen=True, kw_only=True):
    """How messages travel to other organizations, and how long their counts are kept."""

    in_flight: Annotated[int, doc("Transfers to one peer under way at once.", ge=1, le=16)] = 4
    ledger_days: Annotated[int, doc("Days that the ledger of delivery looks back.", ge=1, le=365)] = 30


class DirectorySection(Section, frozen=True, kw_only=True):
    """How the key directory is published. Shorter or smaller values are for development."""

    gap_s: Annotated[float, doc("Least time between two heads of one audience, in seconds.", ge=1, le=3600)] = 60.0
    least: Annotated[int, doc("Smallest number of entries, decoys among them.", ge=8, le=4096)] = 16
    expected_percent: Annotated[
        int, doc("Share of the members for whom there is room from the beginning.", ge=0, le=100)
    ] = 10


class HandshakeSection(Section, frozen=True, kw_only=True):
    """Clocks and quotas of the handshake."""

    tick_ms: Annotated[int, doc("Quotes are answered at the next tick; 0: at once.", ge=0, le=10_000)] = 250
    flush_s: Annotated[float, doc("From ACCEPTED on, messages leave at this beat; 0: at once.", ge=0, le=3600)] = 60.0
    quote_valid_s: Annotated[int, doc("Life of a quote.", ge=1, le=86400)] = 900
    deadline_days: Annotated[int, doc("Working days a mentor has to answer.", ge=1, le=14)] = 2
    deadline_s: Annotated[int, doc("Answer time in seconds instead; 0: use working days.", ge=0)] = 0
    expiry_grace_s: Annotated[int, doc("Wait after a deadline before moving on alone.", ge=0)] = 600
    quota_percent: Annotated[int, doc("Quotes never taken up a peer may open a day, per 100 members.", ge=1)] = 2
    quota_least: Annotated[int, doc("The same, at least.", ge=1)] = 5
    sweep_s: Annotated[float, doc("Deadlines are looked at this often.", gt=0, le=60)] = 5.0


class FilesSection(Section, frozen=True, kw_only=True):
    """Encrypted files that people send each other in sessions, while they wait for the other person."""

    largest_mib: Annotated[int, doc("Largest file, in MiB of ciphertext.", ge=1, le=1025)] = 100
    person_mib: Annotated[int, doc("All waiting files of one person.", ge=1)] = 1024
    session_mib: Annotated[int, doc("All waiting files of one person in one session.", ge=1)] = 512
    node_mib: Annotated[int, doc("All waiting files of this node.", ge=1)] = 10_240
    days: Annotated[int, doc("Days a file waits, but no longer than its session is kept.", ge=1, le=90)] = 30


class ReportsSection(Section, frozen=True, kw_only=True):
    """Who reads reports of what was said in sessions; all three, or nobody."""

    name: Annotated[str, doc("Name of that person or office, shown to people here and at peers.", max_length=80)] = ""
    mail: Annotated[str, doc("Their address, shown too.", max_length=254)] = ""
    key: Annotated[str, doc("Their public sealing key, as `mentormesh report key` prints it.", max_length=1622)] = ""
    days: Annotated[int, doc("Days they have to answer a report.", ge=1, le=60)] = 14
    name_people: Annotated[
        bool, doc("`report person` may say which member a report is about; agree on it with your people first.")
    ] = False

    def named(self) -> ReportContact | None:
        """Return the contact; None when nobody is named. Raises: MalformedError."""
        if not (self.name or self.mail or self.key):
            return None
        return check_contact(ReportContact(name=self.name, mail=self.mail, seal=self.key))


class PrivacySection(Section, frozen=True, kw_only=True):
    """What is shown inside the organization, and how long things are kept."""

    works_council: Annotated[bool, doc("No page, report, export, log line or API shows a per-person figure.")] = False
    smallest_group: Annotated[int, doc("Aggregates below this many people are not shown.", ge=5)] = 5
    sign_in_link_minutes: Annotated[int, doc("Life of a sign-in link.", ge=1, le=1440)] = 15
    session_days: Annotated[int, doc("A device stays signed in this long without use.", ge=1, le=365)] = 30
    undelivered_days: Annotated[int, doc("Ciphertext nobody fetched is deleted.", ge=1, le=90)] = 30
    label_days: Annotated[int, doc("Mailbox labels are forgotten after a thread closed.", ge=1, le=90)] = 7
    leaver_days: Annotated[int, doc("A person who left can still take their data.", ge=1, le=365)] = 30


class KeysSection(Section, frozen=True, kw_only=True):
    """What a change of the node's own keys leaves behind."""

    overlap_days: Annotated[int, doc("A replaced key still counts this long for what is under way.", ge=15, le=365)] = (
        45
    )


class EgressSection(Section, frozen=True, kw_only=True):
    """How the node reaches its peers."""

    proxy: Annotated[str, doc("HTTP proxy for requests to peers, or empty.", pattern=WebBase)] = ""
    ca_file: Annotated[str, doc("PEM file with the authorities to trust instead of the system's.")] = ""
    allow: Annotated[
        tuple[str, ...], doc("Behind a proxy that resolves names: the only hosts to ask.", max_length=10_000)
    ] = ()
    connect_s: Annotated[float, doc("Time to connect to a peer.", gt=0, le=60)] = 5.0
    total_s: Annotated[float, doc("Time for one exchange with a peer.", gt=0, le=300)] = 30.0
    answer_bytes: Annotated[int, doc("Largest answer of a peer.", ge=65536)] = 8 * 1024 * 1024


class LogSection(Section, frozen=True, kw_only=True):
    """Who watches this node's log, and how it watches those of others."""

    policy: Annotated[
        str, doc("C2SP witness policy: who cosigns this log, which further logs to follow; empty: all peers.")
    ] = ""
    start_wait_s: Annotated[
        int, doc("After a start, wait so long for peers as witnesses before signing anyway; 0: for ever.", ge=0)
    ] = 86400
    watch_s: Annotated[float, doc("Logs of others are looked at, and peers asked what they saw, this often.", gt=0)] = (
        300.0
    )
    prove_s: Annotated[int, doc("A log that owes a proof or an entry for longer is reported.", ge=1)] = 900


class RegistrySection(Section, frozen=True, kw_only=True):
    """For a node that is the registry of a consortium: it states who is a member."""

    enabled: Annotated[bool, doc("This node admits members and publishes who they are.")] = False
    name: Annotated[str, doc("Name of the consortium.", max_length=80)] = ""
    charter: Annotated[str, doc("What members promise, in one line; stands in every ticket.", max_length=280)] = ""
    charter_url: Annotated[
        str, doc("Where the charter stands whole, or empty.", pattern=r"^(https://[!-~]{1,192})?$")
    ] = ""
    statement_hours: Annotated[
        int, doc("A statement about a member lives so long: the registry may be away for half of it.", ge=24, le=72)
    ] = 48

    def consortium(self) -> Consortium | None:
        """Return what tickets say about the consortium; None when this node is no registry. Raises: MalformedError."""
        if not self.enabled:
            return None
        return Consortium(name=self.name, charter=self.charter, charter_url=self.charter_url)


class VocabularySection(Section, frozen=True, kw_only=True):
    """What the operator says about topics."""

    families: Annotated[str, doc("JSON file that maps job families to topic groups, or empty.")] = ""


class TelemetrySection(Section, frozen=True, kw_only=True):
    """Log lines on standard error and metrics."""

    level: Annotated[Literal["debug", "info", "warning", "error"], doc("Least important line written.")] = "info"


class DevelopmentSection(Section, frozen=True, kw_only=True):
    """For several nodes on one machine. Never in production."""

    enabled: Annotated[bool, doc("Pages at http://NAME.localhost:PORT, loopback peers, no TLS needed.")] = False
    port: Annotated[
        int, doc("Where a balancer before several processes takes connections; 0: there is none.", ge=0, le=65535)
    ] = 0
    connect_to: Annotated[
        dict[str, str], doc("Peer entity to loopback HOST:PORT that is asked instead.", max_length=100)
    ] = msgspec.field(default_factory=dict)


class Config(Section, frozen=True, kw_only=True):
    """Everything an operator may set; sections as in `mentormesh.toml`."""

    node: NodeSection
    org: OrgSection
    store: StoreSection = StoreSection()
    tls: TlsSection = TlsSection()
    mail: MailSection = MailSection()
    limits: LimitsSection = LimitsSection()
    editions: EditionsSection = EditionsSection()
    directory: DirectorySection = DirectorySection()
    handshake: HandshakeSection = HandshakeSection()
    delivery: DeliverySection = DeliverySection()
    files: FilesSection = FilesSection()
    reports: ReportsSection = ReportsSection()
    privacy: PrivacySection = PrivacySection()
    keys: KeysSection = KeysSection()
    egress: EgressSection = EgressSection()
    log: LogSection = LogSection()
    registry: RegistrySection = RegistrySection()
    vocabulary: VocabularySection = VocabularySection()
    telemetry: TelemetrySection = TelemetrySection()
    development: DevelopmentSection = DevelopmentSection()

    @property
    def api_base(self) -> str:
        """Base URL of the API as peers and proxies name it."""
        return self.node.api_base or self.node.entity

    @property
    def authority(self) -> str:
        """The `@authority` of the API: what `Host` must say."""
        return self.api_base.partition("://")[2]

    @property
    def name(self) -> str:
        """Short name of the node, such as `aurora`."""
        return self.node.name or self.node.entity.partition("://")[2].partition(".")[0]

    @property
    def listen_host(self) -> str:
        """Host part of `listen`, without brackets."""
        return self.node.listen.rpartition(":")[0].strip("[]")

    @property
    def listen_port(self) -> int:
        """Port part of `listen`; 0 takes a free one."""
        return int(self.node.listen.rpartition(":")[2])

    def public_port(self, port: int) -> int:
        """Return the port that others on this machine use, given the one that is really listened on."""
        return self.development.port or port

    def page_base(self, port: int) -> str:
        """Return the base URL of the pages people open, given the port that is really listened on."""
        if self.development.enabled:
            return f"http://{self.name}.localhost:{self.public_port(port)}"
        return self.api_base
