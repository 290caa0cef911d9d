"""The change of one's own master key: others are told first, then the account goes on under another secret.

Stored step by step, so that a program that ends in the middle goes on at the next try.
Source: docs/protocol/49-recovery.md §10.
"""

from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from node.services.devices import EnrolDevice
from protocol.addresses import audience_id
from protocol.authorization import Authorization, certificate_name, sign_authorization, sign_in_name
from protocol.devices import MAX_SEALING_LIFETIME_S, sealing_key_hash
from protocol.e2ee.frames import MasterChanged
from protocol.e2ee.keys import AccountSecret, PersonSealingKey, enrol
from protocol.e2ee.masterchange import MAX_CHANGES, MasterChange, StatedChange, state_change
from protocol.encoding import decode, encode
from protocol.errors import RefusedError, UnavailableError
from protocol.regain import sign_regain
from protocol.signing import VerifyKey

from .account import KEYS, Accounts
from .agreeing import AGREED
from .core import ENGINE, Core, fresh_secret
from .kept_records import ArchiveRecord, ChangingRecord
from .kept_views import MasterKeyChanged
from .leftovers import emptied_safe
from .mailbox import MailboxLoop, SessionOverError
from .mentoring import SAID_YES
from .records import SealingRecord
from .session import with_frame
from .siblings import alone
from .state import ClientState
from .views import Synced

#: A request whose brief or answer carries the earlier keys is under way.
UNDER_WAY: Final = ("SENDING", "ACCEPTED", SAID_YES)


class MasterKeys:
    """The master key of one account, as one of its devices changes it."""

    def __init__(self, core: Core, accounts: Accounts, loop: MailboxLoop) -> None:
        self._core: Final = core
        self._accounts: Final = accounts
        self._loop: Final = loop

    async def change(self) -> MasterKeyChanged:
        """Take another master key, tell every open session, and make this device the account's only one.

        Raises: RefusedError: a request of one's own is under way.
        """
        changing = self._core.vault.change(partial(_prepared, now=self._core.now()))
        told = await self._tell(changing)
        await self._enrol(changing)
        old = self._core.state().account_secret.master().public.text
        self._core.vault.update(_switched)
        try:
            await emptied_safe(self._core)
            synced = await self._accounts.sync()
        except UnavailableError as error:
            synced = Synced(warnings=(f"Your keys are changed; what is left is done as soon as it can be: {error}.",))
        return MasterKeyChanged(
            old_key=old,
            new_key=self._core.state().account_secret.master().public.text,
            told=told,
            synced=synced,
        )

    def follow(self, lost: str) -> None:
        """Say that one's keys follow a lost master key, which cannot sign it: contacts wait before they believe it.

        Raises: MalformedError: no key; RefusedError: it is the key that one has.
        """
        lost = VerifyKey.parse(lost).text

        def stated(state: ClientState) -> ClientState:
            master = state.account_secret.master()
            if master.public.text == lost:
                raise RefusedError("this is the master key that you have")
            change = MasterChange(created_at=self._core.now(), new_key=master.public.text, old_key=lost)
            return replace(state, changes=(encode(state_change(change, master, None)),))

        self._core.vault.update(stated)

    async def _tell(self, changing: ChangingRecord) -> int:
        """Tell everybody in an open session, under the keys that it began with; return how many."""
        open_ = [
            thread
            for thread, session in self._core.state().sessions.items()
            if self._core.state().thread(thread).state == AGREED
            and not session.closed_mine
            and not ENGINE.is_closed(ENGINE.load(session.state))
        ]
        for thread in open_:
            self._core.vault.update(partial(_with_told, core=self._core, thread=thread, changing=changing))
            with suppress(SessionOverError):  # nobody is there to be told
                await self._loop.flush(thread)
        return len(open_)

    async def _enrol(self, changing: ChangingRecord) -> None:
        """Have the own node take the new keys, by the word of this device and of the earlier secret."""
        state, now = self._core.state(), self._core.now()
        audience = audience_id(state.signed_in.entity)
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
        self._core.vault.update(lambda state: replace(state, sealing=(*state.sealing, *records)))
        enrolment = enrol(
            AccountSecret(changing.seed),
            state.device_secret,
            keys,
            audience=audience,
            now=now,
            name=state.signed_in.name,
        )
        statement = Authorization(
            certificate=certificate_name(enrolment.certificate),
            sign_in=sign_in_name(state.signed_in.token),
            created_at=now,
        )
        command = EnrolDevice(
            audience=audience,
            enrolment=enrolment,
            authorization=sign_authorization(statement, state.device_secret.key(audience)),
            regain=sign_regain(statement, state.account_secret.identity(audience)),
            begins_anew=True,
        )
        await self._core.api().enrol(command)


def _prepared(state: ClientState, *, now: int) -> tuple[ClientState, ChangingRecord]:
    """Return the state with a change that is begun, or the one that was begun before."""
    account = state.signed_in
    if not account.name and not state.sealing:
        raise RefusedError("this device has no keys yet: sign in first", code="not-signed-in")
    if state.changing is not None:
        return state, state.changing
    if any(record.state in UNDER_WAY and record.thread not in state.sessions for record in state.threads.values()):
        raise RefusedError(
            "a request or answer of yours is under way with your present keys: wait for it, or cancel it",
            code="under-way",
        )
    seed = fresh_secret()
    old, new = state.account_secret.master(), AccountSecret(seed).master()
    change = MasterChange(created_at=now, new_key=new.public.text, old_key=old.public.text)
    changing = ChangingRecord(seed=seed, change=encode(state_change(change, new, old)))
    return replace(state, changing=changing), changing


def _switched(state: ClientState) -> ClientState:
    """Return the state under the new secret: what came from the earlier one is made anew, what was lived stays."""
    assert state.changing is not None
    archive = ArchiveRecord(
        on=state.archive.on,
        chosen=state.archive.chosen,
        spared=state.archive.spared,
        sessions=state.archive.sessions,
        gone=state.archive.gone,
    )
    return replace(
        state,
        account_seed=state.changing.seed,
        audiences=(audience_id(state.signed_in.entity),),
        changes=(*state.changes, state.changing.change)[-MAX_CHANGES:],
        changing=None,
        recovery=None,
        archive=archive,
        emptying=True,
    )


def _with_told(state: ClientState, *, core: Core, thread: str, changing: ChangingRecord) -> ClientState:
    session, change = state.sessions.get(thread), decode(changing.change, StatedChange, what="own change")
    if session is None or any(change.by_new.encode() in one.frame for one in session.frames):
        return state
    # Under the new key nobody would know these devices as one's own any more.
    state = alone(state, thread=thread, now=core.now())
    identity = AccountSecret(changing.seed).state_identity(state.thread(thread).audience)
    return with_frame(core, state, thread, MasterChanged(change=change, identity=identity))
