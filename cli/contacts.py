"""`mentormesh person contacts`: the people met, and who may ask whom again."""

from typing import Final, Literal

import click

from cli.client.person import Person
from cli.client.pins import name_of
from cli.client.views import View
from protocol.errors import RefusedError
from protocol.times import when

from .person_access import Terminal, person_command

_KEYS: Final = {"": "", "waits": "new, waits", "disputed": "two: compare"}


class ContactView(View, frozen=True, kw_only=True):
    """Somebody met. `ask_until`: until when this person may ask them; `asked_until`: until when they may ask.

    `keys`: they showed another key, which waits to count; or two keys claim to be theirs, and none is believed.
    """

    thread: str
    name: str
    entity: str
    met_at: int
    ask_until: int = 0
    asked_until: int = 0
    keys: Literal["", "waits", "disputed"] = ""


@click.group()
def contacts() -> None:
    """See whom you have met, and end that somebody may ask you again."""


@contacts.command("list")
@person_command
async def list_contacts(me: Person, terminal: Terminal) -> None:
    """List the people met."""
    state = me.state
    found = [
        ContactView(
            thread=one.thread,
            name=one.name,
            entity=one.entity,
            met_at=one.met_at,
            ask_until=one.token_until if one.token else 0,
            asked_until=one.token_until if one.given else 0,
            keys="disputed" if one.disputed else "waits" if one.next_key else "",
        )
        for one in state.contacts
    ]
    rows = [_row(one, name_of(state, one.entity)) for one in found]
    columns = ("thread", "name", "at", "met", "you may ask until", "may ask you until", "keys")
    terminal.table(found, columns, rows, empty="You have met nobody yet.")


@contacts.command()
@click.argument("contact")
@person_command
async def revoke(me: Person, terminal: Terminal, contact: str) -> None:
    """Let neither CONTACT (a name, or the beginning of a thread) nor you ask the other again; nobody is told."""
    ended = await me.revoke(contact)
    await me.keep()
    terminal.result({"revoked": ended.thread}, f"{ended.name} and you no longer ask each other by name.")


@contacts.command()
@click.argument("contact")
@click.option("--number", default="", help="The safety number that both of you read, ten digits of it at least.")
@person_command
async def trust(me: Person, terminal: Terminal, contact: str, *, number: str) -> None:
    """Believe the key of CONTACT that gives the safety number which both of you read in a call."""
    if not number:
        if not terminal.can_ask:
            raise RefusedError("there is nobody to ask: say --number")
        number = click.prompt("The safety number that both of you read (`session show`), ten digits at least", err=True)
    believed = me.trust_contact(contact, number)
    await me.keep()
    terminal.result({"trusted": believed.thread}, f"The key of {believed.name} that you have compared is believed.")


def _row(one: ContactView, org: str) -> tuple[str, ...]:
    until = _until(one.ask_until), _until(one.asked_until)
    return one.thread[:8], one.name, org, when(one.met_at), *until, _KEYS[one.keys]


def _until(at: int) -> str:
    return when(at) if at else ""
