"""`mentormesh person change-master-key`: other keys, visible to everybody whom one has met."""

import click

from cli.client.person import Person
from protocol.errors import RefusedError, UnavailableError

from .person_access import AS_JSON, Terminal, person_command

QUESTION = (
    "Your master key is what the people you have met know you by. After this they see that it changed, your other "
    "devices are removed, and your recovery words and archive have to be made anew. Change it?"
)


@click.command("change-master-key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--lost", metavar="KEY", help="The master key that you had: say that yours follows it, without its word.")
@person_command
async def change_master_key(me: Person, terminal: Terminal, lost: str | None, *, yes: bool) -> None:
    """Take another master key, because somebody else may have the present one.

    Whoever you have met is told: in open sessions at once, else when you meet. With --lost nothing changes here; they
    wait 72 hours before they believe it.
    """
    if lost is not None:
        me.master_keys.follow(lost)
        terminal.result({"follows": lost}, "Said from now on. Who has met you is warned, and waits 72 hours.")
        return
    if not yes:
        if not terminal.can_ask:
            raise RefusedError(AS_JSON)
        click.confirm(QUESTION, abort=True, err=True)
    try:
        done = await me.master_keys.change()
    except UnavailableError as error:
        raise UnavailableError(
            f"{error}: the change is begun, the same command goes on with it", code=error.code
        ) from None
    lines = [
        f"You have another master key. {done.told} open sessions were told.",
        "Make new recovery words now: `mentormesh person recovery words`. Link your other devices again.",
    ]
    terminal.result(done, lines)
    for warning in done.synced.warnings:
        terminal.warn(warning)
