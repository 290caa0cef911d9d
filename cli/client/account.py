"""Signing in with this device, and enrolling its keys for every organization that it may meet people of."""

from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from node.api.exchange import PeerView
from node.services.devices import EnrolDevice
from protocol.addresses import audience_id
from protocol.authorization import Authorization, certificate_name, sign_authorization, sign_in_name
from protocol.devices import MAX_SEALING_LIFETIME_S, Enrolment, sealing_key_hash
from protocol.e2ee.keys import PersonSealingKey, enrol
from protocol.encoding import sha256, unb64
from protocol.errors import MalformedError, MeshError, RefusedError, UnverifiedError
from protocol.regain import sign_regain
from protocol.text import displayable

from .api import NodeApi
from .core import Core, fresh_secret
from .http import parse_url
from .pins import ChangedKeyError, audiences_with, changed_sentence, first_pin, name_of, next_pin, trusted_pin
from .records import Account, Pin, SealingRecord
from .state import ClientState
from .views import SignedIn, Synced

DAY_S: Final = 86_400
#: Sealing keys towards one organization: its node shows another one behind each offer, so that none links two offers.
KEYS: Final = 8
#: Keys are renewed so long before they end, or up to `SPREAD_S` earlier.
RENEW_S: Final = 30 * DAY_S
SPREAD_S: Final = 25 * DAY_S
#: A brief that was on its way when a key ended can still be opened.
KEEP_S: Final = 14 * DAY_S


def parse_link(link: str) -> tuple[str, str]:
    """Return the node's address and the one-time token of a mailed link. Raises: MalformedError."""
    text = link.strip()
    token = urlsplit(text).fragment
    try:
        unb64(token, size=32, what="token")
    except MalformedError:
        raise MalformedError("this is no sign-in link: copy the whole line from the mail, in quotes") from None
    return parse_url(text), token


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """What a device of the account made for another one: its certificate, and the word for it."""

    certificate: str
    authorization: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """By what a device comes into an account: nothing needed, the account secret, a grant, or else its own word."""

    first: bool = False
    regain: bool = False
    granted: Granted | None = None


class Accounts:
    """Sign-in and enrolment of one device."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    async def want_link(self, url: str, mail: str) -> None:
        """Have a sign-in link mailed; the answer is the same for every address."""
        await NodeApi(self._core.http, parse_url(url)).want_link(mail)

    async def sign_in(self, link: str, *, name: str = "", hint: str = "", only_data: bool = False) -> SignedIn:
        """Use a link, and make or keep this device the account's; with `only_data` enrol nothing.

        Raises: UnverifiedError: the link was used or has expired; RefusedError: another account's folder, or an
            account whose devices do not know this one.
        """
        url, token = parse_link(link)
        before = self._core.state()
        redeemed = await NodeApi(self._core.http, url).redeem(token)
        api = NodeApi(self._core.http, url, redeemed.token)
        try:
            _require_same(before, redeemed.member, may_enrol=redeemed.first_device or only_data)
            entity = (await api.me()).entity
            if before.account is not None and before.account.entity != entity:
                raise RefusedError("this folder belongs to an account at another organization: name another --home")
        except MeshError:
            await api.sign_out()
            raise
        known = before.account
        shown = displayable(name, lines=False)[:80] or (known.name if known else "")
        account = Account(url=url, entity=entity, token=redeemed.token, member=redeemed.member, name=shown)
        self._core.vault.update(lambda state: replace(state, account=account))
        synced = Synced() if only_data else await self.sync(renew_own=True, hint=hint, first=redeemed.first_device)
        return SignedIn(
            entity=entity,
            url=url,
            member=redeemed.member,
            name=shown,
            first_device=redeemed.first_device,
            synced=synced,
        )

    async def sign_out(self) -> None:
        """End this sign-in; keys and everything else stay in the vault."""
        with suppress(UnverifiedError):  # the node has ended it already
            await self._core.api().sign_out()

        def forget(state: ClientState) -> ClientState:
            return replace(state, account=replace(state.signed_in, token=""))

        self._core.vault.update(forget)

    async def sync(
        self,
        *,
        renew_own: bool = False,
        hint: str = "",
        first: bool = False,
        regain: bool = False,
        granted: Granted | None = None,
    ) -> Synced:
        """Pin new organizations, notice changed keys, and enrol where keys are missing or end soon.

        Args:
            renew_own: enrol for the own organization in any case, which ties a new sign-in to this device.
            regain: come in by the account secret, because every device of the account is lost.
            granted: come in by what a device of the account made for this one.
        Raises: ChangedKeyError: the own node's key changed: nothing goes on.
        """
        api = self._core.api()
        if not (first or regain or granted):
            require_device(self._core.state())
        views = (await api.peers()).peers
        state = self._core.vault.update(lambda state: _pinned(state, views))
        own = state.signed_in.entity
        if state.pins[own].changed:
            raise ChangedKeyError(changed_sentence(state.pins[own]))
        enrolled: list[str] = []
        others = sorted(pin.entity for pin in state.pins.values() if not pin.own and not pin.changed)
        fresh: set[str] = set()
        for entity in (own, *(view.entity for view in views if view.open and view.entity in others)):
            wanted = renew_own and entity == own
            for audience in audiences_with(state, entity):
                if audience not in fresh and (wanted or self._ends_soon(state, audience)):
                    # From the second audience on this device's own word counts.
                    entry = Entry(first=first, regain=regain, granted=granted) if not fresh else Entry()
                    await self._enrol(api, audience, hint=hint, entry=entry)
                    fresh.add(audience)
            if fresh.intersection(audiences_with(state, entity)):
                enrolled.append(name_of(state, entity))
        return Synced(
            enrolled=tuple(enrolled),
            organizations=tuple(name_of(state, entity) for entity in (own, *others)),
            warnings=tuple(changed_sentence(pin) for pin in state.pins.values() if pin.changed),
        )

    async def look(self) -> None:
        """Take over newer documents of known organizations, and pin new ones."""
        views = (await self._core.api().peers()).peers
        self._core.vault.update(lambda state: _pinned(state, views))

    def trust(self, entity: str, words: str) -> None:
        """Believe the key of an organization whose words the person has compared.

        Raises: RefusedError: these are not the words of the key that was shown last.
        """

        def believe(state: ClientState) -> ClientState:
            return replace(state, pins={**state.pins, entity: trusted_pin(state.pins[entity], words)})

        self._core.vault.update(believe)

    def _ends_soon(self, state: ClientState, audience: str) -> bool:
        newest = max((one for one in state.sealing if one.audience == audience), key=_end, default=None)
        if newest is None or audience not in state.audiences:
            return True
        # At another time for each audience: renewals at one time would tie a person's audiences together.
        spread = int.from_bytes(sha256(newest.hash.encode())[:4], "big") % SPREAD_S
        return newest.expires_at < self._core.now() + RENEW_S + spread

    async def _enrol(self, api: NodeApi, audience: str, *, hint: str, entry: Entry) -> None:
        """Publish fresh sealing keys for `audience`; they are stored before anybody can seal to them."""
        now = self._core.now()
        keys = tuple(PersonSealingKey(fresh_secret()) for _ in range(KEYS))
        records = tuple(
            SealingRecord(
                hash=sealing_key_hash(key.public),
                seed=key.seed,
                audience=audience,
                expires_at=now + MAX_SEALING_LIFETIME_S,
            )
            for key in keys
        )

        def keep(state: ClientState) -> ClientState:
            kept = tuple(one for one in state.sealing if one.expires_at + KEEP_S > now)
            return replace(state, sealing=(*kept, *records))

        state = self._core.vault.update(keep)
        enrolment = enrol(
            state.account_secret,
            state.device_secret,
            keys,
            audience=audience,
            now=now,
            name=state.signed_in.told_name,
            certificate=entry.granted.certificate if entry.granted else "",
        )
        command = EnrolDevice(audience=audience, enrolment=enrolment, hint=hint)
        if entry.granted:
            command = replace(command, authorization=entry.granted.authorization)
        elif entry.regain:
            command = replace(command, regain=_regain(state, audience, enrolment, now=now))
        elif not entry.first:
            command = replace(command, authorization=_authorization(state, enrolment, now=now))
        await api.enrol(command)

        def enrolled(state: ClientState) -> ClientState:
            return replace(state, audiences=tuple(dict.fromkeys((*state.audiences, audience))))

        self._core.vault.update(enrolled)


def _authorization(state: ClientState, enrolment: Enrolment, *, now: int) -> str:
    """Return this device's word, by a key that the node knows, for one more certificate of its own."""
    known = state.audiences[0] if state.audiences else audience_id(state.signed_in.entity)
    return sign_authorization(_statement(state, enrolment, now=now), state.device_secret.key(known))


def _regain(state: ClientState, audience: str, enrolment: Enrolment, *, now: int) -> str:
    """Return the account secret's word, by an identity key that the node knows, for this device."""
    return sign_regain(_statement(state, enrolment, now=now), state.account_secret.identity(audience))


def _statement(state: ClientState, enrolment: Enrolment, *, now: int) -> Authorization:
    return Authorization(
        certificate=certificate_name(enrolment.certificate), sign_in=sign_in_name(state.signed_in.token), created_at=now
    )


def _end(record: SealingRecord) -> int:
    return record.expires_at


def _require_same(state: ClientState, member: str, *, may_enrol: bool) -> None:
    if state.account is not None and state.account.member != member:
        raise RefusedError("this folder belongs to another account: name another --home")
    if not may_enrol:
        require_device(state)


def require_device(state: ClientState) -> None:
    """Return when this folder may be a device of the account: it told, or began to tell, some keys."""
    if not state.sealing:
        raise RefusedError(
            "this account has a device already and this folder is not it: name that device's folder with --home, "
            "or sign in with --only-data to take or erase your data",
            code="needs-authorization",
        )


def _pinned(state: ClientState, views: tuple[PeerView, ...]) -> ClientState:
    """Return the state with every organization of `views` pinned, the ones of before kept.

    A document that does not verify is passed over: there is no organization without one.
    """
    own = state.signed_in.entity
    pins: dict[str, Pin] = {}
    for view in views:
        known = state.pins.get(view.entity)
        with suppress(MeshError):
            pin = (
                next_pin(known, view.document)
                if known
                else first_pin(view.entity, view.document, own=view.entity == own)
            )
            pins[view.entity] = replace(pin, bilateral=view.bilateral, registries=view.registries)
    pins = {**state.pins, **pins}
    if own not in pins:
        raise UnverifiedError("your node does not show its own document", code="wrong-entity")
    return replace(state, pins=pins)
