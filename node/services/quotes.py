"""The quote round at the mentor's node: a sealed need is answered with sealed candidates or a neutral no, by no human.

Nothing about the answer shows before its tick, and nothing that depends on people is looked at before the request has
been found good. Source: docs/protocol/31-handshake.md.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from federation.inbox import Guard
from federation.ports import Clock, Reader, Store, Writer, where
from federation.rows import CandidateRow, ThreadRow
from protocol import contexts
from protocol.bodies import OfferedBody, Quote, Refusal, RefusedBody, Request, RequestBody
from protocol.encoding import decode, encode, unb64
from protocol.errors import ConflictError, LimitError, RefusedError
from protocol.messages import Message, open_message, parse_item
from protocol.offers import OrgProfile
from protocol.sealing import SealingPublicKey
from protocol.threads import Book, is_repeat

from .mentor_side import GRACE_S, SIDE, Asked, ProviderNotes, ProviderSettings, sealed_quote
from .quota import Quota
from .quoting import Proposed, Quoting
from .threads import Desk, Peers

#: A request names the time until which its sender waits for an answer: at most a day ahead.
LONGEST_WAIT_S: Final = 86_400 + GRACE_S
#: How far a sender's clock may be behind.
SKEW_S: Final = 60
#: An answered request is kept so long after its sender stopped waiting: until no repeat of it is let in any more.
KEEP_S: Final = 3600
#: Requests of one peer that no person has taken up; they are kept for at most a day.
MAX_UNTAKEN: Final = 4096


class Quotes:
    """Answers requests of peers, and of this node itself."""

    def __init__(
        self,
        *,
        store: Store,
        desk: Desk,
        peers: Peers,
        quoting: Quoting,
        quota: Quota,
        clock: Clock,
        settings: ProviderSettings,
    ) -> None:
        self._store: Final = store
        self._desk: Final = desk
        self._peers: Final = peers
        self._quoting: Final = quoting
        self._quota: Final = quota
        self._clock: Final = clock
        self._settings: Final = settings

    async def quote(self, peer: str, item: bytes, guard: Guard, *, org: OrgProfile) -> bytes:
        """Return the signed OFFERED or refusal for a REQUESTED, not before its tick.

        Args:
            guard: runs first in the transaction (the request's nonce).
            org: what the asking organization says about itself.
        Raises: MalformedError, UnverifiedError, RefusedError, LimitError: nothing has happened.
        """
        arrived_ms = self._clock.now_ms()
        unopened = parse_item(item)
        await self._peers.learn(peer, (unopened.keyid,))
        async with self._store.write() as tx:
            await guard(tx)
            keys = await self._peers.keys(tx, peer)
            message = open_message(unopened, keys.verify, audience=self._desk.own.entity)
            if message.head.type != "request":
                raise RefusedError("only a request is answered here")
            context = contexts.ThreadContext(thread=message.head.thread, consumer=peer, provider=self._desk.own.entity)
            answer = await self._received(tx, peer, message)
            opened = self._opened(message, context) if answer is None else None
        if opened is not None:
            answer = await self._answer(context, *opened, org)
        assert answer is not None
        await self._until_tick(arrived_ms)
        return answer

    async def _received(self, tx: Writer, peer: str, message: Message) -> bytes | None:
        """Store a request that is new; return the answer that one heard before has got, None if it has none yet."""
        row = await tx.get(ThreadRow, message.head.thread, SIDE.value)
        if row is None:
            await self._check_room(tx, peer, until=message.head.deadline)
            purge_at = message.head.deadline + KEEP_S
            thread = message.head.thread
            row = self._desk.open(thread, SIDE, peer, label="", notes=ProviderNotes(), purge_at=purge_at)
            await self._desk.take(tx, row, message)
            return None
        if row.peer != peer or not is_repeat(decode(row.book, Book), message):
            raise ConflictError("thread id is in use")
        return await self._said(tx, row)

    async def _said(self, tx: Reader, row: ThreadRow) -> bytes | None:
        """Return the bytes of this side's first message, which answer every repeat of the request."""
        return (await self._desk.message(tx, row, SIDE, 1)).item if decode(row.book, Book).said else None

    async def _answer(
        self, context: contexts.ThreadContext, request: Request, reply_key: SealingPublicKey, org: OrgProfile
    ) -> bytes:
        """Look for candidates in a snapshot, so that nobody waits for the search, then store the answer and return it.

        Two of the same request may search at once; the answer is the one that was stored first.
        """
        peer = context.consumer
        async with self._store.read() as snapshot:
            proposed: Sequence[Proposed] | Refusal = "no-capacity"
            if await self._quota.has_room(snapshot, peer, org.size_band):
                proposed = await self._quoting.propose(snapshot, peer, request, thread=context.thread, org=org)
        async with self._store.write() as tx:
            row = await self._desk.find(tx, context.thread, SIDE)
            said = await self._said(tx, row)
            if said is not None:
                return said
            if not isinstance(proposed, str) and not await self._quota.spend(tx, peer, org.size_band):
                proposed = "no-capacity"
            if isinstance(proposed, str):
                _, message = await self._desk.say(tx, row, "refuse", RefusedBody(reason=proposed), send=False)
                return message.item
            return await self._offer(tx, row, request, proposed, reply_key)

    async def _offer(
        self, tx: Writer, row: ThreadRow, request: Request, proposed: Sequence[Proposed], reply_key: SealingPublicKey
    ) -> bytes:
        asked = self._asked(request)
        context = contexts.ThreadContext(thread=row.thread, consumer=row.peer, provider=self._desk.own.entity)
        quote = Quote(
            org=self._desk.own.org,
            candidates=tuple(one.candidate for one in proposed),
            valid_until=asked.quote_until,
        )
        await tx.insert(*(_candidate(row.thread, one, asked.quote_until) for one in proposed))
        row = replace(row, notes=encode(ProviderNotes(asked=asked)))
        body = OfferedBody(quote=sealed_quote(quote, reply_key, context))
        _, message = await self._desk.say(tx, row, "offer", body, deadline=asked.quote_until, send=False)
        return message.item

    async def _check_room(self, tx: Reader, peer: str, *, until: int) -> None:
        """Refuse what is too old to be answered, or would be kept too long, and a peer that asks without end.

        An old request must not be answered anew after its thread was erased: two answers to one would contradict each
        other under our signature.
        """
        now = self._clock.now()
        if until < now - SKEW_S:
            raise RefusedError("this request is too old to be answered", code="too-late")
        if until > now + LONGEST_WAIT_S:
            raise RefusedError("request must not wait longer than a day for its answer", code="deadline")
        untaken = await tx.count(ThreadRow, where(peer=peer, side=SIDE.value, label=""))
        if untaken >= MAX_UNTAKEN and peer != self._desk.own.entity:
            raise LimitError(f"{MAX_UNTAKEN} requests that nobody took up are open", retry_at=now + KEEP_S)

    def _opened(self, message: Message, context: contexts.ThreadContext) -> tuple[Request, SealingPublicKey]:
        """Return the need and the key to answer to, which is proven usable.

        One that fails only when a quote is sealed to it would tell, for nothing, that there was somebody to propose.
        """
        sealed = unb64(message.as_(RequestBody).request, what="request")
        opened = self._desk.own.open(sealed, lambda key: contexts.request(context, key))
        request = decode(opened, Request, what="request")
        reply_key = SealingPublicKey.parse(request.reply_key)
        reply_key.seal(b"", b"")
        return request, reply_key

    def _asked(self, request: Request) -> Asked:
        now = self._clock.now()
        return Asked(
            reply_key=request.reply_key,
            topic=request.need.topics[0],
            format=request.need.format,
            length=request.need.length,
            quoted_at=now,
            quote_until=now + self._settings.quote_valid_s,
        )

    async def _until_tick(self, arrived_ms: int) -> None:
        """Wait for the first tick at least half a tick after the request came.

        How long the search took stays inside: by timing its request to just before a tick, a peer could see it.
        """
        tick_ms = self._settings.tick_ms
        if not tick_ms:
            return
        due_ms = -(-(arrived_ms + tick_ms // 2) // tick_ms) * tick_ms
        now_ms = self._clock.now_ms()
        await self._clock.sleep((due_ms - now_ms if now_ms <= due_ms else -now_ms % tick_ms) / 1000)


def _candidate(thread: str, proposed: Proposed, until: int) -> CandidateRow:
    return CandidateRow(
        thread=thread,
        ref=proposed.candidate.ref,
        label=proposed.label,
        candidate=encode(proposed.candidate),
        purge_at=until + GRACE_S,
    )
