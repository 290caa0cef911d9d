"""Reads what makes stored heads of keys usable: their proofs in the log, and who attested them.

Source: docs/protocol/13-key-directory.md §5, §6.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from protocol.encoding import decode
from protocol.heads import HEAD_TYP, SetHead, SetKind
from protocol.jws import parse

from .ports import Condition, Reader, is_in, where
from .rows import AttestationRow, HeadProofRow

KIND: Final[SetKind] = "keys"


async def usable_proof(rows: Reader, origin: str, audience: str) -> HeadProofRow | None:
    """Return the newest head of keys, with its proof, that people's devices may rely on."""
    return await newest_proof(rows, origin, audience, where(complete=True))


async def newest_proof(rows: Reader, origin: str, audience: str, *more: Condition) -> HeadProofRow | None:
    """Return the newest head of keys whose proof is stored, of those that fulfil the conditions."""
    place = where(origin=origin, audience=audience, kind=KIND)
    found = await rows.find(HeadProofRow, place, *more, order="-seq", limit=1)
    return found[0] if found else None


def proven_head(row: HeadProofRow) -> SetHead:
    """Return the content of a head whose proof was stored."""
    return decode(parse(row.head, HEAD_TYP).payload, SetHead, what="set head")


class EnclosedProof(msgspec.Struct, frozen=True, kw_only=True):
    """A stored proof with the statements that complete it."""

    row: HeadProofRow
    attestations: tuple[str, ...]


async def enclosed(rows: Reader, row: HeadProofRow, attesters: Iterable[str]) -> EnclosedProof:
    """Return a stored proof with what those who attest now said, by who made it."""
    place = where(origin=row.origin, audience=row.audience, kind=row.kind, seq=row.seq)
    found = await rows.find(AttestationRow, place, is_in("attester", attesters), order="attester")
    return EnclosedProof(row=row, attestations=tuple(each.statement for each in found))
