"""A consortium with one member that tells two stories: everybody else must find out, and be able to prove it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache
from typing import Final

import msgspec

from federation.ports import Row
from federation.registry import AGAIN_S
from federation.rows import (
    BundleRow,
    CosignatureRow,
    FrozenRow,
    LogCheckpointRow,
    MembershipRow,
    PeerRow,
    RegistrationRow,
    WatchedLogRow,
)
from federation.sets import Source, head_path
from protocol.addresses import audience_id
from protocol.commitments import Opening
from protocol.encoding import encode
from protocol.errors import MeshError, MissingError, RefusedError, UnavailableError
from protocol.evidence import open_bundle
from protocol.offers import Offer
from protocol.vocabulary import Topic
from tests.fakes.memory_store import Table

from .faults import Faults
from .invariants import Violation
from .loop import LoopClock, SteppedLoop
from .lossy import RATES, Lines
from .member import Member
from .process import Life
from .town import NAMES
from .twofaced import LIES, TwoFaced, copied, publish

#: Within so many rounds through which its process lived, every honest member must hold the evidence.
ROUNDS: Final = 2
#: After so many rounds nobody waits for it any more.
MOST_ROUNDS: Final = 6
#: A round is as long as the pause between two polls of one source.
ROUND_S: Final = 300.0
#: And within so many seconds nobody serves a member that was suspended.
SUSPENDED_S: Final = 60.0
#: Calls are lost so long after a suspension; then everybody can be reached.
LOSSY_S: Final = 30.0
REGISTRY: Final = "guild"
#: Of so many runs one has no liar in it.
HONEST_ONE_IN: Final = 6


class Met(msgspec.Struct, frozen=True, kw_only=True):
    """A consortium before anybody lies: seconds since the beginning, and the rows of each node by its name."""

    elapsed: float
    tables: dict[str, dict[type[Row], Table]]


@cache
def met(nodes: int) -> Met:
    """Return a consortium of `nodes` members that have met; it is the same in every run."""
    loop = SteppedLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(Consortium(0, nodes, loop).meet())


class Consortium:
    """One run: a registry and `nodes` members, the last of which lies."""

    def __init__(self, seed: int, nodes: int, loop: SteppedLoop) -> None:
        self.faults: Final = Faults(seed, RATES)
        self.dice: Final = self.faults.dice
        self.clock: Final = LoopClock(loop)
        self.told = False
        lines = Lines(self.faults, self.clock)
        names = [NAMES[number] if number < len(NAMES) else f"company-{number}" for number in range(nodes)]
        self.registry: Final = Member(REGISTRY, lines, self.clock, Faults.calm(), 1000)
        self.honest: Final = [
            Member(name, lines, self.clock, self.faults, number + 1) for number, name in enumerate(names[:-1])
        ]
        self.liar: Final = TwoFaced(names[-1], lines, self.clock, nodes)
        lines.nodes.update({one.entity: one for one in (self.registry, *self.honest)})
        lines.nodes[self.liar.entity] = self.liar
        self.audience: Final = audience_id(self.registry.entity)
        self.lie: Final = self.dice.choice(LIES) if self.dice.randrange(HONEST_ONE_IN) else None
        #: Whether it has the audacity to ask witnesses to cosign both stories.
        self.bold: Final = self.dice.random() < 0.5
        #: After which round the first and the last honest member held the evidence; 0: never.
        self.first = self.last = 0
        #: Rounds in which the process of each honest member ended before it held the evidence.
        self._crashed: Final[Counter[str]] = Counter()
        self._late: Final[list[str]] = []
        self._forked_at = 0

    @property
    def members(self) -> list[Member]:
        """The members, of the liar the honest face."""
        return [*self.honest, self.liar.faces[0]]

    async def open(self, met: "Met") -> None:
        """Begin with members that have met and hold what the others published."""
        await self.clock.sleep(met.elapsed)
        for one in (self.registry, *self.members):
            one.tables.update(copied(met.tables[one.name]))
            one.start()
        await self.clock.sleep(1)

    async def meet(self) -> "Met":
        """Let the members meet and publish, and return what they have stored then; nothing fails yet."""
        self.faults.active = False
        everybody = [self.registry, *self.members]
        await self._settle_in(everybody)
        return Met(elapsed=self.clock.elapsed(), tables={one.name: copied(one.tables) for one in everybody})

    async def _settle_in(self, everybody: list[Member]) -> None:
        now = self.clock.now()
        for one in everybody:
            for other in everybody:
                if other is not one:
                    via = "" if self.registry in {one, other} else self.registry.entity
                    _add(one, _peer(other, via, now))
            if one is self.registry:
                for member in self.members:
                    _add(one, RegistrationRow(entity=member.entity, status="active", applied_at=now, since=now))
            else:
                _add(one, MembershipRow(registry=self.registry.entity, name="Guild", joined_at=now))
            one.start()
        await self.clock.sleep(1)
        await self.registry.registry.renew()
        for member in self.members:
            await self._poll(member)
            await member.memberships.settle()
        for number, member in enumerate(self.members):
            await publish(member, self.audience, story(number, 0))
        await self.round(self.members)

    async def round(self, members: list[Member]) -> None:
        """Let each member poll each of its sources and logs once, and ask each peer what it holds."""
        await asyncio.gather(*(self._polls(member) for member in members))

    async def _polls(self, member: Member) -> None:
        await self.clock.sleep(self.dice.uniform(0, ROUND_S / 2))
        if self.faults.active and self.dice.random() < 0.5:
            offers = story(self.members.index(member), int(self.clock.elapsed()))
            await self._try(member, lambda: publish(member, self.audience, offers))
        await self._poll(member)
        await self._try(member, member.grow)
        for log in member.witnessing.logs.all():
            await self._try(member, lambda log=log: member.witnessing.watch.poll(log))  # type: ignore[misc]
        await self._try(member, member.gossip)

    async def _poll(self, member: Member) -> None:
        sources: list[Source] = [*await member.audiences.sources()]
        self.dice.shuffle(sources)
        for source in sources:
            await self._try(member, lambda source=source: member.mirror.poll(source))  # type: ignore[misc]

    async def _try(self, member: Member, work: Callable[[], Awaitable[None]]) -> None:
        """Let a member do something of its own; after a crash it does it once it is back, other failures stay."""
        while True:
            try:
                await member.serve(work)
            except MeshError as error:
                if error.code == "node-down":
                    await self.clock.sleep(5)
                    continue
            return

    async def play(self) -> None:
        """Let the liar lie, and the others find out; then let one member be suspended."""
        half = self.dice.sample(self.honest, len(self.honest) // 2)
        if self.lie is not None:
            self._forked_at = max(row.size for row in self._checkpoints())
            self.liar.fork(self.lie, frozenset(member.entity for member in half))
        number = 0
        while number < MOST_ROUNDS and not self.last:
            number += 1
            await self._lie(number)
            blind = {member.name: member.life for member in self.honest if not self.evidence(member)}
            await self.round(self.honest)
            found = [bool(self.evidence(member)) for member in self.honest]
            self._note_late(number, blind)
            self.first = self.first or (number if any(found) else 0)
            self.last = number if all(found) else 0
            if self.lie is None and number == ROUNDS:
                break

    def _note_late(self, number: int, blind: Mapping[str, Life]) -> None:
        """Note who should hold the evidence after this round: what was shown to a process that ended is forgotten."""
        for member in self.honest:
            self._crashed[member.name] += member.name in blind and member.life is not blind[member.name]
            is_late = not self.evidence(member) and number >= ROUNDS + self._crashed[member.name]
            if is_late and member.name not in self._late:
                self._late.append(member.name)

    def _checkpoints(self) -> list[LogCheckpointRow]:
        return [row for row in self.liar.faces[0].rows(LogCheckpointRow) if isinstance(row, LogCheckpointRow)]

    async def _lie(self, number: int) -> None:
        """Let the liar tell its stories, which go on in each round; a bold one asks everybody to cosign them."""
        if self.lie is not None:
            await self.clock.sleep(1)
            await self.liar.tell(self.lie, self.audience, (story(-1, number), story(-2, number)))
        for face in self.liar.faces if self.bold else ():
            await face.witnessing.cosigner.collect()

    async def suspend(self) -> list[Violation]:
        """Suspend a member while all are there, and return who still serves it a little later."""
        self.faults.spared.add("crash")
        while not all(member.life.alive for member in self.honest):
            await self.clock.sleep(1)
        out = self.dice.choice(self.honest)
        self.faults.note(self.clock.elapsed(), out.name, "is suspended")
        begun = self.clock.elapsed()
        await self.registry.registry.suspend(out.entity, "for a test")
        while self.clock.elapsed() < begun + SUSPENDED_S - AGAIN_S:
            await self.clock.sleep(AGAIN_S)
            self.faults.active = self.clock.elapsed() < begun + LOSSY_S
            await self.registry.registry.tell_again()
        self.faults.stop()
        serving = [other.name for other in self.honest if other is not out and await self._serves(other, out)]
        return [Violation(rule=f"{name} still serves {out.name}, which is suspended") for name in serving]

    async def _serves(self, node: Member, out: Member) -> bool:
        while True:
            try:
                await node.answer(out.entity, head_path(self.audience, "offers"), b"")
            except (MissingError, RefusedError):
                return False
            except UnavailableError:
                await self.clock.sleep(5)
                continue
            return True

    def evidence(self, member: Member) -> list[BundleRow]:
        """Return what a member holds against the liar."""
        rows = [row for row in member.rows(BundleRow) if isinstance(row, BundleRow)]
        return [row for row in rows if row.accused == self.liar.entity and row.bound]

    def check(self) -> Iterator[Violation]:
        """Yield what does not hold after the lie."""
        if self.lie is not None and (self._late or not self.last):
            late = f", {', '.join(self._late)} too late" if self._late else ""
            missing = "" if self.last else ", somebody not at all"
            yield Violation(rule=f"{self.lie}: all found it after {self.last or MOST_ROUNDS} rounds{late}{missing}")
        for member in self.honest:
            yield from self._innocent(member)
            for row in self.evidence(member):
                yield from self._proved(member, row)
            for mistake in member.mistakes:
                yield Violation(rule=mistake)
        yield from self._cosigned_twice()

    def _innocent(self, member: Member) -> Iterator[Violation]:
        accused = {row.accused for row in member.rows(BundleRow) if isinstance(row, BundleRow)}
        frozen = {row.peer for row in member.rows(FrozenRow) if isinstance(row, FrozenRow)}
        guilty = {self.liar.entity} if self.lie is not None else set()
        for entity in (accused | frozen) - guilty:
            yield Violation(rule=f"{member.name} holds evidence against {entity}, which is honest")
        for row in member.rows(WatchedLogRow):
            assert isinstance(row, WatchedLogRow)
            if row.problem and row.entity not in guilty:
                yield Violation(rule=f"{member.name} finds fault with the log of {row.entity}: {row.problem}")
        if self.evidence(member) and not (frozen and member.directory.get(self.liar.entity).frozen):
            yield Violation(rule=f"{member.name} holds evidence and goes on as if nothing was")

    def _proved(self, member: Member, row: BundleRow) -> Iterator[Violation]:
        """Check that the evidence convinces somebody who has nothing else."""
        try:
            opened = open_bundle(row.bundle)
        except MeshError as error:
            yield Violation(rule=f"evidence of {member.name} does not verify: {error}")
            return
        if {key.text for key in opened.keys} != {self.liar.faces[0].keys.federation.public.text}:
            yield Violation(rule=f"evidence of {member.name} is about other keys")

    def _cosigned_twice(self) -> Iterator[Violation]:
        """Yield the witnesses that cosigned both stories."""
        lines: dict[tuple[str, int], set[bytes]] = {}
        for face in self.liar.faces:
            for row in face.rows(CosignatureRow):
                assert isinstance(row, CosignatureRow)
                if row.size > self._forked_at:
                    lines.setdefault((row.witness, row.log), set()).add(row.line)
        for (witness, _), found in lines.items():
            if len(found) > 1:
                yield Violation(rule=f"{witness.partition('+')[0]} cosigned two stories")


def story(teller: int, number: int) -> tuple[Opening, ...]:
    """Return what somebody offers the `number`th time, a few things."""
    return tuple(_opening(teller % 1000, number, at) for at in range(3))


def _opening(teller: int, number: int, at: int) -> Opening:
    offer = Offer(
        offer_id=f"{teller:09d}{number:06d}{at:06d}A",
        topic=Topic(id=f"ext:t:{at}", kind="do"),
        band="any",
        language="en",
        region="DE",
        formats=("call",),
        lengths=(30,),
    )
    return Opening(salt=f"{teller:05d}{number:05d}{at:06d}".encode("ascii"), body=encode(offer))


def _add(node: Member, row: Row) -> None:
    key = tuple(getattr(row, column) for column in row.key)
    node.tables.setdefault(type(row), {})[key] = row


def _peer(other: Member, via: str, now: int) -> PeerRow:
    return PeerRow(
        entity=other.entity,
        keyid=other.keys.http.public.keyid,
        federation_key=other.keys.federation.public.text,
        document=other.document.encode("ascii"),
        mode="full",
        added_at=now,
        fetched_at=now,
        via=via,
    )
