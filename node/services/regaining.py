"""A new device comes in by the account secret instead of another device: after a loss, by recovery.

Everything that was signed in before is signed out in the same step; the person's client then removes the lost devices.
Source: docs/protocol/49-recovery.md §6.
"""

from collections.abc import Sequence

from federation.ports import Writer, where
from node.rows import DeviceRow, EnrolmentRow, LabelRow, SignInRow
from protocol.encoding import unb64
from protocol.errors import UnverifiedError
from protocol.regain import check_regain
from protocol.signing import VerifyKey

from .labels import MAILBOX


def check_regained(
    statement: str, live: Sequence[EnrolmentRow], *, audience: str, certificate: str, sign_in: str, now: int
) -> None:
    """Return when the account's own identity key for `audience` stated it. Raises: UnverifiedError, MalformedError."""
    known = {row.identity_key for row in live if row.audience == audience}
    if not known:
        raise UnverifiedError("the account is not enrolled for this audience", code="needs-authorization")
    for identity in known:
        check_regain(statement, VerifyKey.parse(identity), certificate=certificate, sign_in=sign_in, now=now)


async def sign_others_out(writer: Writer, member: str, sign_in: str, *, keep: int) -> None:
    """End every other sign-in of the account, and make room for a device by removing those seen least lately.

    Args:
        keep: how many devices may stay.
    """
    for row in await writer.find(SignInRow, where(member=member)):
        if row.token_hash != unb64(sign_in):
            await writer.delete(SignInRow, where(token_hash=row.token_hash))
    devices = await writer.find(DeviceRow, where(member=member), order="-seen_on")
    for lost in devices[keep:]:
        await writer.delete(DeviceRow, where(device=lost.device))
        await writer.delete(EnrolmentRow, where(device=lost.device))


async def begun_anew(writer: Writer, member: str, *, device: str, sign_in: str) -> None:
    """Erase what the account showed under its earlier secret; of its devices only `device` stays, still signed in."""
    await sign_others_out(writer, member, sign_in, keep=1_000)
    await writer.delete(EnrolmentRow, where(member=member))
    for row in await writer.find(DeviceRow, where(member=member)):
        if row.device != device:
            await writer.delete(DeviceRow, where(device=row.device))
    for label in await writer.find(LabelRow, where(member=member)):
        if label.audience != MAILBOX:
            await writer.delete(LabelRow, where(label=label.label))
