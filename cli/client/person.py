"""One person with their device: the whole client in one async object, used by the commands and by the demo.

Everything private stays in the vault; the person's own node is the only machine it talks to.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self

from protocol.bodies import CancelReason, DeclineReason
from protocol.e2ee.frames import Content
from protocol.needs import Need

from .vault import ClientVault
from .views import Event, Requested, SessionView, Shortlist, SignedIn, Synced, Waiting


class Person:
    """`async with Person(vault) as ana: …`; make the vault with `unlock.create_vault` or open it with `open_vault`.

    Methods may be called while another task iterates `events`. All raise MeshError with one clear sentence.
    """

    def __init__(self, vault: ClientVault, *, clock: Callable[[], int] | None = None) -> None:
        """Take an unlocked vault; `clock` gives Unix seconds, the system's by default."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Open the connection; nothing is sent yet."""
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        raise NotImplementedError

    # Account

    async def sign_in(self, link: str, *, name: str = "", hint: str = "") -> SignedIn:
        """Use a mailed link once; make this the account's device if it has none; enrol for every organization.

        Args:
            name: what the other person reads once a session is agreed; kept on this device only.
            hint: what this device is called in one's own list of devices.
        """
        raise NotImplementedError

    async def sync(self) -> Synced:
        """Look for new organizations and keys that end soon, and enrol for them."""
        raise NotImplementedError

    async def sign_out(self) -> None:
        """End this sign-in; the vault stays."""
        raise NotImplementedError

    # Asking

    async def ask(self, need: Need, *, exclude: Sequence[str] = (), own: bool = True) -> Shortlist:
        """Search, ask nodes for candidates in rounds, and keep up to five people as the shortlist.

        Args:
            exclude: entities that are not asked. own: whether the own organization is asked too.
        """
        raise NotImplementedError

    def shortlist(self) -> Shortlist | None:
        """Return the last shortlist of this device."""
        raise NotImplementedError

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
            prompts: at most 600 characters together.
            slots: ranked start times out of the candidate's; all of them by default; none for a text session.
            backups: numbers of whom to ask next after a no, in order; all others by default.
            about: chips about oneself, such as `sector-h`.
        """
        raise NotImplementedError

    async def take_up(self, thread: str, slots: Sequence[int]) -> Requested:
        """Accept other times that a mentor proposed (after `Countered`)."""
        raise NotImplementedError

    # Mentoring

    def requests(self) -> tuple[Waiting, ...]:
        """Return the requests that await this mentor's answer; `poll` or `events` brings new ones."""
        raise NotImplementedError

    async def accept(self, thread: str, *, slot: int | None = None) -> None:
        """Say yes: to `slot`, by default the mentee's first free choice."""
        raise NotImplementedError

    async def decline(self, thread: str, *, reason: DeclineReason = "other", pause: bool = False) -> None:
        """Say no, and perhaps take a break from new requests."""
        raise NotImplementedError

    async def counter(self, thread: str, slots: Sequence[int]) -> None:
        """Propose one to five other start times."""
        raise NotImplementedError

    # What happens

    async def poll(self, *, wait_s: float = 0) -> tuple[Event, ...]:
        """Take in what waits in the mailbox (waiting `wait_s` for the first entry), act on it, and return it."""
        raise NotImplementedError

    def events(self, *, wait_s: float = 25) -> AsyncIterator[Event]:
        """Yield everything that happens, for ever; what is yielded has been stored before."""
        raise NotImplementedError

    # Sessions

    def session(self, thread: str) -> SessionView:
        """Return a session as this device shows it."""
        raise NotImplementedError

    async def send(self, thread: str, content: Content) -> None:
        """Encrypt one frame and send it; it is stored first and sent again if the node was away."""
        raise NotImplementedError

    async def send_chat(self, thread: str, text: str) -> None:
        """Send one chat message."""
        raise NotImplementedError

    async def close(self, thread: str) -> None:
        """Close the session on this side; once both have, its keys are destroyed and takeaways stay."""
        raise NotImplementedError

    async def cancel(self, thread: str, *, reason: CancelReason = "not-needed") -> None:
        """Step back from a request, or call off a session."""
        raise NotImplementedError
