"""Runs the editions: at its time each audience's catalog moves on, and its set head is signed in the same transaction.

Counting and drawing are pure (`protocol.minimize`, `protocol.editions`) and run in a thread, because thousands of
members take about a second.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
import zstandard

from federation.ports import Clock, Entropy, Reader, Store
from federation.publisher import Published, PublisherService
from federation.rows import CatalogRow
from federation.sets import AudienceBook, Post
from federation.waiting import sleep_or_wake
from protocol.concepts import Vocabulary
from protocol.crowd import Crowd, FamilyMap
from protocol.editions import Catalog, Policy, edition_number, next_edition
from protocol.minimize import Minimized, minimize
from protocol.vocabulary import Language

from . import offer_people

#: A new audience or a due head is noticed after this long at the latest.
LONGEST_PAUSE_S: Final = 60.0
SHORTEST_PAUSE_S: Final = 0.5
#: Far above the state of the largest organization; a broken row must not fill the memory.
_MAX_STATE: Final = 512 * 1024 * 1024

_encoder: Final = msgspec.msgpack.Encoder(order="deterministic")
_decoder: Final = msgspec.msgpack.Decoder(Catalog)


class Catalogs:
    """The catalogs of one node.

    Args:
        vocabulary, families: as they are now; both may be replaced while the node runs.
        site_languages: languages of members who state none.
        post: tells peers to look again; None: they find out when they poll.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        publisher: PublisherService,
        audiences: AudienceBook,
        *,
        vocabulary: Callable[[], Vocabulary],
        families: Callable[[], FamilyMap],
        site_languages: tuple[Language, ...],
        policy: Policy,
        head_every_s: float,
        post: Post | None = None,
    ) -> None:
        self.policy: Final = policy
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._publisher = publisher
        self._audiences = audiences
        self._vocabulary = vocabulary
        self._families = families
        self._site_languages = site_languages
        self._head_every_s = head_every_s
        self._post = post
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Move on for ever, whenever an edition or a head is due."""
        while True:
            self._woken.clear()
            await self.tick()
            await self._pause()

    def wake(self) -> None:
        """Look for due work now, such as after a peer was added."""
        self._woken.set()

    async def _pause(self) -> None:
        edition_s = self.policy.edition_s
        rest = edition_s - self._clock.now() % edition_s
        pause = max(SHORTEST_PAUSE_S, min(rest, self._head_every_s, LONGEST_PAUSE_S))
        await sleep_or_wake(self._clock, pause, self._woken)

    async def tick(self) -> tuple[str, ...]:
        """Make the editions and heads that are due now; return the audiences whose set changed."""
        async with self._turn:
            served = tuple(one.id for one in await self._audiences.audiences() if "offers" in one.kinds)
            changed = await self._advance(served)
        if self._post:
            for audience, seq in changed.items():
                await self._publisher.nudge(self._post, audience, "offers", seq)
        return tuple(changed)

    async def _advance(self, served: tuple[str, ...]) -> dict[str, int]:
        """Move all catalogs on and return the new head's number for each that changed."""
        now = self._clock.now()
        async with self._store.read() as rows:
            stored = {row.audience: row for row in await rows.find(CatalogRow)}
        due = {
            audience: load_catalog(stored.get(audience))
            for audience in sorted({*served, *stored})
            if audience not in stored or stored[audience].edition < edition_number(self.policy, now)
        }
        moved = await self._editions(due, frozenset(served), now)
        changed: dict[str, int] = {}
        for audience in sorted({*served, *moved}):
            published = await self._keep(audience, moved.get(audience), stored.get(audience), served, now)
            if published and published.outcome == "changed":
                changed[audience] = published.seq
        return changed

    async def _editions(self, due: Mapping[str, Catalog], served: frozenset[str], now: int) -> dict[str, Catalog]:
        """Return the next catalog of each audience that is due; one that is served no longer is only wound up."""
        if not due:
            return {}
        async with self._store.read() as rows:
            crowd_of = await self._crowd_maker(rows)
        return await asyncio.to_thread(
            _next_editions, crowd_of, due, served, policy=self.policy, now=now, entropy=self._entropy.take(32)
        )

    async def _keep(
        self, audience: str, moved: Catalog | None, stored: CatalogRow | None, served: Iterable[str], now: int
    ) -> Published | None:
        """Store a catalog together with the head that shows it."""
        catalog = moved if moved is not None else load_catalog(stored)
        async with self._store.write() as tx:
            if moved is not None:
                await tx.put(
                    CatalogRow(audience=audience, edition=moved.edition, state=dump_catalog(moved), changed_at=now)
                )
            if audience in served:
                return await self._publisher.publish(tx, audience, "offers", catalog.openings())
        return None

    async def crowd(self) -> Crowd:
        """Return the counts of this moment."""
        async with self._store.read() as rows:
            crowd_of = await self._crowd_maker(rows)
        return await asyncio.to_thread(crowd_of)

    async def _crowd_maker(self, rows: Reader) -> Callable[[], Crowd]:
        """Return a function without I/O that counts what was read here."""
        members, mentors = await offer_people.members(rows), await offer_people.mentors(rows)
        families, vocabulary = self._families(), self._vocabulary()
        return lambda: Crowd(
            members, mentors, families=families, vocabulary=vocabulary, site_languages=self._site_languages
        )

    async def current(self) -> dict[str, Catalog]:
        """Return the catalogs of the audiences served now, by audience."""
        served = {one.id for one in await self._audiences.audiences() if "offers" in one.kinds}
        async with self._store.read() as rows:
            return {row.audience: load_catalog(row) for row in await rows.find(CatalogRow) if row.audience in served}


def _next_editions(
    crowd_of: Callable[[], Crowd],
    due: Mapping[str, Catalog],
    served: frozenset[str],
    *,
    policy: Policy,
    now: int,
    entropy: bytes,
) -> dict[str, Catalog]:
    crowd = crowd_of()
    wanted: Minimized = minimize(crowd, policy.rules)
    return {
        audience: next_edition(
            catalog,
            wanted.cells if audience in served else (),
            crowd.holders,
            policy=policy,
            now=now,
            entropy=entropy,
            audience=audience,
        )
        for audience, catalog in due.items()
    }


def dump_catalog(catalog: Catalog) -> bytes:
    """Return a catalog as it is stored."""
    return zstandard.ZstdCompressor().compress(_encoder.encode(catalog))


def load_catalog(row: CatalogRow | None) -> Catalog:
    """Return the catalog of a row, or the empty one of an audience that is new."""
    if row is None:
        return Catalog()
    return _decoder.decode(zstandard.ZstdDecompressor().decompress(row.state, max_output_size=_MAX_STATE))
