"""Tables of sessions and of the mailboxes of people's devices."""

from typing import ClassVar

from federation.ports import Row


class SessionRow(Row, frozen=True, kw_only=True):
    """One side of a session: its life cycle, and the hub's counter where this node is the hub."""

    table = "session"
    key = ("thread", "side")
    purpose: ClassVar = {
        "thread": "session: identity, random",
        "side": "session: role of this node",
        "peer": "session: the other organization",
        "label": "session: mailbox of the own person, random",
        "state": "session: life cycle",
        "slot": "session: agreed start",
        "ends_at": "session: agreed end",
        "destroy_at": "retention: when ciphertext is erased at the latest",
        "sent": "delivery: envelopes sent to the other node",
        "heard": "delivery: envelopes received from the other node",
        "number": "delivery: envelopes ordered by the hub",
        "closed_own": "session: the own person closed it",
        "closed_their": "session: the other person closed it",
        "epoch": "delivery: the hub's count of key changes in the group",
        "recent": "delivery: digests of the last envelopes received, to know a repeat",
    }

    thread: str
    side: str
    peer: str
    label: str
    state: str
    slot: int | None
    ends_at: int
    destroy_at: int
    sent: int = 0
    heard: int = 0
    number: int = 0
    closed_own: bool = False
    closed_their: bool = False
    epoch: int = 1
    recent: str = ""


class MailboxRow(Row, frozen=True, kw_only=True):
    """One entry that waits for a person's devices; `data` is signed or encrypted elsewhere and opaque here."""

    table = "mailbox"
    key = ("label", "cursor")
    named_by = "label"
    purpose: ClassVar = {
        "label": "mailbox: whose, random",
        "cursor": "mailbox: order",
        "thread": "mailbox: which thread it belongs to",
        "side": "mailbox: role of this node in the thread",
        "kind": "mailbox: what the device does with it",
        "data": "mailbox: the item, opaque",
        "total": "mailbox: bytes ever added up to here, to bound what waits",
        "at": "retention: when it was stored",
    }

    label: str
    cursor: int
    thread: str
    side: str
    kind: str
    data: bytes
    total: int = 0
    at: int


class MailboxHeadRow(Row, frozen=True, kw_only=True):
    """The last cursor given in one mailbox."""

    table = "mailbox_head"
    key = ("label",)
    purpose: ClassVar = {
        "label": "mailbox: whose, random",
        "cursor": "mailbox: last position given",
        "total": "mailbox: bytes ever added",
    }

    label: str
    cursor: int
    total: int = 0


class MailboxAckRow(Row, frozen=True, kw_only=True):
    """Up to where one device has read; an entry goes when every enrolled device has read it."""

    table = "mailbox_ack"
    key = ("label", "device")
    purpose: ClassVar = {
        "label": "mailbox: whose, random",
        "device": "mailbox: which device, random",
        "cursor": "mailbox: position read",
    }

    label: str
    device: str
    cursor: int
