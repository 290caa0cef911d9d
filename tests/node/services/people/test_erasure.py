"""Tests of showing and erasing everything about one person."""

from pathlib import Path

import msgspec
import pytest

import federation.rows
import node.rows
from federation.ports import Row, Writer, where
from federation.rows import MailboxHeadRow, MailboxRow, PlaceRow, SlotRow
from node.rows import LabelRow, MailRow, MemberRow
from node.services.erasure import HOLDINGS, Erasure, PersonExport, render_html
from node.services.profile import ShowMore
from node.services.safe import StoreSealed
from node.store.sqlite import SqliteStore
from protocol.encoding import b64
from protocol.errors import MissingError, RefusedError
from tests.fakes.clock import SteppedClock

from .world import Gadget, World, people_file, profile, row, staff

CANARY = "canary-7f3a"
DAY = 86_400


def all_rows() -> set[type[Row]]:
    """Return every table, wherever its class stands."""
    homes = (federation.rows.__name__, node.rows.__name__)
    return {kind for kind in Row.__subclasses__() if kind.__module__.startswith(homes)}


@pytest.mark.parametrize("column", ["member", "label"])
def test_no_table_about_persons_is_forgotten(column: str) -> None:
    listed = {holding.kind for holding in HOLDINGS if holding.by == column}
    assert {kind for kind in all_rows() if column in kind.__struct_fields__} - {LabelRow} == listed - {LabelRow}
    assert LabelRow in {holding.kind for holding in HOLDINGS if holding.by == "member"}


def test_every_holding_names_columns_that_exist_and_labels_go_last() -> None:
    for holding in HOLDINGS:
        assert {holding.column, *holding.secret} <= set(holding.kind.__struct_fields__)
    assert HOLDINGS[-1].kind is LabelRow


async def person_with_everything(world: World) -> MemberRow:
    """Return a member about whom there is a row of nearly every kind, each with the canary where text fits."""
    canary_mail = f"{CANARY}@aurora.example"
    await world.add(people_file(row("E1", mail=canary_mail, group=CANARY), row("E2", supervisor="E1")))
    found = await world.mentor("E1", listed=True)
    await world.mentors.give_consent(found.member, "show-more", 1)
    await world.mentors.save(found.member, profile(show_more=ShowMore(line=CANARY)))
    person = await world.sign_in("E1")
    command = Gadget.made(1, 1).command(world.clock.now())
    await world.devices.enrol(person, msgspec.structs.replace(command, hint=CANARY))
    sealed = StoreSealed(version=0, data=b64(CANARY.encode()))
    await world.safe.put(await world.refreshed(person), "recovery", sealed)
    await world.accounts.request_link(canary_mail, address="192.0.2.1")
    label = (await world.labels(found.member))[0].label
    async with world.store.write() as writer:
        await writer.insert(
            MailboxHeadRow(label=label, cursor=1),
            MailboxRow(label=label, cursor=1, thread="t", side="provider", kind="message", data=CANARY.encode(), at=1),
            PlaceRow(thread="t", label=label, taken_at=1, free_at=2),
            SlotRow(label=label, start=1, thread="t"),
        )
    return found


async def test_an_export_has_every_row_with_its_purpose(world: World) -> None:
    found = await person_with_everything(world)
    export = await world.erasure.export(found.member)
    tables = {section.table for section in export.sections}
    assert tables == {holding.kind.table for holding in HOLDINGS if holding.kind.table in tables}
    assert tables >= {"member", "mentor", "consent", "device", "enrolment", "sign_in", "sign_in_link", "mail", "safe"}
    assert tables >= {"mailbox_label", "mailbox", "mailbox_head", "place", "slot"}
    for section in export.sections:
        assert section.rows
        for one in section.rows:
            assert set(one) == set(section.purposes)
    assert msgspec.json.decode(msgspec.json.encode(export), type=PersonExport) == export


async def test_an_operator_is_not_shown_what_stands_under_a_mailbox(world: World) -> None:
    found = await person_with_everything(world)
    export = await world.erasure.export(found.member, for_owner=False)
    tables = {section.table for section in export.sections}
    assert tables >= {"member", "mentor", "consent", "device"}
    assert "safe" not in tables
    assert not tables & {holding.kind.table for holding in HOLDINGS if holding.by == "label"}
    assert (await world.labels(found.member))[0].label not in repr(export)


async def test_an_export_holds_nothing_about_others_and_no_token(world: World) -> None:
    found = await person_with_everything(world)
    other = await world.member("E2")
    text = msgspec.json.encode(await world.erasure.export(found.member)).decode()
    assert other.member not in text
    assert other.mail not in text
    assert "sign-in#" not in text
    assert text.count("not shown") == 5  # one sign-in, one link, two mails, where recovery finds the bundle


async def test_the_readable_page_shows_values_escaped_and_runs_nothing(world: World) -> None:
    await world.add(people_file(row("E1", group="<script>alert(1)</script>")))
    page = render_html(await world.erasure.export((await world.member("E1")).member))
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "e1@aurora.example" in page
    assert "service: sign-in links and notices" in page


async def test_erasing_leaves_no_row_and_keeps_everybody_else(world: World) -> None:
    found = await person_with_everything(world)
    label = (await world.labels(found.member))[0].label
    receipt = await world.erasure.erase(found.member)
    assert receipt.erased_at == world.clock.now()
    assert receipt.rows["member"] == receipt.rows["mailbox"] == receipt.rows["place"] == 1
    async with world.store.read() as reader:
        for holding in HOLDINGS:
            key = found.member if holding.by == "member" else label
            assert await reader.count(holding.kind, where(**{holding.column: key})) == 0
        assert await reader.count(MailRow) == 0
        others = await reader.find(MemberRow)
    assert [(one.hris_id, one.supervisor) for one in others] == [("E2", "")]
    with pytest.raises(MissingError):
        await world.erasure.export(found.member)
    with pytest.raises(MissingError):
        await world.erasure.erase(found.member)


async def test_hooks_run_before_the_labels_go_and_a_failing_one_undoes_all(world: World) -> None:
    found = await person_with_everything(world)
    labels: list[int] = []

    async def hook(writer: Writer, member: str, now: int) -> None:
        assert now == world.clock.now()
        labels.append(await writer.count(LabelRow, where(member=member)))
        if len(labels) == 1:
            raise RefusedError("not now")

    erasure = Erasure(world.store, world.clock, scrub=world.scrubbed, on_leave=[hook])
    with pytest.raises(RefusedError):
        await erasure.erase(found.member)
    assert (await world.erasure.export(found.member)).sections
    await erasure.erase(found.member)
    assert labels == [2, 2]


async def test_the_same_person_imported_again_is_somebody_new(world: World) -> None:
    found = await person_with_everything(world)
    await world.erasure.erase(found.member)
    await world.add(people_file(row("E1"), row("E2")))
    again = await world.member("E1")
    assert again.member != found.member
    assert (await world.sign_in("E1")).member == again.member
    assert [section.table for section in (await world.erasure.export(again.member)).sections] == ["member", "sign_in"]


async def test_who_left_is_forgotten_after_the_days_that_the_operator_set(world: World) -> None:
    await world.add(staff(3))
    await world.add(staff(2))
    world.clock.advance(30 * DAY - 1)
    assert await world.erasure.forget_leavers(days=30) == 0
    world.clock.advance(1)
    assert await world.erasure.forget_leavers(days=30) == 1
    assert {one.hris_id for one in await world.members.all()} == {"E0", "E1"}


async def test_the_store_is_scrubbed_after_every_erasure_and_again_when_a_reader_was_in_the_way(world: World) -> None:
    await world.add(staff(3))
    await world.erasure.erase((await world.member("E0")).member)
    assert world.scrubbed.times == 1
    world.scrubbed.busy = True
    await world.erasure.erase((await world.member("E1")).member)
    await world.erasure.forget_leavers(days=30)
    world.scrubbed.busy = False
    await world.erasure.forget_leavers(days=30)
    assert world.scrubbed.times == 2
    await world.erasure.forget_leavers(days=30)
    assert world.scrubbed.times == 2


@pytest.mark.slow
async def test_nothing_of_an_erased_person_is_left_in_the_files_of_the_database(tmp_path: Path) -> None:
    async with SqliteStore.open(tmp_path / "node.db", clock=SteppedClock(), window_s=0) as store:
        world = World(store)
        world.erasure = Erasure(store, world.clock, scrub=store.scrub)
        found = await person_with_everything(world)
        needles = [
            CANARY.encode(),
            found.member.encode(),
            *(one.label.encode() for one in await world.labels(found.member)),
        ]
        assert all(_occurs(tmp_path, needle) for needle in needles)
        await world.erasure.erase(found.member)
        assert [needle for needle in needles if _occurs(tmp_path, needle)] == []


def _occurs(folder: Path, needle: bytes) -> bool:
    return any(needle in file.read_bytes() for file in folder.iterdir() if file.is_file())
