"""Ask a Go program, which is built once with the Go of the counterparts' environment and no network.

Go's own source tree carries `golang.org/x/mod`, where `sumdb/note` and `sumdb/tlog` are: a GOPATH that links to it
is all that the build needs. Programs and what Go built for them stay in the environment; a program is built again when
its source changes. `python -m tests.interop.go_counterpart` builds all of them, so that no test has to wait.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from .counterpart import PYTHON, TIMEOUT_S

ENVIRONMENT: Final = PYTHON.parents[1]
MODULE: Final = Path("golang.org", "x", "mod")
BUILD_TIMEOUT_S: Final = 240
#: What all programs share.
COMMON: Final = Path(__file__).with_name("c2sp_counterpart.go")


def ask_go(source: str, question: object) -> object:
    """Return what the program of `source` (a file of this folder) answers to `question`.

    Raises: AssertionError: there is no Go, or the build or the program failed; its standard error is shown.
    """
    done = subprocess.run(
        [built(source)],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: object = json.loads(done.stdout)
    return answer


def built(source: str) -> Path:
    """Return the program of `source`, building it when its text has changed."""
    file = Path(__file__).with_name(source)
    digest = hashlib.sha256(file.read_bytes() + COMMON.read_bytes()).hexdigest()[:16]
    program = ENVIRONMENT / "counterparts" / f"{file.stem}-{digest}"
    if not program.exists():
        program.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            _build(file, Path(folder))
            (Path(folder) / "program").replace(program)
    return program


def _build(file: Path, folder: Path) -> None:
    """Leave the program of `file` as `folder/program`."""
    roots = sorted(ENVIRONMENT.glob("lib/python*/site-packages/go"))
    assert roots, "no Go among the counterparts: run `make .venv-interop/.deps`"
    link = folder / "path" / "src" / MODULE
    link.parent.mkdir(parents=True)
    link.symlink_to(roots[0] / "src" / "cmd" / "vendor" / MODULE, target_is_directory=True)
    offline = {"GO111MODULE": "off", "GOENV": "off", "GOPROXY": "off", "GOTELEMETRY": "off", "GOTOOLCHAIN": "local"}
    cache = folder.with_name("cache")
    places = {"GOCACHE": str(cache), "GOPATH": f"{folder}/path", "GOROOT": str(roots[0]), "HOME": str(folder)}
    done = subprocess.run(
        [roots[0] / "bin" / "go", "build", "-trimpath", "-o", folder / "program", COMMON, file],
        env={"PATH": os.environ["PATH"], "CGO_ENABLED": "0", **offline, **places},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    for each in sorted(COMMON.parent.glob("*.go")):
        if each != COMMON:
            built(each.name)
