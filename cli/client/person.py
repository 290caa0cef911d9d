"""One person with their device: the whole client in one async object, used by the commands and by the demo.

Everything private stays in the vault; it talks to the person's own node, and once a day to another organization's, to
see what is held there of its own keys.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from msgspec.structs import replace

from federation.resolver import GuardedResolver
from protocol.bodies import CancelReason, DeclineReason
from protocol.contacttokens import token_commitment
from protocol.e2ee.frames import Chat, Close, Content, Retract, Vanish
from protocol.e2ee.reports import Reason, Report
from protocol.errors import MeshError, MissingError, UnavailableError
from protocol.needs import Need
from protocol.text import displayable

from .account import Accounts
from .api import NodeApi
from .archive import Archive
from .asking import Asking, shortlist_of
from .blocks import with_block, without_block
from .board import restarted
from .contacts import contact_named, without_tokens
from .core import Core
from .entries import called_off, require_cancellable
from .files import Files
from .giving import give_tokens
from .happening import happening
from .http import Http
from .kept_views import Restored
from .keychecks import PATIENCE_S, KeyChecks, UnprovenError
from .leftovers import came_back, emptied_safe
from .linking import Linking, approve, begin_linking
from .logstories import LogStories
from .mailbox import MailboxLoop
from .masterkey import MasterKeys
from .mentoring import Mentoring
from .newkeys import trusted
from .ownwords import frames_of, said_last, with_private
from .records import Contact, ProvenRecord
from .recovery import Passphrase, Recovery, Words
from .reportdesk import ReportDesk
from .reporting import report_of
from .requesting import Requesting
from .selfcheck import SelfCheck
from .session import view, with_frame
from .state import ClientState
from .vault import ClientVault
from .verifying import begun, matched, ready
from .views import (
    Approved,
    CodeReady,
    Event,
    Requested,
    SessionView,
    Shortlist,
    SignedIn,
    Synced,
    Waiting,
)


class Person:
    """`async with Person(vault) as ana: …`; make the vault with `unlock.create_vault` or open it with `open_vault`.

    Methods may be called while another task iterates `events`. All raise MeshError with one clear sentence.
    """

    def __init__(self, vault: ClientVault, *, clock: Callable[[], int] | None = None) -> None:
        """Take an unlocked vault; `clock` gives Unix seconds, the system's by default."""
        self._core: Final = Core(vault, Http(), clock)
        self._foreign: Final = Http(GuardedResolver())
        self.accounts: Final = Accounts(self._core)
        self.recovery: Final = Recovery(self._core, self.accounts)
        self.archive: Final = Archive(self._core)
        self._asking: Final = Asking(self._core)
        self._checks: Final = KeyChecks(self._core, self.accounts.look)
        self._requesting: Final = Requesting(self._core, self._asking, self._checks)
        self._mentoring: Final = Mentoring(self._core, self._checks)
        self._loop: Final = MailboxLoop(self._core, self.accounts, self._requesting, self._checks)
        self.self_check: Final = SelfCheck(self._core, self._checks, self._foreign)
        self._stories: Final = LogStories(self._core, self.self_check.fetch)
        self.files: Final = Files(self._core, self._loop.flush)
        self.reports: Final = ReportDesk(self._core)
        self.master_keys: Final = MasterKeys(self._core, self.accounts, self._loop)

    async def __aenter__(self) -> Self:
        """Open the connections; nothing is sent yet."""
        await self._core.http.__aenter__()
        await self._foreign.__aenter__()
        self._loop.tidy()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._foreign.__aexit__(kind, error, trace)
        await self._core.http.__aexit__(kind, error, trace)

    @property
    def state(self) -> ClientState:
        """What this device remembers now."""
        return self._core.state()

    def now(self) -> int:
        """Return the time by this device's clock."""
        return self._core.now()

    @property
    def folder(self) -> Path:
        """Where the vault is."""
        return self._core.vault.folder

    @property
    def api(self) -> NodeApi:
        """The own node's device API, for profile, consents, export and lists. Raises: RefusedError: not signed in."""
        return self._core.api()

    # Account

    async def sign_in(self, link: str, *, name: str = "", hint: str = "", only_data: bool = False) -> SignedIn:
        """Use a mailed link once; make this the account's device if it has none; enrol for every organization.

        Args:
            name: what the other person reads once a session is agreed; kept on this device only.
            hint: what this device is called in one's own list of devices.
            only_data: enrol no keys, for somebody who lost their device and wants their data or an end of it.
        """
        return await self.accounts.sign_in(link, name=name, hint=hint, only_data=only_data)

    async def restore(self, way: Words | Passphrase, *, copy: bytes | None = None, hint: str = "") -> Restored:
        """Come back on this new device after `recovery.begin`, with contacts, takeaways and archived sessions.

        Whoever is in a session that is open is asked to let this device in; `poll` or `events` does so.
        """
        done = await self.recovery.restore(way, copy=copy, hint=hint)
        try:
            await came_back(self._core, self.archive)
        except UnavailableError as error:
            self.archive.warnings.append(f"The archive was not read yet: {error}. It is, as soon as your node answers.")
        told = replace(done.synced, warnings=(*done.synced.warnings, *self.archive.warnings))
        return replace(done, synced=told, sessions=len(self._core.state().sessions))

    async def link(self, link: str = "", *, name: str = "", hint: str = "") -> Linking:
        """Begin to add this device to an account that has one: show the result's `code`, then await its `finish`.

        Args:
            link: a mailed sign-in link; may be left out where this folder is signed in already.
        """
        return await begin_linking(self._core, self.accounts, link, name=name, hint=hint)

    async def approve(self, code: str) -> Approved:
        """Let the device into the account that shows this code, or this text of a QR code."""
        done = await approve(self._core, code)
        self.archive.shared(shared=True)
        self._loop.look_for_siblings()
        return done

    async def sync(self) -> Synced:
        """Look for new organizations and keys that end soon, enrol for them, and bring the archive up to date."""
        regained = await self.recovery.finish()
        done = regained.synced if regained else await self.accounts.sync()
        try:
            await emptied_safe(self._core)
            self.archive.shared(shared=len((await self.api.me()).devices) > 1)
            await self.archive.push(look=True)
        except MeshError as error:
            self.archive.warnings.append(f"The archive at your node is not up to date: {error}")
        return replace(done, warnings=(*done.warnings, *self.archive.warnings))

    async def remove_device(self, device: str) -> None:
        """Take a device of one's own out of the account, and out of every session that is open here.

        Its sessions go on without it as soon as the hub has ordered the change; `poll` or `events` sends what waits.
        Raises: MissingError: no such device; RefusedError: this client is no device.
        """
        leaving = await self._loop.devices_in_sessions(device)
        await self.api.remove_device(device)
        await self._loop.take_out(leaving)

    async def listed(self) -> None:
        """Return once this device stands in the key directory wherever it enrolled; before, nobody can be met with it.

        Raises: NotListedYetError: not within a quarter of a minute; UnverifiedError: its own node shows other keys.
        """
        for audience in self._core.state().audiences:
            await self._checks.own(audience)

    async def prove(self, wanted: UnprovenError, *, patience_s: float = PATIENCE_S) -> ProvenRecord:
        """Look up in a directory what proves somebody's keys; the loop does it whenever they are to be used.

        Raises: NotListedYetError: they are not listed; UnverifiedError: the proof is wrong.
        """
        return await self._checks.prove(wanted, patience_s=patience_s)

    async def sign_out(self) -> None:
        """End this sign-in; the vault stays."""
        await self.accounts.sign_out()

    # Asking

    async def ask(self, need: Need, *, exclude: Sequence[str] = (), own: bool = True) -> Shortlist:
        """Search, ask nodes for candidates in rounds, and keep up to five people as the shortlist.

        Args:
            exclude: entities that are not asked.
            own: whether the own organization is asked too.
        """
        await self.accounts.sync()
        return await self._asking.ask(need, exclude=exclude, own=own)

    async def ask_again(self, need: Need, name: str) -> Shortlist:
        """Ask one contact, by name or the beginning of the thread in which both met, and nobody else.

        Raises: MissingError, RefusedError: nobody of this name, or who cannot be asked again.
        """
        await self.accounts.sync()
        return await self._asking.again(need, contact_named(self._core.state(), name))

    async def revoke(self, name: str) -> Contact:
        """Let neither ask the other again. Raises: MissingError, RefusedError: nobody of this name, or several."""
        contact = contact_named(self._core.state(), name)
        if contact.given:
            with suppress(MissingError):  # its time was over
                await self._core.api().revoke_token(token_commitment(contact.given))
        self._core.vault.update(partial(without_tokens, contact=contact))
        return contact

    def trust_contact(self, name: str, number: str) -> Contact:
        """Believe the key of a contact that gives this safety number, which both have read."""
        contact = contact_named(self._core.state(), name)
        self._core.vault.update(partial(trusted, contact=contact, number=number, now=self._core.now()))
        return contact

    def shortlist(self) -> Shortlist | None:
        """Return the last shortlist of this device."""
        state = self._core.state()
        return shortlist_of(state, state.last_ask) if state.last_ask else None

    async def request(
        self,
        number: int,
        *,
        prompts: tuple[str, str, str],
        slots: Sequence[int] = (),
        backups: Sequence[int] | None = None,
        about: Sequence[str] = (),
    ) -> Requested:
        """Choose the person `number` of the shortlist and send the sealed brief.

        Args:
            prompts: question and context, what was tried, what would make it worth it; at most 600 characters together.
            slots: ranked start times out of the candidate's; all of them by default; none for a text session.
            backups: numbers of whom to ask next after a no, in order; all others by default, `()` for nobody.
            about: chips about oneself, such as `sector-h`.
        """
        return await self._requesting.request(number, prompts=prompts, slots=slots, backups=backups, about=about)

    async def take_up(self, thread: str, slots: Sequence[int]) -> Requested:
        """Accept other times that a mentor proposed (after `Countered`)."""
        return await self._requesting.take_up(thread, slots)

    # Mentoring

    def requests(self) -> tuple[Waiting, ...]:
        """Return the requests that await this mentor's answer; `poll` or `events` brings new ones."""
        return self._mentoring.requests()

    async def accept(self, thread: str, *, slot: int | None = None) -> None:
        """Say yes: to `slot`, by default the mentee's first free choice."""
        await self._mentoring.accept(thread, slot=slot)

    async def decline(self, thread: str, *, reason: DeclineReason = "other", pause: bool = False) -> None:
        """Say no, and perhaps take a break from new requests."""
        await self._mentoring.decline(thread, reason=reason, pause=pause)

    async def counter(self, thread: str, slots: Sequence[int]) -> None:
        """Propose one to five other start times."""
        await self._mentoring.counter(thread, tuple(slots))

    # What happens

    async def poll(self, *, wait_s: float = 0) -> tuple[Event, ...]:
        """Take in what waits in the mailbox (waiting `wait_s` for the first entry), act on it, and return it."""
        happened = await self._loop.turn(wait_s=wait_s)
        await self.keep(happened=bool(happened))
        return (*happened, *await self._stories.settle(), *await self.self_check.due())

    async def keep(self, *, happened: bool = True) -> None:
        """Bring the archive up to date when something happened; what fails is done at the next time."""
        with suppress(MeshError):
            await emptied_safe(self._core)
            await self.recovery.finish()
            await came_back(self._core, self.archive)
            await self.archive.keep_up(happened=happened)

    async def events(self, *, wait_s: float = 25) -> AsyncIterator[Event]:
        """Yield everything that happens, for ever; what is yielded has been stored before.

        While the own node is away this waits and tries again, after one `Problem` of code `node-away`.
        """
        async for event in happening(partial(self.poll, wait_s=wait_s)):
            yield event

    # Sessions

    def session(self, thread: str, *, language: str = "en") -> SessionView:
        """Return a session as this device shows it."""
        return view(self._core.state(), thread, now=self._core.now(), language=language)

    async def send(self, thread: str, content: Content) -> bool:
        """Encrypt one frame, store it and send it; False: it waits here until the node is back."""
        self._core.vault.update(partial(_with_content, core=self._core, thread=thread, content=content))
        return await self._loop.flush(thread)

    async def verify(self, thread: str) -> bool:
        """Begin to compare short codes; the code comes as `CodeReady` once the other device has answered."""

        def begin(state: ClientState) -> ClientState:
            state, said = begun(state, thread)
            return _with_content(state, core=self._core, thread=thread, content=said)

        self._core.vault.update(begin)
        return await self._loop.flush(thread)

    def code(self, thread: str) -> CodeReady:
        """Return the short code that was compared last in a session. Raises: RefusedError: none."""
        return ready(self._core.state(), thread)

    def code_matches(self, thread: str) -> None:
        """Remember the other person's master key: both have read the same code. Raises: RefusedError: no code yet."""
        self._core.vault.update(partial(matched, thread=thread, now=self._core.now()))

    async def send_chat(self, thread: str, text: str) -> bool:
        """Send one chat message."""
        return await self.send(thread, Chat(text=displayable(text)))

    async def vanish(self, thread: str, *, after: Literal["end", "said"], seconds: int | None) -> bool:
        """Wish that words vanish on both devices so long after the end, or after each was said; None: no longer."""
        delivered = await self.send(thread, Vanish(after=after, seconds=seconds))
        self._loop.tidy()
        return delivered

    def block(self, thread: str) -> None:
        """Meet somebody no more, whose thread or contact this is. Raises: MissingError, RefusedError: nobody known."""
        now = self._core.now()
        self._core.vault.update(lambda state: with_block(state, thread, now=now))

    def unblock(self, number: int) -> None:
        """Forget a block by its number. Raises: MissingError."""
        self._core.vault.update(lambda state: without_block(state, number))

    def report(self, thread: str, numbers: Sequence[int], *, reason: Reason, words: str) -> Report:
        """Return a report of messages of the other person, by their numbers, which anybody can verify."""
        state, now = self._core.state(), self._core.now()
        return report_of(state, thread, numbers, reason=reason, words=words, now=now)

    def note_privately(self, thread: str, text: str) -> None:
        """Keep a note in this vault; it is never sent, and stays when the session is destroyed."""
        now = self._core.now()
        self._core.vault.update(lambda state: with_private(state, thread, displayable(text), now=now))

    async def take_back(self, thread: str, number: int | None = None) -> bool:
        """Ask the other device to hide an own message, the last one by default; it may have been read or copied."""
        return await self.send(thread, Retract(frame=said_last(self._core.state(), thread, number)))

    async def timer(self, thread: str, *, runs: bool) -> bool:
        """Start or stop the clock of the agenda. Raises: MissingError: there is no agenda."""
        agenda = restarted(frames_of(self._core.state(), thread), started_at=self._core.now() if runs else None)
        if agenda is None:
            raise MissingError("this session has no agenda yet: `session agenda` sets one")
        return await self.send(thread, agenda)

    async def close(self, thread: str) -> bool:
        """Close the session on this side; once both have, its keys are destroyed and takeaways stay."""
        with suppress(MeshError):  # the session ends whether the other may ask again or not
            await give_tokens(self._core)
        left = await self.send(thread, Close())
        self._loop.tidy()
        return left

    async def cancel(self, thread: str, *, reason: CancelReason = "not-needed") -> None:
        """Step back from a request, or call off a session.

        Raises: RefusedError: a mentor declines a request that waits instead.
        """
        record = self._core.state().thread(thread)
        require_cancellable(record)
        await self._core.api().cancel(thread, record.side, reason)
        self._core.vault.update(partial(called_off, thread=thread, reason=reason, now=self._core.now()))


def _with_content(state: ClientState, *, core: Core, thread: str, content: Content) -> ClientState:
    return with_frame(core, state, thread, content, kind="close" if isinstance(content, Close) else "message")
