"""The people who act: each a real client with a vault of its own, told apart from the screen that shows them."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeVar

from cli.client.person import Person
from cli.client.unlock import create_vault, new_state
from cli.client.views import Alarm, Event, Problem, Proposal, Refused, Role, Shown
from protocol.e2ee.frames import Content
from protocol.e2ee.vault import Cost
from protocol.errors import UnverifiedError

from .patience import waiting
from .people import Device, Part

E = TypeVar("E", bound=Event)

#: Good for nothing but a demo: it stands in the report, so that a visitor can open these vaults.
PASSPHRASE: Final = "demo demo demo"  # noqa: S105 -- a secret of nobody
#: The least that Argon2id takes; a real vault uses `protocol.e2ee.vault.DEFAULT_COST`, about a sixth of a second.
COST: Final = Cost(passes=1, memory_kib=8)
POLL_S: Final = 5.0

#: Called with who sees it and the event, for everything that a person's client shows.
Watch = Callable[["Actor", Event], None]


class Actor:
    """Somebody of the cast; `see` waits for what happens on their device."""

    def __init__(self, part: Part, person: Person, watch: Watch, *, device: Device = "laptop") -> None:
        self.part: Final = part
        self.device: Final[Device] = device
        self.person: Final = person
        self.chat_shown: Final[list[str]] = []
        self.refusals: Final[list[Refused]] = []
        self._watch: Final = watch
        self._seen: list[Event] = []

    @property
    def first_name(self) -> str:
        """The name for the screen."""
        return self.part.name.partition(" ")[0]

    async def see(self, kind: type[E]) -> E:
        """Return the next event of this kind, which no call has returned before; others stay for other calls.

        Raises: UnavailableError: it does not come; UnverifiedError: the client raised an alarm.
        """
        async with waiting(f"{self.first_name}'s client waited in vain for `{kind.__name__.lower()}`"):
            while True:
                for event in self._seen:
                    if isinstance(event, kind):
                        self._seen.remove(event)
                        return event
                await self.look(wait_s=POLL_S)

    async def see_until(self, reached: Callable[[], bool]) -> None:
        """Return once `reached`, looking into the mailbox meanwhile. Raises: as `see`."""
        async with waiting(f"{self.first_name}'s client waited in vain"):
            while not reached():
                await self.look(wait_s=1.0)

    async def say(self, thread: str, content: Content) -> None:
        """Say something in a session; what the node did not take at once goes out at a later look, as with any client.

        Raises: as `see`.
        """
        if not await self.person.send(thread, content):
            await self.see_until(lambda: not self.person.state.session(thread).outbox)

    async def look(self, *, wait_s: float = 0) -> None:
        """Take in what waits in the mailbox."""
        for event in await self.person.poll(wait_s=wait_s):
            if isinstance(event, Alarm | Problem):
                raise UnverifiedError(f"{self.first_name}'s client says: {event.sentence}")
            if isinstance(event, Shown) and event.kind == "chat" and event.from_role != self.role(event.thread):
                self.chat_shown.append(event.text)
            if isinstance(event, Refused):
                self.refusals.append(event)
            self._seen.append(event)
            self._watch(self, event)

    def role(self, thread: str) -> Role:
        """Return this person's role in a thread."""
        return self.person.state.thread(thread).role

    def is_proposed(self, proposal: Proposal) -> bool:
        """Tell whether it is this person whom a proposal hides: only their own vault can tell."""
        own = {record.key.public.text for record in self.person.state.sealing}
        return not own.isdisjoint(proposal.candidate.keys)


async def open_actor(stack: AsyncExitStack, part: Part, folder: Path, link: str, watch: Watch) -> Actor:
    """Return an actor signed in and enrolled, with a new vault in `folder`; `stack` closes the client."""
    vault = await asyncio.to_thread(create_vault, folder, new_state(), passphrase=PASSPHRASE, cost=COST)
    person = await stack.enter_async_context(Person(vault))
    await person.sign_in(link, name=part.name, hint="demo")
    return Actor(part, person, watch)
