"""How long to leave a peer alone that does not answer: full jitter, capped by how long the outage has lasted.

Source: docs/protocol/33-delivery.md.
"""

from typing import Final

import msgspec

from protocol.errors import LimitError, MeshError, UnavailableError

#: Longest pause in seconds between two tries, by seconds since the peer last answered.
PAUSES: Final = ((900, 5.0), (86_400, 60.0))
LONGEST_PAUSE_S: Final = 900.0
SHORTEST_PAUSE_S: Final = 0.25
#: A peer that says it is back is tried at most this often.
LEAST_BETWEEN_S: Final = 1.0
#: Nobody is believed who wants us to wait longer; a peer that is back earlier says so by asking us something.
LONGEST_WAIT_S: Final = 3600.0


class PeerStatus(msgspec.Struct, kw_only=True):
    """How sending to one peer goes; kept in memory only.

    `pausing`: the last try failed, and only the end of the pause or the peer itself ends it. `singly`: so many items
    travel one at a time. `wait_s` is the length of the pause, which ends at `until`.
    """

    failures: int = 0
    down_since: int | None = None
    last_error: str = ""
    pausing: bool = False
    singly: int = 0
    wait_s: float = 0.0
    until: int | None = None


def pause(status: PeerStatus, *, now: int, jitter: float) -> float:
    """Return the seconds to wait after a failure, between 0.25 and the cap of the outage so far.

    Args:
        jitter: uniform in [0, 1).
    """
    away = now - (status.down_since if status.down_since is not None else now)
    cap = next((longest for until, longest in PAUSES if away < until), LONGEST_PAUSE_S)
    longest = min(cap, SHORTEST_PAUSE_S * 2.0 ** min(status.failures, 20))
    return max(SHORTEST_PAUSE_S, jitter * longest)


def note_failure(status: PeerStatus, error: Exception, *, now: int, entropy: bytes) -> float:
    """Return the seconds to wait after `error`, which `status` counts from now on.

    Args:
        entropy: at least one byte, for the jitter.
    """
    status.failures += 1
    status.last_error = error.code if isinstance(error, MeshError) else "internal"
    status.down_since = now if status.down_since is None else status.down_since
    status.pausing = True
    retry_at = error.retry_at if isinstance(error, LimitError | UnavailableError) else None
    asked = min(retry_at - now, LONGEST_WAIT_S) if retry_at is not None else 0.0
    jitter = int.from_bytes(entropy, "big") / 256 ** len(entropy)
    status.wait_s = max(pause(status, now=now, jitter=jitter), asked)
    status.until = now + round(status.wait_s)
    return status.wait_s
