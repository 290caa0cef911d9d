"""Meets a node for the first time: by a ticket's word, or by what a registry states about it.

Nobody is believed about itself: the federation key is known beforehand, the document must be by it, at the address
told, and the host of the entity identifier must name it too. Who comes with a ticket signs its request with its `http`
key; whoever a registry states shows that it holds that key by the signed key directory at its own address.
Source: docs/protocol/20-identity.md §5, 22-members.md §5.3.
"""

from typing import Final

from protocol.errors import LimitError, RefusedError, UnverifiedError
from protocol.peers import PROTOCOLS, common_protocol, open_document
from protocol.signing import VerifyKey

from .calls import Calls, Contact
from .directory import Peer, PeerDirectory
from .fellows import MAX_FELLOWS
from .pins import refuse_revoked
from .ports import Clock, Reader, Store, where
from .proving import prove_host, prove_key, served_document
from .rows import FellowRow, PeerRow


async def met_document(calls: Calls, contact: Contact, entity: str, keyid: str) -> str:
    """Return the document served at `contact` once it is `entity`'s and by the key with this thumbprint.

    Raises: MalformedError, UnverifiedError: another node, another key. OtherHostError: the entity's host says nothing
    of it. RefusedError: no common protocol version. UnavailableError.
    """
    text = await served_document(calls, contact)
    document = open_document(text)
    if document.entity != entity or document.api != contact.api:
        raise UnverifiedError("the node at that address is another one")
    if VerifyKey.parse(document.keys.federation).keyid != keyid:
        raise UnverifiedError("the node at that address has another federation key: do not accept, ask by phone")
    if common_protocol(PROTOCOLS, document.protocols) is None:
        raise RefusedError("the two nodes have no protocol version in common: update the older one")
    await prove_host(calls, contact, entity, keyid)
    return text


class Introductions:
    """Pins members that a registry states and that are not known yet."""

    def __init__(
        self, store: Store, calls: Calls, clock: Clock, directory: PeerDirectory, *, development: bool = False
    ) -> None:
        self._store: Final = store
        self._calls: Final = calls
        self._clock: Final = clock
        self._directory: Final = directory
        self._development: Final = development

    async def introduce(self, fellow: FellowRow) -> Peer | None:
        """Return the member as a new peer; None when it became one, or was not stated so any more, meanwhile.

        Raises: MeshError: why it cannot be met now; nothing has changed.
        """
        if fellow.connect_to and not self._development:
            raise RefusedError("the statement is for nodes on one machine in development", code="development-only")
        told = self._directory.loopback(fellow.entity) or fellow.connect_to
        contact = Contact(api=fellow.api, connect_to=told)
        text = await met_document(self._calls, contact, fellow.entity, fellow.fingerprint)
        document, now = open_document(text), self._clock.now()
        http_key = VerifyKey.parse(document.keys.http)
        await prove_key(self._calls, contact, http_key, now=now)
        row = PeerRow(
            entity=fellow.entity,
            connect_to=fellow.connect_to,
            keyid=http_key.keyid,
            federation_key=document.keys.federation,
            document=text.encode("ascii"),
            mode="full",
            via=fellow.registry,
            added_at=now,
            fetched_at=now,
        )
        async with self._store.write() as tx:
            if not await _still_stated(tx, fellow) or await tx.get(PeerRow, fellow.entity) is not None:
                return None
            await refuse_revoked(tx, document)
            if await tx.count(PeerRow, where(via=fellow.registry)) >= MAX_FELLOWS:
                raise LimitError("so many were met through this registry: leave it", code="too-many-members")
            if await tx.count(PeerRow, where(keyid=row.keyid)):
                raise UnverifiedError("another peer has this transport key", code="key-conflict")
            await tx.put(row)
        return self._directory.put(row)


async def _still_stated(rows: Reader, fellow: FellowRow) -> bool:
    newest = await rows.get(FellowRow, fellow.registry, fellow.entity)
    return (
        newest is not None
        and newest.status == "active"
        and (newest.api, newest.fingerprint) == (fellow.api, fellow.fingerprint)
    )
