"""Composition of handshakes and sessions: the parts that `node/app.py` joins to the rest of a node."""

import hmac
from collections.abc import Callable
from typing import Final

import msgspec

from federation.calls import Calls
from federation.claims import Claim, alone
from federation.directory import PeerDirectory
from federation.inbox import Inbox
from federation.outbox import Outbox
from federation.ports import Clock, Entropy, Store
from federation.returning import Returning
from protocol.concepts import Vocabulary
from protocol.encoding import label
from protocol.ids import Entity
from protocol.offers import OrgProfile

from .events import Events
from .keys import KeyRing
from .sections import Config
from .services.answer_links import AnswerLinks
from .services.answering import Answering
from .services.blobs import MIB, BlobLimits, Blobs
from .services.consumer import Consumer, ConsumerSettings
from .services.exchange import Carrier, Exchange
from .services.handshake_mail import HandshakeMail
from .services.listings import CatalogListings
from .services.mailbox import Mailboxes
from .services.mentor_desk import MentorDesk
from .services.mentor_side import ProviderSettings
from .services.peerbook import PeerBook, Refetch
from .services.provider import Provider
from .services.queue import Queue
from .services.quota import Quota, QuotaSettings
from .services.quotes import Quotes
from .services.quoting import Quoting, QuotingSettings
from .services.recovery import Recovery
from .services.reports import Contact, Reports
from .services.sessions import Sessions
from .services.thread_views import ThreadViews
from .services.threads import Desk, Own, ThreadSettings
from .store.blobs import FileBytes


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
    refetch: Refetch
    vocabulary: Callable[[], Vocabulary]
    page_base: Callable[[], str]
    blobs: FileBytes
    claim: Claim = alone


class Exchanging:
    """Handshakes and sessions of one node, joined; nothing runs yet."""

    def __init__(self, around: Surroundings) -> None:
        store, clock, entropy, config = around.store, around.clock, around.entropy, around.config
        own = Own(entity=around.entity, keys=around.keys, org=around.org)
        self._own: Final = own
        queue = Queue(clock, entropy)
        peers = PeerBook(around.directory, around.calls, own, clock, refetch=around.refetch)
        carrier = Carrier(own.entity, peers, around.org)
        self.desk: Final = Desk(own, queue, clock, ThreadSettings(flush_s=config.handshake.flush_s))
        self.mailboxes: Final = Mailboxes(store, clock)
        self.sessions: Final = Sessions(store=store, mailboxes=self.mailboxes, queue=queue, clock=clock)
        self.blobs: Final = Blobs(
            store=store,
            files=around.blobs,
            sessions=self.sessions,
            peers=peers,
            clock=clock,
            own=own.entity,
            limits=_blob_limits(config),
        )
        self.reports: Final = Reports(
            store=store,
            clock=clock,
            entropy=entropy,
            peers=peers,
            own=own.entity,
            contact=_contact(config),
            came=around.events.report_came,
            person_named=around.events.report_person_named,
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
        quota = Quota(
            clock,
            QuotaSettings(own=own.entity, percent=config.handshake.quota_percent, least=config.handshake.quota_least),
        )
        self.provider: Final = Provider(
            store=store,
            desk=self.desk,
            peers=peers,
            quota=quota,
            answering=self.answering,
            mentors=mentors,
            notices=mail,
            mailboxes=self.mailboxes,
            sessions=self.sessions,
            clock=clock,
        )
        self.quotes: Final = Quotes(
            store=store,
            desk=self.desk,
            peers=peers,
            quoting=_quoting(around),
            quota=quota,
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
            events=around.events,
        )
        self.listen: Final = exchange.listen
        self.inbox: Final = Inbox(store, exchange, clock, own=own.entity, key=around.keys.envelope_sign)
        self.outbox: Final = Outbox(
            store, carrier, exchange, clock, entropy, in_flight=config.delivery.in_flight, claim=around.claim
        )
        self.recovery: Final = Recovery(store, self.desk, queue, peers, exchange.lose)
        self.returning: Final = Returning(
            store,
            around.directory,
            peers,
            sender=self.outbox,
            recovery=self.recovery,
            told=around.events,
            clock=clock,
            own=own.entity,
        )
        queue.connect(self.outbox.wake, self.outbox.wake_patiently)
        carrier.close_circle(self.inbox, self.quotes)

    def rekey(self, keys: KeyRing) -> None:
        """Sign and open with these keys from now on."""
        self._own.keys = keys
        self.inbox.rekey(keys.envelope_sign)

    async def sweep(self) -> None:
        """Move on from everything whose time is over."""
        await self.provider.sweep()
        await self.consumer.sweep()
        await self.consumer.send_backups()
        await self.sessions.sweep()
        await self.blobs.sweep()
        await self.reports.sweep()
        await self.links.sweep()


def _blob_limits(config: Config) -> BlobLimits:
    files = config.files
    return BlobLimits(
        largest=files.largest_mib * MIB,
        of_person=files.person_mib * MIB,
        of_session=files.session_mib * MIB,
        of_node=files.node_mib * MIB,
        days=files.days,
    )


def _contact(config: Config) -> Contact:
    return Contact(
        mail=config.reports.mail,
        days=config.reports.days,
        zone=config.org.time_zone,
        language=config.org.languages[0],
        names_people=config.reports.name_people,
    )


def _provider_settings(config: Config) -> ProviderSettings:
    handshake = config.handshake
    return ProviderSettings(
        quote_valid_s=handshake.quote_valid_s,
        tick_ms=handshake.tick_ms,
        deadline_s=handshake.deadline_s,
        deadline_days=handshake.deadline_days,
    )


def _quoting(around: Surroundings) -> Quoting:
    settings = QuotingSettings(
        # Outlives restarts, so that asking again meets the same few people; bound to a key that never leaves the node.
        secret=hmac.digest(around.keys.envelope_seal.seed, label("shortlist"), "sha256"),
        entity=around.entity,
        sector=around.org.sector,
    )
    listings = CatalogListings(around.entity, around.directory, around.vocabulary, around.clock)
    return Quoting(listings, around.vocabulary, around.clock, around.entropy, settings)
