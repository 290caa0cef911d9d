"""The newest word of each registry about each member, as rows: statements come with lists, notices between them.

Source: docs/protocol/22-members.md §5.1, §6.3.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from protocol.addresses import audience_id
from protocol.errors import LimitError
from protocol.members import LONGEST_LIFE_S, MAX_MEMBERS, MemberStatement, SuspensionNotice, check_newer

from .mirror_store import FORKED, INCOMPLETE
from .pins import forget_peer
from .ports import Writer, where
from .rows import FellowRow, MirrorRow, PeerRow

#: Words about members that are out count towards this bound, so that no registry fills the store.
MAX_FELLOWS: Final = 2 * MAX_MEMBERS


async def take_list(tx: Writer, registry: str, statements: Iterable[MemberStatement], *, now: int) -> None:
    """Take over a registry's newest list: every newer word in it, and that the others are gone."""
    held = {row.entity: row for row in await tx.find(FellowRow, where(registry=registry))}
    for statement in statements:
        row = held.pop(statement.member, None)
        if row is None or _is_newer(statement, row):
            await tx.put(_fellow(statement, row))
    left = sorted(held.values(), key=lambda row: row.expires_at, reverse=True)
    for number, row in enumerate(left):
        if number >= MAX_FELLOWS - MAX_MEMBERS or (row.status != "active" and now >= row.expires_at):
            await tx.delete(FellowRow, where(registry=registry, entity=row.entity))
        elif row.status == "active":
            await tx.put(replace(row, status="gone"))


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


async def forget_list(tx: Writer, registry: str) -> tuple[str, ...]:
    """Forget what a registry stated; return the peers that go with it: met through registries that all are silent now.

    Its list is taken whole when this node joins again, unless two contradicting ones are held.
    """
    spoken = {row.entity for row in await tx.find(FellowRow, where(registry=registry))}
    await tx.delete(FellowRow, where(registry=registry))
    place = where(origin=registry, audience=audience_id(registry), kind="members")
    for row in await tx.find(MirrorRow, place):
        await tx.put(replace(row, etag="", state=row.state if row.state == FORKED else INCOMPLETE))
    met = [peer for peer in await tx.find(PeerRow) if peer.via == registry or (peer.via and peer.entity in spoken)]
    gone = tuple([peer.entity for peer in met if not await tx.count(FellowRow, where(entity=peer.entity))])
    for entity in gone:
        await tx.delete(PeerRow, where(entity=entity))
        await forget_peer(tx, entity)
    return gone


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
