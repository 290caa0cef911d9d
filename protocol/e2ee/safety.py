"""The safety number of two people: equal on both screens unless somebody gave one of them another's key.

Source: docs/protocol/43-devices.md §7.
"""

import hashlib
from typing import Final

from protocol.encoding import label, length_prefixed
from protocol.signing import VerifyKey

GROUPS: Final = 12
DIGITS: Final = 5


def safety_number(one: VerifyKey, other: VerifyKey) -> str:
    """Return twelve groups of five digits for two master keys, the same in either order: `01234 56789 …`."""
    low, high = sorted((one.raw, other.raw))
    digest = hashlib.sha512(label("safety-number") + length_prefixed(low, high)).digest()
    groups = (int.from_bytes(digest[at : at + 5], "big") % 10**DIGITS for at in range(0, 5 * GROUPS, 5))
    return " ".join(f"{group:0{DIGITS}}" for group in groups)
