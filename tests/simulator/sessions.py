"""Mentees and mentors who write to each other: everything is shown once, in the hub's order, on both sides."""

from collections.abc import Iterator
from typing import Final

from federation.rows import MailboxRow, ThreadRow
from node.services.mentor_side import RequestEntry
from node.services.sessions import Sent
from protocol.encoding import decode
from protocol.envelope import parse_envelope
from protocol.handshake import Side, State
from protocol.ids import message_id
from tests.node.exchange.people import Mentee, agree

from .company import Company
from .devices import Device
from .handshakes import ask, need_of
from .invariants import Violation
from .town import Town

SESSIONS: Final = 8
ENVELOPES: Final = 12


class Session:
    """One agreed thread and what its two people wrote, in order."""

    def __init__(self, town: Town) -> None:
        self.mentee: Final = town.dice.choice(town.mentees)
        self.provider: Company
        self.mentor: Device
        self.thread = ""
        self.sent: Final[dict[Side, list[Sent]]] = {Side.CONSUMER: [], Side.PROVIDER: []}
        self._town: Final = town

    def is_finalized(self) -> bool:
        """Tell whether both agreed."""
        row = self._town.thread_row(self.mentee.company, self.thread, "consumer")
        return row is not None and row.state == State.FINALIZED.value

    async def agree(self) -> None:
        """Find somebody who says yes; nothing fails yet."""
        company = self.mentee.company
        while not self.is_finalized():
            self.provider = self._town.dice.choice(self._town.companies)
            offer = self._town.offers[self.provider.entity, company.entity]
            mentee = Mentee(self.mentee.person, self.provider, offer, need_of("text"))
            self.thread = mentee.thread
            quote = await ask(self.mentee, mentee)
            if quote is None:
                continue
            await mentee.accept(quote, slots=())
            while (row := self._town.thread_row(company, self.thread, "consumer")) and row.state == "ACCEPTED":
                await self.mentee.news(self.thread, within_s=60)
            await self._town.clock.sleep(60)
        theirs = self._town.thread_row(self.provider, self.thread, "provider")
        assert isinstance(theirs, ThreadRow)
        (self.mentor,) = [device for device in self._town.mentors if device.person.label == theirs.label]

    async def talk(self, side: Side) -> None:
        """Write `ENVELOPES` messages, some quickly after one another; each is sent until the own node has it."""
        device = self.mentee if side is Side.CONSUMER else self.mentor
        for number in range(ENVELOPES):
            await device.pause(0, 200 if self._town.dice.random() < 0.5 else 2)
            made = message_id(self._town.clock.now_ms(), device.person.node.entropy.take(10))
            sent = Sent(id=made, kind="message", epoch=1, ciphertext=f"{side.value} {number}".encode())
            device.note(f"writes {number + 1} as the {side.value}", self.thread)
            await device.insist(lambda sent=sent: self._submit(device, side, sent))  # type: ignore[misc]
            self.sent[side].append(sent)

    async def _submit(self, device: Device, side: Side, sent: Sent) -> None:
        await device.company.exchanging.sessions.submit(device.person.label, self.thread, side, sent)

    def check(self) -> Iterator[Violation]:
        """Yield what does not hold of what the two devices were shown."""
        ours, theirs = _shown(self.mentee, self.thread, "consumer"), _shown(self.mentor, self.thread, "provider")
        if [number for number, *_ in theirs] != list(range(1, len(theirs) + 1)):
            yield Violation(rule="the hub's numbers are not 1, 2, 3 …", threads=(self.thread,))
        if ours != theirs:
            yield Violation(rule="the two sides were shown different envelopes", threads=(self.thread,))
        for side, sent in self.sent.items():
            written = [(one.id, one.ciphertext) for one in sent]
            if [(id_, text) for _, writer, id_, text in theirs if writer == side.value] != written:
                yield Violation(rule=f"what the {side.value} wrote is lost, doubled or moved", threads=(self.thread,))


def _shown(device: Device, thread: str, side: str) -> list[tuple[int | None, str, str, bytes]]:
    entries = [row for row in device.read if (row.thread, row.side, row.kind) == (thread, side, "envelope")]
    found = [parse_envelope(row.data) for row in entries]
    return [(one.header.number, one.header.side, one.header.id, one.ciphertext) for one in found]


class YesMentor:
    """Agrees to everything at once."""

    def __init__(self, town: Town, device: Device) -> None:
        self._town: Final = town
        self._device: Final = device
        device.on_entry = self._on_entry

    def _on_entry(self, row: MailboxRow) -> None:
        if row.kind == "request":
            self._town.do(self._agree(row))

    async def _agree(self, row: MailboxRow) -> None:
        thread = self._town.thread_row(self._device.company, row.thread, "provider")
        assert thread is not None
        entry = decode(row.data, RequestEntry)
        await agree(self._device.person, self._town.company(thread.peer), slot=None, entry=entry)


async def play_sessions(town: Town) -> list[Session]:
    """Play `SESSIONS` conversations and return them once everything rests."""
    town.faults.active = False
    for device in town.mentors:
        YesMentor(town, device)
    sessions = [Session(town) for _ in range(SESSIONS)]
    for session in sessions:
        await session.agree()
    town.faults.active = True
    town.plan_partitions()
    for session in sessions:
        for side in Side:
            town.do(session.talk(side))
    await town.play()
    return sessions
