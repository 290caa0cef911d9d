"""Tables of consortia: whom this node admitted as a registry, and whom its own registries state as members."""

from typing import ClassVar

from federation.ports import Row


class RegistrationRow(Row, frozen=True, kw_only=True):
    """One applicant or member of the consortium whose registry this node is.

    `status` is applied, active, suspended or removed; the row of a removed member stays, so that its numbers go on.
    `body` is the statement as published, empty while there is none.
    """

    table = "registration"
    key = ("entity",)
    purpose: ClassVar = {
        "entity": "consortium: which organization",
        "status": "consortium: what is stated about it",
        "reason": "accountability: why the administrator set the status",
        "applied_at": "accountability: when it accepted the ticket",
        "since": "consortium: when it was admitted",
        "attester": "consortium: whether it attests the sets of the others",
        "seq": "security: number of the last word about it",
        "issued_at": "operation: when the statement was made",
        "expires_at": "operation: when the statement runs out",
        "salt": "consortium: opens the commitment",
        "body": "consortium: the statement as published",
    }

    entity: str
    status: str
    reason: str = ""
    applied_at: int
    since: int = 0
    attester: bool = False
    seq: int = 0
    issued_at: int = 0
    expires_at: int = 0
    salt: bytes = b""
    body: bytes = b""


class MembershipRow(Row, frozen=True, kw_only=True):
    """One consortium this node joined, by its registry, with what the ticket said about it."""

    table = "membership"
    key = ("registry",)
    purpose: ClassVar = {
        "registry": "consortium: whose statements count here",
        "name": "consortium: what it is called",
        "charter": "accountability: what members promise",
        "charter_url": "accountability: where the promise stands whole",
        "joined_at": "accountability: when this node joined",
    }

    registry: str
    name: str
    charter: str = ""
    charter_url: str = ""
    joined_at: int


class FellowRow(Row, frozen=True, kw_only=True):
    """The newest word of a registry about one member, this node among them.

    `status` is active, suspended, removed, or gone when the list left it out. `met` is the stated fingerprint that was
    last found to be the pinned key's; `problem` is why an active member cannot be used.
    """

    table = "fellow"
    key = ("registry", "entity")
    purpose: ClassVar = {
        "registry": "consortium: whose word",
        "entity": "consortium: about which organization",
        "status": "consortium: whether it is a member",
        "seq": "security: refuse older words",
        "api": "consortium: where to meet it",
        "fingerprint": "security: the key to meet there",
        "connect_to": "consortium: loopback address in development, else empty",
        "since": "consortium: when it was admitted",
        "expires_at": "consortium: when the statement runs out",
        "attester": "consortium: whether it attests the sets of the others",
        "met": "security: a key that was rotated since may still be stated",
        "problem": "operation: why the statement does not count",
    }

    registry: str
    entity: str
    status: str
    seq: int
    api: str
    fingerprint: str
    connect_to: str = ""
    since: int
    expires_at: int
    attester: bool = False
    met: str = ""
    problem: str = ""
