"""The mentee's own node searches the mirrored offers of all peers, to decide whom to ask.

In memory only: a need leaves no row, no log line and no metric. Source: docs/reference/vocabulary.md.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from protocol.concepts import Vocabulary
from protocol.encoding import sha256
from protocol.ids import Entity, id_bytes
from protocol.needs import Need

from .explain import Findings, gap, reasons, wish_met
from .facts import Asker, FoundOffer, MirroredOffer, Score
from .filters import offer_passes
from .topics import TopicFit, Wanted
from .weights import DEFAULT, Weights

_NOBODY = Asker()


def search(
    need: Need,
    offers: Iterable[MirroredOffer],
    vocabulary: Vocabulary,
    *,
    tie: bytes,
    asker: Asker = _NOBODY,
    excluded: Collection[Entity] = (),
    last: Collection[Entity] = (),
    per_origin: int = 1,
    limit: int = 20,
    weights: Weights = DEFAULT,
) -> tuple[FoundOffer, ...]:
    """Return the offers worth asking about, best first.

    Args:
        tie: decides between equal scores, as SHA-256(tie ‖ offer id); fresh for each search, so that nobody is always
            second.
        excluded: organizations that are never asked.
        last: organizations that are asked only after all others.
        per_origin: offers of one organization that are worth a question each; its node chooses among all its people.
    """
    wanted = Wanted(need, vocabulary, weights)
    found = [
        _found(need, each, answer, asker, weights)
        for each in offers
        if (answer := wanted.best(each.offer.topic.id, each.offer.topic.level))
        and each.origin not in excluded
        and offer_passes(need, each.offer, country=asker.country)
    ]
    found.sort(key=lambda each: (each.origin in last, -each.score.total, sha256(tie, id_bytes(each.offer.offer_id))))
    return _spread(found, per_origin, limit)


def _found(need: Need, each: MirroredOffer, answer: TopicFit, asker: Asker, weights: Weights) -> FoundOffer:
    """Return one offer with its score; what an offer does not say scores nothing for anybody."""
    topic = each.offer.topic
    as_wished = wish_met(need.sector, asker.sector, each.sector)
    findings = Findings(
        fit=answer.fit,
        kind=topic.kind,
        band=each.offer.band,
        languages=(each.offer.language,),
        sector=as_wished,
    )
    kind_worth = 1000 if topic.kind == need.kind else weights.other_kind
    return FoundOffer(
        origin=each.origin,
        offer=each.offer,
        topic=answer.wanted,
        fit=answer.fit,
        score=Score(
            topic=weights.topic * answer.worth // 1000,
            experience=weights.experience * kind_worth // 1000,
            wishes=weights.wishes // 2 if as_wished else 0,
        ),
        reasons=reasons(need, findings),
        gap=gap(need, findings),
        audience=each.audience,
    )


def _spread(ordered: Iterable[FoundOffer], per_origin: int, limit: int) -> tuple[FoundOffer, ...]:
    """Return the first `limit` offers with at most `per_origin` of each organization."""
    taken: Counter[str] = Counter()
    kept: list[FoundOffer] = []
    for each in ordered:
        if len(kept) == limit:
            break
        if taken[each.origin] < per_origin:
            taken[each.origin] += 1
            kept.append(each)
    return tuple(kept)
