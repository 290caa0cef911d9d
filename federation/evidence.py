"""Records evidence, freezes one's own pair with a peer that contradicted itself, and thaws it again.

Only a bundle whose statements verify and whose keys are those of the pinned peer freezes; everything else that verifies
is kept and shown, so that nobody can freeze a third by inventing keys for it. Source: docs/protocol/56-evidence.md §5.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from protocol.encoding import b64, decode
from protocol.errors import LimitError, MeshError, MissingError
from protocol.evidence import MAX_BUNDLE_BYTES, Bundle, Opened, make_bundle, open_bundle, signed_head, signed_message
from protocol.heads import HEAD_TYP, SetHead
from protocol.jws import parse
from protocol.messages import UnopenedMessage, parse_item
from protocol.peers import NodeDocument
from protocol.rotation import ROTATION_TYP, Pinned, Rotation, follow
from protocol.signing import VerifyKey

from .directory import PeerDirectory
from .earlier import document_with
from .ports import Clock, Reader, Store, Writer, where
from .rows import BundleRow, EvidenceRow, FrozenRow, MessageRow, MirrorRow

FOUND_HERE: Final = "found here"
IMPORTED: Final = "imported"
#: Bundles kept of one accused: one proves enough.
MOST: Final = 32
_FORKED: Final = "forked"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle that is kept: `bound` when its keys are those of the peer known here, `frozen` when that peer is."""

    hash: str
    accused: str
    kind: str
    source: str
    bound: bool
    frozen: bool
    at: int


class EvidenceService:
    """Evidence of one node.

    Args:
        report: is told the kind of each new bundle and whether it froze a peer.
        changed: is called when a peer was frozen or thawed.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        directory: PeerDirectory,
        *,
        report: Callable[[str, bool], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._directory: Final = directory
        self._report: Final = report
        self._changed: Final = changed

    async def record(self, data: bytes, *, source: str = FOUND_HERE) -> Recorded:
        """Keep a bundle and freeze the accused if it is a peer and the keys are its own; a repeat changes nothing.

        Raises: as `open_bundle`; LimitError: there are enough about this node.
        """
        opened = open_bundle(data)
        bound = self.is_bound(opened)
        async with self._store.write() as tx:
            recorded, fresh = await self._recorded(tx, opened, data, bound=bound, source=source)
        await self.load()
        if fresh:
            self._report(opened.bundle.kind, recorded.frozen)
        return recorded

    async def _recorded(
        self, tx: Writer, opened: Opened, data: bytes, *, bound: bool, source: str
    ) -> tuple[Recorded, bool]:
        accused, now = opened.bundle.accused, self._clock.now()
        known = await _known(tx, opened)
        fresh = known is None or (bound and not known.bound)
        enough = await tx.count(BundleRow, where(accused=accused, bound=bound)) >= MOST
        # Of a peer that was thawed after so many, one more must freeze it again.
        idle = not bound or await tx.get(FrozenRow, accused) is not None
        if known is None and enough and idle:
            raise LimitError(f"{MOST} bundles about that node are kept already")
        if fresh:
            known = BundleRow(
                hash=opened.hash,
                accused=accused,
                kind=opened.bundle.kind,
                bundle=data,
                source=source,
                bound=bound,
                at=now,
            )
            await tx.put(known)
            if bound and await tx.get(FrozenRow, accused) is None:
                await tx.put(FrozenRow(peer=accused, bundle=opened.hash, since=now))
        assert known is not None
        return _shown(known, frozen=await tx.get(FrozenRow, accused) is not None), fresh

    def is_bound(self, opened: Opened) -> bool:
        """Tell whether the keys of a bundle are those of the peer that is pinned here."""
        try:
            pinned = self._directory.get(opened.bundle.accused).pinned
        except MissingError:
            return False
        statements = opened.bundle.first, opened.bundle.second
        return all(
            binds(pinned, document, statement.document)
            for document, statement in zip(opened.documents, statements, strict=True)
        )

    async def load(self) -> None:
        """Let the directory know who is frozen."""
        if self._directory.freeze(await self.frozen()):
            self._changed()

    async def frozen(self) -> frozenset[str]:
        """Return the peers that are frozen."""
        async with self._store.read() as rows:
            return frozenset(row.peer for row in await rows.find(FrozenRow))

    async def all(self) -> tuple[Recorded, ...]:
        """Return all bundles, the newest first."""
        async with self._store.read() as rows:
            frozen = {row.peer for row in await rows.find(FrozenRow)}
            return tuple(_shown(row, frozen=row.accused in frozen) for row in await rows.find(BundleRow, order="-at"))

    async def bundle(self, beginning: str) -> bytes:
        """Return the bundle whose hash begins so. Raises: MissingError: none, or several."""
        async with self._store.read() as rows:
            found = [row for row in await rows.find(BundleRow) if beginning and row.hash.startswith(beginning)]
        if len(found) != 1:
            raise MissingError("no evidence, or more than one, has a hash that begins so", code="no-such-evidence")
        return found[0].bundle

    async def thaw(self, entity: str) -> None:
        """Let a peer begin something new again; the evidence stays. Raises: MissingError: it is not frozen."""
        async with self._store.write() as tx:
            if not await tx.delete(FrozenRow, where(peer=entity)):
                raise MissingError("that peer is not frozen", code="not-frozen")
        await self.load()

    async def collect(self) -> tuple[Recorded, ...]:
        """Make bundles of contradictions that the mirror and the inbox kept; return those that are new.

        What cannot be shown to others (the first message is erased, the peer is gone) stays where it is.
        """
        made = []
        for data in (*await self._from_mirror(), *await self._from_inbox()):
            async with self._store.read() as rows:
                known = await _known(rows, open_bundle(data))
            if known is None:
                with suppress(LimitError):
                    made.append(await self.record(data))
        return tuple(made)

    async def _document(self, entity: str, keyid: str) -> str:
        """Return the document of a peer, as signed, that names a key. Raises: MissingError."""
        async with self._store.read() as rows:
            return await document_with(rows, entity, self._directory.get(entity).pinned.text, keyid)

    async def _from_mirror(self) -> list[bytes]:
        async with self._store.read() as rows:
            forked = [row for row in await rows.find(MirrorRow, where(state=_FORKED)) if row.evidence]
        found = []
        for row in forked:
            try:
                found.append(await self.two_heads(row.origin, row.head, row.evidence))
            except MeshError:
                continue
        return found

    async def two_heads(self, accused: str, one: str, other: str) -> bytes:
        """Return the bundle of two heads of a peer. Raises: MeshError: they prove nothing, or it is no peer."""
        kids = [parse(jws, HEAD_TYP).header.kid for jws in (one, other)]
        documents = [await self._document(accused, kid) for kid in kids]
        pairs = zip((one, other), documents, strict=True)
        heads = [signed_head(jws, _head(jws).seq, document) for jws, document in pairs]
        return make_bundle("two-heads", accused, *heads)

    async def _from_inbox(self) -> list[bytes]:
        found = []
        async with self._store.read() as rows:
            for kept in await rows.find(EvidenceRow):
                second = parse_item(kept.item)
                for row in await rows.find(MessageRow, where(thread=kept.thread)):
                    first = parse_item(row.item)
                    try:
                        found.append(await self.two_messages(kept.peer, first, second))
                    except MeshError:
                        continue
                    break
        return found

    async def two_messages(self, accused: str, one: UnopenedMessage, other: UnopenedMessage) -> bytes:
        """Return the bundle of two messages of a peer. Raises: MeshError: they prove nothing, or it is no peer."""
        documents = [await self._document(accused, each.signed.header.kid) for each in (one, other)]
        pairs = zip((one, other), documents, strict=True)
        messages = [signed_message(_jws(each), each.claimed.seq, document) for each, document in pairs]
        return make_bundle("two-messages", accused, *messages)


def binds(pinned: Pinned, document: NodeDocument, text: str) -> bool:
    """Tell whether `document` (as signed: `text`) is one of the pinned peer's, earlier, now or later.

    Earlier federation keys are those that the rotations in the pinned document lead away from: the peer itself says
    that they were its own. A key that a statement of the recovery key ended binds nothing: a thief may have it.
    """
    known, current = pinned.document, pinned.document.keys.federation
    own = {current}
    for statement in reversed(known.rotations):
        parsed = parse(statement, ROTATION_TYP)
        rotation = decode(parsed.payload, Rotation, what="rotation statement")
        if rotation.new != current or rotation.entity != known.entity:
            continue
        if parsed.header.kid != VerifyKey.parse(rotation.old).keyid:
            break
        own.add(rotation.old)
        current = rotation.old
    if document.entity == known.entity and document.keys.federation in own:
        return True
    try:
        follow(pinned, text)
    except MeshError:
        return False
    return True


async def _known(rows: Reader, opened: Opened) -> BundleRow | None:
    """Return the kept bundle that says the same: a newer document of the accused makes no new contradiction."""
    exact = await rows.get(BundleRow, opened.hash)
    if exact is not None:
        return exact
    accused, kind, said = opened.bundle.accused, opened.bundle.kind, _said(opened.bundle)
    found = await rows.find(BundleRow, where(accused=accused, kind=kind), order="-at")
    same = [row for row in found if _said(decode(row.bundle, Bundle, what="evidence")) == said]
    return next((row for row in same if row.bound), same[0] if same else None)


def _said(bundle: Bundle) -> tuple[str, str]:
    return bundle.first.text, bundle.second.text


def _shown(row: BundleRow, *, frozen: bool) -> Recorded:
    return Recorded(
        hash=row.hash, accused=row.accused, kind=row.kind, source=row.source, bound=row.bound, frozen=frozen, at=row.at
    )


def _head(jws: str) -> SetHead:
    return decode(parse(jws, HEAD_TYP).payload, SetHead, what="set head")


def _jws(message: UnopenedMessage) -> str:
    """Return the signed head of a message; its body stays behind."""
    return f"{message.signed.signing_input.decode('ascii')}.{b64(message.signed.signature)}"


__all__ = ["FOUND_HERE", "IMPORTED", "MAX_BUNDLE_BYTES", "EvidenceService", "Recorded", "binds"]
