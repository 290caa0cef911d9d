"""Who stands behind a listed offer, and behind a need of one's own colleagues; kept in memory for a minute at most."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from federation.directory import PeerDirectory
from federation.ports import Clock, Reader, where
from federation.rows import CatalogRow
from node.rows import MemberRow, MentorRow
from protocol.addresses import audience_id
from protocol.bodies import Request
from protocol.concepts import Vocabulary
from protocol.offers import Offer

from .catalogs import load_catalog
from .mentors import parse_profile
from .profile import MentorProfile
from .quoting import Listing, covers

#: Profiles are read anew after so long; opting out works at once all the same, because it is checked for each quote.
FRESH_S: Final = 60
#: Topics of colleagues' needs that are remembered in that time.
MAX_TOPICS: Final = 1024
#: Profiles read in one go.
PORTION: Final = 256


class _Mentor(msgspec.Struct, frozen=True, kw_only=True):
    member: str
    country: str
    listed: bool
    profile: MentorProfile


class _Shown(msgspec.Struct, frozen=True, kw_only=True):
    """The offers that one audience is shown, by id."""

    edition: int
    offers: dict[str, Offer]
    read_at: int


class CatalogListings:
    """The `Listings` of the quote round.

    Outside, an offer rests on the listed mentors whose declared topic it covers. Inside the organization nothing is
    listed: a colleague's need finds whoever can help, also with topics that are never shown outside.
    """

    def __init__(self, own: str, directory: PeerDirectory, vocabulary: Callable[[], Vocabulary], clock: Clock) -> None:
        self._own: Final = own
        self._directory: Final = directory
        self._vocabulary: Final = vocabulary
        self._clock: Final = clock
        self._mentors: tuple[int, tuple[_Mentor, ...]] = (-FRESH_S, ())
        self._statements: Counter[str] = Counter()
        self._offers: Final[dict[str, _Shown]] = {}
        #: Found for these mentors and words: who stands behind an offer, and who helps with a topic.
        self._words: Vocabulary | None = None
        self._behind: Final[dict[str, tuple[str, ...]]] = {}
        self._helpers: Final[dict[str, frozenset[str]]] = {}

    async def behind(self, tx: Reader, peer: str, request: Request) -> Listing | None:
        """Return what stands behind the offer that `request` names, or None when `peer` is not shown it."""
        mentors = await self._all(tx)
        if peer == self._own:
            members = frozenset[str]().union(*(self._helping(mentors, topic) for topic in request.need.topics))
            return Listing(audience=audience_id(self._own), edition=0, members=tuple(members))
        for audience in self._directory.get(peer).audiences(self._own, self._clock.now()):
            shown = await self._shown(tx, audience, request.target.id)
            if offer := shown.offers.get(request.target.id):
                return self._resting(mentors, audience, shown.edition, offer)
        return None

    def meeting(self, peer: str) -> str | None:
        """Return the audience in which people here and people of `peer` meet first, None when they do not."""
        if peer == self._own:
            return audience_id(self._own)
        return next(iter(self._directory.get(peer).audiences(self._own, self._clock.now())), None)

    def _resting(self, mentors: tuple[_Mentor, ...], audience: str, edition: int, offer: Offer) -> Listing:
        """Return the mentors on whom an offer rests."""
        if offer.offer_id not in self._behind:
            members_listed = tuple(one.member for one in mentors if one.listed and self._covers(offer, one))
            self._behind[offer.offer_id] = members_listed
        members = self._behind[offer.offer_id]
        return Listing(audience=audience, edition=edition, members=members, topic=offer.topic)

    async def _all(self, tx: Reader) -> tuple[_Mentor, ...]:
        now = self._clock.now()
        words = self._vocabulary()
        if now - self._mentors[0] >= FRESH_S:
            await self._read_all(tx, now)
        if self._words is not words or len(self._helpers) > MAX_TOPICS:
            self._words = words
            self._behind.clear()
            self._helpers.clear()
        return self._mentors[1]

    async def _read_all(self, tx: Reader, now: int) -> None:
        countries = {row.member: row.country for row in await tx.find(MemberRow, where(active=True))}
        found: list[_Mentor] = []
        counts: Counter[str] = Counter()
        for row in await tx.find(MentorRow, where(opted_in=True)):
            if row.member not in countries:
                continue
            profile = parse_profile(row)
            counts.update({*profile.approach, *(code for topic in profile.topics for code in topic.experience)})
            one = _Mentor(member=row.member, country=countries[row.member], listed=row.listed, profile=profile)
            found.append(one)
            if len(found) % PORTION == 0:
                await asyncio.sleep(0)  # others go on meanwhile
        self._mentors, self._statements, self._words = (now, tuple(found)), counts, None

    async def statements(self, tx: Reader) -> Counter[str]:
        """Return how many active mentors make each statement, as of a minute ago at most."""
        await self._all(tx)
        return self._statements

    async def _shown(self, tx: Reader, audience: str, offer_id: str) -> _Shown:
        """Return the offers shown to an audience now; the whole catalog is read when it may have changed."""
        known = self._offers.get(audience)
        now = self._clock.now()
        if known is not None and offer_id in known.offers and now - known.read_at < FRESH_S:
            return known
        row = await tx.get(CatalogRow, audience)
        if row is None:
            return _Shown(edition=0, offers={}, read_at=now)
        if known is not None and known.edition == row.edition:
            offers = known.offers
        else:
            listed = load_catalog(row).listed
            offers = {one.offer.offer_id: one.offer for one in listed if one.offer is not None}
        self._offers[audience] = _Shown(edition=row.edition, offers=offers, read_at=now)
        return self._offers[audience]

    def _helping(self, mentors: tuple[_Mentor, ...], topic: str) -> frozenset[str]:
        """Return the members who hold something that answers `topic`."""
        if topic not in self._helpers:
            answering = self._vocabulary().relatives(topic)
            self._helpers[topic] = frozenset(
                one.member for one in mentors if any(held.id in answering for held in one.profile.topics)
            )
        return self._helpers[topic]

    def _covers(self, offer: Offer, mentor: _Mentor) -> bool:
        vocabulary = self._vocabulary()
        return (
            offer.language in {one.partition("-")[0] for one in mentor.profile.languages}
            and offer.region in (mentor.country, "world")
            and any(covers(vocabulary, offer.topic, topic) for topic in mentor.profile.topics)
        )
