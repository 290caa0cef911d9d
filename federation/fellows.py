"""The newest word of each registry about each member, as rows: statements come with lists, notices between them.

Source: docs/protocol/22-members.md §5.1, §6.3.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from protocol.errors import LimitError
from protocol.members import LONGEST_LIFE_S, MAX_MEMBERS, MemberStatement, SuspensionNotice, check_newer

from .ports import Reader, Writer, where
from .rows import FellowRow, PeerRow

#: Words about members that are out count towards this bound, so that no registry fills the store.
MAX_FELLOWS: Final = 2 * MAX_MEMBERS


async def take_list(tx: Writer, registry: str, statements: Iterable[MemberStatement], *, now: int) -> None:
    """Take over a registry's newest list: every newer word in it, and that the others are gone."""
    held = {row.entity: row for row in await tx.find(FellowRow, where(registry=registry))}
    for statement in statements:
        row = held.pop(statement.member, None)
        if row is None or _is_newer(statement, row):
            await tx.put(_fellow(statement, row))
    for row in held.values():
        if row.status == "active":
            await tx.put(replace(row, status="gone"))
        elif now >= row.expires_at:
            await tx.delete(FellowRow, where(registry=registry, entity=row.entity))


async def take_notice(tx: Writer, notice: SuspensionNotice, *, now: int) -> None:
    """Take over that a member is out. Raises: StaleNoticeError; LimitError: the registry spoke of too many."""
    registry = notice.registry
    row = await tx.get(FellowRow, registry, notice.member)
    check_newer(notice, row.seq if row else 0)
    if row is None and await tx.count(FellowRow, where(registry=registry)) >= MAX_FELLOWS:
        raise LimitError("the registry spoke of too many members", code="too-many-members")
    known = row or _unknown(notice, now)
    if notice.seq > known.seq or known.status == "active":
        await tx.put(replace(known, status=notice.status, seq=notice.seq))


async def met_only_through(rows: Reader, entity: str) -> bool:
    """Tell whether a peer was met through a registry, and no registry speaks of it any more."""
    peer = await rows.get(PeerRow, entity)
    return peer is not None and bool(peer.via) and not await rows.count(FellowRow, where(entity=entity))


def _is_newer(statement: MemberStatement, row: FellowRow) -> bool:
    """Tell whether a statement counts before what is known; under one number the worse word wins."""
    return statement.seq > row.seq or (
        statement.seq == row.seq and (row.status == "active" or statement.status == "suspended")
    )


def _fellow(statement: MemberStatement, known: FellowRow | None) -> FellowRow:
    return FellowRow(
        registry=statement.registry,
        entity=statement.member,
        status=statement.status,
        seq=statement.seq,
        api=statement.api,
        fingerprint=statement.fingerprint,
        connect_to=statement.connect_to,
        since=statement.since,
        expires_at=statement.expires_at,
        attester=statement.attester,
        met=known.met if known else "",
    )


def _unknown(notice: SuspensionNotice, now: int) -> FellowRow:
    """Return the row of a member of which only a notice is known; every older statement has run out at its end."""
    return FellowRow(
        registry=notice.registry,
        entity=notice.member,
        status="removed",
        seq=0,
        api="",
        fingerprint="",
        since=now,
        expires_at=now + LONGEST_LIFE_S,
    )
