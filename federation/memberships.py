"""The consortia this node belongs to: takes what their registries state, meets the members, and lets go of who is out.

The newest word about each member stands in `FellowRow`; from these rows and the pinned keys come the seats that the
directory knows. Without a seat that lasts, a peer met through registries is as good as blocked.
Source: docs/protocol/22-members.md §2, §5–§6.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from protocol.encoding import encode, unb64
from protocol.errors import LimitError, MeshError, MissingError, UnverifiedError
from protocol.members import (
    DEPARTURES_PATH,
    Departure,
    check_bucket,
    check_issued,
    open_members,
    open_notice,
)
from protocol.signing import thumbprint

from .calls import Calls
from .directory import PeerDirectory, Seat
from .discovery import Discovery
from .fellows import forget_list, take_list, take_notice
from .introductions import Introductions
from .membership_views import Joined, Left, Membership, shown
from .peering import PeeringService
from .ports import Clock, Reader, Store, Writer, where
from .rows import FellowRow, MembershipRow
from .sets import Source
from .waiting import sleep_or_wake

JSON: Final = "application/json"
MAX_MEMBERSHIPS: Final = 16
#: Members of one consortium met at the same time, and in one round: a list of addresses that do not answer holds up
#: nobody else's. Then the pause after the first failure with one; it doubles up to an hour.
AT_ONCE: Final = 8
PER_ROUND: Final = 64
FIRST_PAUSE_S: Final = 30
LONGEST_PAUSE_S: Final = 3600
#: Seats are looked at this often although nothing was said.
LOOK_EVERY_S: Final = 60.0

Spend = Callable[[Writer], Awaitable[None]]
Hears = Callable[[], Awaitable[None]]


class MembershipService:
    """Memberships of one node; also what becomes of a mirrored set `kind: members` (`federation.sets.Contents`)."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        calls: Calls,
        directory: PeerDirectory,
        peering: PeeringService,
        discovery: Discovery,
        introductions: Introductions,
        alert: Callable[[str], None],
    ) -> None:
        """Take the parts; `alert` hears the code of what an administrator should look at."""
        self._store: Final = store
        self._clock: Final = clock
        self._calls: Final = calls
        self._directory: Final = directory
        self._peering: Final = peering
        self._discovery: Final = discovery
        self._introductions: Final = introductions
        self._alert: Final = alert
        self._own: Final = peering.own.entity
        self._joined: tuple[str, ...] = ()
        self._own_seats: dict[str, int] = {}
        self._pauses: Final[dict[tuple[str, str], tuple[int, int]]] = {}
        self._woken: Final = asyncio.Event()
        self._listed: Final = asyncio.Event()
        self._turn: Final = asyncio.Lock()
        self._seating: Final = asyncio.Lock()
        self._hears: Final[list[Hears]] = []
        self._changed = False

    def on_change(self, hears: Hears) -> None:
        """Have `hears` called after seats changed."""
        self._hears.append(hears)

    def wake(self) -> None:
        """Look at members and peers again soon."""
        self._listed.set()
        self._woken.set()

    @property
    def joined(self) -> tuple[str, ...]:
        """The registries of all consortia this node joined, by name."""
        return self._joined

    def active(self, now: int) -> tuple[str, ...]:
        """Return the registries that state this node as a member at `now`, by name."""
        return tuple(registry for registry in self._joined if now < self._own_seats.get(registry, 0))

    async def attesters(self, registry: str) -> frozenset[str]:
        """Return who attests sets in the consortium of `registry` now."""
        now = self._clock.now()
        if registry not in self.active(now):
            return frozenset()
        async with self._store.read() as rows:
            found = await rows.find(FellowRow, where(registry=registry, status="active", attester=True))
        seated = {peer.entity for peer in self._directory.all() if registry in peer.registries(now)} | {self._own}
        return frozenset(row.entity for row in found if now < row.expires_at and row.entity in seated)

    async def join(self, text: str) -> Joined:
        """Accept the ticket of a registry and wait to be admitted.

        Raises: MalformedError, RefusedError, UnverifiedError, UnavailableError: as accepting any ticket. LimitError.
        """
        seen = self._peering.preview(text)
        if seen.entity not in self._joined and len(self._joined) >= MAX_MEMBERSHIPS:
            raise LimitError(f"a node belongs to at most {MAX_MEMBERSHIPS} consortia")
        accepted = await self._peering.accept(text, joining=True)
        assert seen.consortium is not None, "a ticket of another kind is not accepted"
        said = seen.consortium
        async with self._store.write() as tx:
            known = await tx.get(MembershipRow, seen.entity)
            await tx.put(
                MembershipRow(
                    registry=seen.entity,
                    name=said.name,
                    charter=said.charter,
                    charter_url=said.charter_url,
                    joined_at=known.joined_at if known else self._clock.now(),
                )
            )
        await self._reseat()
        await self._tell()
        return Joined(accepted=accepted, name=said.name)

    async def leave(self, registry: str) -> Left:
        """Forget a consortium, its list and who was met through it alone; the pair with its registry stays.

        Raises: MissingError: this node is not in it.
        """
        async with self._store.write() as tx:
            await self._membership(tx, registry)
            await tx.delete(MembershipRow, where(registry=registry))
            gone = await forget_list(tx, registry)
        for entity in gone:
            self._directory.remove(entity)
        await self._reseat()
        await self._tell()
        return Left(registry=registry, told=await self._say_goodbye(registry))

    async def _say_goodbye(self, registry: str) -> bool:
        try:
            peer = self._directory.get(registry)
            await self._calls.post(peer, DEPARTURES_PATH, encode(Departure(registry=registry)), JSON)
        except MeshError:
            return False
        return True

    async def memberships(self) -> tuple[Membership, ...]:
        """Return all consortia this node joined, by registry."""
        now = self._clock.now()
        async with self._store.read() as rows:
            joined = await rows.find(MembershipRow)
            return tuple(
                [shown(one, await rows.find(FellowRow, where(registry=one.registry)), self._own, now) for one in joined]
            )

    def check_size(self, bucket: int) -> None:
        """Return if a consortium may have so many members. Raises: TooManyMembersError."""
        check_bucket(bucket)

    def check(self, source: Source, bodies: Sequence[bytes]) -> None:
        """Return if these are the members of the source's consortium. Raises: a class of `protocol.members`."""
        for statement in open_members(bodies, registry=source.peer):
            check_issued(statement, now=self._clock.now())

    async def take(self, tx: Writer, source: Source, bodies: Sequence[bytes]) -> None:
        """Take over a registry's newest list: every newer word in it, and that the others are gone."""
        if await tx.get(MembershipRow, source.peer) is None:
            return
        await take_list(tx, source.peer, open_members(bodies, registry=source.peer), now=self._clock.now())
        tx.on_commit(self.wake)

    async def noticed(self, peer: str, text: str, spend: Spend) -> None:
        """Take the word of the registry `peer` that a member is out, at once.

        Raises: MissingError: this node is not in a consortium of that peer. MalformedError, UnverifiedError: not its
        notice. StaleNoticeError: something newer is known. ReplayedError.
        """
        if peer not in self._joined:
            raise MissingError("this node is in no consortium of that registry", code="no-consortium")
        now, key = self._clock.now(), self._directory.get(peer).document.log_keys
        notice = open_notice(text, key, registry=peer, now=now)
        async with self._store.write() as tx:
            await self._membership(tx, peer)
            await take_notice(tx, notice, now=now)
            await spend(tx)
        await self._reseat()
        await self._tell()

    async def refresh(self, _: frozenset[str] | None = None) -> None:
        """Give the seats that the store says by now, which another process may have changed."""
        await self._reseat()
        await self._tell()

    async def start(self) -> None:
        """Give the seats that the store says."""
        await self._reseat()

    async def keep_seats(self) -> None:
        """Give and take seats for ever, as soon as something is stated: no slow address of a stranger delays it."""
        while True:
            self._listed.clear()
            await self._reseat()
            await self._tell()
            await self._listed.wait()

    async def run(self) -> None:
        """Keep introductions up to date for ever."""
        while True:
            self._woken.clear()
            await self.settle()
            await self._pause()

    async def _pause(self) -> None:
        due = min((at for _, at in self._pauses.values()), default=0)
        pause = min(max(due - self._clock.now(), 1.0), LOOK_EVERY_S) if due else LOOK_EVERY_S
        await sleep_or_wake(self._clock, pause, self._woken)

    async def settle(self) -> None:
        """Seat the members that are known, and meet those that are not."""
        async with self._turn:
            strangers = await self._reseat()
            names, now = {_name(fellow) for fellow in strangers}, self._clock.now()
            for name in [one for one, (_, at) in self._pauses.items() if one not in names and at <= now]:
                del self._pauses[name]
            await asyncio.gather(*(self._meet_some(some) for some in self._due(strangers).values()))
            await self._reseat()
        await self._tell()

    async def _reseat(self) -> list[FellowRow]:
        """Give seats by what is stated and pinned now; return the stated members that cannot have one yet."""
        async with self._seating:  # what was read before a notice must not be seated after it
            return await self._seat()

    async def _seat(self) -> list[FellowRow]:
        async with self._store.read() as rows:
            joined = tuple(row.registry for row in await rows.find(MembershipRow))
            stated = await rows.find(FellowRow, where(status="active"))
        own = {row.registry: row.expires_at for row in stated if row.entity == self._own}
        self._changed |= (joined, own) != (self._joined, self._own_seats)
        self._joined, self._own_seats = joined, own
        seats: dict[str, list[Seat]] = {}
        matching: list[FellowRow] = []
        unseated: list[FellowRow] = []
        for row in stated:
            if row.entity == self._own or row.registry not in self._own_seats:
                continue
            key = self._pinned_key(row.entity)
            if key is None or row.fingerprint not in {key, row.met}:
                unseated.append(row)
                continue
            until = min(row.expires_at, self._own_seats[row.registry])
            seats.setdefault(row.entity, []).append(Seat(registry=row.registry, until=until))
            if row.met != row.fingerprint or row.problem:
                matching.append(row)
        self._changed |= self._directory.seat({entity: tuple(found) for entity, found in seats.items()})
        await self._note(matching, "")
        return unseated

    def _pinned_key(self, entity: str) -> str | None:
        """Return the thumbprint of a peer's pinned federation key, None for a stranger."""
        try:
            text = self._directory.get(entity).document.keys.federation
        except MissingError:
            return None
        return thumbprint(unb64(text))

    def _due(self, strangers: Iterable[FellowRow]) -> dict[str, list[FellowRow]]:
        """Return whom to meet or look at now, by registry."""
        found: dict[str, list[FellowRow]] = {}
        for fellow in filter(self._is_due, strangers):
            found.setdefault(fellow.registry, []).append(fellow)
        return found

    async def _meet_some(self, fellows: Sequence[FellowRow]) -> None:
        limit = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._meet(limit, fellow) for fellow in fellows[:PER_ROUND]))
        if len(fellows) > PER_ROUND:
            self._woken.set()

    def _is_due(self, fellow: FellowRow) -> bool:
        _, at = self._pauses.get(_name(fellow), (0, 0))
        return at <= self._clock.now() < fellow.expires_at

    async def _meet(self, limit: asyncio.Semaphore, fellow: FellowRow) -> None:
        """Meet a member, or look again at one whose stated key is not the pinned one; a failure is noted."""
        name = _name(fellow)
        async with limit:
            if not self._is_due(fellow):  # another statement sent us to the same address meanwhile
                return
            try:
                if self._pinned_key(fellow.entity) is None:
                    await self._introductions.introduce(fellow)
                else:
                    await self._look_again(fellow)
            except MeshError as error:
                failures, _ = self._pauses.get(name, (0, 0))
                pause = min(FIRST_PAUSE_S * 2 ** min(failures, 16), LONGEST_PAUSE_S)
                self._pauses[name] = failures + 1, self._clock.now() + pause
                await self._note([fellow], error.code)
                if isinstance(error, UnverifiedError) and fellow.problem != error.code:
                    self._alert(error.code)
            else:
                self._pauses.pop(name, None)

    async def _look_again(self, fellow: FellowRow) -> None:
        """Return if the stated key follows from the pinned one by what the member's own document says now."""
        with suppress(LimitError):  # it was looked at within the last minute
            await self._discovery.refresh(fellow.entity)
        if self._pinned_key(fellow.entity) != fellow.fingerprint:
            raise UnverifiedError("the registry states another key than the pinned one", code="key-conflict")

    async def _note(self, rows: Iterable[FellowRow], problem: str) -> None:
        """Store why statements do not count, or that they do."""
        noted = [row for row in rows if not problem or row.problem != problem]
        if not noted:
            return
        async with self._store.write() as tx:
            for row in noted:
                newest = await tx.get(FellowRow, row.registry, row.entity)
                if newest is not None and newest.seq == row.seq:
                    met = newest.met if problem else newest.fingerprint
                    await tx.put(replace(newest, met=met, problem=problem))

    async def _tell(self) -> None:
        if self._changed:
            self._changed = False
            for hears in self._hears:
                await hears()

    async def _membership(self, rows: Reader, registry: str) -> MembershipRow:
        row = await rows.get(MembershipRow, registry)
        if row is None:
            raise MissingError("this node is in no such consortium: `mentormesh registry memberships` shows all")
        return row


def _name(fellow: FellowRow) -> tuple[str, str]:
    """Return what a pause is remembered under: whatever a registry states, it has an address asked only so often."""
    return fellow.registry, fellow.api
