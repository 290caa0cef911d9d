"""A second device of the mentee: linked by its code while the session is open, and in it from then on."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from cli.client.person import Person
from cli.client.unlock import create_vault, new_state
from cli.client.views import Devices, LinkCode

from .actors import COST, PASSPHRASE, Actor, Watch
from .people import Part


async def open_phone(stack: AsyncExitStack, part: Part, folder: Path, watch: Watch) -> Actor:
    """Return a further device of somebody, not signed in yet; `stack` closes the client."""
    vault = await asyncio.to_thread(create_vault, folder, new_state(), passphrase=PASSPHRASE, cost=COST)
    return Actor(part, await stack.enter_async_context(Person(vault)), watch, device="phone")


async def link(phone: Actor, laptop: Actor, sign_in: str) -> LinkCode:
    """Link the phone as its owner does, and return the code that was carried; others can check it by then."""
    linking = await phone.person.link(sign_in, hint="phone")
    await asyncio.gather(linking.finish(), laptop.person.approve(linking.code.code))
    await phone.person.listed()
    return linking.code


async def come_in(phone: Actor, laptop: Actor, other: Actor, thread: str) -> None:
    """Return once the phone is in the session and the other person's client has checked it."""

    def is_in() -> bool:
        return thread in phone.person.state.sessions

    await asyncio.gather(laptop.see_until(is_in), phone.see_until(is_in), other.see(Devices))


def reads(phone: Actor, thread: str, text: str) -> bool:
    """Tell whether the phone shows a sentence of the session."""
    return any(line.text == text for line in phone.person.session(thread).lines)
