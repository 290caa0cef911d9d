"""The parts of a node, each a group of services that belong together, made from what stands before it.

Only `node/app.py` makes them. Services that need each other in a circle are joined by their `connect` and
`close_circle` methods.
"""

import hmac
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from federation.audiences import PairAudiences, PeerSets
from federation.authenticate import Authenticator
from federation.checkup import Checkup
from federation.client import PeerClient
from federation.directory import Peer, PeerDirectory
from federation.discovery import Discovery
from federation.identity import Own as Identity
from federation.inbox import Inbox
from federation.mirror import MirrorPolicy, MirrorService
from federation.outbox import Outbox
from federation.peering import PeeringService
from federation.ports import Clock, Entropy
from federation.publisher import HeadPolicy, PublisherService
from federation.rows import PeerRow
from protocol.crowd import FamilyMap
from protocol.editions import Policy
from protocol.encoding import label
from protocol.minimize import Rules

from . import outside
from .events import Events
from .jobs import Jobs
from .keys import KeyRing, load_keys
from .sections import Config
from .services.accounts import Accounts, SignInSettings
from .services.answer_links import AnswerLinks
from .services.answering import Answering
from .services.catalogs import Catalogs
from .services.consumer import Consumer, ConsumerSettings
from .services.devices import Devices
from .services.erasure import Erasure
from .services.exchange import Carrier, Exchange
from .services.handshake_mail import HandshakeMail
from .services.leaving import LeaveThreads
from .services.listings import CatalogListings
from .services.mail import MailPump
from .services.mailbox import Mailboxes
from .services.member_operations import MemberOperations, OperatorRules
from .services.members import Members
from .services.mentor_desk import MentorDesk
from .services.mentor_side import ProviderSettings
from .services.mentors import Mentors
from .services.offers import MirroredOffers, Offers
from .services.peerbook import PeerBook
from .services.peers import PeerOperations, draft_document
from .services.provider import Provider
from .services.queue import Queue
from .services.quoting import Quoting, QuotingSettings
from .services.search import Search
from .services.sessions import Sessions
from .services.thread_views import ThreadViews
from .services.threads import Desk, ThreadSettings
from .services.threads import Own as Signer
from .services.vocabulary import VocabularyService
from .store.sqlite import SqliteStore
from .telemetry import Log, Metrics


class Base:
    """What every part of a node stands on."""

    def __init__(
        self,
        directory: Path,
        config: Config,
        store: SqliteStore,
        *,
        clock: Clock,
        entropy: Entropy,
        log: Log,
        port: int,
    ) -> None:
        self.directory: Final = directory
        self.config: Final = config
        self.store: Final = store
        self.clock: Final = clock
        self.entropy: Final = entropy
        self.port: Final = port
        self.page_base: Final = config.page_base(port)
        self.keys: Final[KeyRing] = load_keys(directory)
        self.events: Final = Events(log, Metrics())
        self.jobs: Final = Jobs(clock, self.events)
        self.org: Final = draft_document(config, self.keys).org
        self.entity: Final = config.node.entity


class WatchedDirectory(PeerDirectory):
    """The peers, and somebody who wants to know at once when they change."""

    def __init__(self, connect_to: Mapping[str, str]) -> None:
        super().__init__(connect_to)
        self._told: list[Callable[[], None]] = []

    def watch(self, tell: Callable[[], None]) -> None:
        """Call `tell` after every change."""
        self._told.append(tell)

    def put(self, row: PeerRow) -> Peer:
        """Add or replace one peer."""
        peer = super().put(row)
        for tell in self._told:
            tell()
        return peer

    def remove(self, entity: str) -> None:
        """Forget one peer."""
        super().remove(entity)
        for tell in self._told:
            tell()


class Peering:
    """Who this node is to others, who its peers are, and the way to them."""

    def __init__(self, base: Base, identity: Identity, client: PeerClient) -> None:
        config, limits = base.config, base.config.limits
        self.identity: Final = identity
        self.client: Final = client
        self.directory: Final = WatchedDirectory(config.development.connect_to)
        self.service: Final = PeeringService(
            store=base.store,
            calls=client,
            clock=base.clock,
            entropy=base.entropy,
            directory=self.directory,
            own=identity,
            development=config.development.enabled,
        )
        self.discovery: Final = Discovery(client, base.store, base.clock, self.directory)
        checkup = Checkup(client, base.clock, self.directory, own_entity=base.entity)
        self.operations: Final = PeerOperations(self.service, checkup)
        self.authenticator: Final = Authenticator(
            self.directory,
            base.clock,
            address_per_minute=limits.address_per_minute,
            peer_per_minute=limits.peer_per_minute,
            not_before=base.clock.now(),
        )
        self.audiences: Final = PairAudiences(self.directory, base.clock, own=base.entity)
        self.sets: Final = PeerSets(self.directory, client)

    def sector(self, origin: str) -> str:
        """Return the NACE section of a peer, empty when it is one no longer."""
        return next((peer.document.org.sector for peer in self.directory.all() if peer.entity == origin), "")


class Catalog:
    """What this node lists, and what its peers do."""

    def __init__(self, base: Base, peering: Peering, vocabulary: VocabularyService, families: FamilyMap) -> None:
        store, clock, settings = base.store, base.clock, base.config.editions
        rules = Rules(k=settings.k, ratio_percent=settings.ratio_percent, smallest_members=settings.smallest_members)
        self.publisher: Final = PublisherService(
            store,
            clock,
            peering.audiences,
            own=base.entity,
            key=base.keys.log,
            policy=HeadPolicy(every_s=settings.head_every_s, valid_s=settings.head_valid_s),
            generation=store.generation,
        )
        self.catalogs: Final = Catalogs(
            store,
            clock,
            base.entropy,
            self.publisher,
            peering.audiences,
            vocabulary=lambda: vocabulary.vocabulary,
            families=lambda: families,
            site_languages=base.config.org.languages,
            policy=Policy(
                rules=rules,
                keep=settings.keep,
                edition_s=settings.edition_s,
                purge_every=settings.purge_every,
                purge_percent=settings.purge_percent,
                rotate_percent=settings.rotate_percent,
                mean_delay=settings.mean_delay,
            ),
            head_every_s=settings.head_every_s,
            post=peering.sets.post,
        )
        self.mirror: Final = MirrorService(
            store,
            clock,
            base.entropy,
            peering.audiences,
            peering.sets.fetch,
            own=base.entity,
            policy=MirrorPolicy(poll_s=settings.poll_s),
        )
        self.offers: Final = Offers(
            store,
            clock,
            self.catalogs,
            self.mirror,
            peering.audiences,
            vocabulary=lambda: vocabulary.vocabulary,
            own=base.entity,
            log_key=base.keys.log.public,
            works_council=base.config.privacy.works_council,
        )
        # A new peer sees a catalog, and shows its own, now and not at the next edition.
        peering.directory.watch(self.catalogs.wake)
        peering.directory.watch(self.mirror.look_again)
        mirrored = MirroredOffers(self.mirror.index, peering.sector)
        self.search: Final = Search(
            store,
            mirrored,
            peering.directory,
            clock,
            base.entropy,
            vocabulary=lambda: vocabulary.vocabulary,
            sector=base.org.sector,
        )


class Handshakes:
    """Both roles of every handshake, their messages and their sessions."""

    def __init__(self, base: Base, peering: Peering, vocabulary: VocabularyService) -> None:
        store, clock, entropy, settings = base.store, base.clock, base.entropy, base.config.handshake
        words = lambda: vocabulary.vocabulary  # noqa: E731 -- one word for the same argument thrice
        queue = Queue()
        signer = Signer(
            entity=base.entity, message_key=base.keys.envelope_sign, seal=base.keys.envelope_seal, org=base.org
        )
        desk = Desk(signer, queue, clock, entropy, ThreadSettings(flush_s=settings.flush_s))
        peers = PeerBook(peering.directory, peering.client, signer, clock)
        carrier = Carrier(base.entity, peers, base.org)
        rules = ProviderSettings(
            quote_valid_s=settings.quote_valid_s,
            tick_ms=settings.tick_ms,
            deadline_s=settings.deadline_s,
            deadline_days=settings.deadline_days,
        )
        mentors = MentorDesk(clock)
        self.mailboxes: Final = Mailboxes(store, clock)
        self.sessions: Final = Sessions(
            store=store, mailboxes=self.mailboxes, queue=queue, clock=clock, entropy=entropy
        )
        self.answering: Final = Answering(
            store=store, desk=desk, mentors=mentors, sessions=self.sessions, clock=clock, settings=rules
        )
        self.links: Final = AnswerLinks(
            store=store, answering=self.answering, mentors=mentors, clock=clock, entropy=entropy
        )
        notices = HandshakeMail(
            vocabulary=words,
            mentors=mentors,
            page_base=lambda: base.page_base,
            clock=clock,
            entropy=entropy,
            zone=base.config.org.time_zone,
            language=base.config.org.languages[0],
        )
        notices.connect(self.links)
        quoting = Quoting(CatalogListings(base.entity, words, clock), words, clock, entropy, _quoting_settings(base))
        self.provider: Final = Provider(
            store=store,
            desk=desk,
            peers=peers,
            quoting=quoting,
            answering=self.answering,
            mentors=mentors,
            notices=notices,
            mailboxes=self.mailboxes,
            sessions=self.sessions,
            clock=clock,
            settings=rules,
        )
        self.consumer: Final = Consumer(
            store=store,
            desk=desk,
            peers=peers,
            transport=carrier,
            notices=notices,
            mailboxes=self.mailboxes,
            sessions=self.sessions,
            clock=clock,
            settings=ConsumerSettings(quote_valid_s=settings.quote_valid_s, grace_s=settings.expiry_grace_s),
        )
        exchange = Exchange(
            desk=desk,
            peers=peers,
            consumer=self.consumer,
            provider=self.provider,
            sessions=self.sessions,
            clock=clock,
            events=base.events,
        )
        self.desk: Final = desk
        self.inbox: Final = Inbox(store, exchange, clock, own=base.entity, key=base.keys.envelope_sign)
        self.outbox: Final = Outbox(store, carrier, exchange, clock, entropy)
        self.views: Final = ThreadViews(store, self.sessions)
        carrier.close_circle(self.inbox, self.provider)
        queue.connect(self.outbox.wake)


def _quoting_settings(base: Base) -> QuotingSettings:
    settings = base.config.handshake
    return QuotingSettings(
        # Outlives restarts, so that asking again meets the same few people; bound to a key that never leaves the node.
        secret=hmac.digest(base.keys.envelope_seal.seed, label("shortlist"), "sha256"),
        entity=base.entity,
        sector=base.org.sector,
        quota_percent=settings.quota_percent,
        quota_least=settings.quota_least,
        capacity=settings.capacity,
    )


class People:
    """The organization's own people."""

    def __init__(self, base: Base, vocabulary: VocabularyService, handshakes: Handshakes) -> None:
        store, clock, entropy, privacy = base.store, base.clock, base.entropy, base.config.privacy
        sign_in = SignInSettings(
            page_base=lambda: base.page_base,
            languages=base.config.org.languages,
            link_s=privacy.sign_in_link_minutes * 60,
            idle_days=privacy.session_days,
        )
        leave = (LeaveThreads(handshakes.answering).leave,)
        self.accounts: Final = Accounts(store, clock, entropy, sign_in)
        self.devices: Final = Devices(store, clock, entropy)
        self.members: Final = Members(store, clock, entropy, on_leave=leave)
        self.mentors: Final = Mentors(store, clock, lambda: vocabulary.vocabulary)
        self.erasure: Final = Erasure(store, clock, on_leave=leave)
        self.mail: Final = MailPump(
            store, clock, outside.mail_transport(base.directory, base.config, clock), sender=outside.sender(base.config)
        )
        rules = OperatorRules(
            works_council=privacy.works_council,
            smallest_group=privacy.smallest_group,
            development=base.config.development.enabled,
        )
        self.operations: Final = MemberOperations(self.members, self.accounts, self.erasure, rules, scrub=store.scrub)
