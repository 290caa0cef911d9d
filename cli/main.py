"""The command table of the `mentormesh` program."""

import gc
import importlib
from typing import Any, Final

import click

from protocol.errors import MeshError

from .late import certificates_later
from .output import explain_os_error, fail

#: Command → module and object. A module is imported when its command runs, so that `serve` starts fast.
COMMANDS: Final[dict[str, str]] = {
    "accept": "cli.inbox:accept",
    "ask": "cli.ask:ask",
    "backup": "cli.backup:backup",
    "cancel": "cli.ask:cancel",
    "candidates": "cli.ask:candidates",
    "config": "cli.config:config",
    "counter": "cli.inbox:counter",
    "decline": "cli.inbox:decline",
    "demo": "cli.demo.command:demo",
    "doctor": "cli.doctor:doctor",
    "inbox": "cli.inbox:inbox",
    "init": "cli.init:init",
    "keys": "cli.keys:keys",
    "log": "cli.log:log",
    "member": "cli.members:member",
    "mentor": "cli.mentor:mentor",
    "offer": "cli.offers:offer",
    "openapi": "cli.openapi:openapi",
    "peer": "cli.peers:peer",
    "person": "cli.person:person",
    "registry": "cli.registry:registry",
    "report": "cli.report:report",
    "request": "cli.ask:request",
    "restore": "cli.backup:restore",
    "serve": "cli.serve:serve",
    "session": "cli.reports:session",
    "status": "cli.status:status",
    "store": "cli.store:store",
    "threads": "cli.ask:threads",
    "vocabulary": "cli.vocabulary:vocabulary",
}

#: What `mentormesh --help` says of each, without importing them; a test compares them with the commands.
SUMMARIES: Final[dict[str, str]] = {
    "accept": "Say yes to the request THREAD; names are exchanged once both nodes have signed.",
    "ask": "Say what you need in WORDS and see up to five people who could help.",
    "backup": "Write a copy of the database and of the encrypted files of sessions, also while the node runs.",
    "cancel": "Step back from the request THREAD, or call off its session.",
    "candidates": "Show the people found last once more.",
    "config": "Show or check the configuration.",
    "counter": "Propose other times for the request THREAD, on full or half hours.",
    "decline": "Say no to the request THREAD; nobody learns who you are.",
    "demo": "Show the whole story with three fictional companies on this machine.",
    "doctor": "Check this machine and node; every red line comes with its fix.",
    "inbox": "Show the requests that await your answer; the briefs are opened by this device.",
    "init": "Make a new node in an empty directory.",
    "keys": "List and change the node's keys, or recover from stolen ones.",
    "log": "Show, check and verify transparency logs.",
    "member": "Import and look after the people of this organization.",
    "mentor": "Say what you can help with, and when.",
    "offer": "See what is shown to other organizations, and what they show.",
    "openapi": "Print the description of the HTTP interface (OpenAPI 3.1).",
    "peer": "Connect this node with those of other organizations.",
    "person": "Sign in with this device and look after what is yours.",
    "registry": "Be the registry of a consortium, or join consortia of others.",
    "report": "Check and handle reports of what was said in a session.",
    "request": "Send a request to person NUMBER of the shortlist.",
    "restore": "Put a backup in place of the database of a stopped node.",
    "serve": "Run the node until it is stopped.",
    "session": "Talk in a session: `session THREAD` is a chat, the commands below say one thing each.",
    "status": "Show how the node is.",
    "store": "Move what the node keeps into a PostgreSQL database, or back into a file.",
    "threads": "List your requests and sessions, after taking in what is new.",
    "vocabulary": "Bring, list, remove and search vocabularies of topics.",
}


#: Objects made between two rounds of the garbage collector. What imports make stays, and at Python's 700 it would be
#: looked through again and again, in 5 to 12 % of the time a command takes to start.
YOUNG: Final = 10_000


class Program(click.Group):
    """The top-level command: loads commands late and turns errors into one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- the same
        """Return one command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        with certificates_later():
            command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- the same
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in sorted(COMMANDS)])

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 -- click's own
        """Run the command; an expected error ends it with one sentence."""
        gc.set_threshold(YOUNG)
        try:
            return super().invoke(ctx)
        except MeshError as error:
            ctx.exit(fail(ctx, error))
        except BrokenPipeError:
            raise
        except OSError as error:
            ctx.exit(fail(ctx, explain_os_error(error)))


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mentormesh", prog_name="mentormesh")
def main() -> None:
    """Focused advice from a mentor at another company, readable by nobody else."""


if __name__ == "__main__":
    main()
