"""What all parts of a person's client share: vault, node, clock, dice and session engine."""

import secrets
import time
from collections.abc import Callable
from typing import Final

from protocol.e2ee.mls.engine import MlsCrypto
from protocol.ids import ID_BYTES, message_id, random_id

from .api import NodeApi
from .http import Http
from .state import ClientState
from .vault import ClientVault

#: The session engine of this program; records name it, so that another one can follow.
ENGINE: Final = MlsCrypto()


class Core:
    """One device's surroundings; nothing here is secret in itself."""

    def __init__(self, vault: ClientVault, http: Http, clock: Callable[[], int] | None = None) -> None:
        self.vault: Final = vault
        self.http: Final = http
        self._clock: Final = clock

    def now(self) -> int:
        """Return Unix seconds."""
        return self._clock() if self._clock else int(time.time())

    def state(self) -> ClientState:
        """Return the state on the disk."""
        return self.vault.read()

    def api(self) -> NodeApi:
        """Return the own node under this device's sign-in. Raises: RefusedError: not signed in."""
        account = self.state().signed_in
        return NodeApi(self.http, account.url, account.token)

    def envelope_id(self) -> str:
        """Return a fresh time-ordered id."""
        return message_id(self.now() * 1000, secrets.token_bytes(10))


def fresh_id() -> str:
    """Return a fresh random id that a terminal does not take for an option."""
    while (made := random_id(secrets.token_bytes(ID_BYTES))).startswith("-"):
        pass
    return made


def fresh_secret() -> bytes:
    """Return 32 random bytes."""
    return secrets.token_bytes(32)
