"""A node whose database was set back without its knowing, as by a snapshot of its machine, signs no head twice."""

from copy import deepcopy

import pytest

from federation.ports import Reader
from federation.publisher import PublisherService
from federation.rows import LogAheadRow
from federation.sequencer import Sequencer
from protocol.heads import RollbackError, number_after_loss
from tests.fakes.memory_store import MemoryStore

from .sets import AURORA, Pair, offers


class Waiting:
    """A gate that waits for witnesses until it is opened."""

    claimed = True
    cleared = False

    async def waits(self, rows: Reader) -> bool:  # noqa: ARG002 -- as the gate's
        return not self.cleared

    def open(self) -> None:
        self.cleared = True

    async def passed(self) -> None:
        raise AssertionError("nobody answers")


class SetBack(Pair):
    """Aurora signed heads and leaves, of which its database lost some; Birch holds them all."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        super().__init__(self.store, MemoryStore())
        self.gate = Waiting()

    async def lose(self, *, known: int) -> None:
        """Publish `known` heads and then three that are lost with what the log says of them; start again."""
        for number in range(known):
            await self.published(number)
        snapshot = deepcopy(self.store.tables)
        for number in range(3):
            await self.published(10 + number)
        self.store.tables.clear()
        self.store.tables.update(snapshot)
        self.clock.advance(60)
        self.log = Sequencer(self.store, self.clock, own=AURORA, key=self.aurora_key, generation=1)
        self.log.guard(self.gate)
        self.aurora = PublisherService(
            self.store,
            self.clock,
            self.aurora_book,
            own=AURORA,
            key=self.aurora_key,
            policy=self.aurora._policy,
            log=self.log,
        )

    async def published(self, number: int) -> None:
        self.clock.advance(60)
        await self.publish(offers(number))
        await self.aurora._log.sequence()
        self.clock.advance(60)
        await self.poll()


async def test_no_head_is_signed_before_the_log_is_known_to_be_the_newest() -> None:
    pair = SetBack()
    await pair.lose(known=2)
    for number in range(4):
        assert (await pair.publish_next(offers(20 + number))).outcome == "kept"
        pair.clock.advance(60)
        with pytest.raises(RollbackError):
            await pair.poll()
    (status,) = await pair.mirror.status()
    assert (status.state, status.seq) == ("fresh", 5)
    pair.gate.open()
    assert (await pair.publish_next(offers(30))).outcome == "changed"


async def test_no_head_is_signed_of_a_log_that_others_know_further() -> None:
    pair = SetBack()
    await pair.lose(known=2)
    pair.gate.open()
    async with pair.store.write() as tx:
        await tx.put(LogAheadRow(log=1, size=9, note=b"", said_by="https://birch.example", at=pair.clock.now()))
    assert (await pair.publish_next(offers(20))).outcome == "kept"


async def test_after_a_successor_of_a_lost_log_heads_go_on_beyond_those_that_were_lost() -> None:
    pair = SetBack()
    await pair.lose(known=2)
    await pair.log.succeed()
    for number in range(3):
        pair.clock.advance(60)
        await pair.publish(offers(20 + number))
        await pair.poll()
        assert pair.shown() == [20 + number]
    (status,) = await pair.mirror.status()
    assert status.state == "fresh"
    assert 300 < status.seq < 900
    # Once, and not for each head after it.
    last = status.seq
    pair.clock.advance(60)
    assert (await pair.publish(offers(7))).seq == last + 1


async def test_a_chain_that_was_lost_whole_begins_beyond_every_number_it_can_have_had() -> None:
    pair = SetBack()
    await pair.lose(known=0)
    await pair.log.succeed()
    published = await pair.publish_next(offers(20))
    assert published.seq == number_after_loss(pair.clock.now())
    await pair.poll()
    assert pair.shown() == [20]
