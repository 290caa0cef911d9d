"""The words of this node: our own situations, what the operator imported, and the search over both while one types.

Nothing is fetched: third-party vocabularies are brought by the operator, and one scheme is replaced or removed whole.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from importlib.resources import files
from typing import Annotated, Final

import msgspec
import zstandard

from federation.ports import Clock, Store, where
from node.matching.linking import TextIndex, link_text
from node.matching.typeahead import MAX_TYPED, Suggestion, Typeahead
from node.operations import Command, Operation
from node.rows import ConceptPageRow, SchemeRow
from protocol.concept_lines import MAX_CONCEPTS, ParsedConcepts, parse_concepts
from protocol.concepts import Concept, Vocabulary
from protocol.errors import LimitError, MalformedError, MissingError, RefusedError
from protocol.vocabulary import Language, TopicId

_SCHEME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_PAGE: Final = 2000


class ConceptFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file to import: its name for messages, its JSON Lines, and whether it holds nothing but groups."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    text: str
    groups: bool = False


class ImportVocabulary(Command, frozen=True, kw_only=True):
    """Ask to store these files as one vocabulary, in place of what had its name."""

    scheme: str
    files: Annotated[tuple[ConceptFile, ...], msgspec.Meta(min_length=1, max_length=20)]


class ListVocabularies(Command, frozen=True, kw_only=True):
    """Ask for the vocabularies of this node."""


class RemoveVocabulary(Command, frozen=True, kw_only=True):
    """Ask to remove one imported vocabulary."""

    scheme: str


class SearchVocabulary(Command, frozen=True, kw_only=True):
    """Ask what typed words would suggest."""

    text: Annotated[str, msgspec.Meta(max_length=MAX_TYPED)]
    language: Language = "en"
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did. `repeated` lines had an id that came before; the keys were not read."""

    scheme: str
    concepts: int
    groups: int
    labels: int
    languages: tuple[str, ...]
    repeated: int
    keys_passed_over: tuple[str, ...]
    replaced: bool


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """A vocabulary is gone."""

    scheme: str
    concepts: int


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """One vocabulary of this node; `imported_at` is None for our own situations."""

    scheme: str
    source: str
    concepts: int
    imported_at: int | None = None


@cache
def situations() -> tuple[Concept, ...]:
    """Return our own mentoring situations with their groups and domains."""
    return parse_concepts(files("protocol").joinpath("situations.jsonl").read_bytes().splitlines()).concepts


class _Words:
    """Concepts with everything that is looked up in them; replaced as a whole when a vocabulary changes."""

    def __init__(self, concepts: Iterable[Concept]) -> None:
        self.vocabulary: Final = Vocabulary(concepts)

    @cached_property
    def typeahead(self) -> Typeahead:
        return Typeahead(self.vocabulary)

    @cached_property
    def text_index(self) -> TextIndex:
        return TextIndex(self.vocabulary)


class VocabularyService:
    """Imports, lists, removes and searches vocabularies; `load` reads those of the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._words = _Words(situations())
        self._sorting = asyncio.Lock()

    @property
    def vocabulary(self) -> Vocabulary:
        """All concepts of this node as of the last `load`; before it, our own situations."""
        return self._words.vocabulary

    async def load(self) -> None:
        """Read what is imported. Of two concepts with one id that of the first scheme by name counts."""
        async with self._store.read() as reader:
            pages = await reader.find(ConceptPageRow)
        self._words = await asyncio.to_thread(_unpack, pages)

    async def suggest(self, typed: str, language: str, *, limit: int = 10) -> tuple[Suggestion, ...]:
        """Return concepts to choose while somebody types; nothing typed is kept."""
        words = self._words
        async with self._sorting:  # the first time it takes a second, in a thread
            typeahead = await asyncio.to_thread(lambda: words.typeahead)
        return typeahead.suggest(typed, language, limit=limit)

    async def link_text(self, text: str, *, limit: int = 3) -> tuple[TopicId, ...]:
        """Return the concepts that free words are most likely about; nothing of the text is kept."""
        words = self._words
        async with self._sorting:
            index = await asyncio.to_thread(lambda: words.text_index)
        return link_text(text, index, limit=limit)

    async def import_scheme(self, asked: ImportVocabulary) -> ImportReport:
        """Read the files and store them as one scheme, replacing what had that name; on any error nothing has changed.

        Raises:
            MalformedError: the name, or a line: names file, line and field.
            RefusedError: a concept with an id of our own situations.
            LimitError: too many concepts.
        """
        _check_name(asked.scheme)
        parsed = await asyncio.to_thread(lambda: [_parse(source) for source in asked.files])
        concepts = _united(parsed)
        if not concepts:
            raise MalformedError("there is no concept in these files")
        if len(concepts) > MAX_CONCEPTS:
            raise LimitError(f"a vocabulary may have at most {MAX_CONCEPTS} concepts")
        source = ", ".join(source.name for source in asked.files)
        replaced = await self._replace(asked.scheme, source, concepts)
        return ImportReport(
            scheme=asked.scheme,
            concepts=len(concepts),
            groups=sum(each.group for each in concepts),
            labels=sum(len(labels) for each in concepts for labels in each.labels.values()),
            languages=tuple(sorted({language for each in concepts for language in each.labels})),
            repeated=sum(len(part.concepts) + part.repeated for part in parsed) - len(concepts),
            keys_passed_over=tuple(sorted({key for part in parsed for key in part.keys_passed_over})),
            replaced=replaced,
        )

    async def schemes(self, _: ListVocabularies) -> tuple[Scheme, ...]:
        """Return our own situations and every imported scheme by name."""
        async with self._store.read() as reader:
            rows = await reader.find(SchemeRow)
        own = Scheme(scheme="situations", source="built in", concepts=len(situations()))
        return own, *(
            Scheme(scheme=row.scheme, source=row.source, concepts=row.concepts, imported_at=row.imported_at)
            for row in rows
        )

    async def remove(self, asked: RemoveVocabulary) -> Removed:
        """Remove an imported scheme. Topics of it in profiles and offers stay, and are matched exactly.

        Raises: MissingError: there is none of this name.
        """
        async with self._store.write() as writer:
            row = await writer.get(SchemeRow, asked.scheme)
            if row is None:
                raise MissingError("no imported vocabulary has this name")
            await writer.delete(ConceptPageRow, where(scheme=asked.scheme))
            await writer.delete(SchemeRow, where(scheme=asked.scheme))
        await self.load()
        return Removed(scheme=asked.scheme, concepts=row.concepts)

    async def search(self, asked: SearchVocabulary) -> tuple[Suggestion, ...]:
        """Return what typed words would suggest."""
        return await self.suggest(asked.text, asked.language, limit=asked.limit)

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can do with vocabularies."""
        return (
            Operation(
                name="vocabulary.import",
                summary="Store a vocabulary, in place of what had its name",
                request=ImportVocabulary,
                response=ImportReport,
                run=self.import_scheme,
            ),
            Operation(
                name="vocabulary.list",
                summary="The vocabularies of this node",
                request=ListVocabularies,
                response=tuple[Scheme, ...],
                run=self.schemes,
            ),
            Operation(
                name="vocabulary.remove",
                summary="Remove an imported vocabulary",
                request=RemoveVocabulary,
                response=Removed,
                run=self.remove,
            ),
            Operation(
                name="vocabulary.search",
                summary="What typed words would suggest",
                request=SearchVocabulary,
                response=tuple[Suggestion, ...],
                run=self.search,
            ),
        )

    async def _replace(self, scheme: str, source: str, concepts: Sequence[Concept]) -> bool:
        rows = [
            ConceptPageRow(scheme=scheme, page=page, concepts=_pack(concepts[start : start + _PAGE]))
            for page, start in enumerate(range(0, len(concepts), _PAGE))
        ]
        async with self._store.write() as writer:
            replaced = await writer.delete(ConceptPageRow, where(scheme=scheme)) > 0
            await writer.put(
                SchemeRow(scheme=scheme, source=source, concepts=len(concepts), imported_at=self._clock.now()), *rows
            )
        await self.load()
        return replaced


def _check_name(scheme: str) -> None:
    if not _SCHEME.fullmatch(scheme):
        raise MalformedError("the name of a vocabulary is 1 to 40 lower-case letters, digits or hyphens")
    if scheme == "situations":
        raise RefusedError("situations is the built-in vocabulary: choose another name")


def _parse(source: ConceptFile) -> ParsedConcepts:
    """Return the concepts of one file; errors name the file."""
    try:
        parsed = parse_concepts(source.text.encode().split(b"\n"), groups=source.groups)
    except (MalformedError, LimitError) as error:
        raise type(error)(f"{source.name}: {error}") from None
    if any(concept.id.startswith("mm:") for concept in parsed.concepts):
        raise RefusedError(f"{source.name}: ids that begin with mm: are built in and cannot be imported")
    return parsed


def _united(parsed: Iterable[ParsedConcepts]) -> tuple[Concept, ...]:
    """Return the concepts of all files in order; of two with one id the first."""
    united: dict[str, Concept] = {}
    for part in parsed:
        for concept in part.concepts:
            united.setdefault(concept.id, concept)
    return tuple(united.values())


def _pack(concepts: Sequence[Concept]) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(concepts))


def _unpack(pages: Sequence[ConceptPageRow]) -> _Words:
    imported = (msgspec.msgpack.decode(zstandard.decompress(page.concepts), type=tuple[Concept, ...]) for page in pages)
    return _Words([*situations(), *(concept for page in imported for concept in page)])
