"""What only a device of an account may do, asked in the transaction that does it.

A request is signed in before its transaction begins; a device that is removed in between does nothing any more.
"""

from federation.ports import Reader
from node.rows import DeviceRow
from protocol.errors import RefusedError

from .accounts import Person


async def require_device(tx: Reader, person: Person, *, what: str) -> None:
    """Return when this client is a device of the account now. Raises: RefusedError: `what` is for a device alone."""
    row = await tx.get(DeviceRow, person.device) if person.device is not None else None
    if row is None or row.member != person.member:
        raise RefusedError(f"only a device of the account {what}", code="no-device")
