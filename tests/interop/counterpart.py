"""Ask an independent implementation, which lives in an environment of its own, to read or write our formats.

`make test` builds that environment from requirements/interop.txt. A question and its answer are JSON values: the
script reads one from standard input and prints the other.
"""

import json
import subprocess
from pathlib import Path
from typing import Final

from tests.patience import PATIENCE_S

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = ROOT / ".venv-interop" / "bin" / "python"
#: A program that is itself patient tells then what it waited for.
TIMEOUT_S: Final = PATIENCE_S + 60


def ask(script: str, question: object) -> object:
    """Return what `script` (a file of this folder) answers to `question`.

    Raises: AssertionError: the environment is missing, or the script failed; its standard error is shown.
    """
    assert PYTHON.is_file(), "no environment with counterparts: run `make .venv-interop/.deps`"
    done = subprocess.run(
        [str(PYTHON), "-I", str(Path(__file__).with_name(script))],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: object = json.loads(done.stdout)
    return answer
