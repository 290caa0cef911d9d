"""Log lines (JSON, one a line, on standard error) and metrics, without personal data or secrets.

Every line passes the same three steps: secrets and personal fields are blanked by name, control characters are
escaped and long values cut, the whole is written as one line of JSON.
"""

import logging
import sys
import traceback
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final, Protocol, TextIO

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge

from federation.ports import Clock
from protocol.errors import MeshError

from .requestmetrics import RequestMetrics
from .storemetrics import StoreMetrics

LONGEST_VALUE: Final = 300
LONGEST_LINE: Final = 8192
MOST_FRAMES: Final = 8
BLANK: Final = "[redacted]"

#: Names of fields that are never written, whole or as the last word of a longer name (`reset_token`).
REDACTED: Final = frozenset(
    {"authorization", "body", "brief", "code", "cookie", "display_name", "email", "key", "line", "mail", "member"}
    | {"name", "need", "passphrase", "password", "person", "private", "recipient", "secret", "seed", "text", "ticket"}
    | {"token"}
)
#: Names that look like one of these and are harmless: error codes, names of jobs and nodes.
PLAIN: Final = frozenset({"error_code", "job_name", "node_name", "operation_name"})

Line = Mapping[str, object]

#: The last one silences: nothing is written at it.
LEVELS: Final = ("debug", "info", "warning", "error", "critical")


class Log(Protocol):
    """What the rest of a node uses of a logger: an event word and fields."""

    def debug(self, event: str, **fields: object) -> object: ...  # noqa: D102
    def info(self, event: str, **fields: object) -> object: ...  # noqa: D102
    def warning(self, event: str, **fields: object) -> object: ...  # noqa: D102
    def error(self, event: str, **fields: object) -> object: ...  # noqa: D102


class Metrics:
    """The figures of one node in a registry of their own, so that two nodes in one process stay apart."""

    def __init__(self) -> None:
        self.registry: Final = CollectorRegistry()
        self.requests: Final = RequestMetrics()
        self.registry.register(self.requests)
        self.events: Final = Counter("mentormesh_events", "What happened.", ("event",), registry=self.registry)
        self.failures: Final = Counter("mentormesh_job_failures", "Jobs that failed.", ("job",), registry=self.registry)
        self.steps: Final = Counter(
            "mentormesh_step_failures", "Steps of jobs that failed.", ("step",), registry=self.registry
        )
        self.store: Final = StoreMetrics()
        self.registry.register(self.store)
        self.connections: Final = Gauge("mentormesh_connections", "Open connections.", registry=self.registry)

    def text(self) -> bytes:
        """Return all figures in the Prometheus text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


class JsonLog:
    """Writes lines of at least one level."""

    def __init__(self, clock: Clock, least: str, stream: TextIO | None) -> None:
        self._clock: Final = clock
        self._least: Final = LEVELS.index(least)
        self._stream: Final = stream or sys.stderr

    def debug(self, event: str, **fields: object) -> None:
        """Write what only a search for a mistake needs."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Write what happened."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Write what an operator should know."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Write what an operator should mend."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        if LEVELS.index(level) >= self._least:
            line = {"at": self._clock.now(), "level": level, "event": event, **fields}
            # In one piece, so that lines of several threads stay apart.
            self._stream.write(render(clean(redact(line))) + "\n")
            self._stream.flush()


def make_log(clock: Clock, *, level: str = "info", stream: TextIO | None = None) -> Log:
    """Return a logger that writes lines of at least `level` to `stream` (standard error)."""
    return JsonLog(clock, level, stream)


def redact(line: Line) -> Line:
    """Blank the values of fields that are secret or about a person."""
    return {name: BLANK if is_private(name) else value for name, value in line.items()}


def is_private(name: str) -> bool:
    """Return whether a field of this name is never written."""
    return name not in PLAIN and (name in REDACTED or name.rpartition("_")[2] in REDACTED)


def clean(line: Line) -> Line:
    """Escape what a terminal or a log reader would act on, and cut what is long."""
    return {_printable(name): _plain(value) for name, value in line.items()}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value[:MOST_FRAMES]]
    return _printable(value if isinstance(value, str) else type(value).__name__)


def _printable(text: str) -> str:
    cut = text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in cut)


def render(line: Line) -> str:
    """Return the line as JSON; what is still too long keeps its first fields."""
    text = msgspec.json.encode(line).decode()
    if len(text) <= LONGEST_LINE:
        return text
    first = dict(list(line.items())[:4])
    return msgspec.json.encode({**first, "cut": True}).decode()


def failure(error: BaseException) -> dict[str, object]:
    """Return the fields that describe an exception: its kind and places in our code, its text only when it is ours.

    The text of other exceptions may quote what a person wrote.
    """
    fields: dict[str, object] = {"error": type(error).__name__}
    if isinstance(error, MeshError):
        fields |= {"error_code": error.code, "detail": str(error)}
    frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    places = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {**fields, "places": places}


class LibraryHandler(logging.Handler):
    """Writes the warnings of libraries as lines of ours: where from and what kind, without their arguments."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; its message is the template, because arguments may hold what a client sent."""
        error = record.exc_info[1] if record.exc_info else None
        fields = failure(error) if error else {}
        self._log.warning("library", source=record.name, template=str(record.msg), **fields)


def adopt_library_logs(log: Log) -> None:
    """Send what libraries report through `log`; for the process that serves one node."""
    root = logging.getLogger()
    root.handlers = [LibraryHandler(log)]
    root.setLevel(logging.WARNING)
