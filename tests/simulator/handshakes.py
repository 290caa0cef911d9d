"""Mentees who look for somebody and mentors who answer, or do not: one handshake is one search of one mentee."""

from collections.abc import Awaitable, Callable
from typing import Final

from federation.rows import MailboxRow
from node.rows import MailRow
from node.services.consumer import Ask, QuoteResult
from node.services.mentor_side import Counter, Decline, RequestEntry
from node.services.notices import MentorRequest, decode_notice
from protocol.bodies import AcceptedBody, OfferedBody, Quote
from protocol.e2ee.sealing import open_quote
from protocol.encoding import decode, unb64
from protocol.errors import MeshError
from protocol.handshake import TERMINAL, State
from protocol.messages import parse_item
from protocol.needs import Need, Window
from protocol.vocabulary import Format
from tests.node.exchange.people import Mentee, agree
from tests.node.exchange.world import START, TOPIC

from .company import CLOCKS, Company
from .devices import Device
from .town import Town

HANDSHAKES: Final = 20
#: Threads that one mentee opens one after the other, until one is agreed.
TRIES: Final = 5
#: The morning for which everybody asks, so that they compete.
MORNING: Final = Window(start=START + 86_400, end=START + 86_400 + 4 * 3600)
GRID_S: Final = 1800
ENDED: Final = frozenset(state.value for state in TERMINAL)
#: What a mentor does, and how often of 100.
ANSWERS: Final = {"agree": 58, "agree by mail": 12, "decline": 6, "decline by mail": 4, "counter": 12, "nothing": 8}
#: What a mentee does with other times that a mentor proposes.
REPLIES: Final = {"accept": 75, "cancel": 10, "nothing": 15}


class Handshake:
    """One mentee's search and the threads it took."""

    def __init__(self, town: Town, begins_at: float, first: Company) -> None:
        self.threads: Final[list[str]] = []
        self._begins_at: Final = begins_at
        self._first: Final = first
        self._town: Final = town
        self._dice: Final = town.dice
        self._device: Final = town.dice.choice(town.mentees)
        self._company: Final = self._device.company

    def is_finalized(self) -> bool:
        """Tell whether a thread came to an agreement."""
        rows = [self._town.thread_row(self._company, thread, "consumer") for thread in self.threads]
        return any(row is not None and row.state == State.FINALIZED.value for row in rows)

    async def run(self) -> None:
        """Try one company after the other."""
        await self._town.clock.sleep(self._begins_at)
        for number in range(TRIES):
            if not self._town.playing or self.is_finalized():
                return
            if await self._try(self._dice.choice(self._town.companies) if number else self._first):
                return
            await self._device.pause(1, 60)

    async def _try(self, provider: Company) -> bool:
        """Go through one thread; return whether the mentee wants no other one."""
        mentee = self._request(provider)
        self.threads.append(mentee.thread)
        quote = await ask(self._device, mentee)
        return quote is not None and await self._take_up(mentee, quote)

    def _request(self, provider: Company) -> Mentee:
        need = need_of("text" if self._dice.random() < 0.2 else "call")
        return Mentee(self._device.person, provider, self._town.offers[provider.entity, self._company.entity], need)

    async def _take_up(self, mentee: Mentee, quote: Quote) -> bool:
        await self._device.pause(1, 20 if self._dice.random() < 0.5 else CLOCKS.quote_valid_s * 1.02)
        if not await self._accept(mentee, quote):
            return False
        return await self._follow(mentee)

    async def _accept(self, mentee: Mentee, quote: Quote) -> bool:
        which = 0 if self._dice.random() < 0.5 else self._dice.randrange(len(quote.candidates))
        slots = quote.candidates[which].slots
        chosen = tuple(self._dice.sample(slots, min(len(slots), self._dice.randint(1, 2))))
        body = mentee.accepted(quote, which=which, slots=chosen if mentee.need.format != "text" else ())
        backups = tuple(self._backup() for _ in range(self._dice.choice((0, 0, 1, 2))))
        return await self._do(mentee, "accepts", lambda: self._send(mentee, body, backups))

    async def _send(self, mentee: Mentee, body: AcceptedBody, backups: tuple[Ask, ...]) -> None:
        await self._company.exchanging.consumer.accept(self._device.person.label, mentee.thread, body, backups)

    def _backup(self) -> Ask:
        """Return a request that the node may send by itself, should the one it goes with fail."""
        mentee = self._request(self._dice.choice(self._town.companies))
        self._device.on_thread[mentee.thread] = lambda row: self._on_backup(mentee, row)
        return mentee.ask()

    def _on_backup(self, mentee: Mentee, row: MailboxRow) -> None:
        if row.kind == "quote" and self._town.playing and not self.is_finalized():
            self._device.note("finds the quote of a backup", mentee.thread)
            self.threads.append(mentee.thread)
            self._town.do(self._take_backup(mentee, mentee.read(row.data).as_(OfferedBody)))

    async def _take_backup(self, mentee: Mentee, body: OfferedBody) -> None:
        await self._take_up(mentee, open_quote(body.quote, mentee.reply_key, mentee.context))

    async def _cancel(self, mentee: Mentee) -> bool:
        async def cancel() -> None:
            await self._company.exchanging.consumer.cancel(self._device.person.label, mentee.thread, "not-needed")

        return await self._do(mentee, "cancels", cancel)

    async def _do(self, mentee: Mentee, what: str, work: Callable[[], Awaitable[None]]) -> bool:
        self._device.note(what, mentee.thread)
        try:
            await self._device.insist(work)
        except MeshError as error:
            self._device.note(f"could not: {error.code}", mentee.thread)
            return False
        return True

    async def _follow(self, mentee: Mentee) -> bool:
        """Watch the thread to its end; perhaps change one's mind at any moment."""
        cancel_at = self._town.clock.elapsed() + self._dice.uniform(0, 1200) if self._dice.random() < 0.15 else None
        answered = 0
        while self._town.playing:
            row = self._town.thread_row(self._company, mentee.thread, "consumer")
            if row is None or (row.state in ENDED and cancel_at is None):
                return row is not None and row.state == State.FINALIZED.value
            if cancel_at is not None and self._town.clock.elapsed() >= cancel_at:
                await self._cancel(mentee)
                return True
            counters = self._counters(mentee)
            if len(counters) > answered and row.state == State.OFFERED.value:
                answered = len(counters)
                await self._reply(mentee, counters[-1])
            left_s = cancel_at - self._town.clock.elapsed() if cancel_at is not None else 400.0
            await self._device.news(mentee.thread, within_s=max(0.001, left_s))
        return True

    def _counters(self, mentee: Mentee) -> list[MailboxRow]:
        entries = [row for row in self._device.read if row.thread == mentee.thread and row.side == "consumer"]
        return [row for row in entries if row.kind == "message" and parse_item(row.data).claimed.type == "counter"]

    async def _reply(self, mentee: Mentee, entry: MailboxRow) -> None:
        await self._device.pause(1, 400)
        match self._dice.choices(list(REPLIES), list(REPLIES.values()))[0]:
            case "accept":
                counter = mentee.read(entry.data).as_(OfferedBody)
                await self._accept(mentee, open_quote(counter.quote, mentee.reply_key, mentee.context))
            case "cancel":
                await self._cancel(mentee)


def need_of(form: Format) -> Need:
    """Return what everybody looks for: half an hour about one topic on one morning."""
    return Need(
        topics=(TOPIC,),
        kind="been-through",
        languages=("en",),
        format=form,
        length=30,
        windows=(MORNING,),
    )


async def ask(device: Device, mentee: Mentee) -> Quote | None:
    """Return the quote for a fresh request, or None: refused, or no answer."""
    device.note(f"asks {mentee.provider.entity}", mentee.thread)

    async def asked() -> QuoteResult:
        (result,) = await device.company.exchanging.consumer.ask(device.person.label, [mentee.ask()])
        return result

    try:
        result = await device.company.serve(asked)
    except MeshError as error:
        device.note(f"gets no quote: {error.code}", mentee.thread)
        return None
    if not result.item or mentee.read(result.item).head.type != "offer":
        device.note(f"is refused: {result.reason}", mentee.thread)
        return None
    return mentee.open(result)


class MentorAtWork:
    """Answers what arrives in one mentor's mailbox."""

    def __init__(self, town: Town, device: Device) -> None:
        self._town: Final = town
        self._dice: Final = town.dice
        self._device: Final = device
        device.on_entry = self._on_entry

    def _on_entry(self, row: MailboxRow) -> None:
        if row.kind == "request" and self._town.playing:
            self._town.do(self._answer(row.thread, decode(row.data, RequestEntry)))

    async def _answer(self, thread: str, entry: RequestEntry) -> None:
        what = self._dice.choices(list(ANSWERS), list(ANSWERS.values()))[0]
        await self._device.pause(1, CLOCKS.deadline_s * (1.1 if self._dice.random() < 0.2 else 0.5))
        if not self._town.playing or what == "nothing":
            return
        self._device.note(f"answers: {what}", thread)
        try:
            await self._device.insist(lambda: self._do(what, thread, entry))
        except MeshError as error:
            self._device.note(f"could not: {error.code}", thread)
            return
        if what.startswith("agree") and self._dice.random() < 0.1:
            await self._call_off(thread)

    async def _do(self, what: str, thread: str, entry: RequestEntry) -> None:
        person, exchanging = self._device.person, self._device.company.exchanging
        slot = self._dice.choice(entry.held) if entry.held else None
        match what:
            case "agree":
                consumer = self._town.company(_consumer_of(entry, self._town))
                await agree(person, consumer, slot=slot, entry=entry)
            case "agree by mail":
                await exchanging.links.use(await self._link(thread, slot))
            case "decline by mail":
                await exchanging.links.use(await self._link(thread, None, decline=True))
            case "decline":
                await exchanging.answering.answer(person.label, thread, Decline(reason="no-time"))
            case _:
                first = MORNING.start + GRID_S * self._dice.randrange(8)
                await exchanging.answering.answer(person.label, thread, Counter(slots=(first, first + GRID_S)))

    async def _link(self, thread: str, slot: int | None, *, decline: bool = False) -> str:
        """Return the newest link of a request as the mentor's mail program has it."""
        found: MentorRequest | None = None
        for row in self._device.company.rows(MailRow):
            assert isinstance(row, MailRow)
            notice = decode_notice(row.notice)
            if row.member == self._device.person.member and isinstance(notice, MentorRequest):
                found = notice
        assert found is not None, thread
        if decline:
            return found.decline.rpartition("/")[2]
        links = [one.link for one in found.slots if one.start == slot] or [found.accept or found.decline]
        return links[0].rpartition("/")[2]

    async def _call_off(self, thread: str) -> None:
        await self._device.pause(0, 300)
        self._device.note("calls the session off", thread)

        async def cancel() -> None:
            answering = self._device.company.exchanging.answering
            await answering.cancel(self._device.person.label, thread, "cannot-make-it")

        try:
            await self._device.insist(cancel)
        except MeshError as error:
            self._device.note(f"could not: {error.code}", thread)


def _consumer_of(entry: RequestEntry, town: Town) -> str:
    """Return who asked, as the mentor's device knows it from the thread."""
    thread = parse_item(unb64(entry.item)).claimed.thread
    for company in town.companies:
        row = town.thread_row(company, thread, "consumer")
        if row is not None:
            return company.entity
    raise LookupError(thread)


async def play_handshakes(town: Town, count: int = HANDSHAKES) -> list[Handshake]:
    """Play `count` searches and return them once everything rests."""
    for device in town.mentors:
        MentorAtWork(town, device)
    town.plan_partitions()
    handshakes: list[Handshake] = []
    while len(handshakes) < count:
        # Several at once want the same people.
        begins_at, first = town.dice.uniform(0, 1200), town.dice.choice(town.companies)
        together = min(town.dice.randint(1, 4), count - len(handshakes))
        handshakes += [Handshake(town, begins_at + town.dice.uniform(0, 20), first) for _ in range(together)]
    for handshake in handshakes:
        town.do(handshake.run())
    await town.play()
    return handshakes
