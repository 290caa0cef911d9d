"""The self-check of a machine and node directory; every red finding comes with what to do.

What can be checked without opening the node stands here; peers are asked through the node's operations.
"""

import os
import shutil
import stat
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from federation.checkup import CLOCK_WARNING_S
from protocol.errors import MeshError

from . import config as configuration
from .api.server import bind
from .keyfiles import ROLES, check_private
from .keys import KEY_FOLDER, RECOVERY_FILE, TOKEN_FILE, load_keys
from .outside import MAIL_FOLDER, family_map, smtp_settings
from .sections import Config
from .serving import tls_context
from .store import library, opening

Level = Literal["green", "yellow", "red"]

#: No clock of a machine that runs this program is right before this second (start of 2025).
EARLIEST_NOW: Final = 1_735_689_600
SKEW_S: Final = 60
WARN_DAYS: Final = 30
URGENT_DAYS: Final = 7
#: Sessions of a process with its PostgreSQL beside those that read: one writes, two carry files.
SESSIONS_BESIDE: Final = 3
DAY_S: Final = 86_400


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the self-check."""

    check: str
    level: Level
    detail: str
    fix: str = ""


def green(check: str, detail: str) -> Check:
    """Return a line about something that is well."""
    return Check(check=check, level="green", detail=detail)


def red(check: str, detail: str, fix: str) -> Check:
    """Return a line about something that must be mended."""
    return Check(check=check, level="red", detail=detail, fix=fix)


def check_machine() -> Iterator[Check]:
    """Yield what the machine must have for any node."""
    yield green("python", ".".join(map(str, sys.version_info[:3])))
    if library.is_new_enough():
        yield green("sqlite", library.version())
    else:
        yield red("sqlite", f"{library.version()} is too old", "install a Python built with SQLite 3.40 or newer")


def check_configuration(directory: Path, environment: Mapping[str, str]) -> tuple[Config | None, list[Check]]:
    """Return the configuration, if it can be used, and what was found about it."""
    try:
        config = configuration.load(directory, environment)
    except configuration.ConfigError as error:
        fix = "correct it in mentormesh.toml or in the environment; see docs/reference/configuration.md"
        return None, [red("configuration", problem, fix) for problem in error.problems]
    except MeshError as error:
        return None, [red("configuration", str(error), "name the node's directory with --dir, or make it with init")]
    checks = [green("configuration", f"{config.name}, {config.node.entity}")]
    if config.development.enabled:
        fix = "remove [development] before other people use this node"
        checks.append(
            Check(check="configuration", level="yellow", detail="development mode: no TLS, loopback peers", fix=fix)
        )
    return config, checks


def check_files(directory: Path, config: Config) -> Iterator[Check]:
    """Yield whether keys and settings are there, readable by the node alone, and whether the node can write."""
    wrong = list(_open_files(directory))
    yield from wrong
    if not wrong:
        try:
            load_keys(directory)
            family_map(directory, config)
            yield green("files", "keys and settings are there and private")
        except MeshError as error:
            yield red("files", str(error), "restore the file from a backup, or correct the setting that names it")
    if (directory / RECOVERY_FILE).exists():
        fix = f"copy {RECOVERY_FILE} to a safe place offline, then delete it here"
        yield Check(check="files", level="yellow", detail="the recovery key is still on this machine", fix=fix)
    for folder in (directory, directory / Path(config.store.path).parent):
        if folder.exists() and not os.access(folder, os.W_OK):
            yield red("files", f"{folder.name} cannot be written", "give the folder to the user that runs the node")


def _open_files(directory: Path) -> Iterator[Check]:
    private = [directory / KEY_FOLDER, *(directory / KEY_FOLDER / f"{role}.key" for role in ROLES)]
    for path in (*private, directory / TOKEN_FILE):
        try:
            check_private(path)
        except MeshError as error:
            wanted = "700" if path.name == KEY_FOLDER else "600"
            yield red("files", str(error), f"chmod {wanted} {path}")
    settings = directory / configuration.FILE_NAME
    if stat.S_IMODE(settings.stat().st_mode) & 0o022:
        yield red("files", f"{settings.name} can be changed by other users", f"chmod 600 {settings}")


def check_disk(directory: Path, config: Config) -> Check:
    """Return whether there is room for the database to grow."""
    free_mib = shutil.disk_usage(directory).free // 2**20
    if free_mib < config.store.least_free_mib:
        return red("disk", f"{free_mib:,} MiB free", "make room: with a full disk the node answers but stores nothing")
    return green("disk", f"{free_mib:,} MiB free")


def check_clock(directory: Path, config: Config, *, now: int) -> Check:
    """Return whether the clock can be right: not before this program was written, nor before what the node wrote."""
    data = (directory / config.store.path).parent
    written = max((int(path.stat().st_mtime) for path in data.glob("*")), default=0)
    if now < EARLIEST_NOW or now + SKEW_S < written:
        return red("clock", "the clock is behind", "set it, and keep it right with a time service (chrony, timesyncd)")
    return green("clock", "not behind what the node has written")


def check_clock_beside(others: Sequence[int]) -> Check | None:
    """Return whether this clock is right beside those of peers, or None when fewer than two of them have said.

    Half of the peers decide nothing: their clocks may be wrong, or lie.

    Args:
        others: seconds by which each peer's clock is ahead of this one.
    """
    if len(others) < 2:
        return None
    low, high = statistics.median_low(others), statistics.median_high(others)
    if low <= CLOCK_WARNING_S and high >= -CLOCK_WARNING_S:
        return green("clock", f"no more than {CLOCK_WARNING_S} s from the clocks of most of {len(others)} peers")
    said = f"{low} s behind" if low > 0 else f"{-high} s ahead of"
    fix = "set it, and keep it right with a time service (chrony, timesyncd)"
    return red("clock", f"{said} the clocks of most of {len(others)} peers", fix)


async def check_database(directory: Path, config: Config, *, now: int) -> list[Check]:
    """Return how the PostgreSQL server is, for a node that keeps its rows there."""
    if not config.store.url:
        return []
    try:
        server = opening.database(directory, config.store)
        from .store.postgres.inspection import examine

        facts = await examine(server, now=now)
    except MeshError as error:
        return [red("database", str(error), "mend what is said; docs/reference/storage.md explains [store] url")]
    checks = [green("database", f"PostgreSQL {facts.version}")]
    if not facts.crash_safe:
        fix = "set fsync and full_page_writes to on in postgresql.conf"
        checks.append(red("database", "the server does not wait for its disk: a crash loses what peers rely on", fix))
    if abs(ahead := facts.now - now) > CLOCK_WARNING_S:
        said = f"{ahead} s behind" if ahead > 0 else f"{-ahead} s ahead of"
        fix = "set both by a time service: processes of a node agree on what is over by their clocks"
        checks.append(red("clock", f"{said} the clock of the database", fix))
    # One more than there are: it starts while an old one stops, or while this node's own is still to come.
    processes = facts.processes + 1 if config.store.several else 1
    needed = processes * (config.store.sessions + SESSIONS_BESIDE + config.store.several)
    if facts.most_connections < needed:
        fix = "raise max_connections of the server, or lower [store] sessions"
        said = f"the processes ({processes}) open up to {needed} connections, the server takes {facts.most_connections}"
        checks.append(red("database", said, fix))
    return checks


def check_port(config: Config) -> Check:
    """Return whether the port is free, for a node that does not run."""
    try:
        bind(config.listen_host, config.listen_port).close()
    except MeshError as error:
        return red("port", str(error), "stop the other program, or change [node] listen")
    return green("port", f"{config.node.listen} is free; the node does not run")


def check_tls(directory: Path, config: Config, *, now: int) -> Iterator[Check]:
    """Yield whether the certificate is good, and warn before it ends."""
    if not config.tls.certificate:
        return
    try:
        tls_context(directory, config)
    except MeshError as error:
        yield red("tls", str(error), "name the PEM files of the certificate chain and its key, readable by this user")
        return
    from cryptography import x509

    certificate = x509.load_pem_x509_certificates((directory / config.tls.certificate).read_bytes())[0]
    days = (int(certificate.not_valid_after_utc.timestamp()) - now) // DAY_S
    if days < URGENT_DAYS:
        yield red("tls", f"the certificate ends in {days} days", "renew it, then restart the node")
    elif days < WARN_DAYS:
        yield Check(check="tls", level="yellow", detail=f"the certificate ends in {days} days", fix="renew it")
    else:
        yield green("tls", f"the certificate is good for {days} days")


async def check_mail(directory: Path, config: Config) -> Check:
    """Return whether mail can be handed over: a greeting and sign-in at the server, nothing is sent."""
    if config.mail.mode == "drop":
        folder = directory / MAIL_FOLDER
        if not config.development.enabled:
            fix = 'set [mail] mode = "smtp", host and sender: without mail nobody can sign in'
            return Check(check="mail", level="yellow", detail="mails are only written into DIR/mail", fix=fix)
        if folder.exists() and not os.access(folder, os.W_OK):
            return red("mail", "DIR/mail cannot be written", "give the folder to the user that runs the node")
        return green("mail", "written into DIR/mail")
    import aiosmtplib

    fix = "check host, port, security, username and password_file in [mail], and that the server lets this machine in"
    try:
        settings = smtp_settings(directory, config)
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username or None,
            password=settings.password or None,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            timeout=min(settings.timeout_s, 10),
        )
        async with client:
            await client.ehlo()
    except MeshError as error:
        return red("mail", str(error), fix)
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        return red("mail", f"the mail server did not take us ({type(error).__name__})", fix)
    return green("mail", f"{settings.host} takes our mail")
