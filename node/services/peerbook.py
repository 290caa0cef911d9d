"""The peers of a handshake, this node itself among them."""

from typing import Final

from federation.calls import Calls
from federation.directory import PeerDirectory
from federation.ports import Clock, Reader
from protocol.peers import NodeKeys
from protocol.sealing import SealingPublicKey
from protocol.signing import VerifyKey

from .threads import Own, PeerKeys


class PeerBook:
    """Keys and permissions of peers, from their pinned documents."""

    def __init__(self, directory: PeerDirectory, calls: Calls, own: Own, clock: Clock) -> None:
        self._directory: Final = directory
        self._calls: Final = calls
        self._own: Final = own
        self._clock: Final = clock
        #: Parsing keys takes longer than using them; what is kept is good as long as the document says the same.
        self._parsed: Final[dict[str, tuple[NodeKeys, PeerKeys]]] = {}

    async def keys(self, _tx: Reader, entity: str) -> PeerKeys:
        """Return the message and envelope keys of a peer or of this node. Raises: MissingError."""
        if entity == self._own.entity:
            return PeerKeys(verify=self._own.message_key.public, seal=self._own.seal.public)
        keys = self._directory.get(entity).document.keys
        known = self._parsed.get(entity)
        if known is None or known[0] != keys:
            parsed = PeerKeys(
                verify=VerifyKey.parse(keys.envelope_sign), seal=SealingPublicKey.parse(keys.envelope_seal)
            )
            self._parsed[entity] = known = keys, parsed
        return known[1]

    async def check_may_ask(self, _tx: Reader, entity: str) -> None:
        """Return if requests may go to this peer. Raises: MissingError, PeerModeError."""
        if entity != self._own.entity:
            self._directory.get(entity).require("request", now=self._clock.now())

    async def post(self, peer: str, path: str, body: bytes, content_type: str) -> bytes:
        """Return the body of a peer's signed answer. Raises: MeshError."""
        found = self._directory.get(peer)
        found.require("continue", now=self._clock.now())
        return (await self._calls.post(found, path, body, content_type)).body
