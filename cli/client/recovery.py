"""The ways back after a loss: a recovery copy of the account secret at the own node, and what restores it.

The node's copy is compared with what this device stored last, so that an older or changed one is noticed and replaced.
Source: docs/protocol/49-recovery.md.
"""

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from node.services.safe import RECOVERY
from protocol.e2ee.recovery import (
    MAX_BUNDLE_BYTES,
    Bundle,
    DamagedBundleError,
    Recovered,
    open_bundle,
    parse_bundle,
    recovery_key_of,
    render_bundle,
)
from protocol.e2ee.recovery_slots import (
    SALT_BYTES,
    PassphraseSlot,
    Slot,
    WordsSlot,
    key_by_passphrase,
    key_by_words,
    passphrase_slot,
    words_slot,
)
from protocol.e2ee.vault import DEFAULT_COST, Cost
from protocol.encoding import b64, unb64
from protocol.errors import ConflictError, MalformedError, MeshError, MissingError, RefusedError, UnavailableError
from protocol.text import displayable

from .account import Accounts, parse_link
from .api import NodeApi
from .core import Core, fresh_id
from .kept_records import RecoveryRecord
from .kept_views import Restored, SlotView
from .leftovers import emptied_safe
from .records import Account
from .state import ClientState
from .vault import replace_file

#: Another device may change the copy meanwhile; then the change is made again on top of that.
TRIES: Final = 3
NONE_YET: Final = "there is no recovery copy yet: `mentormesh person recovery words` makes one"

Edit = Callable[[tuple[Slot, ...], bytes], tuple[Slot, ...]]


class Words(msgspec.Struct, frozen=True):
    """The 32 bytes of recovery words."""

    entropy: bytes

    def key(self, bundle: Bundle) -> bytes:
        """Return the bundle's key. Raises: WrongKeyError, RefusedError."""
        return key_by_words(bundle.slots, self.entropy)

    def __repr__(self) -> str:
        return "Words(…)"


class Passphrase(msgspec.Struct, frozen=True):
    """A recovery passphrase."""

    text: str

    def key(self, bundle: Bundle) -> bytes:
        """Return the bundle's key. Raises: WrongKeyError, RefusedError."""
        return key_by_passphrase(bundle.slots, self.text)

    def __repr__(self) -> str:
        return "Passphrase(…)"


class Recovery:
    """Slots of one account, as one of its devices looks after them."""

    def __init__(self, core: Core, accounts: Accounts, *, cost: Cost = DEFAULT_COST) -> None:
        self._core: Final = core
        self._accounts: Final = accounts
        self._cost: Final = cost
        #: What the person should know about their node's copy, in sentences.
        self.warnings: Final[list[str]] = []

    async def slots(self) -> tuple[SlotView, ...]:
        """Return the ways back there are, after a look at the node's copy."""
        record = await self._looked()
        return slots_of(record) if record else ()

    async def add_words(self, entropy: bytes) -> None:
        """Let 32 random bytes, shown as words, open the account; words of before open it no longer."""

        def edit(slots: tuple[Slot, ...], key: bytes) -> tuple[Slot, ...]:
            kept = tuple(slot for slot in slots if not isinstance(slot, WordsSlot))
            return (*kept, words_slot(entropy, key, slot=fresh_id(), now=self._core.now()))

        await self._change(edit)

    async def add_passphrase(self, passphrase: str) -> None:
        """Let a passphrase open the account; one of before opens it no longer. Raises: WeakPassphraseError."""
        now, salt = self._core.now(), secrets.token_bytes(SALT_BYTES)

        def edit(slots: tuple[Slot, ...], key: bytes) -> tuple[Slot, ...]:
            kept = tuple(slot for slot in slots if not isinstance(slot, PassphraseSlot))
            made = passphrase_slot(passphrase, key, slot=fresh_id(), salt=salt, now=now, cost=self._cost)
            return (*kept, made)

        await self._change(edit)

    async def remove(self, slot: str) -> None:
        """Take a way back away. Raises: MissingError: no such slot; RefusedError: it is the last one."""

        def edit(slots: tuple[Slot, ...], _key: bytes) -> tuple[Slot, ...]:
            kept = tuple(one for one in slots if one.id != slot)
            if len(kept) == len(slots):
                raise MissingError("there is no such slot: `mentormesh person recovery list` shows them")
            if not kept:
                raise RefusedError("this is the last way back: add another one first", code="last-slot")
            return kept

        await self._change(edit)

    async def save(self, file: Path) -> None:
        """Write the recovery copy to a file, should the node lose it. Raises: MissingError, UnavailableError."""
        record = await self._looked()
        if record is None:
            raise MissingError(NONE_YET)
        try:
            replace_file(file, record.bundle)
        except OSError as error:
            raise UnavailableError(f"cannot write {file}: {error.strerror}") from None

    # One copy at the node, one here

    async def _change(self, edit: Edit) -> None:
        """Store the copy with its slots edited, here and then at the node; what another device did is kept."""
        for _ in range(TRIES):
            record = await self._looked() or RecoveryRecord(bundle=b"", version=0)
            state = self._core.state()
            edited = self._edited(state, record, edit)
            with suppress(ConflictError):
                await self._store(record, edited)
                return
        raise UnavailableError("another device of yours changes the recovery copy at this moment: try again")

    def _edited(self, state: ClientState, record: RecoveryRecord, edit: Edit) -> bytes:
        before = parse_bundle(record.bundle) if record.bundle else None
        name = before.id if before else fresh_id()
        key = recovery_key_of(state.account_seed, name)
        slots = edit(before.slots if before else (), key)
        after = Bundle(id=name, seq=before.seq + 1 if before else 1, salt=fresh_id(), slots=slots)
        account = state.signed_in
        content = Recovered(account_secret=b64(state.account_seed), entity=account.entity, name=account.name)
        return render_bundle(after, content, key)

    async def _looked(self) -> RecoveryRecord | None:
        """Return the copy that stands at the node, after mending one that was lost, changed or is of another time.

        Raises: DamagedBundleError: the node's is not of this account, and this device has none.
        """
        await emptied_safe(self._core)
        state = self._core.state()
        known = state.recovery
        try:
            sealed = await self._core.api().sealed(RECOVERY)
        except MissingError:
            return await self._mended(replace(known, version=0), "lost your recovery copy") if known else None
        shown = RecoveryRecord(bundle=unb64(sealed.data, what="recovery copy"), version=sealed.version)
        if known is not None and known.bundle == shown.bundle:
            return self._kept(shown)
        try:
            seq = _opened(state, shown.bundle)
        except MeshError:
            if known is None:
                raise DamagedBundleError("your node keeps a recovery copy that this account did not make") from None
            return await self._mended(replace(known, version=shown.version), "showed a changed recovery copy")
        if known is not None and seq < parse_bundle(known.bundle).seq:
            return await self._mended(replace(known, version=shown.version), "showed an older recovery copy")
        return self._kept(shown)

    async def _mended(self, record: RecoveryRecord, what: str) -> RecoveryRecord:
        mended = await self._store(record, record.bundle)
        self.warnings.append(f"Your node {what}; the newest one of this device was stored again.")
        return mended

    async def _store(self, record: RecoveryRecord, bundle: bytes) -> RecoveryRecord:
        """Store a copy in place of `record`. Raises: ConflictError: another device was quicker."""
        try:
            slots = parse_bundle(bundle).slots
            locator = next((one.locator for one in slots if isinstance(one, WordsSlot)), None)
            view = await self._core.api().put_sealed(RECOVERY, record.version, bundle, locator)
        except RefusedError as error:
            if error.code == ConflictError.code:
                raise ConflictError("another device of yours changed it meanwhile: try again") from None
            raise
        return self._kept(RecoveryRecord(bundle=bundle, version=view.version))

    def _kept(self, record: RecoveryRecord) -> RecoveryRecord:
        before = self._core.state().recovery
        record = replace(record, regaining=before is not None and before.regaining)
        if before != record:
            self._core.vault.update(lambda state: replace(state, recovery=record))
        return record

    # Coming back

    async def begin(self, link: str) -> None:
        """Use a sign-in link in this new folder, so that a wrong word can be tried again without another link.

        Raises: RefusedError: the folder is that of a device already; UnverifiedError: a link used or expired.
        """
        _require_new(self._core.state())
        url, token = parse_link(link)
        redeemed = await NodeApi(self._core.http, url).redeem(token)
        me = await NodeApi(self._core.http, url, redeemed.token).me()
        account = Account(url=url, entity=me.entity, token=redeemed.token, member=redeemed.member)
        self._core.vault.update(lambda state: replace(state, account=account))

    async def restore(self, way: Words | Passphrase, *, copy: bytes | None = None, hint: str = "") -> Restored:
        """Make this new device the account's, and remove every device that it had.

        Args:
            copy: a recovery copy that was saved to a file, in place of the node's.
        Raises: WrongKeyError, DamagedBundleError, MissingError: nothing has changed, try again.
        """
        state = self._core.state()
        _require_new(state)
        record = await self._copy(copy)
        bundle = parse_bundle(record.bundle)
        recovered = open_bundle(bundle, way.key(bundle))
        if recovered.entity != state.signed_in.entity:
            raise RefusedError("this recovery copy is of an account at another organization", code="other-account")
        name = displayable(recovered.name, lines=False)[:80]

        def take(state: ClientState) -> ClientState:
            account = replace(state.signed_in, name=name)
            seed = unb64(recovered.account_secret, size=32, what="account secret")
            regained = replace(record, regaining=True)
            return replace(state, account_seed=seed, account=account, recovery=regained, returning=True)

        self._core.vault.update(take)
        return await self._regain(hint)

    async def finish(self) -> Restored | None:
        """Do what is left of a restore that was cut off, None if nothing is: lost devices must not stay.

        Raises: UnverifiedError: the sign-in has ended, so that it takes another link; other MeshErrors: it stays so.
        """
        record = self._core.state().recovery
        if record is None or not record.regaining:
            return None
        return await self._regain("")

    async def _regain(self, hint: str) -> Restored:
        """Bring this device, which has the account secret again, into the account, and take all others out."""
        synced = await self._accounts.sync(renew_own=True, hint=hint, regain=True)
        api = self._core.api()
        lost = [one.device for one in (await api.me()).devices if not one.this]
        for device in lost:
            await api.remove_device(device)
        await self._looked()
        self._core.vault.update(_regained)
        account = self._core.state().signed_in
        told = replace(synced, warnings=(*synced.warnings, *self.warnings))
        return Restored(entity=account.entity, name=account.name, removed=len(lost), synced=told)

    async def _copy(self, saved: bytes | None) -> RecoveryRecord:
        """Return the copy to open. Raises: MissingError: there is none; DamagedBundleError: the saved one."""
        try:
            sealed = await self._core.api().sealed(RECOVERY)
        except MissingError:
            if saved is None:
                raise MissingError("your node has no recovery copy of this account: name a saved --copy") from None
            return RecoveryRecord(bundle=saved, version=0)
        if saved is None:
            return RecoveryRecord(bundle=unb64(sealed.data, what="recovery copy"), version=sealed.version)
        parse_bundle(saved)
        return RecoveryRecord(bundle=saved, version=sealed.version)


def slots_of(record: RecoveryRecord) -> tuple[SlotView, ...]:
    """Return the slots of a copy as their owner sees them."""
    slots = parse_bundle(record.bundle).slots
    return tuple(SlotView(slot=one.id, kind=_kind(one), added_at=one.added_at) for one in slots)


def read_copy(file: Path) -> bytes:
    """Return a saved recovery copy. Raises: UnavailableError: it cannot be read; DamagedBundleError: too long."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BUNDLE_BYTES + 1)
    except OSError as error:
        raise UnavailableError(f"cannot read {file}: {error.strerror}") from None
    parse_bundle(data)
    return data


def _kind(slot: Slot) -> str:
    return str(type(slot).__struct_config__.tag)


def _opened(state: ClientState, data: bytes) -> int:
    """Return the number of a copy that this account made. Raises: DamagedBundleError, MalformedError."""
    bundle = parse_bundle(data)
    content = open_bundle(bundle, recovery_key_of(state.account_seed, bundle.id))
    if content.account_secret != b64(state.account_seed):
        raise MalformedError("recovery copy holds another account secret")
    return bundle.seq


def _regained(state: ClientState) -> ClientState:
    return replace(state, recovery=replace(state.recovery, regaining=False)) if state.recovery else state


def _require_new(state: ClientState) -> None:
    unfinished = state.recovery is not None and state.recovery.regaining
    if state.sealing and not unfinished:
        raise RefusedError("this folder is a device already: name a new folder with --home", code="not-new")
