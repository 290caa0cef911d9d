"""What a store says of its own work, for whoever watches a node."""

import msgspec


class StoreFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Sums since the start, and what is so at the moment; None where there is nothing of the kind.

    `turn_s` is what writers waited for each other, in other processes too; `session_wait_s` what readers waited for a
    session with the database. `replica_lag_s` is that of the slowest replica.
    """

    commits: int
    commit_s: float
    turns: int
    turn_s: float
    busy: int | None = None
    most: int | None = None
    session_wait_s: float | None = None
    replicas: int | None = None
    replica_lag_s: float | None = None
