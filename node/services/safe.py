"""A person's safe: a few sealed things that their devices keep here, opaque to the node, bounded, compared on change.

Reading needs a sign-in, because whoever lost every device has nothing more; changing needs a device of the account, so
that nobody who merely reads a mailbox can replace what somebody comes back by. Source: docs/protocol/49-recovery.md §7.
"""

from typing import Annotated, Final

import msgspec

from federation.ports import Clock, Reader, Store, where
from node.rows import SafeRow
from protocol.encoding import b64, unb64
from protocol.errors import ConflictError, LimitError, MissingError, RefusedError
from protocol.ids import Bytes32
from protocol.recoverylocator import locator_commitment

from .accounts import Person, day_of

RECOVERY: Final = "recovery"
MAX_RECOVERY_BYTES: Final = 16_384
MAX_ITEM_BYTES: Final = 256 * 1024 + 256
MAX_ITEMS: Final = 128
MAX_TOTAL_BYTES: Final = 16 * 1024 * 1024

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

    async def views(self, person: Person) -> tuple[SealedView, ...]:
        """Return what is in the person's safe."""
        async with self._store.read() as reader:
            return tuple(_view(row) for row in await reader.find(SafeRow, where(member=person.member), order="name"))

    async def get(self, person: Person, name: SafeName) -> Sealed:
        """Return one thing. Raises: MissingError."""
        async with self._store.read() as reader:
            row = await reader.get(SafeRow, person.member, name)
        if row is None:
            raise MissingError("your node keeps nothing of this name for you")
        return Sealed(version=row.version, data=b64(row.data))

    async def put(self, person: Person, name: SafeName, command: StoreSealed) -> SealedView:
        """Store one thing in place of `command.version` of it.

        Raises: RefusedError: no device of the account; ConflictError: another version is stored; LimitError.
        """
        _require_device(person)
        data = unb64(command.data, what="data")
        most = MAX_RECOVERY_BYTES if name == RECOVERY else MAX_ITEM_BYTES
        if len(data) > most:
            raise LimitError(f"data takes at most {most} bytes")
        async with self._store.write() as writer:
            await _require_version(writer, person.member, name, command.version)
            await _require_room(writer, person.member, name, len(data))
            row = SafeRow(
                member=person.member,
                name=name,
                version=command.version + 1,
                data=data,
                stored_on=day_of(self._clock.now()),
                locator=unb64(command.locator) if command.locator and name == RECOVERY else None,
            )
            await writer.put(row)
        return _view(row)

    async def delete(self, person: Person, name: SafeName) -> None:
        """Erase one thing. Raises: RefusedError: no device of the account; MissingError."""
        _require_device(person)
        async with self._store.write() as writer:
            if not await writer.delete(SafeRow, where(member=person.member, name=name)):
                raise MissingError("your node keeps nothing of this name for you")


async def owner_of(reader: Reader, locator: Bytes32) -> str:
    """Return the member whose recovery words gave this locator. Raises: MissingError: nobody's."""
    rows = await reader.find(SafeRow, where(locator=unb64(locator_commitment(locator)), name=RECOVERY), limit=1)
    if not rows:
        raise MissingError("these recovery words are of nobody whose data is kept here", code="locator")
    return rows[0].member


def _require_device(person: Person) -> None:
    if person.device is None:
        raise RefusedError("only a device of the account may change its safe", code="no-device")


async def _require_version(reader: Reader, member: str, name: str, version: int) -> None:
    row = await reader.get(SafeRow, member, name)
    if (row.version if row else 0) != version:
        raise ConflictError("another version is stored: take it in first")


async def _require_room(reader: Reader, member: str, name: str, size: int) -> None:
    others = [row for row in await reader.find(SafeRow, where(member=member)) if row.name != name]
    if len(others) >= MAX_ITEMS or sum(len(row.data) for row in others) + size > MAX_TOTAL_BYTES:
        raise LimitError(f"a safe takes {MAX_ITEMS} things and {MAX_TOTAL_BYTES // 1024 // 1024} MiB")


def _view(row: SafeRow) -> SealedView:
    return SealedView(name=row.name, version=row.version, size=len(row.data), stored_on=row.stored_on)
