"""The archive at the own node: written after something changed, read on a new device, mended when the node is wrong.

The vault holds all of it, too; the node's is for the case that the vault is lost.
Source: docs/protocol/49-recovery.md §9.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from protocol.e2ee.archive import (
    MANIFEST,
    MAX_GONE,
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
from protocol.errors import ConflictError, LimitError, MalformedError, MissingError, RefusedError, UnavailableError

from .archived import fitting, is_kept, with_session, without_kept
from .book import EMPTY, book_of, with_book
from .core import Core, fresh_id
from .state import ClientState

#: So many ways back there must be before sessions are kept: an archive that nobody can open again is a trap.
LEAST_SLOTS: Final = 2
TRIES: Final = 3
DAY_S: Final = 86_400
#: What other devices of the person have stored is looked for this often.
LOOK_EVERY_S: Final = 300
#: What no manifest names is taken for the rest of an interrupted write after so long.
ORPHAN_S: Final = 2 * DAY_S


class Archive:
    """The archive of one account, as one of its devices looks after it."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core
        #: What the person should know about their node's archive, in sentences.
        self.warnings: Final[list[str]] = []
        self._looked = 0

    def shared(self, *, shared: bool) -> None:
        """Remember whether the person has another device, which reads what this one keeps."""
        if self._core.state().archive.shared is not shared:
            self._core.vault.update(lambda state: replace(state, archive=replace(state.archive, shared=shared)))

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

    async def keep_up(self, *, happened: bool) -> None:
        """Bring the node's archive and this device together: when something happened, and every few minutes."""
        now = self._core.now()
        if now >= self._looked + LOOK_EVERY_S:
            self._looked = now
            await self.push(look=True)
        elif happened:
            await self.push()

    async def push(self, *, look: bool = False) -> bool:
        """Bring the node's archive up to date, if anybody could read it; return whether anything was written.

        With `look` take in what other devices of the person have stored also when there is nothing to write.
        """
        for _ in range(TRIES):
            state = self._core.state()
            if not _has_reader(state) or not (look or self._is_due()):
                return False
            await self._pull()
            self._fit(state.archive.sessions)
            if not self._is_due():
                return False
            try:
                await self._write(self._core.state())
            except RefusedError as error:
                if error.code != ConflictError.code:
                    raise
                continue
            return True
        raise UnavailableError("another device of yours writes the archive at this moment: try again")

    def _fit(self, before: Collection[str]) -> None:
        """Let go of the oldest sessions where all of them have no room at the node, and say so."""
        state = self._core.vault.update(lambda state: fitting(state, book=book_of(state, now=self._core.now())))
        if lost := set(before) - {*state.archive.sessions, *state.archive.gone}:
            self.warnings.append(f"Your archive is full: the oldest sessions in it went ({len(lost)}).")

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
        wanted = [one for one in shown.parts if one.thread not in {*state.archive.sessions, *shown.gone}]
        items = [(part, await self._items(part)) for part in wanted]
        told = self._core.vault.change(partial(self._taken, shown=shown, version=version, items=items))
        self.warnings.extend(told)

    def _taken(
        self, state: ClientState, *, shown: Manifest, version: int, items: Sequence[tuple[Part, Mapping[str, bytes]]]
    ) -> tuple[ClientState, list[str]]:
        """Return the state with what the node's archive holds, and what of it could not be read."""
        now = self._core.now()
        book = book_of(state, now=now)
        # What this device knows and has not stored is stored afterwards; so is what could not be read there.
        stored = digest_of(book) == state.archive.synced or book == EMPTY
        warnings: list[str] = []
        for part, found in items:
            try:
                state = _with_part(state, part, found)
            except MalformedError as error:
                stored = stored and part.kind != "book"
                what = "Contacts and takeaways" if part.kind == "book" else "A session"
                warnings.append(f"{what} of your archive could not be read: {error}.")
        gone = tuple(dict.fromkeys((*shown.gone, *state.archive.gone)))[-MAX_GONE:]
        after = digest_of(book_of(state, now=now))
        stored = stored or any(part.digest == after for part in shown.parts)
        archive = replace(
            state.archive,
            gone=gone,
            sessions={name: data for name, data in state.archive.sessions.items() if name not in gone},
            manifest=encode(shown),
            version=version,
            synced=after if stored else "",
        )
        return replace(state, archive=archive), warnings

    async def _items(self, part: Part) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for one in part.items:
            try:
                found[one.name] = unb64((await self._core.api().sealed(one.name)).data, what="archive item")
            except MissingError:
                continue
        return found

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

    def _is_due(self) -> bool:
        """Tell whether the node's archive differs from what it should be, as far as this device knows."""
        state = self._core.state()
        archive = state.archive
        if not archive.manifest:
            return True
        manifest = decode(archive.manifest, Manifest)
        stored = {part.thread for part in manifest.parts if part.kind == "session"}
        if stored != set(archive.sessions) or manifest.gone != archive.gone:
            return True
        book = digest_of(book_of(state, now=self._core.now()))
        return book != archive.synced or all(part.kind != "book" for part in manifest.parts)

    async def _write(self, state: ClientState) -> None:
        """Store what changed, then the manifest, then let go of what no manifest names.

        Raises: LimitError: the safe is full; ConflictError: another device was quicker; nothing of it stays there.
        """
        before = decode(state.archive.manifest, Manifest) if state.archive.manifest else None
        book = book_of(state, now=self._core.now())
        made: list[str] = []
        try:
            parts = []
            for kind, thread, document in (("book", "", book), *_sessions(state)):
                known = _part_of(before, kind, thread, document)
                parts.append(known or await self._stored(state, kind, thread, document, made))
            manifest = Manifest(
                seq=before.seq + 1 if before else 1,
                bundle_seq=parse_bundle(state.recovery.bundle).seq if state.recovery else 0,
                parts=tuple(parts),
                gone=state.archive.gone,
            )
            item = seal_item(encode(manifest), state.account_seed, MANIFEST, salt=secrets.token_bytes(SALT_BYTES))
            view = await self._core.api().put_sealed(MANIFEST, state.archive.version, item)
        except (LimitError, RefusedError):
            await self._taken_back(made, before)
            raise

        def wrote(now: ClientState) -> ClientState:
            archive = replace(now.archive, manifest=encode(manifest), version=view.version, synced=digest_of(book))
            return replace(now, archive=archive)

        self._core.vault.update(wrote)
        await self._sweep(before, manifest)

    async def _taken_back(self, made: Sequence[str], before: Manifest | None) -> None:
        """Erase what no manifest will name: a full safe would stay full of it."""
        for name in made:
            with suppress(MissingError):
                await self._core.api().delete_sealed(name)
        if before is not None:
            await self._sweep(before, before)

    async def _stored(self, state: ClientState, kind: str, thread: str, document: bytes, made: list[str]) -> Part:
        names = []
        for chunk in cut(document):
            name = fresh_id()
            item = seal_item(chunk, state.account_seed, name, salt=secrets.token_bytes(SALT_BYTES))
            await self._core.api().put_sealed(name, 0, item)
            made.append(name)
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


def _with_part(state: ClientState, part: Part, items: Mapping[str, bytes]) -> ClientState:
    """Return the state with one document of the archive. Raises: MalformedError: it cannot be read."""
    document = document_of(part, items, state.account_seed)
    if digest_of(document) != part.digest:
        raise DamagedArchiveError("a document of the archive is not the one that belongs here")
    return with_book(state, document) if part.kind == "book" else with_session(state, document)


def _part_of(manifest: Manifest | None, kind: str, thread: str, document: bytes) -> Part | None:
    """Return where a document is stored: a book that says the same, or a session, by whichever device ended it first.

    Each device would write a session in other words (when it ended, say): the first one stands.
    """
    for one in manifest.parts if manifest else ():
        if one.kind == kind and (one.thread or "") == thread and (thread or one.digest == digest_of(document)):
            return one
    return None


def _sessions(state: ClientState) -> list[tuple[str, str, bytes]]:
    return [("session", thread, data) for thread, data in state.archive.sessions.items()]


def _has_reader(state: ClientState) -> bool:
    """Tell whether anybody could read the archive: this person by a way back, or another device of theirs."""
    if state.recovery is not None:
        return not state.recovery.regaining
    return state.archive.shared


def _require_slots(state: ClientState) -> None:
    count = len(parse_bundle(state.recovery.bundle).slots) if state.recovery else 0
    if count < LEAST_SLOTS:
        raise RefusedError(
            f"sessions are kept once there are {LEAST_SLOTS} ways back, and you have {count}: "
            "`mentormesh person recovery words`, then `passphrase`",
            code="too-few-slots",
        )
