"""Contact tokens at the mentor's node: given and revoked by the mentor's devices, and looked up when one is used.

Source: docs/protocol/31-handshake.md §11.
"""

from typing import Final

import msgspec

from federation.ports import Clock, Reader, Store, at_most, where
from node.rows import ContactTokenRow
from protocol.contacttokens import LIFE_S, SKEW_S, token_commitment
from protocol.encoding import unb64
from protocol.errors import ConflictError, LimitError, MalformedError, MissingError
from protocol.ids import Bytes32, RandomId, Seconds

from .accounts import Person
from .ownership import require_device

#: Tokens that one mentor may have given; more than anybody meets in two years.
MAX_TOKENS: Final = 1_000
_WHAT: Final = "gives and revokes contact tokens"


class GiveToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Until when a token counts: `{"expires_at":1862128000}`."""

    expires_at: Seconds


class ContactTokens:
    """The tokens of all mentors."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock

    async def give(self, person: Person, commitment: Bytes32, command: GiveToken) -> None:
        """Let whoever holds a token ask this person until it expires; saying it again changes nothing.

        Raises: RefusedError: no device; MalformedError: over already, or valid too long; ConflictError, LimitError.
        """
        now, key = self._clock.now(), unb64(commitment, size=32, what="commitment")
        if not now < command.expires_at <= now + LIFE_S + SKEW_S:
            raise MalformedError(f"a contact token lives at most {LIFE_S // 86_400} days")
        async with self._store.write() as writer:
            await require_device(writer, person, what=_WHAT)
            known = await writer.get(ContactTokenRow, key)
            if known is not None and known.member != person.member:
                raise ConflictError("this token is somebody else's: make another one")
            if known is None and await writer.count(ContactTokenRow, where(member=person.member)) >= MAX_TOKENS:
                raise LimitError(f"a mentor gives at most {MAX_TOKENS} contact tokens: revoke some first")
            await writer.put(ContactTokenRow(commitment=key, member=person.member, expires_at=command.expires_at))

    async def revoke(self, person: Person, commitment: Bytes32) -> None:
        """End a token at once. Raises: RefusedError: no device; MissingError: this person gave no such token."""
        key = unb64(commitment, size=32, what="commitment")
        async with self._store.write() as writer:
            await require_device(writer, person, what=_WHAT)
            if not await writer.delete(ContactTokenRow, where(commitment=key, member=person.member)):
                raise MissingError("you gave no such contact token, or it has ended")

    async def sweep(self) -> None:
        """Erase tokens whose time is over."""
        async with self._store.write() as writer:
            await writer.delete(ContactTokenRow, at_most("expires_at", self._clock.now()))


async def mentor_of(tx: Reader, token: RandomId, *, now: int) -> str | None:
    """Return whom a token lets somebody ask, None when it is unknown, revoked or over."""
    row = await tx.get(ContactTokenRow, unb64(token_commitment(token)))
    return row.member if row is not None and now < row.expires_at else None
