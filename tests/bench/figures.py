"""One measured figure, and how it is shown."""

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark found, with the aim it is held against.

    `ratio_to` names the floor when `value` is a ratio to something measured in the same run, such as
    "bare PyNaCl verify"; the unit is then "×".
    """

    name: str
    value: float
    unit: str
    aim: str = ""
    ratio_to: str = ""

    def shown(self) -> str:
        """Return the value with its unit, with three significant digits."""
        return f"{self.value:,.0f} {self.unit}" if abs(self.value) >= 1000 else f"{self.value:.3g} {self.unit}"


def percentile(samples: list[float], percent: float) -> float:
    """Return the nearest-rank percentile of a non-empty list, e.g. 50 or 99."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered)) - 1))]
