"""Who is proposed for a sealed need, and how much of them shows: OFFERED is an oracle and is minimized like an offer.

The shortlist behind one (peer, offer, edition) is fixed by a keyed function, the need only sorts inside it, so that
asking again in other words meets the same few people. Source: docs/protocol/31-handshake.md §6.
"""

import asyncio
import hmac
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from federation.ports import Clock, Entropy, Reader, where
from federation.rows import ThreadRow
from node.matching.choose import choose
from node.matching.facts import Asker, HeldTopic, MentorFacts, RankedMentor
from node.matching.filters import TIMED
from node.rows import LabelRow, MemberRow, MentorRow
from protocol.bodies import Candidate, Refusal, Request
from protocol.concepts import Vocabulary
from protocol.encoding import length_prefixed
from protocol.handshake import Side
from protocol.ids import random_id
from protocol.needs import Window
from protocol.offers import OrgProfile
from protocol.vocabulary import Band, Topic

from .availability import slots
from .contacts import mentor_of
from .devices import EnrolledDevice, enrolled
from .key_directory import listed_devices
from .labels import MAILBOX, label_for
from .mentors import parse_profile
from .places import FARTHEST_S, places_taken, taken
from .profile import MentorProfile, ProfileTopic

SHORTLIST: Final = 6
CANDIDATES: Final = 3
#: Inside one organization a need is matched against so many colleagues who can help.
COLLEAGUES: Final = 64
#: More times than this neither show nor count.
MAX_SLOTS: Final = 5
#: Statements of fewer mentors than this do not show, unless their owner chose so.
SHARED_BY: Final = 3
DEVICE_DAYS: Final = 30
LOOK_AHEAD_S: Final = 14 * 86_400


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What stands behind one listed offer of this node: the edition that listed it and the mentors it rests on.

    `audience` is whom the offer is shown to. `topic` is what it says, and None inside the organization, where a need is
    held against whole profiles. `anything`: somebody who was met is asked again, whatever about, and tells nothing new.
    """

    audience: str
    edition: int
    members: tuple[str, ...]
    topic: Topic | None = None
    anything: bool = False


class Listings(Protocol):
    """The catalog as the quote round needs it."""

    async def behind(self, tx: Reader, peer: str, request: Request) -> Listing | None:
        """Return what stands behind the offer that `request` names, or None when `peer` is not shown it."""
        ...

    async def statements(self, tx: Reader) -> Counter[str]:
        """Return how many active mentors make each statement about their experience and approach."""
        ...

    def meeting(self, peer: str) -> str | None:
        """Return the audience in which people here and people of `peer` meet first, None when they do not."""
        ...


class QuotingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`secret` keys the shortlist."""

    secret: bytes
    entity: str
    sector: str


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate and the mailbox of the mentor behind it."""

    candidate: Candidate
    label: str


class _Person(msgspec.Struct, frozen=True, kw_only=True):
    """A mentor of the shortlist with everything that a quote draws from."""

    label: str
    profile: MentorProfile
    facts: MentorFacts
    keys: tuple[str, ...]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request with what its answer is drawn from; `shared` counts the mentors who make each statement."""

    peer: str
    request: Request
    listing: Listing
    secret: bytes
    shared: Counter[str]

    def draw(self, name: str) -> bytes:
        """Return 32 bytes that stay the same for one (peer, offer, edition, name), and that nobody else can make."""
        names = self.peer, self.request.target.id, str(self.listing.edition), name
        return hmac.digest(self.secret, length_prefixed(*(one.encode() for one in names)), "sha256")


class Quoting:
    """Answers needs for one node."""

    def __init__(
        self,
        listings: Listings,
        vocabulary: Callable[[], Vocabulary],
        clock: Clock,
        entropy: Entropy,
        settings: QuotingSettings,
    ) -> None:
        self._listings: Final = listings
        self._vocabulary: Final = vocabulary
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._settings: Final = settings

    async def propose(
        self, tx: Reader, peer: str, request: Request, *, thread: str, org: OrgProfile
    ) -> Sequence[Proposed] | Refusal:
        """Return one to three candidates, or the neutral reason why there are none; nothing is written."""
        match request.target.type:
            case "offer":
                found = await self._listings.behind(tx, peer, request)
                return await self._chosen(tx, peer, request, found, thread=thread, org=org) or "no-capacity"
            case "contact":
                # One answer for revoked, over, unknown, away and busy: who ended a token need not say so.
                met = await self._met(tx, peer, request)
                return await self._chosen(tx, peer, request, met, thread=thread, org=org) or "unavailable"
            case _:
                return "unavailable"

    async def _met(self, tx: Reader, peer: str, request: Request) -> Listing | None:
        """Return the one mentor whom the token of the request lets its holder ask, towards this peer."""
        member = await mentor_of(tx, request.target.id, now=self._clock.now())
        audience = self._listings.meeting(peer)
        if member is None or audience is None:
            return None
        return Listing(audience=audience, edition=0, members=(member,), anything=True)

    async def _chosen(
        self, tx: Reader, peer: str, request: Request, listing: Listing | None, *, thread: str, org: OrgProfile
    ) -> Sequence[Proposed]:
        if listing is None:
            return ()
        people = await self._shortlist(tx, peer, request, listing, thread)
        asker = Asker(sector=org.sector, country=org.countries[0] if len(org.countries) == 1 else "")
        ranked = choose(request.need, [one.facts for one in people], self._vocabulary(), thread=thread, asker=asker)
        by_ref = {one.facts.ref: one for one in people}
        return [self._proposed(by_ref[one.ref], one) for one in ranked[:CANDIDATES]]

    async def _shortlist(self, tx: Reader, peer: str, request: Request, listing: Listing, thread: str) -> list[_Person]:
        asked = _Asked(
            peer=peer,
            request=request,
            listing=listing,
            secret=self._settings.secret,
            shared=await self._listings.statements(tx),
        )
        most = COLLEAGUES if peer == self._settings.entity else SHORTLIST
        excluded = await self._excluded(tx, thread) if peer == self._settings.entity else frozenset()
        members = [one for one in sorted(listing.members, key=asked.draw)[:most] if one not in excluded]
        people: list[_Person] = []
        for member in members:
            person = await self._person(tx, member, asked)
            people += [person] if person is not None else []
            await asyncio.sleep(0)  # others go on meanwhile
        return people

    async def _excluded(self, tx: Reader, thread: str) -> frozenset[str]:
        """Inside one organization nobody is proposed to themselves, and nobody's own supervisor is proposed.

        Only there: to another organization, whose thread might bear the id of one of ours, it would tell who asked.
        """
        asking = await tx.get(ThreadRow, thread, Side.CONSUMER.value)
        owner = await tx.get(LabelRow, asking.label) if asking is not None else None
        member = await tx.get(MemberRow, owner.member) if owner is not None else None
        if member is None:
            return frozenset()
        above = await tx.find(MemberRow, where(hris_id=member.supervisor)) if member.supervisor else []
        return frozenset({member.member, *(one.member for one in above)})

    async def _person(self, tx: Reader, member: str, asked: _Asked) -> _Person | None:
        row, about = await tx.get(MentorRow, member), await tx.get(MemberRow, member)
        if row is None or about is None or not (row.opted_in and about.active):
            return None
        profile = parse_profile(row)
        if profile.paused(self._clock.now()):
            return None
        keys, label = await self._sealing_keys(tx, member, asked), await label_for(tx, member, MAILBOX)
        if not keys or label is None:
            return None
        facts = await self._facts(tx, label=label, profile=profile, about=about, asked=asked)
        return _Person(label=label, profile=profile, facts=facts, keys=keys)

    async def _sealing_keys(self, tx: Reader, member: str, asked: _Asked) -> tuple[str, ...]:
        """Return one sealing key of each of the two devices used last, if used within 30 days.

        Only of devices that the mentee's side can check: nobody is proposed before the key directory shows them. Which
        of a device's keys shows is drawn for each offer: a key behind two offers would say that one person stands
        behind both.
        """
        now = self._clock.now()
        audience = asked.listing.audience
        label = await label_for(tx, member, audience)
        listed = await listed_devices(tx, self._settings.entity, audience, label) if label else frozenset()
        devices = [one for one in await enrolled(tx, member, audience, now=now) if one.device_key in listed]
        recent = [one for one in devices if one.seen_on >= now - (DEVICE_DAYS + 1) * 86_400]
        return tuple(_drawn_key(one, asked) for one in recent[:2])

    async def _facts(
        self,
        tx: Reader,
        *,
        label: str,
        profile: MentorProfile,
        about: MemberRow,
        asked: _Asked,
    ) -> MentorFacts:
        now, shared = self._clock.now(), asked.shared
        need = asked.request.need
        tells = profile.show_more is not None
        told = asked.listing.topic
        return MentorFacts(
            ref=random_id(self._entropy.take(16)),
            topics=(HeldTopic(id=need.topics[0], kind=need.kind),)
            if asked.listing.anything
            else tuple(
                HeldTopic(
                    id=topic.id,
                    kind=topic.kind,
                    experience=topic.experience,
                    told=tuple(code for code in topic.experience if tells or shared[code] >= SHARED_BY),
                )
                for topic in profile.topics
                if told is None or covers(self._vocabulary(), told, topic)
            ),
            band=msgspec.convert(about.band, Band),
            languages=profile.languages,
            formats=profile.formats,
            lengths=profile.lengths,
            slots=await self._free_slots(tx, label, profile, asked.request),
            open_places=max(0, profile.per_week - await places_taken(tx, label, now)),
            capacity=profile.per_week,
            approach=profile.approach,
            told_approach=tuple(code for code in profile.approach if tells or shared[code] >= SHARED_BY),
            sector=self._settings.sector,
            function=about.job_family,
        )

    async def _free_slots(self, tx: Reader, label: str, profile: MentorProfile, request: Request) -> tuple[int, ...]:
        now = self._clock.now()
        if request.need.format not in TIMED:
            return ()
        windows = request.need.windows or (Window(start=now, end=now + LOOK_AHEAD_S),)
        held = await taken(tx, label)
        found: list[int] = []
        for window in windows:
            start, end = max(window.start, now + 1), min(window.end, now + FARTHEST_S)
            if start >= end:
                continue
            for slot in slots(profile.availability, Window(start=start, end=end), held, length=request.need.length):
                found.append(slot)
                if len(found) == MAX_SLOTS:
                    return tuple(found)
        return tuple(found)

    def _proposed(self, person: _Person, ranked: RankedMentor) -> Proposed:
        more = person.profile.show_more
        candidate = Candidate(
            ref=ranked.ref,
            fit=ranked.fit,
            reasons=ranked.reasons,
            gap=ranked.gap,
            kind=ranked.held.kind,
            band=person.facts.band,
            experience=ranked.held.told,
            approach=person.facts.told_approach,
            line=more.line if more else "",
            known_as=more.known_as if more else "",
            slots=ranked.slots,
            keys=person.keys,
        )
        return Proposed(candidate=candidate, label=person.label)


def covers(vocabulary: Vocabulary, offered: Topic, held: ProfileTopic) -> bool:
    """Tell whether an offer of `offered` rests on somebody who holds `held`."""
    return held.kind == offered.kind and offered.id in vocabulary.generalize(held.id, offered.level)


def _drawn_key(device: EnrolledDevice, asked: _Asked) -> str:
    keys = device.enrolment.sealing
    return keys[int.from_bytes(asked.draw(device.device)[:8], "big") % len(keys)].key
