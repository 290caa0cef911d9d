"""Start of a node and its memory at rest."""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from .figures import Figure, percentile

STARTS: Final = 7
#: Long enough for the first round of every job.
REST_S: Final = 3.0
PROGRAM: Final = (sys.executable, "-c", "from cli.main import main; main(prog_name='mentormesh')")


def run() -> list[Figure]:
    """Return the time from `mentormesh serve` to its ready line, and the resident memory of the node at rest."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "aurora"
        words = ("--entity", "https://aurora.example", "--name", "Aurora Freight", "--listen", "127.0.0.1:0")
        subprocess.run(
            [*PROGRAM, "init", "--yes", "--dir", str(directory), "--development", *words],
            check=True,
            capture_output=True,
        )
        _start(directory, rest_s=0)  # compiles the modules and makes the database
        seconds = [_start(directory, rest_s=0)[0] for _ in range(STARTS)]
        _, memory_mib = _start(directory, rest_s=REST_S)
    return [
        Figure(name="cold start of a node to ready, p50", value=percentile(seconds, 50), unit="s", aim="≤ 1 s"),
        Figure(name="cold start of a node to ready, worst", value=max(seconds), unit="s"),
        Figure(name="resident memory of an idle node", value=memory_mib, unit="MiB", aim="≤ 70 MiB"),
    ]


def _start(directory: Path, *, rest_s: float) -> tuple[float, float]:
    """Return the seconds to the ready line and the resident MiB after a rest."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--json", "--dir", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"
        seconds = time.perf_counter() - started
        time.sleep(rest_s)
        resident = _resident_mib(process.pid)
        process.terminate()
    return seconds, resident


def _resident_mib(pid: int) -> float:
    """Return the resident memory of a process, 0 where the system has no /proc."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    (line,) = (line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
