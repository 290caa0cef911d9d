"""Vocabularies are imported whole or not at all, found while one types, replaced and removed."""

from pathlib import Path

import pytest

from node.operations import Operations
from node.rows import ConceptPageRow, SchemeRow
from node.services import vocabulary as module
from node.services.vocabulary import (
    ConceptFile,
    ImportReport,
    ImportVocabulary,
    ListVocabularies,
    Removed,
    RemoveVocabulary,
    Scheme,
    SearchVocabulary,
    VocabularyService,
    situations,
)
from node.store.sqlite import SqliteStore
from protocol.errors import LimitError, MalformedError, MeshError, MissingError, RefusedError
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore
from tests.third_party import published

NOW = 1_800_000_000
GROUPS = '{"id":"ext:harbour:cranes","en":"Cranes"}\n'
LEAVES = """\
{"id":"ext:harbour:crane-safety","en":"Crane safety","alt":["Safe lifting"],"de":"Kransicherheit",\
"broader":["ext:harbour:cranes"],"code":"7"}
{"id":"ext:harbour:mooring","en":"Mooring ships"}
{"id":"ext:harbour:mooring","en":"Mooring again"}
"""


@pytest.fixture
def service() -> VocabularyService:
    return VocabularyService(MemoryStore(), SteppedClock(NOW))


def harbour(*files: ConceptFile) -> ImportVocabulary:
    plain = (ConceptFile(name="groups.jsonl", text=GROUPS, groups=True), ConceptFile(name="leaves.jsonl", text=LEAVES))
    return ImportVocabulary(scheme="harbour", files=files or plain)


async def found(service: VocabularyService, typed: str, language: str = "en") -> list[str]:
    return [each.id for each in await service.search(SearchVocabulary(text=typed, language=language))]


async def test_a_new_node_knows_our_situations_and_nothing_else(service: VocabularyService) -> None:
    assert await service.schemes(ListVocabularies()) == (Scheme(scheme="situations", source="built in", concepts=52),)
    assert len(service.vocabulary) == len(situations()) == 52
    assert await service.link_text("Elternzeit") == ("mm:return-from-parental-leave",)
    assert await found(service, "elternzeit", "de") == ["mm:return-from-parental-leave"]


async def test_an_import_tells_what_it_did_and_is_found_at_once(service: VocabularyService) -> None:
    assert await found(service, "crane") == []
    report = await service.import_scheme(harbour())
    assert report == ImportReport(
        scheme="harbour",
        concepts=3,
        groups=1,
        labels=5,
        languages=("de", "en"),
        repeated=1,
        keys_passed_over=("code",),
        replaced=False,
    )
    assert await found(service, "kransich", "de") == ["ext:harbour:crane-safety"]
    assert service.vocabulary.generalize("ext:harbour:crane-safety", "group") == ("ext:harbour:cranes",)
    assert (await service.link_text("crane safety"))[0] == "ext:harbour:crane-safety"


async def test_the_list_names_source_size_and_time(service: VocabularyService) -> None:
    await service.import_scheme(harbour())
    _, imported = await service.schemes(ListVocabularies())
    assert imported == Scheme(scheme="harbour", source="groups.jsonl, leaves.jsonl", concepts=3, imported_at=NOW)


async def test_a_second_import_replaces_the_first_whole(
    service: VocabularyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAGE", 1)
    await service.import_scheme(harbour())
    smaller = harbour(ConceptFile(name="new.jsonl", text='{"id":"ext:harbour:tugs","en":"Tugs"}'))
    assert (await service.import_scheme(smaller)).replaced
    assert await found(service, "crane") == []
    assert await found(service, "tugs") == ["ext:harbour:tugs"]
    assert [each.concepts for each in await service.schemes(ListVocabularies())] == [52, 1]


async def test_removing_undoes_an_import(service: VocabularyService) -> None:
    await service.import_scheme(harbour())
    assert await service.remove(RemoveVocabulary(scheme="harbour")) == Removed(scheme="harbour", concepts=3)
    assert await found(service, "crane") == []
    assert len(await service.schemes(ListVocabularies())) == 1
    with pytest.raises(MissingError):
        await service.remove(RemoveVocabulary(scheme="harbour"))


@pytest.mark.parametrize(
    ("why", "scheme", "text", "error", "sentence"),
    [
        ("a bad line", "harbour", LEAVES + '{"id":"ext:x"}', MalformedError, r"^bad\.jsonl: line 4: en: "),
        ("an empty file", "harbour", "\n\n", MalformedError, "no concept"),
        ("a situation of our own", "harbour", '{"id":"mm:x","en":"X"}', RefusedError, r"^bad\.jsonl: ids that begin"),
        ("a name in capitals", "Harbour", LEAVES, MalformedError, "lower-case"),
        ("a name too long", "h" * 41, LEAVES, MalformedError, "1 to 40"),
        ("the built-in name", "situations", LEAVES, RefusedError, "built-in"),
        ("too many concepts", "harbour", LEAVES, LimitError, "at most 3"),
    ],
)
async def test_a_refused_import_changes_nothing(
    service: VocabularyService,
    monkeypatch: pytest.MonkeyPatch,
    why: str,
    scheme: str,
    text: str,
    error: type[MeshError],
    sentence: str,
) -> None:
    await service.import_scheme(harbour())
    before = await service.schemes(ListVocabularies())
    good = '{"id":"ext:harbour:tugs","en":"Tugs"}\n{"id":"ext:harbour:locks","en":"Locks"}'
    monkeypatch.setattr(module, "MAX_CONCEPTS", 3)
    files = (
        ConceptFile(name="bad.jsonl", text=text),
        *([ConceptFile(name="good.jsonl", text=good)] if text.strip() else []),
    )
    with pytest.raises(error, match=sentence):
        await service.import_scheme(ImportVocabulary(scheme=scheme, files=files))
    assert await service.schemes(ListVocabularies()) == before, why
    assert await found(service, "crane") == ["ext:harbour:cranes", "ext:harbour:crane-safety"]


async def test_of_two_schemes_with_one_id_the_first_by_name_counts(service: VocabularyService) -> None:
    for scheme, label in (("b", "Second"), ("a", "First")):
        file = ConceptFile(name="one.jsonl", text=f'{{"id":"ext:x","en":"{label}"}}')
        await service.import_scheme(ImportVocabulary(scheme=scheme, files=(file,)))
    concept = service.vocabulary.get("ext:x")
    assert concept is not None
    assert concept.label("en") == "First"


async def test_an_import_survives_a_restart_on_the_disk(tmp_path: Path) -> None:
    clock = SteppedClock(NOW)
    async with SqliteStore.open(tmp_path / "node.db", clock=clock) as store:
        await VocabularyService(store, clock).import_scheme(harbour())
    async with SqliteStore.open(tmp_path / "node.db", clock=clock) as store:
        service = VocabularyService(store, clock)
        await service.load()
        assert await found(service, "crane saf") == ["ext:harbour:crane-safety"]
        async with store.read() as reader:
            assert await reader.count(SchemeRow) == await reader.count(ConceptPageRow) == 1


async def test_operators_reach_everything_by_name(service: VocabularyService) -> None:
    operations = Operations(service.operations())
    assert (await operations.call("vocabulary.import", harbour(), ImportReport)).concepts == 3
    assert len(await operations.call("vocabulary.list", ListVocabularies(), tuple[Scheme, ...])) == 2
    asked = await operations.call_json("vocabulary.search", b'{"text":"mooring"}')
    assert b"ext:harbour:mooring" in asked
    await operations.call("vocabulary.remove", RemoveVocabulary(scheme="harbour"), Removed)
    with pytest.raises(MalformedError):
        await operations.call_json("vocabulary.search", b'{"text":"mooring","language":"English"}')


@pytest.mark.slow
async def test_published_vocabularies_import_and_generalize(service: VocabularyService) -> None:
    files = tuple(
        ConceptFile(name=name, text=published(name).read_text(encoding="utf-8"), groups=name == "esco-groups.jsonl")
        for name in ("esco-groups.jsonl", "esco-skills.jsonl")
    )
    report = await service.import_scheme(ImportVocabulary(scheme="esco", files=files))
    assert (report.concepts, report.groups, report.repeated) == (14536, 640, 0)
    assert report.keys_passed_over == ("code", "in", "reuse", "t")
    technologies = ConceptFile(name="onet.jsonl", text=published("onet-technologies.jsonl").read_text(encoding="utf-8"))
    assert (await service.import_scheme(ImportVocabulary(scheme="onet", files=(technologies,)))).concepts == 8775
    vocabulary = service.vocabulary
    leaves = [concept.id for concept in vocabulary if concept.id.startswith("esco:") and not concept.group]
    assert all(vocabulary.generalize(leaf, "group") for leaf in leaves)
    assert all(vocabulary.generalize(leaf, "domain") for leaf in leaves)
    assert (await service.suggest("negociar pr", "es"))[0].label == "negociar precios"
