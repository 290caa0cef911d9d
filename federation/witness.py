"""The node's witness: cosigns each checkpoint of a known log that extends the one before, and nothing else.

What is held is read, the step judged and the result stored in one transaction, and the signature is made after it is
durable: two requests at a time, or a crash, cannot take a log back. Source: docs/protocol/53-witnesses.md §3, §7.
"""

from collections.abc import Callable
from typing import Final

from protocol.errors import MissingError
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import CheckpointNote, SignedCheckpoint, parse_checkpoint
from protocol.tlog.cosignature import cosign
from protocol.tlog.merkle import ConsistencyError
from protocol.tlog.note import Note, lines_of, render_note, render_signatures
from protocol.tlog.witness import AddCheckpoint, SizeConflictError, advance, parse_request

from .knownlogs import KnownLog, KnownLogs
from .ports import Clock, Store
from .rows import WitnessedLogRow

#: Takes a checkpoint that its log signed and that does not follow the one held.
Doubt = Callable[[KnownLog, CheckpointNote], None]


class UnknownLogError(MissingError):
    """This witness does not follow that log."""

    code = "unknown-log"


class Witness:
    """The witness of one node."""

    def __init__(
        self, store: Store, clock: Clock, logs: KnownLogs, *, name: str, key: SigningKey, doubt: Doubt
    ) -> None:
        """`name` is the witness's key name, `key` the node's `witness` key."""
        self._store: Final = store
        self._clock: Final = clock
        self._logs: Final = logs
        self._name: Final = name
        self._key = key
        self._doubt: Final = doubt

    def rekey(self, key: SigningKey) -> None:
        """Cosign with this key from now on."""
        self._key = key

    async def add_checkpoint(self, body: bytes) -> bytes:
        """Return the cosignature line on the checkpoint in `body`, which is durably stored then.

        Raises: UnknownLogError; whatever `parse_request` and `advance` raise (`protocol.tlog.witness.status` gives the
            status of each); UnavailableError: the disk failed.
        """
        request = parse_request(body)
        log = self._logs.of(request.checkpoint.checkpoint.origin)
        if log is None:
            raise UnknownLogError("this witness does not follow that log")
        try:
            signed = await self._advanced(log, request)
        except (ConsistencyError, SizeConflictError):
            self._doubt(log, request.checkpoint)
            raise
        line = cosign(signed, name=self._name, key=self._key, now=self._clock.now())
        return render_signatures([line]).encode()

    async def _advanced(self, log: KnownLog, request: AddCheckpoint) -> SignedCheckpoint:
        async with self._store.write() as tx:
            row = await tx.get(WitnessedLogRow, log.origin)
            signed = advance(parse_checkpoint(row.note).checkpoint if row else None, request, log.keys)
            await tx.put(
                WitnessedLogRow(
                    origin=log.origin,
                    size=signed.checkpoint.size,
                    note=_bare(log, signed),
                    at=self._clock.now(),
                )
            )
        return signed


def _bare(log: KnownLog, signed: SignedCheckpoint) -> bytes:
    """Return the checkpoint with the lines of its log alone: others' lines are not verified here."""
    lines = tuple(line for _, line in lines_of(signed.note, log.keys))
    return render_note(Note(text=signed.note.text, signatures=lines))
