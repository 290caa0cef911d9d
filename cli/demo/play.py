"""Runs the demo from an empty folder to the summary, and stops every node whatever happens on the way."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

from cli.client.views import Event, Shown
from protocol.errors import RefusedError

from .actors import PASSPHRASE, Actor
from .attack import Attack
from .companies import Count, World, make_world
from .consortium import Consortium
from .events import AttackSummary, JsonLines, MessageShown, NodeReady, Said, Step, Summary
from .keyswap import KeySwap
from .nodes import NodeProcess, Settings, start_all, stop_all
from .prompt import given, typed
from .reading import Reading
from .report import FILE, write_report
from .said import settings
from .scenes import Stage
from .screen import Screen
from .setting import Setting, prepare
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
    folder = make_folder(options.folder)
    world = make_world(options.seed, 3)
    screen, lines = _screen(options, world), JsonLines(enabled=options.as_json)
    screen.say(f"This demo lives in {folder}")
    tell = _teller(screen, lines, world)
    consortium = Consortium(world, folder / "nodes")
    try:
        with screen.progress():
            await consortium.begin(screen.step)
        for node in consortium.processes:
            lines.tell(NodeReady(name=node.plan.name, url=node.url))
        summary = await Attack(consortium, folder, tell).run()
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
    folder = make_folder(options.folder)
    world = make_world(options.seed, 2)
    screen, lines = _screen(options, world), JsonLines(enabled=options.as_json)
    screen.say(f"This demo lives in {folder}")
    nodes = tuple(NodeProcess(one, folder / "nodes" / one.plan.name, changes) for one in world.companies)
    try:
        async with AsyncExitStack() as stack:
            with screen.progress():
                screen.step("starting the companies' nodes")
                await start_all(nodes)
                for node in nodes:
                    lines.tell(NodeReady(name=node.plan.name, url=node.url))
                setting = await prepare(stack, world, folder, nodes, watch=_unwatched, progress=screen.step)
            summary, is_good = await play_it(setting, Telling(_teller(screen, lines, world)), screen)
        ending.finish()
        lines.tell(summary)
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
    folder = make_folder(options.folder)
    world = make_world(options.seed, options.companies)
    screen = _screen(options, world)
    screen.say(f"This demo lives in {folder}")
    nodes = tuple(NodeProcess(company, folder / "nodes" / company.plan.name) for company in world.companies)
    try:
        async with AsyncExitStack() as stack:
            await _perform(stack, options, ending, _Parts(folder, world, nodes, screen))
        if options.keep:
            await ending.told.wait()
            screen.say("Stopping.")
    finally:
        await stop_all(nodes)
    return 0


_ATTACKS: Final[dict[str | None, Callable[[Options, Ending], Coroutine[None, None, int]]]] = {
    "equivocation": _equivocate,
    "read-as-admin": _read,
    "key-swap": _swap,
}


class _Parts:
    """What one performance needs."""

    def __init__(self, folder: Path, world: World, nodes: tuple[NodeProcess, ...], screen: Screen) -> None:
        self.folder: Final = folder
        self.world: Final = world
        self.nodes: Final = nodes
        self.screen: Final = screen


async def _perform(stack: AsyncExitStack, options: Options, ending: Ending, parts: _Parts) -> None:
    began = time.monotonic()
    lines = JsonLines(enabled=options.as_json)
    screen = parts.screen

    def watch(actor: Actor, event: Event) -> None:
        if isinstance(event, Shown) and event.kind == "chat":
            role = actor.role(event.thread)
            lines.tell(MessageShown(company=actor.part.company, role=role, device=actor.device, text=event.text))

    with screen.progress():
        screen.step("starting the companies' nodes")
        await start_all(parts.nodes)
        for node in parts.nodes:
            lines.tell(NodeReady(name=node.plan.name, url=node.url))
        setting = await prepare(stack, parts.world, parts.folder, parts.nodes, watch=watch, progress=screen.step)
    ready = time.monotonic()
    stage = Stage(screen.scene)
    told = await Story(setting, stage, lambda: _sentences(options, screen)).tell()
    for one in told.witnessed:
        lines.tell(one)
    now = time.monotonic()
    summary = _summary(options, setting, told, times=(ready - began, now - ready, now - began))
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
        folder=str(setting.folder),
        report=str(setting.folder / FILE),
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
    screen.say(f"The story as a page: {summary.report}")
    if keep:
        for node in setting.nodes:
            screen.say(f"{node.plan.display_name} keeps running at {node.url}, directory {node.folder}")
        screen.say(f"The vaults of the people open with the passphrase `{PASSPHRASE}`. Ctrl-C stops everything.")
