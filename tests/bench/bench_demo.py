"""The demo: set-up, the story after it, and the whole run, with three companies."""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from .figures import Figure

RUNS = 3
LONGEST_S = 120


class Times(msgspec.Struct, frozen=True):
    """What is measured of a run's summary."""

    setup_seconds: float
    story_seconds: float
    seconds: float


def run() -> list[Figure]:
    """Return the medians of some runs, each in a new folder and with the same seed."""
    with tempfile.TemporaryDirectory() as folder:
        found = [_play(Path(folder) / str(number)) for number in range(RUNS)]
    middle = [sorted(getattr(one, name) for one in found)[RUNS // 2] for name in Times.__struct_fields__]
    return [
        Figure(name="demo, set-up", value=middle[0], unit="s"),
        Figure(name="demo, wall time after set-up", value=middle[1], unit="s", aim="≤ 15 s"),
        Figure(name="demo, whole run", value=middle[2], unit="s", aim="≤ 60 s"),
    ]


def _play(folder: Path) -> Times:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "demo", "--once", "--json", "--seed", "1", "--dir", str(folder)],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=LONGEST_S,
    )
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Times)
