"""The archive at the own node: written after something changed, read on a new device, mended when the node is wrong.

The vault holds all of it, too; the node's is for the case that the vault is lost.
Source: docs/protocol/49-recovery.md §9.
"""

import secrets
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from protocol.e2ee.archive import (
    MANIFEST,
    SALT_BYTES,
    DamagedArchiveError,
    ItemName,
    Manifest,
    Part,
    cut,
    digest_of,
    document_of,
    open_manifest,
    seal_item,
)
from protocol.e2ee.recovery import parse_bundle
from protocol.encoding import b64, decode, encode, sha256, unb64
from protocol.errors import ConflictError, MalformedError, MissingError, RefusedError, UnavailableError

from .archived import book_of, is_kept, with_book, with_session, without_kept
from .core import Core, fresh_id
from .state import ClientState

#: So many ways back there must be before sessions are kept: an archive that nobody can open again is a trap.
LEAST_SLOTS: Final = 2
TRIES: Final = 3
DAY_S: Final = 86_400
#: What no manifest names is taken for the rest of an interrupted write after so long.
ORPHAN_S: Final = 2 * DAY_S


class Archive:
    """The archive of one account, as one of its devices looks after it."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        #: What the person should know about their node's archive, in sentences.
        self.warnings: Final[list[str]] = []

    def turn(self, *, on: bool, thread: str = "") -> None:
        """Keep sessions from now on, or no longer: all, or the one of `thread`.

        Raises: RefusedError: there are fewer than two ways back; MissingError: no such session.
        """

        def set_(state: ClientState) -> ClientState:
            if on:
                _require_slots(state)
            archive = state.archive
            if not thread:
                return replace(state, archive=replace(archive, on=on))
            state.session(thread)
            chosen = tuple(one for one in archive.chosen if one != thread)
            spared = tuple(one for one in archive.spared if one != thread)
            if on:
                return replace(state, archive=replace(archive, chosen=(*chosen, thread), spared=spared))
            return replace(state, archive=replace(archive, chosen=chosen, spared=(*spared, thread)))

        self._core.vault.update(set_)

    def keeps(self, thread: str) -> bool:
        """Tell whether a session will be kept."""
        return is_kept(self._core.state().archive, thread)

    async def delete(self, *threads: str) -> None:
        """Delete archived sessions here and at the node. Raises: MissingError: no such session in the archive."""
        self._core.vault.update(lambda state: without_kept(state, *threads))
        await self.push()

    async def push(self) -> bool:
        """Bring the node's archive up to date, if there is a way back at all; return whether anything was written."""
        for _ in range(TRIES):
            state = self._core.state()
            if state.recovery is None or state.recovery.regaining:
                return False
            if not _is_due(state):
                return False
            await self._pull()
            try:
                await self._write(self._core.state())
            except RefusedError as error:
                if error.code != ConflictError.code:
                    raise
                continue
            return True
        raise UnavailableError("another device of yours writes the archive at this moment: try again")

    async def pull(self) -> None:
        """Take in what the node's archive has and this device does not."""
        await self._pull()

    # Reading

    async def _pull(self) -> None:
        """Take in a newer archive; one that is older, changed or gone is left to the next write, and told."""
        state = self._core.state()
        known = state.archive
        try:
            sealed = await self._core.api().sealed(MANIFEST)
        except MissingError:
            if known.manifest:
                self._mend(0, "lost your archive")
            return
        item = unb64(sealed.data, what="archive")
        try:
            shown = open_manifest(item, state.account_seed)
        except DamagedArchiveError:
            if not known.manifest:
                self.warnings.append("Your node shows an archive that does not open; nothing of it came back.")
            self._mend(sealed.version, "showed a changed archive" if known.manifest else "")
            return
        ours = decode(known.manifest, Manifest) if known.manifest else None
        if ours is not None and shown.seq < ours.seq:
            self._mend(sealed.version, "showed an older archive")
        elif shown != ours:
            await self._take(shown, sealed.version)
        else:
            self._at(sealed.version)

    async def _take(self, shown: Manifest, version: int) -> None:
        """Take in what another device of this person archived, or this one before it was lost."""
        state = self._core.state()
        if state.recovery is not None and shown.bundle_seq > parse_bundle(state.recovery.bundle).seq:
            self.warnings.append("Your node showed an older recovery copy than the one your archive was written with.")
        for part in shown.parts:
            if part.thread in state.archive.sessions or part.thread in (*shown.gone, *state.archive.gone):
                continue
            await self._take_part(part, await self._items(part))
        gone = tuple(dict.fromkeys((*shown.gone, *self._core.state().archive.gone)))

        def seen(state: ClientState) -> ClientState:
            rest = {name: data for name, data in state.archive.sessions.items() if name not in gone}
            manifest = encode(shown)
            return replace(
                state, archive=replace(state.archive, gone=gone, sessions=rest, manifest=manifest, version=version)
            )

        self._core.vault.update(seen)

    async def _items(self, part: Part) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for one in part.items:
            try:
                found[one.name] = unb64((await self._core.api().sealed(one.name)).data, what="archive item")
            except MissingError:
                continue
        return found

    async def _take_part(self, part: Part, items: Mapping[str, bytes]) -> None:
        def take(state: ClientState) -> ClientState:
            document = document_of(part, items, state.account_seed)
            if digest_of(document) != part.digest:
                raise DamagedArchiveError("a document of the archive is not the one that belongs here")
            return with_book(state, document) if part.kind == "book" else with_session(state, document)

        try:
            self._core.vault.update(take)
        except MalformedError as error:
            what = "Contacts and takeaways" if part.kind == "book" else "A session"
            self.warnings.append(f"{what} of your archive could not be read: {error}.")

    def _mend(self, version: int, what: str) -> None:
        """Have everything written anew at the next write."""
        if what:
            self.warnings.append(f"Your node {what}; that of this device is stored again.")

        def forget(state: ClientState) -> ClientState:
            archive = state.archive
            bare = Manifest(seq=decode(archive.manifest, Manifest).seq, gone=archive.gone) if archive.manifest else None
            manifest = encode(bare) if bare else b""
            return replace(state, archive=replace(archive, manifest=manifest, version=version))

        self._core.vault.update(forget)

    def _at(self, version: int) -> None:
        self._core.vault.update(lambda state: replace(state, archive=replace(state.archive, version=version)))

    # Writing

    async def _write(self, state: ClientState) -> None:
        """Store what changed, then the manifest, then let go of what no manifest names."""
        before = decode(state.archive.manifest, Manifest) if state.archive.manifest else None
        kept = {part.digest: part for part in (before.parts if before else ())}
        parts = []
        for kind, thread, document in _documents(state):
            known = kept.get(digest_of(document))
            parts.append(known or await self._stored(state, kind, thread, document))
        assert state.recovery is not None
        manifest = Manifest(
            seq=before.seq + 1 if before else 1,
            bundle_seq=parse_bundle(state.recovery.bundle).seq,
            parts=tuple(parts),
            gone=state.archive.gone,
        )
        item = seal_item(encode(manifest), state.account_seed, MANIFEST, salt=secrets.token_bytes(SALT_BYTES))
        view = await self._core.api().put_sealed(MANIFEST, state.archive.version, item)

        def wrote(now: ClientState) -> ClientState:
            return replace(now, archive=replace(now.archive, manifest=encode(manifest), version=view.version))

        self._core.vault.update(wrote)
        await self._sweep(before, manifest)

    async def _stored(self, state: ClientState, kind: str, thread: str, document: bytes) -> Part:
        names = []
        for chunk in cut(document):
            name = fresh_id()
            item = seal_item(chunk, state.account_seed, name, salt=secrets.token_bytes(SALT_BYTES))
            await self._core.api().put_sealed(name, 0, item)
            names.append(ItemName(name=name, hash=b64(sha256(item))))
        return Part(
            kind="book" if kind == "book" else "session",
            thread=thread or None,
            digest=digest_of(document),
            items=tuple(names),
        )

    async def _sweep(self, before: Manifest | None, after: Manifest) -> None:
        mended = before is not None and not before.parts
        named = {one.name for part in after.parts for one in part.items}
        earlier = {one.name for part in (before.parts if before else ()) for one in part.items}
        for view in await self._core.api().safe():
            orphan = mended or view.stored_on + ORPHAN_S < self._core.now()
            if view.name not in {*named, MANIFEST, "recovery"} and (view.name in earlier or orphan):
                await self._core.api().delete_sealed(view.name)


def _documents(state: ClientState) -> list[tuple[str, str, bytes]]:
    sessions = [("session", thread, data) for thread, data in state.archive.sessions.items()]
    return [("book", "", book_of(state)), *sessions]


def _is_due(state: ClientState) -> bool:
    """Tell whether the node's archive differs from what it should be, as far as this device knows."""
    if not state.archive.manifest:
        return True
    manifest = decode(state.archive.manifest, Manifest)
    wanted = {digest_of(document) for _, _, document in _documents(state)}
    return wanted != {part.digest for part in manifest.parts} or manifest.gone != state.archive.gone


def _require_slots(state: ClientState) -> None:
    count = len(parse_bundle(state.recovery.bundle).slots) if state.recovery else 0
    if count < LEAST_SLOTS:
        raise RefusedError(
            f"sessions are kept once there are {LEAST_SLOTS} ways back, and you have {count}: "
            "`mentormesh person recovery words`, then `passphrase`",
            code="too-few-slots",
        )
