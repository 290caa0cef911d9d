"""Agreements in the node's log: one leaf at the end of each head period, with a root that says nothing by itself.

Source: docs/protocol/55-node-log.md §3.
"""

from typing import Final

from msgspec.structs import replace

from protocol.commitments import COMMITMENT_BYTES, SALT_BYTES
from protocol.encoding import unb64
from protocol.logleaves import agreement_commitment, agreements_leaf, period_size, render_leaf
from protocol.tlog.merkle import leaf_hash as hash_of_leaf

from .ports import Clock, Entropy, Store, Writer, at_most, where
from .rows import LogAgreementRow, LogPeriodRow
from .sequencer import Sequencer

#: Salts and commitments are kept so long, for whoever wants to prove an agreement.
KEEP_S: Final = 30 * 86_400
#: Agreements of one period at most; what is left waits for the next one.
MOST: Final = 4096


async def note_agreement(tx: Writer, thread: str, side: str, agreement_hash: str, *, now: int) -> None:
    """Have the period that runs commit to an agreement, in the transaction that makes it final here."""
    digest = unb64(agreement_hash)
    await tx.put(LogAgreementRow(thread=thread, side=side, digest=digest, purge_at=now + KEEP_S))


class AgreementPeriods:
    """Ends the periods of one node."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, sequencer: Sequencer) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._sequencer: Final = sequencer

    async def end(self) -> None:
        """Log the period that ends now, with or without agreements; erase what was kept long enough."""
        now = self._clock.now()
        async with self._store.write() as tx:
            await tx.delete(LogAgreementRow, at_most("purge_at", now))
            await tx.delete(LogPeriodRow, at_most("purge_at", now))
            rows = await tx.find(LogAgreementRow, where(leaf=b""), limit=MOST)
            salted = [replace(row, salt=self._entropy.take(SALT_BYTES)) for row in rows]
            missing = period_size(len(salted)) - len(salted)
            commitments = sorted(
                [
                    *(agreement_commitment(row.digest, row.salt) for row in salted),
                    *(self._entropy.take(COMMITMENT_BYTES) for _ in range(missing)),
                ]
            )
            leaf = agreements_leaf(tuple(commitments), until=now)
            await self._sequencer.append(tx, leaf)
            if not salted:
                return
            hashed = hash_of_leaf(render_leaf(leaf))
            await tx.put(*(replace(row, leaf=hashed) for row in salted))
            await tx.put(LogPeriodRow(leaf=hashed, commitments=b"".join(commitments), purge_at=now + KEEP_S))
