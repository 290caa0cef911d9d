"""Members of a consortium: what its registry states about each of them, and its word that one is out at once.

Statements are the entries of the registry's set `kind: members`, so that its head signs them all together and nobody
can be left out for some. A notice is signed by itself, by the same `log` key, because it must not wait for a head.
Source: docs/protocol/22-members.md.
"""

from collections.abc import Iterable
from typing import Final, Literal

from . import jws
from .addresses import ApiBase, parse_api, parse_loopback
from .encoding import Wire, decode, encode
from .errors import LimitError, MalformedError, RefusedError, UnverifiedError
from .heads import SKEW_S, size_bucket
from .ids import Bytes32, Entity, Seconds, parse_entity
from .peers import Counter
from .signing import Signer, SigningKey
from .tickets import Loopback

NOTICE_TYP: Final = "mentormesh-suspension+jws"
NOTICE_TYPE: Final = "application/jose"
NOTICES_PATH: Final = "/federation/v1/suspensions"
DEPARTURES_PATH: Final = "/federation/v1/departures"
MAX_NOTICE_BYTES: Final = 4096
#: Members of one consortium, the suspended ones among them.
MAX_MEMBERS: Final = 1000
#: Members that attest the sets of the others (docs/protocol/12-set-heads.md).
MAX_ATTESTERS: Final = 7
LEAST_LIFE_S: Final = 24 * 3600
LONGEST_LIFE_S: Final = 72 * 3600

Standing = Literal["active", "suspended"]


class ForeignStatementError(UnverifiedError):
    """The statement or notice is about another registry's members."""

    code = "wrong-registry"


class StatementTimeError(UnverifiedError):
    """The statement or notice was issued in the future."""

    code = "statement-time"


class TwiceStatedError(MalformedError):
    """The set states two things about one member."""

    code = "member-twice"


class TooManyMembersError(LimitError):
    """The set has more members or attesters than a consortium may have."""

    code = "too-many-members"


class StaleNoticeError(RefusedError):
    """A newer word of the registry about this member is known."""

    code = "stale-notice"


class MemberStatement(Wire, frozen=True, kw_only=True):
    """What a registry states about one member, until `expires_at`.

    {"api":"https://mesh.birch.example","attester":true,"expires_at":1767398400,"fingerprint":"…43…",
     "issued_at":1767225600,"member":"https://birch.example","registry":"https://guild.example","seq":1767225600,
     "since":1765000000,"status":"active"}

    `fingerprint` is the thumbprint of the member's federation key, as in tickets. `seq` grows with everything the
    registry says about the member. `connect_to` stands in development only.
    """

    registry: Entity
    member: Entity
    api: ApiBase
    fingerprint: Bytes32
    since: Seconds
    issued_at: Seconds
    expires_at: Seconds
    status: Standing
    attester: bool = False
    seq: Counter
    connect_to: Loopback = ""

    def __post_init__(self) -> None:
        parse_entity(self.registry, what="registry")
        parse_entity(self.member, what="member")
        parse_api(self.api)
        if self.connect_to:
            parse_loopback(self.connect_to)
        if self.registry == self.member:
            raise ValueError("a registry states nothing about itself")
        if self.since > self.issued_at:
            raise ValueError("since must not be after issued_at")
        if not LEAST_LIFE_S <= self.expires_at - self.issued_at <= LONGEST_LIFE_S:
            raise ValueError("a statement lives 24 to 72 hours")
        if self.attester and self.status != "active":
            raise ValueError("only an active member attests")


class SuspensionNotice(Wire, frozen=True, kw_only=True):
    """The registry's word that a member is out from now on, before any head says so.

    {"issued_at":1767225600,"member":"https://birch.example","registry":"https://guild.example","seq":1767225600,
     "status":"suspended"}
    """

    registry: Entity
    member: Entity
    status: Literal["suspended", "removed"]
    seq: Counter
    issued_at: Seconds

    def __post_init__(self) -> None:
        parse_entity(self.registry, what="registry")
        parse_entity(self.member, what="member")
        if self.registry == self.member:
            raise ValueError("a registry states nothing about itself")


class Departure(Wire, frozen=True, kw_only=True):
    """A member's word to its registry that it leaves: `{"registry":"https://guild.example"}`."""

    registry: Entity


def open_statement(body: bytes, *, registry: str) -> MemberStatement:
    """Return the statement of an entry of `registry`'s set. Raises: MalformedError, ForeignStatementError."""
    statement = decode(body, MemberStatement, what="member statement")
    if statement.registry != registry:
        raise ForeignStatementError("member statement is of another registry")
    return statement


def open_members(bodies: Iterable[bytes], *, registry: str) -> tuple[MemberStatement, ...]:
    """Return the statements of a whole set, by member.

    Raises: MalformedError, ForeignStatementError: one entry spoils the set. TwiceStatedError, TooManyMembersError.
    """
    statements = sorted((open_statement(body, registry=registry) for body in bodies), key=lambda one: one.member)
    if len({one.member for one in statements}) != len(statements):
        raise TwiceStatedError("two statements of the set are about one member")
    check_count(len(statements))
    if sum(one.attester for one in statements) > MAX_ATTESTERS:
        raise TooManyMembersError(f"a consortium has at most {MAX_ATTESTERS} attesters")
    return tuple(statements)


def check_count(count: int) -> None:
    """Return if a consortium may have so many members. Raises: TooManyMembersError."""
    if count > MAX_MEMBERS:
        raise TooManyMembersError(f"a consortium has at most {MAX_MEMBERS} members")


def check_bucket(bucket: int) -> None:
    """Return if a members set whose head says `size_bucket` can be small enough. Raises: TooManyMembersError."""
    if bucket > size_bucket(MAX_MEMBERS):
        raise TooManyMembersError(f"a consortium has at most {MAX_MEMBERS} members")


def check_issued(said: MemberStatement | SuspensionNotice, *, now: int) -> None:
    """Return unless this was issued in the future. Raises: StatementTimeError."""
    if said.issued_at > now + SKEW_S:
        raise StatementTimeError("statement is issued in the future: compare the clocks")


def sign_notice(notice: SuspensionNotice, key: SigningKey) -> str:
    """Return the notice as a compact JWS; `key` is the registry's `log` key, which signs its set heads too."""
    return jws.sign(encode(notice), key, NOTICE_TYP)


def open_notice(text: str, key: Signer, *, registry: str, now: int) -> SuspensionNotice:
    """Return the notice once `key` signed it for `registry`.

    Raises: MalformedError, UnverifiedError; ForeignStatementError; StatementTimeError: issued in the future.
    """
    if len(text) > MAX_NOTICE_BYTES:
        raise MalformedError(f"suspension notice is over {MAX_NOTICE_BYTES} bytes")
    notice = decode(jws.parse(text, NOTICE_TYP).verify(key), SuspensionNotice, what="suspension notice")
    if notice.registry != registry:
        raise ForeignStatementError("suspension notice is of another registry")
    check_issued(notice, now=now)
    return notice


def check_newer(notice: SuspensionNotice, known: int) -> None:
    """Return if the notice says more than what is known under number `known`. Raises: StaleNoticeError."""
    if notice.seq < known:
        raise StaleNoticeError("a newer word of the registry about this member is known")


def open_departure(body: bytes) -> Departure:
    """Return a member's word that it leaves. Raises: MalformedError."""
    if len(body) > MAX_NOTICE_BYTES:
        raise MalformedError(f"departure is over {MAX_NOTICE_BYTES} bytes")
    return decode(body, Departure, what="departure")


def next_seq(last: int, *, now: int) -> int:
    """Return the number of the next word about a member.

    It follows the clock, so that a registry whose database came back from a backup goes on beyond what was lost.
    """
    return max(last + 1, now)
