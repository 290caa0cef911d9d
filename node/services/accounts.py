"""Signing in: one-time links by mail, and the tokens of signed-in clients. Passwords do not exist.

A link proves access to a mailbox and nothing more: it never adds a device to an account that has one
(`devices.py`). Whoever asks for a link learns nothing about who is a member: known and unknown addresses take the same
steps and get the same answer.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Entropy, Reader, Store, Writer, above, at_most, where
from node.rows import DeviceRow, EnrolmentRow, LabelRow, MailRow, MemberRow, SignInLinkRow, SignInRow
from protocol.authorization import sign_in_name
from protocol.encoding import b64, label, sha256, unb64
from protocol.errors import MalformedError, MissingError, UnverifiedError
from protocol.ids import ID_BYTES

from .allowance import Allowance
from .labels import MAILBOX, label_for
from .mail import Recipient, compose
from .notices import SignInLink

TOKEN_BYTES: Final = 32
DAY_S: Final = 86_400
#: Links that one address can have open at once; further wishes are answered alike and send nothing.
OPEN_LINKS: Final = 3
#: Stands for the device in a sign-in whose device was removed, so that the device can tell its owner.
REMOVED: Final = "removed"
#: Clients that one member can have signed in; one more ends the oldest.
MAX_SIGN_INS: Final = 10

#: Clients whose sign-in is kept in memory, so that not every request reads it.
_REMEMBERED: Final = 4096
#: Tables from which a token is answered.
_SIGN_IN: Final = (SignInRow, MemberRow, LabelRow)

_MAIL: Final = re.compile(r"[^\s@]{1,64}@[^\s@]{3,189}")


class SignInSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`page_base` gives the base URL of this node's pages, which is known only once the node listens."""

    page_base: Callable[[], str]
    languages: tuple[str, ...] = ("en",)
    link_s: int = 15 * 60
    idle_days: int = 30
    #: Wishes for links, and links tried, from one network address in ten minutes; offices share one.
    per_address: int = 60


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in; `device` is None for a client that holds no device key of the account.

    `sign_in` names this sign-in (`protocol.authorization.sign_in_name`); `mailbox` is None before the first use.
    """

    member: str
    sign_in: str
    device: str | None
    mailbox: str | None = None


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the store said of a token, good while `changes` of the tables it came from stays the same."""

    changes: int
    row: SignInRow
    active: bool
    mailbox: str | None


class Redeemed(msgspec.Struct, frozen=True, kw_only=True):
    """What a link was exchanged for; `token` is shown here only. `first_device`: the account has none yet."""

    token: str
    member: str
    first_device: bool


class Accounts:
    """Sign-in of members."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, settings: SignInSettings) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._wishes = Allowance(clock, most=settings.per_address, per_s=600)
        self._tries = Allowance(clock, most=settings.per_address, per_s=600)
        #: Sign-ins by name, the one that was read last at the end.
        self._known: Final[dict[str, _Known]] = {}

    async def request_link(self, mail: str, *, address: str) -> None:
        """Mail a link to `mail` if an active member has that address; the caller cannot tell.

        Args:
            address: network address of the caller, for the limit.
        Raises: MalformedError: no mail address. LimitError: too many wishes from this network address.
        """
        self._wishes.use(address, what="wishes for a sign-in link")
        mail = mail.strip().lower()
        if not _MAIL.fullmatch(mail):
            raise MalformedError("mail must be one mail address")
        async with self._store.write() as writer:
            await writer.delete(SignInLinkRow, at_most("expires_at", self._clock.now()))
            if await writer.count(SignInLinkRow, where(mail_hash=_mail_hash(mail))) < OPEN_LINKS:
                found = await writer.find(MemberRow, where(mail=mail, active=True), limit=1)
                await self._send_link(writer, mail, found)

    async def _send_link(self, writer: Writer, mail: str, found: Sequence[MemberRow]) -> None:
        link, row = self._new_link(found[0].member if found else "", mail)
        to = Recipient(
            member=row.member,
            address=mail if found else "",
            languages=tuple(found[0].languages.split(";")) if found else (),
        )
        await writer.insert(row, self._mail(link, to))

    def _mail(self, link: str, to: Recipient) -> MailRow:
        now = self._clock.now()
        return compose(
            SignInLink(link=link, minutes=self._settings.link_s // 60),
            to,
            entropy=self._entropy.take(ID_BYTES),
            now=now,
            expires_at=now + self._settings.link_s,
            default_language=self._settings.languages[0],
        )

    def _new_link(self, member: str, mail: str) -> tuple[str, SignInLinkRow]:
        token = self._entropy.take(TOKEN_BYTES)
        row = SignInLinkRow(
            token_hash=_link_hash(token),
            member=member,
            mail_hash=_mail_hash(mail),
            expires_at=self._clock.now() + self._settings.link_s,
        )
        # Behind `#`, so that no server, proxy or scanner of mails ever sees the token in an address.
        return f"{self._settings.page_base()}/sign-in#{b64(token)}", row

    async def issue_link(self, member: str) -> str:
        """Return a link without mailing it, for development. Raises: MissingError: no such active member."""
        async with self._store.write() as writer:
            row = await writer.get(MemberRow, member)
            if row is None or not row.active:
                raise MissingError("no active member has this id")
            link, link_row = self._new_link(row.member, row.mail)
            await writer.insert(link_row)
        return link

    async def redeem(self, token: str, *, address: str) -> Redeemed:
        """Exchange the token of a link, once, for a client's token.

        Raises: UnverifiedError: unknown, used or expired. LimitError: too many tries from this network address.
        """
        self._tries.use(address, what="sign-in tries")
        key = _link_hash(unb64(token, size=TOKEN_BYTES, what="token"))
        async with self._store.write() as writer:
            link = await writer.get(SignInLinkRow, key)
            member = await writer.get(MemberRow, link.member) if link else None
            if link is None or member is None or not member.active or link.expires_at <= self._clock.now():
                raise UnverifiedError("this sign-in link was used or has expired: ask for a new one", code="link")
            await writer.delete(SignInLinkRow, where(member=member.member))
            secret = await self._start(writer, member.member)
            first = not await live_enrolments(writer, member.member, now=self._clock.now())
        return Redeemed(token=b64(secret), member=member.member, first_device=first)

    async def _start(self, writer: Writer, member: str) -> bytes:
        """Store a new sign-in, at most `MAX_SIGN_INS` of them, and return its secret."""
        now = self._clock.now()
        await writer.delete(SignInRow, at_most("expires_at", now))
        others = await writer.find(SignInRow, where(member=member), order="started_at")
        for oldest in others[: max(0, len(others) - MAX_SIGN_INS + 1)]:
            await writer.delete(SignInRow, where(token_hash=oldest.token_hash))
        secret = self._entropy.take(TOKEN_BYTES)
        row = SignInRow(
            token_hash=_token_hash(b64(secret)), member=member, started_at=now, expires_at=self._idle_end(now)
        )
        await writer.insert(row)
        return secret

    async def authenticate(self, token: str) -> Person:
        """Return who holds a client's token. Raises: UnverifiedError: nobody who may."""
        try:
            name = sign_in_name(token)
        except MalformedError:
            raise UnverifiedError("the bearer token is not one of this node", code="token") from None
        known = self._known.get(name)
        if known is None or known.changes != self._store.changes(*_SIGN_IN):
            known = await self._read(name)
        now = self._clock.now()
        if known is None or not known.active or known.row.expires_at <= now:
            raise UnverifiedError("signed out: sign in again", code="token")
        row = known.row
        if row.device == REMOVED:
            raise UnverifiedError(
                "this device was removed: another device of yours took it out of your account", code="device-removed"
            )
        if row.expires_at != self._idle_end(now):
            await self._stay(row)
        return Person(member=row.member, sign_in=name, device=row.device, mailbox=known.mailbox)

    async def _read(self, name: str) -> _Known | None:
        """Return what the store says of a sign-in, and remember it."""
        changes = self._store.changes(*_SIGN_IN)
        async with self._store.read() as reader:
            row = await reader.get(SignInRow, unb64(name))
            member = await reader.get(MemberRow, row.member) if row else None
            # In the same snapshot, because nearly every request of a device is about the mailbox.
            mailbox = await label_for(reader, row.member, MAILBOX) if row else None
        self._known.pop(name, None)
        if row is None or member is None:
            return None
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[name] = known = _Known(changes=changes, row=row, active=member.active, mailbox=mailbox)
        return known

    async def _stay(self, row: SignInRow) -> None:
        """Note today's first use, to the day: presence is nobody's business."""
        now = self._clock.now()
        async with self._store.write() as writer:
            current = await writer.get(SignInRow, row.token_hash)
            if current is None:
                return
            await writer.put(replace(current, expires_at=self._idle_end(now)))
            device = await writer.get(DeviceRow, current.device) if current.device else None
            if device is not None:
                await writer.put(replace(device, seen_on=day_of(now)))

    def _idle_end(self, now: int) -> int:
        return day_of(now) + (self._settings.idle_days + 1) * DAY_S

    async def sweep(self) -> None:
        """Delete links and sign-ins whose time is over."""
        now = self._clock.now()
        async with self._store.write() as writer:
            await writer.delete(SignInLinkRow, at_most("expires_at", now))
            await writer.delete(SignInRow, at_most("expires_at", now))

    async def sign_out(self, person: Person) -> None:
        """End this client's sign-in."""
        async with self._store.write() as writer:
            await writer.delete(SignInRow, where(token_hash=unb64(person.sign_in)))


async def end_sign_ins(writer: Writer, member: str) -> None:
    """Sign a member out everywhere and void their open links and unsent mails."""
    for kind in (SignInRow, SignInLinkRow, MailRow):
        await writer.delete(kind, where(member=member))


async def live_enrolments(reader: Reader, member: str, *, now: int) -> list[EnrolmentRow]:
    """Return what a member's devices are enrolled for, without what has expired."""
    return await reader.find(EnrolmentRow, where(member=member), above("expires_at", now))


def day_of(now: int) -> int:
    """Return the Unix seconds of the UTC midnight before `now`."""
    return now - now % DAY_S


def _link_hash(token: bytes) -> bytes:
    return sha256(label("sign-in-link"), token)


def _token_hash(token: str) -> bytes:
    return unb64(sign_in_name(token))


def _mail_hash(mail: str) -> bytes:
    return sha256(label("sign-in-mail"), mail.encode())
