"""`session report` and `report verify`, as people type them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.client.unlock import create_vault
from cli.main import main
from protocol.e2ee.frames import Chat
from tests.cli.client.pair import NOW, Pair
from tests.cli.client.test_epochs import opened
from tests.cli.client.test_own_words import say
from tests.cli.client.test_reports import number_of
from tests.cli.client.world import PASSPHRASE, QUICK


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A mentor whom the mentee has threatened, and the mentor's vault; no node is anywhere."""
    made = opened()
    say(made, Chat(text="pay or else"))
    say(made, Chat(text="nothing to do with it"))
    create_vault(tmp_path / "home", made.mentor, passphrase=PASSPHRASE, cost=QUICK)
    monkeypatch.setattr("cli.client.core.time.time", lambda: NOW)
    monkeypatch.setenv("MENTORMESH_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("LANG", "C")
    return made


def report(pair: Pair, folder: Path, *more: str) -> Result:
    number = str(number_of(pair, "pay or else"))
    words = ["session", "report", pair.thread, "--message", number, "--reason", "threat"]
    where = ["--to", str(folder / "report.json"), "--home", str(folder / "home")]
    return CliRunner().invoke(main, [*words, *where, "--words", "It was serious.", *more])


def verify(path: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["report", "verify", str(path), *more])


def test_a_report_is_shown_then_written_then_verified_by_somebody_else(pair: Pair, tmp_path: Path) -> None:
    made = report(pair, tmp_path, "--yes")
    assert made.exit_code == 0, made.output
    assert "[chat]: pay or else" in made.stderr
    assert "nothing else that was said" in made.stderr
    assert "nothing to do with it" not in made.output
    path = tmp_path / "report.json"
    assert path.stat().st_mode & 0o777 == 0o600
    checked = verify(path)
    assert checked.exit_code == 0, checked.output
    identity = pair.mentee.account_secret.identity(pair.audience).public.text
    for sentence in ("mentee [chat]: pay or else", "Verified: ", f"Their key at {pair.aurora.entity}: {identity}"):
        assert sentence in checked.stdout
    assert json.loads(verify(path, "--json").stdout)["identity_key"] == identity
    again = report(pair, tmp_path, "--yes")
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)


def test_nothing_is_written_unless_somebody_agrees(pair: Pair, tmp_path: Path) -> None:
    refused = report(pair, tmp_path)
    assert refused.exit_code == 1
    assert "say --yes" in refused.stderr
    assert not (tmp_path / "report.json").exists()


def test_a_changed_report_is_refused_in_one_sentence(pair: Pair, tmp_path: Path) -> None:
    assert report(pair, tmp_path, "--yes").exit_code == 0
    path = tmp_path / "report.json"
    body: dict[str, Any] = json.loads(path.read_bytes())
    body["said"][0]["frame"]["content"]["text"] = "never said"
    path.write_bytes(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())
    checked = verify(path)
    assert (checked.exit_code, checked.stdout) == (1, "")
    assert len(checked.stderr.splitlines()) == 1


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    for data in (b"", b"{}", b"\x00" * 100, b" " * (4 * 2**20 + 1)):
        path.write_bytes(data)
        checked = verify(path)
        assert (checked.exit_code, checked.stdout) == (1, "")
