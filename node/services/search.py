"""Which organizations list help with a need: looked up in memory among mirrored offers, and forgotten at once.

A need leaves no row, no log line and no metric here; a test looks for one afterwards.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import zip_longest
from typing import Final

import msgspec

from federation.directory import PeerDirectory
from federation.ports import Clock, Entropy, Store
from node.matching.facts import Asker, FoundOffer
from node.matching.search import search
from node.rows import MemberRow
from protocol.concepts import Vocabulary
from protocol.ids import Entity, RandomId
from protocol.needs import Fit, Gap, Need, Reason
from protocol.vocabulary import Kind, Level, TopicId

from .offers import MirroredOffers

#: Offers that a device gets to ask about; it asks at most eight.
MOST: Final = 24
PER_ORGANIZATION: Final = 3


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One offer worth asking about; `topic` is what it says, `level` how precisely, `audience` to whom it is shown."""

    peer: Entity
    audience: str
    offer_id: RandomId
    topic: TopicId
    level: Level
    kind: Kind
    fit: Fit
    reasons: tuple[Reason, ...]
    gap: Gap


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found: how many other organizations list this, and their offers in the order to ask in."""

    companies: int
    offers: tuple[Listed, ...]


class Search:
    """Searches for the members of one node.

    Args:
        sector: NACE section of this organization.
    """

    def __init__(
        self,
        store: Store,
        offers: MirroredOffers,
        directory: PeerDirectory,
        clock: Clock,
        entropy: Entropy,
        *,
        vocabulary: Callable[[], Vocabulary],
        sector: str,
    ) -> None:
        self._store: Final = store
        self._offers: Final = offers
        self._directory: Final = directory
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._vocabulary: Final = vocabulary
        self._sector: Final = sector

    async def find(self, member: str, need: Need, *, exclude: Collection[str] = ()) -> Found:
        """Return the offers worth asking about, the best of each organization first."""
        now = self._clock.now()
        askable = {peer.entity for peer in self._directory.all() if peer.may("request", now=now)} - set(exclude)
        async with self._store.read() as reader:
            about = await reader.get(MemberRow, member)
        asker = Asker(
            sector=self._sector,
            function=about.job_family if about else "",
            country=about.country if about else "",
        )
        found = search(
            need,
            (offer for offer in self._offers.at(now) if offer.origin in askable),
            self._vocabulary(),
            tie=self._entropy.take(16),
            asker=asker,
            per_origin=PER_ORGANIZATION,
            limit=MOST,
        )
        return Found(companies=len({one.origin for one in found}), offers=tuple(map(_listed, _spread(found))))


def _spread(found: Sequence[FoundOffer]) -> Iterable[FoundOffer]:
    """Return the best offer of each organization, then the second of each, so that questions reach many."""
    by_origin: defaultdict[str, list[FoundOffer]] = defaultdict(list)
    for one in found:
        by_origin[one.origin].append(one)
    return (one for turn in zip_longest(*by_origin.values()) for one in turn if one is not None)


def _listed(one: FoundOffer) -> Listed:
    return Listed(
        peer=one.origin,
        audience=one.audience,
        offer_id=one.offer.offer_id,
        topic=one.offer.topic.id,
        level=one.offer.topic.level,
        kind=one.offer.topic.kind,
        fit=one.fit,
        reasons=one.reasons,
        gap=one.gap,
    )
