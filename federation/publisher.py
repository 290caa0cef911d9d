"""Publishes this node's sets: signs heads on a schedule, keeps their pages, and answers the members of the audience.

A head is written in the transaction of the state it shows, so that nothing is served that the store does not explain.
Source: docs/protocol/12-set-heads.md §4–§8.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from protocol.commitments import Opening
from protocol.encoding import b64, decode, encode, sha256
from protocol.errors import MissingError
from protocol.heads import (
    FORGOTTEN,
    HEAD_TYP,
    HeadAnswer,
    Nudge,
    SeenHead,
    SetHead,
    SetKind,
    head_hash,
    sign_head,
)
from protocol.jws import parse
from protocol.logleaves import head_leaf
from protocol.pages import Snapshot, snapshot
from protocol.signing import SigningKey

from .headproofs import KIND, newest_proof
from .losses import Losses, losses_of
from .ports import Clock, Reader, Store, Writer, above, at_most, below, where
from .rows import AttestationRow, HeadProofRow, MirrorRow, SetHeadRow, SetPageRow
from .sequencer import Sequencer
from .sets import NUDGES_PATH, AudienceBook, Post, tell

#: A head of keys that its log does not list by then is shown without its proof.
AWAITED_S: Final = 60
#: A clock that is set right by less than this is nobody's concern.
AHEAD_S: Final = 60


class HeadPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When heads are signed and for how long: `every_s` and `valid_s` seconds; pages are served `history_s` longer."""

    every_s: float = 900.0
    valid_s: int = 86_400
    history_s: int = 3600


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """What `publish` did: nothing, a new head over the same content, or a new head over new content."""

    outcome: Literal["kept", "renewed", "changed"]
    seq: int


class HeadReply(msgspec.Struct, frozen=True, kw_only=True):
    """Body and entity tag of an answer to `GET …/head`."""

    body: bytes
    etag: str


class PublisherService:
    """The sets of one node.

    Args:
        own: this node's entity.
        key: its `log` key.
        log: lists every head, in the transaction that stores it.
        generation: grows when the database comes back from a backup (`MetaRow.generation`).
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        audiences: AudienceBook,
        *,
        own: str,
        key: SigningKey,
        policy: HeadPolicy,
        log: Sequencer,
        generation: int = 1,
    ) -> None:
        self._store = store
        self._clock = clock
        self._audiences = audiences
        self._own = own
        self._key = key
        self._policy = policy
        self._log = log
        self._generation = generation

    def rekey(self, key: SigningKey) -> None:
        """Sign with this `log` key from now on; heads by the one before are replaced at the next `publish`."""
        self._key = key

    async def publish(self, tx: Writer, audience: str, kind: SetKind, openings: Iterable[Opening]) -> Published:
        """Sign and keep the next head in `tx` if its content changed or its time has come.

        At most one head a second is signed in a chain: a change within the same second waits for the next call, and
        all do as long as no head may be signed at all.
        """
        now = self._clock.now()
        last = await newest_head(tx, audience, kind)
        if not await self.may_sign(tx):
            return Published(outcome="kept", seq=last.seq if last else 0)
        fresh = snapshot(kind, openings)
        changed = last is None or own_head(last).shards != fresh.shards
        if last and (now <= last.issued_at or not (changed or self._is_due(last, now))):
            return Published(outcome="kept", seq=last.seq)
        seq = _next_seq(last, now, await losses_of(tx, self._generation))
        row = self._signed(audience, kind, fresh, last, now, seq=seq, changed=changed)
        await tx.insert(row)
        await self._log.append(tx, head_leaf(own_head(row), row.head))
        if changed:
            await tx.insert(
                *(
                    SetPageRow(audience=audience, kind=kind, seq=row.seq, page=number, data=data)
                    for number, data in enumerate(fresh.pages)
                )
            )
        await self._forget(tx, row, now)
        return Published(outcome="changed" if changed else "renewed", seq=row.seq)

    def _is_due(self, last: SetHeadRow, now: int) -> bool:
        """Tell whether a head is to be signed anew: its time has come, or it is by a key that was replaced."""
        by_present = parse(last.head, HEAD_TYP).header.kid == self._key.public.keyid
        return now >= last.issued_at + self._policy.every_s or not by_present

    def _signed(
        self,
        audience: str,
        kind: SetKind,
        fresh: Snapshot,
        last: SetHeadRow | None,
        now: int,
        *,
        seq: int,
        changed: bool,
    ) -> SetHeadRow:
        head = SetHead(
            origin=self._own,
            audience=audience,
            kind=kind,
            seq=seq,
            prev=last.head_hash if last else FORGOTTEN if seq > 1 else None,
            shards=fresh.shards,
            size_bucket=fresh.size_bucket,
            issued_at=now,
            not_after=now + self._policy.valid_s,
        )
        signed = sign_head(head, self._key)
        return SetHeadRow(
            audience=audience,
            kind=kind,
            seq=seq,
            head=signed,
            head_hash=head_hash(signed),
            pages_of=seq if changed or not last else last.pages_of,
            pages=len(fresh.pages),
            generation=self._generation,
            issued_at=now,
        )

    async def waits_until(self) -> int:
        """Return until when the clock that was ahead once keeps a set from its next head (Unix seconds), 0 if none."""
        async with self._store.read() as rows:
            late = above("issued_at", self._clock.now() + AHEAD_S)
            found = await rows.find(SetHeadRow, late, order="-issued_at", limit=1)
        return found[0].issued_at if found else 0

    async def may_sign(self, rows: Reader) -> bool:
        """Tell whether a head may be signed now: not before the log is known to be the newest, as after a start."""
        return await self._log.may_list(rows)

    async def _forget(self, tx: Writer, newest: SetHeadRow, now: int) -> None:
        """Delete heads past their history and the pages that no remaining head needs, with bodies and salts."""
        place = where(audience=newest.audience, kind=newest.kind)
        await tx.delete(SetHeadRow, place, below("seq", newest.seq), at_most("issued_at", now - self._policy.history_s))
        kept = await tx.find(SetHeadRow, place, order="seq", limit=1)
        await tx.delete(SetPageRow, place, below("seq", min(kept[0].pages_of, newest.pages_of)))

    async def head_answer(self, audience: str, kind: str, requester: str) -> HeadReply:
        """Return the head to be shown and what this node holds of the audience's other members.

        Raises: MissingError: no such set for this peer; sets of other audiences look the same.
        """
        await self._admit(audience, kind, requester)
        async with self._store.read() as rows:
            shown = await self._shown(rows, audience, kind)
            held = await rows.find(MirrorRow, where(audience=audience, kind=kind), order="origin", limit=1024)
            seq = shown.seq if shown else 0
            proof = await rows.get(HeadProofRow, self._own, audience, kind, seq)
            place = where(origin=self._own, audience=audience, kind=kind, seq=seq)
            attested = await rows.find(AttestationRow, place, order="attester", limit=8)
        if shown is None:
            raise MissingError("no such set")
        seen = tuple(SeenHead(origin=row.origin, seq=row.seq, head_hash=row.head_hash) for row in held)
        answer = HeadAnswer(
            head=shown.head,
            seen=seen,
            log=proof.log if proof else "",
            attestations=tuple(row.statement for row in attested),
        )
        body = encode(answer)
        return HeadReply(body=body, etag=f'"{b64(sha256(body)[:16])}"')

    async def _shown(self, rows: Reader, audience: str, kind: str) -> SetHeadRow | None:
        """Return the head that others are given: the newest one, of keys the newest that is of use to them.

        Without its proof a head of keys is of none. Heads that follow each other faster than they are listed in the log
        would otherwise each come without. What was given once never goes back.
        """
        newest = await newest_head(rows, audience, kind)
        if newest is None or kind != KIND:
            return newest
        chain = where(audience=audience, kind=kind, generation=newest.generation)
        late = at_most("issued_at", self._clock.now() - AWAITED_S)
        proven = await newest_proof(rows, self._own, audience)
        given = [
            *await rows.find(SetHeadRow, chain, where(seq=proven.seq if proven else 0)),
            *await rows.find(SetHeadRow, chain, late, order="-seq", limit=1),
        ] or await rows.find(SetHeadRow, chain, order="seq", limit=1)
        return max(given, key=lambda row: row.seq)

    async def page(self, audience: str, kind: str, seq: int, page: int, requester: str) -> bytes:
        """Return one snapshot page, `application/zstd`. Raises: MissingError: none such for this peer, or too old."""
        await self._admit(audience, kind, requester)
        async with self._store.read() as rows:
            head = await rows.get(SetHeadRow, audience, kind, seq)
            row = await rows.get(SetPageRow, audience, kind, head.pages_of, page) if head else None
        if row is None:
            raise MissingError("no such page")
        return row.data

    async def _admit(self, audience: str, kind: str, requester: str) -> None:
        members = await self._members(audience, kind)
        if requester not in members:
            raise MissingError("no such set")

    async def _members(self, audience: str, kind: str) -> frozenset[str]:
        """Return who may see this set; nobody when there is none."""
        books = [one.members for one in await self._audiences.audiences() if one.id == audience and kind in one.kinds]
        return frozenset[str]().union(*books)

    async def nudge(self, post: Post, audience: str, kind: SetKind, seq: int) -> tuple[str, ...]:
        """Tell the members of an audience to look again; return those that could not be told and will poll."""
        body = encode(Nudge(audience=audience, kind=kind, seq=seq))
        members = await self._members(audience, kind)
        return await tell(sorted(members - {self._own}), lambda peer: post(peer, NUDGES_PATH, body))


def _next_seq(last: SetHeadRow | None, now: int, losses: Losses) -> int:
    """Return the next number, beyond every number that a head lost with a database can have had.

    At most one head a second was signed, so the seconds since the last head known bound what was lost. A database that
    knows none may have forgotten a whole chain, which the others still hold.
    """
    if last is None:
        return losses.first(now)
    return last.seq + 1 + losses.since(last.generation, last.issued_at, now=now)


async def newest_head(rows: Reader, audience: str, kind: str) -> SetHeadRow | None:
    """Return this node's newest head of a set, if it has published one."""
    found = await rows.find(SetHeadRow, where(audience=audience, kind=kind), order="-seq", limit=1)
    return found[0] if found else None


def own_head(row: SetHeadRow) -> SetHead:
    """Return the content of a head this node signed and kept itself."""
    return decode(parse(row.head, HEAD_TYP).payload, SetHead, what="own set head")


async def own_pages(rows: Reader, row: SetHeadRow) -> tuple[bytes, ...]:
    """Return the pages of one of this node's heads, in order."""
    found = await rows.find(
        SetPageRow, where(audience=row.audience, kind=row.kind, seq=row.pages_of), order="page", limit=row.pages
    )
    return tuple(page.data for page in found)
