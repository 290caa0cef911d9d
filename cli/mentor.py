"""`mentormesh mentor`: one's own mentor profile, opting in and out, consents, and what others would see."""

import re
from datetime import UTC, datetime
from typing import Final, get_args

import click
import msgspec

from cli.client.person import Person
from cli.client.words import APPROACHES, EXPERIENCES, FORMATS, KINDS, word
from node.services.consents import ConsentKind, ConsentText
from node.services.mentors import MentorView
from node.services.profile import Availability, MentorProfile, WeeklyWindow
from protocol.encoding import broken_rule
from protocol.errors import MalformedError, RefusedError
from protocol.needs import Approach
from protocol.vocabulary import Format, Kind

from .ask import parse_time
from .person_access import Terminal, person_command

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW: Final = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? ([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")


def parse_weekly(text: str) -> tuple[WeeklyWindow, ...]:
    """Return the windows of `tue 14:00-16:00` or `mon-fri 9:00-12:00`. Raises: MalformedError."""
    found = _WINDOW.fullmatch(text.strip().lower())
    if found is None or found[1] not in DAYS or (found[2] or found[1]) not in DAYS:
        raise MalformedError("a window looks like `tue 14:00-16:00` or `mon-fri 9:00-12:00`")
    first, last = DAYS.index(found[1]), DAYS.index(found[2] or found[1])
    start, end = int(found[3]) * 60 + int(found[4]), int(found[5]) * 60 + int(found[6])
    try:
        fields = [{"weekday": day, "start": start, "end": end} for day in range(first, last + 1)]
        windows = msgspec.convert(fields, tuple[WeeklyWindow, ...])
    except msgspec.ValidationError:
        raise MalformedError("a window starts and ends at full quarters of an hour, within one day") from None
    if not windows:
        raise MalformedError("days of a window run forward, such as mon-fri")
    return windows


@click.group()
def mentor() -> None:
    """Say what you can help with, and when."""


@mentor.command("set")
@click.option("--topic", "topics", multiple=True, metavar="ID[=KIND]", help="What you help with; replaces all topics.")
@click.option("--kind", type=click.Choice(get_args(Kind)), default="been-through", show_default=True)
@click.option("--experience", multiple=True, type=click.Choice(list(EXPERIENCES)), help="Behind all topics given here.")
@click.option("--language", "languages", multiple=True, help="Language you speak; may be repeated.")
@click.option("--format", "formats", multiple=True, type=click.Choice(get_args(Format)), help="May be repeated.")
@click.option("--length", "lengths", multiple=True, type=click.Choice(["15", "20", "30", "45", "60"]))
@click.option("--window", "windows", multiple=True, metavar="DAYS TIME-TIME", help="Such as `tue 14:00-16:00`.")
@click.option("--zone", help="Your time zone, such as Europe/Berlin.")
@click.option("--per-week", type=click.IntRange(1, 10), help="Requests and sessions at once in one week.")
@click.option("--approach", multiple=True, type=click.Choice(get_args(Approach)), help="Up to four.")
@click.option("--line", help="A line that people who ask may read before you accept; needs the show-more consent.")
@click.option("--known-as", help="A first name or role that people who ask may read; needs the show-more consent.")
@click.option("--show-nothing-more", is_flag=True, help="Take line and name back.")
@click.option("--pause-until", metavar="TIME", help="Take no new requests before this time.")
@person_command
async def set_profile(
    me: Person,
    terminal: Terminal,
    *,
    topics: tuple[str, ...],
    kind: Kind,
    experience: tuple[str, ...],
    windows: tuple[str, ...],
    zone: str | None,
    line: str | None,
    known_as: str | None,
    show_nothing_more: bool,
    pause_until: str | None,
    **plain: object,
) -> None:
    """Write or change your private mentor profile; what is not named stays as it is."""
    known = (await me.api.me()).mentoring.profile
    fields: dict[str, object] = msgspec.to_builtins(known) if known else _defaults(terminal)
    if topics:
        fields["topics"] = [_topic(one, kind, experience) for one in topics]
    fields |= {name: value for name, value in plain.items() if value}
    if plain.get("lengths"):
        fields["lengths"] = [int(str(one)) for one in _listed(plain["lengths"])]
    fields["availability"] = _availability(known, windows, zone)
    if line is not None or known_as is not None:
        before = known.show_more if known else None
        fields["show_more"] = {
            "line": line if line is not None else before.line if before else "",
            "known_as": known_as if known_as is not None else before.known_as if before else "",
        }
    if show_nothing_more:
        fields["show_more"] = None
    if pause_until:
        fields["paused_until"] = parse_time(pause_until)
    if not fields.get("topics"):
        raise RefusedError("name at least one --topic: `mentormesh vocabulary search` and `mentormesh ask` show ids")
    try:
        profile = msgspec.convert(fields, MentorProfile)
    except msgspec.ValidationError as error:
        raise MalformedError(f"the profile is not valid: {broken_rule(error)}") from None
    _show(terminal, await me.api.save_profile(profile))


def _defaults(terminal: Terminal) -> dict[str, object]:
    return {"languages": [terminal.language], "formats": ["call", "text"], "lengths": [30]}


def _listed(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _topic(text: str, kind: Kind, experience: tuple[str, ...]) -> dict[str, object]:
    name, _, own = text.partition("=")
    return {"id": name, "kind": own or kind, "experience": list(experience)}


def _availability(known: MentorProfile | None, windows: tuple[str, ...], zone: str | None) -> Availability:
    before = known.availability if known else Availability(zone=zone or "UTC")
    weekly = tuple(one for text in windows for one in parse_weekly(text)) or before.weekly
    return Availability(zone=zone or before.zone, weekly=weekly, exceptions=before.exceptions)


@mentor.command("on")
@click.option("--listed", is_flag=True, help="Offers that your organization lists outside may rest on you too.")
@click.option("--agree", is_flag=True, help="Agree to the consent texts that are needed.")
@person_command
async def switch_on(me: Person, terminal: Terminal, *, listed: bool, agree: bool) -> None:
    """Mentor from now on."""
    wanted: tuple[ConsentKind, ...] = ("mentoring", "listing") if listed else ("mentoring",)
    await _require_consents(me, terminal, wanted, agree=agree)
    _show(terminal, await me.api.opt_in(listed=listed))


@mentor.command("off")
@person_command
async def switch_off(me: Person, terminal: Terminal) -> None:
    """Mentor no longer; it takes effect at once."""
    _show(terminal, await me.api.opt_out())


@mentor.command()
@click.argument("kind", type=click.Choice(get_args(ConsentKind)))
@click.option("--agree", is_flag=True, help="You have read the text: do not ask.")
@click.option("--withdraw", is_flag=True, help="Agree no longer; what rested on it ends at once.")
@person_command
async def consent(me: Person, terminal: Terminal, *, kind: ConsentKind, agree: bool, withdraw: bool) -> None:
    """Read a consent text and agree to it, or withdraw."""
    text = await _current(me, kind)
    if withdraw:
        _show(terminal, await me.api.consent(kind, text.version, given=False))
        return
    await _require_consents(me, terminal, (kind,), agree=agree)
    _show(terminal, (await me.api.me()).mentoring)


async def _current(me: Person, kind: ConsentKind) -> ConsentText:
    return max((one for one in await me.api.consent_texts() if one.kind == kind), key=lambda one: one.version)


async def _require_consents(me: Person, terminal: Terminal, kinds: tuple[ConsentKind, ...], *, agree: bool) -> None:
    """Give the consents that are missing, each after its text was read."""
    given = {(one.kind, one.version) for one in (await me.api.me()).mentoring.consents if one.withdrawn_at is None}
    for kind in kinds:
        text = await _current(me, kind)
        if (kind, text.version) in given:
            continue
        terminal.say(text.de if terminal.language == "de" else text.en)
        if not agree and not terminal.can_ask:
            raise RefusedError(f"consent `{kind}` is needed: read the text above, then say --agree", code="consent")
        if not agree:
            click.confirm("Do you agree?", abort=True, err=True)
        await me.api.consent(kind, text.version)


@mentor.command()
@person_command
async def show(me: Person, terminal: Terminal) -> None:
    """Show your mentor profile and what you agreed to."""
    _show(terminal, (await me.api.me()).mentoring)


@mentor.command()
@person_command
async def preview(me: Person, terminal: Terminal) -> None:
    """Show what others see of each of your topics, and why."""
    topics = await me.api.preview(terminal.language)
    rows = [(one.inside, one.outside or "–", one.why) for one in topics]
    terminal.table(topics, ("inside", "outside", "why"), rows, empty="Nothing: you are not listed as a mentor.")


def _show(terminal: Terminal, view: MentorView) -> None:
    terminal.result(view, _lines(view, terminal.language))


def _lines(view: MentorView, language: str) -> list[str]:
    state = "You mentor, and offers outside may rest on you." if view.listed else "You mentor."
    lines = [state if view.opted_in else "You do not mentor at the moment."]
    profile = view.profile
    if profile is None:
        return [*lines, "There is no profile yet: mentormesh mentor set --topic ID"]
    lines += [f"  {one.id} ({word(KINDS, one.kind, language)})" for one in profile.topics]
    lines.append(f"Languages {', '.join(profile.languages)}; {', '.join(map(str, profile.lengths))} minutes")
    lines.append(f"Formats: {', '.join(word(FORMATS, one, language) for one in profile.formats)}")
    lines += [f"  {DAYS[one.weekday]} {_clock(one.start)}-{_clock(one.end)}" for one in profile.availability.weekly]
    lines.append(f"Time zone {profile.availability.zone}; {profile.per_week} at once in a week")
    if profile.approach:
        lines.append(f"How: {', '.join(word(APPROACHES, one, language) for one in profile.approach)}")
    if profile.show_more is not None:
        lines.append(f"Shown to people who ask: {profile.show_more.known_as} {profile.show_more.line}".rstrip())
    if profile.paused_until is not None:
        lines.append(f"Paused until {datetime.fromtimestamp(profile.paused_until, UTC).date()}")
    agreed = [f"{one.kind} ({one.version})" for one in view.consents if one.withdrawn_at is None]
    return [*lines, f"Agreed to: {', '.join(agreed) or 'nothing'}"]


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
