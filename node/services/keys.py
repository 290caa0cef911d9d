"""What an operator can do about keys: list and change the node's own, recover, and confirm a peer's changed key."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from federation.announcer import Announcer
from federation.directory import PeerDirectory
from federation.discovery import Discovery
from federation.pending import PendingKey
from federation.ports import Clock, Entropy
from node.events import Events
from node.keyfiles import ROLES, Role
from node.keys import KeyRing, load_key_file, load_keys
from node.operations import Command, Operation
from node.rekeying import forget_expired, install_recovery, prepare_recovery, rotate_key, waiting_key
from node.status import Alert
from protocol.encoding import b64, sha256, unb64
from protocol.errors import MeshError, MissingError, RefusedError
from protocol.fingerprints import fingerprint_words

DAY_S: Final = 86_400
#: An operator waits so long for peers to confirm; those that take longer are told in the background.
TELL_S: Final = 10.0


class ListKeys(Command, frozen=True, kw_only=True):
    """Ask for the keys."""


class RotateKey(Command, frozen=True, kw_only=True):
    """Give a role a new key."""

    role: Role


class PrepareRecovery(Command, frozen=True, kw_only=True):
    """Make the keys that a statement of the recovery key is to put in place of all others."""


class Recover(Command, frozen=True, kw_only=True):
    """Put the keys that wait in place, by a statement of the recovery key."""

    statement: str


class ListPending(Command, frozen=True, kw_only=True):
    """Ask for the changed keys of peers that await confirmation."""


class ConfirmKey(Command, frozen=True, kw_only=True):
    """Take a peer's new federation key, by the words that were compared."""

    entity: str
    words: str


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One of the node's keys: RFC 7638 thumbprint, of `envelope-seal` the SHA-256; seconds when earlier ones end."""

    role: str
    id: str
    earlier_until: tuple[int, ...] = ()


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """All keys; `words` are those of the federation key, `untold` the peers that have not confirmed the document."""

    keys: tuple[KeyInfo, ...]
    words: str
    statements: int
    recovery_prepared: bool
    peers: int
    untold: tuple[str, ...]


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What the statement of the recovery key must say; keys as base64url."""

    entity: str
    old: str
    new: str


class Keys:
    """The keys of one node.

    Args:
        take_over: lets all parts of the node go on with the keys in the files: parts, log, document.
        check_log: raises when the log is not whole, and so cannot change its key.
    """

    def __init__(
        self,
        folder: Path,
        entity: str,
        *,
        clock: Clock,
        entropy: Entropy,
        events: Events,
        directory: PeerDirectory,
        discovery: Discovery,
        announcer: Announcer,
        overlap_days: int,
        take_over: Callable[[KeyRing], Awaitable[None]],
        check_log: Callable[[], Awaitable[None]],
    ) -> None:
        self._folder: Final = folder
        self._entity: Final = entity
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._events: Final = events
        self._directory: Final = directory
        self._discovery: Final = discovery
        self._announcer: Final = announcer
        self._overlap_s: Final = overlap_days * DAY_S
        self._take_over: Final = take_over
        self._check_log: Final = check_log
        self._turn: Final = asyncio.Lock()

    async def list(self, _: ListKeys) -> KeyList:
        """Return how the keys are."""
        keys = load_keys(self._folder)
        return KeyList(
            keys=tuple(self._info(role, keys) for role in ROLES),
            words=fingerprint_words(keys.federation.public),
            statements=len(keys.rotations),
            recovery_prepared=waiting_key(self._folder) is not None,
            peers=len(self._directory.all()),
            untold=await self._announcer.untold(),
        )

    def _info(self, role: Role, keys: KeyRing) -> KeyInfo:
        until = tuple(sorted(one.until for one in load_key_file(self._folder, role).earlier))
        if role == "envelope-seal":
            return KeyInfo(role=role, id=b64(sha256(unb64(keys.envelope_seal.public.text))), earlier_until=until)
        return KeyInfo(role=role, id=getattr(keys, role.replace("-", "_")).public.keyid, earlier_until=until)

    async def rotate(self, command: RotateKey) -> KeyList:
        """Give a role a new key, and bring it to all peers."""
        async with self._turn:
            if command.role == "log":
                await self._check_log()
            now = self._clock.now()
            rotate_key(
                self._folder,
                command.role,
                self._entity,
                entropy=self._entropy,
                now=now,
                until=now + self._overlap_s,
            )
            self._events.key_rotated(command.role)
            await self._settle()
        return await self.list(ListKeys())

    async def prepare(self, _: PrepareRecovery) -> Prepared:
        """Make new keys for every role, which wait for a statement of the recovery key."""
        async with self._turn:
            new = prepare_recovery(self._folder, self._entropy)
            old = load_keys(self._folder).federation.public
        return Prepared(entity=self._entity, old=old.text, new=new.text)

    async def recover(self, command: Recover) -> KeyList:
        """Put the keys that wait in place of all others, and tell all peers that the old ones are ended."""
        async with self._turn:
            now = self._clock.now()
            install_recovery(
                self._folder, command.statement.strip(), self._entity, now=now, until=now + self._overlap_s
            )
            self._events.keys_recovered()
            await self._settle()
        return await self.list(ListKeys())

    async def _settle(self) -> None:
        await self._take_over(load_keys(self._folder))
        with suppress(TimeoutError):
            async with asyncio.timeout(TELL_S):
                await self._announcer.step()

    async def look_after(self) -> None:
        """Forget earlier keys whose time is over, and make up for what a change that was broken off left undone."""
        async with self._turn:
            forget_expired(self._folder, now=self._clock.now())
            await self._take_over(load_keys(self._folder))

    async def pending(self, _: ListPending) -> tuple[PendingKey, ...]:
        """Return the changed keys of peers that await confirmation."""
        return await self._discovery.pending.all()

    async def confirm(self, command: ConfirmKey) -> PendingKey:
        """Take a peer's new key after a last look at what it shows; return what was confirmed."""
        with suppress(MeshError):
            await self._discovery.refresh(command.entity)
        try:
            seen = await self._discovery.pending.show(command.entity)
        except MissingError:
            self._directory.get(command.entity)
            raise RefusedError("the peer shows its known key: there is nothing to confirm", code="known-key") from None
        await self._discovery.pending.confirm(command.entity, command.words)
        self._events.key_confirmed()
        return seen

    async def alerts(self) -> tuple[Alert, ...]:
        """Return what an administrator should look at."""
        return tuple(
            Alert(
                about="changed key",
                detail=f"{one.entity} shows a federation key that nobody known vouches for",
                fix=f"call its administrator, then see `mentormesh peer confirm-key {one.entity}`",
            )
            for one in await self._discovery.pending.all()
        )

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can ask here."""
        return (
            Operation(
                name="keys.list", summary="Give the node's keys", request=ListKeys, response=KeyList, run=self.list
            ),
            Operation(
                name="keys.rotate",
                summary="Give a role a new key",
                request=RotateKey,
                response=KeyList,
                run=self.rotate,
                needs="alone",
            ),
            Operation(
                name="keys.prepare",
                summary="Make the keys that wait for a statement of the recovery key",
                request=PrepareRecovery,
                response=Prepared,
                run=self.prepare,
                needs="alone",
            ),
            Operation(
                name="keys.recover",
                summary="Put the keys that wait in place of all others",
                request=Recover,
                response=KeyList,
                run=self.recover,
                needs="alone",
            ),
            Operation(
                name="peer.pending",
                summary="Give the changed keys of peers that await confirmation",
                request=ListPending,
                response=tuple[PendingKey, ...],
                run=self.pending,
            ),
            Operation(
                name="peer.confirm-key",
                summary="Take a peer's new federation key",
                request=ConfirmKey,
                response=PendingKey,
                run=self.confirm,
            ),
        )
