"""The people of the demo: each does what a person's program does."""

from pathlib import Path

import pytest

from cli.client.api import NodeApi
from cli.client.records import Outgoing
from cli.client.views import Arrived
from cli.demo.actors import Actor
from cli.demo.people import Part
from node.services.thread_views import SideName
from protocol.e2ee.frames import Chat
from protocol.errors import UnavailableError
from tests.cli.client.test_requests import colleagues
from tests.cli.client.world import PROMPTS, happens, meet, need

pytestmark = [pytest.mark.slow, pytest.mark.system]


async def test_what_the_node_did_not_take_at_once_is_said_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with colleagues(tmp_path, 1) as (_, ana, (ben,)):
        await ana.ask(need())
        thread = (await ana.request(1, prompts=PROMPTS)).thread
        await happens(ben, Arrived)
        await ben.accept(thread)
        await meet(ana, ben)
        envelope, tries = NodeApi.envelope, 0

        async def broken_once(self: NodeApi, thread: str, side: SideName, sent: Outgoing) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise UnavailableError("its process was killed", code="node-away")
            await envelope(self, thread, side, sent)

        monkeypatch.setattr(NodeApi, "envelope", broken_once)
        part = Part(key="ana", name="Ana Duarte", company="aurora")
        await Actor(part, ana, lambda *_: None).say(thread, Chat(text="Still there?"))
        assert tries == 2
        assert ana.state.session(thread).outbox == ()
        while not [line for line in ben.session(thread).lines if line.text == "Still there?"]:
            await ben.poll(wait_s=0.5)
