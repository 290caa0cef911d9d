"""The node's own log, joined: what it says about keys and rules, its sequencer, and what operators may ask about it."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from federation.agreements import AgreementPeriods
from federation.logbook import Logbook, checkpoint_of, current_log, newest_row
from federation.ports import Store, at_least, where
from federation.rows import LogEntryRow
from federation.sequencer import Sequencer
from protocol.crowd import FamilyMap
from protocol.encoding import b64, encode, sha256, unb64
from protocol.errors import MeshError, UnavailableError
from protocol.logaudit import check_portion, portion
from protocol.logleaves import NodeKeyLeaf, PolicyLeaf, Role, log_origin
from protocol.peers import log_vkey
from protocol.tlog.merkle import EMPTY_ROOT

from .events import Events
from .keys import KeyRing
from .operations import Command, Operation
from .parts import Base
from .sections import EditionsSection
from .status import LogStatus


class ShowLog(Command, frozen=True, kw_only=True):
    """Ask how the log is."""


class CheckLog(Command, frozen=True, kw_only=True):
    """Ask for a check of the stored log from entry `start` on: one portion, so that a check can show how far it is."""

    start: int = 0


class SucceedLog(Command, frozen=True, kw_only=True):
    """Start a successor of a log that must not be signed any more."""


class LogChecked(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the log up to `checked` belong to its tree of `size` entries."""

    origin: str
    checked: int
    size: int


class NodeLog:
    """The log of one node."""

    def __init__(self, base: Base, families: FamilyMap) -> None:
        self._store: Final[Store] = base.store
        self._entity: Final = base.entity
        self._keys = base.keys
        self._events: Final[Events] = base.events
        self._beside: Final = base.beside
        self._policy: Final = _policy(base.config.editions, families)
        self.book: Final = Logbook(base.store)
        self.sequencer: Final = Sequencer(
            base.store,
            base.clock,
            own=base.entity,
            key=base.keys.log,
            generation=base.store.generation,
            earlier=base.keys.earlier_log,
            may_sign=lambda: base.beside.on_duty,
        )
        self._renewed: Callable[[], Awaitable[None]] | None = None
        base.on_new_keys(self._rekey)
        self.periods: Final = AgreementPeriods(base.store, base.clock, base.entropy, self.sequencer)

    def connect(self, renewed: Callable[[], Awaitable[None]]) -> None:
        """Name who announces a successor to everybody else."""
        self._renewed = renewed

    def _rekey(self, keys: KeyRing) -> None:
        self._keys = keys
        self.sequencer.rekey(keys.log, keys.earlier_log)

    async def renew(self) -> None:
        """Log what has changed, in a successor when the key of the log has; what goes wrong is reported."""
        try:
            await self.announce()
            await self.sequencer.sequence()
        except UnavailableError:
            raise
        except MeshError as error:
            self._report(error)

    async def announce(self) -> None:
        """Log the node's keys and the rule of its offers where they are not what the log says already.

        A log whose key has changed ends, and its successor says everything again.
        """
        try:
            await self.sequencer.follow_key()
        except UnavailableError:
            raise
        except MeshError as error:
            self._report(error)
        async with self._store.write() as tx:
            for leaf in _key_leaves(self._keys):
                await self.sequencer.state(tx, leaf.role, leaf)
            await self.sequencer.state(tx, "policy", self._policy)

    async def run(self) -> None:
        """Let the log grow for ever."""
        await self.announce()
        await self.sequencer.run(self._report)

    def _report(self, error: MeshError) -> None:
        self._events.log_refused(error.code)

    async def _show(self, _: ShowLog) -> LogStatus:
        return await self.status()

    async def status(self) -> LogStatus:
        """Return how the log that grows is."""
        async with self._store.read() as rows:
            log = await current_log(rows)
            row = await newest_row(rows, log)
            size = row.size if row else 0
            waiting = await rows.count(LogEntryRow, where(log=log), at_least("number", size))
        origin = log_origin(self._entity, log)
        return LogStatus(
            origin=origin,
            vkey=log_vkey(origin, self._keys.log.public.raw),
            size=size,
            root=b64(checkpoint_of(row).root if row else EMPTY_ROOT),
            signed_at=row.at if row else None,
            waiting=waiting,
            problem=self.sequencer.problem,
            on_duty=self._beside.on_duty,
        )

    async def _check(self, command: CheckLog) -> LogChecked:
        async with self._store.read() as rows:
            log = await current_log(rows)
        checkpoint, tiles, bundles = await self.book.stored(log, command.start)
        wanted = portion(command.start, checkpoint.size)
        check_portion(wanted, checkpoint, tiles, bundles)
        return LogChecked(origin=checkpoint.origin, checked=wanted.span.end, size=checkpoint.size)

    async def _succeed(self, _: SucceedLog) -> LogStatus:
        await self.sequencer.succeed()
        await self.announce()
        await self.sequencer.sequence()
        if self._renewed is not None:
            await self._renewed()
        return await self.status()

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can ask here."""
        return (
            Operation(
                name="log.show", summary="How the node's log is", request=ShowLog, response=LogStatus, run=self._show
            ),
            Operation(
                name="log.check",
                summary="Whether a portion of the stored log belongs to its tree",
                request=CheckLog,
                response=LogChecked,
                run=self._check,
            ),
            Operation(
                name="log.successor",
                summary="Start a successor of a log that came back from a backup",
                request=SucceedLog,
                response=LogStatus,
                run=self._succeed,
                needs="duty",
            ),
        )


def _key_leaves(keys: KeyRing) -> tuple[NodeKeyLeaf, ...]:
    public: dict[Role, str] = {
        "attest": keys.attest.public.text,
        "envelope_seal": b64(sha256(unb64(keys.envelope_seal.public.text))),
        "envelope_sign": keys.envelope_sign.public.text,
        "federation": keys.federation.public.text,
        "http": keys.http.public.text,
        "log": keys.log.public.text,
        "recovery": keys.recovery.text,
        "witness": keys.witness.public.text,
    }
    return tuple(NodeKeyLeaf(role=role, key=key) for role, key in public.items())


def _policy(settings: EditionsSection, families: FamilyMap) -> PolicyLeaf:
    return PolicyLeaf(
        k=settings.k,
        keep=settings.keep,
        ratio_percent=settings.ratio_percent,
        smallest_members=settings.smallest_members,
        map=b64(sha256(encode(families))),
        map_version=families.version,
    )
