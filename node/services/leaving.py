"""What happens to a person's threads when the person leaves or is erased."""

from typing import Final

from federation.ports import Writer

from .answering import Answering
from .blobs import Blobs
from .consumer import Consumer
from .labels import MAILBOX, label_for


class LeaveThreads:
    """The hook of `Members` and `Erasure`."""

    def __init__(self, answering: Answering, consumer: Consumer, blobs: Blobs) -> None:
        self._answering: Final = answering
        self._consumer: Final = consumer
        self._blobs: Final = blobs

    async def leave(self, tx: Writer, member: str, _now: int) -> None:
        """End what others expect of a person who leaves, in the transaction of the leaving."""
        label = await label_for(tx, member, MAILBOX)
        if label is not None:
            await self._answering.leave(tx, label)
            await self._consumer.leave(tx, label)
            await self._blobs.forget(tx, label)
