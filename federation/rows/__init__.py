"""The tables that node-to-node code reads and writes, a module for each part; one class is one table.

The tables themselves are made by `node/store/migrations/`; a test compares both, column by column.
"""

from .delivery import DeliveryRow, LedgerRow, LifeRow
from .evidence import (
    BundleRow,
    CosignatureRow,
    FrozenRow,
    LogAheadRow,
    LogOverrideRow,
    TakenHeadRow,
    WatchedHeadRow,
    WatchedLogRow,
    WitnessedLogRow,
)
from .handshake import (
    AnswerLinkRow,
    CandidateRow,
    EvidenceRow,
    InboxRow,
    MessageRow,
    MissRow,
    OutboxRow,
    PlaceRow,
    QuotaRow,
    SlotRow,
    ThreadRow,
)
from .keys import (
    AttestationRow,
    EntryErasureRow,
    HeadProofRow,
    KeyDirectoryRow,
    KeyEntryRow,
)
from .log import (
    LogAgreementRow,
    LogCheckpointRow,
    LogEntryRow,
    LogPeriodRow,
    LogStatedRow,
    LogTileRow,
)
from .members import FellowRow, MembershipRow, RegistrationRow
from .offers import (
    CatalogRow,
    MirrorPageRow,
    MirrorRow,
    SetHeadRow,
    SetPageRow,
)
from .peers import (
    InviteRow,
    NonceRow,
    OwnDocumentRow,
    PeerRow,
)
from .rotation import EarlierDocumentRow, PendingDocumentRow, RevokedKeyRow, ToldDocumentRow
from .session import (
    MailboxAckRow,
    MailboxHeadRow,
    MailboxRow,
    SessionRow,
)

__all__ = [
    "AnswerLinkRow",
    "AttestationRow",
    "BundleRow",
    "CandidateRow",
    "CatalogRow",
    "CosignatureRow",
    "DeliveryRow",
    "EarlierDocumentRow",
    "EntryErasureRow",
    "EvidenceRow",
    "FellowRow",
    "FrozenRow",
    "HeadProofRow",
    "InboxRow",
    "InviteRow",
    "KeyDirectoryRow",
    "KeyEntryRow",
    "LedgerRow",
    "LifeRow",
    "LogAgreementRow",
    "LogAheadRow",
    "LogCheckpointRow",
    "LogEntryRow",
    "LogOverrideRow",
    "LogPeriodRow",
    "LogStatedRow",
    "LogTileRow",
    "MailboxAckRow",
    "MailboxHeadRow",
    "MailboxRow",
    "MembershipRow",
    "MessageRow",
    "MirrorPageRow",
    "MirrorRow",
    "MissRow",
    "NonceRow",
    "OutboxRow",
    "OwnDocumentRow",
    "PeerRow",
    "PendingDocumentRow",
    "PlaceRow",
    "QuotaRow",
    "RegistrationRow",
    "RevokedKeyRow",
    "SessionRow",
    "SetHeadRow",
    "SetPageRow",
    "SlotRow",
    "TakenHeadRow",
    "ThreadRow",
    "ToldDocumentRow",
    "WatchedHeadRow",
    "WatchedLogRow",
    "WitnessedLogRow",
]
