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
    MirrorBodyRow,
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
from .session import (
    MailboxAckRow,
    MailboxHeadRow,
    MailboxRow,
    SessionRow,
)

__all__ = [
    "AnswerLinkRow",
    "CandidateRow",
    "BundleRow",
    "CatalogRow",
    "DeliveryRow",
    "CosignatureRow",
    "EvidenceRow",
    "FellowRow",
    "InboxRow",
    "InviteRow",
    "FrozenRow",
    "LedgerRow",
    "LifeRow",
    "LogAgreementRow",
    "LogCheckpointRow",
    "LogEntryRow",
    "LogAheadRow",
    "LogPeriodRow",
    "LogStatedRow",
    "LogOverrideRow",
    "LogTileRow",
    "MailboxAckRow",
    "MailboxHeadRow",
    "MailboxRow",
    "MembershipRow",
    "MessageRow",
    "MirrorBodyRow",
    "MirrorRow",
    "MissRow",
    "NonceRow",
    "OutboxRow",
    "OwnDocumentRow",
    "PeerRow",
    "PlaceRow",
    "QuotaRow",
    "RegistrationRow",
    "SessionRow",
    "SetHeadRow",
    "SetPageRow",
    "SlotRow",
    "ThreadRow",
]
    "ToldDocumentRow",
    "WatchedHeadRow",
    "WatchedLogRow",
    "WitnessedLogRow",
