"""A mentee's company and a mentor's company that know each other."""

from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import pytest

from federation.ports import Store
from protocol.addresses import audience_id
from protocol.concept_lines import parse_concepts
from protocol.concepts import Vocabulary
from protocol.offers import Offer
from tests.fakes.clock import SteppedClock
from tests.kept import stored

from .people import Mentee
from .world import START, Network, Somebody, TestNode, mentor_profile


class Town:
    """Aurora, where Ana looks for advice, and Cobalt, where Ben has some."""

    def __init__(
        self, vocabulary: Vocabulary, clock: SteppedClock, network: Network, aurora: TestNode, cobalt: TestNode
    ) -> None:
        self.vocabulary = vocabulary
        self.clock = clock
        self.network = network
        self.aurora = aurora
        self.cobalt = cobalt
        self.ana: Somebody
        self.ben: Somebody
        self.offer: Offer

    def mentee(self) -> Mentee:
        """Return a fresh request of Ana's."""
        return Mentee(self.ana, self.cobalt, self.offer)


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """Our own situations."""
    lines = files("protocol").joinpath("situations.jsonl").read_bytes().splitlines()
    return Vocabulary(parse_concepts(lines).concepts)


@pytest.fixture
async def town(vocabulary: Vocabulary, tmp_path: Path) -> AsyncIterator[Town]:
    """Yield two companies, a mentee and a mentor with one place."""
    clock, network = SteppedClock(START), Network(tmp_path)
    async with stored(clock) as first, stored(clock) as second:
        yield await _town(vocabulary, clock, network, first, second)


async def _town(vocabulary: Vocabulary, clock: SteppedClock, network: Network, first: Store, second: Store) -> Town:
    aurora = TestNode("aurora", network, vocabulary, clock, first, 1)
    cobalt = TestNode("cobalt", network, vocabulary, clock, second, 2)
    aurora.meet(cobalt)
    cobalt.meet(aurora)
    made = Town(vocabulary, clock, network, aurora, cobalt)
    made.offer = await cobalt.list_offer(aurora.entity)
    audience = made_audience(made)
    made.ana = await aurora.add_person("ana", audiences=(audience,))
    made.ben = await cobalt.add_person("ben", audiences=(audience,), profile=mentor_profile())
    return made


def made_audience(town: Town) -> str:
    """Return the audience of the two companies."""
    return audience_id(town.aurora.entity, town.cobalt.entity)
