"""Kills either of two node processes at moments drawn from a seed, while people talk and others ask for mentors."""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import msgspec

from cli.client.person import Person
from federation.ports import where
from federation.rows import OutboxRow, ThreadRow
from protocol.encoding import decode
from protocol.errors import MeshError
from protocol.handshake import Side
from protocol.threads import Book
from tests.cli.client.world import PROMPTS, become_mentor, need
from tests.patience import PATIENCE_S, comes_true

from .two_nodes import Device, NodeProcess, Pair, lists_help, signed_in

#: Messages of one person that may be under way.
WINDOW: Final = 8
#: Things that happen between two kills, at most: messages taken or read.
EVENTS: Final = 40
ENDED: Final = frozenset({"DECLINED", "EXPIRED", "CANCELLED", "TERMINATED", "FINALIZED"})


class Victim(Protocol):
    """Something that can be killed, and started again."""

    async def kill(self) -> None:
        """End it at once."""
        ...

    async def start(self) -> None:
        """Return once it answers."""
        ...


class Survived(msgspec.Struct, frozen=True, kw_only=True):
    """What was said and read in spite of the kills; `recoveries_s` from ready to the last delivery of what waited."""

    sent: tuple[tuple[str, ...], tuple[str, ...]]
    read: tuple[tuple[str, ...], tuple[str, ...]]
    numbers: tuple[tuple[int, ...], tuple[int, ...]]
    recoveries_s: tuple[float, ...]
    handshakes: int

    @property
    def wrong(self) -> int:
        """How many messages were lost, doubled or out of order."""
        pairs = zip(self.sent, reversed(self.read), strict=True)
        return sum(said != came for sent, read in pairs for said, came in itertools.zip_longest(sent, read))


class Talk:
    """Two people who write to each other without end, a few messages ahead of the other's reading."""

    def __init__(self, pair: Pair, mentee: Device, mentor: Device) -> None:
        self.ends: Final = mentee, mentor
        self.others: Final = mentor, mentee
        self._pair: Final = pair
        self._over = False

    def start(self) -> "list[asyncio.Task[None]]":
        """Begin to listen; return the tasks that write."""
        return [asyncio.create_task(self._write(*ends)) for ends in zip(self.ends, self.others, strict=True)]

    async def _write(self, one: Device, other: Device) -> None:
        while not self._over:
            if len(one.sent) - len(other.read) >= WINDOW:
                other.news.clear()
                await other.news.wait()
            else:
                await one.send(f"{one.side.value} {len(one.sent) + 1}")

    @property
    def events(self) -> int:
        """How much has happened."""
        return sum(len(end.sent) + len(end.read) for end in self.ends)

    async def after(self, events: int) -> None:
        """Return when so much has happened."""
        async with asyncio.timeout(PATIENCE_S):
            while self.events < events:
                await next_news(self.ends)

    async def delivered(self) -> None:
        """Return once everything that was taken up to now was read."""
        wanted = [len(end.sent) for end in self.ends]
        async with asyncio.timeout(PATIENCE_S):
            for count, other in zip(wanted, self.others, strict=True):
                await other.until(count)

    async def returned(self) -> None:
        """Return once the hub's order of all words, the own ones too, has come back to both."""
        async with asyncio.timeout(PATIENCE_S):
            while any(len(end.numbers) < sum(len(each.sent) for each in self.ends) for end in self.ends):
                await next_news(self.ends)

    def end(self) -> None:
        """Write no more."""
        self._over = True


async def next_news(ends: tuple[Device, Device]) -> None:
    """Return when one of two devices has read something."""
    for end in ends:
        end.news.clear()
    waiting = [asyncio.create_task(end.news.wait()) for end in ends]
    _, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()


class Asking:
    """A mentee who asks once for each kill, and a mentor who says no."""

    def __init__(self, mentee: Person, mentor: Person) -> None:
        self._mentee: Final = mentee
        self._mentor: Final = mentor
        self.asked = 0
        self.again: Final = asyncio.Event()
        self._idle: Final = asyncio.Event()

    async def ask(self) -> None:
        """Ask whenever it is time again."""
        while True:
            self._idle.set()
            await self.again.wait()
            self._idle.clear()
            try:
                await self._mentee.ask(need("text"))
                await self._mentee.request(1, prompts=PROMPTS, backups=())
                self.asked += 1
                self.again.clear()
                await self._mentee.poll(wait_s=2)
            except MeshError:
                await asyncio.sleep(0.2)

    async def asked_all(self) -> None:
        """Ask nothing more, and return once what is asked at the moment has come or failed."""
        self.again.clear()
        await self._idle.wait()

    async def answer(self) -> None:
        """Say no for ever."""
        while True:
            try:
                await self._mentor.poll(wait_s=10)
                for waiting in self._mentor.requests():
                    await self._mentor.decline(waiting.thread, reason="no-time")
            except MeshError:
                await asyncio.sleep(0.2)


async def survive(
    pair: Pair, folder: Path, *, cycles: int, seed: int, handshakes: bool = True, victims: Sequence[Victim] = ()
) -> Survived:
    """Kill and start again `cycles` times; return what came through once all is at rest.

    Args:
        victims: those of whom one is killed each time, and each once before one is killed again; else both nodes.
    """
    dice = random.Random(f"kills {seed}")
    doomed = itertools.chain.from_iterable(_shuffled(dice, victims or pair.nodes) for _ in itertools.count())
    talk = Talk(pair, *await pair.devices())
    recoveries: list[float] = []
    async with AsyncExitStack() as stack:
        asking = await _asking(pair, folder, stack) if handshakes else None
        others = [asyncio.create_task(end.listen(acknowledge=True)) for end in talk.ends]
        if asking is not None:
            others += [asyncio.create_task(asking.ask()), asyncio.create_task(asking.answer())]
        writing = talk.start()
        try:
            for _ in range(cycles):
                if asking is not None:
                    asking.again.set()
                await talk.after(talk.events + dice.randint(1, EVENTS))
                assert not [task for task in (*writing, *others) if task.done()], "somebody gave up"
                recoveries.append(await _kill(talk, next(doomed)))
            talk.end()
            await asyncio.gather(*writing)
            await talk.delivered()
            await talk.returned()
            if asking is not None:
                # Then it is answered. It may be refused, too: of so many questions some are too many.
                await asking.asked_all()
                others.pop(-2).cancel()
                await at_rest(pair.nodes)
        finally:
            for task in (*writing, *others):
                task.cancel()
    return Survived(
        sent=tuple(tuple(end.sent) for end in talk.ends),  # type: ignore[arg-type] # two of them
        read=tuple(tuple(text for text, _ in end.read) for end in talk.ends),  # type: ignore[arg-type]
        numbers=tuple(tuple(end.numbers) for end in talk.ends),  # type: ignore[arg-type]
        recoveries_s=tuple(recoveries),
        handshakes=asking.asked if asking is not None else 0,
    )


def _shuffled(dice: random.Random, victims: Sequence[Victim]) -> list[Victim]:
    return dice.sample(victims, len(victims))


async def _asking(pair: Pair, folder: Path, stack: AsyncExitStack) -> Asking:
    await pair.ben.api.opt_out()
    mentee = await stack.enter_async_context(signed_in(folder, pair.aurora, "aurora2"))
    mentor = await stack.enter_async_context(signed_in(folder, pair.cobalt, "cobalt2"))
    await become_mentor(mentor, format_="text")
    await comes_true(lambda: lists_help(mentee))
    return Asking(mentee, mentor)


async def _kill(talk: Talk, victim: Victim) -> float:
    """Kill one and start it; return the seconds from ready to the last delivery of what had been taken."""
    await victim.kill()
    await victim.start()
    ready = time.perf_counter()
    await talk.delivered()
    return time.perf_counter() - ready


async def check(pair: Pair, came: Survived) -> None:
    """Fail if anything was lost, doubled or out of order, or both sides hold something else of a handshake."""
    assert came.wrong == 0
    for numbers in came.numbers:
        assert list(numbers) == list(range(numbers[0], numbers[0] + len(numbers))), (
            "the hub's order has no gap and nothing twice"
        )
    assert came.numbers[0] == came.numbers[1]
    assert came.handshakes
    ours, theirs = [await books(node) for node in pair.nodes]
    assert set(ours) == set(theirs)
    for thread, book in ours.items():
        other = theirs[thread]
        assert (book.said, book.heard) == (other.heard, other.said)
        assert book.state is other.state
        assert book.state is not None
        assert book.state.value in ENDED
        assert book.own_side is Side.CONSUMER


async def at_rest(nodes: tuple[NodeProcess, NodeProcess]) -> None:
    """Return once no node has anything to send and every thread that both hold has ended."""
    for node in (*nodes, *nodes):  # what one sends at last may leave the other something to do
        await comes_true(partial(_rests, node))


async def _rests(node: NodeProcess) -> bool:
    async with node.rows() as reader:
        open_ = await reader.find(ThreadRow, where(state="ACCEPTED"))
        return await reader.count(OutboxRow) == 0 and not open_


async def books(node: NodeProcess) -> dict[str, Book]:
    """Return the books of all threads that a person took up."""
    async with node.rows() as reader:
        rows = await reader.find(ThreadRow)
    found = {row.thread: decode(row.book, Book) for row in rows}
    return {thread: book for thread, book in found.items() if len(book.said) + len(book.heard) > 2}
