"""What a person's device asks its own node about matching and sessions: quotes, answers, envelopes, its mailbox.

Sealed and encrypted parts pass through as text; the node checks their shape and never their content.
"""

from typing import Annotated, Final

import msgspec
from aiohttp import web

from federation.directory import PeerDirectory
from federation.identity import Own as Identity
from federation.ports import Clock, Entropy, Store
from node.services.answering import Answering
from node.services.consumer import Ask, Consumer
from node.services.devices import Devices
from node.services.labels import mailbox_label
from node.services.mailbox import MAX_WAIT_S, EntryKind, Mailboxes
from node.services.mentor_side import Answer
from node.services.sessions import Sent, Sessions
from node.services.thread_views import SideName, ThreadView, ThreadViews
from protocol.bodies import AcceptedBody, CancelReason, Sealed, SealedBrief
from protocol.encoding import MAX_SAFE_INTEGER, b64, unb64
from protocol.envelope import EnvelopeKind, Epoch
from protocol.errors import MalformedError
from protocol.handshake import Side
from protocol.ids import Bytes32, Entity, MessageId, RandomId, Seconds, id_bytes

from .accounts import device_of, signed_in
from .bodies import read_body, read_query, reply, still_allowed
from .routes import Route

MAX_ASKS: Final = 8
#: base64url of the largest ciphertext.
MAX_CIPHERTEXT_TEXT: Final = 110_000


class ExchangeServices(msgspec.Struct, frozen=True, kw_only=True):
    """The services behind these routes; `identity` has this node's own signed document."""

    entity: Entity
    store: Store
    clock: Clock
    entropy: Entropy
    consumer: Consumer
    answering: Answering
    sessions: Sessions
    mailboxes: Mailboxes
    views: ThreadViews
    devices: Devices
    directory: PeerDirectory
    identity: Identity


EXCHANGE: Final = web.AppKey("mentormesh.exchange", ExchangeServices)


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies."""


class AskQuotes(Body, frozen=True, kw_only=True):
    """One quote round: a sealed request for each of at most eight nodes."""

    asks: Annotated[tuple[Ask, ...], msgspec.Meta(min_length=1, max_length=MAX_ASKS)]


class QuoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one node answered: its signed item, or why there is none."""

    thread: RandomId
    peer: Entity
    item: str = ""
    reason: str = ""


class QuoteAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of a round, in the order of the requests."""

    results: tuple[QuoteAnswer, ...]


class Accept(Body, frozen=True, kw_only=True):
    """The choice for the provider's node, the brief for the mentor's devices, and backups sealed in advance."""

    choice: Sealed
    brief: SealedBrief
    backups: Annotated[tuple[Ask, ...], msgspec.Meta(max_length=4)] = ()


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The signed message; its hash is what agreement, consent and session are bound to."""

    hash: Bytes32
    item: str


class GiveAnswer(Body, frozen=True, kw_only=True):
    """`{"answer":{"reason":"no-time","type":"decline"}}`; the other types are `agree` and `counter`."""

    answer: Answer


class Cancel(Body, frozen=True, kw_only=True):
    """Stepping back from a thread on one's own side of it."""

    side: SideName
    reason: CancelReason


class SendEnvelope(Body, frozen=True, kw_only=True):
    """One session message as the device encrypted it; `id` makes a retry harmless."""

    side: SideName
    id: MessageId
    kind: EnvelopeKind
    epoch: Epoch
    ciphertext: Annotated[str, msgspec.Meta(max_length=MAX_CIPHERTEXT_TEXT)]


class Threads(msgspec.Struct, frozen=True, kw_only=True):
    """All threads of a person."""

    threads: tuple[ThreadView, ...]


class ThreadQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which side of the thread; inside one organization a thread has both."""

    side: SideName


#: Where a mailbox has been read to; what a store can count.
Cursor = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]


class MailboxQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries after a cursor, waiting for the first one."""

    after: Cursor = 0
    wait_s: Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)] = 0


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One mailbox entry; `data` is base64url of what `kind` says (docs/protocol/41-envelopes.md §5)."""

    cursor: Cursor
    thread: RandomId
    side: SideName
    kind: EntryKind
    data: str
    at: Seconds


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """Entries in order."""

    entries: tuple[Entry, ...]


class Acknowledge(Body, frozen=True, kw_only=True):
    """This device has read up to `cursor`."""

    cursor: Cursor


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """An organization that can be asked: its signed document, and where it is met.

    The two meet as a bilateral pair, in the consortia of `registries`, or both; `open` says whether requests may pass
    now.
    """

    entity: Entity
    document: str
    own: bool = False
    bilateral: bool = True
    registries: tuple[Entity, ...] = ()
    open: bool = True


class Peers(msgspec.Struct, frozen=True, kw_only=True):
    """This organization first, then its peers."""

    peers: tuple[PeerView, ...]


async def ask_quotes(request: web.Request) -> web.Response:
    """Ask several nodes for candidates at once."""
    command = await read_body(request, AskQuotes)
    services = request.app[EXCHANGE]
    if len({ask.thread for ask in command.asks}) != len(command.asks):
        raise MalformedError("asks must each have a thread id of their own")
    results = await services.consumer.ask(await label_of(request), command.asks)
    answers = tuple(
        QuoteAnswer(thread=one.thread, peer=one.peer, item=b64(one.item), reason=one.reason) for one in results
    )
    return reply(QuoteAnswers(results=answers))


async def accept(request: web.Request) -> web.Response:
    """Choose one candidate: the request goes to that mentor."""
    thread = named(request, "thread")
    command = await read_body(request, Accept)
    body = AcceptedBody(choice=command.choice, brief=command.brief)
    message = await request.app[EXCHANGE].consumer.accept(await label_of(request), thread, body, command.backups)
    return reply(Accepted(hash=message.hash, item=b64(message.item)))


async def answer(request: web.Request) -> web.Response:
    """Answer a request as its mentor."""
    thread = named(request, "thread")
    command = await read_body(request, GiveAnswer)
    label = await label_of(request)
    await request.app[EXCHANGE].answering.answer(label, thread, command.answer)
    return reply(await request.app[EXCHANGE].views.one(label, thread, "provider"))


async def cancel(request: web.Request) -> web.Response:
    """Step back, or call off the session."""
    thread = named(request, "thread")
    command = await read_body(request, Cancel)
    label, services = await label_of(request), request.app[EXCHANGE]
    role = services.consumer if command.side == "consumer" else services.answering
    await role.cancel(label, thread, command.reason)
    return reply(await services.views.one(label, thread, command.side))


async def send_envelope(request: web.Request) -> web.Response:
    """Send one encrypted session message."""
    thread = named(request, "thread")
    command = await read_body(request, SendEnvelope)
    ciphertext = unb64(command.ciphertext, what="ciphertext")
    device_of(request)  # a sign-in link alone, which whoever reads mail can have, neither speaks nor closes
    sent = Sent(id=command.id, kind=command.kind, epoch=command.epoch, ciphertext=ciphertext)
    await request.app[EXCHANGE].sessions.submit(await label_of(request), thread, Side(command.side), sent)
    return reply(status=202)


async def threads(request: web.Request) -> web.Response:
    """List the person's threads."""
    return reply(Threads(threads=await request.app[EXCHANGE].views.all(await label_of(request))))


async def thread(request: web.Request) -> web.Response:
    """Show one thread."""
    query = read_query(request, ThreadQuery)
    return reply(await request.app[EXCHANGE].views.one(await label_of(request), named(request, "thread"), query.side))


async def mailbox(request: web.Request) -> web.Response:
    """Wait for entries of the mailbox."""
    query = read_query(request, MailboxQuery)
    rows = await request.app[EXCHANGE].mailboxes.wait(await label_of(request), query.after, query.wait_s)
    await still_allowed(request)
    entries = tuple(
        Entry(
            cursor=row.cursor,
            thread=row.thread,
            side=msgspec.convert(row.side, SideName),
            kind=msgspec.convert(row.kind, EntryKind),
            data=b64(row.data),
            at=row.at,
        )
        for row in rows
    )
    return reply(Mailbox(entries=entries))


async def acknowledge(request: web.Request) -> web.Response:
    """Say up to where this device has read; what every device has read is erased."""
    command = await read_body(request, Acknowledge)
    services, person, device = request.app[EXCHANGE], signed_in(request), device_of(request)
    enrolled = [one.device for one in await services.devices.views(person)]
    await services.mailboxes.acknowledge(await label_of(request), device, command.cursor, devices=enrolled)
    return reply()


async def peers(request: web.Request) -> web.Response:
    """List the organizations that can be asked, with their signed documents."""
    services = request.app[EXCHANGE]
    now = services.clock.now()
    own = PeerView(entity=services.entity, document=services.identity.text, own=True)
    others = (
        PeerView(
            entity=peer.entity,
            document=peer.pinned.text,
            bilateral=not peer.via,
            registries=peer.registries(now),
            open=peer.may("request", now=now),
        )
        for peer in services.directory.all()
    )
    return reply(Peers(peers=(own, *others)))


def named(request: web.Request, what: str) -> str:
    """Return the id that a part of the address is. Raises: MalformedError."""
    text = request.match_info[what]
    id_bytes(text, what=what)
    return text


async def label_of(request: web.Request) -> str:
    """Return the mailbox of the person who asks; the first call makes it."""
    services, person = request.app[EXCHANGE], signed_in(request)
    if person.mailbox is not None:
        return person.mailbox
    async with services.store.write() as tx:
        return await mailbox_label(tx, person.member, services.entropy)


EXCHANGE_ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/quotes",
        handler=ask_quotes,
        auth="device",
        summary="Ask several nodes for candidates",
        request=AskQuotes,
        response=QuoteAnswers,
    ),
    Route(
        method="GET",
        path="/api/v1/threads",
        handler=threads,
        auth="device",
        summary="List one's threads",
        response=Threads,
    ),
    Route(
        method="GET",
        path="/api/v1/threads/{thread}",
        handler=thread,
        auth="device",
        summary="Show one thread",
        query=ThreadQuery,
        response=ThreadView,
    ),
    Route(
        method="POST",
        path="/api/v1/threads/{thread}/accept",
        handler=accept,
        auth="device",
        summary="Choose one candidate",
        request=Accept,
        response=Accepted,
    ),
    Route(
        method="POST",
        path="/api/v1/threads/{thread}/answer",
        handler=answer,
        auth="device",
        summary="Answer a request as its mentor",
        request=GiveAnswer,
        response=ThreadView,
    ),
    Route(
        method="POST",
        path="/api/v1/threads/{thread}/cancel",
        handler=cancel,
        auth="device",
        summary="Step back, or call off the session",
        request=Cancel,
        response=ThreadView,
    ),
    Route(
        method="POST",
        path="/api/v1/threads/{thread}/envelopes",
        handler=send_envelope,
        auth="device",
        summary="Send an encrypted session message",
        request=SendEnvelope,
        status=202,
    ),
    Route(
        method="GET",
        path="/api/v1/mailbox",
        handler=mailbox,
        auth="device",
        summary="Wait for entries of the mailbox",
        query=MailboxQuery,
        response=Mailbox,
    ),
    Route(
        method="POST",
        path="/api/v1/mailbox/ack",
        handler=acknowledge,
        auth="device",
        summary="Say up to where this device has read",
        request=Acknowledge,
        status=204,
    ),
    Route(
        method="GET",
        path="/api/v1/peers",
        handler=peers,
        auth="device",
        summary="List the organizations that can be asked",
        response=Peers,
    ),
)
