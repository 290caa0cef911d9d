"""Before the first signature after a start: ask the witnesses whether they know a larger log than the one stored here.

A database that was set back, by a snapshot of its machine perhaps, looks whole to itself; only others can tell. The log
is signed again once a majority of those who cosigned it have answered that they know nothing larger; without any such
witness, once all were asked. A replica that was promoted in place of a database may have lost its newest rows without
that anybody started anew: the same is asked then. Source: docs/protocol/53-witnesses.md §8; docs/adr (start check).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from protocol.errors import MeshError, RefusedError
from protocol.tlog.cosignature import Cosigned
from protocol.tlog.policy import NONE, QuorumError, check_quorum

from .cosigning import Cosigner, Reply
from .knownlogs import Witnesses, WitnessTarget, names
from .logbook import current_log, newest_row
from .ownlog import OwnLog
from .ports import Clock, Reader, Store, where
from .rows import CosignatureRow, LogCheckpointRow, LogOverrideRow

FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 300.0
#: So often it is looked whether the database has another history.
LOOK_EVERY_S: Final = 5.0
_NONE: Final = "none"


class UncheckedLogError(RefusedError):
    """Too few witnesses have answered since the start."""

    code = "log-unchecked"


class ClaimedAheadError(RefusedError):
    """A witness says that it knows a larger or another log of this node, and does not show it."""

    code = "log-ahead-claimed"


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """An administrator's word that the log may be signed from `size` on."""

    log: int
    size: int


class StartCheck:
    """The gate of one node's sequencer.

    Args:
        wait_s: a default set of witnesses that does not answer for so long is waited for no more; 0: for ever. A quorum
            that the operator's policy demands is always waited for.
        report: is told why the log is signed although not enough have answered: `log-override`, or `log-unasked` when
            the wait is over.
        history: which history of the database is written to now; another one may lack what this process has seen.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        witnesses: Witnesses,
        cosigner: Cosigner,
        own: OwnLog,
        *,
        wait_s: int,
        report: Callable[[str], None],
        history: Callable[[], str],
    ) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._witnesses: Final = witnesses
        self._cosigner: Final = cosigner
        self._own: Final = own
        self._wait_s: Final = wait_s
        self._report: Final = report
        self._history: Final = history
        self._turn: Final = asyncio.Lock()
        #: When the witnesses were asked first: a process may go on duty long after it started.
        self._since = 0
        self._answered: Final[dict[str, Reply]] = {}
        self._due_at = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._error: RefusedError | None = None
        self._shown = False
        self._asked_of = _NONE
        self._cleared_of = _NONE

    @property
    def cleared(self) -> bool:
        """Whether the log may be signed; it stays so as long as the process and the history of its database last."""
        return self._cleared_of == self._history()

    @property
    def error(self) -> RefusedError | None:
        """Why the log is not signed yet; None when it is, or nobody was asked yet."""
        return self._error

    @property
    def claimed(self) -> bool:
        """Whether a witness claims to know a larger or another log, and did not show it."""
        return isinstance(self._error, ClaimedAheadError)

    async def waits(self, rows: Reader) -> bool:
        """Tell whether the log may not be signed yet, and somebody can be asked who cosigned it before."""
        if self.cleared:
            return False
        log = await current_log(rows)
        known = {each.witness for each in await rows.find(CosignatureRow, where(log=log))}
        return any(each.key.vkey in known for each in self._witnesses.all())

    def open(self) -> None:
        """Let the log be signed: it is a new one, which nobody can know."""
        self._clear("", self._history())

    async def passed(self) -> None:
        """Return when the log may be signed. Raises: UncheckedLogError, ClaimedAheadError; it may pass later."""
        async with self._turn:
            asked = self._asked_of == self._history()
            if not self.cleared and not (asked and self._clock.now() < self._due_at):
                await self._round()
        if not self.cleared and self._error is not None:
            raise self._error

    async def run(self, wake: Callable[[], None]) -> None:
        """Ask again and again while the log may not be signed, and `wake` who waits to sign it when it may."""
        while True:
            while not self.cleared:
                await self._clock.sleep(self._pause_s)
                async with self._turn:
                    if not self.cleared:
                        await self._round()
            wake()
            while self.cleared:
                await self._clock.sleep(LOOK_EVERY_S)

    async def override(self) -> Override:
        """Let the log be signed without an answer, until it has grown once. Raises: RefusedError: nothing waits."""
        async with self._store.write() as tx:
            log = await current_log(tx)
            row = await newest_row(tx, log)
            size = row.size if row else 0
            if self.cleared:
                raise RefusedError("the log waits for nobody", code="log-not-waiting")
            await tx.put(LogOverrideRow(log=log, size=size, at=self._clock.now()))
        self._clear("log-override", self._history())
        return Override(log=log, size=size)

    async def _round(self) -> None:
        """Ask all witnesses that have not answered since the start, once, and decide."""
        async with self._store.write() as rows:  # of the history that is written to
            if self._asked_of != self._history():
                self._begin(self._history())
            log = await current_log(rows)
            row = await newest_row(rows, log)
            size = row.size if row else 0
            overridden = await rows.get(LogOverrideRow, log, size)
            known = {each.witness for each in await rows.find(CosignatureRow, where(log=log))}
        targets = self._witnesses.all()
        if overridden is not None or not targets:
            self._clear("", self._asked_of)
            return
        asked = [each for each in targets if each.key.vkey not in self._answered]
        await asyncio.gather(*(self._ask(each, row) for each in asked))
        self._due_at = self._clock.now() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._decide(targets, [each for each in targets if each.key.vkey in known])

    def _begin(self, history: str) -> None:
        """Forget what was answered about another history."""
        self._asked_of, self._since = history, self._clock.now()
        self._answered.clear()
        self._error, self._shown, self._pause_s = None, False, FIRST_PAUSE_S

    async def _ask(self, target: WitnessTarget, row: LogCheckpointRow | None) -> None:
        """Note what a witness says; one that claims more than is stored here is asked to show it.

        What it shows is stored, and the sequencer refuses by itself.
        """
        try:
            reply = await self._cosigner.ask(target, row) if row else Reply(said="unknown")
            if reply.said in {"ahead", "contradicts"} or row is None:
                self._shown = await self._own.ask(target) or self._shown
            elif reply.said == "unknown":
                # It may follow a successor of this log that is lost here, or know this node no more.
                with suppress(MeshError):
                    self._shown = await self._own.ask(target) or self._shown
        except MeshError:
            return
        self._answered[target.key.vkey] = reply

    def _decide(self, targets: tuple[WitnessTarget, ...], known: list[WitnessTarget]) -> None:
        claims = [each for each in targets if self._said(each) in {"ahead", "contradicts"}]
        # Who claims more is asked again: it may show what it knows, or have been asked in a bad moment.
        for each in claims:
            del self._answered[each.key.vkey]
        missing = [each for each in known if each.key.vkey not in self._answered]
        if self._shown:
            self._clear("", self._asked_of)
        elif claims:
            self._error = ClaimedAheadError(
                f"{names(claims)} knows a larger or another log of this node: if its database was set back, run "
                "`mentormesh log successor`; if that is wrong, `mentormesh log override`"
            )
        elif self._enough(targets, known, missing):
            self._clear("", self._asked_of)
        elif self._waited():
            self._clear("log-unasked", self._asked_of)
        else:
            self._error = UncheckedLogError(
                f"nothing is signed before {names(missing or list(targets))} answered that this log is the newest: "
                "wait, remove a peer that is gone for good, or run `mentormesh log override`"
            )

    def _said(self, target: WitnessTarget) -> str:
        reply = self._answered.get(target.key.vkey)
        return reply.said if reply else ""

    def _enough(
        self, targets: tuple[WitnessTarget, ...], known: list[WitnessTarget], missing: list[WitnessTarget]
    ) -> bool:
        """Tell whether enough have answered: the policy's quorum, or a majority of those who cosigned this log."""
        policy = self._witnesses.policy
        if policy is None or policy.quorum == NONE:
            return len(missing) <= (len(known) - 1) // 2 if known else True
        answered = [Cosigned(witness=each.key, at=1) for each in targets if each.key.vkey in self._answered]
        try:
            check_quorum(policy, answered)
        except QuorumError:
            return False
        return True

    def _waited(self) -> bool:
        policy = self._witnesses.policy
        demanded = policy is not None and policy.quorum != NONE
        return not demanded and self._wait_s > 0 and self._clock.now() >= self._since + self._wait_s

    def _clear(self, code: str, history: str) -> None:
        self._cleared_of, self._error, self._pause_s = history, None, FIRST_PAUSE_S
        if code:
            self._report(code)
