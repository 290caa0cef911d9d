"""What happens to a person's threads when the person leaves or is erased."""

from typing import Final

from federation.ports import Writer

from .answering import Answering
from .labels import MAILBOX, label_for


class LeaveThreads:
    """The hook of `Members` and `Erasure`."""

    def __init__(self, answering: Answering) -> None:
        self._answering: Final = answering

    async def leave(self, tx: Writer, member: str, _now: int) -> None:
        """End what others expect of a mentor who leaves, in the transaction of the leaving."""
        label = await label_for(tx, member, MAILBOX)
        if label is not None:
            await self._answering.leave(tx, label)
