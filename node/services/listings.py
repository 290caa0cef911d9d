"""Who stands behind a listed offer, and behind a need of one's own colleagues; kept in memory for a minute at most."""

from collections.abc import Callable
from typing import Final

import msgspec

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
from .quoting import Listing

#: Profiles are read anew after so long; opting out works at once all the same, because it is checked for each quote.
FRESH_S: Final = 60


class _Mentor(msgspec.Struct, frozen=True, kw_only=True):
    member: str
    country: str
    listed: bool
    profile: MentorProfile


class CatalogListings:
    """The `Listings` of the quote round.

    Outside, an offer rests on the listed mentors whose declared topic it covers. Inside the organization nothing is
    listed: a colleague's need finds whoever can help, also with topics that are never shown outside.
    """

    def __init__(self, own: str, vocabulary: Callable[[], Vocabulary], clock: Clock) -> None:
        self._own: Final = own
        self._vocabulary: Final = vocabulary
        self._clock: Final = clock
        self._mentors: tuple[int, tuple[_Mentor, ...]] = (-FRESH_S, ())
        self._offers: Final[dict[str, tuple[int, dict[str, Offer]]]] = {}

    async def behind(self, tx: Reader, peer: str, request: Request) -> Listing | None:
        """Return what stands behind the offer that `request` names, or None when `peer` is not shown it."""
        mentors = await self._all(tx)
        if peer == self._own:
            members = tuple(one.member for one in mentors if self._helps(one.profile, request))
            return Listing(edition=0, members=members)
        edition, offers = await self._shown(tx, peer)
        offer = offers.get(request.target.id)
        if offer is None:
            return None
        members = tuple(one.member for one in mentors if one.listed and self._covers(offer, one))
        return Listing(edition=edition, members=members)

    async def _all(self, tx: Reader) -> tuple[_Mentor, ...]:
        now = self._clock.now()
        if now - self._mentors[0] >= FRESH_S:
            countries = {row.member: row.country for row in await tx.find(MemberRow, where(active=True))}
            found = tuple(
                _Mentor(
                    member=row.member,
                    country=countries[row.member],
                    listed=row.listed,
                    profile=parse_profile(row),
                )
                for row in await tx.find(MentorRow, where(opted_in=True))
                if row.member in countries
            )
            self._mentors = (now, found)
        return self._mentors[1]

    async def _shown(self, tx: Reader, peer: str) -> tuple[int, dict[str, Offer]]:
        """Return the offers that `peer` is shown now, by id, with the number of their edition."""
        audience = audience_id(self._own, peer)
        row = await tx.get(CatalogRow, audience)
        if row is None:
            return 0, {}
        known = self._offers.get(audience)
        if known is None or known[0] != row.edition:
            listed = load_catalog(row).listed
            known = row.edition, {one.offer.offer_id: one.offer for one in listed if one.offer is not None}
            self._offers[audience] = known
        return known

    def _helps(self, profile: MentorProfile, request: Request) -> bool:
        vocabulary = self._vocabulary()
        return any(
            vocabulary.fit(wanted, topic.id) is not None for wanted in request.need.topics for topic in profile.topics
        )

    def _covers(self, offer: Offer, mentor: _Mentor) -> bool:
        vocabulary = self._vocabulary()
        wanted = offer.topic
        return (
            offer.language in {one.partition("-")[0] for one in mentor.profile.languages}
            and offer.region in (mentor.country, "world")
            and any(
                topic.kind == wanted.kind and wanted.id in vocabulary.generalize(topic.id, wanted.level)
                for topic in mentor.profile.topics
            )
        )
