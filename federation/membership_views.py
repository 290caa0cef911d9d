"""What administrators see of the consortia their node joined."""

from collections.abc import Sequence

import msgspec

from .peer_views import Accepted
from .rows import FellowRow, MembershipRow


class Fellow(msgspec.Struct, frozen=True, kw_only=True):
    """One member as an administrator of another sees it; `problem` is why an active one cannot be met."""

    entity: str
    status: str
    since: int
    expires_at: int
    attester: bool
    problem: str


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """One consortium: `standing` is waiting until the registry states this node as a member, then what it states."""

    registry: str
    name: str
    charter: str
    charter_url: str
    joined_at: int
    standing: str
    expires_at: int
    fellows: tuple[Fellow, ...]


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """A consortium just joined: the pair with its registry, and what the ticket said."""

    accepted: Accepted
    name: str


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A consortium just left, and whether its registry has heard of it."""

    registry: str
    told: bool


def shown(row: MembershipRow, fellows: Sequence[FellowRow], own: str, now: int) -> Membership:
    """Return a consortium with its members as an administrator of `own` sees them at `now`."""
    mine = next((one for one in fellows if one.entity == own), None)
    return Membership(
        registry=row.registry,
        name=row.name,
        charter=row.charter,
        charter_url=row.charter_url,
        joined_at=row.joined_at,
        standing=_standing(mine, now) if mine else "waiting",
        expires_at=mine.expires_at if mine else 0,
        fellows=tuple(
            Fellow(
                entity=one.entity,
                status=_standing(one, now),
                since=one.since,
                expires_at=one.expires_at,
                attester=one.attester,
                problem=one.problem,
            )
            for one in fellows
            if one.entity != own
        ),
    )


def _standing(row: FellowRow, now: int) -> str:
    return "expired" if row.status == "active" and now >= row.expires_at else row.status
