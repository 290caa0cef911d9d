"""Catalogs through time: delays, purge rounds, rotation, and k over everything that was ever shown."""

from collections.abc import Iterable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crowd import Cell
from protocol.editions import Catalog, CellState, Policy, edition_number, next_edition
from protocol.encoding import b64
from protocol.minimize import Desired, Rules
from protocol.vocabulary import Topic

#: First second of an edition and of a purge round under the default policy.
START = 600 * 30 * 86_400
DAY = 86_400
PEOPLE = frozenset(f"p{number:03d}" for number in range(40))
AT_ONCE = Policy(mean_delay=0)


def cell(name: str) -> Cell:
    return Cell(topic=Topic(id=f"ext:t:{name}", kind="do"), band="any", language="en", region="DE")


def desired(
    name: str, *mentors: str, holders: Iterable[str] = PEOPLE, formats: tuple[str, ...] = ("call",), behind: int = 1
) -> Desired:
    return Desired(
        cell=cell(name),
        formats=formats,  # type: ignore[arg-type]
        lengths=(30,),
        holders=frozenset(holders),
        mentors=frozenset(mentors or {f"mentor of {name}"}),
        behind=behind,
    )


class Run:
    """A catalog that is moved on by days."""

    def __init__(self, policy: Policy, *, seed: int = 0, people: frozenset[str] = PEOPLE, audience: str = "") -> None:
        self.policy = policy
        self.people = people
        self.audience = audience
        self.seed = seed
        self.day = 0
        self.catalog = Catalog()

    def go(self, *wanted: Desired, days: int = 1) -> frozenset[str]:
        """Make the editions of `days` days; return the topics listed after them."""
        for _ in range(days):
            entropy = sha256(f"{self.seed} {self.day}".encode()).digest()
            self.catalog = next_edition(
                self.catalog,
                wanted,
                lambda _: self.people,
                policy=self.policy,
                now=START + self.day * DAY,
                entropy=entropy,
                audience=self.audience,
            )
            self.day += 1
        return self.listed

    @property
    def listed(self) -> frozenset[str]:
        return frozenset(one.cell.topic.id.removeprefix("ext:t:") for one in self.catalog.listed)

    def state(self, name: str) -> CellState | None:
        return next((one for one in self.catalog.cells if one.cell == cell(name)), None)


def test_nothing_moves_within_an_edition() -> None:
    run = Run(AT_ONCE)
    run.go(desired("a"))
    before = run.catalog
    later = next_edition(
        before, (), lambda _: PEOPLE, policy=AT_ONCE, now=START + DAY - 1, entropy=bytes(32), audience=""
    )
    assert later is before
    assert edition_number(AT_ONCE, START + DAY) == before.edition + 1


def test_new_offers_wait_seven_editions_in_the_mean() -> None:
    waits = []
    for seed in range(300):
        run = Run(Policy(), seed=seed)
        while not run.go(desired("a")):
            pass
        waits.append(run.day)
    assert 6 <= sum(waits) / len(waits) <= 8
    assert min(waits) == 1


def test_no_edition_adds_two_offers_that_rest_on_one_mentor() -> None:
    wanted = [desired("a", "ana"), desired("b", "ana", "ben"), desired("c", "ben"), desired("d", "cleo")]
    run = Run(AT_ONCE)
    seen: list[frozenset[str]] = [frozenset()]
    while len(seen[-1]) < 4:
        seen.append(run.go(*wanted))
        new = [one for one in wanted if one.cell.topic.id.removeprefix("ext:t:") in seen[-1] - seen[-2]]
        assert sum(len(one.mentors) for one in new) == len(frozenset().union(*(one.mentors for one in new)))
    assert len(seen) >= 3


@pytest.mark.parametrize(("mentors", "whole"), [(9, False), (10, True)])
def test_ten_new_mentors_at_once_need_no_delay(mentors: int, whole: bool) -> None:
    wanted = [desired(f"{letter}{number}", f"m{number}") for number in range(mentors) for letter in "ab"]
    listed = Run(Policy()).go(*wanted)
    assert (len(listed) == 2 * mentors) is whole


def test_a_bulk_start_does_not_carry_along_what_known_mentors_add() -> None:
    run = Run(Policy(mean_delay=10**9))
    run.go(desired("old", "known"))
    new = [desired(f"n{number}", f"m{number}") for number in range(10)]
    listed = run.go(desired("old", "known"), desired("added", "known"), *new)
    assert len(listed) == 10
    assert "added" not in listed


@pytest.mark.slow
def test_a_listing_that_nobody_asks_for_ends_in_purge_rounds_only_and_by_chance() -> None:
    rounds = []
    for seed in range(200):
        run = Run(Policy(mean_delay=0, rotate_percent=0), seed=seed)
        run.go(desired("a"))
        assert run.go(days=29) == {"a"}
        while run.listed:
            run.go(days=30)
        rounds.append((run.day - 30) // 30)
    assert 2.7 <= sum(rounds) / len(rounds) <= 4.0  # 1 / .3


def test_a_tenth_of_the_listings_pauses_from_one_purge_round_to_the_next() -> None:
    wanted = [desired(f"c{number}", f"m{number}") for number in range(300)]
    run = Run(AT_ONCE)
    assert len(run.go(*wanted, days=30)) == 300
    paused = 300 - len(run.go(*wanted))
    assert 15 <= paused <= 45
    assert 300 - len(run.go(*wanted, days=29)) == paused
    back = run.go(*wanted)
    assert len(back) < 300


def test_what_comes_back_from_a_pause_has_a_new_id_and_a_new_salt() -> None:
    run = Run(Policy(mean_delay=0, rotate_percent=100))
    run.go(desired("a"))
    first = run.state("a")
    assert run.go(desired("a"), days=30) == frozenset()
    assert run.state("a") == CellState(cell=cell("a"), phase="hidden", holders=PEOPLE, round=601)
    run.go(desired("a"), days=30)
    second = run.state("a")
    assert first
    assert second
    assert first.offer
    assert second.offer
    assert first.offer.offer_id != second.offer.offer_id
    assert first.salt != second.salt


def test_a_paused_listing_that_nobody_asks_for_any_more_ends() -> None:
    run = Run(Policy(mean_delay=0, rotate_percent=100, purge_percent=0))
    run.go(desired("a"))
    run.go(desired("a"), days=30)
    run.go(days=30)
    state = run.state("a")
    assert state
    assert state.phase == "gone"


def test_who_waits_to_come_back_and_is_asked_for_no_more_has_ended() -> None:
    run = Run(Policy(mean_delay=0, rotate_percent=100))
    run.go(desired("a"))
    run.go(desired("a"), days=30)
    run.policy = Policy(mean_delay=10**9)
    run.go(desired("a"), days=30)
    waiting = run.state("a")
    assert waiting
    assert waiting.phase == "waiting"
    run.go()
    ended = run.state("a")
    assert ended == CellState(cell=cell("a"), phase="gone", holders=PEOPLE, round=602)


def test_k_is_counted_over_everything_a_peer_may_remember() -> None:
    # Eight could hold it now, but only seven of them could have held it all the time.
    before, after = sorted(PEOPLE)[:8], sorted(PEOPLE)[1:9]
    run = Run(Policy(mean_delay=0, rotate_percent=100), people=frozenset(before))
    assert run.go(desired("a", holders=before)) == {"a"}
    run.people = frozenset(after)
    run.go(desired("a", holders=after), days=60)
    assert run.listed == frozenset()
    state = run.state("a")
    assert state
    assert state.holders == frozenset(after) & frozenset(before)


@pytest.mark.parametrize(("left", "stays"), [(5, True), (4, False)])
def test_a_listing_goes_at_once_when_fewer_than_five_could_have_held_it_all_the_time(left: int, stays: bool) -> None:
    run = Run(AT_ONCE, people=frozenset(sorted(PEOPLE)[:8]))
    run.go(desired("a", holders=run.people))
    run.people = frozenset(sorted(PEOPLE)[:left]) | frozenset(sorted(PEOPLE)[20:])
    assert (run.go(desired("a", holders=run.people)) == {"a"}) is stays


def test_mentors_may_not_become_more_than_half_of_those_who_are_left() -> None:
    run = Run(AT_ONCE)
    assert run.go(desired("a", holders=sorted(PEOPLE)[:9], behind=5)) == frozenset()
    assert run.go(desired("a", holders=sorted(PEOPLE)[:10], behind=5)) == {"a"}


def test_who_left_is_in_no_history() -> None:
    run = Run(AT_ONCE)
    run.go(desired("a"))
    run.people = PEOPLE - {"p000"}
    run.go(desired("a", holders=run.people))
    state = run.state("a")
    assert state
    assert "p000" not in (state.holders or ())


def test_what_was_never_shown_leaves_no_trace_and_what_ended_is_forgotten_in_time() -> None:
    run = Run(Policy(mean_delay=10**9))
    run.go(desired("a"))
    run.go()
    assert run.catalog.cells == ()
    ended = Run(Policy(mean_delay=0, purge_percent=100, rotate_percent=0, memory_rounds=2))
    ended.go(desired("a"))
    ended.go(days=60)
    state = ended.state("a")
    assert state
    assert (state.phase, state.offer, state.salt) == ("gone", None, "")
    ended.go(days=62)
    assert ended.catalog.cells == ()


def test_formats_change_in_purge_rounds_only() -> None:
    run = Run(Policy(mean_delay=0, rotate_percent=0))
    run.go(desired("a"))
    wanted = desired("a", formats=("call", "text"))
    first = run.state("a")
    run.go(wanted, days=29)
    assert run.state("a") == first
    run.go(wanted)
    second = run.state("a")
    assert first
    assert second
    assert first.offer
    assert second.offer
    assert second.offer.formats == ("call", "text")
    assert second.offer.offer_id == first.offer.offer_id
    assert second.salt != first.salt


def test_a_node_that_was_down_for_months_makes_up_for_one_purge_round_only() -> None:
    run = Run(Policy(mean_delay=0, purge_percent=100, rotate_percent=0))
    run.go(desired("a"))
    run.day += 200
    run.go(desired("a"))
    assert run.listed == {"a"}
    run.day += 200
    assert run.go() == frozenset()


def test_audiences_move_alike_and_share_neither_ids_nor_salts() -> None:
    wanted = [desired(f"c{number}", f"m{number}") for number in range(40)]
    one, other = Run(Policy(bulk=1000), audience="one"), Run(Policy(bulk=1000), audience="other")
    for _ in range(70):
        assert one.go(*wanted) == other.go(*wanted)
    ids = [{each.offer.offer_id for each in run.catalog.listed if each.offer} for run in (one, other)]
    salts = [{each.salt for each in run.catalog.listed} for run in (one, other)]
    assert not ids[0] & ids[1]
    assert not salts[0] & salts[1]


def test_openings_are_the_listed_offers_with_their_salts() -> None:
    run = Run(AT_ONCE)
    run.go(desired("a"), desired("b"))
    assert {b64(each.salt) for each in run.catalog.openings()} == {each.salt for each in run.catalog.listed}
    assert len({each.body for each in run.catalog.openings()}) == 2


def test_keep_may_not_be_more_than_k_and_entropy_not_less_than_a_key() -> None:
    with pytest.raises(ValueError, match="keep"):
        Policy(rules=Rules(k=4), keep=5)
    with pytest.raises(ValueError, match="entropy"):
        next_edition(Catalog(), (), lambda _: PEOPLE, policy=Policy(), now=START, entropy=b"short", audience="")


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 5)), st.sets(st.integers(0, 15), min_size=4)), min_size=1, max_size=8))
def test_no_listing_is_ever_shown_below_keep_and_none_enters_below_k(
    months: list[tuple[set[int], set[int]]],
) -> None:
    run = Run(Policy(mean_delay=2))
    for topics, gone in months:
        run.people = frozenset(sorted(PEOPLE)[:16]) - {f"p{number:03d}" for number in gone}
        wanted = [desired(f"c{number}", holders=run.people) for number in sorted(topics) if len(run.people) >= 8]
        for _ in range(30):
            before = run.listed
            run.go(*wanted)
            for one in run.catalog.listed:
                least = 5 if one.cell.topic.id.removeprefix("ext:t:") in before else 8
                assert len(one.holders or ()) >= least
                assert (one.holders or frozenset()) <= run.people
