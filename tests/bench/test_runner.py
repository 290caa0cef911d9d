"""The runner of the benchmarks shows what was measured, and says when something could not be."""

import json
import sys
from types import ModuleType

import pytest

from .__main__ import chosen, line, main, measure
from .figures import Figure, percentile

FIGURE = Figure(name="signed request verify", value=1.234, unit="×", aim="≤ 1.5 ×", ratio_to="bare PyNaCl verify")


async def _measured_later() -> list[Figure]:
    return [FIGURE]


def _broken() -> list[Figure]:
    raise OSError("no such port")


@pytest.mark.parametrize(("samples", "percent", "expected"), [([3, 1, 2], 50, 2), ([1], 99, 1), ([1, 2, 3, 4], 100, 4)])
def test_a_percentile_is_one_of_the_samples(samples: list[float], percent: float, expected: float) -> None:
    assert percentile(samples, percent) == expected


def test_a_row_names_the_floor_and_the_aim() -> None:
    assert " ".join(line(FIGURE).split()) == "signed request verify 1.23 × of bare PyNaCl verify, aim ≤ 1.5 ×"


def test_a_whole_part_of_a_name_means_that_alone() -> None:
    assert list(chosen(["post"])) == ["bench_post"]
    assert set(chosen(["postgres"])) > {"bench_postgres", "bench_postgres_messages"}
    assert list(chosen(["vocab"])) == ["bench_vocabulary"]


def test_no_benchmark_of_that_name_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-word"]) == 2
    assert capsys.readouterr().err == "no benchmark matches no-such-word\n"


@pytest.mark.parametrize("run", [lambda: [FIGURE], _measured_later])
def test_figures_come_as_one_json_object_a_line(
    run: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pretend(monkeypatch, run)
    assert measure("bench_pretended", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["ratio_to"] == "bare PyNaCl verify"


def test_a_benchmark_that_fails_is_told_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pretend(monkeypatch, _broken)
    assert measure("bench_pretended", as_json=False) == 1
    assert capsys.readouterr().err == "bench_pretended failed: OSError: no such port\n"


def _pretend(monkeypatch: pytest.MonkeyPatch, run: object) -> None:
    module = ModuleType("bench_pretended")
    module.__dict__["run"] = run
    monkeypatch.setitem(sys.modules, "tests.bench.bench_pretended", module)
