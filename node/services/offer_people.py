"""Who counts behind offers: active members as the member file has them, and the mentors who agreed to be listed."""

from federation.ports import Reader, where
from node.rows import MemberRow, MentorRow
from protocol.crowd import Member, Mentor
from protocol.vocabulary import Topic

from .member_csv import LIST_SEPARATOR
from .mentors import parse_profile


async def members(reader: Reader) -> tuple[Member, ...]:
    """Return the active members with what counts for offers."""
    return tuple(_member(row) for row in await reader.find(MemberRow, where(active=True)))


async def mentors(reader: Reader) -> tuple[Mentor, ...]:
    """Return the mentors on whom offers outside may rest, also while they are paused.

    A pause changes nothing outside: otherwise the catalog would tell peers when somebody is away.
    """
    return tuple(_mentor(row) for row in await reader.find(MentorRow, where(opted_in=True, listed=True)))


def _member(row: MemberRow) -> Member:
    return Member(
        member=row.member,
        job_family=row.job_family,
        band=row.band,  # type: ignore[arg-type]  # checked when the file was read
        country=row.country,
        languages=_parts(row.languages),
        skills=_parts(row.skills),
    )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(text.split(LIST_SEPARATOR)) if text else ()


def _mentor(row: MentorRow) -> Mentor:
    profile = parse_profile(row)
    return Mentor(
        member=row.member,
        topics=tuple(Topic(id=topic.id, kind=topic.kind) for topic in profile.topics),
        formats=profile.formats,
        lengths=profile.lengths,
        languages=profile.languages,
    )
