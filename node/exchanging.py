"""Composition of handshakes and sessions: the parts that `node/app.py` joins to the rest of a node."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from federation.calls import Calls
from federation.directory import PeerDirectory
from federation.inbox import Inbox
from federation.outbox import Outbox
from federation.ports import Clock, Entropy, Store, at_most
from federation.rows import EvidenceRow, InboxRow, MessageRow, ThreadRow
from protocol.concepts import Vocabulary
from protocol.encoding import label, sha256
from protocol.ids import Entity
from protocol.offers import OrgProfile

from .events import Events
from .keys import KeyRing
from .sections import Config
from .services.answer_links import AnswerLinks
from .services.answering import Answering
from .services.consumer import Consumer, ConsumerSettings
from .services.exchange import Carrier, Exchange
from .services.handshake_mail import HandshakeMail
from .services.listings import CatalogListings
from .services.mailbox import Mailboxes
from .services.mentor_desk import MentorDesk
from .services.mentor_side import ProviderSettings
from .services.peerbook import PeerBook
from .services.provider import Provider
from .services.queue import Queue
from .services.quoting import Quoting, QuotingSettings
from .services.sessions import Sessions
from .services.thread_views import ThreadViews
from .services.threads import Desk, Own, ThreadSettings

#: How often deadlines are looked at, at most and at least; short answer times need a short look.
SWEEP_S: Final = 30.0
SHORTEST_SWEEP_S: Final = 0.2
EVIDENCE_S: Final = 400 * 86_400


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What the exchange needs of the rest of the node."""

    entity: Entity
    config: Config
    keys: KeyRing
    org: OrgProfile
    store: Store
    clock: Clock
    entropy: Entropy
    events: Events
    directory: PeerDirectory
    calls: Calls
    vocabulary: Callable[[], Vocabulary]
    page_base: Callable[[], str]


class Exchanging:
    """Handshakes and sessions of one node, joined; nothing runs yet."""

    def __init__(self, around: Surroundings) -> None:
        self._around: Final = around
        store, clock, entropy, config = around.store, around.clock, around.entropy, around.config
        own = Own(
            entity=around.entity,
            message_key=around.keys.envelope_sign,
            seal=around.keys.envelope_seal,
            org=around.org,
        )
        queue = Queue()
        peers = PeerBook(around.directory, around.calls, own, clock)
        carrier = Carrier(own.entity, peers, around.org)
        self.desk: Final = Desk(own, queue, clock, entropy, ThreadSettings(flush_s=config.handshake.flush_s))
        self.mailboxes: Final = Mailboxes(store, clock)
        self.sessions: Final = Sessions(
            store=store, mailboxes=self.mailboxes, queue=queue, clock=clock, entropy=entropy
        )
        self.views: Final = ThreadViews(store, self.sessions)
        mentors = MentorDesk(clock)
        mail = HandshakeMail(
            vocabulary=around.vocabulary,
            mentors=mentors,
            page_base=around.page_base,
            clock=clock,
            entropy=entropy,
            zone=config.org.time_zone,
            language=config.org.languages[0],
        )
        settings = _provider_settings(config)
        self.answering: Final = Answering(
            store=store, desk=self.desk, mentors=mentors, sessions=self.sessions, clock=clock, settings=settings
        )
        self.links: Final = AnswerLinks(
            store=store, answering=self.answering, mentors=mentors, clock=clock, entropy=entropy
        )
        mail.connect(self.links)
        self.provider: Final = Provider(
            store=store,
            desk=self.desk,
            peers=peers,
            quoting=_quoting(around),
            answering=self.answering,
            mentors=mentors,
            notices=mail,
            mailboxes=self.mailboxes,
            sessions=self.sessions,
            clock=clock,
            settings=settings,
        )
        self.consumer: Final = Consumer(
            store=store,
            desk=self.desk,
            peers=peers,
            transport=carrier,
            mailboxes=self.mailboxes,
            sessions=self.sessions,
            notices=mail,
            clock=clock,
            settings=ConsumerSettings(
                quote_valid_s=config.handshake.quote_valid_s, grace_s=config.handshake.expiry_grace_s
            ),
        )
        exchange = Exchange(
            desk=self.desk,
            peers=peers,
            consumer=self.consumer,
            provider=self.provider,
            sessions=self.sessions,
            clock=clock,
            events=around.events,
        )
        self.inbox: Final = Inbox(store, exchange, clock, own=own.entity, key=own.message_key)
        self.outbox: Final = Outbox(store, carrier, exchange, clock, entropy)
        queue.connect(self.outbox.wake)
        carrier.close_circle(self.inbox, self.provider)

    def jobs(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return the background work by name; each runs until it is cancelled."""
        return {"outbox": self.outbox.run, "deadlines": self._sweep_forever}

    async def _sweep_forever(self) -> None:
        handshake = self._around.config.handshake
        shortest = min(handshake.deadline_s or SWEEP_S, handshake.quote_valid_s, SWEEP_S) / 2
        while True:
            await self.sweep()
            await self._around.clock.sleep(max(SHORTEST_SWEEP_S, shortest))

    async def sweep(self) -> None:
        """Let everything lapse whose time is over."""
        await self.provider.sweep()
        await self.consumer.sweep()
        await self.consumer.send_backups()
        await self.sessions.sweep()
        await self.links.sweep()
        await self._forget()

    async def _forget(self) -> None:
        """Erase what retention says is over."""
        now = self._around.clock.now()
        undelivered = now - self._around.config.privacy.undelivered_days * 86_400
        async with self._around.store.write() as tx:
            for row in await tx.find(ThreadRow, at_most("purge_at", now), limit=200):
                await self.desk.forget(tx, row)
            await tx.delete(InboxRow, at_most("purge_at", now))
            await tx.delete(MessageRow, at_most("at", now - EVIDENCE_S))
            await tx.delete(EvidenceRow, at_most("at", now - EVIDENCE_S))
            await self.mailboxes.forget_old(tx, undelivered)


def _provider_settings(config: Config) -> ProviderSettings:
    handshake = config.handshake
    return ProviderSettings(
        quote_valid_s=handshake.quote_valid_s,
        tick_ms=handshake.tick_ms,
        deadline_s=handshake.deadline_s,
        deadline_days=handshake.deadline_days,
    )


def _quoting(around: Surroundings) -> Quoting:
    handshake = around.config.handshake
    settings = QuotingSettings(
        # A secret of the node that no peer knows and that stays, so that shortlists stay within an edition.
        secret=sha256(label("shortlist"), around.keys.envelope_seal.seed),
        entity=around.entity,
        sector=around.org.sector,
        quota_percent=handshake.quota_percent,
        quota_least=handshake.quota_least,
    )
    listings = CatalogListings(around.entity, around.vocabulary, around.clock)
    return Quoting(listings, around.vocabulary, around.clock, around.entropy, settings)
