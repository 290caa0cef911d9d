"""A node of the demo that cannot start says why."""

from pathlib import Path

import pytest

from cli.demo.companies import make_world
from cli.demo.nodes import LOG_FILE, NodeProcess, start_all, stop_all
from node.config import FILE_NAME
from protocol.errors import RefusedError, UnavailableError

pytestmark = pytest.mark.slow


@pytest.fixture
def node(tmp_path: Path) -> NodeProcess:
    return NodeProcess(make_world(1, 1).companies[0], tmp_path / "nodes" / "aurora")


async def test_the_reason_of_a_node_that_cannot_start_is_told(node: NodeProcess) -> None:
    node.make()
    with (node.folder / FILE_NAME).open("a") as settings:
        settings.write("\n[nonsense]\n")
    with pytest.raises(UnavailableError, match=r"node of Aurora Freight did not start: \[nonsense\] is no section"):
        await node.start()
    await stop_all([node])


async def test_without_a_reason_the_log_is_named(node: NodeProcess) -> None:
    node.make()
    (node.folder / LOG_FILE).write_text("not one of our lines\n")
    (node.folder / FILE_NAME).unlink()
    (node.folder / FILE_NAME).mkdir()
    with pytest.raises(UnavailableError, match="did not start"):
        await node.start()
    await stop_all([node])


async def test_a_directory_in_use_is_refused_before_anything_starts(node: NodeProcess) -> None:
    node.folder.mkdir(parents=True)
    (node.folder / "mine").write_text("precious")
    with pytest.raises(RefusedError, match="not empty"):
        await start_all([node])
    await stop_all([node])
