"""Contact tokens: who holds one may ask the same mentor again; the mentor's node knows a hash until it is used.

Two devices exchange a token end to end after both said that they would meet again. The node cannot ask with what it
keeps, and a token says nothing about the person who holds it. Source: docs/protocol/31-handshake.md §11.
"""

from typing import Final

from .encoding import b64, label, sha256
from .ids import RandomId, id_bytes

#: A token lives 24 months.
LIFE_S: Final = 730 * 86_400
#: Clocks of devices may differ.
SKEW_S: Final = 86_400


def token_commitment(token: RandomId) -> str:
    """Return what the mentor's node keeps of a token, as 43 characters. Raises: MalformedError: no 16 bytes."""
    return b64(sha256(label("contact-token"), id_bytes(token, what="contact token")))
