"""Operator commands that reach a node which runs in the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli import node_access
from cli.node_access import DirectNode, NodeAccess
from tests.cli.client.world import Company
from tests.node.running import Running


def reach(monkeypatch: pytest.MonkeyPatch, running: Running | Company) -> None:
    """Let commands, which run in a thread of their own, ask the operations of this node."""
    loop = asyncio.get_running_loop()

    class Bridge(DirectNode):
        """The operations run in the node's own loop, as they do behind HTTP."""

        async def call(self, name, command, kind):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            asked = asyncio.run_coroutine_threadsafe(super().call(name, command, kind), loop)
            return await asyncio.wrap_future(asked)

    @asynccontextmanager
    async def open_node(_directory: Path) -> AsyncIterator[NodeAccess]:
        yield Bridge(running.node.operations)

    monkeypatch.setattr(node_access, "open_node", open_node)
