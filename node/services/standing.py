"""The operator's board: how things stand with each peer, in delivery and in trust, and with this node's own log.

Nothing is asked of anybody: it says what this node knows already. Source: docs/how-to/watch-your-peers.md.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from federation.attesting import AttesterBook
from federation.checkup import Finding
from federation.cosigning import WitnessStatus
from federation.directory import Peer, PeerDirectory
from federation.headproofs import KIND, usable_proof
from federation.mirror import MirrorStatus, State
from federation.ports import Clock, Reader, Store, where
from federation.publisher import newest_head
from federation.rows import AttestationRow, FrozenRow, MirrorRow, PeerRow, WitnessedLogRow
from federation.watchwords import ALARMING, WatchStatus
from node.operations import Operation
from node.status import LogStatus
from protocol.attestation import ThresholdError, quorum_of
from protocol.errors import MissingError
from protocol.peers import witness_key
from protocol.tlog.policy import Group, Policy

from .board import Board, PeerStanding, ShowBoard


class HeldSet(msgspec.Struct, frozen=True, kw_only=True):
    """One set of a peer that is mirrored here; `age_s` is the age of its newest head, `problem` why it is no newer."""

    kind: str
    audience: str
    state: State
    entries: int
    issued_at: int | None
    age_s: int | None
    problem: str


class Attested(msgspec.Struct, frozen=True, kw_only=True):
    """Attestations of the newest key directory of one side; `usable`: that head or one before has enough of them."""

    given: int
    needed: int
    usable: bool


class Cosigned(msgspec.Struct, frozen=True, kw_only=True):
    """The newest checkpoint of a log that a witness cosigned; `size` 0: none yet."""

    size: int
    at: int | None
    problem: str = ""


class LogRead(msgspec.Struct, frozen=True, kw_only=True):
    """How far this node has read a peer's log: `behind` entries of `size` are unread."""

    size: int
    behind: int
    at: int | None
    problem: str


class PeerLine(PeerStanding, frozen=True, kw_only=True):
    """One line of the board: delivery, and what is known of the peer's sets, keys and log.

    `frozen_at`: it contradicted itself. `its_keys` are attested by members for people here to use them, `own_keys` by
    members for people there. `cosigned_ours` is what its witness signed of this node's log (None: it is not asked),
    `cosigned_theirs` what this node's witness signed of its log.
    """

    mode_reason: str
    mode_until: int | None
    frozen_at: int | None
    sets: tuple[HeldSet, ...]
    its_keys: Attested | None
    own_keys: Attested | None
    cosigned_ours: Cosigned | None
    cosigned_theirs: Cosigned
    log: LogRead | None


class OwnLine(msgspec.Struct, frozen=True, kw_only=True):
    """This node's own log: `cosigned_by` has signed its newest checkpoint, `missing` has not; `needed` are enough.

    `needed` is the least number that fulfils the quorum of the operator's policy, and a majority without one.
    """

    origin: str
    size: int
    waiting: int
    problem: str
    cosigned_by: tuple[str, ...]
    missing: tuple[str, ...]
    needed: int


class BoardView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole board at one moment, `now`.

    With `several` processes, what only memory holds is that of the one that was asked: breakers, pauses, last contacts,
    and what is wrong with logs and sets unless it is `on_duty`.
    """

    entity: str
    now: int
    log: OwnLine
    peers: tuple[PeerLine, ...]
    several: bool = False
    on_duty: bool = True


class Watching(Protocol):
    """What the board needs of `node.witnessing.Witnessing`."""

    async def cosigners(self) -> tuple[WitnessStatus, ...]:
        """Return how the witnesses of the log are."""
        ...

    async def watched(self) -> tuple[WatchStatus, ...]:
        """Return how the logs of others are."""
        ...


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of the node say, by whom it is about."""

    mirrored: Mapping[str, Sequence[MirrorStatus]]
    cosigners: Mapping[str, WitnessStatus]
    watched: Mapping[str, WatchStatus]


class Overview:
    """Puts the board together.

    Args:
        log: tells how this node's log is.
        mirrored: tells how mirrored sets are.
        policy: the operator's witness policy, if there is one.
        several: whether other processes may serve the same node.
    """

    def __init__(
        self,
        board: Board,
        *,
        store: Store,
        clock: Clock,
        directory: PeerDirectory,
        book: AttesterBook,
        watching: Watching,
        log: Callable[[], Awaitable[LogStatus]],
        mirrored: Callable[[], Awaitable[tuple[MirrorStatus, ...]]],
        policy: Policy | None,
        own: str,
        several: bool,
    ) -> None:
        self._board: Final = board
        self._several: Final = several
        self._store: Final = store
        self._clock: Final = clock
        self._directory: Final = directory
        self._book: Final = book
        self._watching: Final = watching
        self._log: Final = log
        self._mirrored: Final = mirrored
        self._policy: Final = policy
        self._own: Final = own

    async def show(self, _: ShowBoard) -> BoardView:
        """Return the board."""
        standings = await self._board.board(ShowBoard())
        seen, log = await self._seen(), await self._log()
        return BoardView(
            entity=self._own,
            now=self._clock.now(),
            log=self._own_line(log, tuple(seen.cosigners.values())),
            peers=tuple([await self._line(each, seen) for each in standings]),
            several=self._several,
            on_duty=log.on_duty,
        )

    async def _seen(self) -> _Seen:
        mirrored: dict[str, list[MirrorStatus]] = {}
        for each in await self._mirrored():
            mirrored.setdefault(each.peer, []).append(each)
        return _Seen(
            mirrored=mirrored,
            cosigners={each.key: each for each in await self._watching.cosigners()},
            watched={each.origin: each for each in await self._watching.watched()},
        )

    def _own_line(self, found: LogStatus, cosigners: Sequence[WitnessStatus]) -> OwnLine:
        signed = tuple(each.name for each in cosigners if found.size and each.size >= found.size)
        return OwnLine(
            origin=found.origin,
            size=found.size,
            waiting=found.waiting,
            problem=found.problem,
            cosigned_by=signed,
            missing=tuple(each.name for each in cosigners if each.name not in signed),
            needed=quorum_size(self._policy) if self._policy else len(cosigners) // 2 + 1 if cosigners else 0,
        )

    async def _line(self, standing: PeerStanding, seen: _Seen) -> PeerLine:
        peer = self._directory.get(standing.entity)
        watched = seen.watched.get(peer.document.log_origin)
        cosigner = seen.cosigners.get(witness_key(peer.document).vkey)
        async with self._store.read() as rows:
            row = await rows.get(PeerRow, peer.entity)
            frozen = await rows.get(FrozenRow, peer.entity)
            witnessed = await rows.get(WitnessedLogRow, peer.document.log_origin)
            keys = await self._keys(rows, peer)
        return PeerLine(
            **{name: getattr(standing, name) for name in PeerStanding.__struct_fields__},
            mode_reason=row.mode_reason if row else "",
            mode_until=row.mode_until if row else None,
            frozen_at=frozen.since if frozen else None,
            sets=tuple(_held(each, self._clock.now()) for each in seen.mirrored.get(peer.entity, ())),
            its_keys=keys[0],
            own_keys=keys[1],
            cosigned_ours=Cosigned(size=cosigner.size, at=cosigner.at, problem=cosigner.problem) if cosigner else None,
            cosigned_theirs=Cosigned(size=witnessed.size if witnessed else 0, at=witnessed.at if witnessed else None),
            log=_read(watched) if watched else None,
        )

    async def _keys(self, rows: Reader, peer: Peer) -> tuple[Attested | None, Attested | None]:
        """Return the attestations of the peer's keys and of ours, in the audience that is preferred with it."""
        for audience in peer.audiences(self._own, self._clock.now()):
            theirs = await rows.get(MirrorRow, peer.entity, audience, KIND)
            ours = await newest_head(rows, audience, KIND)
            if theirs is not None or ours is not None:
                return (
                    await self._attested(rows, peer.entity, audience, theirs.seq) if theirs else None,
                    await self._attested(rows, self._own, audience, ours.seq) if ours else None,
                )
        return None, None

    async def _attested(self, rows: Reader, origin: str, audience: str, seq: int) -> Attested | None:
        attesters = sorted(await self._book.attesters(audience))
        try:
            quorum = quorum_of(origin, {origin, *attesters}, attesters)
        except ThresholdError:
            quorum = None
        if quorum is None:
            return None
        found = await rows.find(AttestationRow, where(origin=origin, audience=audience, kind=KIND, seq=seq))
        return Attested(
            given=len({each.attester for each in found} & set(quorum.attesters)),
            needed=quorum.needed,
            usable=await usable_proof(rows, origin, audience) is not None,
        )

    async def findings(self, entity: str) -> tuple[Finding, ...]:
        """Return what this node holds against a peer, and whether the two witness each other; nothing of strangers."""
        try:
            peer = self._directory.get(entity)
        except MissingError:
            return ()
        now = self._clock.now()
        found = [_mode_finding(peer, now)]
        if peer.mode_at(now) != "blocked":
            seen = await self._seen()
            found.append(_witness_finding(seen.cosigners.get(witness_key(peer.document).vkey)))
            found.append(_log_finding(seen.watched.get(peer.document.log_origin)))
        return tuple(found)

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can ask here."""
        return (
            Operation(
                name="peer.board",
                summary="How things stand with each peer, and with the own log",
                request=ShowBoard,
                response=BoardView,
                run=self.show,
            ),
        )


def quorum_size(policy: Policy) -> int:
    """Return the least number of witnesses that fulfils a policy's quorum; 0 when it asks for none."""
    groups = {group.name: group for group in policy.of(Group)}

    def least(name: str) -> int:
        group = groups.get(name)
        return sum(sorted(map(least, group.members))[: group.threshold]) if group else 1

    return 0 if policy.quorum == "none" else least(policy.quorum)


def _held(status: MirrorStatus, now: int) -> HeldSet:
    return HeldSet(
        kind=status.kind,
        audience=status.audience,
        state=status.state,
        entries=status.entries,
        issued_at=status.issued_at,
        age_s=max(0, now - status.issued_at) if status.issued_at is not None else None,
        problem=status.problem,
    )


def _read(status: WatchStatus) -> LogRead:
    return LogRead(size=status.size, behind=status.size - status.read, at=status.at, problem=status.problem)


def _mode_finding(peer: Peer, now: int) -> Finding:
    if peer.frozen:
        fix = "`mentormesh log evidence list`, then talk to its administrator; `log evidence thaw` lets it begin again"
        detail = "frozen here: it contradicted itself, so nothing new is begun with it"
        return Finding(check="frozen", ok=False, detail=detail, fix=fix)
    if peer.mode_at(now) == "blocked":
        return Finding(
            check="mode", ok=False, detail="suspended here: nothing goes in or out", fix="`mentormesh peer resume`"
        )
    return Finding(check="mode", ok=True, detail=f"{peer.mode_at(now)} here, and not frozen")


def _witness_finding(found: WitnessStatus | None) -> Finding:
    if found is None:
        return Finding(check="witness", ok=True, detail="its witness is not asked to sign this node's log")
    said = f"it signed this node's log up to entry {found.size}" if found.size else "it has not signed this log yet"
    if found.problem in {"witness-ahead", "witness-contradicts"}:
        detail = f"{said}, and says that it holds another version"
        return Finding(check="witness", ok=False, detail=detail, fix="docs/how-to/when-two-stories-are-found.md")
    return Finding(check="witness", ok=True, detail=f"{said} ({found.problem})" if found.problem else said)


def _log_finding(found: WatchStatus | None) -> Finding:
    if found is None or found.at is None:
        return Finding(check="its log", ok=True, detail="not read yet")
    detail = f"{found.read} of {found.size} entries read"
    if found.problem in ALARMING:
        fix = "docs/how-to/when-two-stories-are-found.md says what the word means and what to do"
        return Finding(check="its log", ok=False, detail=f"{detail}: {found.problem}", fix=fix)
    return Finding(check="its log", ok=True, detail=f"{detail} ({found.problem})" if found.problem else detail)
