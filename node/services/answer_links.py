"""Mailed links by which a mentor answers without a device: looking changes nothing, each request is answered once.

A link names an action; the page behind it asks once more and posts. Only the hash of a token is stored.
"""

from typing import Final, Literal

import msgspec

from federation.ports import Clock, Entropy, Reader, Store, Writer, at_most, where
from federation.rows import AnswerLinkRow, ThreadRow
from protocol.encoding import b64, decode, sha256, unb64
from protocol.errors import MissingError, RefusedError
from protocol.handshake import Side, State
from protocol.needs import Window
from protocol.vocabulary import Format, Length

from .answering import Answering
from .availability import slots
from .mentor_desk import MentorDesk
from .mentor_side import Agree, Answer, Counter, Decline, ProviderNotes
from .places import taken

Action = Literal["accept", "other-time", "decline", "decline-pause"]
TOKEN_BYTES: Final = 24
#: Other times that the page proposes for choosing.
OTHER_TIMES: Final = 12
LOOK_AHEAD_S: Final = 14 * 86_400


class AnswerPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the page behind a link shows before it asks."""

    action: Action
    format: Format
    length: Length
    slot: int | None
    deadline: int
    zone: str
    other_times: tuple[int, ...] = ()


class AnswerLinks:
    """Makes, shows and uses answer links."""

    def __init__(
        self, *, store: Store, answering: Answering, mentors: MentorDesk, clock: Clock, entropy: Entropy
    ) -> None:
        self._store: Final = store
        self._answering: Final = answering
        self._mentors: Final = mentors
        self._clock: Final = clock
        self._entropy: Final = entropy

    async def make(self, tx: Writer, thread: str, action: Action, *, slot: int | None, expires_at: int) -> str:
        """Return the token of a new link, stored by its hash in the caller's transaction."""
        token = self._entropy.take(TOKEN_BYTES)
        row = AnswerLinkRow(
            token_hash=b64(sha256(token)), thread=thread, action=action, slot=slot, expires_at=expires_at
        )
        await tx.insert(row)
        return b64(token)

    async def show(self, token: str) -> AnswerPage:
        """Return what a link is about. Raises: MissingError: no such link, used, or expired."""
        async with self._store.read() as tx:
            link, thread = await self._find(tx, token)
            notes = decode(thread.notes, ProviderNotes)
            profile = await self._mentors.profile(tx, thread.label)
            if notes.choice is None or profile is None:
                raise _gone()
            times: tuple[int, ...] = ()
            if link.action == "other-time":
                now = self._clock.now()
                ahead = Window(start=now + 3600, end=now + LOOK_AHEAD_S)
                held = await taken(tx, thread.label)
                free = slots(profile.availability, ahead, held, length=notes.choice.length)
                times = tuple(slot for slot, _ in zip(free, range(OTHER_TIMES), strict=False))
            return AnswerPage(
                action=msgspec.convert(link.action, Action),
                format=notes.choice.format,
                length=notes.choice.length,
                slot=link.slot,
                deadline=link.expires_at,
                zone=profile.availability.zone,
                other_times=times,
            )

    async def use(self, token: str, *, times: tuple[int, ...] = ()) -> Action:
        """Answer as the link says; every link of the request is used up by it.

        Args:
            times: for `other-time`, one to five start times out of those shown.
        Raises: MissingError: no such link, used, or expired; RefusedError: a time is not free any more.
        """
        async with self._store.write() as tx:
            link, thread = await self._find(tx, token)
            action: Action = msgspec.convert(link.action, Action)
            await self._answering.answer_in(tx, thread, _answer(action, link.slot, times))
            await tx.delete(AnswerLinkRow, where(thread=link.thread))
        return action

    async def _find(self, tx: Reader, token: str) -> tuple[AnswerLinkRow, ThreadRow]:
        digest = b64(sha256(unb64(token, size=TOKEN_BYTES, what="link")))
        link = await tx.get(AnswerLinkRow, digest)
        thread = await tx.get(ThreadRow, link.thread, Side.PROVIDER.value) if link else None
        if link is None or thread is None or link.expires_at <= self._clock.now():
            raise _gone()
        if thread.state != State.ACCEPTED.value:
            raise _gone()
        return link, thread

    async def sweep(self) -> int:
        """Forget links whose deadline is over; return how many."""
        async with self._store.write() as tx:
            return await tx.delete(AnswerLinkRow, at_most("expires_at", self._clock.now()))


def _gone() -> MissingError:
    return MissingError("this link was used, or the request does not wait any more", code="link-over")


def _answer(action: Action, slot: int | None, times: tuple[int, ...]) -> Answer:
    match action:
        case "accept":
            return Agree(slot=slot)
        case "other-time":
            if not 1 <= len(times) <= 5:
                raise RefusedError("choose one to five times", code="no-slots")
            return Counter(slots=tuple(sorted(set(times))))
        case "decline":
            return Decline(reason="other")
        case "decline-pause":
            return Decline(reason="no-time", pause=True)
