"""Free words of a mentee to concepts: BM25 over every label, so that afterwards only codes are searched.

A text names no language, so the labels of all languages are searched. Scores are integers: 1/64 of a bit of surprise.
Source of the formula: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), §3.2.
"""

from array import array
from collections import defaultdict
from typing import Final

import msgspec

from protocol.concepts import Vocabulary
from protocol.vocabulary import TopicId

from .folding import fold

MAX_TEXT: Final = 600
#: BM25 with k1 = 1.2 and b = 0.75, in thousandths; a word occurs once in nearly every label.
_K1: Final = 1200
_B: Final = 750
#: A word in more labels than this names nothing; reading its list would cost the most and say the least.
_COMMON: Final = 20_000
#: Words of a sentence that say nothing about its topic: English, German, French, Spanish, without accents.
_EMPTY: Final = frozenset(
    """
    a about am an and are as at be been but by can could do does doing don done for from had has have he help her his
    how i if in into is it its just me more most my need never not of on or our she should so some that the their them
    there they this to up us want was we were what when which who will with would you your
    aber als am an auf aus bei bin bis das dass dem den der des die dir doch ein eine einem einen einer eines er es fur
    habe haben hat hatte ich ihr im in ist ja kann konnte man mehr mein meine meinem meinen meiner mich mir mit muss
    nach nicht noch nur ob oder schon sehr sich sie sind so soll um und uns unser unsere von vor war was weil wenn wer
    werde werden wie will wir wird wo zu zum zur
    au aux avec ce ces cette comment dans de des du elle en est et il j je l la le les leur ma mais me mes mon n ne
    nous on ou par pas plus pour qu que qui sa sans se ses son sont sur ta un une vos votre vous y
    al como con cual de del donde el ella en eres es esta este estoy ha han hay he la las lo los mas me mi mis muy no
    nos o para pero por que quien se ser si sin soy su sus tengo tu un una y yo
    """.split()  # noqa: SIM905 -- three hundred words in quotes cannot be read
)


class LinkedConcept(msgspec.Struct, frozen=True, kw_only=True):
    """A concept that the text may be about, the label that says so, and a score to compare within one answer."""

    id: TopicId
    label: str
    score: int


class TextIndex:
    """Which labels each word stands in, over all concepts and languages."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._labels: list[tuple[TopicId, str]] = []
        self._lengths = array("H")
        postings: defaultdict[str, array[int]] = defaultdict(lambda: array("I"))
        for concept in vocabulary:
            for label in {label for labels in concept.labels.values() for label in labels}:
                words = _stems(label)
                for word in words:
                    postings[word].append(len(self._labels))
                self._labels.append((concept.id, label))
                self._lengths.append(len(words))
        self._postings = dict(postings)
        self._average = max(1, sum(self._lengths) // max(1, len(self._lengths)))

    def link(self, text: str, *, limit: int = 8) -> tuple[LinkedConcept, ...]:
        """Return the concepts whose best label shares the most telling words with `text`, best first."""
        scores: defaultdict[int, int] = defaultdict(int)
        for word in _stems(text[:MAX_TEXT]):
            found = self._postings.get(word, ())
            if len(found) <= _COMMON:
                surprise = self._surprise(len(found))
                for number in found:
                    scores[number] += surprise * (1000 + _K1) // self._saturation(number)
        best: dict[TopicId, LinkedConcept] = {}
        for number, score in scores.items():
            topic, label = self._labels[number]
            found_before = best.get(topic)
            if found_before is None or (-score, label) < (-found_before.score, found_before.label):
                best[topic] = LinkedConcept(id=topic, label=label, score=score)
        return tuple(sorted(best.values(), key=lambda each: (-each.score, each.id))[:limit])

    def _surprise(self, count: int) -> int:
        """Return log2(labels / count) in 1/64: the bits of a power are counted instead of a float taken."""
        ratio = (len(self._labels) + 1) ** 64 // max(1, count) ** 64
        return ratio.bit_length() * 1000

    def _saturation(self, number: int) -> int:
        return 1000 + _K1 * (1000 - _B + _B * self._lengths[number] // self._average) // 1000


def link_text(text: str, index: TextIndex, *, limit: int = 3) -> tuple[TopicId, ...]:
    """Return the ids of at most `limit` concepts that `text` is most likely about; nothing when no word is known."""
    return tuple(linked.id for linked in index.link(text, limit=limit))


def _stems(text: str) -> tuple[str, ...]:
    """Return the distinct telling words, in order, plural `s` cut off: it marks the plural in most of our languages."""
    words = (word for word in fold(text).split() if word not in _EMPTY)
    return tuple(dict.fromkeys(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words))
