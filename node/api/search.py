"""What a person's device asks before it asks anybody else: topics for words, who lists them, what would be shown.

Words and needs travel in bodies, never in addresses: those end in the logs of proxies.
"""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from node.matching.typeahead import MAX_TYPED, Suggestion
from node.services.offer_words import TopicPreview, label_of
from node.services.offers import Offers
from node.services.search import Found, Search
from node.services.vocabulary import VocabularyService
from protocol.ids import Entity
from protocol.needs import Need
from protocol.vocabulary import Language, TopicId

from .accounts import signed_in
from .bodies import read_body, read_query, reply
from .routes import Route

MAX_EXCLUDED: Final = 256
MAX_LABELS: Final = 100


class SearchServices(msgspec.Struct, frozen=True, kw_only=True):
    """The services behind these routes."""

    search: Search
    vocabulary: VocabularyService
    offers: Offers


SEARCH: Final = web.AppKey("mentormesh.search", SearchServices)


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies."""


class SearchNeed(Body, frozen=True, kw_only=True):
    """A need, and organizations that must not be asked."""

    need: Need
    exclude: Annotated[tuple[Entity, ...], msgspec.Meta(max_length=MAX_EXCLUDED)] = ()


class SuggestTopics(Body, frozen=True, kw_only=True):
    """Words as somebody types them: `{"language":"de","text":"vorstand"}`."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TYPED)]
    language: Language = "en"
    limit: Annotated[int, msgspec.Meta(ge=1, le=20)] = 8


class Suggestions(msgspec.Struct, frozen=True, kw_only=True):
    """Topics to choose from, best first."""

    topics: tuple[Suggestion, ...]


class WantLabels(Body, frozen=True, kw_only=True):
    """Topics whose names are wanted in one language."""

    topics: Annotated[tuple[TopicId, ...], msgspec.Meta(min_length=1, max_length=MAX_LABELS)]
    language: Language = "en"


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """Names by topic id; a topic that this node does not know is its own name."""

    labels: dict[str, str]


class ReaderQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In which language labels are wanted."""

    language: Language = "en"


class OfferPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What others would see of each topic of one's own profile."""

    topics: tuple[TopicPreview, ...]


async def search(request: web.Request) -> web.Response:
    """Find out which organizations list help with a need."""
    command = await read_body(request, SearchNeed)
    services, person = request.app[SEARCH], signed_in(request)
    return reply(await services.search.find(person.member, command.need, exclude=command.exclude))


async def suggest(request: web.Request) -> web.Response:
    """Suggest topics for typed words; words that begin no label are taken as free text."""
    command = await read_body(request, SuggestTopics)
    vocabulary = request.app[SEARCH].vocabulary
    found = await vocabulary.suggest(command.text, command.language, limit=command.limit)
    if not found:
        linked = await vocabulary.link_text(command.text, limit=command.limit)
        found = tuple(_suggestion(vocabulary, topic, command.language) for topic in linked)
    return reply(Suggestions(topics=found))


def _suggestion(vocabulary: VocabularyService, topic: str, language: Language) -> Suggestion:
    concept = vocabulary.vocabulary.get(topic)
    assert concept is not None  # it was found in this vocabulary
    label = concept.label(language)
    return Suggestion(id=topic, label=label, matched=label, language=language, kinds=concept.kinds, group=concept.group)


async def labels(request: web.Request) -> web.Response:
    """Name topics in a language."""
    command = await read_body(request, WantLabels)
    words = request.app[SEARCH].vocabulary.vocabulary
    return reply(Labels(labels={topic: label_of(words, topic, command.language) for topic in command.topics}))


async def preview(request: web.Request) -> web.Response:
    """Show what becomes visible outside of each topic of one's own profile."""
    query = read_query(request, ReaderQuery)
    shown = await request.app[SEARCH].offers.preview(signed_in(request).member, reader=query.language)
    return reply(OfferPreview(topics=shown))


SEARCH_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/search",
        handler=search,
        auth="device",
        summary="Which organizations list help with a need; leaves no trace",
        request=SearchNeed,
        response=Found,
    ),
    Route(
        method="POST",
        path="/api/v1/vocabulary/suggest",
        handler=suggest,
        auth="device",
        summary="Topics for typed words; leaves no trace",
        request=SuggestTopics,
        response=Suggestions,
    ),
    Route(
        method="POST",
        path="/api/v1/vocabulary/labels",
        handler=labels,
        auth="device",
        summary="Names of topics",
        request=WantLabels,
        response=Labels,
    ),
    Route(
        method="GET",
        path="/api/v1/offers/preview",
        handler=preview,
        auth="device",
        summary="What others would see of my topics",
        query=ReaderQuery,
        response=OfferPreview,
    ),
)
