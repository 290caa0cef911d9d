"""What two people saw of a log is held together: who shows them two is found out, with a proof that stands alone."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.core import Core
from cli.client.http import Http
from cli.client.logstories import AGAIN_S, KEEP_S, LogStories, heard, to_tell
from cli.client.person import Person
from cli.client.session import view, with_frame
from cli.client.unlock import create_vault
from cli.client.views import Alarm, Arrived, Event
from protocol.e2ee.frames import Checkpoints
from protocol.errors import LimitError, MalformedError, MeshError, RefusedError, UnavailableError, UnverifiedError
from protocol.evidence import open_bundle
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, sign_checkpoint
from protocol.tlog.merkle import leaf_hash, root_hash
from protocol.tlog.note import render_note
from protocol.tlog.tiles import encode_tile

from .pair import NOW, Org, Pair, seed
from .test_epochs import deliver, opened
from .world import PASSPHRASE, PROMPTS, QUICK, become_mentor, companies, happens, lists_something, meet, need

ENTRIES = [f"entry {number}".encode() for number in range(40)]
OTHERS = [*ENTRIES[:5], *(f"other {number}".encode() for number in range(5, 40))]


def note(org: Org, entries: list[bytes], size: int, *, signer: str = "") -> str:
    """Return the checkpoint that an organization signs under its first entries."""
    root = root_hash([leaf_hash(each) for each in entries[:size]])
    host = org.entity.removeprefix("https://")
    key = SigningKey(seed(signer or f"{host.partition('.')[0]} log"))
    return render_note(sign_checkpoint(Checkpoint(origin=f"{host}/log", size=size, root=root), key).note).decode()


class World:
    """Two people in an open session; Ana's device compares, and a log answers with what it is made of."""

    def __init__(self, folder: Path) -> None:
        self.pair = opened()
        self.cobalt = self.pair.cobalt
        self.now = NOW
        self.entries = ENTRIES
        self.size = 0
        self.away = False
        self.refuses: MeshError | None = None
        vault = create_vault(folder, self.pair.mentee, passphrase=PASSPHRASE, cost=QUICK)
        self.core = Core(vault, Http(), lambda: self.now)
        self.stories = LogStories(self.core, self._fetch)

    async def _fetch(self, entity: str, path: str, limit: int) -> bytes:
        assert entity == self.cobalt.entity
        if self.away:
            raise UnavailableError("away")
        if self.refuses:
            raise self.refuses
        assert path == f"/log/tile/0/000.p/{self.size}"
        return encode_tile([leaf_hash(each) for each in self.entries[: self.size]])[:limit]

    def saw(self, text: str) -> None:
        """Let Ana's device have seen this of Cobalt's log."""
        self.core.vault.update(lambda state: replace(state, logs={self.cobalt.entity: text}))

    def hears(self, text: str) -> None:
        """Let Ana's device take in what Ben's saw, as it comes through the session."""
        record = self.pair.record()
        self.core.vault.update(lambda state: heard(state, record, Checkpoints(logs=(text,)), now=self.now))

    async def settled(self) -> list[Event]:
        return await self.stories.settle()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "ana")


async def test_the_same_log_seen_twice_is_no_news(world: World) -> None:
    world.saw(note(world.cobalt, ENTRIES, 7))
    world.hears(note(world.cobalt, ENTRIES, 7))
    assert await world.settled() == []
    assert world.core.state().told_logs == ()


@pytest.mark.parametrize(("mine", "theirs"), [(7, 20), (20, 7)])
async def test_a_log_that_only_grew_is_no_news(world: World, mine: int, theirs: int) -> None:
    world.saw(note(world.cobalt, ENTRIES, mine))
    world.hears(note(world.cobalt, ENTRIES, theirs))
    world.size = 20
    assert await world.settled() == []
    assert world.core.state().told_logs == ()


@pytest.mark.parametrize(("mine", "theirs"), [(20, 20), (7, 20), (20, 7)])
async def test_two_logs_are_an_alarm_and_the_proof_verifies_without_anybody(
    world: World, mine: int, theirs: int
) -> None:
    world.saw(note(world.cobalt, ENTRIES, mine))
    world.hears(note(world.cobalt, OTHERS, theirs))
    world.entries, world.size = (OTHERS if theirs > mine else ENTRIES), 20
    (alarm,) = await world.settled()
    assert isinstance(alarm, Alarm)
    assert (alarm.code, alarm.thread) == ("two-logs", world.pair.thread)
    (file,) = (world.core.vault.folder / "evidence").iterdir()
    assert str(file) in alarm.sentence
    opened_bundle = open_bundle(file.read_bytes())
    assert (opened_bundle.bundle.accused, opened_bundle.bundle.kind) == (world.cobalt.entity, "two-checkpoints")
    assert file.stat().st_mode & 0o077 == 0
    assert await world.settled() == []


async def test_a_log_that_does_not_show_the_tree_it_signed_is_an_alarm(world: World) -> None:
    world.saw(note(world.cobalt, ENTRIES, 7))
    world.hears(note(world.cobalt, ENTRIES, 20))
    world.entries, world.size = OTHERS, 20
    (alarm,) = await world.settled()
    assert isinstance(alarm, Alarm)
    assert alarm.code == "log"


async def test_a_log_that_is_away_is_asked_again_for_a_day(world: World) -> None:
    world.saw(note(world.cobalt, ENTRIES, 7))
    world.hears(note(world.cobalt, OTHERS, 20))
    world.entries, world.size, world.away = OTHERS, 20, True
    assert await world.settled() == []
    world.away = False
    assert await world.settled() == []  # not before an hour
    world.now += AGAIN_S
    assert [type(event) for event in await world.settled()] == [Alarm]
    world.hears(note(world.cobalt, OTHERS, 21))
    world.away = True
    world.now += KEEP_S
    await world.settled()
    world.now += KEEP_S
    await world.settled()
    assert world.core.state().told_logs == ()


async def test_what_is_told_of_a_log_that_this_device_has_not_seen_waits_for_it(world: World) -> None:
    world.hears(note(world.cobalt, OTHERS, 20))
    assert await world.settled() == []
    world.saw(note(world.cobalt, ENTRIES, 20))
    world.now += AGAIN_S
    assert [type(event) for event in await world.settled()] == [Alarm]


async def test_a_log_that_answers_with_junk_is_an_alarm_and_not_an_end(world: World) -> None:
    world.saw(note(world.cobalt, ENTRIES, 7))
    world.hears(note(world.cobalt, ENTRIES, 20))
    world.entries, world.size = ENTRIES[:9], 20
    (alarm,) = await world.settled()
    assert isinstance(alarm, Alarm)
    assert alarm.code == "log"


def told_by_both(person: Person, thread: str) -> bool:
    return sum(b'"checkpoints"' in one.frame for one in person.state.session(thread).frames) == 2


@pytest.mark.slow
@pytest.mark.system
async def test_two_people_of_honest_companies_compare_both_logs_and_hear_nothing_of_it(tmp_path: Path) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as ana,
        cobalt.person("cobalt1") as ben,
    ):
        for person, other in ((ana, cobalt), (ben, aurora)):
            person.self_check.connect(other.entity, f"127.0.0.1:{other.node.base.port}")
        await become_mentor(ben)
        await lists_something(ana)
        await ana.ask(need())
        request = await ana.request(1, prompts=PROMPTS)
        await happens(ben, Arrived)
        await ben.accept(request.thread)
        await meet(ana, ben)
        for person in (ana, ben):
            for _ in range(60):
                assert not [event for event in await person.poll(wait_s=0.5) if isinstance(event, Alarm)]
                if told_by_both(person, request.thread) and not person.state.told_logs:
                    break
            assert told_by_both(person, request.thread)
            assert set(person.state.logs) == {aurora.entity, cobalt.entity}
            assert person.state.told_logs == ()


def test_a_note_that_its_log_did_not_sign_is_refused(world: World) -> None:
    forged = note(world.cobalt, ENTRIES, 7, signer="somebody")
    with pytest.raises(UnverifiedError):
        world.hears(forged)


def test_a_note_of_a_stranger_waits_for_nothing(world: World) -> None:
    world.hears(note(Org("birch"), ENTRIES, 7))
    assert world.core.state().told_logs == ()


def test_the_first_messages_of_a_session_carry_what_each_saw_and_show_nothing() -> None:
    pair = Pair()
    told = note(pair.cobalt, ENTRIES, 7)
    pair.mentor = replace(pair.mentor, logs={pair.cobalt.entity: told, "https://birch.example": "not of this session"})
    pair.until_open()
    deliver(pair, pair.outgoing(by_mentor=True))
    assert [(one.entity, one.note, one.thread) for one in pair.mentee.told_logs] == [
        (pair.cobalt.entity, told, pair.thread)
    ]
    assert {line.kind for line in view(pair.mentee, pair.thread, now=NOW).lines} == {"name"}
    assert pair.mentor.told_logs == ()
    assert to_tell(pair.mentee, pair.record()) is None


def test_what_was_told_before_waits_once() -> None:
    pair = opened()
    told = Checkpoints(logs=(note(pair.cobalt, ENTRIES, 7),))
    for _ in range(2):
        pair.keep(with_frame(pair.core, pair.mentor, pair.thread, told), by_mentor=True)
        deliver(pair, pair.outgoing(by_mentor=True))
    assert len(pair.mentee.told_logs) == 1


@pytest.mark.parametrize("error", [RefusedError, UnverifiedError, MalformedError, LimitError])
async def test_a_log_that_refuses_to_be_read_keeps_nothing_else_from_being_done(
    world: World, error: type[MeshError]
) -> None:
    world.refuses = error("no")
    world.saw(note(world.cobalt, ENTRIES, 7))
    world.hears(note(world.cobalt, ENTRIES, 9))
    assert all(isinstance(one, Alarm) for one in await world.settled())
