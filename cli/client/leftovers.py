"""What a change that has several steps leaves to be done, remembered in the vault until it is done.

Source: docs/protocol/45-sessions.md §10.1, docs/protocol/49-recovery.md §10.4.
"""

from functools import partial

from msgspec.structs import replace

from protocol.errors import MissingError

from .archive import Archive
from .core import Core
from .places import coming_back
from .state import ClientState


async def emptied_safe(core: Core) -> None:
    """Erase from the node what was sealed under an earlier account secret, if any of it may be there."""
    if not core.state().emptying:
        return
    api = core.api()
    for view in await api.safe():
        try:
            await api.delete_sealed(view.name)
        except MissingError:
            continue
    core.vault.update(lambda state: replace(state, emptying=False))


async def came_back(core: Core, archive: Archive) -> None:
    """Read the archive on a device that came back by recovery, and begin to come into the sessions that it names.

    Raises: UnavailableError: the node is away; what is to be done stays so.
    """
    if not is_coming_back(core.state()):
        return
    await archive.pull()
    core.vault.update(partial(_arrived, now=core.now()))


def is_coming_back(state: ClientState) -> bool:
    """Return whether this device is the account's again and has not read its archive yet."""
    return state.returning and state.recovery is not None and not state.recovery.regaining


def _arrived(state: ClientState, *, now: int) -> ClientState:
    if not state.returning:
        return state  # another program of this person was quicker
    return replace(coming_back(state, now=now), returning=False)
