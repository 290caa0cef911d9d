"""Tests of what an operator can do about members, and of what they never see."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.operations import Operations
from node.services import member_operations as module
from node.services.erasure import PersonExport
from node.services.member_csv import FIELDS
from node.services.member_operations import (
    ApplyImport,
    Erased,
    Link,
    ListMembers,
    MemberCounts,
    MemberOperations,
    MemberView,
    OneMember,
    OperatorRules,
    PlanImport,
    PlanView,
    pack,
    shown_groups,
    unpack,
)
from protocol.errors import ConflictError, LimitError, MalformedError, MissingError, RefusedError

from .world import World, people_file, row, staff

PAGE = Path(__file__).resolve().parents[4] / "docs" / "reference" / "member-csv.md"


def operations(world: World, **rules: object) -> Operations:
    made = MemberOperations(
        world.members,
        world.accounts,
        world.erasure,
        OperatorRules(**rules),  # type: ignore[arg-type]
    )
    return Operations(made.operations())


async def test_an_import_does_what_its_plan_said(world: World) -> None:
    desk = operations(world)
    packed = pack(staff(3))
    plan = await desk.call("member.plan", PlanImport(packed=packed), PlanView)
    assert plan.added == ("E0", "E1", "E2")
    assert await world.members.all() == []
    applied = await desk.call("member.import", ApplyImport(packed=packed, digest=plan.digest), PlanView)
    assert applied == plan
    assert len(await world.members.all()) == 3


async def test_an_import_whose_plan_is_stale_or_of_another_file_is_refused(world: World) -> None:
    desk = operations(world)
    plan = await desk.call("member.plan", PlanImport(packed=pack(staff(3))), PlanView)
    with pytest.raises(ConflictError):
        await desk.call("member.import", ApplyImport(packed=pack(staff(4)), digest=plan.digest), PlanView)
    await world.add(staff(1))
    with pytest.raises(ConflictError):
        await desk.call("member.import", ApplyImport(packed=pack(staff(3)), digest=plan.digest), PlanView)
    assert len(await world.members.all()) == 1


async def test_the_brake_needs_force_here_too(world: World) -> None:
    await world.add(staff(20))
    desk = operations(world)
    packed = pack(staff(10))
    plan = await desk.call("member.plan", PlanImport(packed=packed), PlanView)
    assert plan.needs_force
    with pytest.raises(RefusedError, match="--force"):
        await desk.call("member.import", ApplyImport(packed=packed, digest=plan.digest), PlanView)
    await desk.call("member.import", ApplyImport(packed=packed, digest=plan.digest, force=True), PlanView)
    assert len(await world.members.facts()) == 10


def test_a_file_that_is_not_packed_or_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unpack(pack(b"abc")) == b"abc"
    with pytest.raises(MalformedError):
        unpack(b"id,mail")
    with pytest.raises(MalformedError):
        unpack(pack(b"abc" * 1000)[:-5])
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 1000)
    assert len(unpack(pack(bytes(1000)))) == 1000
    with pytest.raises(LimitError):
        unpack(pack(bytes(1001)))


async def test_counts_hide_small_groups(world: World) -> None:
    rows = [row(f"F{number}") for number in range(9)]
    rows += [row(f"S{number}", job_family="Sales") for number in range(5)]
    rows += [row("L1", job_family="Legal"), row("I1", job_family="IT")]
    await world.add(people_file(*rows))
    counts = await operations(world).call("member.list", ListMembers(), MemberCounts)
    assert {(group.status, group.job_family, group.members) for group in counts.groups} == {
        ("active", "Finance", 9),
        ("active", "", 7),
    }
    exact = await operations(world).call("member.list", ListMembers(exact=True), MemberCounts)
    assert {group.job_family: group.members for group in exact.groups} == {
        "Finance": 9,
        "Sales": 5,
        "Legal": 1,
        "IT": 1,
    }


async def test_a_status_with_too_few_people_has_no_number_at_all(world: World) -> None:
    await world.add(staff(8))
    await world.add(people_file(*(row(f"E{number}", "active" if number else "not") for number in range(8))))
    counts = await operations(world).call("member.list", ListMembers(), MemberCounts)
    assert [(group.status, group.members) for group in counts.groups] == [("active", 7)]
    assert counts.hidden == ("not",)


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 30), max_size=8), st.integers(2, 9))
def test_no_number_shown_is_small_and_none_follows_from_the_total(counts: dict[str, int], smallest: int) -> None:
    shown = shown_groups(counts, smallest)
    assert all(count >= smallest for count in shown.values())
    hidden = sum(counts.values()) - sum(shown.values())
    # Either everybody is counted somewhere, or nothing is shown from which the hidden could be subtracted.
    assert hidden == 0 or shown == {}
    assert all(counts[family] == count for family, count in shown.items() if family)


async def test_in_works_council_mode_no_small_group_no_export_and_nothing_about_use(world: World) -> None:
    await world.add(staff(6))
    await world.mentor("E1")
    desk = operations(world, works_council=True)
    with pytest.raises(RefusedError, match="works-council"):
        await desk.call("member.list", ListMembers(exact=True), MemberCounts)
    with pytest.raises(RefusedError, match="works-council"):
        await desk.call("member.export", OneMember(id="E1"), PersonExport)
    for name, command in (("member.list", ListMembers()), ("member.show", OneMember(id="E1"))):
        text = (await desk.call_json(name, msgspec.json.encode(command))).decode()
        assert "opted" not in text
        assert "mentor" not in text


async def test_showing_somebody_repeats_the_member_file_and_no_more(world: World) -> None:
    await world.add(people_file(row("E1", languages="en;de", group="North")))
    view = await operations(world).call("member.show", OneMember(id="E1"), MemberView)
    assert set(MemberView.__struct_fields__) - {"imported_at", "left_at"} == {field.name for field in FIELDS}
    assert (view.id, view.status, view.group, view.languages) == ("E1", "active", "North", ("en", "de"))
    with pytest.raises(MissingError):
        await operations(world).call("member.show", OneMember(id="E2"), MemberView)


async def test_sign_in_links_are_printed_in_development_only(world: World) -> None:
    await world.add(staff(2))
    with pytest.raises(RefusedError, match="development"):
        await operations(world).call("member.link", OneMember(id="E1"), Link)
    made = await operations(world, development=True).call("member.link", OneMember(id="E1"), Link)
    redeemed = await world.accounts.redeem(made.link.partition("#")[2], address="192.0.2.1")
    assert redeemed.member == (await world.member("E1")).member


async def test_export_and_erase_reach_one_person(world: World) -> None:
    await world.add(staff(2))
    desk = operations(world)
    export = await desk.call("member.export", OneMember(id="E1"), PersonExport)
    assert export.sections[0].rows[0]["hris_id"] == "E1"
    erased = await desk.call("member.erase", OneMember(id="E1"), Erased)
    assert erased == Erased(erased_at=world.clock.now())
    with pytest.raises(MissingError):
        await desk.call("member.erase", OneMember(id="E1"), Erased)


async def test_a_receipt_for_the_operator_does_not_tell_how_the_person_used_the_node(world: World) -> None:
    await world.add(staff(3))
    await world.mentor("E1")
    await world.sign_in("E1")
    desk = operations(world)
    receipts = [await desk.call_json("member.erase", f'{{"id":"{name}"}}'.encode()) for name in ("E1", "E2")]
    assert receipts[0] == receipts[1]


def test_the_reference_page_lists_every_column_as_the_program_does() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for field in FIELDS:
        assert f"| `{field.name}` | {field.needed or 'no'} | {field.rule} |" in page
    header, example = (",".join(getattr(field, what) for field in FIELDS) for what in ("name", "example"))
    assert f"{header}\n{example}\n" in page
