"""What of a process's memory other processes can make stale, and what is done then: the table of docs/adr/0023, run.

Whatever is not here is decided in the transaction that needs it, is kept by the process on duty alone, or holds for
one process only, such as a limit of requests.
"""

from federation.rows import (
    AttestationRow,
    EarlierDocumentRow,
    EntryErasureRow,
    FellowRow,
    FrozenRow,
    KeyEntryRow,
    LogEntryRow,
    MailboxRow,
    MembershipRow,
    MirrorRow,
    OutboxRow,
    OwnDocumentRow,
    PeerRow,
    RegistrationRow,
)

from .beside import Beside, Names
from .consortia import Consortia
from .directories import Directories
from .nodelog import NodeLog
from .parts import Catalog, Handshakes, Peering
from .rows import BlobRow, EnrolmentRow, SchemeRow
from .rows_reports import ReportRow
from .services.vocabulary import VocabularyService
from .witnessing import Witnessing


def keep_peers(beside: Beside, peering: Peering, consortia: Consortia, witnessing: Witnessing) -> None:
    """Keep fresh who the peers are, what they may, and what this node says of itself."""
    memberships = consortia.memberships

    async def peers(names: Names) -> None:
        await peering.refresh(names)
        await memberships.refresh()

    async def frozen(_: Names) -> None:
        await witnessing.evidence.load()

    async def logs(_: Names) -> None:
        await witnessing.reload()

    beside.keep(peers, PeerRow)
    beside.keep(frozen, FrozenRow)
    beside.keep(logs, EarlierDocumentRow)
    beside.keep(memberships.refresh, MembershipRow, FellowRow)
    beside.wake(memberships.wake, MembershipRow, FellowRow)
    beside.keep(peering.reload, OwnDocumentRow)
    if consortia.is_registry:
        beside.keep(consortia.registry.refresh, RegistrationRow)


def keep_catalog(beside: Beside, catalog: Catalog, vocabulary: VocabularyService) -> None:
    """Keep fresh what is found in a search."""

    async def words(_: Names) -> None:
        await vocabulary.load()

    async def everything(_: Names) -> None:
        await catalog.mirror.refresh(None)

    beside.keep(words, SchemeRow)
    beside.keep(catalog.mirror.refresh, MirrorRow)
    beside.keep(everything, PeerRow, MembershipRow, FellowRow)
    beside.look(catalog.mirror.drop)


def keep_moving(beside: Beside, handshakes: Handshakes, directories: Directories, log: NodeLog) -> None:
    """Wake who waits for rows that another process wrote."""
    beside.wake_by_name(handshakes.mailboxes.wake, MailboxRow)
    beside.keep(handshakes.outbox.look_again, OutboxRow)
    beside.wake(handshakes.blobs.recount, BlobRow)
    beside.wake(handshakes.reports.wake, ReportRow)
    beside.wake(log.sequencer.wake, LogEntryRow)
    beside.wake(directories.directory.wake, EnrolmentRow, KeyEntryRow)
    beside.wake(directories.attesting.wake, AttestationRow)
    beside.wake(directories.erasures.wake, EntryErasureRow)
