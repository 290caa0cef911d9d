"""How well held topics answer the topics of a need."""

from collections.abc import Sequence

import msgspec

from protocol.concepts import Vocabulary
from protocol.needs import Fit, Need
from protocol.vocabulary import Level, TopicId

from .weights import Weights


class TopicFit(msgspec.Struct, frozen=True):
    """The wanted topic that is answered, how, and its worth in thousandths."""

    wanted: TopicId
    fit: Fit
    worth: int


class Wanted:
    """The topics of one need, looked up once in the vocabulary so that each held topic costs a dictionary access."""

    def __init__(self, need: Need, vocabulary: Vocabulary, weights: Weights) -> None:
        self._weights = weights
        self._relatives = [(topic, vocabulary.relatives(topic)) for topic in need.topics]

    def answered(self, held: str, level: Level) -> list[TopicFit | None]:
        """Return, for each topic of the need in order, how a held topic answers it."""
        return [
            TopicFit(topic, fit, self._worth(fit, level)) if (fit := relatives.get(held)) else None
            for topic, relatives in self._relatives
        ]

    def best(self, held: str, level: Level) -> TopicFit | None:
        """Return the answer worth most, the earlier topic of the need on a tie, or None."""
        found = [(position, fit) for position, fit in enumerate(self.answered(held, level)) if fit]
        shares = self._shares()
        return max(found, key=lambda each: (each[1].worth * shares[each[0]], -each[0]))[1] if found else None

    def combined(self, worths: Sequence[int]) -> int:
        """Return one worth from the best worth of each topic; of three topics the first counts half."""
        shares = self._shares()
        return sum(worth * share for worth, share in zip(worths, shares, strict=True)) // sum(shares)

    def _shares(self) -> range:
        return range(len(self._relatives), 0, -1)

    def _worth(self, fit: Fit, level: Level) -> int:
        match fit:
            case "exact":
                return 1000
            case "near":
                return self._weights.near_topic
            case "general":
                return self._weights.may_cover_domain if level == "domain" else self._weights.may_cover_group
