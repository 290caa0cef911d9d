"""From members and mentors to offers that peers see, and back to a proof in a file."""

import asyncio

import msgspec
import pytest

from federation.rows import CatalogRow, SetHeadRow
from node.services.catalogs import dump_catalog, load_catalog
from node.services.offers import MirroredOffers
from protocol.addresses import audience_id
from protocol.editions import Catalog, Policy
from protocol.encoding import encode
from protocol.errors import MalformedError, MissingError, RefusedError, UnverifiedError
from protocol.minimize import Rules
from protocol.offerproof import parse_proof, verify_proof
from tests.fakes.clock import SteppedClock

from .world import AURORA, BIRCH, COBALT, START, Wire, World, name

GROUP_LINE = "Finance · do · any · en · DE"
LEAF_LINE = "SOX carve-out · do · any · en · DE"


@pytest.fixture
async def world() -> World:
    made = World(Wire())
    await made.staff(20)
    return made


async def test_a_mentors_topic_becomes_an_offer_of_the_organization(world: World) -> None:
    await world.mentor(0, "sox")
    await world.catalogs.tick()
    assert await world.listed() == [GROUP_LINE]


async def test_nobody_is_listed_who_did_not_agree_to_be(world: World) -> None:
    await world.mentor(0, "sox", listed=False)
    await world.mentor(1, "sox", opted_in=False)
    await world.catalogs.tick()
    assert await world.listed() == []
    assert (await world.offers.preview_all()).cells == ()


async def test_skills_in_the_member_file_make_a_topic_precise(world: World) -> None:
    await world.staff(10, first=20, skills="ext:t:sox;ext:t:budget", languages="en;de")
    await world.mentor(0, "sox")
    await world.catalogs.tick()
    assert await world.listed() == [LEAF_LINE]


async def test_an_unchanged_edition_keeps_the_offer_and_its_head(world: World) -> None:
    await world.mentor(0, "sox")
    await world.catalogs.tick()
    before = (await world.offers.lists()).own
    assert await world.catalogs.tick() == ()
    await world.days(1)
    assert (await world.offers.lists()).own == before
    async with world.store.read() as rows:
        (catalog,) = await rows.find(CatalogRow)
        assert catalog.edition == START // 86_400 + 1
        assert [row.seq for row in await rows.find(SetHeadRow)] == [2]


async def test_every_audience_has_ids_of_its_own() -> None:
    world = World(Wire(), peers=(BIRCH, COBALT))
    await world.staff(20)
    await world.mentor(0, "sox")
    assert len(await world.catalogs.tick()) == 2
    own = (await world.offers.lists()).own
    assert {one.audience for one in own} == {audience_id(AURORA, BIRCH), audience_id(AURORA, COBALT)}
    assert len({one.offer.offer_id for one in own}) == 2


async def test_a_peer_that_comes_later_gets_a_catalog_of_its_own(world: World) -> None:
    await world.mentor(0, "sox")
    await world.catalogs.tick()
    world.peers.peers.append(COBALT)
    assert await world.catalogs.tick() == (audience_id(AURORA, COBALT),)


async def test_a_catalog_that_nobody_is_shown_any_more_is_wound_up_without_names(world: World) -> None:
    await world.mentor(0, "sox")
    await world.catalogs.tick()
    world.peers.peers.clear()
    await world.leave(7)
    await world.days(1)
    assert (await world.offers.lists()).own == ()
    async with world.store.read() as rows:
        (row,) = await rows.find(CatalogRow)
    (cell,) = load_catalog(row).cells
    assert name(7) not in (cell.holders or ())
    assert name(6) in (cell.holders or ())


async def test_the_peer_sees_the_offer_as_soon_as_it_is_told() -> None:
    wire, clock = Wire(), SteppedClock(START)
    aurora = World(wire, clock=clock)
    birch = World(wire, own=BIRCH, peers=(AURORA,), clock=clock)
    await aurora.staff(20)
    await aurora.mentor(0, "sox")
    await birch.mirror.poll_due()
    assert (await birch.offers.lists()).mirrors[0].state == "never"
    clock.advance(10)
    await aurora.catalogs.tick()
    await birch.mirror.poll_due()
    lists = await birch.offers.lists()
    assert [(one.origin, one.text) for one in lists.peers] == [(AURORA, GROUP_LINE)]
    assert lists.mirrors[0].state == "fresh"
    (peer_offer,) = lists.peers
    assert await birch.offers.show(peer_offer.offer.offer_id) == peer_offer.offer
    clock.advance(86_400)
    lists = await birch.offers.lists()
    assert lists.peers == ()
    assert lists.mirrors[0].state == "stale"


async def test_mirrored_offers_are_built_once_for_each_set() -> None:
    wire, clock = Wire(), SteppedClock(START)
    aurora, birch = World(wire, clock=clock), World(wire, own=BIRCH, peers=(AURORA,), clock=clock)
    await aurora.staff(20)
    await aurora.mentor(0, "sox")
    await aurora.catalogs.tick()
    await birch.mirror.poll_due()
    asked: list[str] = []

    def sector(origin: str) -> str:
        asked.append(origin)
        return "H"

    mirrored = MirroredOffers(birch.mirror.index, sector)
    first = mirrored.at(clock.now())
    assert [(one.origin, one.sector) for one in first] == [(AURORA, "H")]
    assert mirrored.at(clock.now()) == first
    assert asked == [AURORA]
    assert mirrored.at(clock.now() + 86_400) == ()


async def test_a_mentor_reads_what_is_shown_outside_and_what_stays_inside(world: World) -> None:
    await world.mentor(0, "sox", "illness", "orphan")
    sox, illness, orphan = await world.offers.preview(name(0))
    assert (sox.inside, sox.outside, sox.level) == ("SOX carve-out", "Finance", "group")
    assert sox.why == ("Shown more generally: fewer than 5 people here have it among their skills: 4 more until shown.")
    assert (illness.outside, illness.level) == ("Business", "domain")
    assert illness.why == "Shown more generally: the topic is sensitive."
    assert (orphan.outside, orphan.level, orphan.missing) == ("", "withheld", 0)
    assert orphan.why == "Not shown outside: the vocabulary has nothing broader that could be shown instead."
    german = await world.offers.preview(name(0), reader="de")
    assert (german[0].inside, german[0].outside) == ("SOX carve-out", "Finanzen")


async def test_a_topic_shown_as_it_is_and_one_that_lacks_people_say_why() -> None:
    world = World(Wire())
    await world.staff(9, skills="ext:t:sox")
    await world.staff(5, first=9, country="AT", job_family="Sales")
    await world.mentor(0, "sox")
    await world.mentor(9, "budget")
    (listed,) = await world.offers.preview(name(0))
    assert (listed.level, listed.why) == ("leaf", "At least 8 people here could be meant.")
    (withheld,) = await world.offers.preview(name(9))
    assert withheld.missing == 7
    assert withheld.why == "Not shown outside: fewer than 8 people here could be meant: 7 more until shown."
    whole = await world.offers.preview_all()
    assert [cell.text for cell in whole.cells] == [LEAF_LINE]
    assert whole.missing == 7


async def test_too_many_mentors_and_too_small_an_organization_are_told(world: World) -> None:
    for number in range(11):
        await world.mentor(number, "sox")
    (one,) = await world.offers.preview(name(0))
    assert one.why == "Not shown outside: mentors would be more than 50 % of the people who could be meant."
    small = World(Wire(), policy=Policy(rules=Rules()))
    await small.staff(20, skills="ext:t:sox")
    await small.mentor(0, "sox")
    (one,) = await small.offers.preview(name(0))
    assert one.why == "Shown more generally: organizations under 25 members show domains only."


async def test_what_the_organization_would_show_names_no_mentor_and_nothing_withheld(world: World) -> None:
    await world.mentor(0, "sox", "orphan")
    whole = await world.offers.preview_all()
    assert [(cell.text, cell.level, cell.people, cell.state) for cell in whole.cells] == [
        (GROUP_LINE, "group", 20, "new")
    ]
    assert b"Falconry" not in msgspec.json.encode(whole)
    await world.catalogs.tick()
    assert [cell.state for cell in (await world.offers.preview_all()).cells] == ["listed"]


async def test_an_offer_that_still_waits_is_told_as_waiting() -> None:
    world = World(Wire(), policy=Policy(rules=Rules(smallest_members=10), mean_delay=10**9))
    await world.staff(20)
    await world.mentor(0, "sox")
    await world.catalogs.tick()
    assert [cell.state for cell in (await world.offers.preview_all()).cells] == ["waiting"]


async def test_operators_see_nothing_about_one_person_where_a_works_council_agreed_so() -> None:
    world = World(Wire(), works_council=True)
    await world.staff(20)
    await world.mentor(0, "sox")
    with pytest.raises(RefusedError, match="only the mentor sees this"):
        await world.offers.preview_for_operator(name(0))
    assert await world.offers.preview(name(0))


async def test_an_offer_is_proved_and_the_proof_verified_offline_and_by_both_nodes() -> None:
    wire, clock = Wire(), SteppedClock(START)
    aurora, birch = World(wire, clock=clock), World(wire, own=BIRCH, peers=(AURORA,), clock=clock)
    await aurora.staff(20)
    for number, topic in enumerate(["sox", "illness"]):
        await aurora.mentor(number, topic)
    await aurora.catalogs.tick()
    proofs = [await aurora.offers.prove(one.offer.offer_id) for one in (await aurora.offers.lists()).own]
    assert len(proofs) == 2
    for proof in proofs:
        data = encode(proof)
        assert verify_proof(parse_proof(data), aurora.key.public).offer == proof.offer
        for node in (aurora, birch):
            proven = await node.offers.verify(data)
            assert (proven.offer, proven.head.origin) == (proof.offer, AURORA)
    other = msgspec.structs.replace(proofs[0], offer=msgspec.structs.replace(proofs[0].offer, band="lead"))
    with pytest.raises(UnverifiedError):
        await birch.offers.verify(encode(other))
    with pytest.raises(MalformedError):
        await birch.offers.verify(b"{}")
    stranger = World(Wire(), own=COBALT, peers=())
    with pytest.raises(UnverifiedError, match="log key"):
        await stranger.offers.verify(encode(proofs[0]))


async def test_a_peer_cannot_prove_offers_in_the_name_of_another() -> None:
    wire = Wire()
    aurora = World(wire)
    await aurora.staff(20)
    await aurora.mentor(0, "sox")
    await aurora.catalogs.tick()
    (one,) = (await aurora.offers.lists()).own
    proof = await aurora.offers.prove(one.offer.offer_id)
    birch = World(wire, own=BIRCH, peers=(COBALT,))
    birch.peers.keys[COBALT] = AURORA
    with pytest.raises(UnverifiedError):
        await birch.offers.verify(encode(proof))


async def test_what_is_not_listed_can_be_neither_shown_nor_proved(world: World) -> None:
    await world.mentor(0, "sox")
    for ask in (world.offers.show, world.offers.prove):
        with pytest.raises(MissingError, match="offer list"):
            await ask("A" * 22)
    await world.catalogs.tick()
    with pytest.raises(MissingError, match="offer list"):
        await world.offers.prove("A" * 22)


async def test_the_loop_makes_editions_at_their_time_and_when_woken(world: World) -> None:
    await world.mentor(0, "sox")
    running = asyncio.ensure_future(world.catalogs.run())
    await _told(world)
    assert len(await world.listed()) == 1
    world.peers.peers.append(COBALT)
    world.catalogs.wake()
    await _told(world)
    assert len(await world.listed()) == 2
    await world.mentor(1, "illness")
    world.clock.advance(86_400)
    await _told(world)
    assert len(await world.listed()) == 4
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def _told(world: World) -> None:
    """Return once peers were told of a change and the loop sleeps again."""
    await world.call.told.wait()
    world.call.told.clear()
    await world.clock.until_sleeping()


def test_a_catalog_is_stored_whole() -> None:
    catalog = Catalog(edition=3, round=1)
    row = CatalogRow(audience="x", edition=3, state=dump_catalog(catalog), changed_at=1)
    assert load_catalog(row) == catalog
    assert load_catalog(None) == Catalog()
