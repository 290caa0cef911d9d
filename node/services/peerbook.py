"""The peers of a handshake, this node itself among them."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Final

from federation.calls import Calls
from federation.directory import PeerDirectory
from federation.pins import refuse_revoked_signer
from federation.ports import Clock, Reader
from protocol.errors import MeshError
from protocol.peers import NodeDocument, keyids_of
from protocol.sealing import SealingPublicKey

from .threads import Own, PeerKeys

#: Looks at a peer's document again, at most once in a minute.
Refetch = Callable[[str], Awaitable[object]]


class PeerBook:
    """Keys and permissions of peers, from their pinned documents."""

    def __init__(self, directory: PeerDirectory, calls: Calls, own: Own, clock: Clock, *, refetch: Refetch) -> None:
        self._directory: Final = directory
        self._calls: Final = calls
        self._own: Final = own
        self._clock: Final = clock
        self._refetch: Final = refetch
        #: Parsing keys takes longer than using them; what is kept is good as long as the document says the same.
        self._parsed: Final[dict[str, tuple[NodeDocument, PeerKeys]]] = {}

    async def keys(self, _tx: Reader, entity: str) -> PeerKeys:
        """Return the message and envelope keys of a peer or of this node. Raises: MissingError."""
        if entity == self._own.entity:
            return PeerKeys(verify=self._own.messages, seal=self._own.keys.envelope_seal.public)
        return self._known(entity)

    def _known(self, entity: str) -> PeerKeys:
        document = self._directory.get(entity).document
        known = self._parsed.get(entity)
        if known is None or known[0] is not document:
            parsed = PeerKeys(verify=document.message_keys, seal=SealingPublicKey.parse(document.keys.envelope_seal))
            self._parsed[entity] = known = document, parsed
        return known[1]

    async def learn(self, entity: str, keyids: Collection[str]) -> None:
        """Look at a peer's document again if it signs with a key that is not known; call it outside of transactions."""
        if entity == self._own.entity:
            return
        known = self._known(entity).verify
        if not all(keyid in known for keyid in keyids):
            with suppress(MeshError):  # what cannot be learned now is refused as unverified
                await self._refetch(entity)

    async def may_learn(self, tx: Reader, entity: str, keyid: str) -> bool:
        """Tell whether a document of the peer that names this key may be on its way.

        A key that a known document names is in its place already: it is another peer's, or has another role.

        Raises: RevokedKeyError: a statement of the recovery key has ended the key.
        """
        await refuse_revoked_signer(tx, entity, keyid)
        documents = (peer.document for peer in self._directory.all())
        return entity != self._own.entity and not any(keyid in keyids_of(document) for document in documents)

    async def check_may_ask(self, _tx: Reader, entity: str) -> None:
        """Return if requests may go to this peer. Raises: MissingError, PeerModeError."""
        if entity != self._own.entity:
            self._directory.get(entity).require("request", now=self._clock.now())

    async def get(self, peer: str, path: str, *, limit: int) -> bytes:
        """Return the body of a peer's signed answer to a GET, of at most `limit` bytes. Raises: MeshError."""
        found = self._directory.get(peer)
        found.require("continue", now=self._clock.now())
        return (await self._calls.get(found, path, limit=limit)).body

    async def post(self, peer: str, path: str, body: bytes, content_type: str) -> bytes:
        """Return the body of a peer's signed answer. Raises: MeshError."""
        found = self._directory.get(peer)
        found.require("continue", now=self._clock.now())
        return (await self._calls.post(found, path, body, content_type)).body
