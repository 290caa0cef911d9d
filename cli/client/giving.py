"""A mentor's device lets mentees ask again where both would: its node first knows a token's hash."""

from functools import partial

from protocol.contacttokens import token_commitment
from protocol.e2ee.frames import ContactToken

from .contacts import to_give, with_token
from .core import Core
from .session import with_frame
from .state import ClientState
from .trying import for_each


async def give_tokens(core: Core) -> None:
    """Give a token in every session in which both would meet again and that has none; sending is left to the loop.

    Raises: MeshError: the node did not take one; all others were given.
    """
    await for_each(to_give(core.state()), partial(_give, core))


async def _give(core: Core, thread: str) -> None:
    given = core.vault.change(partial(with_token, thread=thread, now=core.now()))
    await core.api().give_token(token_commitment(given.token), given.until)
    core.vault.update(partial(_with_given, core=core, thread=thread, given=given))


def _with_given(state: ClientState, *, core: Core, thread: str, given: ContactToken) -> ClientState:
    return with_frame(core, state, thread, given) if thread in to_give(state) else state
