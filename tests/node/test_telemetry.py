"""Log lines: one a line, no secrets, no control characters, bounded (bad-input lines 75 and 79)."""

import io
import json
import logging
from typing import Any

import pytest

from node.events import Events
from node.telemetry import LONGEST_LINE, LibraryHandler, Log, Metrics, failure, is_private, make_log
from protocol.errors import RefusedError
from tests.fakes.clock import SteppedClock


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> Log:
    return make_log(SteppedClock(1000), stream=stream)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    text = stream.getvalue()
    assert text.isprintable() or text.replace("\n", "").isprintable()
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_says_when_how_grave_and_what(log: Log, stream: io.StringIO) -> None:
    log.info("ready", port=8440)
    assert lines(stream) == [{"at": 1000, "level": "info", "event": "ready", "port": 8440}]


@pytest.mark.parametrize(
    "hostile", ["a\r\nb", "\x1b[31mred\x1b[0m", "a\u2028b", "a\x00b", "\u202egnp.exe", "\x9b31m", "{}\n{}", "\x7f"]
)
def test_what_a_terminal_would_act_on_is_escaped(log: Log, stream: io.StringIO, hostile: str) -> None:
    log.info("seen", agent=hostile, **{hostile: 1})
    (line,) = lines(stream)
    assert all(one.isprintable() for one in line["agent"])
    assert stream.getvalue().count("\n") == 1


def test_a_megabyte_is_cut(log: Log, stream: io.StringIO) -> None:
    log.info("seen", agent="x" * 2**20, many=["y" * 1000] * 100, **{f"field{n}": "z" * 1000 for n in range(100)})
    assert len(stream.getvalue()) <= LONGEST_LINE
    assert lines(stream)[0]["event"] == "seen"


@pytest.mark.parametrize(
    "name", ["token", "operator_token", "password", "mail", "authorization", "member", "brief", "recovery_key"]
)
def test_secrets_and_persons_are_blanked_by_name(log: Log, stream: io.StringIO, name: str) -> None:
    log.info("seen", **{name: "canary"})
    assert lines(stream)[0][name] == "[redacted]"
    assert "canary" not in stream.getvalue()


@pytest.mark.parametrize("name", ["error_code", "route", "status", "url", "entity", "keyid"])
def test_harmless_names_stay(name: str) -> None:
    assert not is_private(name)


def test_lines_below_the_level_are_not_written(stream: io.StringIO) -> None:
    log = make_log(SteppedClock(), level="warning", stream=stream)
    log.info("hidden")
    log.warning("shown")
    assert [line["event"] for line in lines(stream)] == ["shown"]


def test_an_unexpected_errors_text_is_not_written_because_it_may_quote_a_person() -> None:
    with pytest.raises(ValueError, match="canary") as caught:
        int("canary")
    fields = failure(caught.value)
    assert fields["error"] == "ValueError"
    assert "canary" not in json.dumps(fields)
    assert any("test_telemetry.py" in place for place in json.loads(json.dumps(fields))["places"])


def test_an_expected_errors_text_is_written() -> None:
    fields = failure(RefusedError("too soon", code="early"))
    assert (fields["error_code"], fields["detail"]) == ("early", "too soon")


def test_libraries_are_heard_without_their_arguments(log: Log, stream: io.StringIO) -> None:
    logger = logging.getLogger("mentormesh.tests.library")
    logger.propagate = False
    logger.handlers = [LibraryHandler(log)]
    try:
        raise ValueError("canary")
    except ValueError:
        logger.exception("Error handling request from %s", "canary")
    logger.info("not important")
    (line,) = lines(stream)
    assert (line["source"], line["template"], line["error"]) == (
        "mentormesh.tests.library",
        "Error handling request from %s",
        "ValueError",
    )
    assert "canary" not in stream.getvalue()


def test_every_event_is_counted_and_written_and_names_nobody(stream: io.StringIO) -> None:
    metrics = Metrics()
    events = Events(make_log(SteppedClock(), level="debug", stream=stream), metrics)
    events.node_ready(entity="https://a.example", url="http://127.0.0.1:1", version="1")
    events.node_stopping(reason="SIGTERM")
    events.node_stopped(unfinished=("mirror",))
    events.job_failed("mirror", ValueError("canary"), again_in_s=1)
    events.request_failed("/x/{id}", ValueError("canary"), request_id="r")
    events.request_refused("/x/{id}", status=400, error_code="malformed", request_id="r")
    events.operator_acted("peer.list", outcome="done")
    events.mails_sent(sent=1, retried=0, refused=0, expired=0)
    events.dead_letter("refused")
    events.receipt_refused("unverified")
    events.document_refused("unavailable")
    assert len(lines(stream)) == 11
    assert "canary" not in stream.getvalue()
    text = metrics.text().decode()
    assert 'mentormesh_events_total{event="operator"} 1.0' in text
    assert 'mentormesh_job_failures_total{job="mirror"} 1.0' in text


def test_two_nodes_in_one_process_count_apart() -> None:
    first, second = Metrics(), Metrics()
    first.events.labels("ready").inc()
    assert second.registry.get_sample_value("mentormesh_events_total", {"event": "ready"}) is None
