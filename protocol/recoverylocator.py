"""How a person with recovery words is known to their node after they left: by a value that only the words give.

The node keeps its hash. Source: docs/protocol/49-recovery.md §11.
"""

from .encoding import b64, label, sha256, unb64
from .ids import Bytes32


def locator_commitment(locator: Bytes32) -> str:
    """Return what a node keeps of a locator, as 43 characters. Raises: MalformedError."""
    return b64(sha256(label("recovery-locator"), unb64(locator, size=32, what="locator")))
