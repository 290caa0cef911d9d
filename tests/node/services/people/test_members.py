"""Tests of importing members, over both stores."""

import msgspec
import pytest

from federation.ports import Writer, where
from node.rows import MailRow, MentorRow, SignInLinkRow, SignInRow
from node.services import members as module
from node.services.members import Members
from protocol.errors import ConflictError, MalformedError, MissingError, RefusedError, UnverifiedError

from .world import TOPIC, World, people_file, row, staff


async def test_a_plan_names_who_joins_changes_comes_back_leaves_and_stays(world: World) -> None:
    await world.add(people_file(row("E1"), row("E2"), row("E3"), row("E4")))
    await world.add(people_file(row("E1"), row("E2"), row("E3"), row("E4", "not")))
    file = people_file(
        row("E1", band="lead", group="North"), row("E2"), row("E3", "not"), row("E4"), row("E5"), row("E6", "not")
    )
    plan = await world.members.plan(file)
    assert plan.added == ("E5",)
    assert [(change.id, change.fields) for change in plan.changed] == [("E1", ("band", "group"))]
    assert plan.reactivated == ("E4",)
    assert plan.leaving == ("E3",)
    assert (plan.unchanged, plan.skipped, plan.active_before) == (1, 1, 3)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"mail": "new@aurora.example"}, "mail"),
        ({"job_family": "Sales"}, "job_family"),
        ({"band": "lead"}, "band"),
        ({"country": "AT"}, "country"),
        ({"group": "North"}, "group"),
        ({"supervisor": "E9"}, "supervisor"),
        ({"languages": "en"}, "languages"),
        ({"skills": TOPIC}, "skills"),
    ],
)
async def test_every_column_that_differs_is_a_change_and_is_stored(
    world: World, changed: dict[str, str], field: str
) -> None:
    await world.add(people_file(row("E1")))
    before = await world.member("E1")
    plan = await world.members.plan(people_file(row("E1", **changed)))
    assert [change.fields for change in plan.changed] == [(field,)]
    await world.members.apply(plan)
    after = await world.member("E1")
    assert after.member == before.member
    assert next(iter(changed.values())) in msgspec.structs.astuple(after)
    assert (await world.members.plan(people_file(row("E1", **changed)))).unchanged == 1


async def test_importing_the_same_file_again_changes_nothing(world: World) -> None:
    await world.add(staff(6))
    before = await world.members.all()
    plan = await world.members.plan(staff(6))
    assert not plan.changes_anything
    await world.members.apply(plan)
    assert await world.members.all() == before


async def test_a_file_with_one_bad_row_imports_nothing(world: World) -> None:
    await world.add(people_file(row("E1")))
    plan = await world.members.plan(people_file(row("E1", band="lead"), row("E2", band="x")))
    assert [(error.line, error.field) for error in plan.refused] == [(3, "band")]
    with pytest.raises(RefusedError, match="1 row was refused"):
        await world.members.apply(plan, force=True)
    assert (await world.member("E1")).band == "senior"


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        (25, 21, False),
        (25, 20, False),
        (24, 19, True),
        (20, 15, True),
        (100, 80, False),
        (100, 79, True),
        (4, 1, False),
    ],
)
async def test_the_brake_holds_when_a_fifth_and_five_would_leave(
    world: World, before: int, after: int, held: bool
) -> None:
    await world.add(staff(before))
    plan = await world.members.plan(staff(after))
    assert plan.needs_force is held
    if held:
        with pytest.raises(RefusedError, match="would leave") as caught:
            await world.members.apply(plan)
        assert caught.value.code == "too-many-leave"
        assert (await world.members.plan(staff(before))).unchanged == before
    await world.members.apply(plan, force=held)
    assert len(await world.members.facts()) == after


async def test_a_file_without_rows_never_lets_all_leave(world: World) -> None:
    await world.add(staff(2))
    with pytest.raises(MalformedError, match="nobody would remain"):
        await world.members.plan(people_file())


async def test_who_leaves_is_signed_out_opted_out_and_told_no_more(world: World) -> None:
    await world.add(staff(2))
    left = await world.mentor("E1", listed=True)
    person = await world.sign_in("E1")
    await world.accounts.request_link("e1@aurora.example", address="192.0.2.1")
    token = (await world.accounts.issue_link(left.member)).partition("#")[2]
    seen: list[tuple[str, bool]] = []

    async def hook(writer: Writer, member: str, now: int) -> None:
        assert now == world.clock.now()
        seen.append((member, await writer.count(MentorRow, where(member=member, opted_in=True)) == 0))

    leaving = Members(world.store, world.clock, world.entropy, on_leave=[hook])
    await leaving.apply(await leaving.plan(staff(1)))
    assert seen == [(left.member, True)]
    async with world.store.read() as reader:
        for kind in (SignInRow, SignInLinkRow, MailRow):
            assert await reader.count(kind, where(member=left.member)) == 0
        mentor = await reader.get(MentorRow, left.member)
    assert mentor is not None
    assert (mentor.opted_in, mentor.listed) == (False, False)
    assert (await world.member("E1")).left_at == world.clock.now()
    with pytest.raises(UnverifiedError):
        await world.accounts.redeem(token, address="192.0.2.1")
    with pytest.raises(MissingError):
        await world.accounts.issue_link(left.member)
    assert person.member == left.member


async def test_a_hook_that_fails_undoes_the_whole_import(world: World) -> None:
    await world.add(staff(3))

    async def hook(_writer: Writer, _member: str, _now: int) -> None:
        raise RefusedError("not now")

    members = Members(world.store, world.clock, world.entropy, on_leave=[hook])
    with pytest.raises(RefusedError, match="not now"):
        await members.apply(await members.plan(people_file(row("E0", band="lead"), row("E2"), row("E7"))))
    assert (await world.members.plan(staff(3))).unchanged == 3


async def test_importing_somebody_again_undoes_leaving_but_does_not_opt_them_in(world: World) -> None:
    await world.add(staff(2))
    before = await world.mentor("E1")
    await world.add(staff(1))
    await world.add(staff(2))
    after = await world.member("E1")
    assert (after.member, after.active, after.left_at) == (before.member, True, None)
    view = await world.mentors.view(after.member)
    assert (view.opted_in, view.profile is not None) == (False, True)


async def test_an_address_can_pass_from_a_leaver_to_somebody_new_and_two_can_swap(world: World) -> None:
    await world.add(people_file(row("E1", mail="a@b.example"), row("E2", mail="c@b.example")))
    await world.add(people_file(row("E1", mail="c@b.example"), row("E2", mail="a@b.example")))
    await world.add(people_file(row("E1", "not"), row("E2", mail="a@b.example"), row("E3", mail="c@b.example")))
    await world.accounts.request_link("c@b.example", address="192.0.2.1")
    (mail,) = await world.mails()
    assert mail.member == (await world.member("E3")).member


async def test_a_plan_made_before_another_import_is_refused(world: World) -> None:
    await world.add(staff(3))
    plan = await world.members.plan(staff(4))
    await world.add(people_file(*(row(f"E{number}", band="lead") for number in range(3))))
    with pytest.raises(ConflictError, match="plan again"):
        await world.members.apply(plan)
    assert len(await world.members.facts()) == 3


async def test_progress_is_told_in_portions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PORTION", 2)
    seen: list[tuple[int, int]] = []
    plan = await world.members.plan(staff(5))
    await world.members.apply(plan, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]


async def test_facts_hold_what_k_needs_and_nothing_that_names_somebody(world: World) -> None:
    await world.add(people_file(row("E1", languages="en;de", skills=TOPIC), row("E2")))
    await world.add(people_file(row("E1", languages="en;de", skills=TOPIC), row("E2", "not")))
    (facts,) = await world.members.facts()
    assert (facts.job_family, facts.band, facts.country) == ("Finance", "senior", "DE")
    assert (facts.languages, facts.skills) == (("en", "de"), (TOPIC,))
    assert "E1" not in msgspec.json.encode(facts).decode()
    assert "@" not in msgspec.json.encode(facts).decode()


async def test_member_ids_are_random_and_asking_for_an_unknown_one_says_so(world: World) -> None:
    await world.add(staff(3))
    assert len({one.member for one in await world.members.all()}) == 3
    assert all(len(one.member) == 22 for one in await world.members.all())
    with pytest.raises(MissingError):
        await world.members.by_hris_id("E9")
    with pytest.raises(MissingError):
        await world.members.get("nobody")
