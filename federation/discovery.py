"""Fetches node documents and decides what a newly fetched one may change.

TLS says that the host is right, which is not enough: a document counts only if the pinned federation key, or a
statement by the pinned keys, vouches for it (`protocol/rotation.py`). It may also be brought by whoever has it.
Source: docs/protocol/20-identity.md §3.
"""

from typing import Final

from msgspec.structs import replace

from protocol.errors import LimitError, MissingError
from protocol.peers import open_document
from protocol.rotation import KeyChangedError, RevokedKeyError, follow
from protocol.signing import VerifyKey

from .calls import Calls, Contact
from .directory import Peer, PeerDirectory
from .limits import Buckets
from .pending import PendingKeys
from .pins import follow_known
from .ports import Clock, Store
from .proving import prove_key, served_document
from .rows import PeerRow

#: A peer's document is fetched at most once in this time, whatever asks for it.
REFETCH_S: Final = 60
#: New documents of one peer that are taken at once, and in a minute after that: each makes the node look anew at what
#: it shows to whom, and whom it has not told yet.
DOCUMENTS_AT_ONCE: Final = 32
DOCUMENTS_PER_MINUTE: Final = 6


class Discovery:
    """Keeps the documents of peers up to date; `pending` holds changed keys that nobody known vouches for."""

    def __init__(self, calls: Calls, store: Store, clock: Clock, directory: PeerDirectory) -> None:
        self._calls: Final = calls
        self._store: Final = store
        self._clock: Final = clock
        self._directory: Final = directory
        self._fetched: Final[dict[str, int]] = {}
        self._learned: Final = Buckets(per_minute=DOCUMENTS_PER_MINUTE, burst=DOCUMENTS_AT_ONCE)
        self.pending: Final = PendingKeys(store, clock, directory)

    async def refresh(self, entity: str) -> Peer:
        """Return the peer after looking at its document again; a transport key in it counts if the peer holds it.

        Raises: MissingError: no such peer. LimitError: asked within the last minute. KeyChangedError,
        RevokedKeyError, StaleDocumentError: the document is not one that may follow; the pinned one stays.
        UnprovenKeyError: its transport key may be somebody else's. UnavailableError.
        """
        peer, now = self._directory.get(entity), self._clock.now()
        last = self._fetched.get(entity)
        if last is not None and 0 <= now - last < REFETCH_S:
            raise LimitError("the document of this peer was fetched just now", retry_at=last + REFETCH_S)
        self._fetched[entity] = now
        contact = contact_of(peer)
        text = await served_document(self._calls, contact)
        http_key = VerifyKey.parse(open_document(text).keys.http)
        if http_key != peer.http_key:
            await prove_key(self._calls, contact, http_key, now=now)
        try:
            return await self.learn(entity, text)
        except RevokedKeyError:
            raise
        except KeyChangedError:
            await self.pending.see(peer, text)
            raise

    async def learn(self, entity: str, text: str) -> Peer:
        """Return the peer after it showed this document, and that it holds its transport key, by whatever way.

        Raises: MissingError: no such peer. MalformedError; KeyChangedError, RevokedKeyError, StaleDocumentError: the
        pinned one stays. ConflictError: another peer has the same transport key. LimitError: too many new ones.
        """
        peer, now = self._directory.get(entity), self._clock.now()
        document = follow(peer.pinned, text).document
        if document is not peer.document:
            self._learned.take(entity, now_ms=self._clock.now_ms())
        async with self._store.write() as tx:
            known = await tx.get(PeerRow, entity)
            if known is None:
                raise MissingError("there is no such peer any more", code="no-such-peer")
            changed = replace(
                known,
                document=text.encode("ascii"),
                keyid=VerifyKey.parse(document.keys.http).keyid,
                federation_key=document.keys.federation,
                fetched_at=now,
            )
            # By what the store says now: another document may have been learned a moment ago, here or elsewhere.
            changed = await follow_known(tx, known, changed, now=now)
            await tx.put(changed)
        if text == peer.pinned.text and self._directory.get(entity) is peer:
            return peer  # nobody needs to look anew
        return self._directory.put(changed)


def contact_of(peer: Peer) -> Contact:
    """Return where a peer is reached."""
    return Contact(api=peer.document.api, connect_to=peer.connect_to)
