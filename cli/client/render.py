"""What a person reads in the terminal, line by line, in English or German."""

from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import Final

from protocol.bodies import Candidate, Slots
from protocol.needs import Need

from .records import ThreadRecord
from .render_board import board_lines, vanishing_line
from .render_cautions import fork_lines
from .views import (
    Agreed,
    Alarm,
    Arrived,
    Cancelled,
    Closed,
    CodeReady,
    Countered,
    Devices,
    Event,
    Exhausted,
    KeyChanged,
    Line,
    Moved,
    Mutual,
    Named,
    Passed,
    Problem,
    Proposal,
    Refused,
    Requested,
    Secured,
    SessionView,
    Shortlist,
    Shown,
    Waiting,
)
from .words import (
    APPROACHES,
    BANDS,
    EXPERIENCES,
    FITS,
    FORMATS,
    GAPS,
    KINDS,
    NOS,
    REASONS,
    ROLES,
    SAYINGS,
    STATES,
    somebody,
    time_line,
    word,
)

_TEXT: Final = {
    "companies": ("{} companies list this; nodes asked: {}.", "{} Firmen listen das; gefragte Knoten: {}."),
    "one-company": ("1 company lists this; nodes asked: {}.", "1 Firma listet das; gefragte Knoten: {}."),
    "nobody": (
        "Nobody is free for this now. Try another format or length, a wider topic, or ask again tomorrow.",
        "Gerade ist niemand dafür frei. Versuch ein anderes Format, eine andere Länge oder ein weiteres Thema.",
    ),
    "choose": ("Choose with `mentormesh request NUMBER`.", "Wähle mit `mentormesh request NUMMER`."),
    "yours": ("your company", "deine Firma"),
    "but": ("but", "aber"),
    "works": ("how", "wie"),
    "times": ("times", "Zeiten"),
    "any-time": ("text session, no appointment", "Textsitzung ohne Termin"),
    "answer-by": ("answer by", "Antwort bis"),
    "waiting": ("waiting for the other answer", "wartet auf die andere Antwort"),
    "safety": ("safety number", "Sicherheitsnummer"),
    "verified": ("codes matched on", "Codes stimmten überein am"),
    "both": ("you would both meet again", "ihr würdet euch beide wiedersehen"),
    "mine": ("me", "ich"),
}


def text(name: str, language: str) -> str:
    """Return one fixed text in the reader's language."""
    return _TEXT[name][language.startswith("de")]


def shortlist_lines(shortlist: Shortlist, language: str) -> list[str]:
    """Return the people proposed, with reasons, the one gap, how they work, and their times."""
    name = "one-company" if shortlist.companies == 1 else "companies"
    counts = (shortlist.asked,) if shortlist.companies == 1 else (shortlist.companies, shortlist.asked)
    lines = [text(name, language).format(*counts)]
    if not shortlist.proposals:
        return [*lines, text("nobody", language)]
    for proposal in shortlist.proposals:
        lines += ["", *_proposal(proposal, shortlist.need, language)]
    return [*lines, "", text("choose", language)]


def _proposal(proposal: Proposal, need: Need, language: str) -> list[str]:
    person = proposal.candidate
    where = proposal.org.display_name + (f" ({text('yours', language)})" if proposal.own else "")
    known = f" · {person.known_as}" if person.known_as else ""
    words = (word(FITS, person.fit, language), word(BANDS, person.band, language), word(KINDS, person.kind, language))
    lines = [f"{proposal.number}. {where}{known} · {' · '.join(words)}"]
    if person.reasons:
        lines.append("   + " + "; ".join(word(REASONS, one, language) for one in person.reasons))
    if person.gap:
        lines.append(f"   – {text('but', language)}: {word(GAPS, person.gap, language)}")
    lines += [f"   {line}" for line in _manner(person, language)]
    return [*lines, *slot_lines(person.slots, need.length, language)]


def _manner(person: Candidate, language: str) -> Iterable[str]:
    if person.experience:
        yield ", ".join(word(EXPERIENCES, one, language) for one in person.experience)
    if person.approach:
        yield f"{text('works', language)}: " + ", ".join(word(APPROACHES, one, language) for one in person.approach)
    if person.line:
        yield f"“{person.line}”"


def slot_lines(slots: Slots, length: int, language: str) -> list[str]:
    """Return start times with the numbers by which they are chosen."""
    if not slots:
        return [f"   {text('any-time', language)}"]
    return [f"   [{number}] {time_line(slot, length, language)}" for number, slot in enumerate(slots, 1)]


def review_lines(proposal: Proposal, prompts: Sequence[str], own: str, language: str) -> list[str]:
    """Return what each party will see of a request before it is sent."""
    org, german = proposal.org.display_name, language.startswith("de")
    count = len("".join(prompts))
    if german:
        lines = [
            f"{org}, der Knoten: Thema, Format, Länge, Sprache, deine Wunschzeiten, und dass jemand von {own} fragt.",
            f"{org}, diese eine Person auf ihrem Gerät: deine {count} Zeichen und die Angaben über dich, kein Name.",
            f"{own}: dass du bei {org} etwas anfragst, lesen kann es das nicht. Gesucht wurde im Speicher, ohne Spur.",
        ]
        names = "Namen sehen nur ihr beide, und erst nach der Zusage."
    else:
        lines = [
            f"{org}, its node: topic, format, length, language, the times you chose, and that somebody of {own} asks.",
            f"{org}, that one person on their device: your {count} characters, what you say about yourself, no name.",
            f"{own}: that you ask something at {org}, which it cannot read. It searched in memory and kept no trace.",
        ]
        names = "Names are shown to the two of you only, once they say yes."
    # Inside one company the node of the first line is that of the third, which then reads the topic after all.
    return [*(lines[:2] if proposal.own else lines), names]


def requested_lines(request: Requested, deadline: int | None, need: Need, language: str) -> list[str]:
    """Return the confirmation: until when an answer comes, and what happens next."""
    german = language.startswith("de")
    when = (
        time_line(deadline, language=language)
        if deadline
        else ("zwei Arbeitstagen im Kalender der Person" if german else "two working days in that person's calendar")
    )
    times = [time_line(slot, need.length, language) for slot in request.slots]
    if german:
        after = "wird von selbst die nächste Person gefragt" if request.backups else "sagt dir dieses Programm Bescheid"
        return [
            f"Gesendet an eine Person bei {request.org.display_name}.",
            *([f"Zeiten: {', '.join(times)}."] if times else []),
            f"Antwort bis: {when}. Bei einer Absage {after}.",
            "Dabei bleiben: mentormesh threads --follow",
        ]
    after = "the next person is asked by itself" if request.backups else "this program tells you"
    return [
        f"Sent to one person at {request.org.display_name}.",
        *([f"Times: {', '.join(times)}."] if times else []),
        f"Answer by: {when}. After a no {after}.",
        "To stay with it: mentormesh threads --follow",
    ]


def unvouched(language: str) -> str:
    """Return what to say in amber when no directory stands for a name."""
    return _both(
        language,
        "Their organization's key directory does not stand for this name: ask who it is, and compare codes",
        "Das Schlüsselverzeichnis ihrer Organisation steht nicht für diesen Namen ein: fragt nach und vergleicht Codes",
    )


def unwitnessed(language: str) -> str:
    """Return what to show in amber when nobody outside an organization can attest its people's keys."""
    return _both(
        language,
        "CAUTION: keys not witnessed from outside: compare the code.",
        "VORSICHT: Schlüssel nicht von außen bezeugt: vergleicht den Code.",
    )


def known_words(name: str, language: str) -> str:
    """Return that somebody whom the mentor has met asks again."""
    return f"{name} fragt dich wieder." if language.startswith("de") else f"{name}, whom you have met, asks you again."


def waiting_lines(request: Waiting, topic: str, language: str) -> list[str]:
    """Return a request as its mentor reads it: who, why, the brief, the times, the deadline."""
    deadline = f"{text('answer-by', language)} {time_line(request.deadline, language=language)}"
    return [
        f"{request.thread}  {request.org} · {topic} · {word(FORMATS, request.format, language)}, {request.length} min",
        *([f"   {known_words(request.known, language)}"] if request.known else []),
        f"   {somebody(request.about, request.reason, request.chosen_from, language)}",
        *(f"   {number}) {line}" for number, part in enumerate(request.prompts, 1) for line in part.splitlines()),
        *slot_lines(request.slots, request.length, language),
        f"   {deadline}",
        *([] if request.witnessed else [f"   {unwitnessed(language)}"]),
    ]


def thread_line(record: ThreadRecord, org: str, language: str, *, missing: int = 0) -> str:
    """Return one thread in a line; `missing` says at how many places something never arrived."""
    why = f" ({word(NOS, record.reason, language)})" if record.reason else ""
    when = f" · {time_line(record.slot, record.length, language)}" if record.slot else ""
    role = word(ROLES, record.role, language)
    gap = f" · {word(SAYINGS, 'missing', language)}" if missing else ""
    return f"{record.thread}  {org} · {role} · {word(STATES, record.state, language)}{why}{when}{gap}"


def line_of(line: Line, name: str, language: str) -> str:
    """Return one line of a session as it is printed."""
    who = text("mine", language) if line.mine else name or word(ROLES, line.from_role, language)
    kind = "" if line.kind == "chat" else f" [{line.kind}]"
    return f"{who}{kind}: {line.text}"


def session_lines(view: SessionView, language: str, *, numbers: bool = False) -> list[str]:
    """Return a whole session, with the numbers by which messages are named if wanted."""
    lines = [
        f"#{line.number} {line_of(line, view.name, language)}" if numbers else line_of(line, view.name, language)
        for line in view.lines
        if line.kind != "name"
    ]
    state = {"": [], "waiting": [text("waiting", language)], "yes": [text("both", language)]}[view.again]
    caution = [] if view.witnessed else [unwitnessed(language)]
    number = [f"{text('safety', language)}: {view.safety}"] if view.safety else []
    clock = vanishing_line(view, language)
    if not view.vouched:
        number.append(unvouched(language))
    if view.verified_at:
        number.append(f"{text('verified', language)} {time_line(view.verified_at, language=language)}")
    return [
        f"{view.thread}  {view.name or view.entity}",
        *fork_lines(view, language),
        *number,
        *caution,
        *([clock] if clock else []),
        *lines,
        *board_lines(view, language),
        *state,
    ]


@singledispatch
def event_line(event: Event, language: str) -> str:
    """Return one event in a line."""
    raise TypeError(f"no words for {type(event).__name__} in {language}")


def _both(language: str, english: str, german: str) -> str:
    return german if language.startswith("de") else english


@event_line.register
def _(event: Arrived, language: str) -> str:
    return _both(
        language,
        f"A new request waits for you: mentormesh inbox (answer by {time_line(event.request.deadline)})",
        f"Eine neue Anfrage wartet: mentormesh inbox ({time_line(event.request.deadline, language='de')})",
    )


@event_line.register
def _(event: Refused, language: str) -> str:
    return f"{event.org}: {word(NOS, event.reason, language)}"


@event_line.register
def _(event: Passed, language: str) -> str:
    org = event.request.org.display_name
    return _both(
        language, f"The next person was asked by itself: {org}", f"Die nächste Person wurde von selbst gefragt: {org}"
    )


@event_line.register
def _(event: Exhausted, language: str) -> str:
    return _both(
        language,
        f"Nobody is left to ask after {event.tried}: ask again later or more widely",
        f"Nach {event.tried} ist niemand mehr übrig: frag später oder weiter gefasst noch einmal",
    )


@event_line.register
def _(event: Countered, language: str) -> str:
    times = ", ".join(time_line(slot, language=language) for slot in event.slots)
    how = f"mentormesh request --thread {event.thread} --slot 1"
    return _both(language, f"Other times are proposed: {times} ({how})", f"Andere Zeiten: {times} ({how})")


@event_line.register
def _(event: Agreed, language: str) -> str:
    when = time_line(event.slot, language=language) if event.slot else text("any-time", language)
    return _both(language, f"Agreed: {when}", f"Vereinbart: {when}")


@event_line.register
def _(event: Secured, language: str) -> str:
    how = f"mentormesh session {event.thread}"
    said = _both(language, f"Keys checked, the session is open: {how}", f"Schlüssel geprüft, Sitzung offen: {how}")
    return said if event.witnessed else f"{said}\n{unwitnessed(language)}"


@event_line.register
def _(event: Named, language: str) -> str:
    role = word(ROLES, event.from_role, language)
    said = _both(language, f"Your {role} is {event.name}", f"{role}: {event.name}")
    return said if event.vouched else f"{said}\n{unvouched(language)}"


@event_line.register
def _(event: Shown, language: str) -> str:
    kind = "" if event.kind == "chat" else f" [{event.kind}]"
    return f"{word(ROLES, event.from_role, language)}{kind}: {event.text}"


@event_line.register
def _(_event: Mutual, language: str) -> str:
    return _both(language, "You would both meet again", "Ihr würdet euch beide wiedersehen")


@event_line.register
def _(event: Closed, language: str) -> str:
    role = word(ROLES, event.by, language)
    if event.both:
        return _both(
            language, "The session is over, its keys are destroyed", "Die Sitzung ist beendet, Schlüssel sind weg"
        )
    return _both(language, f"The {role} has closed", f"{role} hat geschlossen")


@event_line.register
def _(event: Cancelled, language: str) -> str:
    why = word(NOS, event.reason, language)
    return _both(language, f"Called off: {why}", f"Abgesagt: {why}")


@event_line.register
def _(event: Alarm, language: str) -> str:
    return _both(language, f"WARNING: {event.sentence}", f"WARNUNG: {event.sentence}")


@event_line.register
def _(event: CodeReady, language: str) -> str:
    pictures = "  ".join(f"{one.emoji} {one.name} ({one.number})" for one in event.pictures)
    numbers = " ".join(f"{one:04d}" for one in event.numbers)
    how = f"mentormesh session verify {event.thread} --matches"
    return _both(
        language,
        f"Read this to each other, by voice: {pictures} · {numbers}\nIf both are the same: {how}. If not, somebody "
        "stands between you: say nothing more here, and tell both organizations.",
        f"Lest euch das vor, mit der Stimme: {pictures} · {numbers}\nWenn beides gleich ist: {how}. Wenn nicht, "
        "steht jemand zwischen euch: schreibt hier nichts mehr und sagt es beiden Organisationen.",
    )


@event_line.register
def _(event: KeyChanged, language: str) -> str:
    return _both(language, f"KEY CHANGED: {event.sentence}", f"SCHLÜSSEL GEÄNDERT: {event.sentence}")


@event_line.register
def _(event: Moved, language: str) -> str:
    return _both(
        language,
        f"{event.name} is at {event.entity} now and was at {event.before}; the keys are the same",
        f"{event.name} ist jetzt bei {event.entity} und war bei {event.before}; die Schlüssel sind dieselben",
    )


@event_line.register
def _(event: Devices, language: str) -> str:
    return _both(
        language,
        f"Devices in this session have changed: {event.joined} came, {event.left} left",
        f"Die Geräte in dieser Sitzung haben sich geändert: {event.joined} dazu, {event.left} weg",
    )


@event_line.register
def _(event: Problem, language: str) -> str:
    del language
    return f"({event.sentence})"
