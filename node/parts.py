"""The parts of a node, each a group of services that belong together, made from what stands before it.

Only `node/app.py` makes them. Services that need each other in a circle are joined by their `connect` and
`close_circle` methods.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from federation.announcer import Announcer
from federation.audiences import PeerSets
from federation.authenticate import Authenticator
from federation.checkup import Checkup
from federation.client import PeerClient
from federation.directory import Peer, PeerDirectory
from federation.discovery import Discovery
from federation.healing import HealingCalls
from federation.identity import Own as Identity
from federation.identity import issue
from federation.keysources import WithKeys
from federation.mirror import MirrorService
from federation.peering import PeeringService
from federation.ports import Clock, Entropy
from federation.publisher import HeadPolicy, PublisherService
from federation.rows import OwnDocumentRow, PeerRow
from federation.sequencer import Sequencer
from federation.sourcewatch import MirrorPolicy
from protocol.crowd import FamilyMap
from protocol.editions import Policy
from protocol.minimize import Rules
from protocol.peers import open_document
from protocol.times import when

from . import outside
from .beside import Beside, Names
from .events import Events
from .exchanging import Exchanging, Surroundings
from .jobs import Jobs
from .keys import KeyRing, load_keys
from .meeting import Meeting
from .sections import Config
from .services.accounts import Accounts, SignInSettings
from .services.catalogs import Catalogs
from .services.contacts import ContactTokens
from .services.devices import Devices
from .services.erasure import Erasure
from .services.key_directory import KeyDirectory
from .services.key_pages import KeyContents
from .services.leaving import LeaveThreads
from .services.linking import Linkings
from .services.mail import MailPump
from .services.member_operations import MemberOperations, OperatorRules
from .services.members import Members
from .services.mentors import Mentors
from .services.offers import MirroredOffers, Offers
from .services.peers import PeerOperations, draft_document
from .services.safe import Safe
from .services.search import Search
from .services.vocabulary import VocabularyService
from .status import Alert
from .store.blobs import FileBytes
from .store.opening import NodeStore
from .telemetry import Log, Metrics


class Base:
    """What every part of a node stands on."""

    def __init__(
        self,
        directory: Path,
        config: Config,
        store: NodeStore,
        files: FileBytes,
        *,
        clock: Clock,
        entropy: Entropy,
        log: Log,
        port: int,
    ) -> None:
        self.directory: Final = directory
        self.config: Final = config
        self.store: Final = store
        self.files: Final = files
        self.clock: Final = clock
        self.entropy: Final = entropy
        self.port: Final = port
        self.page_base: Final = config.page_base(port)
        self.keys: KeyRing = load_keys(directory)
        self._rekeyed: Final[list[Callable[[KeyRing], None]]] = []
        self.events: Final = Events(log, Metrics())
        self.beside: Final = Beside(store.others, clock)
        self.jobs: Final = Jobs(clock, self.events)
        self.org: Final = draft_document(config, self.keys).org
        self.entity: Final = config.node.entity

    def on_new_keys(self, tell: Callable[[KeyRing], None]) -> None:
        """Call `tell` when keys were changed."""
        self._rekeyed.append(tell)

    def adopt(self, keys: KeyRing) -> None:
        """Go on with these keys from now on, everywhere."""
        self.keys = keys
        for tell in self._rekeyed:
            tell(keys)


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
        self._base: Final = base
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
        self.calls: Final = HealingCalls(client, base.clock, self.directory, self.discovery)
        self.announcer: Final = Announcer(
            base.store, self.calls, base.clock, base.entropy, self.directory, own=identity
        )
        self.calls.connect(self.announcer)
        self.directory.watch(self.announcer.wake)
        base.on_new_keys(lambda keys: client.rekey(keys.http))
        checkup = Checkup(client, base.clock, self.directory, own_entity=base.entity)
        self.operations: Final = PeerOperations(self.service, checkup)
        self.authenticator: Final = Authenticator(
            self.directory,
            base.clock,
            address_per_minute=limits.address_per_minute,
            peer_per_minute=limits.peer_per_minute,
            # What others of this node's processes were asked is remembered in the database, and so before this start.
            not_before=base.store.restored_at if base.beside.several else base.clock.now(),
            shared=base.store if base.beside.several else None,
        )
        self.meeting: Final = Meeting(
            base.store,
            base.clock,
            self.calls,
            self.directory,
            peering=self.service,
            discovery=self.discovery,
            alert=base.events.member_refused,
            development=config.development.enabled,
        )
        self.audiences: Final = self.meeting.audiences
        self.directory.watch(self.meeting.memberships.wake)
        self.sets: Final = PeerSets(self.directory, self.calls)

    async def refresh(self, names: Names) -> None:
        """Take over what another process has changed of the peers."""
        await self.directory.refresh(self._base.store, names)

    async def reload(self, _: Names) -> None:
        """Go on with the document that another process has signed."""
        async with self._base.store.read() as rows:
            row = await rows.get(OwnDocumentRow, self._base.entity)
        text = row.document.decode("ascii") if row is not None else self.identity.text
        if text != self.identity.text:
            self.identity.document, self.identity.text = open_document(text), text
            self.announcer.wake()

    async def reissue(self) -> None:
        """Sign the document anew if it says something else by now, and bring it to all peers."""
        base = self._base
        said = draft_document(base.config, base.keys)
        fresh = await issue(base.store, said, base.keys.federation, now=base.clock.now())
        self.identity.document, self.identity.text = fresh.document, fresh.text
        self.announcer.wake()

    def sector(self, origin: str) -> str:
        """Return the NACE section of a peer, empty when it is one no longer."""
        return next((peer.document.org.sector for peer in self.directory.all() if peer.entity == origin), "")


class Catalog:
    """What this node lists, and what its peers do."""

    def __init__(
        self, base: Base, peering: Peering, vocabulary: VocabularyService, families: FamilyMap, *, log: Sequencer
    ) -> None:
        store, clock, settings = base.store, base.clock, base.config.editions
        rules = Rules(k=settings.k, ratio_percent=settings.ratio_percent, smallest_members=settings.smallest_members)
        self.publisher: Final = PublisherService(
            store,
            clock,
            peering.audiences,
            own=base.entity,
            key=base.keys.log,
            policy=HeadPolicy(every_s=settings.head_every_s, valid_s=settings.head_valid_s),
            log=log,
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
        self.sources: Final = WithKeys(peering.audiences)
        self.mirror: Final = MirrorService(
            store,
            clock,
            base.entropy,
            self.sources,
            peering.sets.fetch,
            own=base.entity,
            policy=MirrorPolicy(poll_s=settings.poll_s),
            contents={"members": peering.meeting.memberships},
            paged={"keys": KeyContents(store, clock)},
            refetch=peering.discovery.refresh,
        )
        peering.meeting.memberships.on_change(self._meet)
        self.offers: Final = Offers(
            store,
            clock,
            self.catalogs,
            self.mirror,
            peering.audiences,
            log=log,
            vocabulary=lambda: vocabulary.vocabulary,
            own=base.entity,
            log_key=base.keys.log.public,
            works_council=base.config.privacy.works_council,
        )
        self._rekey(base.keys)
        base.on_new_keys(self._rekey)
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

    async def alerts(self) -> tuple[Alert, ...]:
        """Return what an administrator should look at: sets that stand still since the clock was ahead."""
        until = await self.publisher.waits_until()
        if not until:
            return ()
        detail = f"a set was signed while the clock was ahead: it is not signed anew before {when(until)}"
        return (Alert(about="clock", detail=detail, fix='docs/how-to/run-as-a-service.md, "When the clock was ahead"'),)

    async def _meet(self) -> None:
        """Show our catalog to new members of consortia and mirror theirs; show nothing of those who are out."""
        await self.mirror.drop()
        self.mirror.look_again()
        self.catalogs.wake()

    def _rekey(self, keys: KeyRing) -> None:
        self.publisher.rekey(keys.log)
        self.offers.rekey(keys.log.public, [key.public for key in keys.earlier_log])


class Handshakes(Exchanging):
    """Both roles of every handshake, their messages and their sessions."""

    def __init__(self, base: Base, peering: Peering, vocabulary: VocabularyService) -> None:
        super().__init__(
            Surroundings(
                entity=base.entity,
                config=base.config,
                keys=base.keys,
                org=base.org,
                store=base.store,
                clock=base.clock,
                entropy=base.entropy,
                events=base.events,
                directory=peering.directory,
                calls=peering.calls,
                refetch=peering.discovery.refresh,
                vocabulary=lambda: vocabulary.vocabulary,
                page_base=lambda: base.page_base,
                blobs=base.files,
                claim=base.beside.claim,
            )
        )
        base.on_new_keys(self.rekey)


class People:
    """The organization's own people."""

    def __init__(
        self, base: Base, vocabulary: VocabularyService, handshakes: Handshakes, directory: KeyDirectory
    ) -> None:
        store, clock, entropy, privacy = base.store, base.clock, base.entropy, base.config.privacy
        sign_in = SignInSettings(
            page_base=lambda: base.page_base,
            languages=base.config.org.languages,
            link_s=privacy.sign_in_link_minutes * 60,
            idle_days=privacy.session_days,
        )
        threads = LeaveThreads(handshakes.answering, handshakes.consumer, handshakes.blobs)
        leave = (threads.leave, directory.leave, handshakes.reports.forget)
        self.accounts: Final = Accounts(store, clock, entropy, sign_in)
        self.devices: Final = Devices(store, clock, entropy, changed=directory.wake)
        self.linkings: Final = Linkings(store, clock, entropy)
        self.members: Final = Members(store, clock, entropy, on_leave=leave)
        self.safe: Final = Safe(store, clock)
        self.contacts: Final = ContactTokens(store, clock)
        self.mentors: Final = Mentors(store, clock, lambda: vocabulary.vocabulary)
        self.erasure: Final = Erasure(store, clock, scrub=self._scrub, on_leave=leave)
        self._store, self._blobs = store, handshakes.blobs
        self.mail: Final = MailPump(
            store, clock, outside.mail_transport(base.directory, base.config, clock), sender=outside.sender(base.config)
        )
        rules = OperatorRules(
            works_council=privacy.works_council,
            smallest_group=privacy.smallest_group,
            development=base.config.development.enabled,
        )
        self.operations: Final = MemberOperations(self.members, self.accounts, self.erasure, rules)

    async def _scrub(self) -> None:
        """Let nothing of what was erased stay on the disk: the bytes of files, and the write-ahead file."""
        await self._blobs.sweep()
        await self._store.scrub()
