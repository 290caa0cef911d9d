"""A restored node has forgotten what its witness cosigned last, and which documents it showed."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from node import config as configuration
from node.app import Node, open_node
from node.keys import load_keys
from node.store.backup import backup, restore
from protocol.peers import open_document
from protocol.rotation import follow, pin
from protocol.signing import VerifyKey
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy
from tests.node.running import make_directory


def opened(directory: Path, seed: int) -> AbstractAsyncContextManager[Node]:
    config = configuration.parse((directory / "mentormesh.toml").read_text(), {})
    return open_node(directory, config, clock=SteppedClock(), entropy=SeededEntropy(seed))


async def set_back(directory: Path) -> tuple[str, str]:
    """Let a node be restored from a backup that knows neither its last document nor its last key of `http`.

    Returns the last document that peers saw, and the last key of the witness.
    """
    copy = directory / "old.db"
    async with opened(directory, 3) as node:
        database = directory / node.base.config.store.path
        await backup(database, copy, now=1)
    (directory / "mentormesh.toml").write_text(
        (directory / "mentormesh.toml").read_text().replace("Aurora Freight", "Aurora Lost")
    )
    async with opened(directory, 4) as node:
        shown = node.peering.identity.text
    (directory / "mentormesh.toml").write_text(
        (directory / "mentormesh.toml").read_text().replace("Aurora Lost", "Aurora Freight")
    )
    for each in database.parent.glob(f"{database.name}*"):
        each.unlink()
    await restore(copy, database, now=2)
    return shown, load_keys(directory).witness.public.text


@pytest.mark.slow
async def test_a_restored_witness_never_signs_with_the_key_it_had(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "aurora")
    _, key = await set_back(directory)
    async with opened(directory, 5) as node:
        renewed = node.base.keys.witness.public.text
        assert renewed != key
        assert node.peering.identity.document.keys.witness == renewed
    async with opened(directory, 6) as node:
        assert node.base.keys.witness.public.text == renewed


@pytest.mark.slow
async def test_peers_follow_to_the_document_of_a_restored_node(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "aurora")
    shown, _ = await set_back(directory)
    known = open_document(shown)
    async with opened(directory, 5) as node:
        said = node.peering.identity.text
    assert (
        follow(pin(shown, VerifyKey.parse(known.keys.federation)), said).document.org.display_name == "Aurora Freight"
    )
