"""A small vocabulary, and short ways to write needs, offers and mentors."""

# ruff: noqa: ANN401 -- the types of the fields are checked where the Structs are built

import hashlib
from typing import Any, Final

from node.matching.facts import HeldTopic, MentorFacts, MirroredOffer
from protocol.concepts import Concept, Vocabulary
from protocol.encoding import b64
from protocol.needs import Need, Window
from protocol.offers import Offer
from protocol.vocabulary import Topic

HOUR: Final = 3600
#: A Monday at 09:00 UTC.
NINE: Final = 1_800_003_600 - 1_800_003_600 % HOUR
THREAD: Final = b64(bytes(16))


def _concept(name: str, *broader: str, group: bool = False) -> Concept:
    return Concept(
        id=f"mm:{name}", labels={"en": (name,)}, broader=tuple(f"mm:{each}" for each in broader), group=group
    )


VOCABULARY: Final = Vocabulary(
    [
        _concept("leadership", group=True),
        _concept("team", "leadership", group=True),
        _concept("hiring", "team"),
        _concept("feedback", "team"),
        _concept("delegating", "team"),
        _concept("business", group=True),
        _concept("money", "business", group=True),
        _concept("budget", "money"),
    ]
)


def ref(name: str) -> str:
    """Return a 16-byte id that depends on `name` alone."""
    return b64(hashlib.sha256(name.encode()).digest()[:16])


def need(**changes: Any) -> Need:
    """Return a need for half an hour about hiring, lived through, by call, in English."""
    plain: dict[str, Any] = {
        "topics": ("mm:hiring",),
        "kind": "been-through",
        "languages": ("en",),
        "format": "call",
        "length": 30,
        "windows": (Window(start=NINE, end=NINE + 3 * HOUR),),
    }
    return Need(**{**plain, **changes})


def held(name: str, kind: Any = "been-through", **more: Any) -> HeldTopic:
    """Return a held topic."""
    return HeldTopic(id=f"mm:{name}", kind=kind, **more)


def mentor(name: str = "ben", **changes: Any) -> MentorFacts:
    """Return a mentor whom `need()` fits in everything."""
    plain: dict[str, Any] = {
        "ref": ref(name),
        "topics": (held("hiring"),),
        "band": "senior",
        "languages": ("en",),
        "formats": ("call", "text"),
        "lengths": (30, 60),
        "slots": (NINE, NINE + HOUR, NINE + 2 * HOUR),
        "responsiveness": "hours",
    }
    return MentorFacts(**{**plain, **changes})


def offer(name: str = "one", origin: str = "birch", sector: str = "", **changes: Any) -> MirroredOffer:
    """Return an offer that fits `need()` in everything."""
    plain: dict[str, Any] = {
        "offer_id": ref(name),
        "topic": Topic(id="mm:hiring", kind="been-through"),
        "band": "senior",
        "language": "en",
        "region": "DE",
        "formats": ("call", "text"),
        "lengths": (30, 60),
    }
    return MirroredOffer(origin=f"https://{origin}.example", offer=Offer(**{**plain, **changes}), sector=sector)
