"""`mentormesh log evidence` and the other commands of watching, against a running node that caught a peer."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.log import log
from protocol.errors import MeshError, MissingError, RefusedError
from tests.node.pairing import nodes
from tests.node.running import Running
from tests.node.test_equivocation import tell_two_stories
from tests.vectors.generate import evidence as vectors

from .direct import reach

AURORA = "https://aurora.example"

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.fixture
async def birch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """Yield a node that has caught a peer with two stories."""
    async with nodes(tmp_path, "aurora", "birch", "cobalt") as (aurora, birch, cobalt):
        await tell_two_stories(aurora, birch, cobalt, (2, 2))
        await birch.node.witnessing.round()
        reach(monkeypatch, birch)
        yield birch


async def run(*words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, log, list(words))


async def said(*words: str) -> Any:  # noqa: ANN401 -- whatever the command prints
    result = await run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


async def refused(kind: type[Exception], *words: str) -> None:
    result = await run(*words)
    assert isinstance(result.exception, kind), result.output


async def test_evidence_goes_from_node_to_file_and_back(birch: Running, tmp_path: Path) -> None:
    (found,) = await said("evidence", "list")
    assert (found["accused"], found["kind"], found["bound"], found["frozen"]) == (
        AURORA, "two-checkpoints", True, True,
    )  # fmt: skip
    assert "frozen" in (await run("evidence", "list")).stdout
    verdict = await said("evidence", "show", found["hash"][:8])
    assert verdict["what"].startswith("two checkpoints of aurora.example/log")
    file = tmp_path / "evidence.json"
    assert (await said("evidence", "export", found["hash"][:8], str(file))) == verdict
    await refused(RefusedError, "evidence", "export", found["hash"][:8], str(file))
    assert (await said("evidence", "verify", str(file))) == verdict
    imported = await said("evidence", "import", str(file))
    assert (imported["hash"], imported["source"]) == (found["hash"], "found here")
    await refused(MissingError, "evidence", "show", "AAAA")
    assert birch.node.peering.directory.get(AURORA).frozen


async def test_a_file_that_proves_nothing_is_refused_with_its_rule(birch: Running, tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    for case in json.loads(vectors.files()["evidence/bundles.json"])["cases"]:
        file.write_text(case["input"], encoding="utf-8")
        result = await run("evidence", "verify", str(file))
        if "result" in case:
            assert result.exit_code == 0, case["name"]
        else:
            assert isinstance(result.exception, MeshError), case["name"]
            assert result.exception.code == case["rule"], case["name"]
    assert len(await birch.node.witnessing.evidence.all()) == 1


async def test_a_bundle_about_keys_of_nobody_is_kept_without_consequence(birch: Running, tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    good = json.loads(vectors.files()["evidence/bundles.json"])["cases"][0]
    file.write_text(good["input"], encoding="utf-8")
    await birch.node.witnessing.thaw(AURORA)
    # The vectors call themselves Aurora too, with other keys.
    assert "none: the keys are not those" in (await run("evidence", "import", str(file))).stdout
    assert not birch.node.peering.directory.get(AURORA).frozen


async def test_thawing_is_asked_about(birch: Running) -> None:
    answered = await asyncio.to_thread(CliRunner().invoke, log, ["evidence", "thaw", AURORA], input="n\n")
    assert isinstance(answered.exception, RefusedError)
    assert birch.node.peering.directory.get(AURORA).frozen
    await said("evidence", "thaw", AURORA, "--yes")
    assert not birch.node.peering.directory.get(AURORA).frozen
    assert "thawed" in (await run("evidence", "list")).stdout
    await refused(MissingError, "evidence", "thaw", AURORA, "--yes")


async def test_witnesses_and_watched_logs_are_listed(birch: Running) -> None:
    await birch.node.witnessing.cosigner.collect()
    # The frozen peer is not asked, and its log is marked.
    assert {one["name"]: one["size"] > 0 for one in await said("witnesses")} == {"https://cobalt.example": True}
    problems = {one["origin"]: one["problem"] for one in await said("watched")}
    assert problems == {"aurora.example/log": "forked", "cobalt.example/log": ""}
    assert "forked" in (await run("watched")).stdout
    assert "https://cobalt.example" in (await run("witnesses")).stdout


async def test_an_override_is_refused_where_nothing_waits(birch: Running) -> None:
    assert birch.node.witnessing.start_check.cleared
    await refused(RefusedError, "override", "--yes")
