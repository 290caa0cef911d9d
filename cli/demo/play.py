"""Runs the demo from an empty folder to the summary, and stops every node whatever happens on the way."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from cli.client.views import Event, Shown
from protocol.errors import RefusedError

from .actors import PASSPHRASE, Actor, Watch
from .attack import Attack
from .companies import Count, World, make_world
from .consortium import Consortium
from .database import FILE, Database, open_database
from .events import AttackSummary, JsonLines, MessageShown, NodeReady, Said, Step, Summary
from .keyswap import KeySwap
from .nodes import NodeProcess, Settings, start_all, stop_all
from .prompt import given, typed
from .reading import Reading
from .report import FILE as REPORT
from .report import write_report
from .said import settings
from .scenes import Stage
from .screen import Screen
from .setting import Setting, prepare
from .several import PROCESSES, planned
from .story import Story, Told
from .telling import Tell, Telling
from .words import DEFAULT_MESSAGE

#: What ends the demo in good order: Ctrl-C, `kill`, a closed terminal.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SIGNAL_EXIT: Final = 128


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `folder` None: a fresh temporary one; `message` None: ask at a terminal, else a default."""

    seed: int
    companies: Count
    folder: Path | None
    message: str | None
    once: bool
    keep: bool
    as_json: bool
    attack: str | None = None
    store: str = FILE


class Ending:
    """How the demo ends early: a signal cancels the work, or ends the waiting after it; a second changes nothing."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self._number = 0
        self._finished = False
        self._work: asyncio.Task[int] | None = None

    def watch(self, work: asyncio.Task[int]) -> None:
        """Cancel `work` when a signal comes before `finish` was called."""
        self._work = work
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._tell, number)

    def finish(self) -> None:
        """Say that the story is told: from now on a signal is the good end."""
        self._finished = True

    def _tell(self, number: int) -> None:
        self.told.set()
        if self._work is not None and not self._finished and not self._number:
            self._number = number
            self._work.cancel()

    @property
    def code(self) -> int:
        """Exit code of a demo that a signal ended before its summary."""
        return SIGNAL_EXIT + self._number


async def play(options: Options) -> int:
    """Run the demo and return its exit code. Raises: MeshError: it could not be played; no node runs any more."""
    ending = Ending()
    work = asyncio.create_task(_ATTACKS.get(options.attack, _play)(options, ending))
    ending.watch(work)
    try:
        return await work
    except asyncio.CancelledError:
        return ending.code


def _teller(screen: Screen, lines: JsonLines, world: World) -> Tell:
    """Return what prints the steps of an attack."""
    names = {company.plan.name: company.plan.short for company in world.companies}
    title = ""

    def tell(event: Step) -> None:
        nonlocal title
        lines.tell(event)
        if event.title != title:
            title = event.title
            screen.say(f"\n{event.number}. {title}", "bold")
        screen.say(f"   {names.get(event.who, event.who.title()):<8} {event.text}")

    return tell


async def _equivocate(options: Options, ending: Ending) -> int:
    """Stage the attack; return 0 when it is caught, 1 when not."""
    async with _begun(options, 3) as parts:
        screen, lines = parts.screen, parts.lines
        tell = _teller(screen, lines, parts.world)
        consortium = Consortium(parts.world, parts.folder / "nodes", parts.database)
        try:
            with screen.progress():
                await consortium.begin(screen.step)
            for node in consortium.processes:
                lines.tell(NodeReady(name=node.plan.name, url=node.url))
            summary = await Attack(consortium, parts.folder, tell).run()
            _judge(screen, summary)
            ending.finish()
            lines.tell(summary)
            if options.keep:
                for node in consortium.processes[1:]:
                    screen.say(f"{node.plan.display_name} keeps running at {node.url}, directory {node.folder}")
                await ending.told.wait()
                screen.say("Stopping.")
        finally:
            await stop_all(consortium.processes)
    return 0 if summary.caught else 1


async def _read(options: Options, ending: Ending) -> int:
    """Let two administrators try to read a session; return 0 when they cannot, 1 when they can."""

    async def play_it(setting: Setting, telling: Telling, screen: Screen) -> tuple[Said, bool]:
        summary = await Reading(setting, telling).run()
        screen.say("\nNot a word was read." if summary.unread else "\nREAD.", "green" if summary.unread else "bold red")
        return summary, summary.unread

    return await _two_companies(options, ending, play_it, settings())


async def _swap(options: Options, ending: Ending) -> int:
    """Let an employer's node show another key as its member's; return 0 when that is caught, 1 when not."""

    async def play_it(setting: Setting, telling: Telling, screen: Screen) -> tuple[Said, bool]:
        summary = await KeySwap(setting, telling).run()
        caught = summary.caught
        screen.say("\nCaught." if caught else f"\nNOT CAUGHT: {summary.missed}.", "green" if caught else "bold red")
        return summary, caught

    return await _two_companies(options, ending, play_it)


async def _two_companies(
    options: Options,
    ending: Ending,
    play_it: Callable[[Setting, Telling, Screen], Coroutine[None, None, tuple[Said, bool]]],
    changes: Settings | None = None,
) -> int:
    """Play an attack between two companies and their people; return 0 when it came to nothing."""
    async with _begun(options, 2) as parts:
        nodes = parts.nodes(changes)
        try:
            async with AsyncExitStack() as stack:
                setting = await parts.prepare(stack, nodes, _unwatched)
                telling = Telling(_teller(parts.screen, parts.lines, parts.world))
                summary, is_good = await play_it(setting, telling, parts.screen)
            ending.finish()
            parts.lines.tell(summary)
            if options.keep:
                await ending.told.wait()
        finally:
            await stop_all(nodes)
    return 0 if is_good else 1


def _unwatched(_actor: Actor, _event: Event) -> None:
    """Tell nobody: an attack tells by itself what people see."""


def _judge(screen: Screen, summary: AttackSummary) -> None:
    if not summary.caught:
        screen.say(f"\nNOT CAUGHT: {summary.missed}.", "bold red")
        return
    screen.say("\nCaught. Anybody can check the proof, without a node and without a network:", "green")
    for file in summary.verified:
        screen.say(f"  mentormesh log evidence verify {file}")


def _screen(options: Options, world: World) -> Screen:
    titles = {company.plan.name: company.plan.display_name for company in world.companies}
    return Screen(world.cast, titles, stream=sys.stderr if options.as_json else sys.stdout)


async def _play(options: Options, ending: Ending) -> int:
    async with _begun(options, options.companies) as parts:
        nodes = parts.nodes()
        try:
            async with AsyncExitStack() as stack:
                await _perform(stack, options, ending, parts, nodes)
            if options.keep:
                await ending.told.wait()
                parts.screen.say("Stopping.")
        finally:
            await stop_all(nodes)
    return 0


_ATTACKS: Final[dict[str | None, Callable[[Options, Ending], Coroutine[None, None, int]]]] = {
    "equivocation": _equivocate,
    "read-as-admin": _read,
    "key-swap": _swap,
}


class _Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What one performance begins with; `database` is None where each node has a file."""

    folder: Path
    world: World
    screen: Screen
    lines: JsonLines
    database: Database | None
    began: float

    def nodes(self, changes: Settings | None = None) -> tuple[NodeProcess, ...]:
        """Return a node for each company; none of them is there yet."""
        folder = self.folder / "nodes"
        return tuple(planned(one, folder / one.plan.name, self.database, changes) for one in self.world.companies)

    async def prepare(self, stack: AsyncExitStack, nodes: tuple[NodeProcess, ...], watch: Watch) -> Setting:
        """Return the setting on these nodes, which are started. Raises: MeshError: it cannot be had."""
        with self.screen.progress():
            self.screen.step("starting the companies' nodes")
            await start_all(nodes)
            for node in nodes:
                self.lines.tell(NodeReady(name=node.plan.name, url=node.url))
            return await prepare(
                stack, self.world, self.folder, nodes, watch=watch, progress=self.screen.step, database=self.database
            )


@asynccontextmanager
async def _begun(options: Options, companies: Count) -> AsyncIterator[_Parts]:
    """Yield the parts; the nodes have ended before the block does, and the database after it."""
    began = time.monotonic()
    folder = make_folder(options.folder)
    world = make_world(options.seed, companies)
    screen = _screen(options, world)
    screen.say(f"This demo lives in {folder}")
    async with AsyncExitStack() as stack:
        with screen.progress():
            opening = open_database(options.store, folder, processes=PROCESSES * companies, progress=screen.step)
            database = await stack.enter_async_context(opening)
        if database is not None:
            screen.say(f"PostgreSQL {database.version} holds all rows; {PROCESSES} processes serve each company.")
        lines = JsonLines(enabled=options.as_json)
        yield _Parts(folder=folder, world=world, screen=screen, lines=lines, database=database, began=began)


async def _perform(
    stack: AsyncExitStack, options: Options, ending: Ending, parts: _Parts, nodes: tuple[NodeProcess, ...]
) -> None:
    lines, screen = parts.lines, parts.screen

    def watch(actor: Actor, event: Event) -> None:
        if isinstance(event, Shown) and event.kind == "chat":
            role = actor.role(event.thread)
            lines.tell(MessageShown(company=actor.part.company, role=role, device=actor.device, text=event.text))

    setting = await parts.prepare(stack, nodes, watch)
    ready = time.monotonic()
    stage = Stage(screen.scene)
    told = await Story(setting, stage, lambda: _sentences(options, screen)).tell()
    for signed in told.witnessed:
        lines.tell(signed)
    for process in told.served:
        lines.tell(process)
    now = time.monotonic()
    summary = _summary(options, setting, told, times=(ready - parts.began, now - ready, now - parts.began))
    write_report(setting, told, tuple(stage.scenes), summary)
    _conclude(screen, setting, summary, keep=options.keep)
    ending.finish()
    lines.tell(summary)


def _sentences(options: Options, screen: Screen) -> AsyncIterator[str]:
    if options.message is not None:
        return given(options.message)
    if options.once or not sys.stdin.isatty():
        return given(DEFAULT_MESSAGE)
    return typed(sys.stdin.fileno(), screen.say)


def make_folder(wanted: Path | None) -> Path:
    """Return the folder of this demo, made if need be. Raises: RefusedError: it is not empty or cannot be made."""
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="mentormesh-demo-"))
    folder = wanted.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise RefusedError(f"{folder} cannot be used: {error.strerror}; choose a new directory") from None
    if used:
        raise RefusedError(f"{folder} is not empty: choose a new directory for the demo", code="not-empty")
    return folder


def _summary(options: Options, setting: Setting, told: Told, *, times: tuple[float, float, float]) -> Summary:
    cast, searched = setting.world.cast, told.searched
    setup_s, story_s, all_s = (round(one, 2) for one in times)
    return Summary(
        seed=options.seed,
        companies=options.companies,
        store=setting.store,
        folder=str(setting.folder),
        report=str(setting.folder / REPORT),
        handshake_states=told.handled.states,
        agreement=told.handled.agreement,
        refused_before=told.refused_before,
        mentor_received=tuple(setting.actor(cast.ben).chat_shown),
        mentee_received=tuple(setting.actor(cast.ana).chat_shown),
        cosignatures=len(told.witnessed),
        plaintext_hits_on_nodes=told.hits,
        searched_files=searched.files,
        searched_bytes=searched.searched_bytes,
        searched_spellings=searched.spellings,
        not_searchable=searched.unsearchable,
        setup_seconds=setup_s,
        story_seconds=story_s,
        seconds=all_s,
    )


def _conclude(screen: Screen, setting: Setting, summary: Summary, *, keep: bool) -> None:
    hits = summary.plaintext_hits_on_nodes
    screen.say(f"\n{hits} hits on the servers, {summary.refused_before} refusal before the yes.", "bad" if hits else "")
    if setting.several:
        screen.say("The process on duty of each company was killed in the middle: nothing was lost, nothing doubled.")
    screen.say(f"The story as a page: {summary.report}")
    if keep:
        for node in setting.nodes:
            screen.say(f"{node.plan.display_name} keeps running at {node.url}, directory {node.folder}")
        screen.say(f"The vaults of the people open with the passphrase `{PASSPHRASE}`. Ctrl-C stops everything.")
