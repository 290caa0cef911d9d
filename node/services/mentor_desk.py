"""What the handshake asks of a mentor known by mailbox only: places, calendar, breaks."""

from typing import Final

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Reader, Writer, where
from federation.rows import MissRow
from node.rows import MentorRow

from .availability import answer_deadline
from .labels import member_of
from .mentors import parse_profile
from .profile import MentorProfile

#: A mentor who lets so many deadlines in a row pass is paused, and asked whether they still want to mentor.
MISSES: Final = 2
PAUSE_S: Final = 14 * 86_400
FALLBACK_DAYS: Final = 2


class MentorDesk:
    """The `Mentors` of the mentor's side of a handshake."""

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock

    async def capacity(self, tx: Reader, label: str) -> int:
        """Return the places of an active, unpaused mentor; 0 for anybody else."""
        about, mentor = await member_of(tx, label), await self._mentor(tx, label)
        if about is None or mentor is None or not (about.active and mentor.opted_in):
            return 0
        profile = parse_profile(mentor)
        return 0 if profile.paused(self._clock.now()) else profile.per_week

    async def profile(self, tx: Reader, label: str) -> MentorProfile | None:
        """Return the private profile behind a mailbox, or None."""
        mentor = await self._mentor(tx, label)
        return parse_profile(mentor) if mentor else None

    async def answer_deadline(self, tx: Reader, label: str, received_at: int, *, working_days: int) -> int:
        """Return until when this mentor may answer, in their own calendar."""
        profile = await self.profile(tx, label)
        if profile is None:
            return received_at + FALLBACK_DAYS * 86_400
        return answer_deadline(profile.availability, received_at, working_days=working_days)

    async def answered(self, tx: Writer, label: str, *, pause: bool) -> None:
        """Forget missed deadlines; with `pause` take no new requests for two weeks."""
        await tx.delete(MissRow, where(label=label))
        if pause:
            await self._pause(tx, label)

    async def missed(self, tx: Writer, label: str) -> None:
        """Note a missed deadline; after the second in a row the mentor is paused."""
        row = await tx.get(MissRow, label) or MissRow(label=label, count=0)
        await tx.put(replace(row, count=row.count + 1))
        if row.count + 1 >= MISSES:
            await self._pause(tx, label)

    async def _pause(self, tx: Writer, label: str) -> None:
        mentor = await self._mentor(tx, label)
        if mentor is None:
            return
        paused = replace(parse_profile(mentor), paused_until=self._clock.now() + PAUSE_S)
        await tx.put(replace(mentor, profile=msgspec.json.encode(paused).decode()))

    async def _mentor(self, tx: Reader, label: str) -> MentorRow | None:
        about = await member_of(tx, label)
        return await tx.get(MentorRow, about.member) if about else None
