"""How many requests were answered, and how fast, among the metrics of a node.

Counted as plain numbers, because every request pays for it: the library takes a lock for each of its figures.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client import Metric

BOUNDS_S: Final = (0.002, 0.01, 0.05, 0.25, 1.0, 5.0)


class RequestMetrics(Collector):
    """Shows the answers of one node by method, route and kind of status, and their times by route."""

    def __init__(self) -> None:
        self._answers: Final[dict[tuple[str, str, int], int]] = {}
        #: By route: answers within each bound and above all of them, and the sum of their seconds.
        self._times: Final[dict[str, list[int]]] = {}
        self._seconds: Final[dict[str, float]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; `route` is a path of ours with its braces, so that labels are few."""
        key = method, route, status // 100
        self._answers[key] = self._answers.get(key, 0) + 1
        if route not in self._times:
            self._times[route], self._seconds[route] = [0] * (len(BOUNDS_S) + 1), 0.0
        self._times[route][bisect_left(BOUNDS_S, seconds)] += 1
        self._seconds[route] += seconds

    def collect(self) -> "Iterator[Metric]":
        """Yield both families."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        answers = CounterMetricFamily("mentormesh_requests", "Requests answered.", labels=("method", "route", "status"))
        for (method, route, kind), count in self._answers.items():
            answers.add_metric((method, route, f"{kind}xx"), count)
        yield answers
        times = HistogramMetricFamily("mentormesh_request_seconds", "Time to answer.", labels=("route",))
        names = [*map(str, BOUNDS_S), "+Inf"]
        for route, counts in self._times.items():
            times.add_metric((route,), list(zip(names, accumulate(counts), strict=True)), self._seconds[route])
        yield times
