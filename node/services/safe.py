"""A person's safe: a few sealed things that their devices keep here, opaque to the node, bounded, compared on change.

Reading needs a sign-in, because whoever lost every device has nothing more; changing needs a device of the account, so
that nobody who merely reads a mailbox can replace what somebody comes back by. Source: docs/protocol/49-recovery.md §7.
"""

from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Reader, Store, where
from node.rows import SafeRow, SafeUseRow
from protocol.encoding import b64, unb64
from protocol.errors import ConflictError, LimitError, MissingError
from protocol.ids import Bytes32
from protocol.recoverylocator import locator_commitment

from .accounts import Person, day_of
from .allowance import Allowance
from .ownership import require_device

RECOVERY: Final = "recovery"
MAX_RECOVERY_BYTES: Final = 16_384
MAX_ITEM_BYTES: Final = 256 * 1024 + 256
MAX_ITEMS: Final = 128
MAX_TOTAL_BYTES: Final = 16 * 1024 * 1024
#: What all devices of one person do with their safe: a whole archive is written, or read, by 130 of these.
MOST_USES: Final = 1_200
USES_PER_S: Final = 600

SafeName = Annotated[str, msgspec.Meta(pattern=r"^(?:recovery|archive|[A-Za-z0-9_-]{21}[AQgw])(?!\n)$", max_length=22)]
Version = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class StoreSealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New content of one thing; `version` is the one that it replaces, 0 when there is none yet.

    `locator` goes with the recovery copy: the hash by which whoever has its words is known.
    """

    version: Version
    data: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+(?!\n)$", min_length=1, max_length=350_000)]
    locator: Bytes32 | None = None


class SealedView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing without its content."""

    name: str
    version: int
    size: int
    stored_on: int


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing with its content."""

    version: int
    data: str


class Safe:
    """The safes of all people."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._uses: Final = Allowance(clock, most=MOST_USES, per_s=USES_PER_S)

    async def views(self, person: Person) -> tuple[SealedView, ...]:
        """Return what is in the person's safe. Raises: LimitError."""
        self._uses.use(person.member, what="readings of a safe")
        async with self._store.read() as reader:
            return tuple(_view(row) for row in await reader.find(SafeRow, where(member=person.member), order="name"))

    async def get(self, person: Person, name: SafeName) -> Sealed:
        """Return one thing. Raises: MissingError, LimitError."""
        self._uses.use(person.member, what="readings of a safe")
        async with self._store.read() as reader:
            row = await reader.get(SafeRow, person.member, name)
        if row is None:
            raise MissingError("your node keeps nothing of this name for you")
        return Sealed(version=row.version, data=b64(row.data))

    async def put(self, person: Person, name: SafeName, command: StoreSealed) -> SealedView:
        """Store one thing in place of `command.version` of it.

        Raises: RefusedError: no device of the account; ConflictError: another version is stored; LimitError.
        """
        self._uses.use(person.member, what="changes of a safe")
        data = unb64(command.data, what="data")
        most = MAX_RECOVERY_BYTES if name == RECOVERY else MAX_ITEM_BYTES
        if len(data) > most:
            raise LimitError(f"data takes at most {most} bytes")
        async with self._store.write() as writer:
            await require_device(writer, person, what="may change its safe")
            known = await writer.get(SafeRow, person.member, name)
            if (known.version if known else 0) != command.version:
                raise ConflictError("another version is stored: take it in first")
            used = await _used(writer, person.member)
            things, size = used.things + (known is None), used.size_bytes + len(data) - _size(known)
            if things > MAX_ITEMS or size > MAX_TOTAL_BYTES:
                raise LimitError(f"a safe takes {MAX_ITEMS} things and {MAX_TOTAL_BYTES // 1024 // 1024} MiB")
            row = SafeRow(
                member=person.member,
                name=name,
                version=command.version + 1,
                data=data,
                stored_on=day_of(self._clock.now()),
                locator=unb64(command.locator) if command.locator and name == RECOVERY else None,
            )
            await writer.put(row, replace(used, things=things, size_bytes=size))
        return _view(row)

    async def delete(self, person: Person, name: SafeName) -> None:
        """Erase one thing. Raises: RefusedError: no device of the account; MissingError."""
        self._uses.use(person.member, what="changes of a safe")
        async with self._store.write() as writer:
            await require_device(writer, person, what="may change its safe")
            known = await writer.get(SafeRow, person.member, name)
            if known is None:
                raise MissingError("your node keeps nothing of this name for you")
            await writer.delete(SafeRow, where(member=person.member, name=name))
            used = await _used(writer, person.member)
            await writer.put(replace(used, things=used.things - 1, size_bytes=used.size_bytes - _size(known)))


async def owner_of(reader: Reader, locator: Bytes32) -> str:
    """Return the member whose recovery words gave this locator. Raises: MissingError: nobody's."""
    rows = await reader.find(SafeRow, where(locator=unb64(locator_commitment(locator)), name=RECOVERY), limit=1)
    if not rows:
        raise MissingError("these recovery words are of nobody whose data is kept here", code="locator")
    return rows[0].member


async def _used(reader: Reader, member: str) -> SafeUseRow:
    return await reader.get(SafeUseRow, member) or SafeUseRow(member=member, things=0, size_bytes=0)


def _size(row: SafeRow | None) -> int:
    return len(row.data) if row else 0


def _view(row: SafeRow) -> SealedView:
    return SealedView(name=row.name, version=row.version, size=len(row.data), stored_on=row.stored_on)
