"""Typeahead over 100,000 labels, and what it takes to load them."""

import random
import time
from collections.abc import Iterator
from itertools import islice

from node.matching.typeahead import Typeahead
from protocol.concepts import Concept

from .figures import Figure, percentile

LABELS = 100_000
PER_CONCEPT = 5
SYLLABLES = ("ba", "con", "der", "fi", "ge", "hu", "in", "ka", "lo", "ma", "or", "pra", "re", "sto", "un", "ver", "zu")


def run() -> list[Figure]:
    """Return the time per keystroke over made-up labels, typed as people do: word by word, letter by letter."""
    drawn = random.Random(7)
    words = ["".join(drawn.choices(SYLLABLES, k=drawn.randint(1, 4))) for _ in range(12_000)]
    concepts = [
        Concept(id=f"ext:made:{number}", labels={"en": tuple(label(drawn, words) for _ in range(PER_CONCEPT))})
        for number in range(LABELS // PER_CONCEPT)
    ]
    started = time.perf_counter()
    typeahead = Typeahead(concepts)
    built_s = time.perf_counter() - started
    samples = [keystroke_ms(typeahead, typed) for typed in islice(keystrokes(drawn, concepts), 5_000)]
    return [
        Figure(name="typeahead, one keystroke, p50", value=percentile(samples, 50), unit="ms"),
        Figure(name="typeahead, one keystroke, p95", value=percentile(samples, 95), unit="ms", aim="< 5 ms"),
        Figure(name="typeahead, one keystroke, slowest", value=max(samples), unit="ms"),
        Figure(name="sorting 100,000 labels", value=built_s, unit="s"),
    ]


def label(drawn: random.Random, words: list[str]) -> str:
    """Return one to six words, common ones more often, as in a real vocabulary."""
    count = drawn.randint(1, 6)
    return " ".join(words[int(len(words) * drawn.random() ** 3)] for _ in range(count))


def keystrokes(drawn: random.Random, concepts: list[Concept]) -> Iterator[str]:
    """Yield every beginning of labels, of their later words, and of their words in another order."""
    while True:
        text = drawn.choice(drawn.choice(concepts).labels["en"])
        parts = text.split()
        drawn.shuffle(parts)
        for typed in (text, text.partition(" ")[2], " ".join(parts)):
            yield from (typed[:end] for end in range(1, len(typed) + 1))


def keystroke_ms(typeahead: Typeahead, typed: str) -> float:
    """Return how long the suggestions for `typed` take."""
    started = time.perf_counter()
    typeahead.suggest(typed, "en")
    return (time.perf_counter() - started) * 1000
