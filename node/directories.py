"""Composition of key directories: own ones, those of peers, what proves them, and their erasure."""

from typing import Final

from federation.attesting import AttesterBook, Attesting
from federation.erasures import EntryErasures
from federation.publisher import PublisherService
from protocol.errors import MissingError
from protocol.peers import NodeDocument

from .nodelog import NodeLog
from .parts import Base, Catalog, Peering
from .services.foreign_checks import ForeignChecks
from .services.key_directory import KeyDirectory, KeyPolicy
from .services.key_lookup import KeyLookup


class KnownDocuments:
    """The documents of this node and of its peers."""

    def __init__(self, base: Base, peering: Peering) -> None:
        self._own: Final = base.entity
        self._peering: Final = peering

    def document(self, entity: str) -> NodeDocument | None:
        """Return the document of a node, None for a stranger."""
        if entity == self._own:
            return self._peering.identity.document
        try:
            return self._peering.directory.get(entity).document
        except MissingError:
            return None

    def text(self, entity: str) -> str:
        """Return the same as it was signed, empty for a stranger."""
        if entity == self._own:
            return self._peering.identity.text
        try:
            return self._peering.directory.get(entity).pinned.text
        except MissingError:
            return ""


class Directories:
    """Key directories of one node."""

    def __init__(self, base: Base, peering: Peering, catalog: Catalog, log: NodeLog, book: AttesterBook) -> None:
        documents = KnownDocuments(base, peering)
        settings = base.config.directory
        publisher: PublisherService = catalog.publisher
        self.attesting: Final = Attesting(
            base.store,
            base.clock,
            book=book,
            documents=documents,
            publisher=publisher,
            logbook=log.book,
            mirror=catalog.mirror,
            post=peering.sets.post,
            own=base.entity,
            key=base.keys.attest,
        )
        self.erasures: Final = EntryErasures(
            base.store,
            base.clock,
            peering.calls,
            audiences=book,
            sources=catalog.sources,
            directory=peering.directory,
            mirror=catalog.mirror,
            own=base.entity,
            key=base.keys.attest,
        )
        self.directory: Final = KeyDirectory(
            base.store,
            base.clock,
            base.entropy,
            publisher,
            book,
            own=base.entity,
            erasures=self.erasures,
            policy=KeyPolicy(
                gap_s=settings.gap_s,
                every_s=base.config.editions.head_every_s,
                least=settings.least,
                expected_percent=settings.expected_percent,
            ),
            generation=base.store.generation,
        )
        self.lookup: Final = KeyLookup(base.store, book, documents, own=base.entity)
        self.foreign: Final = ForeignChecks(
            self.lookup, peering.directory, base.clock, own=base.entity, key=base.keys.attest
        )
        catalog.mirror.connect(self.attesting)
        peering.directory.watch(self.directory.wake)
        peering.directory.watch(self.attesting.wake)
        log.sequencer.watch(self.attesting.wake)
        peering.meeting.memberships.on_change(self._attesters_changed)
        base.on_new_keys(lambda keys: self.attesting.rekey(keys.attest))
        base.on_new_keys(lambda keys: self.erasures.rekey(keys.attest))
        base.on_new_keys(lambda keys: self.foreign.rekey(keys.attest))

    async def _attesters_changed(self) -> None:
        self.attesting.wake()

    def start_jobs(self, base: Base) -> None:
        """Start the background work."""
        base.jobs.start("keys", self.directory.run)
        base.jobs.start("attestations", self.attesting.run)
        base.jobs.start("erasures", self.erasures.run)
