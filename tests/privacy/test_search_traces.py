"""What somebody looks for leaves no trace at their own node: no row, no log line, no metric, no file."""

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from protocol.needs import Need
from tests.cli.client.world import company

pytestmark = [pytest.mark.slow, pytest.mark.system]

WORDS = "zebrafinch quokka"
TOPIC = "ext:canary:okapi-narwhal"
TRACES = ("zebrafinch", "quokka", "okapi", "narwhal", "canary")


async def test_words_and_needs_are_nowhere_after_a_search(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    need = Need(topics=(TOPIC,), kind="been-through", languages=("en",), format="call", length=30)
    async with company(tmp_path, "aurora", telemetry={"level": "debug"}) as aurora, aurora.person("aurora1") as ana:
        await ana.api.suggest(WORDS, "en")
        assert (await ana.api.search(need, ())).offers == ()
        await ana.api.labels((TOPIC,), "en")
        # Colleagues are asked through the own node's matcher, which then reads the request as any provider does.
        await ana.ask(need, own=False)
        metrics = generate_latest(aurora.node.base.events.metrics.registry).decode()
        export = (await ana.api.export()).decode()
    said = "".join(capfd.readouterr())
    files = [path.read_bytes() for path in (tmp_path / "nodes").rglob("*") if path.is_file()]
    assert "/api/v1/search" in metrics  # the places that are looked at are not empty
    assert any(b"aurora1@aurora.example" in data for data in files)
    for trace in TRACES:
        assert trace not in metrics
        assert trace not in export
        assert trace not in said
        assert not any(trace.encode() in data for data in files)
