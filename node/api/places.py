"""How many connections one address holds: nobody takes the places of all others by opening and saying nothing."""

from collections import Counter
from typing import Any, Final

from federation.limits import address_key


class AddressPlaces:
    """Counts the open connections of each address, in IPv6 of each /64.

    Args:
        most: for one address; 0 for no bound.
    """

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._held: Final[Counter[str]] = Counter()

    def take(self, peername: Any) -> str:  # noqa: ANN401 -- whatever a transport says
        """Count one connection; return the key to give back."""
        key = address_key(str(peername[0]) if isinstance(peername, tuple) and peername else "")
        self._held[key] += 1
        return key

    def give_back(self, key: str) -> None:
        """Forget one connection of a key."""
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]

    def too_many(self, key: str) -> bool:
        """Tell whether an address holds more than it may."""
        return 0 < self._most < self._held[key]
