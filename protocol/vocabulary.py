"""Words that offers and needs share: topics by concept id, kinds, levels, bands, languages, formats and lengths.

Concepts are named by id, never by label: `esco:`, `onet:`, `mm:` (our own situations), `ext:<consortium>:`.
Source: docs/protocol/10-vocabulary.md §1–§6.
"""

from typing import Annotated, Final, Literal

import msgspec

from .encoding import Wire

# `(?!\n)$` because Python's `$` alone would let one line feed through at the end.
#: Concept id: the prefix is the scheme, such as `mm:first-board-presentation`.
TopicId = Annotated[str, msgspec.Meta(pattern=r"^(esco|onet|mm|ext):[!-~]{1,200}(?!\n)$", max_length=205)]
#: How precise a topic is: one concept, its group, or its whole domain.
Level = Literal["leaf", "group", "domain"]
#: What the mentor brings: does it as work, knows about it, or has lived through it.
Kind = Literal["do", "know", "been-through"]
#: Seniority; `any` is everybody, `senior` includes `lead`.
Band = Literal["any", "senior", "lead"]
#: One BCP 47 tag of language and, at most, region: `de`, `pt-BR`.
Language = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?(?!\n)$", max_length=6)]
#: How two people meet; `link` is any place outside the product, such as a shared virtual room.
Format = Literal["call", "text", "in-person", "link"]
#: Length of a session in minutes.
Length = Literal[15, 20, 30, 45, 60]
#: ISO 3166-1 alpha-2 code.
Country = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}(?!\n)$", max_length=2)]
#: A country, or one of five wider regions.
Region = Annotated[str, msgspec.Meta(pattern=r"^([A-Z]{2}|eu|emea|apac|amer|world)(?!\n)$", max_length=5)]

_BAND_RANK: Final[dict[Band, int]] = {"any": 0, "senior": 1, "lead": 2}


class Topic(Wire, frozen=True, kw_only=True, gc=False):
    """What an offer or a profile covers: `{"id":"mm:first-board-presentation","kind":"been-through"}`.

    `level` is left out for a leaf; `{"id":"mm:group-leading","kind":"do","level":"group"}` covers a whole group.
    """

    id: TopicId
    level: Level = "leaf"
    kind: Kind


def scheme_of(topic: str) -> str:
    """Return the scheme of a concept id: `esco`, `onet`, `mm` or `ext`."""
    return topic.partition(":")[0]


def band_reaches(held: Band, wanted: Band) -> bool:
    """Tell whether somebody of band `held` counts as at least `wanted`."""
    return _BAND_RANK[held] >= _BAND_RANK[wanted]
