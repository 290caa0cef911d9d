"""Who sends to a peer where several processes serve a node: items keep their order only in one hand."""

from typing import Protocol


class Claim(Protocol):
    """Says whether this process has a peer to itself."""

    async def __call__(self, peer: str, /) -> bool:
        """Tell whether this process sends to `peer`; once it does, it goes on until it is gone."""
        ...


async def alone(peer: str) -> bool:  # noqa: ARG001 -- as another claim
    """Tell that one process serves the node."""
    return True
