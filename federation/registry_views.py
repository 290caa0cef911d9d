"""What the administrator of a registry sees of its applicants and members."""

import msgspec

from .rows import RegistrationRow


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """One applicant or member as the registry's administrator sees it."""

    entity: str
    status: str
    reason: str
    applied_at: int
    since: int
    expires_at: int
    attester: bool


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """A change and whom its notice reached: the others find it when they poll, or hear of it again within an hour."""

    registration: Registration
    told: int
    missed: tuple[str, ...]


def shown(row: RegistrationRow) -> Registration:
    """Return an applicant or member as the administrator sees it."""
    return Registration(
        entity=row.entity,
        status=row.status,
        reason=row.reason,
        applied_at=row.applied_at,
        since=row.since,
        expires_at=row.expires_at,
        attester=row.attester,
    )
