"""A year of a key directory as one mirror of it sees it: people and decoys come, change and go.

People are modelled here, apart from the code that makes decoys: a rollout, offices' hours, second devices, renewals
that the client makes when its keys end soon, leavers and joiners.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from random import Random
from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.decoys import Crowd, DecoyPolicy, Person, advance, next_due, waiting
from protocol.devices import MAX_DEVICE_LIFETIME_S

DAY_S: Final = 86_400
#: Monday, 2026-01-05, 00:00 UTC.
START: Final = 1_767_571_200
YEAR: Final = 365 * DAY_S
LEAVE: Final = 0.18
SECOND_DEVICE: Final = 0.35
LOSE_DEVICE: Final = 0.15
NEW_NAME: Final = 0.05
#: A client renews what it told 30 to 55 days before its keys of 100 days end, at the next use.
RENEWED_AFTER: Final = (45 * DAY_S, 70 * DAY_S)

Decide = Callable[..., Crowd]
Certificates = tuple[tuple[int, int], ...]


class Seen(msgspec.Struct, kw_only=True):
    """What a mirror saw of one label."""

    real: bool
    born_at: int
    last_at: int
    devices: tuple[tuple[int, int], ...]
    seq: int
    changes: list[int]
    most: int
    gone_at: int = 0
    fresh: list[int]


class Staff:
    """The people of one organization, event by event."""

    def __init__(self, size: int, seed: int, *, rollout_s: float) -> None:
        """Begin with everybody, or with nobody and a rollout of this mean time."""
        self._random = Random(f"staff {size} {seed}")
        self._events: list[tuple[int, int, str, str]] = []
        self._count = 0
        self.people: dict[str, Person] = {}
        for _ in range(size):
            if rollout_s:
                self._plan(self._random.expovariate(1 / rollout_s), "arrive", self._name())
            else:
                self._arrive(START, self._name())

    def _name(self) -> str:
        self._count += 1
        return f"person {self._count}"

    def _plan(self, after: float, what: str, name: str, *, now: int = START) -> None:
        """Plan something for the first office hour after a delay."""
        at = now + int(after)
        while at % DAY_S // 3600 not in range(7, 18) or (at // DAY_S + 3) % 7 > 4:
            at += int(self._random.uniform(600, 7200))
        self._count += 1
        heapq.heappush(self._events, (at, self._count, what, name))

    def run(self) -> Iterator[int]:
        """Yield the time after each change."""
        while self._events and self._events[0][0] < START + YEAR:
            at, _, what, name = heapq.heappop(self._events)
            if what == "arrive" or name in self.people:
                getattr(self, f"_{what}")(at, name)
                yield at

    def next_at(self) -> int:
        return self._events[0][0] if self._events else START + YEAR

    def _certificate(self, at: int) -> tuple[int, int]:
        created = at - int(self._random.uniform(1, 60))
        return created, created + MAX_DEVICE_LIFETIME_S

    def _set(self, at: int, name: str, **devices: tuple[int, int]) -> None:
        before = self.people.get(name, Person(devices={}))
        self.people[name] = replace(before, devices={**before.devices, **devices})
        for device in devices:
            after = self._random.uniform(*RENEWED_AFTER) + self._random.expovariate(1 / (9 * DAY_S))
            self._plan(after, f"renew_{device}", name, now=at)

    def _arrive(self, at: int, name: str) -> None:
        self._set(at, name, first=self._certificate(at))
        self._plan(self._random.expovariate(LEAVE / YEAR), "leave", name, now=at)
        self._plan(self._random.expovariate(NEW_NAME / YEAR), "rename", name, now=at)
        if self._random.random() < SECOND_DEVICE:
            self._plan(self._random.expovariate(1 / (60 * DAY_S)), "add", name, now=at)

    def _leave(self, at: int, name: str) -> None:
        del self.people[name]
        self._plan(self._random.expovariate(1 / (20 * DAY_S)), "arrive", self._name(), now=at)

    def _rename(self, at: int, name: str) -> None:
        self.people[name] = replace(self.people[name], vouch=str(at))

    def _add(self, at: int, name: str) -> None:
        self._set(at, name, second=self._certificate(at))
        self._plan(self._random.expovariate(LOSE_DEVICE / YEAR), "lose", name, now=at)

    def _lose(self, at: int, name: str) -> None:  # noqa: ARG002 -- as all events
        devices = {key: one for key, one in self.people[name].devices.items() if key != "second"}
        self.people[name] = replace(self.people[name], devices=devices)

    def _renew_first(self, at: int, name: str) -> None:
        self._set(at, name, first=self._certificate(at))

    def _renew_second(self, at: int, name: str) -> None:
        if "second" in self.people[name].devices:
            self._set(at, name, second=self._certificate(at))


class Mirror:
    """Compares each head's entries with those of the head before."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self._present: set[str] = set()
        self.sizes: set[int] = set()

    def look(self, at: int, entries: Mapping[str, tuple[bool, int, Certificates]]) -> None:
        self.sizes.add(len(entries))
        for label, (real, seq, devices) in entries.items():
            known = self.seen.get(label)
            if known is None:
                fresh = [at - created for created, _ in devices]
                self.seen[label] = Seen(
                    real=real,
                    born_at=at,
                    last_at=at,
                    devices=devices,
                    seq=seq,
                    changes=[],
                    most=len(devices),
                    fresh=fresh,
                )
            elif (known.seq, known.devices) != (seq, devices):
                known.fresh += [at - created for created, _ in set(devices) - set(known.devices)]
                known.last_at, known.devices, known.seq = at, devices, seq
                known.changes.append(at)
                known.most = max(known.most, len(devices))
        for label in self._present - entries.keys():
            self.seen[label].gone_at = at
        self._present = set(entries)


def year(size: int, seed: int, decide: Decide = advance, *, rollout_s: float = 0) -> Mirror:
    """Return what a mirror saw in a year of a directory of `size` people."""
    staff, mirror, crowd, turn = Staff(size, seed, rollout_s=rollout_s), Mirror(), Crowd(), 0
    policy = DecoyPolicy(expected=size)
    shown: dict[str, tuple[bool, int, tuple[Certificates, str]]] = {}

    def show(at: int) -> Crowd:
        entropy = sha256(f"{size} {seed} {turn}".encode()).digest()
        after = decide(crowd, staff.people, now=at, entropy=entropy, policy=policy)
        held = waiting(after)
        for name, person in staff.people.items():
            devices = tuple(sorted(person.devices.values()))
            if name not in shown or (name not in held and shown[name][2] != (devices, person.vouch)):
                shown[name] = (True, (shown[name][1] if name in shown else 0) + 1, (devices, person.vouch))
        entries = {name: (True, shown[name][1], shown[name][2][0]) for name in staff.people}
        for one in after.decoys:
            devices = tuple(sorted((each.created_at, each.expires_at) for each in one.devices))
            entries[one.secret.hex()] = (False, one.seq, devices)
        mirror.look(at, entries)
        return after

    crowd, turn = show(START), turn + 1
    for at in staff.run():
        crowd, turn = show(at), turn + 1
        while (due := next_due(crowd)) is not None and due < min(staff.next_at(), START + YEAR):
            crowd, turn = show(due), turn + 1
    return mirror
