"""After a restore: finds out from a peer which messages of shared threads are missing on which side.

What the other side said and this node lost comes again through the peer's outbox. What this node itself said and lost
cannot be said again with another meaning, so such a thread ends on both sides, and both people are told.
Source: docs/protocol/33-delivery.md §8.
"""

from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec

from federation.delivery import recovered
from federation.inbox import Guard
from federation.ports import Reader, Store, Writer, above, at_most, where
from federation.returning import JSON_TYPE, Post
from federation.rows import OutboxRow, ThreadRow
from protocol.delivery import MAX_HEADS, Heads, HeadsAnswer, ThreadHead
from protocol.encoding import decode, encode
from protocol.errors import MalformedError
from protocol.threads import Book

from .queue import Queue
from .threads import Desk

HEADS_PATH: Final = "/federation/v1/heads"

#: Ends a thread whose messages are lost, on this side, and tells the person.
Lose = Callable[[Writer, ThreadRow], Awaitable[None]]


class Recovery:
    """Compares threads in both roles: of the node that was restored, and of its peer."""

    def __init__(self, store: Store, desk: Desk, queue: Queue, post: Post, lose: Lose) -> None:
        self._store: Final = store
        self._desk: Final = desk
        self._queue: Final = queue
        self._post: Final = post
        self._lose: Final = lose

    async def recover(self, peer: str) -> None:
        """Compare all threads with `peer`, then go on with them. Raises: MeshError: the peer cannot be asked now."""
        after: str | None = None
        while True:
            heads = await self._portion(peer, after)
            answer = decode(
                await self._post.post(peer, HEADS_PATH, encode(heads), JSON_TYPE), HeadsAnswer, what="answer to heads"
            )
            reached = _reached(heads, answer)
            async with self._store.write() as tx:
                for thread in answer.lost:
                    for row in await tx.find(ThreadRow, where(thread=thread, peer=peer)):
                        await self._lose(tx, row)
                if reached is None:
                    await recovered(tx, peer)
            if reached is None:
                return
            after = reached

    async def _portion(self, peer: str, after: str | None) -> Heads:
        async with self._store.read() as tx:
            rows = await _shared(tx, peer, after, None)
        upto = rows[-1].thread if len(rows) == MAX_HEADS else None
        return Heads(after=after, upto=upto, heads=tuple(_head(row) for row in rows))

    async def answer(self, peer: str, body: bytes, guard: Guard) -> bytes:
        """Return what a restored peer has lost for good, and queue what it can be sent again.

        Raises: MalformedError; what `guard` raises.
        """
        heads = decode(body, Heads, what="heads")
        known = {head.thread: head for head in heads.heads}
        async with self._store.write() as tx:
            await guard(tx)
            rows = await _shared(tx, peer, heads.after, heads.upto)
            lost = [row.thread for row in rows if await self._compare(tx, row, known.get(row.thread))]
        upto = rows[-1].thread if len(rows) == MAX_HEADS else None
        return encode(HeadsAnswer(lost=tuple(lost), upto=upto))

    async def _compare(self, tx: Writer, row: ThreadRow, head: ThreadHead | None) -> bool:
        """Send one thread's missing messages again; tell whether it ended because words of the peer are lost."""
        book = decode(row.book, Book)
        if head is None:
            await self._send_again(tx, row, 2)
            return False
        if head.side == row.side:
            return False
        if _is_lost(book, head):
            await self._lose(tx, row)
            return True
        if head.heard < len(book.said):
            await self._send_again(tx, row, max(2, head.heard + 1))
        return False

    async def _send_again(self, tx: Writer, row: ThreadRow, from_seq: int) -> None:
        """Queue this side's messages from `from_seq` on; the first travels as a request or its answer, never again."""
        for one in await self._desk.said_from(tx, row, from_seq):
            if await tx.get(OutboxRow, one.peer, one.mid) is None:
                await self._queue.put(tx, one)


def _is_lost(book: Book, head: ThreadHead) -> bool:
    """Tell whether the peer lacks words of its own, or holds others than we do."""
    return (
        len(book.heard) > head.said
        or _differs(book.heard, head.said, head.last_said)
        or _differs(book.said, head.heard, head.last_heard)
    )


def _differs(chain: tuple[str, ...], count: int, last: str | None) -> bool:
    return 0 < count <= len(chain) and chain[count - 1] != last


def _head(row: ThreadRow) -> ThreadHead:
    book = decode(row.book, Book)
    return ThreadHead(
        thread=row.thread,
        side=msgspec.convert(row.side, Literal["consumer", "provider"]),
        said=len(book.said),
        heard=len(book.heard),
        last_said=book.said[-1] if book.said else None,
        last_heard=book.heard[-1] if book.heard else None,
    )


def _reached(heads: Heads, answer: HeadsAnswer) -> str | None:
    """Return the last thread id that both have looked at, None at the end. Raises: MalformedError: no progress."""
    ends = [end for end in (heads.upto, answer.upto) if end is not None]
    if answer.upto is not None and answer.upto <= (heads.after or ""):
        raise MalformedError("answer to heads must go on")
    return min(ends) if ends else None


async def _shared(tx: Reader, peer: str, after: str | None, upto: str | None) -> list[ThreadRow]:
    bounds = [above("thread", after or ""), *([at_most("thread", upto)] if upto is not None else [])]
    return await tx.find(ThreadRow, where(peer=peer), *bounds, order="thread", limit=MAX_HEADS)
