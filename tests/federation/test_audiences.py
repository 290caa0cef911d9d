"""Which peers make an audience and are mirrored, by their mode; and how sets are asked for."""

import pytest

from federation.audiences import PairAudiences, PeerSets
from federation.calls import Answer, Contact
from federation.directory import Peer, PeerDirectory
from federation.sets import Fetched
from protocol.addresses import audience_id
from protocol.errors import MissingError, RefusedError
from protocol.tickets import Mode
from tests.fakes.clock import SteppedClock
from tests.vectors.generate import peers as documents

from .test_directory import NOW, row

OWN = "https://cobalt.example"
PAIR = audience_id(OWN, documents.ENTITY)


def known(mode: str = "full", until: int | None = None) -> PeerDirectory:
    directory = PeerDirectory()
    directory.put(row(mode, until))
    return directory


class Recorded:
    """Calls that answer one thing and remember what was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[object, ...]] = []

    async def get(
        self, peer: Peer, target: str, *, limit: int | None = None, etag: str | None = None, signed: bool = True
    ) -> Answer:
        self.asked.append((peer.entity, target, limit, etag, signed))
        return self.answer

    async def post(
        self,
        peer: Peer,
        target: str,
        body: bytes,
        content_type: str,
        *,
        limit: int | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        self.asked.append((peer.entity, target, body, content_type, limit, accept))
        return self.answer

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:
        raise AssertionError((contact, target, limit))


@pytest.mark.parametrize(
    ("mode", "shown", "mirrored"),
    [
        ("full", True, True),
        ("no-new-requests", True, True),
        ("catalog-hidden", False, True),
        ("blocked", False, False),
    ],
)
async def test_the_mode_says_who_sees_our_set_and_whose_set_we_mirror(mode: Mode, shown: bool, mirrored: bool) -> None:
    pairs = PairAudiences(known(mode), SteppedClock(NOW), own=OWN)
    (audience,) = await pairs.audiences()
    assert audience.id == PAIR  # it goes on through the editions, whoever may look
    assert (documents.ENTITY in audience.members) is shown
    assert OWN in audience.members
    sources = await pairs.sources()
    assert [each.place for each in sources] == ([(documents.ENTITY, PAIR, "offers")] if mirrored else [])


async def test_a_source_is_checked_with_the_peers_log_key() -> None:
    directory = known()
    (source,) = await PairAudiences(directory, SteppedClock(NOW), own=OWN).sources()
    keys = directory.get(documents.ENTITY).document.keys
    assert [key.text for key in source.key.every] == [keys.log]


async def test_a_mode_that_has_ended_shows_the_set_again() -> None:
    pairs = PairAudiences(known("blocked", until=NOW), SteppedClock(NOW), own=OWN)
    (audience,) = await pairs.audiences()
    assert documents.ENTITY in audience.members
    assert len(await pairs.sources()) == 1


async def test_this_node_is_no_peer_of_its_own() -> None:
    pairs = PairAudiences(known(), SteppedClock(NOW), own=documents.ENTITY)
    assert await pairs.audiences() == []
    assert await pairs.sources() == []


async def test_sets_are_asked_for_with_limit_tag_and_signature_as_wanted() -> None:
    calls = Recorded(Answer(status=200, headers={"etag": '"x"'}, body=b"body"))
    sets = PeerSets(known(), calls)
    assert await sets.fetch(documents.ENTITY, "/a", "", limit=5, signed=False) == Fetched(
        status=200, body=b"body", etag='"x"'
    )
    await sets.fetch(documents.ENTITY, "/b", '"x"', limit=6, signed=True)
    assert calls.asked == [
        (documents.ENTITY, "/a", 5, None, False),
        (documents.ENTITY, "/b", 6, '"x"', True),
    ]


async def test_an_answer_that_is_neither_a_set_nor_unchanged_is_refused() -> None:
    sets = PeerSets(known(), Recorded(Answer(status=204, headers={}, body=b"")))
    with pytest.raises(RefusedError):
        await sets.fetch(documents.ENTITY, "/a", "", limit=5, signed=True)


async def test_a_nudge_is_posted_as_json_and_strangers_are_not_called() -> None:
    calls = Recorded(Answer(status=204, headers={}, body=b""))
    sets = PeerSets(known(), calls)
    await sets.post(documents.ENTITY, "/n", b"{}")
    assert calls.asked == [(documents.ENTITY, "/n", b"{}", "application/json", None, frozenset())]
    with pytest.raises(MissingError):
        await sets.post("https://birch.example", "/n", b"{}")
