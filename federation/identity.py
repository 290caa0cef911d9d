"""The node's own document: signed once, and again only when it says something else."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from protocol.addresses import parse_api
from protocol.encoding import encode
from protocol.errors import RefusedError
from protocol.ids import entity_host
from protocol.logleaves import log_origin
from protocol.offers import OrgProfile
from protocol.peers import PROTOCOLS, NodeDocument, NodeKeys, log_vkey, open_document, sign_document
from protocol.rotation import with_statement
from protocol.signing import SigningKey, VerifyKey

from .logbook import current_log
from .ports import Store
from .rows import OwnDocumentRow

CAPABILITIES: Final = ("handshake", "offers", "sessions")
#: More documents than were ever issued between a backup and its restore; the minutes of the clock come to it, so that
#: another restore of the same backup goes on beyond this one's.
LOST: Final = 1_000_000


class Own(msgspec.Struct, kw_only=True):
    """This node as peers know it; `text` is its signed document, `connect_to` its loopback address in development."""

    document: NodeDocument
    text: str
    connect_to: str = ""

    @property
    def entity(self) -> str:
        """This node's entity identifier."""
        return self.document.entity

    @property
    def federation_key(self) -> VerifyKey:
        """The public half of this node's federation key."""
        return VerifyKey.parse(self.document.keys.federation)


def draft(
    *,
    entity: str,
    api: str,
    keys: NodeKeys,
    org: OrgProfile,
    limits: dict[str, int],
    rotations: tuple[str, ...],
    earlier: Mapping[str, tuple[str, ...]],
) -> NodeDocument:
    """Return what the node says about itself, not yet numbered and dated; `issue` does that.

    `earlier` are keys that had a role before, by the name of their field.
    """
    origin = f"{entity_host(entity)}/log"
    document = NodeDocument(
        version=1,
        entity=entity,
        api=parse_api(api),
        protocols=PROTOCOLS,
        capabilities=CAPABILITIES,
        limits=limits,
        keys=keys,
        log_origin=origin,
        log_vkey=log_vkey(origin, VerifyKey.parse(keys.log).raw),
        org=org,
        issued_at=0,
        seq=1,
        rotations=rotations,
    )
    return replace(document, **earlier)


async def _nobody() -> bool:
    return False


async def issue(
    store: Store,
    said: NodeDocument,
    key: SigningKey,
    *,
    now: int,
    lost: bool = False,
    beside: Callable[[], Awaitable[bool]] = _nobody,
) -> Own:
    """Return the signed document that says what the draft `said` says: the stored one, or the next in number.

    `key` is the federation key. The log named is the one that grows: the first or a successor. The profile's version
    grows when the profile changes. `lost`: the database was restored, and peers may know documents that it does not.
    `beside` tells, in the transaction, whether other processes serve the node, whose keys must be the same then.

    Raises: RefusedError: they are not; this process would undo what the others say.
    """
    async with store.write() as tx:
        said = _with_log(said, await current_log(tx))
        row = await tx.get(OwnDocumentRow, said.entity)
        if row is None:
            document = replace(said, issued_at=now)
        else:
            known = open_document(row.document.decode("ascii"))
            if known.keys != said.keys and await beside():
                raise RefusedError(
                    "the keys are not those of the processes that serve this node: copy their folder `keys`"
                )
            document = _next(_beyond(known, now) if lost else known, said, now)
            if encode(document) == encode(known):
                return Own(document=known, text=row.document.decode("ascii"))
        text = sign_document(document, key)
        await tx.put(OwnDocumentRow(entity=said.entity, document=text.encode("ascii")))
    return Own(document=document, text=text)


def _beyond(known: NodeDocument, now: int) -> NodeDocument:
    """Return a document with numbers that no lost one had: peers refuse one that is older than the one they know."""
    lost = LOST + now // 60
    return replace(known, seq=known.seq + lost, org=replace(known.org, version=known.org.version + lost))


def _with_log(said: NodeDocument, log: int) -> NodeDocument:
    origin = log_origin(said.entity, log)
    return replace(said, log_origin=origin, log_vkey=log_vkey(origin, VerifyKey.parse(said.keys.log).raw))


def _next(known: NodeDocument, said: NodeDocument, now: int) -> NodeDocument:
    """Return `known` itself when it says what `said` says, else its successor."""
    org = replace(said.org, version=known.org.version)
    if encode(org) != encode(known.org):
        org = replace(org, version=known.org.version + 1)
    rotations = known.rotations
    for statement in said.rotations:
        rotations = rotations if statement in rotations else with_statement(rotations, statement)
    numbered = replace(said, org=org, seq=known.seq, issued_at=known.issued_at, rotations=rotations)
    if encode(numbered) == encode(known):
        return known
    return replace(numbered, seq=known.seq + 1, issued_at=max(now, known.issued_at))
