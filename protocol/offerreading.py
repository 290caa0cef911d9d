"""Reads the offers of a catalog, many at once: as strictly as `open_offer`, in half the time.

Most of what it costs to read one are calls for its patterns, and a catalog repeats most of what it says. So offers are
read without patterns first, each different text is then held against the form of its field, and only after that is
there an `Offer`. When anything at all is out of rule, each body is read by itself, and the first that is refused names
field and rule. Source: docs/protocol/11-offers.md §1.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from .encoding import Wire, decode_lines
from .forms import Form
from .ids import RandomId
from .offers import MAX_OFFER_BYTES, Ext, Formats, Lengths, Offer, open_offer
from .vocabulary import Band, Kind, Language, Level, Region, Topic, TopicId

_OFFER_ID: Final = Form(RandomId)
_TOPIC: Final = Form(TopicId)
_LANGUAGE: Final = Form(Language)
_REGION: Final = Form(Region)


class ReadTopic(Wire, frozen=True, kw_only=True, gc=False):
    """A `Topic` whose id is not looked at yet."""

    id: str
    level: Level = "leaf"
    kind: Kind


class ReadOffer(Wire, frozen=True, kw_only=True, gc=False):
    """An `Offer` of which every text with a pattern, and the order of the lists, is not looked at yet."""

    offer_id: str
    topic: ReadTopic
    band: Band
    language: str
    region: str
    formats: Formats
    lengths: Lengths
    ext: Ext = msgspec.field(default_factory=dict)


def open_offers(bodies: Sequence[bytes]) -> tuple[Offer, ...]:
    """Return what `open_offer` returns for each body. Raises: MalformedError: as it, of the first that is refused."""
    try:
        return _at_once(bodies)
    except ValueError:
        return tuple(open_offer(body) for body in bodies)


def _at_once(bodies: Sequence[bytes]) -> tuple[Offer, ...]:
    """Return the offers of `bodies`; what they say alike is one object. Raises: ValueError: one is out of rule."""
    if max(map(len, bodies), default=0) > MAX_OFFER_BYTES:
        raise ValueError("an offer is too long")
    read = decode_lines(bodies, ReadOffer)
    languages = {each.language: each.language for each in read}
    regions = {each.region: each.region for each in read}
    formats = {each.formats: each.formats for each in read}
    lengths = {each.lengths: each.lengths for each in read}
    _OFFER_ID.check([each.offer_id for each in read])
    _TOPIC.check({each.topic.id for each in read})
    _LANGUAGE.check(languages)
    _REGION.check(regions)
    return tuple(
        [
            Offer(
                offer_id=each.offer_id,
                topic=Topic(id=each.topic.id, level=each.topic.level, kind=each.topic.kind),
                band=each.band,
                language=languages[each.language],
                region=regions[each.region],
                formats=formats[each.formats],
                lengths=lengths[each.lengths],
                ext=each.ext,
            )
            for each in read
        ]
    )
