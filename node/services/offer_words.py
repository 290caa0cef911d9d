"""What a mentor reads about each topic: what is shown outside, what only our matcher uses, and why."""

import msgspec

from protocol.concepts import Vocabulary
from protocol.crowd import Cell
from protocol.minimize import Explanation, Rules, Step
from protocol.offers import Offer
from protocol.vocabulary import Kind, Language


class TopicPreview(msgspec.Struct, frozen=True, kw_only=True):
    """One topic of a mentor in one language.

    `outside` is the label shown to other organizations, empty when nothing is; `inside` what our own matcher uses.
    `level` is leaf, group, domain or withheld; `missing` people are needed until something is shown.
    """

    topic: str
    kind: Kind
    language: Language
    inside: str
    outside: str
    level: str
    why: str
    missing: int


def preview_topic(one: Explanation, vocabulary: Vocabulary, rules: Rules, reader: Language) -> TopicPreview:
    """Return an explanation in words; labels in the reader's language, sentences in English."""
    return TopicPreview(
        topic=one.topic.id,
        kind=one.topic.kind,
        language=one.language,
        inside=label_of(vocabulary, one.topic.id, reader),
        outside=label_of(vocabulary, one.cell.topic.id, reader) if one.cell else "",
        level=one.outcome,
        why=_why(one, rules),
        missing=one.missing,
    )


def label_of(vocabulary: Vocabulary, topic: str, reader: Language) -> str:
    """Return a concept's label, or its id where the vocabulary does not know it."""
    concept = vocabulary.get(topic)
    return concept.label(reader) if concept else topic


def cell_line(cell: Cell | Offer, vocabulary: Vocabulary, reader: Language) -> str:
    """Return an offer in one line: `First presentation to the board · been-through · senior · en · DE`."""
    label = label_of(vocabulary, cell.topic.id, reader)
    return f"{label} · {cell.topic.kind} · {cell.band} · {cell.language} · {cell.region}"


def _why(one: Explanation, rules: Rules) -> str:
    """Return the reason for what is shown: the decisive step, and for a withheld topic what would change it."""
    passed = [step for step in one.steps if step.why]
    if one.cell and not passed:
        return f"At least {rules.k} people here could be meant."
    if one.cell:
        return f"Shown more generally: {_reason(passed[-1], rules)}."
    return f"Not shown outside: {_reason(one.steps[-1], rules)}."


def _reason(step: Step, rules: Rules) -> str:
    if step.why == "sensitive":
        return "the topic is sensitive"
    if step.why == "small-organization":
        return f"organizations under {rules.smallest_members} members show domains only"
    if step.why == "nothing-broader":
        return "the vocabulary has nothing broader that could be shown instead"
    if step.why == "too-many-mentors":
        return f"mentors would be more than {rules.ratio_percent} % of the people who could be meant"
    who = "have it among their skills" if step.why == "too-few-carriers" else "could be meant"
    return f"fewer than {step.needed} people here {who}: {step.needed - step.count} more until shown"
