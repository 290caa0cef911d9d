"""Tests of the outgoing mail: a real SMTP server on loopback, files, retries and expiry."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from federation.ports import where
from node.rows import MailRow
from node.services.mail import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    POLL_S,
    DropTransport,
    MailPump,
    Pumped,
    Recipient,
    SmtpSettings,
    SmtpTransport,
    Transport,
    compose,
)
from node.services.notices import NewDevice, SignInLink
from protocol.errors import RefusedError, UnavailableError
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.fakes.memory_store import MemoryStore
from tests.patience import PATIENCE_S

from .world import World, people_file, row

SENDER = Address("Aurora Freight", "mentoring", "aurora.example")
ANA = Recipient(member="m1", address="ana@aurora.example", languages=("en",))
ENTROPY = SeededEntropy(7)


#: An option of aiosmtpd.
Option: TypeAlias = Any


class Inbox:
    """What a mail server took; `answer` is what it says to each mail, `to_recipient` to each recipient."""

    def __init__(self, answer: str = "250 OK", to_recipient: str = "250 OK") -> None:
        self.answer = answer
        self.to_recipient = to_recipient
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.encrypted: list[bool] = []

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: object, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.encrypted.append(session.ssl is not None)
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
            self.recipients.append(address)
        return self.to_recipient

    async def handle_DATA(self, _server: object, _session: Session, envelope: Envelope) -> str:  # noqa: N802 -- the same
        assert isinstance(envelope.content, bytes)
        parsed = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        if self.answer.startswith("250"):
            self.mails.append(parsed)
        return self.answer


@asynccontextmanager
async def server(inbox: Inbox, **options: Option) -> AsyncIterator[SmtpSettings]:
    def connected() -> SMTP:
        return SMTP(inbox, loop=asyncio.get_running_loop(), hostname="mail.example", **options)

    listening = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        yield SmtpSettings(host="127.0.0.1", port=port, security="none", timeout_s=PATIENCE_S)


def mail(notice: NewDevice | SignInLink | None = None, *, to: Recipient = ANA, now: int, life_s: int = 3600) -> MailRow:
    notice = notice or NewDevice(hint="A laptop", first=True, added_on=now)
    return compose(notice, to, entropy=ENTROPY.take(16), now=now, expires_at=now + life_s)


async def waiting(pump_world: "Post") -> list[MailRow]:
    async with pump_world.store.read() as reader:
        return await reader.find(MailRow)


class Post:
    """A store, a clock and a pump."""

    def __init__(self, transport: Transport) -> None:
        self.store = MemoryStore()
        self.clock = SteppedClock()
        self.pump = MailPump(self.store, self.clock, transport, sender=SENDER)

    async def put(self, *rows: MailRow) -> None:
        async with self.store.write() as writer:
            await writer.insert(*rows)


class Failing:
    """A transport that fails as it is told, and counts."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.sent = 0

    async def send(self, mail: EmailMessage) -> None:
        assert mail["To"]
        if self.error is not None:
            raise self.error
        self.sent += 1


async def test_a_mail_reaches_a_real_server_with_both_forms_and_is_forgotten() -> None:
    inbox = Inbox()
    async with server(inbox) as settings:
        post = Post(SmtpTransport(settings))
        row = mail(now=post.clock.now())
        await post.put(row)
        assert await post.pump.pump() == Pumped(sent=1)
    (got,) = inbox.mails
    assert inbox.recipients == ["ana@aurora.example"]
    assert got["Subject"] == "Your first device was added"
    assert got["From"] == "Aurora Freight <mentoring@aurora.example>"
    assert got["Message-ID"] == f"<{row.mail}@aurora.example>"
    assert got["Auto-Submitted"] == "auto-generated"
    text, html = got.get_body(("plain",)), got.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "A laptop" in text.get_content()
    assert "A laptop" in html.get_content()
    assert await waiting(post) == []


@pytest.mark.parametrize(
    ("answer", "to_recipient", "outcome"),
    [
        ("250 OK", "550 no such user", Pumped(refused=1)),
        ("554 spam", "250 OK", Pumped(refused=1)),
        ("250 OK", "450 mailbox busy", Pumped(retried=1)),
        ("451 try later", "250 OK", Pumped(retried=1)),
    ],
)
async def test_the_server_decides_whether_trying_again_makes_sense(
    answer: str, to_recipient: str, outcome: Pumped
) -> None:
    async with server(Inbox(answer, to_recipient)) as settings:
        post = Post(SmtpTransport(settings))
        await post.put(mail(now=post.clock.now()))
        assert await post.pump.pump() == outcome
    assert len(await waiting(post)) == outcome.retried


async def test_a_server_that_is_away_is_tried_again_after_growing_pauses() -> None:
    async with server(Inbox()) as settings:
        pass
    post = Post(SmtpTransport(settings))
    await post.put(mail(now=post.clock.now(), life_s=10**6))
    pauses = []
    for tries in range(1, 9):
        assert await post.pump.pump() == Pumped(retried=1)
        (row,) = await waiting(post)
        assert row.tries == tries
        pauses.append(row.due_at - post.clock.now())
        assert await post.pump.pump() == Pumped()
        post.clock.advance(pauses[-1])
    assert pauses == [min(FIRST_PAUSE_S * 2**tries, LONGEST_PAUSE_S) for tries in range(8)]


def self_signed(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return contexts of a server and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "tls.pem").write_bytes(pem + private)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "tls.pem")
    return serving, ssl.create_default_context(cadata=pem.decode())


def check(_server: object, _session: object, _envelope: object, _mechanism: str, data: object) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"node", b"secret"), handled=False)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("password", "sent"), [("secret", True), ("wrong", False)])
async def test_starttls_and_login_are_used_when_asked_for(tmp_path: Path, password: str, sent: bool) -> None:
    serving, trusting = self_signed(tmp_path)
    inbox = Inbox()
    options = {"tls_context": serving, "require_starttls": True, "auth_required": True, "authenticator": check}
    async with server(inbox, **options) as plain:
        settings = SmtpSettings(
            host="localhost",
            port=plain.port,
            security="starttls",
            username="node",
            password=password,
            timeout_s=PATIENCE_S,
        )
        post = Post(SmtpTransport(settings, tls=trusting))
        await post.put(mail(now=post.clock.now()))
        assert await post.pump.pump() == (Pumped(sent=1) if sent else Pumped(retried=1))
    assert inbox.encrypted == ([True] if sent else [])


async def test_a_server_without_starttls_or_with_a_strange_certificate_gets_nothing(tmp_path: Path) -> None:
    serving, _ = self_signed(tmp_path)
    for options in ({}, {"tls_context": serving}):
        inbox = Inbox()
        async with server(inbox, **options) as plain:
            settings = SmtpSettings(host="localhost", port=plain.port, security="starttls", timeout_s=PATIENCE_S)
            post = Post(SmtpTransport(settings))
            await post.put(mail(now=post.clock.now()))
            assert await post.pump.pump() == Pumped(retried=1)
        assert inbox.mails == []


async def test_a_mail_that_is_too_late_is_dropped_unsent() -> None:
    transport = Failing(None)
    post = Post(transport)
    await post.put(mail(now=post.clock.now(), life_s=900))
    post.clock.advance(900)
    assert await post.pump.pump() == Pumped(expired=1)
    assert transport.sent == 0
    assert await waiting(post) == []


async def test_a_mail_to_nobody_is_dropped_without_a_trace() -> None:
    transport = Failing(None)
    post = Post(transport)
    await post.put(mail(now=post.clock.now(), to=Recipient(member="", address="")))
    assert await post.pump.pump() == Pumped()
    assert (transport.sent, await waiting(post)) == (0, [])


@pytest.mark.parametrize(
    "address", ["ana@aurora.example\nBcc: eve@evil.example", "ana@aurora.example, eve@evil.example"]
)
async def test_an_address_that_smuggles_a_header_or_a_recipient_is_never_sent(address: str) -> None:
    transport = Failing(None)
    post = Post(transport)
    await post.put(mail(now=post.clock.now(), to=Recipient(member="m1", address=address)))
    assert await post.pump.pump() == Pumped(refused=1)
    assert (transport.sent, await waiting(post)) == (0, [])


async def test_one_bad_mail_does_not_stop_the_others() -> None:
    transport = Failing(None)
    post = Post(transport)
    now = post.clock.now()
    broken = mail(now=now, to=Recipient(member="m1", address="x"))
    of_another_version = replace(mail(now=now), notice='{"notice":"unknown"}')
    await post.put(broken, of_another_version, mail(now=now))
    assert await post.pump.pump() == Pumped(sent=1, refused=2)


async def test_a_mail_erased_while_it_is_being_sent_does_not_come_back() -> None:
    class Erasing(Failing):
        async def send(self, mail: EmailMessage) -> None:
            async with post.store.write() as writer:
                await writer.delete(MailRow, where(member="m1"))
            await super().send(mail)

    post = Post(Erasing(UnavailableError("away")))
    await post.put(mail(now=post.clock.now()))
    assert await post.pump.pump() == Pumped(retried=1)
    assert await waiting(post) == []


async def test_a_refusal_of_the_transport_is_final() -> None:
    post = Post(Failing(RefusedError("no")))
    await post.put(mail(now=post.clock.now()))
    assert await post.pump.pump() == Pumped(refused=1)
    assert await waiting(post) == []


@asynccontextmanager
async def running(post: Post) -> AsyncIterator[asyncio.Queue[Pumped]]:
    seen: asyncio.Queue[Pumped] = asyncio.Queue()
    task = asyncio.create_task(post.pump.run(seen.put_nowait))
    await post.clock.until_sleeping()
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_pump_looks_every_second_and_tells_only_what_it_did() -> None:
    post = Post(Failing(None))
    async with running(post) as seen:
        for _ in range(2):
            await post.put(mail(now=post.clock.now()))
            await post.clock.until_sleeping()
            post.clock.advance(POLL_S)
            assert await seen.get() == Pumped(sent=1)
        await post.clock.until_sleeping()
        post.clock.advance(POLL_S)
        await post.clock.until_sleeping()
        assert seen.empty()


async def test_in_development_a_mail_becomes_a_file_for_the_nodes_user_alone(tmp_path: Path) -> None:
    said: list[str] = []
    clock = SteppedClock()
    post = Post(DropTransport(tmp_path / "mail", clock, echo=said.append))
    await post.put(mail(SignInLink(link="https://aurora.example/sign-in#t", minutes=15), now=post.clock.now()))
    assert await post.pump.pump() == Pumped(sent=1)
    (file,) = (tmp_path / "mail").iterdir()
    assert file.suffix == ".eml"
    assert file.stat().st_mode & 0o777 == 0o600
    parsed = message_from_bytes(file.read_bytes(), policy=policy.default)
    body = parsed.get_body(("plain",))
    assert body is not None
    assert "mentormesh person sign-in 'https://aurora.example/sign-in#t'" in body.get_content()
    assert said == [f"mail for ana@aurora.example: Your sign-in link ({file})"]


async def test_a_folder_that_cannot_be_written_means_later(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")
    post = Post(DropTransport(tmp_path / "mail", SteppedClock()))
    await post.put(mail(now=post.clock.now()))
    assert await post.pump.pump() == Pumped(retried=1)


def test_the_settings_show_no_password() -> None:
    settings = SmtpSettings(host="mail.example", port=587, username="node", password="hush")
    assert "hush" not in repr(settings)


async def test_the_mail_of_a_member_speaks_their_language(world: World) -> None:
    await world.add(people_file(row("E1", languages="fr;de-AT;en")))
    await world.accounts.request_link("e1@aurora.example", address="192.0.2.1")
    assert [mail.language for mail in await world.mails()] == ["de"]
