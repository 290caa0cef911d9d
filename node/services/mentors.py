"""Mentors: their private profiles, opting in and out, and their consents. Opting out works at once.

Who has opted in is known to the matcher and to the person, and to nobody else in the organization.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Reader, Store, Writer, where
from node.rows import MemberRow, MentorRow
from protocol.concepts import Vocabulary
from protocol.errors import MissingError, RefusedError

from . import consents
from .availability import require_valid
from .consents import Consent, ConsentKind
from .profile import MentorProfile

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(MentorProfile)


class MentorView(msgspec.Struct, frozen=True, kw_only=True):
    """A mentor as they see themselves. `listed`: offers outside may rest on them."""

    profile: MentorProfile | None = None
    opted_in: bool = False
    listed: bool = False
    consents: tuple[Consent, ...] = ()


class ActiveMentor(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who mentors now: what offers are made from. Never sent anywhere."""

    member: str
    profile: MentorProfile
    listed: bool


class Mentors:
    """Profiles and wishes of mentors."""

    def __init__(self, store: Store, clock: Clock, vocabulary: Callable[[], Vocabulary]) -> None:
        self._store = store
        self._clock = clock
        self._vocabulary = vocabulary

    async def view(self, member: str) -> MentorView:
        """Return what a member said about mentoring."""
        async with self._store.read() as reader:
            row = await reader.get(MentorRow, member)
            agreed = await consents.given(reader, member)
        if row is None:
            return MentorView(consents=agreed)
        return MentorView(profile=parse_profile(row), opted_in=row.opted_in, listed=row.listed, consents=agreed)

    async def save(self, member: str, profile: MentorProfile) -> None:
        """Replace the private profile; it says nothing to anybody before the person opts in.

        Raises:
            MalformedError: no such time zone or day.
            RefusedError: a topic is not in the vocabulary, or `show_more` without consent.
        """
        self._check(profile)
        async with self._store.write() as writer:
            if profile.show_more is not None:
                await consents.require(writer, member, "show-more")
            row = await writer.get(MentorRow, member) or MentorRow(member=member, profile="", changed_at=0)
            await writer.put(replace(row, profile=_encoder.encode(profile).decode(), changed_at=self._clock.now()))

    def _check(self, profile: MentorProfile) -> None:
        require_valid(profile.availability)
        vocabulary = self._vocabulary()
        for number, topic in enumerate(profile.topics):
            if topic.id not in vocabulary:
                raise RefusedError(f"topics[{number}].id is not in this node's vocabulary", code="unknown-topic")

    async def opt_in(self, member: str, *, listed: bool) -> None:
        """Mentor from now on; with `listed` offers outside may rest on the profile as well.

        Raises: RefusedError: a consent or the profile is missing. MissingError: no such active member.
        """
        async with self._store.write() as writer:
            about = await writer.get(MemberRow, member)
            if about is None or not about.active:
                raise MissingError("no active member has this id")
            await consents.require(writer, member, "mentoring")
            if listed:
                await consents.require(writer, member, "listing")
            row = await writer.get(MentorRow, member)
            if row is None:
                raise RefusedError("write your mentor profile first", code="no-profile")
            await writer.put(replace(row, opted_in=True, listed=listed, changed_at=self._clock.now()))

    async def opt_out(self, member: str) -> None:
        """Mentor no longer, at once; the profile stays for another time. Doing it twice is no mistake."""
        async with self._store.write() as writer:
            await stand_down(writer, member, now=self._clock.now())

    async def pause(self, member: str, until: int) -> None:
        """Take no new requests before `until`. Raises: MissingError: no profile."""
        async with self._store.write() as writer:
            row = await writer.get(MentorRow, member)
            if row is None:
                raise MissingError("there is no mentor profile")
            await writer.put(_with_profile(row, replace(parse_profile(row), paused_until=until)))

    async def give_consent(self, member: str, kind: ConsentKind, version: int) -> None:
        """Record a consent. Raises: RefusedError: not the current version."""
        async with self._store.write() as writer:
            await consents.give(writer, member, kind, version, now=self._clock.now())

    async def withdraw_consent(self, member: str, kind: ConsentKind) -> None:
        """Record a withdrawal, and end at once what rested on the consent."""
        now = self._clock.now()
        async with self._store.write() as writer:
            await consents.withdraw(writer, member, kind, now=now)
            if kind == "mentoring":
                await stand_down(writer, member, now=now)
                return
            row = await writer.get(MentorRow, member)
            if row is not None and kind == "listing":
                await writer.put(replace(row, listed=False, changed_at=now))
            elif row is not None:
                await writer.put(_with_profile(row, replace(parse_profile(row), show_more=None)))

    async def active(self) -> tuple[ActiveMentor, ...]:
        """Return everybody who mentors now and is not paused, in the order of their ids."""
        async with self._store.read() as reader:
            return await active_mentors(reader, now=self._clock.now())


async def active_mentors(reader: Reader, *, now: int) -> tuple[ActiveMentor, ...]:
    """Return as `Mentors.active`, inside a transaction."""
    here = {row.member for row in await reader.find(MemberRow, where(active=True))}
    found = (
        ActiveMentor(member=row.member, profile=parse_profile(row), listed=row.listed)
        for row in await reader.find(MentorRow, where(opted_in=True))
        if row.member in here
    )
    return tuple(mentor for mentor in found if not mentor.profile.paused(now))


async def stand_down(writer: Writer, member: str, *, now: int) -> None:
    """Opt a member out inside a transaction."""
    row = await writer.get(MentorRow, member)
    if row is not None and (row.opted_in or row.listed):
        await writer.put(replace(row, opted_in=False, listed=False, changed_at=now))


def parse_profile(row: MentorRow) -> MentorProfile:
    """Return the profile that a row holds."""
    return _decoder.decode(row.profile)


def _with_profile(row: MentorRow, profile: MentorProfile) -> MentorRow:
    return replace(row, profile=_encoder.encode(profile).decode())
