"""Nobody is listed below k, and every step away from the exact topic has its reason."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.concepts import Concept, Vocabulary
from protocol.crowd import Cell, Crowd, FamilyMap, Member, Mentor, parse_family_map
from protocol.errors import LimitError, MalformedError
from protocol.minimize import Explanation, Rules, explain, minimize
from protocol.vocabulary import Band, Topic, band_reaches

COUNTRIES = ("DE", "AT")


def concept(name: str, *broader: str, group: bool = False, **more: object) -> Concept:
    return Concept(
        id=f"ext:t:{name}",
        labels={"en": (name,)},
        broader=tuple(f"ext:t:{each}" for each in broader),
        group=group,
        **more,  # type: ignore[arg-type]
    )


VOCABULARY = Vocabulary(
    [
        concept("business", group=True),
        concept("finance", "business", group=True),
        concept("sales", "business", group=True),
        concept("sox", "finance"),
        concept("budget", "finance"),
        concept("pitch", "sales"),
        concept("both", "finance", "sales"),
        concept("life", group=True),
        concept("work", "life", group=True),
        concept("return", "work", kinds=("been-through",), sensitive=True),
        concept("first-lead", "work", kinds=("been-through", "know"), holder="lead"),
        concept("moving", "work", kinds=("been-through", "know")),
        concept("private", group=True, sensitive=True),
        concept("faith", "private", group=True),
        concept("belief", "faith", kinds=("been-through",)),
        concept("orphan"),
    ]
)


def member(number: int, **facts: object) -> Member:
    return Member(**{"member": f"m{number:03d}", "job_family": "Finance", "band": "any", "country": "DE", **facts})  # type: ignore[arg-type]


def mentor(number: int, *topics: str, kind: str = "do", **facts: object) -> Mentor:
    given = tuple(Topic(id=f"ext:t:{each}", kind=kind) for each in topics)  # type: ignore[arg-type]
    return Mentor(**{"member": f"m{number:03d}", "topics": given, "formats": ("call",), "lengths": (30,), **facts})  # type: ignore[arg-type]


def crowd(members: Sequence[Member], *mentors: Mentor, families: Mapping[str, tuple[str, ...]] | None = None) -> Crowd:
    topics = {name: tuple(f"ext:t:{each}" for each in each_of) for name, each_of in (families or {}).items()}
    return Crowd(members, mentors, families=FamilyMap(families=topics), vocabulary=VOCABULARY, site_languages=("en",))


def only(found: tuple[Explanation, ...]) -> Explanation:
    assert len(found) == 1
    return found[0]


def staff(count: int, **facts: object) -> list[Member]:
    return [member(number, **facts) for number in range(count)]


def carrying(count: int, of: int, topic: str = "sox") -> list[Member]:
    return [member(number, skills=(f"ext:t:{topic}",) if number < count else ()) for number in range(of)]


def test_a_topic_that_eight_carry_is_listed_as_it_is() -> None:
    one = only(explain(crowd(carrying(8, 30), mentor(0, "sox")), Rules(), "m000"))
    assert one.outcome == "leaf"
    assert [step.why for step in one.steps] == [""]
    assert one.missing == 0


def test_seven_are_too_few_for_a_leaf_and_the_group_is_shown_where_the_map_gives_it() -> None:
    people = crowd(carrying(7, 30), mentor(0, "sox"), families={"Finance": ("finance",)})
    one = only(explain(people, Rules(), "m000"))
    assert one.outcome == "group"
    assert one.cell
    assert one.cell.topic.id == "ext:t:finance"
    assert (one.steps[0].why, one.steps[0].count, one.steps[0].needed) == ("too-few-people", 7, 8)


def test_a_leaf_needs_five_carriers_even_where_the_map_names_it_for_everybody() -> None:
    families = {"Finance": ("sox",)}
    assert explain(crowd(carrying(4, 30), mentor(0, "sox"), families=families), Rules(), "m000")[0].outcome == "group"
    assert explain(crowd(carrying(5, 30), mentor(0, "sox"), families=families), Rules(), "m000")[0].outcome == "leaf"


def test_a_mentors_own_word_counts_as_a_skill_source() -> None:
    assert only(explain(crowd(carrying(7, 30), mentor(20, "sox")), Rules(), "m020")).outcome == "leaf"


def test_who_has_no_mapped_family_counts_at_domain_level_only() -> None:
    one = only(explain(crowd(staff(30), mentor(0, "sox")), Rules(), "m000"))
    assert one.outcome == "domain"
    assert [step.why for step in one.steps] == ["too-few-carriers", "too-few-people", ""]


def test_a_withheld_topic_says_how_many_people_are_missing() -> None:
    people = [member(0, job_family="Finance"), *(member(number, job_family="Sales") for number in range(1, 30))]
    families = {"Finance": ("finance",), "Sales": ("private",)}
    one = only(explain(crowd(people, mentor(0, "sox"), families=families), Rules(), "m000"))
    assert one.outcome == "withheld"
    assert (one.steps[-1].why, one.missing) == ("too-few-people", 7)


def test_what_nobody_carries_and_no_map_names_nobody_could_hold() -> None:
    cell = Cell(topic=Topic(id="ext:t:sox", kind="do"), band="any", language="en", region="DE")
    assert crowd(staff(5)).holder_count(cell) == 0
    assert crowd(staff(5)).mentor_count(cell) == 0
    assert crowd(carrying(2, 5)).holders(cell) == {"m000", "m001"}


def test_a_topic_without_anything_above_it_is_withheld() -> None:
    one = only(explain(crowd(staff(30), mentor(0, "orphan")), Rules(), "m000"))
    assert one.outcome == "withheld"
    assert one.steps[-1].why == "nothing-broader"
    assert one.missing == 0


def test_a_topic_that_no_vocabulary_knows_is_listed_when_enough_carry_it() -> None:
    assert only(explain(crowd(carrying(8, 30, "unknown"), mentor(0, "unknown")), Rules(), "m000")).outcome == "leaf"


@pytest.mark.parametrize(("lead", "outcome"), [(8, "leaf"), (7, "group")])
def test_a_situation_is_held_by_everybody_its_rule_allows(lead: int, outcome: str) -> None:
    people = [member(number, band="lead" if number < lead else "any") for number in range(30)]
    asked = mentor(0, "first-lead", kind="been-through")
    assert only(explain(crowd(people, asked), Rules(), "m000")).outcome == outcome


def test_a_situation_without_a_rule_is_held_by_everybody() -> None:
    asked = mentor(0, "moving", kind="been-through")
    one = only(explain(crowd(staff(8), asked), Rules(smallest_members=0), "m000"))
    assert one.outcome == "leaf"


def test_knowing_about_a_situation_is_a_skill_and_needs_a_source() -> None:
    one = explain(crowd(staff(30), mentor(0, "moving", kind="know")), Rules(), "m000")[0]
    assert one.steps[0].why == "too-few-carriers"


def test_a_sensitive_topic_is_at_most_shown_as_its_domain() -> None:
    one = only(explain(crowd(staff(30), mentor(0, "return", kind="been-through")), Rules(), "m000"))
    assert one.outcome == "domain"
    assert [step.why for step in one.steps] == ["sensitive", "sensitive", ""]


def test_a_topic_in_a_sensitive_domain_is_withheld() -> None:
    one = only(explain(crowd(staff(30), mentor(0, "belief", kind="been-through")), Rules(), "m000"))
    assert (one.outcome, one.steps[-1].why) == ("withheld", "sensitive")


@pytest.mark.parametrize(("size", "outcome"), [(24, "domain"), (25, "leaf")])
def test_an_organization_under_25_members_shows_domains_only(size: int, outcome: str) -> None:
    assert only(explain(crowd(carrying(8, size), mentor(0, "sox")), Rules(), "m000")).outcome == outcome


@pytest.mark.parametrize(("mentors", "outcome"), [(4, "leaf"), (5, "domain")])
def test_mentors_are_at_most_half_of_those_who_could_be_meant(mentors: int, outcome: str) -> None:
    people = carrying(8, 30)
    asked = [mentor(number, "sox") for number in range(mentors)]
    found = explain(crowd(people, *asked), Rules(), "m000")
    assert only(found).outcome == outcome


def test_the_band_is_kept_where_enough_seniors_could_be_meant_and_widened_where_not() -> None:
    seniors = [member(number, band="senior", skills=("ext:t:sox",)) for number in range(8)]
    others = [member(number) for number in range(8, 30)]
    one = only(explain(crowd([*seniors, *others], mentor(0, "sox")), Rules(), "m000"))
    assert one.cell
    assert one.cell.band == "senior"
    fewer = [*seniors[:7], *(member(number, skills=("ext:t:sox",)) for number in range(7, 30))]
    two = only(explain(crowd(fewer, mentor(0, "sox")), Rules(), "m000"))
    assert two.cell
    assert (two.cell.band, two.outcome) == ("any", "leaf")


def test_languages_that_nobody_states_are_those_of_the_site_and_regions_of_a_language_do_not_count() -> None:
    people = [member(number, skills=("ext:t:sox",), languages=("de-AT",) if number < 8 else ()) for number in range(30)]
    found = explain(crowd(people, mentor(0, "sox", languages=("de-CH", "en"))), Rules(), "m000")
    assert [(one.language, one.outcome) for one in found] == [("de", "leaf"), ("en", "leaf")]


def test_other_countries_do_not_count() -> None:
    people = [member(number, skills=("ext:t:sox",), country="DE" if number < 7 else "AT") for number in range(30)]
    assert only(explain(crowd(people, mentor(0, "sox")), Rules(), "m000")).outcome == "withheld"


def test_of_two_parents_the_one_with_fewer_people_is_shown() -> None:
    families = {"Finance": ("finance",), "Sales": ("sales",)}
    people = [member(number, job_family="Finance" if number < 20 else "Sales") for number in range(30)]
    one = only(explain(crowd(people, mentor(25, "both"), families=families), Rules(), "m025"))
    assert one.cell
    assert one.cell.topic.id == "ext:t:sales"


def test_formats_and_lengths_are_those_of_the_whole_country_so_that_they_tie_nothing_together() -> None:
    people = carrying(12, 30)
    asked = [
        mentor(0, "sox", formats=("in-person",), lengths=(20,)),
        mentor(1, "budget", formats=("call",), lengths=(30,)),
        mentor(2, "pitch", formats=("text",), lengths=(60,)),
    ]
    families = {"Finance": ("finance", "sales")}
    cells = minimize(crowd(people, *asked, families=families), Rules()).cells
    assert len(cells) == 3
    assert {one.formats for one in cells} == {("call", "in-person", "text")}
    assert {one.lengths for one in cells} == {(20, 30, 60)}


def test_where_fewer_than_three_mentors_work_the_mix_is_that_of_the_organization() -> None:
    people = [member(number, country="DE" if number < 20 else "AT", skills=("ext:t:sox",)) for number in range(40)]
    asked = [mentor(number, "sox", formats=(each,)) for number, each in enumerate(["call", "text", "link"])]
    cells = minimize(crowd(people, *asked, mentor(30, "sox", formats=("in-person",))), Rules()).cells
    assert {one.cell.region: one.formats for one in cells} == {
        "AT": ("call", "in-person", "link", "text"),
        "DE": ("call", "link", "text"),
    }


def test_a_mentor_who_is_no_active_member_is_not_there() -> None:
    found = minimize(crowd(carrying(8, 30), mentor(99, "sox")), Rules())
    assert not found.cells
    assert not found.why


def test_two_mentors_of_one_cell_make_one_offer() -> None:
    found = minimize(crowd(carrying(8, 30), mentor(0, "sox"), mentor(1, "sox")), Rules())
    assert len(found.cells) == 1
    assert found.cells[0].mentors == {"m000", "m001"}
    assert found.cells[0].behind == 2


people = st.lists(
    st.tuples(
        st.sampled_from(["Finance", "Sales", "Other"]),
        st.sampled_from(["any", "senior", "lead"]),
        st.sampled_from(COUNTRIES),
        st.sets(st.sampled_from(["en", "de", "fr"]), max_size=2),
        st.sets(st.sampled_from(["sox", "budget", "pitch", "both"]), max_size=3),
        st.lists(st.sampled_from(["sox", "pitch", "both", "return", "first-lead", "belief"]), max_size=2, unique=True),
    ),
    min_size=8,
    max_size=60,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(people, st.integers(2, 10), st.sampled_from(["do", "been-through"]))
def test_no_cell_is_ever_desired_below_k_or_with_too_many_mentors(
    drawn: list[tuple[str, Band, str, set[str], set[str], list[str]]], k: int, kind: str
) -> None:
    members = [
        member(
            number,
            job_family=family,
            band=band,
            country=country,
            languages=tuple(sorted(languages)),
            skills=tuple(f"ext:t:{each}" for each in sorted(skills)),
        )
        for number, (family, band, country, languages, skills, _) in enumerate(drawn)
    ]
    mentors = [mentor(number, *topics, kind=kind) for number, (*_, topics) in enumerate(drawn) if topics]
    rules = Rules(k=k, carriers=min(k, 5))
    families = {"Finance": ("finance",), "Sales": ("sales", "work")}
    whole = crowd(members, *mentors, families=families)
    found = minimize(whole, rules)
    for one in found.cells:
        assert len(one.holders) >= k
        assert one.mentors <= one.holders
        assert 2 * one.behind <= len(one.holders)
        assert all(_could(whole.members[each], one.cell) for each in one.holders)
        assert len(members) >= rules.smallest_members or one.cell.topic.level == "domain"
        assert not VOCABULARY.is_sensitive(one.cell.topic.id)
    again = crowd(members[::-1], *mentors[::-1], families=families)
    assert minimize(again, rules).cells == found.cells


def _could(one: Member, cell: Cell) -> bool:
    return (
        band_reaches(one.band, cell.band) and one.country == cell.region and cell.language in (one.languages or ("en",))
    )


def test_a_family_map_is_read_and_names_are_compared_without_case() -> None:
    families = parse_family_map(b'{"version": 3, "families": {"Finance  & Control": ["ext:t:finance"]}}')
    assert families.version == 3
    people = [member(number, job_family="finance & CONTROL") for number in range(30)]
    whole = Crowd(people, [mentor(0, "sox")], families=families, vocabulary=VOCABULARY, site_languages=("en",))
    assert only(explain(whole, Rules(), "m000")).outcome == "group"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"families":{"":["ext:t:finance"]}}',
        b'{"families":{"Finance":["finance"]}}',
        b'{"families":{"Finance":"ext:t:finance"}}',
        b'{"families":{"Finance":[],"FINANCE ":[]}}',
        b'{"families":{},"version":0}',
        b'{"families":{},"people":[]}',
    ],
)
def test_a_family_map_with_a_mistake_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError, match="job family map"):
        parse_family_map(data)


def test_the_example_of_the_reference_page_is_a_family_map() -> None:
    page = Path(__file__).parents[2].joinpath("docs/reference/job-family-map.md").read_text()
    families = parse_family_map(page.split("```json\n")[1].split("```")[0].encode())
    assert families.version == 3
    assert len(families.families) == 3


def test_a_family_map_over_its_limit_is_refused() -> None:
    with pytest.raises(LimitError):
        parse_family_map(b" " * (1024 * 1024 + 1))
