"""Outgoing mail: rows written in the transaction of the effect, and a pump that sends them until they are too old.

At least once: a crash between sending and forgetting sends the same mail again under the same Message-ID.
"""

import asyncio
import contextlib
from collections.abc import Callable
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Store, at_most, where
from node.rows import MailRow
from protocol.errors import MeshError, RefusedError, UnavailableError
from protocol.ids import random_id

from .mail_text import choose_language, message, word
from .notices import AnyNotice, decode_notice, encode_notice

if TYPE_CHECKING:
    import ssl

#: Mails taken up in one go.
BATCH: Final = 32
#: How often the outbox is looked at: one look is one short query, and nobody has to remember to call.
POLL_S: Final = 1.0
FIRST_PAUSE_S: Final = 15
LONGEST_PAUSE_S: Final = 900


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets a mail: without `address` nobody, at the same cost."""

    member: str
    address: str
    languages: tuple[str, ...] = ()


def compose(
    notice: AnyNotice, to: Recipient, *, entropy: bytes, now: int, expires_at: int, default_language: str = "en"
) -> MailRow:
    """Return the row to insert in the transaction of the effect that the mail tells about.

    Args:
        entropy: 16 bytes for the mail's identity.
        expires_at: from then on the mail is of no use and is dropped.
    """
    return MailRow(
        mail=random_id(entropy),
        member=to.member,
        recipient=to.address,
        language=choose_language(to.languages, default_language),
        notice=encode_notice(notice),
        due_at=now,
        expires_at=expires_at,
    )


class Transport(Protocol):
    """Takes a mail off our hands."""

    async def send(self, mail: EmailMessage) -> None:
        """Return when somebody else has the mail. Raises: RefusedError: never try again; UnavailableError: later."""
        ...


class Pumped(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did, in mails; counts only, because an address must not reach a log."""

    sent: int = 0
    retried: int = 0
    refused: int = 0
    expired: int = 0


class MailPump:
    """Sends what waits in the outbox; exactly one runs per database."""

    def __init__(self, store: Store, clock: Clock, transport: Transport, *, sender: Address) -> None:
        self._store = store
        self._clock = clock
        self._transport = transport
        self._sender = sender

    async def run(self, report: Callable[[Pumped], None] = lambda _: None) -> NoReturn:
        """Pump for ever; `report` gets the figures of each round that did something."""
        while True:
            pumped = await self.pump()
            if pumped != Pumped():
                report(pumped)
            await self._clock.sleep(POLL_S)

    async def pump(self) -> Pumped:
        """Try every mail that is due, once."""
        async with self._store.read() as reader:
            due = await reader.find(MailRow, at_most("due_at", self._clock.now()), order="due_at", limit=BATCH)
        totals = {"": 0} | dict.fromkeys(Pumped.__struct_fields__, 0)
        for row in due:
            totals[await self._take(row)] += 1
        totals.pop("")
        return Pumped(**totals)

    async def _take(self, row: MailRow) -> str:
        """Deal with one mail and return which figure it counts for; a mail to nobody counts for none."""
        now = self._clock.now()
        outcome = "expired" if row.expires_at <= now else await self._send(row) if row.recipient else ""
        async with self._store.write() as writer:
            if outcome != "retried":
                await writer.delete(MailRow, where(mail=row.mail))
            # An erased person's mail must not come back.
            elif await writer.get(MailRow, row.mail):
                pause = min(FIRST_PAUSE_S * 2 ** min(row.tries, 10), LONGEST_PAUSE_S)
                await writer.put(replace(row, tries=row.tries + 1, due_at=now + pause))
        return outcome

    async def _send(self, row: MailRow) -> str:
        try:
            await self._transport.send(self._message(row))
        except UnavailableError:
            return "retried"
        except (MeshError, ValueError, msgspec.MsgspecError):  # the last two: what stands in the row makes no mail
            return "refused"
        return "sent"

    def _message(self, row: MailRow) -> EmailMessage:
        words = word(decode_notice(row.notice), row.language)
        return message(
            words,
            sender=self._sender,
            recipient=row.recipient,
            mail=row.mail,
            at=self._clock.now(),
            language=row.language,
        )


class SmtpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the SMTP server; `security` other than `none` never falls back to clear text."""

    host: str
    port: int
    security: str = "starttls"
    username: str = ""
    password: str = ""
    timeout_s: float = 30.0

    def __repr__(self) -> str:
        return f"SmtpSettings({self.host}:{self.port})"


class SmtpTransport:
    """Hands mails to an SMTP server, each over its own connection."""

    def __init__(self, settings: SmtpSettings, *, tls: "ssl.SSLContext | None" = None) -> None:
        self._settings = settings
        self._tls = tls

    async def send(self, mail: EmailMessage) -> None:
        """Return once the server took the mail."""
        import aiosmtplib

        set_to = self._settings
        try:
            await aiosmtplib.send(
                mail,
                hostname=set_to.host,
                port=set_to.port,
                username=set_to.username or None,
                password=set_to.password or None,
                use_tls=set_to.security == "tls",
                start_tls=set_to.security == "starttls",
                timeout=set_to.timeout_s,
                tls_context=self._tls,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            _raise([refused.code for refused in error.recipients])
        except aiosmtplib.SMTPDataError as error:
            _raise([error.code])
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            _raise([])


def _raise(codes: list[int]) -> NoReturn:
    """Raise by the server's codes: 5xx about this mail is final, everything else may be mended by waiting."""
    if codes and all(code >= 500 for code in codes):
        raise RefusedError("the mail server refused a recipient or a mail for good")
    raise UnavailableError("the mail server did not take a mail; check [mail] and the server")


class DropTransport:
    """For development: writes each mail as a file into a folder and says so."""

    def __init__(self, folder: Path, clock: Clock, *, echo: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._clock = clock
        self._echo = echo

    async def send(self, mail: EmailMessage) -> None:
        """Write `TIME-MESSAGEID.eml`, readable by the node's user alone."""
        name = f"{self._clock.now_ms()}-{mail['Message-ID'].strip('<>').partition('@')[0]}.eml"
        try:
            await asyncio.to_thread(self._write, name, mail.as_bytes())
        except OSError:
            raise UnavailableError("the mail folder cannot be written") from None
        self._echo(f"mail for {mail['To']}: {mail['Subject']} ({self._folder / name})")

    def _write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f".{name}.part"
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        part.touch(mode=0o600)
        part.write_bytes(content)
        part.replace(self._folder / name)
