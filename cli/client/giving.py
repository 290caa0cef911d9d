"""A mentor's device lets mentees ask again where both would: its node first knows a token's hash."""

from functools import partial

from protocol.contacttokens import token_commitment
from protocol.e2ee.frames import ContactToken
from protocol.errors import MeshError, UnavailableError

from .contacts import to_give, with_token
from .core import Core
from .session import with_frame
from .state import ClientState


async def give_tokens(core: Core) -> None:
    """Give a token in every session in which both would meet again and that has none; sending is left to the loop.

    Raises: MeshError: the node did not take one; all others were given.
    """
    failed: MeshError | None = None
    for thread in to_give(core.state()):
        given = core.vault.change(partial(with_token, thread=thread, now=core.now()))
        try:
            await core.api().give_token(token_commitment(given.token), given.until)
        except UnavailableError:
            raise
        except MeshError as error:
            failed = error
            continue
        core.vault.update(partial(_with_given, core=core, thread=thread, given=given))
    if failed:
        raise failed


def _with_given(state: ClientState, *, core: Core, thread: str, given: ContactToken) -> ClientState:
    return with_frame(core, state, thread, given) if thread in to_give(state) else state
