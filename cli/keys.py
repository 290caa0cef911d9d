"""`mentormesh keys`: list and change the node's keys, and recover from stolen ones with the offline recovery key."""

from pathlib import Path
from typing import Final

import click
import msgspec

from node.clock import SystemClock, SystemEntropy
from node.keyfiles import ROLES, Role
from node.rekeying import recovery_key, write_recovery_key
from node.services.keys import KeyList, ListKeys, Prepared, PrepareRecovery, Recover, RotateKey
from protocol.errors import MalformedError, RefusedError
from protocol.ids import parse_entity
from protocol.rotation import Rotation, sign_rotation
from protocol.signing import SEED_BYTES, VerifyKey
from protocol.times import when

from .keyproofs import verify
from .node_access import NodeAccess, operator_command
from .output import Output, json_option

#: A statement is far shorter.
MOST_STATEMENT: Final = 4096
#: A statement is longer than the name of a file.
LONGEST_PATH: Final = 255


class Stated(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of the recovery key, for `mentormesh keys recover`."""

    statement: str
    number: int


@click.group()
def keys() -> None:
    """List and change the node's keys, or recover from stolen ones."""


keys.add_command(verify)


@keys.command(name="list")
@operator_command
async def list_keys(node: NodeAccess, output: Output) -> None:
    """List the keys of this node, and the peers that have yet to confirm them."""
    found = await node.call("keys.list", ListKeys(), KeyList)
    output.result(found, _lines(found))


@keys.command()
@click.argument("role", type=click.Choice(ROLES))
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def rotate(node: NodeAccess, output: Output, *, role: Role, yes: bool) -> None:
    """Give ROLE a new key; the old one still counts for what is under way.

    Peers learn of it at once, or when they are reached again. A running node goes on with the new key. When a key may
    have been stolen, use `recover` instead: it ends the old ones.
    """
    if not yes:
        _confirm(f"Give {role} a new key?")
    found = await node.call("keys.rotate", RotateKey(role=role), KeyList)
    output.result(found, [f"{role} has a new key", *_lines(found)])
    if role == "federation":
        output.say("Tickets that are not used yet name the old key: make new ones.")


@keys.command()
@click.argument("statement", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def recover(node: NodeAccess, output: Output, *, statement: str | None, yes: bool) -> None:
    """Replace every key of this node and end the old ones, by the word of the offline recovery key.

    Without STATEMENT, make the new keys and say what the recovery key must state. With it, a file or its text, put the
    new keys in place and tell all peers.
    """
    if statement is None:
        prepared = await node.call("keys.prepare", PrepareRecovery(), Prepared)
        output.result(prepared, _next_step(prepared))
        return
    if not yes:
        _confirm("Every key of this node is replaced, and handshakes that wait for an answer end. Go on?")
    found = await node.call("keys.recover", Recover(statement=_read(statement)), KeyList)
    output.result(found, ["every key is new, and the old ones are ended", *_lines(found)])
    output.say("Tickets that are not used yet name the old key: make new ones.")


@keys.command(name="recovery-statement")
@click.option("--key", "key_file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="recovery.key")
@click.option("--entity", required=True, help="Entity identifier of the organization.")
@click.option("--old", required=True, help="Public federation key that is ended, as `keys recover` prints it.")
@click.option("--new", required=True, help="Public federation key that takes its place.")
@click.option(
    "--new-recovery",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also replace the recovery key, by a new one in this new file.",
)
@click.option("--number", type=click.IntRange(1), help="Higher than in every statement before; else the time.")
@json_option
def recovery_statement(
    *, key_file: Path, entity: str, old: str, new: str, new_recovery: Path | None, number: int | None, as_json: bool
) -> None:
    """State, on a machine of its own and without a node, which federation key counts from now on."""
    signer, now = recovery_key(key_file), SystemClock().now()
    for public in (old, new):
        VerifyKey.parse(public)
    if old == new:
        raise MalformedError("the new key must be another one than the old key")
    successor = write_recovery_key(new_recovery, SystemEntropy().take(SEED_BYTES)).text if new_recovery else None
    said = Rotation(
        entity=parse_entity(entity), number=number or now, old=old, new=new, recovery=successor, issued_at=now
    )
    made = Stated(statement=sign_rotation(said, signer), number=said.number)
    output = Output(as_json=as_json)
    output.result(made, made.statement)
    output.say("Carry this statement to the node and run `mentormesh keys recover STATEMENT` there.")


def _confirm(question: str) -> None:
    if not click.confirm(question, err=True):
        raise RefusedError("nothing was changed", code="not-confirmed")


def _read(statement: str) -> str:
    """Return a statement given as a file or as its text."""
    if len(statement) > LONGEST_PATH:
        return statement
    with Path(statement).open(encoding="ascii", errors="replace") as file:
        return file.read(MOST_STATEMENT).strip()


def _next_step(prepared: Prepared) -> list[str]:
    return [
        "New keys wait for the word of the recovery key. Where that key is, run",
        "",
        "    mentormesh keys recovery-statement --key recovery.key \\",
        f"        --entity {prepared.entity} \\",
        f"        --old {prepared.old} \\",
        f"        --new {prepared.new}",
        "",
        "and here `mentormesh keys recover STATEMENT` with what it prints.",
    ]


def _lines(found: KeyList) -> list[str]:
    lines = [f"{one.role:<14} {one.id}{_earlier(one.earlier_until)}" for one in found.keys]
    lines.append(f"words          {found.words}")
    if found.recovery_prepared:
        lines.append("new keys wait for a statement of the recovery key: see `mentormesh keys recover`")
    if found.untold:
        lines.append(f"{len(found.untold)} of {found.peers} peers have yet to confirm: {', '.join(found.untold)}")
    elif found.peers:
        lines.append(f"all {found.peers} peers have confirmed")
    return lines


def _earlier(until: tuple[int, ...]) -> str:
    return f", earlier ones until {when(max(until))}" if until else ""
