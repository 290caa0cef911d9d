"""A clock that was ahead while a set was signed, and was set right since."""

from pathlib import Path

import pytest

from node.status import NodeStatus, ShowStatus
from protocol.addresses import audience_id
from tests.fakes.clock import SteppedClock
from tests.node.pairing import nodes, publish

pytestmark = [pytest.mark.slow, pytest.mark.system]


async def test_a_set_that_waits_for_the_clock_shows_until_it_has_caught_up(tmp_path: Path) -> None:
    clock = SteppedClock(1_767_000_000)
    async with nodes(tmp_path, "aurora", "birch", clock=clock) as (aurora, birch):
        await publish(aurora.node, audience_id(aurora.node.base.entity, birch.node.base.entity))

        async def alerts() -> list[str]:
            status = await aurora.node.operations.call("node.status", ShowStatus(), NodeStatus)
            return [alert.detail for alert in status.alerts if alert.about == "clock"]

        assert await alerts() == []
        clock.advance(-7200)
        (detail,) = await alerts()
        assert "before 2025-12-29 09:20 UTC" in detail
        clock.advance(7150)
        assert await alerts() == []
