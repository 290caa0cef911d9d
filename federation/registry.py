"""The registry of a consortium: admits members, states them for a while at a time, and says at once who is out.

Every change is one transaction: the row, new statements where they differ, and the head of the set. What must not wait
for a poll is pushed after it: a notice to everybody, and the nudge that there is a new list.
Source: docs/protocol/22-members.md §3–§6.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from protocol.addresses import audience_id
from protocol.commitments import SALT_BYTES, Opening
from protocol.encoding import decode, encode, unb64
from protocol.errors import MalformedError, MissingError, RefusedError
from protocol.heads import SetKind
from protocol.members import (
    MAX_ATTESTERS,
    NOTICE_TYPE,
    NOTICES_PATH,
    MemberStatement,
    SuspensionNotice,
    check_count,
    next_seq,
    open_departure,
    sign_notice,
)
from protocol.signing import SigningKey, thumbprint

from .calls import Calls
from .directory import PeerDirectory
from .ports import Clock, Entropy, Reader, Store, Writer, where
from .publisher import PublisherService
from .registry_views import Pushed, Registration, shown
from .rows import RegistrationRow
from .sets import Audience, Post, tell
from .waiting import sleep_or_wake

MEMBERS: Final[SetKind] = "members"
#: Who missed a notice is told again after this long, for as long as the second figure says.
AGAIN_S: Final = 15.0
AGAIN_FOR_S: Final = 3600
#: Members that change their own documents cause at most one new list in this time.
OWN_CHANGES_S: Final = 60
MAX_REASON: Final = 200
#: What is stated of these is in the list; an applicant and a member removed are not.
STATED: Final = frozenset({"active", "suspended"})

_WORDS: Final = {
    "applied": "an applicant: `mentormesh registry admit` makes it a member",
    "active": "a member already",
    "suspended": "suspended: `mentormesh registry resume` lets it in again",
    "removed": "no member any more: it needs a new ticket",
}

Spend = Callable[[Writer], Awaitable[None]]


class RegistryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long a statement lives and how often a head is signed, in seconds.

    With `development` statements carry loopback addresses.
    """

    life_s: int = 48 * 3600
    head_every_s: float = 900.0
    development: bool = False


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a publication made: so many statements, the list's rows, and the head to tell of if it changed."""

    count: int
    rows: tuple[RegistrationRow, ...]
    nudge: int | None


class RegistryAudience:
    """The members, who alone may see the list of members."""

    def __init__(self, own: str) -> None:
        self._own: Final = own
        self.members: frozenset[str] = frozenset()

    async def audiences(self) -> tuple[Audience, ...]:
        """Return the audience of the list, none while there are no members."""
        if not self.members:
            return ()
        return (Audience(id=audience_id(self._own), members=self.members | {self._own}, kinds=frozenset({MEMBERS})),)


class RegistryService:
    """The registry of one node."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        directory: PeerDirectory,
        publisher: PublisherService,
        audience: RegistryAudience,
        calls: Calls,
        post: Post,
        own: str,
        key: SigningKey,
        policy: RegistryPolicy,
    ) -> None:
        """Take the parts; `key` is the node's `log` key, `post` carries nudges."""
        self._store: Final = store
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._directory: Final = directory
        self._publisher: Final = publisher
        self._audience: Final = audience
        self._calls: Final = calls
        self._post: Final = post
        self._own: Final = own
        self._key = key
        self._policy: Final = policy
        self._missed: dict[str, tuple[SuspensionNotice, tuple[str, ...]]] = {}
        self._woken: Final = asyncio.Event()
        self._turn: Final = asyncio.Lock()
        self._pending = False
        self._own_changes_from = 0
        self._held_back = False

    def rekey(self, key: SigningKey) -> None:
        """Sign notices with this `log` key from now on."""
        self._key = key

    def wake(self) -> None:
        """Look soon whether what is stated about members still holds."""
        self._woken.set()

    async def start(self) -> None:
        """Know the members, and whom a notice of the last hour may not have reached."""
        now = self._clock.now()
        async with self._store.read() as rows:
            found = await rows.find(RegistrationRow)
        self._remember(found)
        for row in found:
            if row.status in {"suspended", "removed"} and now - row.issued_at < AGAIN_FOR_S:
                self._missed[row.entity] = _notice(self._own, row), tuple(sorted({*self._audience.members, row.entity}))

    async def refresh(self, _: frozenset[str] | None = None) -> None:
        """Know the members that another process has let in or put out, and look at them soon."""
        await self.start()
        self._woken.set()

    async def run(self) -> None:
        """Renew what runs out and tell again who missed a notice, for ever."""
        while True:
            self._woken.clear()
            await self.renew()
            await self.tell_again()
            await self._pause()

    async def _pause(self) -> None:
        pause = 1.0 if self._pending else AGAIN_S if self._missed else self._policy.head_every_s
        if self._held_back:
            pause = min(pause, max(1.0, self._own_changes_from - self._clock.now()))
        await sleep_or_wake(self._clock, pause, self._woken)

    async def registrations(self) -> tuple[Registration, ...]:
        """Return all applicants and members, also those removed, by entity."""
        async with self._store.read() as rows:
            return tuple(shown(row) for row in await rows.find(RegistrationRow))

    async def admit(self, entity: str) -> Registration:
        """State an applicant as a member.

        Raises: MissingError: it has not applied. RefusedError: it is a member already. TooManyMembersError.
        """
        return await self._let_in(entity, "applied")

    async def resume(self, entity: str) -> Registration:
        """Let a suspended member in again. Raises: MissingError; RefusedError: it is not suspended."""
        return await self._let_in(entity, "suspended")

    async def suspend(self, entity: str, reason: str) -> Pushed:
        """Take a member out for now, and tell everybody. Raises: MissingError; RefusedError; MalformedError."""
        return await self._put_out(entity, "suspended", frozenset({"active"}), reason)

    async def remove(self, entity: str, reason: str) -> Pushed:
        """Take a member or applicant out for good, and tell everybody. Raises: MissingError; RefusedError."""
        return await self._put_out(entity, "removed", STATED | {"applied"}, reason)

    async def depart(self, peer: str, body: bytes, spend: Spend) -> None:
        """Take the word of `peer` that it leaves. Raises: MalformedError; MissingError: it is no member here."""
        if open_departure(body).registry != self._own:
            raise MissingError("this node is not that registry", code="no-consortium")
        await self._put_out(peer, "removed", STATED | {"applied"}, "left", spend)

    async def rotate(self) -> int:
        """Make every statement anew under the keys of now; return how many."""
        made = await self._change(self._nothing, force=True)
        await self._committed(made)
        return made.count

    async def renew(self) -> None:
        """Make those statements anew that are due or say something old, and sign a head when its time has come."""
        if self._audience.members or self._pending:
            await self._committed(await self._change(self._nothing))

    async def _change(self, change: Callable[[Writer], Awaitable[None]], *, force: bool = False) -> _Made:
        """Do `change` and publish what follows from it in one transaction; then the list is shown to those it names."""
        async with self._turn:
            async with self._store.write() as tx:
                await change(tx)
                made = await self._publish(tx, force=force)
            self._remember(made.rows)
        return made

    async def _nothing(self, tx: Writer) -> None:
        """Change nothing."""

    async def tell_again(self) -> None:
        """Push the notices of the last hour to those that missed them."""
        now = self._clock.now()
        for entity, (notice, missed) in list(self._missed.items()):
            still = await self._push(notice, missed) if now - notice.issued_at < AGAIN_FOR_S else ()
            if self._missed.get(entity) == (notice, missed):
                self._note_missed(notice, still)

    async def _let_in(self, entity: str, before: str) -> Registration:
        now = self._clock.now()

        async def change(tx: Writer) -> None:
            row = await _row(tx, entity, frozenset({before}))
            if before == "applied":
                check_count(1 + sum([await tx.count(RegistrationRow, where(status=one)) for one in sorted(STATED)]))
                row = replace(row, since=now)
            await tx.put(replace(row, status="active", reason=""))

        made = await self._change(change)
        self._missed.pop(entity, None)
        await self._committed(made)
        return await self._registration(entity)

    async def _put_out(
        self, entity: str, status: str, before: Collection[str], reason: str, spend: Spend | None = None
    ) -> Pushed:
        if len(reason) > MAX_REASON:
            raise MalformedError(f"the reason must not exceed {MAX_REASON} characters")
        now, was = self._clock.now(), ""

        async def change(tx: Writer) -> None:
            nonlocal was
            row = await _row(tx, entity, before)
            if spend is not None:
                await spend(tx)
            was = row.status
            seq = next_seq(row.seq, now=now)
            changed = replace(row, status=status, reason=reason, attester=False, seq=seq, issued_at=now)
            await tx.put(changed if status in STATED else replace(changed, expires_at=0, salt=b"", body=b""))

        made = await self._change(change)
        told, missed = await self._tell_of(entity) if was in STATED else (0, ())
        await self._committed(made)
        return Pushed(registration=await self._registration(entity), told=told, missed=missed)

    async def _tell_of(self, entity: str) -> tuple[int, tuple[str, ...]]:
        """Push the notice that a member is out to it and to all others; return how many heard, and who did not."""
        async with self._store.read() as rows:
            notice = _notice(self._own, await _row(rows, entity))
        everybody = sorted({*self._audience.members, entity})
        missed = await self._push(notice, everybody)
        self._note_missed(notice, missed)
        return len(everybody) - len(missed), missed

    async def _registration(self, entity: str) -> Registration:
        async with self._store.read() as rows:
            return shown(await _row(rows, entity))

    async def _push(self, notice: SuspensionNotice, peers: Collection[str]) -> tuple[str, ...]:
        """Post a notice to each of `peers`; return those that it did not reach."""
        text = sign_notice(notice, self._key).encode("ascii")

        async def say(entity: str) -> None:
            # A peer that refuses, which only a signed answer does, has heard it: it left, or knows something newer.
            with suppress(RefusedError, MissingError):
                await self._calls.post(self._directory.get(entity), NOTICES_PATH, text, NOTICE_TYPE)

        return await tell(peers, say)

    def _note_missed(self, notice: SuspensionNotice, missed: tuple[str, ...]) -> None:
        self._missed.pop(notice.member, None)
        if missed:
            self._missed[notice.member] = notice, missed
            self._woken.set()

    async def _publish(self, tx: Writer, *, force: bool = False) -> _Made:
        """Make the statements that are due, and the head over all of them."""
        now = self._clock.now()
        rows = [row for row in await tx.find(RegistrationRow) if row.status in STATED]
        oldest = sorted((row for row in rows if row.status == "active"), key=lambda row: (row.since, row.entity))
        attesters = {row.entity for row in oldest[:MAX_ATTESTERS]}
        count, own_changes = 0, 0
        takes_own_changes, self._held_back = not 0 < self._own_changes_from - now <= OWN_CHANGES_S, False
        for at, row in enumerate(rows):
            fresh = self._stated(row, attester=row.entity in attesters, now=now)
            if fresh is None:
                rows[at] = replace(row, body=b"")
                continue
            is_due = _is_due(row, fresh, now)
            is_own = not is_due and _has_moved(row, fresh)
            if force or is_due or (is_own and takes_own_changes):
                rows[at] = fresh
                await tx.put(fresh)
                count += 1
                own_changes += is_own
            self._held_back |= is_own and not takes_own_changes
        if own_changes:
            self._own_changes_from = now + OWN_CHANGES_S
        openings = [Opening(salt=row.salt, body=row.body) for row in rows if row.body]
        published = await self._publisher.publish(tx, audience_id(self._own), MEMBERS, openings)
        # At most one head a second is signed: what comes within the same second is signed in the next.
        if count:
            self._pending = published.outcome == "kept"
        elif published.outcome != "kept":
            self._pending = False
        return _Made(count=count, rows=tuple(rows), nudge=published.seq if published.outcome == "changed" else None)

    def _stated(self, row: RegistrationRow, *, attester: bool, now: int) -> RegistrationRow | None:
        """Return the row with a statement of this second; None for a member whose keys are not known any more."""
        try:
            peer = self._directory.get(row.entity)
        except MissingError:
            return None
        seq = next_seq(row.seq, now=now)
        statement = MemberStatement(
            registry=self._own,
            member=row.entity,
            api=peer.document.api,
            fingerprint=thumbprint(unb64(peer.document.keys.federation)),
            since=min(row.since, now),
            issued_at=now,
            expires_at=now + self._policy.life_s,
            status="active" if row.status == "active" else "suspended",
            attester=attester,
            seq=seq,
            connect_to=peer.connect_to if self._policy.development else "",
        )
        return replace(
            row,
            attester=attester,
            seq=seq,
            issued_at=now,
            expires_at=statement.expires_at,
            salt=self._entropy.take(SALT_BYTES),
            body=encode(statement),
        )

    async def _committed(self, made: _Made) -> None:
        """Tell the members to look at the list if it changed."""
        if self._pending and made.count:
            self._woken.set()
        if made.nudge is not None:
            await self._publisher.nudge(self._post, audience_id(self._own), MEMBERS, made.nudge)

    def _remember(self, rows: Iterable[RegistrationRow]) -> None:
        self._audience.members = frozenset(row.entity for row in rows if row.status == "active")


async def _row(rows: Reader, entity: str, allowed: Collection[str] | None = None) -> RegistrationRow:
    row = await rows.get(RegistrationRow, entity)
    if row is None:
        raise MissingError("that organization has not applied: `mentormesh registry invite` makes a ticket for it")
    if allowed is not None and row.status not in allowed:
        raise RefusedError(f"that organization is {_WORDS[row.status]}", code="other-status")
    return row


def _is_due(row: RegistrationRow, fresh: RegistrationRow, now: int) -> bool:
    """Tell whether a statement must be made anew: half of its life is over, or the registry says something else."""
    if not row.body:
        return True
    said, would = _words(row), _words(fresh)
    same = replace(would, seq=said.seq, issued_at=said.issued_at, expires_at=said.expires_at)
    same = replace(same, api=said.api, fingerprint=said.fingerprint, connect_to=said.connect_to)
    return now >= (said.issued_at + said.expires_at) // 2 or encode(said) != encode(same)


def _has_moved(row: RegistrationRow, fresh: RegistrationRow) -> bool:
    """Tell whether the member itself has another address or key by now."""
    said, would = _words(row), _words(fresh)
    return (said.api, said.fingerprint, said.connect_to) != (would.api, would.fingerprint, would.connect_to)


def _words(row: RegistrationRow) -> MemberStatement:
    return decode(row.body, MemberStatement, what="own statement")


def _notice(own: str, row: RegistrationRow) -> SuspensionNotice:
    status: Literal["suspended", "removed"] = "suspended" if row.status == "suspended" else "removed"
    return SuspensionNotice(registry=own, member=row.entity, status=status, seq=row.seq, issued_at=row.issued_at)
