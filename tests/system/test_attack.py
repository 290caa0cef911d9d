"""The staged attack as a visitor runs it: real processes, a liar that is caught, and one that is not."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner

from cli.demo import consortium, patience
from cli.demo.play import Options, play
from cli.main import main
from tests.patience import PATIENCE_S

from .test_demo import WHOLE_RUN_S, playing, processes_of

pytestmark = [pytest.mark.system, pytest.mark.slow]

BIRCH: Final = "https://birch.example"
KINDS: Final = ["two-checkpoints", "two-heads"]


def verified(file: str) -> tuple[int, Any]:
    """Return the exit code and the verdict of the offline check."""
    done = CliRunner().invoke(main, ["log", "evidence", "verify", file, "--json"])
    return done.exit_code, json.loads(done.stdout) if done.exit_code == 0 else None


def test_a_company_that_tells_two_stories_is_caught_and_proved(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--attack", "equivocation", "--seed", "7") as process:
        raw, errors = process.communicate(timeout=WHOLE_RUN_S)
    assert process.returncode == 0, errors.decode()
    assert processes_of(folder) == []
    *before, summary = [json.loads(line) for line in raw.splitlines()]
    assert summary["caught"] is True
    assert (summary["liar"], summary["missed"]) == (BIRCH, "")
    assert summary["found"] == {"aurora": KINDS, "cobalt": KINDS}
    assert summary["frozen_by"] == summary["thawed_by"] == ["aurora", "cobalt"]
    assert 0 < summary["found_seconds"] < summary["seconds"]
    assert [Path(file).name for file in summary["verified"]] == [f"evidence-{kind}.json" for kind in KINDS]
    for file, kind in zip(summary["verified"], KINDS, strict=True):
        code, verdict = verified(file)
        assert (code, verdict["kind"], verdict["accused"]) == (0, kind, BIRCH)
        check_forgery(Path(file))
    check_steps([line for line in before if line["event"] == "step"])


def check_forgery(file: Path) -> None:
    """A bundle in which one letter of a statement is another one proves nothing."""
    text = file.read_text(encoding="utf-8")
    at = text.index('"text":"') + 30
    changed = file.with_suffix(".forged")
    changed.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :], encoding="utf-8")
    assert verified(str(changed))[0] == 1


def check_steps(steps: list[Any]) -> None:
    assert sorted({step["number"] for step in steps}) == list(range(1, 8))
    told = [f"{step['who']}: {step['text']}" for step in steps]
    roots = [line.rpartition("root ")[2] for line in told if "root " in line]
    assert len(set(roots)) == 2
    sets = [line for line in told if "set of offers number" in line]
    assert len({line.rpartition("number ")[2] for line in sets}) == 2
    assert len({line.rpartition("number ")[2].partition(",")[0] for line in sets}) == 1
    for who in ("aurora", "cobalt"):
        assert any(line.startswith(f"{who}: its witness signed Birch’s log") for line in told)
        assert any(line.startswith(f"{who}: evidence: {BIRCH} contradicted itself and is frozen") for line in told)


@pytest.mark.long
async def test_what_nobody_compares_is_not_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    # Nodes that look at logs and ask their peers once an hour do not find a lie within seconds.
    monkeypatch.setattr(consortium, "WATCHFUL", {"log": {"watch_s": 3600.0}, "editions": {"poll_s": 0.5}})
    patience_s = patience.PATIENCE_S
    set_up = consortium.Consortium.begin

    async def begin(self: consortium.Consortium, progress: Any) -> None:  # noqa: ANN401 -- as the original
        await set_up(self, progress)
        monkeypatch.setattr(patience, "PATIENCE_S", 4.0)

    monkeypatch.setattr(consortium.Consortium, "begin", begin)
    folder = tmp_path / "demo"
    options = Options(
        seed=7, companies=3, folder=folder, message=None, once=True, keep=False, as_json=True, attack="equivocation"
    )
    assert patience_s > 4
    assert await play(options) == 1
    out, errors = capsysbinary.readouterr()
    summary = json.loads(out.splitlines()[-1])
    assert (summary["caught"], summary["verified"]) == (False, [])
    assert summary["missed"] == "the two sets of offers were not compared"
    assert b"NOT CAUGHT" in errors
    assert await asyncio.to_thread(processes_of, folder) == []


#: What two people say to each other; a node must hold no word of it.
FIELDS: Final = {
    *("brief 1", "brief 2", "brief 3", "name", "chat", "agenda", "goal", "action", "note", "place", "takeaway"),
    *("useful", "again", "thanks", "vanish", "call-offer", "call-answer", "call-candidate", "call-end"),
    *("retract", "private note", "file", "report"),
}


def test_no_node_holds_a_word_in_its_files_or_its_memory(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--attack", "read-as-admin", "--seed", "7") as process:
        raw, errors = process.communicate(timeout=WHOLE_RUN_S)
    assert process.returncode == 0, errors.decode()
    assert processes_of(folder) == []
    *before, summary = [json.loads(line) for line in raw.splitlines()]
    assert summary["unread"] is True
    assert set(summary["fields"]) >= FIELDS
    assert (summary["file_hits"], summary["memory_hits"], summary["places"]) == (0, 0, [])
    assert summary["file_bytes"] > 1_000_000
    told = [f"{line['who']}: {line['text']}" for line in before if line["event"] == "step"]
    for who, other in (("aurora", "cobalt"), ("cobalt", "aurora")):
        assert any(line.startswith(f"{who}: own person: member E-") for line in told)
        assert any(line.endswith(f"the other organization: https://{other}.example.") for line in told)
    if summary["memory_skipped"]:
        pytest.skip(summary["memory_skipped"])
    # The control: what a node does know is found in its memory by the same search.
    assert min(summary["known_hits"][name] for name in ("aurora", "cobalt")) > 0
    assert summary["memory_bytes"] > 100_000_000


def test_a_key_put_in_the_place_of_a_colleagues_is_seen_by_her_and_proved(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--once", "--attack", "key-swap", "--seed", "7") as process:
        raw, errors = process.communicate(timeout=WHOLE_RUN_S)
    assert process.returncode == 0, errors.decode()
    assert processes_of(folder) == []
    *before, summary = [json.loads(line) for line in raw.splitlines()]
    assert (summary["caught"], summary["missed"], summary["by"]) == (True, "", "https://aurora.example")
    assert summary["looks"] == ["clean", "unreached", "hidden", "swapped"]
    proof = json.loads(Path(summary["evidence"]).read_bytes())
    assert (proof["type"], len(proof["head"]["attestations"])) == ("mentormesh/key-proof/v1", 1)
    told = [f"{line['who']}: {line['text']}" for line in before if line["event"] == "step"]
    assert sum(line.startswith("ana: RED: ") for line in told) == 2
    assert any("attested by his own company. By itself it cannot tell." in line for line in told)
    numbers = [line.partition("would show")[2].strip() for line in told if "would show" in line]
    assert len(numbers) == len(set(numbers)) == 2


def test_a_signal_in_the_middle_of_the_attack_stops_everything(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with playing(folder, "--attack", "equivocation") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "node"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGINT
    assert processes_of(folder) == []


@pytest.mark.parametrize("more", [("--companies", "2"), ("--message", "hello")])
def test_an_attack_has_its_own_companies_and_words(more: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = CliRunner().invoke(main, ["demo", "--attack", "equivocation", "--dir", str(folder), *more])
    assert done.exit_code == 2
    assert "neither --message nor --companies" in done.output
    assert not folder.exists()
