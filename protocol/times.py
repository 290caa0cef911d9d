"""Times as people read them."""

from datetime import UTC, datetime


def when(at: int) -> str:
    """Return Unix seconds as a date and a time of day, such as `2027-01-31 09:20 UTC`."""
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
