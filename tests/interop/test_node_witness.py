"""A running node as a witness: it follows a foreign log, and Go verifies what it and its peers cosign."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from protocol.peers import witness_key
from protocol.tlog.note import LogKey, parse_vkey, render_note, with_signatures
from protocol.tlog.witness import SIZE_CONTENT_TYPE, parse_answer, parse_request, parse_size
from tests.node.pairing import nodes
from tests.node.running import Running

from .counterpart import ask
from .go_counterpart import ask_go

SIZES = [1, 7, 8, 300]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def foreign() -> dict[str, Any]:
    """Return the key of a log of witness-log, and what it asks of a witness on its way."""
    found: Any = ask("witness_counterpart.py", {"do": "log", "seed": "33" * 32, "sizes": SIZES})
    assert isinstance(found, dict)
    return found


@pytest.fixture
async def pair(tmp_path: Path, foreign: dict[str, Any]) -> AsyncIterator[tuple[Running, ...]]:
    policy = tmp_path / "logs.policy"
    policy.write_text(f"log {foreign['vkey']}\nquorum none\n", encoding="utf-8")
    async with nodes(tmp_path, "aurora", "birch", log={"policy": str(policy)}) as made:
        yield made


def opened_by_go(note: str, *keys: str) -> Any:  # noqa: ANN401 -- JSON is of any type
    return ask_go("sumdb_counterpart.go", {"do": "open", "note": note, "keys": list(keys)})


async def test_a_node_witnesses_a_foreign_log_and_go_verifies_its_word(
    pair: tuple[Running, ...], foreign: dict[str, Any]
) -> None:
    birch = pair[1]
    log, witness = parse_vkey(foreign["vkey"]), witness_key(birch.node.peering.identity.document)
    assert isinstance(log, LogKey)
    async with aiohttp.ClientSession(headers={"Host": "birch.example"}) as http:
        url = f"{birch.url}/witness/add-checkpoint"
        for body in foreign["requests"]:
            async with http.post(url, data=body.encode()) as answer:
                assert answer.status == 200
                lines = parse_answer(await answer.read())
            note = with_signatures(parse_request(body.encode()).checkpoint.note, lines)
            found = opened_by_go(render_note(note).decode(), log.vkey, witness.vkey)
            assert found["signed"] == [log.name, witness.name]
        async with http.post(url, data=foreign["requests"][1].encode()) as answer:
            assert (answer.status, answer.content_type) == (409, SIZE_CONTENT_TYPE)
            assert parse_size(await answer.read()) == SIZES[-1]


async def test_go_verifies_the_checkpoint_that_a_node_serves_with_the_word_of_its_peer(tmp_path: Path) -> None:
    async with nodes(tmp_path, "aurora", "birch") as (aurora, birch):
        await aurora.node.witnessing.cosigner.collect()
        async with aiohttp.ClientSession() as http, http.get(f"{aurora.url}/log/checkpoint") as answer:
            note = await answer.text()
        document = aurora.node.peering.identity.document
        witness = witness_key(birch.node.peering.identity.document)
        found = opened_by_go(note, document.log_vkey, witness.vkey)
        assert found["signed"] == [document.log_origin, witness.name]
