"""The provider's node chooses the people to propose for a need, from full private profiles.

Every node computes the same: integers only, ties by a hash. Source: docs/reference/vocabulary.md.
"""

from collections.abc import Iterable

from protocol.concepts import Vocabulary
from protocol.encoding import sha256
from protocol.ids import RandomId, id_bytes
from protocol.needs import Need

from .explain import Findings, gap, reasons, wish_met
from .facts import Asker, HeldTopic, MentorFacts, RankedMentor, Score
from .filters import TIMED, mentor_passes, suitable_slots
from .topics import TopicFit, Wanted
from .weights import DEFAULT, Weights

_NOBODY = Asker()


def choose(
    need: Need,
    mentors: Iterable[MentorFacts],
    vocabulary: Vocabulary,
    *,
    thread: RandomId,
    asker: Asker = _NOBODY,
    weights: Weights = DEFAULT,
) -> tuple[RankedMentor, ...]:
    """Return every mentor who may be proposed, best first; equal scores go by SHA-256(thread ‖ ref)."""
    matcher = _Matcher(need, vocabulary, asker, weights)
    tie = id_bytes(thread)
    ranked = [found for mentor in mentors if mentor_passes(need, mentor) and (found := matcher.rank(mentor))]
    ranked.sort(key=lambda each: (-each.score.total, sha256(tie, id_bytes(each.ref))))
    return tuple(ranked)


class _Matcher:
    """One need against many mentors."""

    def __init__(self, need: Need, vocabulary: Vocabulary, asker: Asker, weights: Weights) -> None:
        self._need = need
        self._vocabulary = vocabulary
        self._asker = asker
        self._weights = weights
        self._wanted = Wanted(need, vocabulary, weights)

    def rank(self, mentor: MentorFacts) -> RankedMentor | None:
        """Return the mentor with score and explanation, or None when no topic fits."""
        answers = {held: self._wanted.answered(held.id, self._vocabulary.level_of(held.id)) for held in mentor.topics}
        best = self._best_topic(answers)
        if best is None:
            return None
        held, answer = best
        worths = [
            max((fits[position].worth for fits in answers.values() if fits[position]), default=0)  # type: ignore[union-attr]
            for position in range(len(self._need.topics))
        ]
        slots = suitable_slots(self._need, mentor.slots) if self._need.format in TIMED else ()
        findings = self._findings(mentor, held, answer, slots, answered=sum(worth > 0 for worth in worths))
        return RankedMentor(
            ref=mentor.ref,
            held=held,
            fit=answer.fit,
            score=self._score(mentor, held, findings, self._wanted.combined(worths)),
            reasons=reasons(self._need, findings),
            gap=gap(self._need, findings),
            slots=slots[:5],
        )

    def _best_topic(self, answers: dict[HeldTopic, list[TopicFit | None]]) -> tuple[HeldTopic, TopicFit] | None:
        """Return the held topic to show: worth most, then of the kind asked for, then the first by name."""
        found = [
            (-fit.worth, held.kind != self._need.kind, position, held.id, held.kind, held, fit)
            for held, fits in answers.items()
            for position, fit in enumerate(fits)
            if fit
        ]
        return min(found, key=lambda each: each[:5])[5:] if found else None

    def _findings(
        self, mentor: MentorFacts, held: HeldTopic, answer: TopicFit, slots: tuple[int, ...], *, answered: int
    ) -> Findings:
        need = self._need
        return Findings(
            fit=answer.fit,
            kind=held.kind,
            band=mentor.band,
            languages=mentor.languages,
            topics_answered=answered,
            experience=_overlaps(need.experience, held.told),
            approach=_overlaps(need.approach, mentor.told_approach),
            sector=wish_met(need.sector, self._asker.sector, mentor.sector),
            function=wish_met(need.function, self._asker.function, mentor.function),
            slots=len(slots) if need.format in TIMED else None,
            responsiveness=mentor.responsiveness,
        )

    def _score(self, mentor: MentorFacts, held: HeldTopic, found: Findings, topic_worth: int) -> Score:
        weights = self._weights
        wishes = (found.sector is True) + (found.function is True)
        load = min(1000, mentor.proposed * 1000 // (max(1, mentor.capacity) * weights.full_exposure))
        return Score(
            topic=weights.topic * topic_worth // 1000,
            experience=weights.experience * self._experience_worth(held) // 1000,
            slots=weights.slots * self._slots_worth(found.slots) // 1000,
            approach=weights.approach * _share(self._need.approach, mentor.approach) // 1000,
            responsiveness=weights.responsiveness * self._responsiveness_worth(mentor) // 1000,
            wishes=weights.wishes * wishes // 2,
            exposure=-(weights.exposure * load // 1000),
        )

    def _experience_worth(self, held: HeldTopic) -> int:
        kind = 1000 if held.kind == self._need.kind else self._weights.other_kind
        if not self._need.experience:
            return kind
        share = self._weights.kind_share
        return (kind * share + _share(self._need.experience, held.experience) * (1000 - share)) // 1000

    def _slots_worth(self, slots: int | None) -> int:
        match slots:
            case 1:
                return self._weights.one_slot
            case 2:
                return self._weights.two_slots
            case _:
                return 1000

    def _responsiveness_worth(self, mentor: MentorFacts) -> int:
        match mentor.responsiveness:
            case "hours":
                return 1000
            case "a-day" | "":  # who is new must not lose to who answers in a day
                return self._weights.answers_in_a_day
            case "two-days":
                return self._weights.answers_in_two_days


def _share(wished: tuple[str, ...], held: tuple[str, ...]) -> int:
    """Return how much of what was wished is held, in thousandths; everything when nothing was wished."""
    return 1000 * len(set(wished) & set(held)) // len(wished) if wished else 1000


def _overlaps(wished: tuple[str, ...], told: tuple[str, ...]) -> bool | None:
    """Return whether anything wished is told; None when nothing was wished."""
    return bool(set(wished) & set(told)) if wished else None
