"""Figures of the store among the metrics of a node."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.registry import Collector

from .store.figures import StoreFigures

if TYPE_CHECKING:
    from prometheus_client import Metric


class StoreMetrics(Collector):
    """Shows what the store said last; nothing before it was asked, or while its database is away."""

    def __init__(self) -> None:
        self.last: StoreFigures | None = None

    def collect(self) -> "Iterator[Metric]":
        """Yield one family for each figure that there is."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        last = self.last
        if last is None:
            return
        for name, meaning, value in (
            ("commits", "Durable commits.", last.commits),
            ("commit_seconds", "Time that commits took.", last.commit_s),
            ("turns", "Transactions that may have waited for others.", last.turns),
            ("turn_seconds", "Time that writers waited for each other.", last.turn_s),
            ("session_wait_seconds", "Time that readers waited for a session.", last.session_wait_s),
        ):
            if value is not None:
                yield CounterMetricFamily(f"mentormesh_store_{name}", meaning, value=value)
        for name, meaning, value in (
            ("replicas", "Replicas that the primary reports.", last.replicas),
            ("replica_lag_seconds", "How far the slowest replica is behind.", last.replica_lag_s),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"mentormesh_store_{name}", meaning, value=value)
        if last.busy is not None and last.most is not None:
            sessions = GaugeMetricFamily("mentormesh_store_sessions", "Sessions that read.", labels=["state"])
            sessions.add_metric(["busy"], last.busy)
            sessions.add_metric(["most"], last.most)
            yield sessions
