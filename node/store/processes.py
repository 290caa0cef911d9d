"""The processes that serve one node from one database, as the rest of the program knows them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

#: Tables that another process changed, with the names of whose rows, None for any; None: anything may have changed.
Changed = Mapping[str, frozenset[str] | None] | None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a node as its database sees it: what it calls itself, from where, and since when."""

    name: str
    address: str
    since: int
    on_duty: bool
    here: bool


class Others(Protocol):
    """The other processes that serve the same node."""

    def watch(self, call: Callable[[Changed], None]) -> None:
        """Call `call` after every commit of another process, and with None when something may have been missed."""
        ...

    def on_hint(self, what: str, call: Callable[[str], None]) -> None:
        """Call `call` with the text of each hint of this name that another process gives."""
        ...

    def hint(self, what: str, text: str) -> None:
        """Give the others a hint, soon; it may be lost."""
        ...

    async def claim(self, name: str) -> bool:
        """Tell whether this process has `name` to itself; it keeps it as long as it hears of the others."""
        ...

    @property
    def on_duty(self) -> bool:
        """Whether this process does what one alone does for all; inside a transaction it holds to its commit."""
        ...

    async def seek_duty(self) -> bool:
        """Go on duty if nobody is; return whether this process is on duty. Raises: UnavailableError."""
        ...

    def alone(self) -> AbstractAsyncContextManager[bool]:
        """Yield whether no other process has the node, and keep it so while inside. Raises: UnavailableError."""
        ...

    async def processes(self) -> Sequence[Process]:
        """Return all processes of the node, the oldest first. Raises: UnavailableError."""
        ...
