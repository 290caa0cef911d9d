"""What goes into a ranking and what comes out of it."""

import msgspec

from protocol.ids import Entity, RandomId, Seconds
from protocol.needs import Approach, Experience, Fit, Gap, Reason, Responsiveness
from protocol.offers import Offer
from protocol.vocabulary import Band, Format, Kind, Language, Length, TopicId


class MirroredOffer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A listed offer, who lists it, and that organization's NACE section (empty when not known).

    `audience` is the id of the audience it is shown to; empty: that of the two organizations alone.
    """

    origin: Entity
    offer: Offer
    sector: str = ""
    audience: str = ""


class HeldTopic(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a mentor helps with. Of `experience` only what is in `told` may show in reasons and gaps."""

    id: TopicId
    kind: Kind
    experience: tuple[Experience, ...] = ()
    told: tuple[Experience, ...] = ()


class MentorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A private profile as the matcher sees it: no name, no mail, no member id.

    Args:
        ref: opaque and fresh for the thread.
        slots: free start times, Unix seconds.
        open_places: requests that may still be taken; nobody without one is proposed.
        capacity: places in all, at least 1; proposals weigh less on who has more.
        proposed: how often the person was proposed lately.
        told_approach: the part of `approach` that may show in reasons and gaps.
        sector, function: of the mentor; empty when not known.
    """

    ref: RandomId
    topics: tuple[HeldTopic, ...]
    band: Band
    languages: tuple[Language, ...]
    formats: tuple[Format, ...]
    lengths: tuple[Length, ...]
    slots: tuple[Seconds, ...] = ()
    open_places: int = 1
    capacity: int = 1
    proposed: int = 0
    approach: tuple[Approach, ...] = ()
    told_approach: tuple[Approach, ...] = ()
    responsiveness: Responsiveness = ""
    sector: str = ""
    function: str = ""


class Asker(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the mentee's side; an empty field leaves the wish about it without effect.

    `country` counts for meetings in person: an offer for another country is passed over.
    """

    sector: str = ""
    function: str = ""
    country: str = ""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a score, in thousandths; exposure is zero or negative."""

    topic: int
    experience: int
    slots: int = 0
    approach: int = 0
    responsiveness: int = 0
    wishes: int = 0
    exposure: int = 0

    @property
    def total(self) -> int:
        """Return the sum, by which ranks go."""
        return sum(msgspec.structs.astuple(self))


class FoundOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer worth asking about, with the topic of the need that it answers."""

    origin: Entity
    offer: Offer
    topic: TopicId
    fit: Fit
    score: Score
    reasons: tuple[Reason, ...]
    gap: Gap
    audience: str = ""


class RankedMentor(msgspec.Struct, frozen=True, kw_only=True):
    """A mentor worth proposing: the held topic that fits best, and the earliest start times that suit, at most five."""

    ref: RandomId
    held: HeldTopic
    fit: Fit
    score: Score
    reasons: tuple[Reason, ...]
    gap: Gap
    slots: tuple[Seconds, ...]
