"""Linking another device of the same person: the new one shows a code, one that the account has is told it.

Their own node carries four messages and can read none; a wrong code ends the linking on both sides.
Source: docs/protocol/46-own-devices.md.
"""

import asyncio
import secrets
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from node.services.linking import Ended, LinkingView
from protocol.addresses import audience_id
from protocol.authorization import sign_in_name
from protocol.e2ee.linking import (
    MAX_GRANT_BYTES,
    MAX_KNOWN,
    QR_PREFIX,
    Account,
    Grant,
    Known,
    LinkKey,
    NewDevice,
    NewSide,
    OldSide,
    certified,
    code_of,
    parse_code,
)
from protocol.e2ee.pake import ENTROPY_BYTES
from protocol.encoding import b64, unb64
from protocol.errors import MeshError, MissingError, RefusedError, UnverifiedError

from .account import Accounts, Granted, require_device
from .core import Core, fresh_id, fresh_secret
from .pins import first_pin
from .records import Pin
from .state import ClientState
from .views import Approved, LinkCode, SignedIn

#: While the other device is awaited, the node is asked this often.
LOOK_EVERY_S: Final = 0.5
OPENING, REPLY, PROOF, GRANT = 1, 2, 3, 4


class Linking:
    """This device on its way into the account: show `code`, then await `finish`."""

    def __init__(self, core: Core, accounts: Accounts, *, hint: str) -> None:
        self._core: Final = core
        self._accounts: Final = accounts
        self._hint: Final = hint
        account = core.state().signed_in
        self._code: Final = code_of(secrets.randbelow(10**8))
        self._side: Final = NewSide(
            Account(entity=account.entity, member=account.member),
            self._code,
            run=fresh_id(),
            key=LinkKey(fresh_secret()),
            entropy=secrets.token_bytes(ENTROPY_BYTES),
        )
        self._seen: LinkingView | None = None

    async def begin(self) -> None:
        """Tell the node that this device waits; a linking that was under way ends by it."""
        self._seen = await self._core.api().open_linking(self._side.opening)

    @property
    def code(self) -> LinkCode:
        """What to show."""
        assert self._seen is not None, "a linking has begun"
        return LinkCode(code=self._code, qr=QR_PREFIX + self._code, expires_at=self._seen.expires_at)

    async def finish(self) -> SignedIn:
        """Wait for the person's other device, take what it gives, and enrol for every organization.

        Raises: UnverifiedError, code `wrong-code`: whoever answered was not told the code; RefusedError,
            MissingError, code `linking-over`: it was given up, took too long, or another device began a linking.
        """
        assert self._seen is not None, "a linking has begun"
        name, audience = self._seen.linking, audience_id(self._core.state().signed_in.entity)
        reply = await _awaited(self._core, name, REPLY)
        try:
            proof = self._side.prove(reply, self._device(audience))
        except MeshError as error:
            await self._end("wrong-code")
            raise _wrong_code() from error
        await self._core.api().say_linking(name, PROOF, proof)
        sealed = await _awaited(self._core, name, GRANT)
        secret = self._core.state().device_secret
        given = self._side.take(sealed, secret, audience=audience, now=self._core.now())
        self._core.vault.update(partial(_taken, given=given))
        granted = Granted(certificate=given.certificate, authorization=given.authorization)
        synced = await self._accounts.sync(renew_own=True, hint=self._hint, granted=granted)
        account = self._core.state().signed_in
        return SignedIn(
            entity=account.entity,
            url=account.url,
            member=account.member,
            name=account.name,
            first_device=False,
            synced=synced,
        )

    async def give_up(self) -> None:
        """Tell the other device that nobody waits any more."""
        await self._end("cancelled")

    async def _end(self, reason: Ended) -> None:
        assert self._seen is not None, "a linking has begun"
        with suppress(MeshError):  # it is over either way
            await self._core.api().end_linking(self._seen.linking, reason)

    def _device(self, audience: str) -> NewDevice:
        state = self._core.state()
        return NewDevice(
            device_id=state.device_secret.device_id(audience),
            device_key=state.device_secret.key(audience).public.text,
            sign_in=sign_in_name(state.signed_in.token),
        )


async def begin_linking(core: Core, accounts: Accounts, link: str, *, name: str, hint: str) -> Linking:
    """Return a linking that waits for the person's other device. `link` may be empty where one is signed in.

    Raises: RefusedError: this folder is a device already, or the account has none that could link another.
    """
    if core.state().audiences:
        raise RefusedError("this folder is a device of an account already", code="linked-already")
    if link:
        done = await accounts.sign_in(link, name=name, only_data=True)
        if done.first_device:
            raise RefusedError(
                "your account has no device that could link this one: sign in with a new link instead",
                code="no-device",
            )
    linking = Linking(core, accounts, hint=hint)
    await linking.begin()
    return linking


async def approve(core: Core, code: str) -> Approved:
    """Link the new device that shows `code`.

    Raises: UnverifiedError, code `wrong-code`: it shows another one, or somebody stands between; MissingError,
        RefusedError, code `linking-over`: no device waits, or it stopped; MalformedError: no code.
    """
    code = parse_code(code)
    state = core.state()
    require_device(state)
    api, account = core.api(), state.signed_in
    seen = await api.linking()
    _require_going_on(seen)
    if len(seen.messages) != OPENING:
        raise RefusedError("this linking was answered before: begin anew on the new device", code="linking-over")
    side = OldSide(
        Account(entity=account.entity, member=account.member),
        code,
        unb64(seen.messages[0], what="opening"),
        key=LinkKey(fresh_secret()),
        entropy=secrets.token_bytes(ENTROPY_BYTES),
    )
    await api.say_linking(seen.linking, REPLY, side.reply)
    proof = await _awaited(core, seen.linking, PROOF)
    try:
        new = side.check(proof)
    except MeshError as error:
        with suppress(MeshError):  # it is over either way
            await api.end_linking(seen.linking, "wrong-code")
        raise _wrong_code() from error
    await api.say_linking(seen.linking, GRANT, side.grant(_given(core.state(), new, now=core.now())))
    return Approved(device_key=new.device_key)


def _given(state: ClientState, new: NewDevice, *, now: int) -> Grant:
    audience = audience_id(state.signed_in.entity)
    device = state.device_secret.key(audience)
    certificate, authorization = certified(state.account_secret, device, new, audience=audience, now=now)
    known: list[Known] = []
    left = MAX_GRANT_BYTES
    for pin in sorted(state.pins.values(), key=_own_first)[:MAX_KNOWN]:
        left -= len(pin.document) + 300
        if left > 0:
            known.append(Known(entity=pin.entity, document=pin.document, recovered=pin.recovered))
    return Grant(
        account=b64(state.account_seed),
        authorization=authorization,
        certificate=certificate,
        known=tuple(known),
        name=state.signed_in.name,
    )


def _own_first(pin: Pin) -> tuple[bool, str]:
    return not pin.own, pin.entity


def _taken(state: ClientState, *, given: Grant) -> ClientState:
    """Return the state of a device of the account: its secret, and the organizations that the other one knows."""
    if state.audiences:
        raise RefusedError("this folder is a device of an account already", code="linked-already")
    account = state.signed_in
    pins = {
        one.entity: replace(
            first_pin(one.entity, one.document, own=one.entity == account.entity), recovered=one.recovered
        )
        for one in given.known
    }
    return replace(
        state,
        account_seed=unb64(given.account, size=32, what="account secret"),
        account=replace(account, name=account.name or given.name),
        archive=replace(state.archive, shared=True),
        pins=pins,
        sealing=(),
    )


async def _awaited(core: Core, linking: str, number: int) -> bytes:
    """Return the message `number` of a linking as soon as it is there."""
    while True:
        seen = await core.api().linking()
        if seen.linking != linking:
            raise MissingError("this linking is over: another device began one since", code="linking-over")
        _require_going_on(seen)
        if len(seen.messages) >= number:
            return unb64(seen.messages[number - 1], what="message")
        await asyncio.sleep(LOOK_EVERY_S)


def _require_going_on(seen: LinkingView) -> None:
    if seen.ended == "wrong-code":
        raise _wrong_code()
    if seen.ended:
        raise RefusedError("this linking was given up: begin anew on the new device", code="linking-over")


def _wrong_code() -> UnverifiedError:
    return UnverifiedError(
        "the code was wrong, or somebody stands between your devices; nothing was told. Begin anew on the new device, "
        "and if it happens again with the right code, do not link it here",
        code="wrong-code",
    )
