"""`mentormesh person`: sign in with this device, look after its keys, take or erase what the node holds."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from cli.client.account import parse_link
from cli.client.api import NodeApi
from cli.client.blocks import blocked
from cli.client.check_views import KeyCheck
from cli.client.http import Http, parse_url
from cli.client.person import Person
from cli.client.pins import name_of
from cli.client.selfcheck import RED
from cli.client.unlock import (
    discard,
    given_passphrase,
)
from cli.client.vault import FILE_NAME
from cli.client.views import LinkCode, Synced, View
from protocol.errors import MissingError, RefusedError

from .archive import archive
from .contacts import contacts
from .leaving import leave, move, take_out_command
from .masterkey import change_master_key
from .person_access import (
    AS_JSON,
    THIS_DEVICE,
    Terminal,
    default_home,
    home_options,
    person_command,
    run_until_interrupted,
    thread_named,
)
from .person_vault import vault_of
from .recovery import recovery


class Shown(View, frozen=True, kw_only=True):
    """What this device is."""

    home: str
    entity: str
    url: str
    member: str
    name: str
    signed_in: bool
    organizations: tuple[str, ...]
    takeaways: int
    contacts: int
    master_key: str


@click.group()
def person() -> None:
    """Sign in with this device and look after what is yours."""


person.add_command(contacts)
person.add_command(recovery)
person.add_command(leave)
person.add_command(take_out_command)
person.add_command(move)
person.add_command(change_master_key)
person.add_command(archive)


@person.command("sign-in")
@click.argument("link", required=False)
@click.option("--url", help="Address of your node, to have a link mailed.")
@click.option("--mail", help="Your mail address, to have a link mailed.")
@click.option("--name", default="", help="Your name, as the other person of a session reads it.")
@click.option("--hint", default="", help="What this device is called in your list of devices.")
@click.option("--only-data", is_flag=True, help="Lost your device? Sign in just to export or erase your data.")
@click.option("--keyring", is_flag=True, help="Keep the vault's key in the keyring of this machine, not a passphrase.")
@home_options
def sign_in(
    *,
    link: str | None,
    url: str | None,
    mail: str | None,
    name: str,
    hint: str,
    home: Path | None,
    passphrase_file: Path | None,
    language: str,
    only_data: bool,
    keyring: bool,
    as_json: bool,
) -> None:
    """Sign in with the LINK that was mailed to you (in quotes); or have one mailed with --url and --mail."""
    terminal = Terminal(as_json=as_json, language=language)
    if link is None:
        run_until_interrupted(_want_link(terminal, url, mail))
        return
    parse_link(link)
    folder = home or default_home()
    known = (folder / FILE_NAME).exists()
    vault = vault_of(folder, given_passphrase(passphrase_file), keyring=keyring)
    if not name and terminal.can_ask and vault.read().account is None:
        name = click.prompt("Your name, as the other person of a session reads it", default="", err=True)

    async def run() -> None:
        async with Person(vault) as me:
            done = await me.sign_in(link, name=name, hint=hint, only_data=only_data)
            lines = [f"Signed in at {name_of(me.state, done.entity)} ({done.url})."]
            if done.first_device and not only_data:
                lines.append(f"This device is now your account's first. Its keys are in {folder}: keep a copy.")
            _report(terminal, done, lines, done.synced)

    try:
        run_until_interrupted(run())
    finally:
        if not known and vault.read().account is None:  # a vault that nobody signed in with is nothing to keep
            discard(vault)


@person.command()
@click.argument("link", required=False, default="")
@click.option("--name", default="", help="Your name, if another one than on your other device.")
@click.option("--hint", default="", help="What this device is called in your list of devices.")
@click.option("--keyring", is_flag=True, help="Keep the vault's key in the keyring of this machine, not a passphrase.")
@home_options
def link(
    *,
    link: str,
    name: str,
    hint: str,
    home: Path | None,
    passphrase_file: Path | None,
    language: str,
    keyring: bool,
    as_json: bool,
) -> None:
    """Add this device to your account that has one already, with the LINK that was mailed to you.

    Shows a code of eight digits; type it on your other device: mentormesh person approve CODE.
    """
    terminal = Terminal(as_json=as_json, language=language)
    if link:
        parse_link(link)
    folder = home or default_home()
    known = (folder / FILE_NAME).exists()
    vault = vault_of(folder, given_passphrase(passphrase_file), keyring=keyring)

    async def run() -> None:
        async with Person(vault) as me:
            linking = await me.link(link, name=name, hint=hint)
            _show_code(terminal, linking.code)
            if not terminal.as_json:
                terminal.say("Waiting for your other device …")
            try:
                done = await linking.finish()
            except asyncio.CancelledError:
                await linking.give_up()
                raise
            lines = [f"This device is now one of yours at {name_of(me.state, done.entity)} ({done.url})."]
            _report(terminal, done, lines, done.synced)

    try:
        run_until_interrupted(run())
    finally:
        if not known and vault.read().account is None:  # a vault that nobody signed in with is nothing to keep
            discard(vault)


def _show_code(terminal: Terminal, shown: LinkCode) -> None:
    if terminal.as_json:
        terminal.result(shown, "")
        return
    import segno

    segno.make(shown.qr, error="m", micro=False).terminal(out=sys.stderr, compact=True)
    code = f"{shown.code[:4]} {shown.code[4:]}"
    terminal.result(
        shown, [f"Code: {code}", f"On your other device, within ten minutes: mentormesh person approve {code}"]
    )


@person.command()
@click.argument("code", nargs=-1, required=True)
@person_command
async def approve(me: Person, terminal: Terminal, code: tuple[str, ...]) -> None:
    """Let the device into your account that shows this CODE, because you hold it in your hands."""
    done = await me.approve("".join(code))
    terminal.result(done, "The new device is one of yours now. `mentormesh person devices` lists all of them.")


async def _want_link(terminal: Terminal, url: str | None, mail: str | None) -> None:
    if not url or not mail:
        raise click.UsageError("name the LINK from your mail, or --url and --mail to have one mailed")
    async with Http() as http:
        await NodeApi(http, parse_url(url)).want_link(mail)
    terminal.result({"mailed": True}, "If this is a member's address, a link was mailed there; use it soon.")


def _report(terminal: Terminal, value: object, lines: list[str], synced: Synced) -> None:
    if synced.enrolled:
        lines.append(f"Keys are ready for {', '.join(synced.enrolled)}.")
    terminal.result(value, lines)
    for warning in synced.warnings:
        terminal.warn(warning)


@person.command()
@click.option(
    "--wait", is_flag=True, help="Return once others can check this device's keys, a quarter of a minute at most."
)
@person_command
async def sync(me: Person, terminal: Terminal, *, wait: bool) -> None:
    """Look for new organizations, and renew keys that end soon.

    A new device can be met once its keys stand in the logs of its organization, where others can check them.
    """
    done = await me.sync()
    lines = [f"Known: {', '.join(done.organizations)}."]
    if wait:
        await me.listed()
        lines.append("Others can check this device's keys.")
    _report(terminal, done, lines, done)


@person.command()
@click.argument("entity")
@click.option("--yes", is_flag=True, help="You have compared the words already.")
@person_command
async def trust(me: Person, terminal: Terminal, entity: str, *, yes: bool) -> None:
    """Believe the new key of the organization ENTITY, after you compared its words by phone."""
    pin = me.state.pins.get(entity)
    if pin is None or not pin.changed:
        raise MissingError("no organization of this name has changed its key")
    _confirm(terminal, f"The new words are: {pin.changed}. Did your contact read out the same ones?", yes=yes)
    me.accounts.trust(entity, pin.changed)
    done = await me.sync()
    _report(terminal, done, [f"The new key of {entity} is kept."], done)


@person.command()
@person_command
async def show(me: Person, terminal: Terminal) -> None:
    """Show who this device is, without asking the node."""
    state = me.state
    if state.account is None:
        raise RefusedError("this device is not signed in: use `mentormesh person sign-in LINK`", code="not-signed-in")
    names = tuple(name_of(state, entity) for entity in sorted(state.pins))
    about = Shown(
        home=str(me.folder),
        entity=state.account.entity,
        url=state.account.url,
        member=state.account.member,
        name=state.account.name,
        signed_in=bool(state.account.token),
        organizations=names,
        takeaways=len(state.takeaways),
        contacts=len(state.contacts),
        master_key=state.account_secret.master().public.text,
    )
    rows = [(name, _plain(value)) for name, value in msgspec.structs.asdict(about).items()]
    terminal.table(about, ("field", "value"), rows, empty="")


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@person.command()
@click.option("--remove", metavar="DEVICE", help="Remove this device of yours.")
@person_command
async def devices(me: Person, terminal: Terminal, remove: str | None) -> None:
    """List the devices of your account, or remove one, also from the sessions that are open here."""
    listed = (await me.api.me()).devices
    if remove is not None:
        if any(one.this and one.device == remove for one in listed):
            raise RefusedError(THIS_DEVICE, code="this-device")
        await me.remove_device(remove)
        listed = (await me.api.me()).devices
    rows = [(one.device, one.hint, _day(one.added_on), _day(one.seen_on), "this" if one.this else "") for one in listed]
    terminal.table(listed, ("device", "name", "added", "seen", ""), rows, empty="Your account has no device.")


@person.command("check-keys")
@click.option(
    "--connect",
    "connect_to",
    metavar="ENTITY=127.0.0.1:PORT",
    multiple=True,
    help="Find an organization at this loopback address: for several nodes on one machine.",
)
@person_command
async def check_keys(me: Person, terminal: Terminal, *, connect_to: tuple[str, ...]) -> None:
    """Look at every other organization whether your own keys, and no others, are shown as you there.

    Your program does this by itself once a day, at a random hour. Exit code 1 when something is wrong.
    """
    for place in connect_to:
        entity, _, address = place.partition("=")
        me.self_check.connect(entity, address)
    checks = await me.self_check.all()
    terminal.result(checks, [line for one in checks for line in check_lines(one)])
    for one in checks:
        if one.outcome in RED:
            terminal.warn(f"{one.sentence}.")
    if any(one.outcome in RED for one in checks):
        click.get_current_context().exit(1)


def check_lines(check: KeyCheck) -> list[str]:
    """Return a look as lines: what was compared, and what came of it."""
    mark = {"clean": "ok", "unwitnessed": "amber", "not-listed": "amber", "unreached": "amber"}.get(
        check.outcome, "RED"
    )
    lines = [f"{mark}: {check.sentence}."]
    if check.seq:
        attested = f", attested by {', '.join(check.attested_by)}" if check.attested_by else ""
        lines.append(f"    read whole: {check.entries} entries, head {check.seq}{attested}")
    return lines


@person.command("sign-out")
@person_command
async def sign_out(me: Person, terminal: Terminal) -> None:
    """End this sign-in; the vault with your keys stays."""
    await me.sign_out()
    terminal.result({"signed_in": False}, "Signed out. Your keys stay in the vault; a new link signs you in again.")


@person.command()
@click.option("--html", is_flag=True, help="Print a page for reading instead of JSON.")
@person_command
async def export(me: Person, terminal: Terminal, *, html: bool) -> None:
    """Print everything that your node holds about you."""
    raw = await me.api.export(html=html)
    text = raw.decode("utf-8") if html else msgspec.json.format(raw).decode("utf-8")
    terminal.result({"html": text} if html else msgspec.json.decode(raw), text)


@person.command()
@click.argument("who", metavar="THREAD|CONTACT")
@person_command
async def block(me: Person, terminal: Terminal, *, who: str) -> None:
    """Meet somebody no more: their requests are declined unseen, and they are never proposed to you."""
    named = [one.thread for one in me.state.contacts if who in (one.name, one.thread)]
    me.block(named[-1] if named else thread_named(me.state, who))
    await me.keep()
    terminal.result(
        {"blocked": who},
        "Blocked. Their node cannot be told, and may still propose you to them; with a new account they are somebody "
        "else. A session that is open stays open until you cancel it.",
    )


@person.command()
@person_command
async def blocks(me: Person, terminal: Terminal) -> None:
    """List whom you have blocked."""
    found = blocked(me.state)
    rows = [(one.number, one.name or "-", one.entity, "person" if one.by_person else "key") for one in found]
    terminal.table(found, ("NUMBER", "name", "organization", "known by"), rows, empty="Nobody is blocked.")


@person.command()
@click.argument("number", type=click.IntRange(min=1))
@person_command
async def unblock(me: Person, terminal: Terminal, *, number: int) -> None:
    """Forget the block NUMBER of the list."""
    me.unblock(number)
    await me.keep()
    terminal.result({"unblocked": number}, "Forgotten.")


@person.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@person_command
async def erase(me: Person, terminal: Terminal, *, yes: bool) -> None:
    """Erase everything that your node holds about you; this cannot be undone."""
    _confirm(terminal, "Erase everything that your node holds about you?", yes=yes)
    receipt = await me.api.erase()
    total = sum(receipt.rows.values())
    terminal.result(receipt, f"{total} rows erased at the node. What is on this device is in {me.folder}: delete that.")


def _confirm(terminal: Terminal, question: str, *, yes: bool) -> None:
    if yes:
        return
    if not terminal.can_ask:
        raise RefusedError(AS_JSON)
    click.confirm(question, abort=True, err=True)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
