"""Entries of nobody in a key directory: they come, change and go as the entries of people do.

What people's entries do is learned as *lives*: how long after an arrival which change came, at which hours of the week,
how old a certificate was when it was published. A decoy leads such a life again, later and at other moments. Pure
functions of state, people, time and entropy. Source: docs/protocol/13-key-directory.md §4, with its limits.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from hashlib import shake_256
from itertools import accumulate, takewhile
from typing import Final

import msgspec
from msgspec.structs import replace

from .devices import MAX_DEVICE_LIFETIME_S, DeviceCertificate, Vouch, sign_device
from .encoding import b64, label, sha256
from .ids import ID_BYTES
from .keyentries import MAX_DEVICES, MAX_SEQ, KeyEntry
from .signing import SigningKey

HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S
WEEK_HOURS: Final = 168
#: How much more an hour of the week counts than its day and its hour for themselves.
_JOINT: Final = 3
#: Lives and habits that are remembered.
_LIVES: Final = 512
_HABITS: Final = 64
#: A certificate of a decoy is renewed this long before it ends, whatever its life says.
_RENEW_S: Final = 14 * 86_400


class DecoyPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`least`: smallest directory. `expected`: how many people may come, so that it has its size from the beginning.

    `first`: number of an entry that is new, of a person or a decoy.
    """

    least: int = 16
    expected: int = 0
    first: int = 1


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """What shows of one person's entry: certificates as (created, expires) by device id, and the vouch."""

    devices: Mapping[str, tuple[int, int]]
    vouch: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an entry, `age` seconds after it came."""

    age: int
    added: int = 0
    removed: int = 0
    renewed: int = 0
    vouched: bool = False


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a person from its arrival; `label` and `now` (how it is) are empty once it has gone.

    A renewal can wait: it shows at `due_at`, which is drawn as for decoys. Everything else shows at once.
    """

    born_at: int
    first: int
    steps: tuple[Step, ...] = ()
    label: str = ""
    now: Person | None = None
    due_at: int = 0


class DecoyDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device of a decoy; its keys come from the decoy's secret and `number`."""

    number: int
    created_at: int
    expires_at: int


class Decoy(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of nobody: which life it leads and how far it is; `due_at` is when its next step shows, 0 unknown.

    `made_at`: when a renewal that waits for `due_at` was made, had somebody made it.
    `early`: it came when too few people came to be one of them, and goes first.
    """

    secret: bytes
    born_at: int
    devices: tuple[DecoyDevice, ...]
    numbers: int
    seq: int = 1
    vouches: int = 0
    life: int = -1
    done: int = 0
    made_at: int = 0
    due_at: int = 0
    early: bool = False

    @property
    def label(self) -> str:
        """The label of its entry."""
        return b64(_derived(self, "label")[:ID_BYTES])


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered for one audience: the size, the decoys, and what is known of people's entries.

    `week`: how many changes people made in each hour of the week. `habits`: age and lifetime of certificates when they
    reached this node.
    """

    size: int = 0
    decoys: tuple[Decoy, ...] = ()
    lives: dict[int, Life] = msgspec.field(default_factory=dict)
    born: int = 0
    week: tuple[int, ...] = (0,) * WEEK_HOURS
    habits: tuple[tuple[int, int], ...] = ()


class Dice:
    """Independent draws expanded from entropy by SHAKE-256."""

    def __init__(self, entropy: bytes) -> None:
        if len(entropy) < 32:
            raise ValueError("decoys take at least 32 bytes of entropy")
        self._entropy: Final = entropy
        self._block = 0
        self._left = b""

    def take(self, size: int) -> bytes:
        """Return `size` bytes that no other call returns."""
        while len(self._left) < size:
            parts = label("decoy-draws") + self._entropy + self._block.to_bytes(8, "big")
            self._left += shake_256(parts).digest(4096)
            self._block += 1
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def below(self, count: int) -> int:
        """Return a number from 0 to `count` - 1; 8 bytes leave a bias nobody can measure."""
        return int.from_bytes(self.take(8), "big") % count


def advance(crowd: Crowd, people: Mapping[str, Person], *, now: int, entropy: bytes, policy: DecoyPolicy) -> Crowd:
    """Return the crowd in which `people`'s entries stand now; entries and decoys together are a power of two.

    Args:
        people: by label, all entries of people that the next head will show.
        entropy: 32 fresh bytes.
    """
    return _Turn(crowd, Dice(entropy), now, policy).run(people)


def size_for(people: int, *, before: int, policy: DecoyPolicy) -> int:
    """Return the size of a directory of so many people; it never shrinks, because a smaller one would tell why."""
    wanted = max(policy.least, 2 * people, 2 * policy.expected, before)
    return 1 << (wanted - 1).bit_length()


def skipped(crowd: Crowd, numbers: int) -> Crowd:
    """Return the crowd with every decoy's number grown by so many, for a database that came back from a backup."""
    return replace(crowd, decoys=tuple(replace(one, seq=min(one.seq + numbers, MAX_SEQ)) for one in crowd.decoys))


def next_due(crowd: Crowd) -> int | None:
    """Return when an entry changes next by itself, None when that hangs on people."""
    times = [one.due_at for one in crowd.decoys] + [life.due_at for life in crowd.lives.values()]
    return min(filter(None, times), default=None)


def waiting(crowd: Crowd) -> frozenset[str]:
    """Return the labels of people whose entry stays as it is for now, although they have renewed a certificate."""
    return frozenset(life.label for life in crowd.lives.values() if life.due_at)


class _Turn:
    """One step of a crowd."""

    def __init__(self, crowd: Crowd, dice: Dice, now: int, policy: DecoyPolicy) -> None:
        self._crowd: Final = crowd
        self._dice: Final = dice
        self._now: Final = now
        self._policy: Final = policy
        self._lives: Final = dict(crowd.lives)
        self._born = crowd.born
        self._week: Final = list(crowd.week)
        self._habits: Final = list(crowd.habits)
        self._decoys: Final = list(crowd.decoys)

    def run(self, people: Mapping[str, Person]) -> Crowd:
        came = self._learn(people)
        size = size_for(len(people), before=self._crowd.size, policy=self._policy)
        self._decoys[:] = [self._lived(one) for one in self._decoys]
        self._exchange(size, len(people), came)
        return replace(
            self._crowd,
            size=size,
            decoys=tuple(self._decoys),
            lives=self._kept(),
            born=self._born,
            week=tuple(self._week),
            habits=tuple(self._habits[-_HABITS:]),
        )

    # What people's entries do

    def _learn(self, people: Mapping[str, Person]) -> int:
        """Take in what changed since the last turn; return how many people came."""
        known = {life.label: number for number, life in self._lives.items() if life.label}
        for name, person in people.items():
            number = known.get(name)
            if number is None:
                self._arrived(name, person)
            else:
                self._changed(number, person)
        gone = [number for name, number in known.items() if name not in people]
        for number in gone:
            self._lives[number] = replace(self._lives[number], label="", now=None, due_at=0)
        return len(people) - len(known) + len(gone)

    def _arrived(self, name: str, person: Person) -> None:
        self._lives[self._born] = Life(born_at=self._now, first=len(person.devices), label=name, now=person)
        self._born += 1
        self._note_habits(person.devices.values())

    def _changed(self, number: int, person: Person) -> None:
        life = self._lives[number]
        before = life.now
        if 0 < life.due_at <= self._now:
            life = self._lives[number] = replace(life, due_at=0)
        if before is None or before == person:
            return
        fresh = [one for name, one in person.devices.items() if before.devices.get(name) != one]
        step = Step(
            age=self._now - life.born_at,
            added=len(person.devices.keys() - before.devices.keys()),
            removed=len(before.devices.keys() - person.devices.keys()),
            renewed=sum(before.devices.get(name, one) != one for name, one in person.devices.items()),
            vouched=person.vouch != before.vouch,
        )
        self._note_habits(fresh)
        self._week[self._now // HOUR_S % WEEK_HOURS] += 1
        urgent = step.added or step.removed or step.vouched
        due_at = 0 if urgent else life.due_at or self._moment(self._now)
        self._lives[number] = replace(life, steps=(*life.steps, step), now=person, due_at=due_at)

    def _note_habits(self, certificates: Iterable[tuple[int, int]]) -> None:
        self._habits.extend((max(0, self._now - created), expires - created) for created, expires in certificates)

    def _kept(self) -> dict[int, Life]:
        """Return the lives of those who are there, and the newest of those who went."""
        over = [number for number, life in self._lives.items() if not life.label]
        dropped = set(over[: max(0, len(over) - _LIVES)])
        return {number: life for number, life in self._lives.items() if number not in dropped}

    # What decoys do

    def _exchange(self, size: int, people: int, came: int) -> None:
        """Let decoys go and come, so that entries of both kinds come at the same times and last equally long.

        A person who comes takes the place of a decoy, and a decoy that of a person who goes. With every person who
        comes, decoys make way for decoys in addition, in proportion to how many there are of both in the end.
        """
        wanted, growing = size - people, size > self._crowd.size
        settled = max(people, self._policy.expected, size // 4 + 1)
        ratio = (size - settled) / settled
        while len(self._decoys) > wanted:
            self._leave()
        if not growing:
            more = ratio if any(one.early for one in self._decoys) else max(0.0, ratio - 1)
            for _ in range(min(self._rounded(came * more), len(self._decoys))):
                self._leave()
        missing = wanted - len(self._decoys)
        early = max(0, missing - self._rounded(came * ratio)) if growing else 0
        self._decoys.extend(self._newborn(early=number < early) for number in range(missing))

    def _rounded(self, amount: float) -> int:
        """Return a whole number around `amount`, which it is in the mean."""
        whole = int(amount)
        return whole + (self._dice.below(1_000_000) < (amount - whole) * 1_000_000)

    def _leave(self) -> None:
        early = [number for number, one in enumerate(self._decoys) if one.early] or range(len(self._decoys))
        self._decoys.pop(early[self._dice.below(len(early))])

    def _newborn(self, *, early: bool) -> Decoy:
        """Return a decoy that arrives now, as a person would."""
        number = self._some_life(0)
        first = self._lives[number].first if number >= 0 else 1
        return Decoy(
            secret=self._dice.take(32),
            born_at=self._now,
            devices=tuple(self._certified(each, self._now) for each in range(first)),
            numbers=first,
            seq=self._policy.first,
            life=number,
            early=early,
        )

    def _lived(self, decoy: Decoy) -> Decoy:
        """Return a decoy with the steps that show now."""
        life = self._lives.get(decoy.life)
        if life is None or (not life.label and decoy.done >= len(life.steps)):
            decoy, life = self._other_life(decoy)
        if life is not None and decoy.done < len(life.steps):
            decoy = self._towards(decoy, life.steps[decoy.done])
        if any(one.expires_at - _RENEW_S <= self._now for one in decoy.devices):
            decoy = self._step(replace(decoy, made_at=self._now), Step(age=0, renewed=1))
        return decoy

    def _towards(self, decoy: Decoy, step: Step) -> Decoy:
        if not decoy.due_at:
            made_at = max(decoy.born_at + step.age, self._now)
            decoy = replace(decoy, made_at=made_at, due_at=self._moment(made_at))
        if decoy.due_at > self._now:
            return decoy
        # Renewals that came while one waited show together, as those of people do.
        steps = self._lives[decoy.life].steps[decoy.done + 1 :]
        passed = (one for one in steps if decoy.born_at + one.age <= self._now)
        more = list(takewhile(lambda one: not (one.added or one.removed or one.vouched), passed))
        step = replace(step, renewed=step.renewed + sum(one.renewed for one in more))
        return replace(self._step(decoy, step), done=decoy.done + 1 + len(more), due_at=0)

    def _other_life(self, decoy: Decoy) -> tuple[Decoy, Life | None]:
        """Return the decoy in a life that lasted longer than the one it led, from its own age on."""
        number = self._some_life(self._now - decoy.born_at)
        if number < 0:
            return decoy, None
        life = self._lives[number]
        done = sum(step.age <= self._now - decoy.born_at for step in life.steps)
        return replace(decoy, life=number, done=done, due_at=0), life

    def _some_life(self, age: int) -> int:
        """Return the number of a life of somebody who is there, if possible for as long as `age`; -1 for nobody."""
        there = [number for number, life in self._lives.items() if life.label]
        found = [number for number in there if self._now - self._lives[number].born_at >= age] or there
        return found[self._dice.below(len(found))] if found else -1

    def _step(self, decoy: Decoy, step: Step) -> Decoy:
        devices = sorted(decoy.devices, key=lambda one: one.created_at)
        del devices[: min(step.removed, max(0, len(devices) + step.added - 1))]
        renewed = [self._certified(one.number, decoy.made_at) for one in devices[: step.renewed]]
        devices[: step.renewed] = renewed
        added = range(decoy.numbers, decoy.numbers + min(step.added, MAX_DEVICES - len(devices)))
        devices += [self._certified(number, self._now) for number in added]
        return replace(
            decoy,
            devices=tuple(devices),
            numbers=decoy.numbers + len(added),
            seq=min(decoy.seq + 1, MAX_SEQ),
            vouches=decoy.vouches + step.vouched,
        )

    def _certified(self, number: int, at: int) -> DecoyDevice:
        """Return a device whose certificate was as old at `at` as people's are when they reach their node."""
        habits = self._habits[-_HABITS:] or [(0, MAX_DEVICE_LIFETIME_S)]
        ago, lifetime = habits[self._dice.below(len(habits))]
        return DecoyDevice(number=number, created_at=at - ago, expires_at=at - ago + lifetime)

    def _moment(self, after: int) -> int:
        """Return a time within a week, on a day and in an hour in which people change something.

        Few changes say little about single hours of a week, so days and hours for themselves count beside them.
        """
        start, week = after // HOUR_S + 1, self._week
        days = [sum(week[day * 24 : day * 24 + 24]) for day in range(7)]
        hours, total = [sum(week[hour::24]) for hour in range(24)], sum(week)
        weights = [_JOINT * total * week[each] + days[each // 24] * hours[each % 24] for each in range(WEEK_HOURS)]
        below = list(accumulate(weights[each % WEEK_HOURS] for each in range(start, start + WEEK_HOURS)))
        if not below[-1]:
            below = list(range(1, WEEK_HOURS + 1))
        return (start + bisect_right(below, self._dice.below(below[-1]))) * HOUR_S + self._dice.below(HOUR_S)


def render_decoy(decoy: Decoy, audience: str) -> KeyEntry:
    """Return the entry of a decoy: real keys, valid certificates, nobody behind them."""
    identity = SigningKey(_derived(decoy, "identity"))
    certificates = [
        DeviceCertificate(
            device_id=b64(_derived(decoy, "device-id", one.number)[:ID_BYTES]),
            device_key=SigningKey(_derived(decoy, "device", one.number)).public.text,
            audience=audience,
            created_at=one.created_at,
            expires_at=one.expires_at,
        )
        for one in decoy.devices
    ]
    return KeyEntry(
        label=decoy.label,
        identity_key=identity.public.text,
        devices=tuple(sign_device(one, identity) for one in sorted(certificates, key=lambda one: one.device_id)),
        seq=decoy.seq,
        vouch=Vouch(
            name=b64(_derived(decoy, "vouch-name", decoy.vouches)), identity=b64(_derived(decoy, "vouch-identity"))
        ),
    )


def _derived(decoy: Decoy, purpose: str, number: int = 0) -> bytes:
    return sha256(label("decoy"), decoy.secret, number.to_bytes(4, "big"), purpose.encode())
