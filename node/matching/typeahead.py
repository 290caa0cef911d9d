"""Concepts while somebody types: labels that hold the typed words, in any language, from memory within milliseconds.

Each language is a shelf of two sorted lists: whole labels, and labels from each later word on. A lookup is a few binary
searches; what it reads of a list is bounded. Nothing typed is kept.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from heapq import nsmallest
from typing import Final

import msgspec

from protocol.concepts import Concept
from protocol.vocabulary import Kind, TopicId

from .folding import fold

MAX_TYPED: Final = 100
#: Matches read from one list: enough that the best ten of them are good, few enough to be quick.
_READ: Final = 400
_MANY: Final = 1600
_AFTER_ALL: Final = "\U0010ffff"

#: Rank of a match, smaller is better: not the very words, tier, not the preferred label, length, label.
_Rank = tuple[bool, int, bool, int, str]


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A concept to choose: its preferred `label` in `language`, and the label that `matched`, often the same."""

    id: TopicId
    label: str
    matched: str
    language: str
    kinds: tuple[Kind, ...]
    group: bool


class Typeahead:
    """The labels of all concepts, ready to be searched."""

    def __init__(self, concepts: Iterable[Concept]) -> None:
        """Sort the labels; of one's own situations apart, so that thousands of imported ones never hide them."""
        texts: dict[tuple[bool, str], list[tuple[str, Concept, int]]] = {}
        for concept in concepts:
            imported = not concept.id.startswith("mm:")
            for language, labels in concept.labels.items():
                shelf = texts.setdefault((imported, language), [])
                shelf.extend((fold(label), concept, position) for position, label in enumerate(labels))
        self._shelves = {key: _Shelf(language=key[1], entries=entries) for key, entries in texts.items()}

    def suggest(self, typed: str, language: str, *, limit: int = 10) -> tuple[Suggestion, ...]:
        """Return at most `limit` concepts with a label that has words beginning like the typed ones, best first.

        The language asked for comes before English, English before the others; a concept appears once.
        """
        words = fold(typed[:MAX_TYPED]).split()
        found: dict[str, Suggestion] = {}
        for wanted in self._languages(language) if words else ():
            matches = [
                match for imported in (False, True) for match in self._shelf_matches((imported, wanted), words, limit)
            ]
            for _, suggestion in sorted(matches, key=lambda match: match[0]):
                found.setdefault(suggestion.id, suggestion)
            if len(found) >= limit:
                break
        return tuple(found.values())[:limit]

    def _languages(self, language: str) -> list[str]:
        """Return the languages there are: the one asked for, its base, English, and the rest by name."""
        first = dict.fromkeys((language, language.partition("-")[0], "en"))
        there = {shelf for _, shelf in self._shelves}
        return [each for each in first if each in there] + sorted(there - first.keys())

    def _shelf_matches(
        self, key: tuple[bool, str], words: list[str], limit: int
    ) -> Iterator[tuple[tuple[bool, _Rank], Suggestion]]:
        """Yield the matches of one shelf; an imported label comes before one's own only when it is the very words."""
        shelf = self._shelves.get(key)
        for rank, suggestion in shelf.matches(words, limit) if shelf else ():
            yield (key[0] and rank[0], rank), suggestion


class _Shelf:
    """All labels of one language, in two sorted lists with the number of the label beside each key."""

    def __init__(self, *, language: str, entries: list[tuple[str, Concept, int]]) -> None:
        self._language = language
        self._entries = sorted(entries, key=lambda entry: (entry[0], entry[1].id, entry[2]))
        self._starts = [folded for folded, _, _ in self._entries]
        later = sorted(
            (folded[at + 1 :], number) for number, folded in enumerate(self._starts) for at in _spaces(folded)
        )
        self._later = [text for text, _ in later]
        self._later_numbers = array("I", (number for _, number in later))

    def matches(self, words: list[str], limit: int) -> list[tuple[_Rank, Suggestion]]:
        """Return good matches with their rank, each concept at most once, about `limit` of them."""
        typed = " ".join(words)
        numbers = dict.fromkeys(self._reading(self._starts, typed, _READ), 0)
        for place in self._reading(self._later, typed, _READ):
            numbers.setdefault(self._later_numbers[place], 1)
        if len(words) > 1 and len(numbers) < limit:
            for number in self._in_any_order(words):
                numbers.setdefault(number, 2)
        ranked = nsmallest(limit * 4, ((self._rank(number, tier, typed), number) for number, tier in numbers.items()))
        best: dict[str, tuple[_Rank, Suggestion]] = {}
        for rank, number in ranked:
            best.setdefault(self._entries[number][1].id, (rank, self._suggestion(number)))
        return list(best.values())

    def _reading(self, keys: list[str], typed: str, most: int) -> range:
        """Return the places of at most `most` keys that begin with `typed`."""
        start, end = _places(keys, typed)
        return range(start, min(end, start + most))

    def _in_any_order(self, words: list[str]) -> Iterator[int]:
        """Yield labels in which every word begins some word, read along the rarest of them."""
        sizes = {word: sum(len(range(*_places(keys, word))) for keys in (self._starts, self._later)) for word in words}
        rarest = min(words, key=lambda word: (sizes[word], -len(word)))
        candidates = [
            *self._reading(self._starts, rarest, _MANY),
            *(self._later_numbers[place] for place in self._reading(self._later, rarest, _MANY)),
        ]
        for number in candidates:
            label = " " + self._starts[number]
            if all(f" {word}" in label for word in words):
                yield number

    def _rank(self, number: int, tier: int, typed: str) -> _Rank:
        folded, _, position = self._entries[number]
        return (folded != typed, tier, position > 0, len(folded), folded)

    def _suggestion(self, number: int) -> Suggestion:
        _, concept, position = self._entries[number]
        labels = concept.labels[self._language]
        return Suggestion(
            id=concept.id,
            label=labels[0],
            matched=labels[position],
            language=self._language,
            kinds=concept.kinds,
            group=concept.group,
        )


def _places(keys: list[str], typed: str) -> tuple[int, int]:
    """Return where the keys that begin with `typed` start and end."""
    start = bisect_left(keys, typed)
    return start, bisect_left(keys, typed + _AFTER_ALL, lo=start)


def _spaces(text: str) -> Iterator[int]:
    at = text.find(" ")
    while at >= 0:
        yield at
        at = text.find(" ", at + 1)
