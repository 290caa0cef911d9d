"""A running process is searched wholly, stands still only meanwhile, and is found to hold what it holds."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from cli.demo import memory
from cli.demo.memory import memory_of
from cli.demo.search_nodes import Needle, Search
from protocol.errors import UnavailableError

pytestmark = pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="this platform has no /proc/PID/mem")

SECRET: Final = "xylophone-quartz-9041"
#: Holds the secret, which its source does not spell out, only in a value made at run time.
HOLDER: Final = """
import sys
kept = "".join(chr(ord(each) - 1) for each in sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    print(line.strip(), flush=True)
"""


@pytest.fixture
def holder() -> Iterator["subprocess.Popen[str]"]:
    shifted = "".join(chr(ord(each) + 1) for each in SECRET)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, shifted], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def hits(pid: int, text: str) -> int:
    search = Search()
    search.add([Needle(label="it", text=text)])
    found, size = search.over("memory", lambda overlap: memory_of(pid, overlap=overlap))
    assert size > 1_000_000
    return sum(hit.count for hit in found)


def test_what_a_process_holds_is_found_and_what_it_does_not_hold_is_not(holder: "subprocess.Popen[str]") -> None:
    assert hits(holder.pid, SECRET) > 0
    assert hits(holder.pid, f"{SECRET}-and-never-said") == 0


def test_a_searched_process_goes_on(holder: "subprocess.Popen[str]") -> None:
    hits(holder.pid, SECRET)
    assert holder.stdin is not None
    assert holder.stdout is not None
    print("still here", file=holder.stdin, flush=True)
    assert holder.stdout.readline() == "still here\n"


def test_nothing_is_cut_apart_between_two_pieces(
    holder: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hits(holder.pid, SECRET)
    monkeypatch.setattr(memory, "CHUNK", 4096 + 7)
    assert hits(holder.pid, SECRET) >= whole


def test_a_process_that_is_gone_has_no_memory(holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.wait()
    with pytest.raises(UnavailableError):
        list(memory_of(holder.pid, overlap=0))


def test_a_platform_that_shows_no_memory_says_so() -> None:
    with pytest.raises(UnavailableError, match="cannot be read here"):
        next(memory_of(2**22 + 1, overlap=0))


def test_the_search_takes_any_pieces() -> None:
    search = Search()
    search.add([Needle(label="it", text=SECRET)])
    found, size = search.over("place", partial(_in_two, SECRET.encode()))
    assert [(hit.place, hit.count) for hit in found] == [("place", 1)]
    assert size > len(SECRET)


def _in_two(data: bytes, overlap: int) -> Iterator[bytes]:
    yield data[:9]
    yield data[:9][-overlap:] + data[9:]
