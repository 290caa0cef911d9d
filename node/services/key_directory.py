"""Publishes the key directory of every audience: people's entries and decoys, at most one head in a while.

A person stands only in the audiences for which a device of theirs enrolled. Source: docs/protocol/13-key-directory.md.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
import zstandard
from msgspec.structs import replace

from federation.headproofs import usable_proof
from federation.losses import losses_of
from federation.ports import Clock, Entropy, Reader, Store, Writer, above, is_in, where
from federation.publisher import PublisherService, newest_head
from federation.rows import KeyDirectoryRow, KeyEntryRow
from federation.sets import AudienceBook
from federation.waiting import sleep_or_wake
from node.rows import EnrolmentRow, LabelRow, MemberRow
from protocol.addresses import audience_id
from protocol.commitments import SALT_BYTES, Opening, commit
from protocol.decoys import Crowd, DecoyPolicy, Person, advance, next_due, render_decoy, skipped, waiting
from protocol.devices import DEVICE_TYP, DeviceCertificate, StatementText, Vouch
from protocol.encoding import b64, decode
from protocol.heads import ENTRY_PURPOSE
from protocol.ids import Bytes32, RandomId
from protocol.jws import parse
from protocol.keyentries import MAX_SEQ, KeyEntry, encode_entry

KIND: Final = "keys"
#: A certificate leaves the directory so long before it ends that no head outlives it.
MARGIN_S: Final = 2 * 86_400
LONGEST_PAUSE_S: Final = 60.0
_MAX_STATE: Final = 256 * 1024 * 1024

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Crowd)


class Erasures(Protocol):
    """Has peers confirm what left a directory."""

    async def record(self, tx: Writer, audience: str, commitments: tuple[bytes, ...], *, now: int) -> None:
        """Remember that these entries left, in the same transaction."""
        ...


class KeyPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`gap_s`: least time between two heads of an audience. `every_s`: a head is signed this often, changed or not.

    `least`: smallest directory. `expected_percent`: share of the members for whom there is room from the beginning.
    """

    gap_s: float = 60.0
    every_s: float = 900.0
    least: int = 16
    expected_percent: int = 10


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What of an enrolment shows in the directory."""

    label: RandomId
    identity_key: Bytes32
    certificate: StatementText
    vouch: Vouch | None = None


class _Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One person of an audience: what their devices told, by device id."""

    identity_key: str
    devices: Mapping[str, tuple[DeviceCertificate, str]]
    vouch: Vouch | None

    @property
    def person(self) -> Person:
        """What decoys imitate of it."""
        certificates = {name: (one.created_at, one.expires_at) for name, (one, _) in self.devices.items()}
        return Person(devices=certificates, vouch=f"{self.vouch.name}{self.vouch.identity}" if self.vouch else "")


class KeyDirectory:
    """The key directories of one node."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        publisher: PublisherService,
        audiences: AudienceBook,
        *,
        own: str,
        erasures: Erasures,
        policy: KeyPolicy,
        generation: int,
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._publisher: Final = publisher
        self._audiences: Final = audiences
        self._inside: Final = audience_id(own)
        self._erasures: Final = erasures
        self._policy: Final = policy
        self._generation: Final = generation
        self._woken: Final = asyncio.Event()

    def wake(self) -> None:
        """Look at enrolments and audiences again soon."""
        self._woken.set()

    async def run(self) -> None:
        """Publish for ever, whenever something changed or a head is due."""
        while True:
            self._woken.clear()
            pause = await self.tick()
            await sleep_or_wake(self._clock, pause, self._woken)
            # A change soon after a head waits for the gap to pass, with all that come meanwhile.
            await self._clock.sleep(min(self._policy.gap_s, 0.05))

    async def tick(self) -> float:
        """Publish what is due in every audience; return in how many seconds to look again."""
        served = sorted({one.id for one in await self._audiences.audiences() if KIND in one.kinds} | {self._inside})
        due = [await self._turn(audience) for audience in served]
        return max(0.05, min([LONGEST_PAUSE_S, *(at - self._clock.now() for at in due)]))

    async def _turn(self, audience: str) -> float:
        """Publish what is due in one audience; return when to look again."""
        async with self._store.write() as tx:
            head = await newest_head(tx, audience, KIND)
            now = self._clock.now()
            if head is not None and now < head.issued_at + max(1.0, self._policy.gap_s):
                return head.issued_at + max(1.0, self._policy.gap_s)
            if not await self._publisher.may_sign(tx):
                return now + LONGEST_PAUSE_S
            crowd, changed = await self._updated(tx, audience, now)
            rows = await tx.find(KeyEntryRow, where(audience=audience))
            openings = [Opening(salt=row.salt, body=row.body) for row in rows]
            done = await self._publisher.publish(tx, audience, KIND, openings)
            await tx.put(*(replace(row, since=done.seq) for row in rows if row.label in changed))
        return min(next_due(crowd) or now + LONGEST_PAUSE_S, now + self._policy.every_s)

    async def _updated(self, tx: Writer, audience: str, now: int) -> tuple[Crowd, frozenset[str]]:
        """Bring an audience's entries up to date; return its crowd and the labels that changed or came."""
        row = await tx.get(KeyDirectoryRow, audience)
        before = load_crowd(row)
        held = {one.label: one for one in await tx.find(KeyEntryRow, where(audience=audience))}
        losses = await losses_of(tx, self._generation)
        lost = losses.since(row.generation, row.changed_at, now=now) if row else 0
        if lost:
            before = skipped(before, lost)
        listed = await self._people(tx, audience, now)
        # A database that lost something can have forgotten an entry that somebody's label had, and peers hold; nothing
        # but its number would tell that label from a decoy, so all entries that are new have the same.
        first = losses.first(now)
        policy = DecoyPolicy(least=self._policy.least, expected=await self._expected(tx), first=first)
        people = {name: one.person for name, one in listed.items()}
        entropy = self._entropy.take(32)
        crowd = await asyncio.to_thread(advance, before, people, now=now, entropy=entropy, policy=policy)
        held_back = waiting(crowd)
        wanted = {
            name: held[name].body
            if name in held_back and name in held
            else self._body(name, one, held.get(name), first)
            for name, one in listed.items()
        }
        wanted |= await asyncio.to_thread(_decoy_bodies, before, crowd, held, audience)
        changed = await self._store_entries(tx, audience, held, wanted, lost)
        await self._forget(tx, audience, [one for name, one in held.items() if name not in wanted], now)
        if row is None or crowd != before or lost:
            state = dump_crowd(crowd)
            await tx.put(KeyDirectoryRow(audience=audience, generation=self._generation, state=state, changed_at=now))
        return crowd, changed

    async def _people(self, tx: Reader, audience: str, now: int) -> dict[str, _Listed]:
        """Return what people's devices told for an audience, by label."""
        rows = await tx.find(EnrolmentRow, where(audience=audience), above("expires_at", now + MARGIN_S))
        told = [msgspec.json.decode(row.enrolment, type=_Told) for row in rows]
        found: dict[str, _Listed] = {}
        for one in told:
            certificate = decode(parse(one.certificate, DEVICE_TYP).payload, DeviceCertificate, what="own certificate")
            others = found.get(one.label)
            devices = {**(others.devices if others else {}), certificate.device_id: (certificate, one.certificate)}
            found[one.label] = _Listed(
                identity_key=one.identity_key, devices=devices, vouch=one.vouch or (others.vouch if others else None)
            )
        return found

    async def _expected(self, tx: Reader) -> int:
        """Return for how many people a directory has room at once."""
        enrolled = await tx.count(LabelRow, where(audience=self._inside))
        members = await tx.count(MemberRow, where(active=True))
        return max(enrolled, members * self._policy.expected_percent // 100)

    def _body(self, label: str, one: _Listed, held: KeyEntryRow | None, first: int) -> bytes:
        """Return a person's entry; without a vouch of theirs it has the one it had, or a random one."""
        before = decode(held.body, KeyEntry, what="own entry") if held else None
        vouch = one.vouch or (before.vouch if before else _random_vouch(self._entropy))
        entry = KeyEntry(
            label=label,
            identity_key=one.identity_key,
            devices=tuple(text for _, (_, text) in sorted(one.devices.items())),
            seq=before.seq if before else first,
            vouch=vouch,
        )
        if before is not None and entry != before:
            entry = replace(entry, seq=min(before.seq + 1, MAX_SEQ))
        return encode_entry(entry)

    async def _store_entries(
        self, tx: Writer, audience: str, held: Mapping[str, KeyEntryRow], wanted: Mapping[str, bytes], lost: int
    ) -> frozenset[str]:
        """Store what changed with fresh salts; return the labels."""
        fresh = []
        for name, body in wanted.items():
            known = held.get(name)
            if known is not None and known.body == body and not lost:
                continue
            entry = decode(body, KeyEntry, what="own entry")
            if lost and known is not None:
                entry = replace(entry, seq=min(known.seq + lost + 1, MAX_SEQ))
            salt = self._entropy.take(SALT_BYTES)
            row = KeyEntryRow(audience=audience, label=name, seq=entry.seq, salt=salt, body=encode_entry(entry))
            fresh.append(row)
        await tx.put(*fresh)
        return frozenset(row.label for row in fresh)

    async def _forget(self, tx: Writer, audience: str, gone: list[KeyEntryRow], now: int) -> None:
        """Erase entries that nobody stands behind any more, and have every peer confirm that it did."""
        if not gone:
            return
        await self._erasures.record(tx, audience, tuple(commitment_of(row) for row in gone), now=now)
        for at in range(0, len(gone), 1000):
            labels = [row.label for row in gone[at : at + 1000]]
            await tx.delete(KeyEntryRow, where(audience=audience), is_in("label", labels))

    async def leave(self, tx: Writer, member: str, now: int) -> None:
        """Erase a person's entries at once, in the transaction in which they leave or are erased."""
        labels = [row.label for row in await tx.find(LabelRow, where(member=member))]
        for row in await tx.find(KeyEntryRow, is_in("label", labels)) if labels else ():
            await self._forget(tx, row.audience, [row], now)
        tx.on_commit(self.wake)


async def listed_devices(tx: Reader, own: str, audience: str, label: str) -> frozenset[str]:
    """Return the keys of a person's devices that others can check now: logged, and attested by enough members."""
    row = await tx.get(KeyEntryRow, audience, label)
    proof = await usable_proof(tx, own, audience)
    if row is None or proof is None or row.since > proof.seq:
        return frozenset()
    entry = decode(row.body, KeyEntry, what="own entry")
    payloads = (parse(text, DEVICE_TYP).payload for text in entry.devices)
    return frozenset(decode(each, DeviceCertificate, what="own certificate").device_key for each in payloads)


def commitment_of(row: KeyEntryRow) -> bytes:
    """Return the commitment under which an entry stands in its set."""
    return commit(ENTRY_PURPOSE[KIND], Opening(salt=row.salt, body=row.body))


def _decoy_bodies(before: Crowd, after: Crowd, held: Mapping[str, KeyEntryRow], audience: str) -> dict[str, bytes]:
    """Return the entries of all decoys; only those that changed are signed anew."""
    known = {one.secret: one for one in before.decoys}
    bodies = {}
    for one in after.decoys:
        label = one.label
        shown = known.get(one.secret)
        same = shown is not None and (shown.devices, shown.seq) == (one.devices, one.seq) and label in held
        bodies[label] = held[label].body if same else encode_entry(render_decoy(one, audience))
    return bodies


def _random_vouch(entropy: Entropy) -> Vouch:
    return Vouch(name=b64(entropy.take(32)), identity=b64(entropy.take(32)))


def dump_crowd(crowd: Crowd) -> bytes:
    """Return a crowd as it is stored."""
    return zstandard.ZstdCompressor().compress(_encoder.encode(crowd))


def load_crowd(row: KeyDirectoryRow | None) -> Crowd:
    """Return the crowd of a row, or that of an audience that is new."""
    if row is None:
        return Crowd()
    return _decoder.decode(zstandard.ZstdDecompressor().decompress(row.state, max_output_size=_MAX_STATE))
