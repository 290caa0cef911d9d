"""Figures of answered requests, as a Prometheus server reads them."""

from node.telemetry import Metrics

ROUTE = {"route": "/health"}


def test_answers_are_counted_by_kind_and_their_times_within_bounds() -> None:
    metrics = Metrics()
    for status, seconds in ((200, 0.001), (204, 0.01), (404, 0.011), (503, 9.0)):
        metrics.requests.answered("GET", "/health", status, seconds)
    value = metrics.registry.get_sample_value
    kinds = [value("mentormesh_requests_total", {"method": "GET", **ROUTE, "status": kind}) for kind in ("2xx", "4xx")]
    assert kinds == [2, 1]
    bounds = ("0.002", "0.01", "0.05", "5.0", "+Inf")
    assert [value("mentormesh_request_seconds_bucket", {"le": bound, **ROUTE}) for bound in bounds] == [1, 2, 3, 3, 4]
    assert value("mentormesh_request_seconds_count", ROUTE) == 4
    assert value("mentormesh_request_seconds_sum", ROUTE) == sum((0.001, 0.01, 0.011, 9.0))


def test_before_the_first_request_there_are_no_figures_of_requests() -> None:
    assert b"/health" not in Metrics().text()
