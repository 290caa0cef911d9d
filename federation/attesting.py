"""What makes a head of keys usable: its proof in the log, and the word of members that they hold all its bodies.

As an origin this node proves its own heads and collects attestations; as a member it attests what it mirrors, tells the
origin, and keeps what stands beside a head. Source: docs/protocol/13-key-directory.md §5.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from protocol.attestation import (
    ATTESTATION_TYP,
    MAX_ATTESTERS,
    HeadAttestation,
    QuorumError,
    ThresholdError,
    check_quorum,
    open_attestation,
    quorum_of,
    sign_attestation,
)
from protocol.encoding import Wire, decode, encode
from protocol.errors import MeshError, MissingError, RefusedError, UnavailableError
from protocol.heads import HeadAnswer, SetHead, head_hash
from protocol.jws import parse
from protocol.loggedheads import verify_logged
from protocol.logleaves import head_leaf, render_leaf
from protocol.peers import NodeDocument
from protocol.signing import SigningKey

from .headproofs import KIND, newest_proof, proven_head
from .logbook import Logbook
from .mirror_store import COMPLETE
from .ports import Clock, Reader, Store, Writer, above, below, is_in, where
from .publisher import AWAITED_S, PublisherService, own_head
from .rows import AttestationRow, HeadProofRow, MirrorRow, SetHeadRow
from .sets import BASE, Audience, Post, Source
from .waiting import sleep_or_wake, within

ATTESTATIONS_PATH: Final = f"{BASE}/attestations"
#: An origin that did not take an attestation is told again after this long.
RETRY_S: Final = 5.0
#: For all that one origin is told at a time, and how many are told at a time.
TELL_S: Final = 30.0
TOLD_AT_ONCE: Final = 8
#: Heads of a chain that wait to be complete; the newest are the ones that can become so.
MOST_WAITING: Final = 8
LATER_S: Final = 60.0


class GiveAttestation(Wire, frozen=True, kw_only=True):
    """What a member posts to an origin: `{"attestation":"<JWS>"}`."""

    attestation: str


class AttesterBook(Protocol):
    """Knows the audiences of this node and who attests in them."""

    async def audiences(self) -> Sequence[Audience]:
        """Return the audiences that this node publishes to."""
        ...

    async def attesters(self, audience: str) -> frozenset[str]:
        """Return who attests sets shown to an audience; for a pair both sides, for other audiences nobody."""
        ...


class Documents(Protocol):
    """Knows the documents of this node and of its peers."""

    def document(self, entity: str) -> NodeDocument | None:
        """Return the document of a node, None for a stranger."""
        ...

    def text(self, entity: str) -> str:
        """Return the same as it was signed, empty for a stranger."""
        ...


class Mirroring(Protocol):
    """Knows which mirrored heads are to be asked for again soon."""

    def proven(self, place: tuple[str, str, str], *, whole: bool) -> None:
        """Take note whether what stands beside the mirrored head of (origin, audience, kind) is all there."""
        ...


class Attesting:
    """Proofs and attestations of heads of keys, own and mirrored.

    Args:
        key: this node's `attest` key.
        mirror: looks for what is missing beside mirrored heads.
        post: tells peers; they poll if they cannot be told.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        book: AttesterBook,
        documents: Documents,
        publisher: PublisherService,
        logbook: Logbook,
        mirror: Mirroring,
        post: Post,
        own: str,
        key: SigningKey,
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._book: Final = book
        self._documents: Final = documents
        self._publisher: Final = publisher
        self._logbook: Final = logbook
        self._mirror: Final = mirror
        self._post: Final = post
        self._own: Final = own
        self._key = key
        #: Who attested in each audience when its newest heads were judged last.
        self._judged: Final[dict[str, frozenset[str]]] = {}
        self._to_prove: Final = asyncio.Event()
        self._to_tell: Final = asyncio.Event()
        self._told_at: Final[dict[str, float]] = {}
        self._places: Final = asyncio.Semaphore(TOLD_AT_ONCE)

    def rekey(self, key: SigningKey) -> None:
        """Attest with this key from now on."""
        self._key = key

    def wake(self) -> None:
        """Look now for heads without proof, and whether others attest than before."""
        self._to_prove.set()

    async def run(self) -> None:
        """Prove, attest and tell for ever; origins that are slow to be told keep no own head waiting."""
        async with asyncio.TaskGroup() as work:
            work.create_task(self._again(self.prove, self._to_prove))
            work.create_task(self._again(self.tell, self._to_tell))

    async def _again(self, step: Callable[[], Awaitable[float]], woken: asyncio.Event) -> None:
        while True:
            woken.clear()
            await sleep_or_wake(self._clock, await step(), woken)

    async def prove(self) -> float:
        """Prove own heads and judge those of peers; return in how many seconds to look again."""
        await self._prove_own()
        await self._judge_again()
        return LATER_S

    async def tell(self) -> float:
        """Tell origins what they do not have; return in how many seconds to try again."""
        return RETRY_S if await self._tell_origins() else LATER_S

    # As an origin

    async def _prove_own(self) -> None:
        """Store the log proofs of the newest of this node's heads that its log lists."""
        async with self._store.read() as rows:
            unproven = [await self._unproven(rows, audience) for audience in await self._own_audiences(rows)]
        for heads in unproven:
            for row in heads:
                if await self._prove_one(row):
                    break  # nobody is given an older one any more

    async def _unproven(self, rows: Reader, audience: str) -> list[SetHeadRow]:
        """Return the newest heads without a proof, the newest first."""
        proven = await newest_proof(rows, self._own, audience)
        newer = above("seq", proven.seq if proven else 0)
        return await rows.find(SetHeadRow, where(audience=audience, kind=KIND), newer, order="-seq", limit=AWAITED_S)

    async def _prove_one(self, row: SetHeadRow) -> bool:
        """Store the log proof of a head and tell its audience; return whether the log lists it."""
        head = own_head(row)
        try:
            log = await self._logbook.prove(render_leaf(head_leaf(head, row.head)))
        except MissingError:
            return False
        async with self._store.write() as tx:
            await self._keep(tx, head, row.head, log)
        await self._publisher.nudge(self._post, row.audience, KIND, row.seq)
        return True

    async def _own_audiences(self, rows: Reader) -> list[str]:
        return sorted({row.audience for row in await rows.find(SetHeadRow, where(kind=KIND))})

    async def receive(self, requester: str, body: bytes) -> None:
        """Keep a member's attestation of one of this node's heads.

        Raises: MalformedError; MissingError: no such set or head for this member; UnverifiedError.
        """
        text = decode(body, GiveAttestation, what="attestation").attestation
        document = self._documents.document(requester)
        if document is None:
            raise MissingError("no such set")
        key = document.attest_keys
        said = decode(parse(text, ATTESTATION_TYP).verify(key), HeadAttestation, what="attestation")
        if said.origin != self._own or requester not in await self._members(said.audience):
            raise MissingError("no such set")
        attesters = await self._book.attesters(said.audience)
        async with self._store.write() as tx:
            row = await tx.get(SetHeadRow, said.audience, said.kind, said.seq)
            if row is None or said.kind != KIND:
                raise MissingError("no such head: it was replaced, or never signed")
            head = own_head(row)
            open_attestation(text, key, head, row.head_hash, now=self._clock.now())
            await self._make_place(tx, head, requester, attesters)
            await tx.put(_attestation(head, requester, text, told=True))
            proof = await self._proof(tx, self._own, said.audience, said.seq)
            if proof is not None:
                await self._keep(tx, head, proof.head, proof.log)

    async def _make_place(self, tx: Writer, head: SetHead, requester: str, attesters: frozenset[str]) -> None:
        """Return if one more statement may stand beside a head, in place of those that do not count if need be.

        Who does not attest here may attest soon: the registry can have told the member before this node.
        Raises: UnavailableError: there is no place for somebody who does not attest now.
        """
        held = await self._attested(tx, head)
        if len(held) < MAX_ATTESTERS or requester in held:
            return
        if requester not in attesters:
            raise UnavailableError("this node does not know you as an attester yet: tell it again")
        place = where(origin=head.origin, audience=head.audience, kind=head.kind, seq=head.seq)
        await tx.delete(AttestationRow, place, is_in("attester", held.keys() - attesters))

    async def _members(self, audience: str) -> frozenset[str]:
        found = [one.members for one in await self._book.audiences() if one.id == audience and KIND in one.kinds]
        return frozenset[str]().union(*found)

    # As a member

    async def took(self, source: Source, head: SetHead, jws: str, answer: HeadAnswer) -> bool:
        """Keep what stands beside a mirrored head whose bodies are all stored; tell whether it is usable now.

        Raises: MalformedError, UnverifiedError: the log proof is wrong.
        """
        if source.kind != KIND:
            return True
        if answer.log:
            verify_logged(answer.log, head, jws, source.key)
        attesters = await self._book.attesters(source.audience)
        async with self._store.write() as tx:
            await self._attest(tx, head, jws, attesters)
            for member, text in self._by_member(attesters, answer, head, jws).items():
                await tx.put(_attestation(head, member, text, told=True))
            return await self._keep(tx, head, jws, answer.log)

    async def _attest(self, tx: Writer, head: SetHead, jws: str, attesters: frozenset[str]) -> None:
        """Attest a mirrored head whose bodies are all stored, if this node is to and has not yet."""
        if self._own in attesters and self._own not in await self._attested(tx, head):
            mine = sign_attestation(head, head_hash(jws), self._key, now=self._clock.now())
            await tx.put(_attestation(head, self._own, mine, told=False))
            tx.on_commit(self._to_tell.set)

    def _by_member(self, attesters: frozenset[str], answer: HeadAnswer, head: SetHead, jws: str) -> dict[str, str]:
        """Return the attestations beside a head that verify, by who made them."""
        found: dict[str, str] = {}
        for member in attesters - {self._own}:
            document = self._documents.document(member)
            for text in answer.attestations if document else ():
                try:
                    assert document is not None
                    key = document.attest_keys
                    open_attestation(text, key, head, head_hash(jws), now=self._clock.now())
                except MeshError:
                    continue
                found[member] = text
        return found

    async def _tell_origins(self) -> bool:
        """Post this node's attestations that origins do not have; tell whether some could not be told."""
        now = self._clock.now()
        async with self._store.read() as rows:
            untold = await rows.find(AttestationRow, where(attester=self._own, told=False))
        origins = sorted({row.origin for row in untold if self._told_at.get(row.origin, 0) <= now})
        await asyncio.gather(*(self._tell(each, [row for row in untold if row.origin == each]) for each in origins))
        return bool(self._told_at and max(self._told_at.values()) > now)

    async def _tell(self, origin: str, untold: Sequence[AttestationRow]) -> None:
        try:
            async with self._places, within(TELL_S, "the origin is too slow", code="peer-slow"):
                for row in untold:
                    await self._tell_one(row)
        except MeshError:
            self._told_at[origin] = self._clock.now() + RETRY_S

    async def _tell_one(self, row: AttestationRow) -> None:
        try:
            body = encode(GiveAttestation(attestation=row.statement))
            await self._post(row.origin, ATTESTATIONS_PATH, body)
        except (MissingError, RefusedError):
            pass  # the origin has a newer head by now, or this node is no member any more
        async with self._store.write() as tx:
            if await tx.get(AttestationRow, row.origin, row.audience, row.kind, row.seq, row.attester):
                await tx.put(replace(row, told=True))

    # Both

    async def _judge_again(self) -> None:
        """Judge the newest heads of audiences in which others attest than before.

        A head that was attested by enough of the former may need more now, and the word of this node among them.
        """
        for audience in sorted({one.id for one in await self._book.audiences() if KIND in one.kinds}):
            attesters = await self._book.attesters(audience)
            if self._judged.get(audience) != attesters:
                await self._judge(audience, attesters)
                self._judged[audience] = attesters

    async def _judge(self, audience: str, attesters: frozenset[str]) -> None:
        async with self._store.read() as rows:
            heads = await rows.find(HeadProofRow, where(audience=audience, kind=KIND), order="seq")
        for seen in heads:
            async with self._store.write() as tx:
                row = await self._proof(tx, seen.origin, audience, seen.seq)
                if row is None:
                    continue  # a newer one is complete meanwhile
                held = await self._is_held(tx, row)
                if held:
                    await self._attest(tx, proven_head(row), row.head, attesters)
                whole = await self._keep(tx, proven_head(row), row.head, row.log)
            if held:
                self._mirror.proven((row.origin, row.audience, row.kind), whole=whole)

    async def _is_held(self, rows: Reader, row: HeadProofRow) -> bool:
        """Tell whether this is a peer's head of which all bodies are stored now."""
        mirrored = await rows.get(MirrorRow, row.origin, row.audience, row.kind)
        return mirrored is not None and (mirrored.state, mirrored.head_hash) == (COMPLETE, head_hash(row.head))

    async def _keep(self, tx: Writer, head: SetHead, jws: str, log: str) -> bool:
        """Store a head's proof; tell whether it is complete. What it replaces is deleted."""
        before = await self._proof(tx, head.origin, head.audience, head.seq)
        log = log or (before.log if before else "")
        complete = bool(log) and await self._is_attested(tx, head, jws)
        await tx.put(
            HeadProofRow(
                origin=head.origin,
                audience=head.audience,
                kind=head.kind,
                seq=head.seq,
                head=jws,
                log=log,
                complete=complete,
            )
        )
        await self._forget(tx, head)
        return complete

    async def _forget(self, tx: Writer, head: SetHead) -> None:
        """Delete what a complete head replaces, and of those that are not complete yet all but the newest."""
        place = where(origin=head.origin, audience=head.audience, kind=head.kind)
        found = await tx.find(HeadProofRow, place, order="-seq")
        usable = next((row.seq for row in found if row.complete), 0)
        late = [row.seq for row in found[MOST_WAITING:] if row.seq > usable]
        for kind in (HeadProofRow, AttestationRow):
            await tx.delete(kind, place, below("seq", usable))
            for seq in late:
                await tx.delete(kind, place, where(seq=seq))

    async def _is_attested(self, rows: Reader, head: SetHead, jws: str) -> bool:
        attesters = await self._book.attesters(head.audience)
        statements = await self._attested(rows, head)
        documents = {one: self._documents.document(one) for one in attesters}
        keys = {one: found.attest_keys for one, found in documents.items() if found}
        try:
            quorum = quorum_of(head.origin, {head.origin, *attesters}, sorted(attesters))
            if quorum is not None:
                now = self._clock.now()
                check_quorum(quorum, keys, statements.values(), head, head_hash(jws), now=now)
        except (QuorumError, ThresholdError):
            return False
        return quorum is not None or await self._is_alone(head)

    async def _is_alone(self, head: SetHead) -> bool:
        """Tell whether a set without attesters is that of an organization for itself."""
        return await self._members(head.audience) <= {self._own} and head.origin == self._own

    async def _attested(self, rows: Reader, head: SetHead) -> Mapping[str, str]:
        place = where(origin=head.origin, audience=head.audience, kind=head.kind, seq=head.seq)
        return {row.attester: row.statement for row in await rows.find(AttestationRow, place)}

    async def _proof(self, rows: Reader, origin: str, audience: str, seq: int) -> HeadProofRow | None:
        return await rows.get(HeadProofRow, origin, audience, KIND, seq)


def _attestation(head: SetHead, member: str, text: str, *, told: bool) -> AttestationRow:
    return AttestationRow(
        origin=head.origin,
        audience=head.audience,
        kind=head.kind,
        seq=head.seq,
        attester=member,
        statement=text,
        told=told,
    )
