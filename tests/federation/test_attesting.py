"""Heads of keys: logged by their origin, attested by who holds all bodies, usable once enough did; erased on demand."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256

import msgspec
import pytest
from msgspec.structs import replace

from federation import attesting
from federation.attesting import MOST_WAITING, Attesting, GiveAttestation
from federation.erasures import BURST, PER_MINUTE, EntryErasures
from federation.headproofs import enclosed, usable_proof
from federation.logbook import Logbook
from federation.ports import Store, where
from federation.publisher import AWAITED_S
from federation.rows import AttestationRow, EntryErasureRow, HeadProofRow, MirrorPageRow, MirrorRow
from federation.sourcewatch import UNPROVEN_S
from node.services.key_lookup import KeyLookup, KeyQuery
from node.services.key_pages import KeyContents
from protocol.attestation import sign_attestation
from protocol.commitments import Opening, commit
from protocol.decoys import Crowd, DecoyPolicy, advance, render_decoy
from protocol.encoding import b64, encode
from protocol.erasure import ErasureRequest, open_receipts
from protocol.errors import (
    LimitError,
    MalformedError,
    MeshError,
    MissingError,
    RefusedError,
    UnavailableError,
    UnverifiedError,
)
from protocol.heads import head_hash, open_answer, open_any_head
from protocol.keyentries import KeyEntry, encode_entry
from protocol.keyproof import Circle, KeyProof, verify_head, verify_proof
from protocol.pages import decode_page
from protocol.peers import NodeDocument, open_document
from protocol.signing import SigningKey
from tests.fakes.memory_store import MemoryStore
from tests.vectors.generate.keyproofs import document as signed_document
from tests.vectors.generate.keys import key

from .sets import AURORA, BIRCH, PAIR, Pair

COBALT = "https://cobalt.example"
NAMES = {AURORA: "aurora", BIRCH: "birch", COBALT: "cobalt"}


class Documents:
    """Both nodes' documents."""

    def document(self, entity: str) -> NodeDocument | None:
        text = self.text(entity)
        return open_document(text) if text else None

    def text(self, entity: str) -> str:
        return signed_document(NAMES[entity]) if entity in NAMES else ""


class Book:
    """The audience of the pair, and who attests in it."""

    def __init__(self, pair: Pair, attesters: Sequence[str] = (AURORA, BIRCH)) -> None:
        self.audiences = pair.birch_book.audiences
        self.named = frozenset(attesters)

    async def attesters(self, audience: str) -> frozenset[str]:
        return self.named if audience == PAIR else frozenset()


async def step(node: Attesting) -> float:
    """Let a node do what it can do now; return in how many seconds it looks again."""
    return min(await node.prove(), await node.tell())


class World:
    """Aurora's key directory, mirrored and attested by Birch."""

    def __init__(self) -> None:
        self.pair = pair = Pair(MemoryStore(), MemoryStore(), kinds=("keys",))
        # The keys of the documents sign.
        pair.aurora_key = key("aurora log")
        pair.birch_book.listed = [msgspec.structs.replace(pair.source, key=pair.aurora_key.public)]
        pair.aurora = pair.publisher(pair.aurora_store, pair.aurora_book, AURORA, pair.aurora_key)
        pair.mirror = pair.mirroring(paged={"keys": KeyContents(pair.birch_store, pair.clock)})
        self.book = Book(pair)
        self.sent: list[tuple[str, str, bytes]] = []
        self.origin = self.attesting(pair.aurora_store, AURORA)
        self.member = self.attesting(pair.birch_store, BIRCH)
        pair.mirror.connect(self.member)
        self.crowd = Crowd()
        self.turn = 0

    def attesting(self, store: Store, own: str) -> Attesting:
        pair = self.pair
        return Attesting(
            store,
            pair.clock,
            book=self.book,
            documents=Documents(),
            publisher=pair.aurora,
            logbook=Logbook(store),
            mirror=pair.mirror,
            post=self.post,
            own=own,
            key=key(f"{NAMES[own]} attest"),
        )

    async def post(self, peer: str, path: str, body: bytes) -> None:
        self.sent.append((peer, path, body))
        if path.endswith("/attestations"):
            await self.origin.receive(BIRCH, body)

    def entries(self) -> list[KeyEntry]:
        return [render_decoy(one, PAIR) for one in self.crowd.decoys]

    async def publish(self, *, after_s: int = 60) -> None:
        """Publish a directory of decoys that changed since the last one."""
        self.pair.clock.advance(after_s)
        self.turn += 1
        self.crowd = advance(
            Crowd(), {}, now=self.pair.clock.now(), entropy=sha256(bytes([self.turn])).digest(), policy=DecoyPolicy()
        )
        await self.pair.publish([self.opening(one) for one in self.entries()], "keys")

    def opening(self, entry: KeyEntry) -> Opening:
        return Opening(salt=sha256(entry.label.encode()).digest()[:16], body=encode_entry(entry))

    async def log(self) -> None:
        await self.pair.aurora._log.sequence()

    async def usable(self, *, at_birch: bool = True) -> HeadProofRow | None:
        async with (self.pair.birch_store if at_birch else self.pair.aurora_store).read() as rows:
            return await usable_proof(rows, AURORA, PAIR)

    def lookup(self) -> KeyLookup:
        return KeyLookup(self.pair.birch_store, self.book, Documents(), own=BIRCH)

    def circle(self) -> Circle:
        documents = {one: open_document(signed_document(NAMES[one])) for one in (AURORA, BIRCH)}
        return Circle(audience=PAIR, members=(AURORA, BIRCH), documents=documents)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.publish()
    return made


async def test_a_head_is_used_once_it_is_logged_and_attested(world: World) -> None:
    await step(world.origin)  # its leaf is not signed in the log yet
    assert world.sent == []
    await world.log()
    await step(world.origin)
    assert [path for _, path, _ in world.sent] == ["/federation/v1/nudges"]
    assert await world.usable(at_birch=False) is None
    await world.pair.poll()
    assert await world.usable() is not None
    await step(world.member)
    there = await world.usable(at_birch=False)
    assert there is not None
    async with world.pair.aurora_store.read() as rows:
        assert len((await enclosed(rows, there, world.book.named)).attestations) == 1


async def test_heads_that_come_faster_than_they_are_logged_are_used_all_the_same(world: World) -> None:
    """Each is replaced before its proof is there, as on a machine with much to do."""
    for _ in range(2):
        await world.log()
        await world.publish(after_s=1)
        await world.pair.poll()
        await step(world.origin)
        await world.publish(after_s=1)
        await world.pair.poll()
        assert (await numbers(world))[:1] == [await shown(world)]
    assert await numbers(world) == [3]
    await step(world.member)
    assert (await world.lookup().find(KeyQuery(origin=AURORA, audience=PAIR, prefix="0000"))).entries


async def numbers(world: World) -> list[int]:
    """Return the usable heads at Birch, the newest first."""
    async with world.pair.birch_store.read() as rows:
        found = await rows.find(HeadProofRow, where(origin=AURORA, complete=True), order="-seq")
    return [row.seq for row in found]


async def shown(world: World) -> int:
    """Return the number of the head that Birch is given."""
    reply = await world.pair.aurora.head_answer(PAIR, "keys", BIRCH)
    return open_any_head(open_answer(reply.body).head, key("aurora log").public).seq


async def test_the_head_that_is_shown_never_goes_back_and_waits_a_minute_for_its_proof(world: World) -> None:
    assert await shown(world) == 1
    await world.publish(after_s=1)
    assert await shown(world) == 1
    world.pair.clock.advance(AWAITED_S - 2)
    assert await shown(world) == 1
    world.pair.clock.advance(1)
    assert await shown(world) == 1
    world.pair.clock.advance(1)
    assert await shown(world) == 2
    await world.publish(after_s=1)
    await world.log()
    await world.publish(after_s=1)
    assert await shown(world) == 2
    await step(world.origin)
    assert await shown(world) == 3
    world.pair.clock.advance(AWAITED_S)
    assert await shown(world) == 4


async def test_a_restored_origin_shows_no_head_of_before(world: World) -> None:
    await usable(world)
    pair = world.pair
    pair.clock.advance(900)
    restored = pair.publisher(pair.aurora_store, pair.aurora_book, AURORA, pair.aurora_key, generation=2)
    async with pair.aurora_store.write() as tx:
        await restored.publish(tx, PAIR, "keys", [world.opening(one) for one in world.entries()])
    assert await shown(world) == 902


async def test_what_stands_beside_a_head_later_is_looked_for_sooner(world: World) -> None:
    await world.pair.mirror.poll_due()
    assert await world.usable() is None
    await world.log()
    await step(world.origin)
    world.pair.clock.advance(int(UNPROVEN_S) + 2)
    await world.pair.mirror.poll_due()
    assert await world.usable() is not None


async def test_a_wrong_log_proof_is_a_problem_and_makes_nothing_usable(world: World) -> None:
    await world.log()
    await step(world.origin)

    def bend(path: str, answer: object) -> object:
        if not path.endswith("/head"):
            return answer
        said = msgspec.json.decode(answer.body)  # type: ignore[attr-defined]  # an answer
        other = said["log"].replace("index ", "index 1")
        return msgspec.structs.replace(answer, body=encode({**said, "log": other}))  # type: ignore[type-var]  # the same

    world.pair.bend = bend  # type: ignore[assignment]  # an answer in, an answer out
    with pytest.raises((UnverifiedError, MalformedError)):
        await world.pair.poll()
    assert await world.usable() is None


async def test_attestations_of_strangers_and_of_other_heads_are_not_taken(world: World) -> None:
    await world.log()
    await step(world.origin)
    row = (await head_rows(world))[0]
    head = open_any_head(row.head, key("aurora log").public)
    text = sign_attestation(head, "A" * 43, key("birch attest"), now=world.pair.clock.now())
    stranger = sign_attestation(head, "A" * 43, key("cobalt attest"), now=world.pair.clock.now())
    for requester, given, kind in (
        (BIRCH, text, UnverifiedError),
        (BIRCH, stranger, UnverifiedError),
        ("https://cobalt.example", stranger, MissingError),
        (BIRCH, "no JWS", MalformedError),
    ):
        with pytest.raises(kind):
            await world.origin.receive(requester, encode(GiveAttestation(attestation=given)))
    elsewhere = sign_attestation(
        msgspec.structs.replace(head, seq=9, prev="A" * 43), "A" * 43, key("birch attest"), now=world.pair.clock.now()
    )
    with pytest.raises(MissingError):
        await world.origin.receive(BIRCH, encode(GiveAttestation(attestation=elsewhere)))
    async with world.pair.aurora_store.read() as rows:
        assert await rows.find(AttestationRow) == []


async def head_rows(world: World) -> list[HeadProofRow]:
    async with world.pair.aurora_store.read() as rows:
        return await rows.find(HeadProofRow)


async def test_an_origin_that_is_away_is_told_again(world: World) -> None:
    await world.log()
    await step(world.origin)
    await world.pair.poll()
    receive = world.origin.receive

    async def down(_peer: str, _body: bytes) -> None:
        raise LimitError("not now")

    world.origin.receive = down  # type: ignore[method-assign,assignment]  # as if Aurora were down
    assert await step(world.member) < 60
    world.origin.receive = receive  # type: ignore[method-assign]
    await step(world.member)
    assert await world.usable(at_birch=False) is None  # not before the pause is over
    world.pair.clock.advance(6)
    await step(world.member)
    assert await world.usable(at_birch=False) is not None


async def test_people_get_a_proof_that_verifies_offline(world: World) -> None:
    lookup = world.lookup()
    with pytest.raises(MissingError):
        await lookup.find(KeyQuery(origin=AURORA, audience=PAIR))
    await usable(world)
    answer = await lookup.find(KeyQuery(origin=AURORA, audience=PAIR, prefix="0000"))
    assert len(answer.entries) == 16
    now = world.pair.clock.now()
    for placed in answer.entries:
        proof = KeyProof(type="mentormesh/key-proof/v1", head=answer.head, entry=placed)
        assert verify_proof(proof, world.circle(), origin=AURORA, now=now).head.witnessed
    halves = [await lookup.find(KeyQuery(origin=AURORA, audience=PAIR, prefix=one, bits=1)) for one in ("0000", "8000")]
    assert sorted(one.body for half in halves for one in half.entries) == sorted(one.body for one in answer.entries)
    with pytest.raises(MalformedError):
        await lookup.find(KeyQuery(origin=AURORA, audience=PAIR, prefix="8000"))


async def test_one_page_is_answered_without_reading_the_others(world: World) -> None:
    await usable(world)
    lookup = world.lookup()
    first = await lookup.page(AURORA, PAIR, 0)
    assert len(decode_page(first.data).entries) == 16
    async with world.pair.birch_store.write() as tx:
        await tx.insert(MirrorPageRow(origin=AURORA, audience=PAIR, kind="keys", number=7, data=b"seventh"))
    assert (await lookup.page(AURORA, PAIR, 0)).data == first.data
    assert (await lookup.page(AURORA, PAIR, 7)).data == b"seventh"
    with pytest.raises(MissingError, match="no such page"):  # it is not the second of those that are here
        await lookup.page(AURORA, PAIR, 1)


async def test_pages_of_a_newer_directory_are_not_shown_under_an_older_proof(world: World) -> None:
    await usable(world)
    assert (await world.lookup().page(AURORA, PAIR, 0)).data
    await world.publish()
    world.pair.clock.advance(AWAITED_S)
    await world.pair.poll()
    with pytest.raises(MissingError, match="is changing"):  # whoever checked it would call it a forgery
        await world.lookup().page(AURORA, PAIR, 0)
    await usable(world)
    assert (await world.lookup().page(AURORA, PAIR, 0)).data


async def usable(world: World) -> None:
    await world.log()
    await step(world.origin)
    await world.pair.poll()
    await step(world.member)


async def test_a_newer_head_is_proven_before_it_replaces_the_older_proof(world: World) -> None:
    await usable(world)
    first = await world.usable()
    await world.publish()
    world.pair.clock.advance(AWAITED_S)
    await world.pair.poll()
    assert await world.usable() == first
    with pytest.raises(MissingError):  # the old proof holds, but its bodies are gone
        await world.lookup().find(KeyQuery(origin=AURORA, audience=PAIR, prefix="0000"))
    await usable(world)
    second = await world.usable()
    assert first is not None
    assert second is not None
    assert second.seq > first.seq
    assert verify_head(
        (await world.lookup().find(KeyQuery(origin=AURORA, audience=PAIR))).head,
        world.circle(),
        origin=AURORA,
        now=world.pair.clock.now(),
    ).attested_by == (BIRCH,)


async def changed(world: World, **changes: object) -> None:
    """Publish the directory with its first entry changed."""
    first, *rest = world.entries()
    world.pair.clock.advance(60)
    entry = msgspec.structs.replace(first, **changes)
    await world.pair.publish([world.opening(one) for one in (entry, *rest)], "keys")
    world.pair.clock.advance(AWAITED_S)


@pytest.mark.parametrize(
    "changes",
    [
        {"devices": ()},
        {"identity_key": SigningKey(bytes(32)).public.text},
        {"vouch": {"name": "A" * 43, "identity": "A" * 43}},
    ],
    ids=["no device", "another identity key", "a change under the same number"],
)
async def test_a_set_with_a_bad_entry_is_incomplete(world: World, changes: dict[str, object]) -> None:
    await usable(world)
    await changed(world, **changes)
    with pytest.raises(MeshError) as refusal:
        await world.pair.poll()
    assert refusal.value.code == "incomplete"
    (status,) = await world.pair.mirror.status()
    assert status.state == "incomplete"


async def test_a_change_with_a_larger_number_is_taken(world: World) -> None:
    await usable(world)
    before = world.entries()[0]
    await changed(world, seq=before.seq + 1)
    await world.pair.poll()
    async with world.pair.birch_store.read() as rows:
        row = await rows.get(MirrorRow, AURORA, PAIR, "keys")
    assert row is not None
    assert row.state == "complete"


# others attest than before


async def attested_by_cobalt(world: World) -> None:
    """Have Aurora's newest head attested as by the node of Cobalt, which holds it too."""
    row = (await head_rows(world))[-1]
    head = open_any_head(row.head, key("aurora log").public)
    text = sign_attestation(head, head_hash(row.head), key("cobalt attest"), now=world.pair.clock.now())
    await world.origin.receive(COBALT, encode(GiveAttestation(attestation=text)))


def consortium(world: World, *attesters: str) -> None:
    """Have these attest from now on, in an audience to which Cobalt belongs."""
    world.book.named = frozenset(attesters)
    for book in (world.pair.aurora_book, world.pair.birch_book):
        book.members = frozenset(NAMES)


async def test_a_proof_that_was_complete_waits_for_an_attester_that_joins_and_gains_its_word(world: World) -> None:
    await usable(world)
    await world.pair.poll()
    consortium(world, AURORA, BIRCH, COBALT)
    await step(world.origin)
    await step(world.member)
    assert await world.usable(at_birch=False) is None  # two are needed now: nobody would believe what was served
    assert await world.usable() is None
    await attested_by_cobalt(world)
    assert await world.usable(at_birch=False) is not None
    world.pair.clock.advance(2)  # long before the next regular poll
    await world.pair.mirror.poll_due()
    assert await world.usable() is not None
    answer = await world.lookup().find(KeyQuery(origin=AURORA, audience=PAIR))
    circle = msgspec.structs.replace(
        world.circle(),
        members=tuple(NAMES),
        named=tuple(NAMES),
        documents={one: open_document(signed_document(name)) for one, name in NAMES.items()},
    )
    proven = verify_head(answer.head, circle, origin=AURORA, now=world.pair.clock.now())
    assert proven.attested_by == (BIRCH, COBALT)


async def test_who_begins_to_attest_says_so_of_heads_that_it_holds_already(world: World) -> None:
    consortium(world, AURORA, COBALT)
    await world.log()
    await step(world.origin)
    await attested_by_cobalt(world)
    await world.pair.poll()
    await step(world.member)
    assert await world.usable() is not None
    consortium(world, AURORA, BIRCH)
    await step(world.origin)
    assert await world.usable(at_birch=False) is None
    await step(world.member)  # no newer head came
    assert await world.usable(at_birch=False) is not None
    assert await world.usable() is not None
    async with world.pair.aurora_store.read() as rows:
        there = await enclosed(rows, (await head_rows(world))[-1], world.book.named)
    assert len(there.attestations) == 1  # that of Cobalt counts no more, and takes nobody's place


async def test_words_of_those_who_do_not_attest_take_nobodys_place(world: World) -> None:
    await world.log()
    await step(world.origin)
    others = [f"https://{letter}.example" for letter in "abcdefg"]
    head = open_any_head((await head_rows(world))[-1].head, key("aurora log").public)
    async with world.pair.aurora_store.write() as tx:
        for one in others:
            await tx.put(
                AttestationRow(
                    origin=AURORA, audience=PAIR, kind="keys", seq=head.seq, attester=one, statement=one, told=True
                )
            )
    consortium(world, AURORA, BIRCH)
    with pytest.raises(UnavailableError):  # there are seven already, and this would be one more that does not count
        await attested_by_cobalt(world)
    consortium(world, AURORA, BIRCH, COBALT)
    await attested_by_cobalt(world)
    async with world.pair.aurora_store.read() as rows:
        assert [row.attester for row in await rows.find(AttestationRow)] == [COBALT]


# erasure


class Calls:
    """Carries Aurora's questions to Birch."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.answers: list[bytes] = []

    async def post(self, peer: object, path: str, body: bytes, kind: str, *, limit: int) -> object:
        del peer, kind, limit
        assert path == "/federation/v1/erasures"
        answer = await erasing(self.world, BIRCH).confirm(AURORA, body)
        self.answers.append(answer)
        return type("Answer", (), {"body": answer})()


class Directory:
    """Knows Birch."""

    def get(self, entity: str) -> object:
        return type("Peer", (), {"document": open_document(signed_document(NAMES[entity]))})()


def erasing(world: World, own: str) -> EntryErasures:
    pair = world.pair
    return EntryErasures(
        pair.birch_store if own == BIRCH else pair.aurora_store,
        pair.clock,
        Calls(world),  # type: ignore[arg-type]  # as far as erasures call
        audiences=pair.birch_book,
        sources=pair.birch_book,
        directory=Directory(),  # type: ignore[arg-type]  # as far as erasures ask it
        mirror=pair.mirror,
        own=own,
        key=key(f"{NAMES[own]} attest"),
    )


def commitment(world: World, entry: KeyEntry) -> bytes:
    return commit("key-entry", world.opening(entry))


async def test_an_erased_entry_is_purged_at_the_peer_which_says_so(world: World) -> None:
    await usable(world)
    gone, *rest = world.entries()
    origin = erasing(world, AURORA)
    async with world.pair.aurora_store.write() as tx:
        await origin.record(tx, PAIR, [commitment(world, gone)], now=world.pair.clock.now())
    await origin.step()  # the newest head still shows it: the peer says no
    (row,) = await erasure_rows(world)
    assert (row.peer, row.receipt) == (BIRCH, "")
    world.pair.clock.advance(60)
    await world.pair.publish([world.opening(one) for one in rest], "keys")
    world.pair.clock.advance(AWAITED_S)
    await origin.step()
    (row,) = await erasure_rows(world)
    request = ErasureRequest(audience=PAIR, commitments=(b64(commitment(world, gone)),))
    receipts = open_receipts(
        encode({"receipts": [row.receipt]}),
        request,
        key("birch attest").public,
        origin=AURORA,
        mirror=BIRCH,
        now=world.pair.clock.now(),
    )
    assert list(receipts) == [row.receipt]
    async with world.pair.birch_store.read() as rows:
        bodies = [one.body for page in await rows.find(MirrorPageRow) for one in decode_page(page.data).entries]
    assert encode_entry(gone) not in bodies
    assert len(bodies) == 15


async def erasure_rows(world: World) -> list[EntryErasureRow]:
    async with world.pair.aurora_store.read() as rows:
        return await rows.find(EntryErasureRow)


async def test_an_entry_that_the_newest_set_still_shows_is_not_confirmed(world: World) -> None:
    await usable(world)
    request = ErasureRequest(audience=PAIR, commitments=(b64(commitment(world, world.entries()[0])),))
    with pytest.raises(RefusedError) as refusal:
        await erasing(world, BIRCH).confirm(AURORA, encode(request))
    assert refusal.value.code == "still-listed"


async def test_a_peer_that_never_held_an_entry_confirms_at_once(world: World) -> None:
    request = ErasureRequest(audience=PAIR, commitments=(b64(bytes(32)),))
    answer = await erasing(world, BIRCH).confirm(AURORA, encode(request))
    signer, now = key("birch attest").public, world.pair.clock.now()
    assert len(open_receipts(answer, request, signer, origin=AURORA, mirror=BIRCH, now=now)) == 1


async def test_a_peer_that_asks_for_erasures_without_end_is_told_to_wait(world: World) -> None:
    body = encode(ErasureRequest(audience=PAIR, commitments=(b64(bytes(32)),)))
    member, clock = erasing(world, BIRCH), world.pair.clock
    for _ in range(BURST):
        await member.confirm(AURORA, body)
    with pytest.raises(LimitError) as refusal:
        await member.confirm(AURORA, body)
    assert refusal.value.retry_at == clock.now() + 60 // PER_MINUTE + 1
    await member.confirm(COBALT, body)  # another peer does not pay for it
    clock.advance(60 // PER_MINUTE)
    await member.confirm(AURORA, body)
    with pytest.raises(LimitError):
        await member.confirm(AURORA, body)


async def test_heads_that_never_become_usable_leave_a_bounded_trace() -> None:
    world = World()
    await world.publish()
    await world.pair.poll()
    for _ in range(MOST_WAITING + 3):
        await world.publish()
        await world.pair.poll()
    async with world.pair.birch_store.read() as rows:
        assert await rows.count(HeadProofRow) <= MOST_WAITING + 1
        assert await rows.count(AttestationRow) <= MOST_WAITING + 1


async def test_an_origin_that_is_slow_to_be_told_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attesting, "TELL_S", 0.2)
    world = World()
    await world.publish()
    await world.pair.poll()
    told: list[str] = []

    async def post(peer: str, path: str, body: bytes) -> None:  # noqa: ARG001
        told.append(peer)
        if peer == AURORA:
            await asyncio.Event().wait()

    async with world.pair.birch_store.write() as tx:
        (mine,) = await tx.find(AttestationRow)
        for seq in range(2, 5):
            await tx.put(replace(mine, seq=seq), replace(mine, origin=COBALT, seq=seq))
    world.member._post = post  # type: ignore[misc]
    assert await world.member.tell() == attesting.RETRY_S
    assert told == [AURORA, COBALT, COBALT, COBALT]
    async with world.pair.birch_store.read() as rows:
        assert {row.origin for row in await rows.find(AttestationRow) if not row.told} == {AURORA}
