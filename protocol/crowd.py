"""Who in an organization could hold a cell: the counting behind every offer.

Somebody could hold a cell when band, country and language match and the topic is one that an outsider may well expect
of them: carried in a skill source, named for their job family by the operator's published map, or a situation whose
holder rule they meet. Nothing is inferred about a person. Source: docs/protocol/11-offers.md §4.

Sets of people are bit masks: with thousands of members and cells this is what keeps an edition well below a second.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Final, TypeVar

import msgspec

from .concepts import Vocabulary
from .encoding import Wire, decode_loose
from .errors import LimitError, MalformedError
from .vocabulary import Band, Country, Format, Kind, Language, Length, Level, Topic, TopicId, band_reaches

K = TypeVar("K")

MAX_MAP_BYTES: Final = 1024 * 1024
BANDS: Final[tuple[Band, ...]] = ("lead", "senior", "any")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """What the member file says about one active person that matters here; private."""

    member: str
    job_family: str
    band: Band
    country: Country
    languages: tuple[Language, ...] = ()
    skills: tuple[TopicId, ...] = ()


class Mentor(msgspec.Struct, frozen=True, kw_only=True):
    """What one opted-in mentor declared; private. Without languages, those of the member count."""

    member: str
    topics: tuple[Topic, ...]
    formats: tuple[Format, ...]
    lengths: tuple[Length, ...]
    languages: tuple[Language, ...] = ()


class Cell(Wire, frozen=True, kw_only=True):
    """What an offer says apart from its id: topic, band, one language (base tag) and a country as region."""

    topic: Topic
    band: Band
    language: Language
    region: Country


Family = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]


class FamilyMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operator's published map: `{"families":{"Finance":["mm:group-customers-and-money"]},"version":3}`.

    Names of families are compared without regard to case and outer spaces.
    """

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31)] = 1
    families: Annotated[
        dict[Family, Annotated[tuple[TopicId, ...], msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=5000)
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [family_key(name) for name in self.families]
        if len(set(names)) != len(names):
            raise ValueError("two job families differ in case or spaces only")


def parse_family_map(data: bytes) -> FamilyMap:
    """Return the map of a JSON file. Raises: MalformedError: names field and rule; LimitError."""
    if len(data) > MAX_MAP_BYTES:
        raise LimitError("job family map is over 1 MiB")
    try:
        return decode_loose(data, FamilyMap, what="job family map")
    except MalformedError as error:
        raise MalformedError(re.sub(r" - at `\$", " - at `map", str(error))) from None


def family_key(name: str) -> str:
    """Return the spelling under which a job family is looked up."""
    return " ".join(name.split()).casefold()


def base_language(tag: str) -> str:
    """Return the language without its region: a regional variety would single people out."""
    return tag.partition("-")[0]


class Crowd:
    """Counts of one moment over an organization's active members; build it anew for every edition."""

    def __init__(
        self,
        members: Iterable[Member],
        mentors: Iterable[Mentor],
        *,
        families: FamilyMap,
        vocabulary: Vocabulary,
        site_languages: tuple[Language, ...],
    ) -> None:
        self.vocabulary: Final = vocabulary
        self.members: Final = {one.member: one for one in sorted(members, key=lambda one: one.member)}
        self.mentors: Final = tuple(
            sorted((one for one in mentors if one.member in self.members), key=lambda one: one.member)
        )
        self._names: Final = tuple(self.members)
        self._bit: Final = {name: 1 << at for at, name in enumerate(self._names)}
        self._site: Final = site_languages
        self._families: Final = {family_key(name): topics for name, topics in families.families.items()}
        self._above: Final[dict[str, tuple[str, ...]]] = {}
        self._bands: Final = {
            band: self._mask(one for one in self.members.values() if band_reaches(one.band, band)) for band in BANDS
        }
        self._countries: Final[dict[str, int]] = {}
        self._speakers: Final[dict[str, int]] = {}
        self._mentor_speakers: Final[dict[str, int]] = {}
        self._carried: Final[dict[str, int]] = {}
        self._expected: Final[dict[str, int]] = {}
        self._behind: Final[dict[tuple[str, Kind], int]] = {}
        self._unmapped = 0
        for one in self.members.values():
            self._count_member(one)
        for mentor in self.mentors:
            self._count_mentor(mentor)
        self._situations: Final = self._lowest_bands()

    @property
    def size(self) -> int:
        """Number of active members."""
        return len(self._names)

    def holders(self, cell: Cell) -> frozenset[str]:
        """Return the members who could hold `cell`."""
        return frozenset(self._people(self._holders(cell)))

    def holder_count(self, cell: Cell) -> int:
        """Return how many members could hold `cell`."""
        return self._holders(cell).bit_count()

    def mentor_count(self, cell: Cell) -> int:
        """Return how many mentors could be behind `cell`: their own topic or one below it."""
        speakers = self._mentor_speakers.get(cell.language, 0)
        return (self._behind.get((cell.topic.id, cell.topic.kind), 0) & self._place(cell) & speakers).bit_count()

    def carrier_count(self, topic: str) -> int:
        """Return how many members carry `topic` in a skill source, their own declaration included."""
        return self._carried.get(topic, 0).bit_count()

    def is_situation(self, topic: Topic) -> bool:
        """Tell whether the topic is a situation lived through, which has a holder rule of its own."""
        return topic.kind == "been-through" and topic.id in self._situations

    def languages(self, mentor: Mentor) -> tuple[Language, ...]:
        """Return the languages to offer help in: the profile's, else the member's, else the site's; base tags."""
        spoken = mentor.languages or self.members[mentor.member].languages or self._site
        return tuple(dict.fromkeys(base_language(tag) for tag in spoken))

    def mentors_of(self, country: Country) -> Sequence[Mentor]:
        """Return the mentors who work in `country`."""
        return [one for one in self.mentors if self.members[one.member].country == country]

    def level(self, topic: Topic) -> Level:
        """Return the level of a declared topic as the vocabulary knows it; a concept it does not know is a leaf."""
        return self.vocabulary.level_of(topic.id)

    # Counting

    def _count_member(self, one: Member) -> None:
        bit = self._bit[one.member]
        _add(self._countries, one.country, bit)
        for tag in one.languages or self._site:
            _add(self._speakers, base_language(tag), bit)
        for topic in self._with_above(one.skills):
            _add(self._carried, topic, bit)
        expected = self._families.get(family_key(one.job_family))
        if expected is None:
            self._unmapped |= bit
        for topic in self._with_above(expected or ()):
            _add(self._expected, topic, bit)

    def _count_mentor(self, mentor: Mentor) -> None:
        bit = self._bit[mentor.member]
        for tag in self.languages(mentor):
            _add(self._mentor_speakers, tag, bit)
            _add(self._speakers, tag, bit)
        for declared in mentor.topics:
            for topic in self._with_above((declared.id,)):
                _add(self._carried, topic, bit)
                _add(self._behind, (topic, declared.kind), bit)

    def _with_above(self, topics: Iterable[str]) -> set[str]:
        found: set[str] = set()
        for topic in topics:
            if topic not in self._above:
                self._above[topic] = (topic, *self.vocabulary.ancestors(topic))
            found.update(self._above[topic])
        return found

    def _lowest_bands(self) -> dict[str, Band]:
        """Return for each situation, and all above it, the lowest band that may have lived through it."""
        lowest: dict[str, Band] = {}
        for concept in self.vocabulary:
            if "been-through" not in concept.kinds or concept.group:
                continue
            band = concept.holder or "any"
            for topic in self._with_above((concept.id,)):
                lowest[topic] = band if band_reaches(lowest.get(topic, "lead"), band) else lowest[topic]
        return lowest

    def _holders(self, cell: Cell) -> int:
        topic = cell.topic
        could = self._carried.get(topic.id, 0) | self._expected.get(topic.id, 0)
        if self.is_situation(topic):
            could |= self._bands[self._situations[topic.id]]
        if topic.level == "domain":
            could |= self._unmapped
        return could & self._place(cell) & self._speakers.get(cell.language, 0)

    def _place(self, cell: Cell) -> int:
        return self._bands[cell.band] & self._countries.get(cell.region, 0)

    def _mask(self, members: Iterable[Member]) -> int:
        mask = 0
        for one in members:
            mask |= self._bit[one.member]
        return mask

    def _people(self, mask: int) -> Iterator[str]:
        while mask:
            lowest = mask & -mask
            yield self._names[lowest.bit_length() - 1]
            mask ^= lowest


def _add(masks: dict[K, int], key: K, bit: int) -> None:
    masks[key] = masks.get(key, 0) | bit
