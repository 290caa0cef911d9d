"""A person's devices: added by the first sign-in or with the consent of a device the account has, checked strictly.

The node sees public halves only, one set per audience, and never the master key that ties them together
(`protocol.devices`). What it checks here, every other party checks again.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Entropy, Reader, Store, Writer, where
from node.rows import DeviceRow, EnrolmentRow, LabelRow, MemberRow, SignInRow
from protocol.authorization import check_authorization
from protocol.devices import DeviceCertificate, Enrolment, open_enrolment
from protocol.encoding import decode, encode, unb64
from protocol.errors import LimitError, MissingError, RefusedError, UnverifiedError
from protocol.ids import ID_BYTES, Bytes32, random_id
from protocol.signing import VerifyKey
from protocol.text import check_displayable

from .accounts import REMOVED, Person, day_of, live_enrolments
from .labels import label_for, mailbox_label
from .mail import Recipient, compose
from .notices import KeysChanged, NewDevice
from .regaining import begun_anew, check_regained, sign_others_out

MAX_DEVICES: Final = 8
#: Audiences one device can enrol for: one per peer, and room.
MAX_ENROLMENTS: Final = 256
NOTICE_S: Final = 14 * 86_400


class EnrolDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device sends to be added, or to renew or extend what it told before.

    `authorization` (`protocol.authorization`) is needed as soon as the account has a device, or after a loss `regain`
    (`protocol.regain`). With both and `begins_anew` the account goes on under another account secret, with this device
    alone.
    """

    audience: Bytes32
    enrolment: Enrolment
    hint: Annotated[str, msgspec.Meta(max_length=60)] = ""
    authorization: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    regain: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    begins_anew: bool = False


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device as its owner sees it. Days are Unix seconds of a UTC midnight."""

    device: str
    hint: str
    added_on: int
    seen_on: int
    this: bool = False


class EnrolledDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device that others can be given, with its keys towards one audience."""

    device: str
    seen_on: int
    device_key: str
    enrolment: Enrolment


class Devices:
    """Enrolment, list and removal of devices."""

    def __init__(
        self, store: Store, clock: Clock, entropy: Entropy, *, changed: Callable[[], None] = lambda: None
    ) -> None:
        """Take the parts; `changed` is called after enrolments changed."""
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._changed = changed

    async def enrol(self, person: Person, command: EnrolDevice) -> DeviceView:
        """Add a device, or replace what it told for this audience; afterwards this client acts as that device.

        Raises:
            MalformedError, UnverifiedError: a link of the chain from identity key to sealing keys does not hold.
            RefusedError: the account has a device and none of them authorized this; another label than before;
                a device or label of somebody else.
            LimitError: too many devices or audiences.
        """
        check_displayable(command.hint, "hint", lines=False)
        now = self._clock.now()
        certificate = open_enrolment(command.enrolment, audience=command.audience, now=now)
        async with self._store.write() as writer:
            live = await live_enrolments(writer, person.member, now=now)
            _require_authorized(person, command, live, now=now)
            if command.begins_anew and not _same_identity(command, live):
                if person.device is None or command.regain is None:
                    raise RefusedError("another account secret takes a device and the word of the earlier one")
                await begun_anew(writer, person.member, device=person.device, sign_in=person.sign_in)
                await self._tell(writer, person.member, KeysChanged(changed_on=day_of(now)))
                live = []
            elif live and command.regain is not None:
                await sign_others_out(writer, person.member, person.sign_in, keep=MAX_DEVICES - 1)
            if not live and not command.begins_anew:
                # Whoever comes first is told about, also where an ended device had the same id.
                await writer.delete(EnrolmentRow, where(member=person.member))
                await writer.delete(DeviceRow, where(member=person.member))
            device = await self._store_device(writer, person, command, certificate, first=not live)
            await _store_keys(writer, device, command, certificate, live)
            await mailbox_label(writer, person.member, self._entropy)
            sign_in = await writer.get(SignInRow, unb64(person.sign_in))
            if sign_in is None:
                raise UnverifiedError("signed out: sign in again", code="token")
            await writer.put(replace(sign_in, device=device.device))
            writer.on_commit(self._changed)
        return _view(device, device.device)

    async def _store_device(
        self, writer: Writer, person: Person, command: EnrolDevice, certificate: DeviceCertificate, *, first: bool
    ) -> DeviceRow:
        """Store the device that this certificate belongs to; a new one is told to its owner by mail."""
        today = day_of(self._clock.now())
        known = await _known_device(writer, person, certificate)
        if known is not None:
            device = replace(known, seen_on=today, hint=command.hint or known.hint)
        else:
            await _require_room(writer, person.member)
            device = DeviceRow(
                device=random_id(self._entropy.take(ID_BYTES)),
                member=person.member,
                hint=command.hint,
                added_on=today,
                seen_on=today,
            )
            await self._notify(writer, device, first=first, regained=command.regain is not None)
        await writer.put(device)
        return device

    async def _notify(self, writer: Writer, device: DeviceRow, *, first: bool, regained: bool) -> None:
        """Tell the person outside the node, so that a device they did not add does not go unseen."""
        notice = NewDevice(hint=device.hint, first=first, regained=regained and not first, added_on=device.added_on)
        await self._tell(writer, device.member, notice)

    async def _tell(self, writer: Writer, member: str, notice: NewDevice | KeysChanged) -> None:
        row = await writer.get(MemberRow, member)
        if row is None:
            raise MissingError("the account has ended")
        now = self._clock.now()
        to = Recipient(member=row.member, address=row.mail, languages=tuple(row.languages.split(";")))
        mail = compose(notice, to, entropy=self._entropy.take(ID_BYTES), now=now, expires_at=now + NOTICE_S)
        await writer.insert(mail)

    async def remove(self, person: Person, device: str) -> None:
        """Remove a device and sign it out; its program is told why.

        Raises: MissingError: not a device of this person. RefusedError: this client is signed in by a link alone.
        """
        if person.device is None:
            raise RefusedError("only a device of the account may remove a device", code="no-device")
        async with self._store.write() as writer:
            if not await writer.delete(DeviceRow, where(device=device, member=person.member)):
                raise MissingError("you have no such device")
            await writer.delete(EnrolmentRow, where(device=device))
            signed_in = await writer.find(SignInRow, where(member=person.member, device=device))
            await writer.put(*(replace(row, device=REMOVED) for row in signed_in))
            writer.on_commit(self._changed)

    async def views(self, person: Person) -> tuple[DeviceView, ...]:
        """Return the person's devices."""
        async with self._store.read() as reader:
            rows = await reader.find(DeviceRow, where(member=person.member), order="added_on")
        return tuple(_view(row, person.device) for row in rows)

    async def enrolled(self, member: str, audience: str) -> tuple[EnrolledDevice, ...]:
        """Return a member's devices that hold valid keys towards `audience`, the latest seen first."""
        async with self._store.read() as reader:
            return await enrolled(reader, member, audience, now=self._clock.now())


async def enrolled(reader: Reader, member: str, audience: str, *, now: int) -> tuple[EnrolledDevice, ...]:
    """Return as `Devices.enrolled`, inside a transaction."""
    seen = {row.device: row.seen_on for row in await reader.find(DeviceRow, where(member=member))}
    rows = [row for row in await live_enrolments(reader, member, now=now) if row.audience == audience]
    found = [
        EnrolledDevice(
            device=row.device,
            seen_on=seen[row.device],
            device_key=row.device_key,
            enrolment=decode(row.enrolment, Enrolment),
        )
        for row in rows
        if row.device in seen
    ]
    return tuple(sorted(found, key=lambda one: (-one.seen_on, one.device)))


def _require_authorized(person: Person, command: EnrolDevice, live: list[EnrolmentRow], *, now: int) -> None:
    """Return when the account has no device, or one of its device keys allowed this certificate for this sign-in."""
    if not live:
        return
    if command.regain is not None and not (command.begins_anew and _same_identity(command, live)):
        certificate, audience = command.enrolment.certificate, command.audience
        sign_in = person.sign_in
        check_regained(command.regain, live, audience=audience, certificate=certificate, sign_in=sign_in, now=now)
        if not command.begins_anew:
            return
    if command.authorization is None:
        raise RefusedError(
            "the account has a device already: a sign-in link adds none; let that device authorize this one",
            code="needs-authorization",
        )
    for row in live:
        try:
            check_authorization(
                command.authorization,
                VerifyKey.parse(row.device_key),
                certificate=command.enrolment.certificate,
                sign_in=person.sign_in,
                now=now,
            )
        except UnverifiedError:
            continue
        return
    raise UnverifiedError("no device of the account authorized this", code="needs-authorization")


def _same_identity(command: EnrolDevice, live: list[EnrolmentRow]) -> bool:
    """Tell whether the account shows this identity key already, so that a change said twice is made once."""
    beside = [row.identity_key for row in live if row.audience == command.audience]
    return command.enrolment.identity_key in beside


async def _known_device(reader: Reader, person: Person, certificate: DeviceCertificate) -> DeviceRow | None:
    """Return the device that a certificate belongs to: the one signed in, or the one that showed its id before."""
    rows = await reader.find(EnrolmentRow, where(device_id=certificate.device_id), limit=1)
    named = rows[0].device if rows else None
    if rows and rows[0].member != person.member:
        raise RefusedError("this device id is taken: make another one", code="device")
    if person.device is not None and named not in (None, person.device):
        raise RefusedError("this certificate is of another device of the account", code="device")
    device = person.device or named
    return await reader.get(DeviceRow, device) if device else None


async def _require_room(reader: Reader, member: str) -> None:
    if await reader.count(DeviceRow, where(member=member)) >= MAX_DEVICES:
        raise LimitError(f"an account has at most {MAX_DEVICES} devices: remove one first")


async def _store_keys(
    writer: Writer, device: DeviceRow, command: EnrolDevice, certificate: DeviceCertificate, live: list[EnrolmentRow]
) -> None:
    """Store what the device told for one audience, next to what the others told for it."""
    enrolment = command.enrolment
    beside = [row for row in live if row.audience == command.audience]
    if any(row.identity_key != enrolment.identity_key for row in beside):
        raise UnverifiedError("identity key differs from that of the account's other devices", code="other-account")
    if sum(row.device == device.device for row in live) >= MAX_ENROLMENTS:
        raise LimitError(f"a device enrols for at most {MAX_ENROLMENTS} audiences")
    await _store_label(writer, device.member, command, renewed=not beside)
    row = EnrolmentRow(
        device=device.device,
        audience=command.audience,
        member=device.member,
        device_id=certificate.device_id,
        identity_key=enrolment.identity_key,
        device_key=certificate.device_key,
        enrolment=encode(enrolment),
        expires_at=certificate.expires_at,
    )
    await writer.delete(EnrolmentRow, where(device=row.device, audience=row.audience))
    await writer.insert(row)


async def _store_label(writer: Writer, member: str, command: EnrolDevice, *, renewed: bool) -> None:
    """Keep the label of (person, audience); without any device behind it a new one takes its place."""
    if renewed:
        await writer.delete(LabelRow, where(member=member, audience=command.audience))
    known = await label_for(writer, member, command.audience)
    if known is None:
        await writer.insert(LabelRow(label=command.enrolment.label, member=member, audience=command.audience))
    elif known != command.enrolment.label:
        raise RefusedError("label differs from that of the account's other devices", code="label")


def _view(row: DeviceRow, this: str | None) -> DeviceView:
    return DeviceView(
        device=row.device, hint=row.hint, added_on=row.added_on, seen_on=row.seen_on, this=row.device == this
    )
