"""The tutorial, typed as it stands: every command succeeds, and the placeholders are what came before."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.running import free_port
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorials" / "two-companies.md"

#: What a word in capitals stands for: the newest text of this form that a command printed.
PLACEHOLDERS = {
    "TICKET": re.compile(r"\bmm1-[A-Za-z0-9_-]+"),
    "LINK": re.compile(r"http://[a-z]+\.localhost:\d+/sign-in#[A-Za-z0-9_-]+"),
    "THREAD": re.compile(r"^[A-Za-z0-9_-]{22}(?= )", re.MULTILINE),
}


@pytest.fixture
def groups() -> Iterator[list[int]]:
    """Process groups to end with the test: the shells that left nodes running."""
    started: list[int] = []
    yield started
    for group in started:
        try:
            os.killpg(group, signal.SIGTERM)
        except ProcessLookupError:
            continue


def blocks() -> list[str]:
    """Return the commands of the page, block by block."""
    return re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.system
@pytest.mark.slow
def test_every_command_of_the_tutorial_does_what_it_says(tmp_path: Path, groups: list[int]) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MENTORMESH")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MENTORMESH_PASSPHRASE": "a long passphrase for the tutorial",
        "LANG": "C.UTF-8",
    }
    ports = {"8441": str(free_port()), "8442": str(free_port())}
    seen: dict[str, str] = {}
    printed = ""
    for block in blocks():
        commands = block
        for name, value in {**ports, **seen}.items():
            commands = commands.replace(name, value)
        out = tmp_path / "out.txt"
        with out.open("w") as sink:
            shell = subprocess.Popen(
                ["bash", "-ec", commands],
                cwd=tmp_path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            groups.append(shell.pid)
            code = shell.wait(timeout=PATIENCE_S)
        text = out.read_text()
        assert code == 0, f"{block}\n{text}"
        printed += text
        for name, form in PLACEHOLDERS.items():
            if found := form.findall(text):
                seen[name] = found[-1]
    assert "not found" in printed
    assert "Say the decision first" in printed
