"""Linking another device of the same person: four messages through their own node, which reads none of them.

opening (new) → reply (old) → proof (new) → grant (old). A code of eight digits, carried by the person from the new
device to the old one, authenticates both ends (`pake`); what is told is sealed to one-time X-Wing keys. The new
device's keys are certified by the old one, so that the account secret comes only after the new device has shown that
it made the code. Source: docs/protocol/46-own-devices.md §1–§5.
"""

import re
from typing import Annotated, Final

import msgspec

from protocol.authorization import Authorization, certificate_name, sign_authorization
from protocol.devices import MAX_DEVICE_LIFETIME_S, DeviceCertificate, StatementText, open_device, sign_device
from protocol.encoding import Wire, b64, decode, encode, length_prefixed, unb64
from protocol.errors import MalformedError, UnverifiedError
from protocol.ids import Bytes32, Entity, RandomId, id_bytes
from protocol.sealing import PrivateSealingKey, SealingPublicKey, SealingText, info

from . import pake
from .keys import AccountSecret, DeviceKey, DeviceSecret

CODE_DIGITS: Final = 8
#: What a QR code of the new device says.
QR_PREFIX: Final = "mentormesh:link/1/"
#: Documents of organizations in a grant; those that do not fit are learned anew.
MAX_GRANT_BYTES: Final = 512 * 1024
#: Organizations that a device is told of; the others it finds by itself.
MAX_KNOWN: Final = 512
_CODE: Final = re.compile(r"[0-9]{8}")

#: A sealed part as base64url.
SealedText = Annotated[str, msgspec.Meta(max_length=4 * MAX_GRANT_BYTES // 3 + 8192)]


class LinkKey(PrivateSealingKey):
    """One-time key of one linking; opens what the other device seals to it."""

    __slots__ = ()


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The account that both devices are signed in at, as their node names it."""

    entity: Entity
    member: str


class Opening(Wire, frozen=True, kw_only=True):
    """`{"key":…,"run":…,"share":…}` by the new device; `run` is random."""

    run: RandomId
    share: Bytes32
    key: SealingText


class Reply(Wire, frozen=True, kw_only=True):
    """`{"confirm":…,"key":…,"share":…}` by the old device: it was told the code."""

    share: Bytes32
    key: SealingText
    confirm: Bytes32


class Proof(Wire, frozen=True, kw_only=True):
    """`{"confirm":…,"device":…}` by the new device: it made the code; `device` is a sealed `NewDevice`."""

    confirm: Bytes32
    device: SealedText


class NewDevice(Wire, frozen=True, kw_only=True):
    """`{"device_id":…,"device_key":…,"sign_in":…}`: the new device inside its own organization."""

    device_id: RandomId
    device_key: Bytes32
    sign_in: Bytes32


class Known(Wire, frozen=True, kw_only=True):
    """One organization as the old device knows it: its signed document, and how often its key was recovered."""

    entity: Entity
    document: Annotated[str, msgspec.Meta(max_length=32_768)]
    recovered: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0


class Grant(Wire, frozen=True, kw_only=True):
    """What the old device gives: who the person is, whom they know, and its word for the new device's certificate."""

    account: Bytes32
    authorization: Annotated[str, msgspec.Meta(max_length=1000)]
    certificate: StatementText
    known: Annotated[tuple[Known, ...], msgspec.Meta(max_length=MAX_KNOWN)]
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""

    def __repr__(self) -> str:
        return "Grant(…)"


def code_of(number: int) -> str:
    """Return the code of a random number below 10^8."""
    return f"{number:08d}"


def parse_code(text: str) -> str:
    """Return the code that a person typed, with spaces or hyphens, or that a QR code said. Raises: MalformedError."""
    code = text.strip().removeprefix(QR_PREFIX).replace(" ", "").replace("-", "")
    if not _CODE.fullmatch(code):
        raise MalformedError("the code is the eight digits that the new device shows")
    return code


class NewSide:
    """The device that is to be linked: it made the code and shows it. One object, one run."""

    def __init__(self, account: Account, code: str, *, run: str, key: LinkKey, entropy: bytes) -> None:
        """Begin a run. `run`: a fresh random id; `key`: fresh; `entropy`: 64 random bytes."""
        self._account: Final = account
        self._key: Final = key
        self._share: Final = pake.begin(code.encode(), _context(account, run), entropy=entropy)
        self.opening: Final = encode(Opening(run=run, share=b64(self._share.share), key=key.public.text))
        self._agreed: pake.Agreed | None = None

    def prove(self, reply: bytes, device: NewDevice) -> bytes:
        """Return the proof after the old device's reply.

        Raises: UnverifiedError, code `wrong-code`: whoever replied was not told the code; MalformedError.
        """
        said = decode(reply, Reply, what="reply")
        agreed = _agreed(self._share, said.share, _seen(self._account, self.opening, said.share, said.key))
        agreed.check("old", unb64(said.confirm, size=32, what="confirm"))
        self._agreed = agreed
        sealed = SealingPublicKey.parse(said.key).seal(encode(device), info("link-device", agreed.binding()))
        return encode(Proof(confirm=b64(agreed.confirm("new")), device=b64(sealed)))

    def take(self, grant: bytes, device: DeviceSecret, *, audience: str, now: int) -> Grant:
        """Return what the old device gave, once it certifies this device for its own organization.

        Raises: UnverifiedError: not by the device that was told the code, or about another device; MalformedError.
        """
        if self._agreed is None:
            raise UnverifiedError("nobody has shown to know the code", code="wrong-code")
        plain = self._key.open(grant, info("link-grant", self._agreed.binding()), what="grant")
        given = decode(plain, Grant, what="grant")
        identity = AccountSecret(unb64(given.account, size=32, what="account secret")).identity(audience).public
        certificate = open_device(given.certificate, identity, audience=audience, now=now)
        named = certificate.device_id, certificate.device_key
        if named != (device.device_id(audience), device.key(audience).public.text):
            raise UnverifiedError("the certificate is of another device", code="wrong-device")
        return given


class OldSide:
    """A device of the account that was told the code. One object, one run."""

    def __init__(self, account: Account, code: str, opening: bytes, *, key: LinkKey, entropy: bytes) -> None:
        """Take the new device's opening. Raises: MalformedError."""
        said = decode(opening, Opening, what="opening")
        share = pake.begin(code.encode(), _context(account, said.run), entropy=entropy)
        own, key_text = b64(share.share), key.public.text
        self._agreed: Final = _agreed(share, said.share, _seen(account, opening, own, key_text))
        self._key: Final = key
        self._to: Final = SealingPublicKey.parse(said.key)
        self.reply: Final = encode(Reply(share=own, key=key_text, confirm=b64(self._agreed.confirm("old"))))

    def check(self, proof: bytes) -> NewDevice:
        """Return the new device, once it has shown that it made the code. Raises: UnverifiedError; MalformedError."""
        said = decode(proof, Proof, what="proof")
        self._agreed.check("new", unb64(said.confirm, size=32, what="confirm"))
        sealed = unb64(said.device, what="device")
        plain = self._key.open(sealed, info("link-device", self._agreed.binding()), what="proof")
        return decode(plain, NewDevice, what="new device")

    def grant(self, given: Grant) -> bytes:
        """Return the grant, sealed for the new device; call it only after `check`."""
        return self._to.seal(encode(given), info("link-grant", self._agreed.binding()))


def certified(account: AccountSecret, device: DeviceKey, new: NewDevice, *, audience: str, now: int) -> tuple[str, str]:
    """Return the new device's certificate for `audience`, and `device`'s authorization of it for its sign-in."""
    certificate = sign_device(
        DeviceCertificate(
            device_id=new.device_id,
            device_key=new.device_key,
            audience=audience,
            created_at=now,
            expires_at=now + MAX_DEVICE_LIFETIME_S,
        ),
        account.identity(audience),
    )
    statement = Authorization(certificate=certificate_name(certificate), sign_in=new.sign_in, created_at=now)
    return certificate, sign_authorization(statement, device)


def _context(account: Account, run: str) -> bytes:
    """Return what both know before anything is sent: whose account, and which run."""
    return length_prefixed(account.entity.encode(), account.member.encode(), id_bytes(run, what="run"))


def _seen(account: Account, opening: bytes, share: str, key: str) -> bytes:
    """Return everything that crossed before the first confirmation: whoever changed a byte of it gets another key."""
    names = account.entity.encode(), account.member.encode()
    return length_prefixed(*names, opening, share.encode(), key.encode())


def _agreed(own: pake.Share, theirs: str, seen: bytes) -> pake.Agreed:
    return pake.agree(own, unb64(theirs, size=pake.SHARE_BYTES, what="share"), seen)
