"""Mirrors the sets of peers: pulled, verified against their heads, stored whole, shown only while complete and fresh.

Everything a peer says is checked before it has an effect, and one transaction makes the effect: a set is the old one
or the new one, never a mixture. Source: docs/protocol/12-set-heads.md §5–§11.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Literal

import msgspec

from protocol.errors import MeshError, MissingError
from protocol.heads import (
    HEAD_TYP,
    ForkError,
    SeenHead,
    SetKind,
    check_fresh,
    contradictions,
    head_hash,
    open_answer,
    open_head,
    open_nudge,
)
from protocol.jws import parse
from protocol.offerreading import open_offers
from protocol.pages import IncompleteError
from protocol.signing import Signer

from .index import MirrorIndex, shown_set
from .mirror_store import COMPLETE, FORKED, Candidate, MirrorStore, refuse_forked, same_entries, step_from
from .ports import Clock, Entropy, Store
from .rows import MirrorRow
from .sets import MAX_HEAD_ANSWER, Beside, Contents, Fetch, Paged, Source, SourceBook, head_path
from .sourcewatch import MirrorPolicy, SourceWatch
from .taking import Taking
from .waiting import sleep_or_wake, within

#: Seconds for one poll, with all pages.
POLL_S: Final = 300.0

State = Literal["fresh", "stale", "incomplete", "forked", "never"]


class MirrorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How one peer's set stands, for operators.

    `problem` is the code of the last failure; `contradicted` names origins of which the peer holds another head than
    this node under the same number.
    """

    peer: str
    audience: str
    kind: str
    state: State
    entries: int = 0
    seq: int = 0
    issued_at: int | None = None
    not_after: int | None = None
    asked_at: int | None = None
    answered_at: int | None = None
    problem: str = ""
    contradicted: tuple[str, ...] = ()


class MirrorService:
    """The mirrored sets of one node; `index` holds the offers that may be shown."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        sources: SourceBook,
        fetch: Fetch,
        *,
        own: str,
        policy: MirrorPolicy,
        contents: Mapping[SetKind, Contents] | None = None,
        paged: Mapping[SetKind, Paged] | None = None,
        refetch: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        """Take the parts; `contents` and `paged` say what becomes of kinds other than offers.

        `refetch` looks at a peer's document again, for a head that is signed by another key than the known one.
        """
        self._beside: Beside | None = None
        self.index: Final = MirrorIndex(own)
        self._held: Final = MirrorStore(store)
        self._clock = clock
        self._entropy = entropy
        self._sources = sources
        self._fetch = fetch
        self._own = own
        self._policy = policy
        self._contents: Final = dict(contents or {})
        self._taking: Final = Taking(fetch, self._contents, paged or {})
        self._refetch: Final = refetch
        self._watches: dict[tuple[str, str, str], SourceWatch] = {}
        self._woken = asyncio.Event()
        self._places: Final = asyncio.Semaphore(policy.at_once)
        self._lines: Final[dict[str, asyncio.Lock]] = {}
        self._pauses_until = 0.0

    def connect(self, beside: Beside) -> None:
        """Have `beside` take what stands beside heads."""
        self._beside = beside

    async def start(self) -> None:
        """Fill the index with what was complete when the node stopped, and is still to be shown."""
        await self.refresh(None)

    async def refresh(self, origins: frozenset[str] | None) -> None:
        """Show what another process has mirrored of these peers, None: of all; and nothing else of them."""
        places = {each.place for each in await self._sources.sources()}
        shown = [
            shown_set(row, open_offers(bodies))
            for row, bodies in await self._held.complete_offers(origins)
            if (row.origin, row.audience, row.kind) in places
        ]
        self.index.replace(shown, origins)

    async def run(self) -> None:
        """Poll for ever: each source at its time, several at once, and none kept waiting by one that is slow."""
        async with asyncio.TaskGroup() as polls:
            while True:
                await self._begin_due(polls)
                await self._pause()

    async def poll_due(self) -> None:
        """Poll the sources whose time has come, and forget what may no longer be kept."""
        async with asyncio.TaskGroup() as polls:
            await self._begin_due(polls)

    async def _begin_due(self, polls: asyncio.TaskGroup) -> None:
        sources = await self._sources.sources()
        self._retain(sources)
        for source in sources:
            watch = self._watch(source)
            if not watch.under_way and watch.is_due(self._clock.now()):
                watch.under_way = True
                polls.create_task(self._poll_in_turn(source, watch))
        for row in await self._held.forget_before(self._clock.now() - self._policy.forget_s):
            self._hide(row.origin, row.audience, row.kind)

    async def _poll_in_turn(self, source: Source, watch: SourceWatch) -> None:
        """Poll a source, one of a peer at a time: however many sets a peer has, it takes one place of all."""
        try:
            async with self._lines.setdefault(source.peer, asyncio.Lock()), self._places:
                await self.poll(source)
        except MeshError:
            return  # `status` tells it, and the source is asked again
        finally:
            watch.under_way = False
            if watch.due_at < self._pauses_until:
                self._woken.set()

    async def _pause(self) -> None:
        """Return when the next source is due, when new sources may have come, or at a nudge."""
        next_due = min((each.due_at for each in self._watches.values() if not each.under_way), default=float("inf"))
        pause = min(max(next_due - self._clock.now(), self._policy.nudge_gap_s), self._policy.poll_s)
        self._pauses_until = self._clock.now() + pause
        await sleep_or_wake(self._clock, pause, self._woken)
        self._woken.clear()

    async def nudged(self, peer: str, body: bytes) -> None:
        """Take a peer's word that there is something new: it is asked sooner, and never more often than allowed.

        Raises: MalformedError: no nudge. MissingError: no set of this peer is mirrored under that audience and kind.
        """
        nudge = open_nudge(body)
        place = (peer, nudge.audience, nudge.kind)
        source = next((each for each in await self._sources.sources() if each.place == place), None)
        if source is None:
            raise MissingError("no such set is mirrored")
        row = await self._held.row(source)
        if row and row.state == COMPLETE and row.seq >= nudge.seq:
            return
        self._watch(source).nudge()
        self._woken.set()

    def _hasten(self, watch: SourceWatch) -> None:
        watch.hasten()
        self._woken.set()

    def proven(self, place: tuple[str, str, str], *, whole: bool) -> None:
        """Take note whether what stands beside a mirrored head is all there; until it is, the head is asked for."""
        if watch := self._watches.get(place):
            watch.whole = whole
            if not whole:
                self._hasten(watch)

    def look_again(self) -> None:
        """Ask for the sources anew now, such as after a peer was added."""
        self._woken.set()

    async def drop(self) -> None:
        """Show nothing any more of what is a source no longer, such as after a peer was suspended."""
        self._retain(await self._sources.sources())

    def back(self, peer: str) -> None:
        """Ask a peer that showed that it is there again for the sets that could not be had, now."""
        for place, watch in self._watches.items():
            if place[0] == peer and watch.failures:
                self._hasten(watch)

    async def poll(self, source: Source) -> None:
        """Ask one source now, take over what is new, and plan the next time.

        Raises: MeshError: why nothing new can be shown; `status` keeps its code.
        """
        watch = self._watch(source)
        async with watch.turn:
            watch.begins()
            try:
                async with within(POLL_S, "the peer is too slow", code="peer-slow"):
                    await self._refresh(source, watch)
            except MeshError as error:
                watch.ended(error)
                raise
            watch.ended(None)

    async def look(self, source: Source) -> None:
        """Ask one source now unless it was asked a moment ago. Raises: as `poll`."""
        if not self._watch(source).rests(self._clock.now()):
            await self.poll(source)

    async def _refresh(self, source: Source, watch: SourceWatch) -> None:
        row = await self._held.row(source)
        refuse_forked(row)
        try:
            await self._take(source, watch, row)
        except IncompleteError:
            # The set may have moved on between head and pages: look once more before calling it incomplete.
            try:
                await self._take(source, watch, row, afresh=True)
            except IncompleteError:
                self._hide(*source.place)
                await self._held.mark_incomplete(source)
                raise

    async def _take(self, source: Source, watch: SourceWatch, row: MirrorRow | None, *, afresh: bool = False) -> None:
        """Fetch the head and, if it signs other entries than those held, the pages; store the result."""
        # What was dropped and is a source again is taken whole once more: nothing of it is in memory.
        held = source.kind != "offers" or self.index.holds(source.peer, source.audience)
        etag = row.etag if row and row.state == COMPLETE and held and not afresh else ""
        answer = await self._fetch(
            source.peer, head_path(source.audience, source.kind), etag, limit=MAX_HEAD_ANSWER, signed=True
        )
        watch.answered_at = self._clock.now()
        if answer.status == 304:
            return
        opened = open_answer(answer.body)
        key = await self._key(source, opened.head)
        head = open_head(opened.head, key, origin=source.peer, audience=source.audience, kind=source.kind)
        check_fresh(head, now=self._clock.now())
        candidate = Candidate(
            source=source,
            head=head,
            jws=opened.head,
            hash=head_hash(opened.head),
            etag=answer.etag,
            over=row.head_hash if row else "",
        )
        try:
            step_from(row, candidate)
        except ForkError:
            self._hide(*source.place)
            await self._held.keep_evidence(candidate)
            raise
        watch.contradicted = await self._contradicted(source, opened.seen)
        if held and same_entries(row, head):
            self._renewed(await self._held.renew(candidate))
        else:
            await self._replace(candidate)
        watch.whole = self._beside is None or await self._beside.took(source, head, opened.head, opened)

    async def _key(self, source: Source, jws: str) -> Signer:
        """Return the key that a head must be signed by; a peer that names another one may have changed it."""
        keyid = parse(jws, HEAD_TYP).header.kid
        if self._refetch is None or any(one.keyid == keyid for one in source.key.every):
            return source.key
        with suppress(MeshError):
            await self._refetch(source.peer)
        return next((one.key for one in await self._sources.sources() if one.place == source.place), source.key)

    async def _replace(self, candidate: Candidate) -> None:
        source = candidate.source
        taken = await self._taking.whole(source, candidate.head)
        contents = self._contents.get(source.kind)
        if contents:
            contents.check(source, taken.bodies)
        row = await self._held.replace(candidate, taken, contents)
        if self._may_show(row):
            self.index.show(shown_set(row, taken.offers))

    def _may_show(self, row: MirrorRow) -> bool:
        """Tell whether a set just stored is shown: one of offers, unless it was dropped while it was fetched."""
        return row.kind == "offers" and (row.origin, row.audience, row.kind) in self._watches

    def _renewed(self, row: MirrorRow) -> None:
        if self._may_show(row):
            self.index.renew(row.origin, row.audience, seq=row.seq, issued_at=row.issued_at, not_after=row.not_after)

    def _hide(self, origin: str, audience: str, kind: str) -> None:
        if kind == "offers":
            self.index.hide(origin, audience)

    async def _contradicted(self, source: Source, seen: tuple[SeenHead, ...]) -> tuple[str, ...]:
        """Return the origins of which this peer holds another head than this node under the same number.

        Only a hint, because gossip is not signed by the origin: an operator asks both sides for their heads.
        """
        own_seq = next((one.seq for one in seen if one.origin == self._own), 0)
        held = await self._held.gossip_view(source, self._own, own_seq)
        return tuple(one.origin for one in contradictions(seen, held))

    async def reset(self, peer: str) -> int:
        """Delete everything mirrored of a peer, evidence too, and start anew; return the number of sets.

        For an operator's decision after a fork.
        """
        for origin, audience, kind in [place for place in self._watches if place[0] == peer]:
            del self._watches[origin, audience, kind]
            self._hide(origin, audience, kind)
        return await self._held.reset(peer)

    async def status(self) -> tuple[MirrorStatus, ...]:
        """Return how every mirrored set stands, by peer."""
        sources = sorted(await self._sources.sources(), key=lambda each: each.place)
        rows = await self._held.rows(sources)
        now = self._clock.now()
        return tuple(_status(each, row, self._watch(each), now) for each, row in zip(sources, rows, strict=True))

    def _watch(self, source: Source) -> SourceWatch:
        return self._watches.setdefault(source.place, SourceWatch(self._policy, self._clock, self._entropy))

    def _retain(self, sources: Sequence[Source]) -> None:
        """Forget and hide what is no longer mirrored, such as the set of a peer that was blocked."""
        places = {each.place for each in sources}
        for place in [each for each in self._watches if each not in places]:
            del self._watches[place]
        for peer in self._lines.keys() - {each.peer for each in sources}:
            del self._lines[peer]
        self.index.retain({(peer, audience) for peer, audience, kind in places if kind == "offers"})


def _status(source: Source, row: MirrorRow | None, watch: SourceWatch, now: int) -> MirrorStatus:
    common = MirrorStatus(
        peer=source.peer,
        audience=source.audience,
        kind=source.kind,
        state=_state(row, watch, now),
        asked_at=watch.asked_at,
        answered_at=watch.answered_at,
        problem=watch.problem,
        contradicted=watch.contradicted,
    )
    if row is None:
        return common
    return msgspec.structs.replace(
        common, entries=row.entries, seq=row.seq, issued_at=row.issued_at, not_after=row.not_after
    )


def _state(row: MirrorRow | None, watch: SourceWatch, now: int) -> State:
    if row is None:
        return "incomplete" if watch.problem == IncompleteError.code else "never"
    if row.state == FORKED:
        return "forked"
    if row.state != COMPLETE:
        return "incomplete"
    return "fresh" if now < row.not_after else "stale"
