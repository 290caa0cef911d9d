"""The one loop of a client: entries in, each stored together with what it says, and everything that follows from them.

An entry is acknowledged only after the vault has it. What is still to be sent can be read off the vault, so that a
program that ends in the middle goes on where it was. Source: docs/protocol/41-envelopes.md §5.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from msgspec.structs import replace

from node.api.exchange import Entry
from protocol.bodies import (
    CancelReason,
)
from protocol.encoding import decode_loose
from protocol.errors import LimitError, MeshError, MissingError, RefusedError, UnavailableError, UnverifiedError

from .account import Accounts
from .agreeing import AGREED
from .core import Core
from .ending import let_go
from .entries import STALE, Step, called_off, mistake_of, problem_of, refused_as_old, take_entry
from .epochs import renewed, wants_turn
from .files import sweep_files
from .giving import give_tokens
from .keychecks import PATIENCE_S, KeyChecks, NotListedYetError, UnprovenError
from .mentoring import Mentoring
from .parking import PARKED_S, is_behind, parked
from .pins import UnknownSenderError
from .records import Outgoing, ParkedRecord, ThreadRecord
from .rejoining import asked_in, wants_in
from .requesting import Requesting
from .session import sent
from .siblings import Siblings, leaves
from .state import ClientState
from .trying import for_each
from .views import Event, Problem

#: An entry is looked at so often, each time with something more: a document, a proof.
TURNS: Final = 3
#: Who cannot be asked next, because their organization's directory is not proven, is tried again after this long.
GO_ON_S: Final = 60


class SessionOverError(RefusedError):
    """The own node takes nothing more for a session, and forgets what came; what was to be sent is dropped."""

    code = "session-over"

    def __init__(self) -> None:
        super().__init__("this session is over at your node: what was still to be sent here was not sent")


class Storing(Protocol):
    """Stores an entry and what it says; with `last` it tells why it cannot be used instead of raising."""

    def __call__(self, entry: Entry, state: ClientState, *, last: bool) -> Step:
        """Return the next state and what happened."""
        ...


class MailboxLoop:
    """Takes in what waits, and does what follows."""

    def __init__(self, core: Core, accounts: Accounts, requesting: Requesting, checks: KeyChecks) -> None:
        self._core: Final = core
        self._siblings: Final = Siblings(core, checks)
        self._accounts: Final = accounts
        self._requesting: Final = requesting
        self._mentoring: Final = Mentoring(core, checks)
        self._checks: Final = checks
        # Two turns at once would both ask the next person after one no.
        self._settling: Final = asyncio.Lock()
        self._go_on_at = 0
        #: What is stored and was not told yet.
        self._untold: Final[list[Event]] = []
        #: Sentences of what does not succeed, each told once.
        self._failing: Final[set[str]] = set()

    async def turn(self, *, wait_s: float = 0) -> tuple[Event, ...]:
        """Return what happened; waits at most `wait_s` for the first entry if nothing else is to be done.

        What was stored is told, whatever fails behind it: that fails again at the next turn.
        """
        try:
            await self._turn(wait_s)
        except MeshError:
            if not self._untold:
                raise
        told = tuple(self._untold)
        self._untold.clear()
        return told

    async def _turn(self, wait_s: float) -> None:
        failed = await self._settle()
        if self._untold:
            return
        # What fails for the first time is told at once; afterwards it must not keep this from waiting.
        is_news = any(str(one) not in self._failing for one in failed)
        box = await self._core.api().mailbox(self._core.state().mailbox_after, wait_s=0 if is_news else wait_s)
        self._tell_failures(failed)
        for entry in box.entries:
            self._untold.extend(await self._take(entry))
        if box.entries:
            await self._core.api().acknowledge(box.entries[-1].cursor)
            self._tell_failures(await self._settle())

    def _tell_failures(self, failed: Iterable[MeshError]) -> None:
        """Tell each thing that does not succeed, once: it is tried again at every turn, and holds nothing else up."""
        for error in failed:
            if str(error) not in self._failing:
                self._failing.add(str(error))
                self._untold.append(Problem(thread="", code=error.code, sentence=str(error)))

    async def _take(self, entry: Entry) -> list[Event]:
        """Store one entry and what it says; what needs a document or a proof first is looked at again with it."""
        state = self._core.state()
        if not is_behind(state, entry.thread):
            try:
                # Where something waits already, whoever is not listed either holds up nobody else.
                return await self._with_proofs(entry, self._stored, patience_s=0 if state.parked else PATIENCE_S)
            except NotListedYetError:
                pass
        return self._core.vault.change(partial(parked, entry, now=self._core.now()))

    async def _with_proofs(self, entry: Entry, store: "Storing", *, patience_s: float) -> list[Event]:
        """Return what an entry says, asking for what it takes to understand it. Raises: NotListedYetError."""
        for _ in range(TURNS):
            try:
                return self._core.vault.change(partial(store, entry, last=False))
            except UnknownSenderError:
                await self._accounts.sync()
            except UnprovenError as wanted:
                with suppress(UnverifiedError):  # that is remembered, and told by the next turn
                    await self._checks.prove(wanted, patience_s=patience_s)
        return self._core.vault.change(partial(store, entry, last=True))

    def _stored(self, entry: Entry, state: ClientState, *, last: bool) -> Step:
        """Return the state past this entry; what it says is there, or why it cannot be used."""
        if entry.cursor <= state.mailbox_after:
            return state, []  # another program of this person was quicker
        after, events = self._understood(entry, state, last=last)
        return replace(after, mailbox_after=entry.cursor), events

    def _understood(self, entry: Entry, state: ClientState, *, last: bool) -> Step:
        try:
            return take_entry(self._core, state, entry)
        except (UnknownSenderError, UnprovenError) as error:
            if not last:
                raise
            return state, [problem_of(entry, error)]
        except MeshError as error:
            return state, [problem_of(entry, error)]
        except Exception as error:  # noqa: BLE001 -- an entry is a request of its own: those behind it are read on
            return state, [mistake_of(entry, error)]

    async def _unpark(self) -> None:
        """Take in what waited for keys to be listed, in order; what waited too long is told and let go."""
        waits: set[str] = set()
        for one in self._core.state().parked:
            if one.thread in waits and not one.aside:
                continue
            late = one.since + PARKED_S <= self._core.now()
            entry = decode_loose(one.entry, Entry, what="parked entry")
            try:
                self._untold.extend(await self._with_proofs(entry, partial(self._unparked, one), patience_s=0))
            except NotListedYetError:
                if not one.aside:
                    waits.add(one.thread)
                if late:
                    self._untold.extend(self._core.vault.change(partial(self._unparked, one, entry, last=True)))

    def _unparked(self, one: ParkedRecord, entry: Entry, state: ClientState, *, last: bool) -> Step:
        if one not in state.parked:
            return state, []  # another program of this person was quicker
        after, events = self._understood(entry, state, last=last)
        return replace(after, parked=tuple(each for each in after.parked if each != one)), events

    # What follows

    async def _settle(self) -> list[MeshError]:
        """Send what is stored and was not sent, ask the next person after a no, and let go of what is over.

        Return what did not succeed: one thing that fails keeps nothing else from being done.
        Raises: UnavailableError: the node or the disk is away, and so would be all the rest.
        """
        failed: list[MeshError] = []
        async with self._settling:
            self.tidy()  # whatever else fails, words whose time is over go
            for step in (
                self._unpark,
                self._mentoring.decline_blocked,
                self._requesting.unfinished,
                self._cancel,
                partial(give_tokens, self._core),
                self._come_back,
                self._turns,
                self._siblings.turn,
                self._go_on,
            ):
                try:
                    await step()
                except NotListedYetError as error:  # of somebody's organization, not of one's own node
                    failed.append(error)
                except UnavailableError:
                    raise
                except MeshError as error:
                    failed.append(error)
            self.tidy()
        return failed

    async def _go_on(self) -> None:
        if self._core.now() < self._go_on_at:
            return
        try:
            self._untold.extend(await self._requesting.go_on())
        except NotListedYetError:
            self._go_on_at = self._core.now() + GO_ON_S
            raise

    async def _turns(self) -> None:
        await for_each(list(self._core.state().sessions), self._turn_of)

    async def _come_back(self) -> None:
        """Ask to be let into sessions of before, once others can look up this device and none that was lost."""
        state, now = self._core.state(), self._core.now()
        for thread in [one for one in state.sessions if wants_in(state, one, now=now)]:
            if await self._siblings.only_named_stand(state.thread(thread).audience):
                self._core.vault.update(partial(asked_in, self._core, thread=thread))

    async def _turn_of(self, thread: str) -> None:
        await self.flush(thread)
        if wants_turn(self._core.state(), thread, now=self._core.now()):
            self._core.vault.update(partial(renewed, self._core, thread=thread))
            await self.flush(thread)

    def tidy(self) -> None:
        """Let go of what is over: sessions, briefs nobody answered, what was left of old threads."""
        before, now = self._core.state(), self._core.now()
        if let_go(before, now=now) is not before:
            before = self._core.vault.update(partial(let_go, now=now))
        sweep_files(self._core.vault.folder, before)

    async def _cancel(self) -> None:
        for record in self._core.state().threads.values():
            if not record.cancel:
                continue
            reason: CancelReason = "conflict" if record.cancel == "conflict" else "not-needed"
            with suppress(RefusedError, MissingError):  # it has ended already
                await self._core.api().cancel(record.thread, record.side, reason)
            why = record.reason or record.cancel
            self._core.vault.update(partial(called_off, thread=record.thread, reason=why, now=self._core.now()))

    async def devices_in_sessions(self, device: str) -> dict[str, str]:
        """Return by thread the key of one of the person's devices in each open session."""
        return await self._siblings.keys_of(device)

    async def take_out(self, leaving: dict[str, str]) -> None:
        """Let devices, by thread, go out of open sessions."""
        for thread, key in leaving.items():
            self._core.vault.update(partial(leaves, thread=thread, key=key))
            await self._turn_of(thread)

    def look_for_siblings(self) -> None:
        """Look at the own devices of every session at the next turn: one came or went."""
        self._siblings.look_again()

    async def flush(self, thread: str) -> bool:
        """Hand the session's stored envelopes to the node, in order; False while the node is away or not ready."""
        state = self._core.state()
        record = state.thread(thread)
        if record.state != AGREED:
            return False  # before both nodes signed, the other one does not know of a session
        for outgoing in state.session(thread).outbox:
            if not await self._send(record, outgoing):
                return False
            self._core.vault.update(partial(sent, thread=thread, outgoing=outgoing))
        return True

    async def _send(self, record: ThreadRecord, outgoing: Outgoing) -> bool:
        try:
            await self._core.api().envelope(record.thread, record.side, outgoing)
        except (UnavailableError, LimitError):
            return False
        except (RefusedError, MissingError) as error:
            if error.code == STALE:
                told = partial(refused_as_old, self._core, thread=record.thread, envelope=outgoing.id)
                self._untold.extend(self._core.vault.change(told))
                return False  # the changes that it came after are in the mailbox
            if error.code != SessionOverError.code and not isinstance(error, MissingError):
                raise  # of this device, not of the session: what waits goes on waiting
            if outgoing.kind == "message":
                self._core.vault.update(partial(sent, thread=record.thread, outgoing=outgoing))
                raise SessionOverError from None
        return True
