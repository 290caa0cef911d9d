"""The graph over concepts: what lies above a concept, how a topic is generalized, and what is close to what.

Concepts form a poly-hierarchy; cycles and unknown parents in a third-party file do no harm here.
Source: docs/protocol/10-vocabulary.md §11.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from .needs import Fit
from .vocabulary import Band, Kind, Level, TopicId

#: A parent with more children than this says little about them, so it makes nothing close.
CLOSE_FAMILY: Final = 60


class Concept(msgspec.Struct, frozen=True, kw_only=True):
    """One concept of a vocabulary: labels by language, the preferred one first in each.

    `group` marks what stands above single concepts; `holder` is the lowest band whose members count as able to hold a
    situation, None when that is everyone; `kinds` are the ways in which it can be brought, empty when not stated.
    """

    id: TopicId
    labels: dict[str, tuple[str, ...]]
    broader: tuple[TopicId, ...] = ()
    group: bool = False
    sensitive: bool = False
    kinds: tuple[Kind, ...] = ()
    holder: Band | None = None

    def label(self, language: str) -> str:
        """Return the preferred label in `language`, else in its base language, English, or the first one there is."""
        for key in (language, language.partition("-")[0], "en"):
            if key in self.labels:
                return self.labels[key][0]
        return next(iter(self.labels.values()))[0]


class Vocabulary:
    """Concepts and the edges between them, in memory; of two concepts with one id the first counts."""

    def __init__(self, concepts: Iterable[Concept] = ()) -> None:
        self._concepts: dict[str, Concept] = {}
        for concept in concepts:
            self._concepts.setdefault(concept.id, concept)
        self._parents: dict[str, tuple[str, ...]] = {}
        self._children: dict[str, list[str]] = {}
        for concept in self._concepts.values():
            known = {parent for parent in concept.broader if parent in self._concepts and parent != concept.id}
            self._parents[concept.id] = tuple(sorted(known))
            for parent in self._parents[concept.id]:
                self._children.setdefault(parent, []).append(concept.id)

    def __len__(self) -> int:
        return len(self._concepts)

    def __iter__(self) -> Iterator[Concept]:
        return iter(self._concepts.values())

    def __contains__(self, topic: object) -> bool:
        return topic in self._concepts

    def get(self, topic: str) -> Concept | None:
        """Return the concept, or None when this vocabulary does not know it."""
        return self._concepts.get(topic)

    def parents(self, topic: str) -> tuple[str, ...]:
        """Return the known concepts directly above, sorted."""
        return self._parents.get(topic, ())

    def children(self, topic: str) -> tuple[str, ...]:
        """Return the concepts directly below, sorted."""
        return tuple(sorted(self._children.get(topic, ())))

    def children_count(self, topic: str) -> int:
        """Return how many concepts are directly below."""
        return len(self._children.get(topic, ()))

    def ancestors(self, topic: str) -> tuple[str, ...]:
        """Return everything above, nearest first, never `topic` itself."""
        return tuple(self._upward(topic, stop=lambda _: False))

    def level_of(self, topic: str) -> Level:
        """Return how precise a concept is: a group over nothing but groups is a domain; what is unknown is a leaf."""
        concept = self._concepts.get(topic)
        if concept is None or not concept.group:
            return "leaf"
        below = self._children.get(topic, ())
        return "domain" if below and all(self._concepts[child].group for child in below) else "group"

    def generalize(self, topic: str, level: Level) -> tuple[str, ...]:
        """Return the nearest concepts of `level` at or above `topic`, sorted; empty when there are none."""
        if self.level_of(topic) == level:
            return (topic,) if topic in self._concepts else ()
        reached = self._upward(topic, stop=lambda above: self.level_of(above) == level)
        return tuple(sorted(above for above in reached if self.level_of(above) == level))

    def is_sensitive(self, topic: str) -> bool:
        """Tell whether the concept or anything above it is marked sensitive."""
        return any(self._concepts[each].sensitive for each in (topic, *self.ancestors(topic)) if each in self._concepts)

    def relatives(self, wanted: str) -> dict[str, Fit]:
        """Return every concept that answers `wanted`, and how well: the one rule behind every topic fit.

        A known relative is `near` when it is a direct parent or child, or a sibling, and the shared parent has at most
        `CLOSE_FAMILY` children. The group and domain that `wanted` generalizes to are `general`.
        """
        found: dict[str, Fit] = {}
        for parent in (wanted, *self.parents(wanted)):
            if self.children_count(parent) <= CLOSE_FAMILY:
                found.update(dict.fromkeys((parent, *self._children.get(parent, ())), "near"))
        for level in ("group", "domain"):
            found.update(dict.fromkeys(self.generalize(wanted, level), "general"))
        found[wanted] = "exact"
        return found

    def fit(self, wanted: str, offered: str) -> Fit | None:
        """Return how well `offered` answers `wanted`, None when not at all; an unknown id fits itself only."""
        return self.relatives(wanted).get(offered)

    def _upward(self, topic: str, *, stop: Callable[[str], bool]) -> Iterator[str]:
        """Yield what is above, breadth first, each once, not climbing beyond a concept for which `stop` holds."""
        seen = {topic}
        level = [topic]
        while level:
            above = sorted({parent for each in level for parent in self.parents(each)} - seen)
            seen.update(above)
            yield from above
            level = [each for each in above if not stop(each)]
