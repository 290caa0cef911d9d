"""Turns settings into what the parts of a node take from outside: files, mail server, the way to peers."""

import ssl
import sys
from email.headerregistry import Address
from pathlib import Path
from typing import Final

from federation.client import ClientSettings, PeerClient
from federation.ports import Clock, Entropy
from protocol.crowd import FamilyMap, parse_family_map
from protocol.errors import RefusedError
from protocol.signing import SigningKey
from protocol.tlog.policy import Policy, parse_policy

from .keyfiles import read_private
from .sections import Config
from .services.mail import DropTransport, SmtpSettings, SmtpTransport, Transport

MAIL_FOLDER: Final = "mail"


def family_map(directory: Path, config: Config) -> FamilyMap:
    """Return the operator's map of job families, empty without one. Raises: RefusedError, MalformedError."""
    if not config.vocabulary.families:
        return FamilyMap()
    try:
        data = (directory / config.vocabulary.families).read_bytes()
    except OSError:
        raise RefusedError("[vocabulary] families names a file that cannot be read", code="config") from None
    return parse_family_map(data)


def log_policy(directory: Path, config: Config) -> Policy | None:
    """Return the operator's witness policy, None without one. Raises: RefusedError, MalformedError, LimitError."""
    if not config.log.policy:
        return None
    try:
        data = (directory / config.log.policy).read_bytes()
    except OSError:
        raise RefusedError("[log] policy names a file that cannot be read", code="config") from None
    return parse_policy(data)


def sender(config: Config) -> Address:
    """Return the address that mails come from."""
    return Address(display_name=config.org.display_name, addr_spec=config.mail.sender)


def mail_transport(directory: Path, config: Config, clock: Clock) -> Transport:
    """Return what takes outgoing mail. Raises: RefusedError: the password file is missing or open to others."""
    settings = config.mail
    if settings.mode == "drop":
        echo = _say if config.development.enabled else (lambda _: None)
        return DropTransport(directory / MAIL_FOLDER, clock, echo=echo)
    return SmtpTransport(smtp_settings(directory, config))


def smtp_settings(directory: Path, config: Config) -> SmtpSettings:
    """Return how to reach the mail server. Raises: RefusedError: as `mail_transport`."""
    settings = config.mail
    password = read_private(directory / settings.password_file).strip() if settings.password_file else ""
    return SmtpSettings(
        host=settings.host,
        port=settings.port,
        security=settings.security,
        username=settings.username,
        password=password,
        timeout_s=settings.timeout_s,
    )


def _say(line: str) -> None:
    """Tell the developer at the terminal about a mail; in production nothing of a mail is printed."""
    sys.stderr.write(line + "\n")


def peer_client(directory: Path, config: Config, key: SigningKey, clock: Clock, entropy: Entropy) -> PeerClient:
    """Return the client for requests to peers. Raises: RefusedError: the file of authorities cannot be read."""
    egress = config.egress
    settings = ClientSettings(
        connect_s=egress.connect_s,
        total_s=egress.total_s,
        answer_bytes=egress.answer_bytes,
        development=config.development.enabled,
        proxy=egress.proxy,
        allow=frozenset(egress.allow),
    )
    return PeerClient(key=key, clock=clock, entropy=entropy, settings=settings, tls=_trust(directory, egress.ca_file))


def _trust(directory: Path, ca_file: str) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=directory / ca_file)
    except (OSError, ssl.SSLError):
        raise RefusedError("[egress] ca_file cannot be read, or holds no certificates", code="config") from None
