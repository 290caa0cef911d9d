"""What an operator can ask and do about witnesses, the logs of others, and evidence."""

from typing import Annotated, Final, Protocol

import msgspec

from federation.cosigning import WitnessStatus
from federation.evidence import IMPORTED, EvidenceService, Recorded
from federation.startcheck import Override
from federation.watchwords import WatchStatus
from node.operations import Command, Operation
from protocol.evidence import MAX_BUNDLE_BYTES


class ListWitnesses(Command, frozen=True, kw_only=True):
    """Ask who cosigns this node's log."""


class ListWatched(Command, frozen=True, kw_only=True):
    """Ask how the logs of others stand."""


class OverrideLog(Command, frozen=True, kw_only=True):
    """Let the log be signed although its witnesses have not answered since the start."""


class ListEvidence(Command, frozen=True, kw_only=True):
    """Ask for all evidence."""


class ExportEvidence(Command, frozen=True, kw_only=True):
    """Ask for the bundle whose hash begins with `hash`."""

    hash: Annotated[str, msgspec.Meta(min_length=4, max_length=43)]


class ImportEvidence(Command, frozen=True, kw_only=True):
    """Record a bundle that somebody else found."""

    bundle: Annotated[str, msgspec.Meta(max_length=MAX_BUNDLE_BYTES)]


class ThawPeer(Command, frozen=True, kw_only=True):
    """Let a frozen peer begin something new again."""

    entity: str


class EvidenceBundle(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle as text, byte for byte."""

    bundle: str


class Witnessed(Protocol):
    """What these operations need (`node.witnessing.Witnessing`)."""

    @property
    def evidence(self) -> EvidenceService:
        """The evidence of this node."""
        ...

    async def cosigners(self) -> tuple[WitnessStatus, ...]:
        """Return how the witnesses of the log are."""
        ...

    async def watched(self) -> tuple[WatchStatus, ...]:
        """Return how the logs of others are."""
        ...

    async def override(self) -> Override:
        """Sign the log without an answer."""
        ...

    async def thaw(self, entity: str) -> None:
        """Thaw a peer."""
        ...


class WitnessOperations:
    """The operations of one node."""

    def __init__(self, witnessing: Witnessed) -> None:
        self._witnessing: Final = witnessing

    async def _witnesses(self, _: ListWitnesses) -> tuple[WitnessStatus, ...]:
        return await self._witnessing.cosigners()

    async def _watched(self, _: ListWatched) -> tuple[WatchStatus, ...]:
        return await self._witnessing.watched()

    async def _override(self, _: OverrideLog) -> Override:
        return await self._witnessing.override()

    async def _list(self, _: ListEvidence) -> tuple[Recorded, ...]:
        return await self._witnessing.evidence.all()

    async def _export(self, command: ExportEvidence) -> EvidenceBundle:
        return EvidenceBundle(bundle=(await self._witnessing.evidence.bundle(command.hash)).decode())

    async def _import(self, command: ImportEvidence) -> Recorded:
        return await self._witnessing.evidence.record(command.bundle.encode(), source=IMPORTED)

    async def _thaw(self, command: ThawPeer) -> None:
        await self._witnessing.thaw(command.entity)

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can ask here."""
        return (
            Operation(
                name="log.witnesses",
                summary="Who cosigns this node's log",
                request=ListWitnesses,
                response=tuple[WitnessStatus, ...],
                run=self._witnesses,
            ),
            Operation(
                name="log.watched",
                summary="How the logs of others stand",
                request=ListWatched,
                response=tuple[WatchStatus, ...],
                run=self._watched,
            ),
            Operation(
                name="log.override",
                summary="Sign the log although its witnesses have not answered",
                request=OverrideLog,
                response=Override,
                run=self._override,
                needs="duty",
            ),
            Operation(
                name="evidence.list",
                summary="All evidence",
                request=ListEvidence,
                response=tuple[Recorded, ...],
                run=self._list,
            ),
            Operation(
                name="evidence.export",
                summary="One bundle of evidence",
                request=ExportEvidence,
                response=EvidenceBundle,
                run=self._export,
            ),
            Operation(
                name="evidence.import",
                summary="Record a bundle that somebody else found",
                request=ImportEvidence,
                response=Recorded,
                run=self._import,
            ),
            Operation(
                name="evidence.thaw",
                summary="Let a frozen peer begin something new again",
                request=ThawPeer,
                response=None,
                run=self._thaw,
                needs="duty",
            ),
        )
