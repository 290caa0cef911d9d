"""Codes in a reader's own words, English and German: what crosses between organizations is codes only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from protocol.e2ee.frames import (
    Action,
    Again,
    Agenda,
    Chat,
    Close,
    Content,
    File,
    Goal,
    Name,
    Note,
    Place,
    Slot,
    Takeaway,
    Thanks,
    Unknown,
    Useful,
    Vanish,
)

Both = tuple[str, str]

LANGUAGES: Final = ("en", "de")

#: Why somebody is proposed (`protocol.needs.Reason`).
REASONS: Final[Mapping[str, Both]] = {
    "exact-topic": ("knows exactly this topic", "kennt genau dieses Thema"),
    "near-topic": ("knows a topic close to it", "kennt ein verwandtes Thema"),
    "several-topics": ("covers several of your topics", "deckt mehrere deiner Themen ab"),
    "been-through-it": ("has been through it", "hat es selbst erlebt"),
    "does-it": ("does it at work", "macht es im Beruf"),
    "knows-it": ("knows about it", "kennt sich damit aus"),
    "experience-fits": ("has the experience you asked for", "hat die gewünschte Erfahrung"),
    "approach-fits": ("works the way you asked for", "arbeitet so, wie du es dir wünschst"),
    "time-fits": ("is free when you are", "hat Zeit, wenn du Zeit hast"),
    "first-language": ("speaks your first language", "spricht deine erste Sprache"),
    "answers-quickly": ("usually answers quickly", "antwortet meist schnell"),
    "sector-as-wished": ("is in the sector you asked for", "ist in der gewünschten Branche"),
    "function-as-wished": ("has the role you asked for", "hat die gewünschte Funktion"),
    "senior-enough": ("is as senior as you asked for", "ist so erfahren, wie du es wolltest"),
    "speaks-your-language": ("speaks one of your languages", "spricht eine deiner Sprachen"),
    "offers-this-format": ("offers this format", "bietet dieses Format an"),
}
#: The one honest gap (`protocol.needs.Gap`).
GAPS: Final[Mapping[str, Both]] = {
    "": ("nothing asked for is missing", "nichts Gewünschtes fehlt"),
    "topic-may-be-covered": ("may cover the topic only in general", "deckt das Thema vielleicht nur allgemein ab"),
    "topic-near-only": ("knows a neighbouring topic only", "kennt nur ein verwandtes Thema"),
    "other-kind": ("brings another kind of experience", "bringt eine andere Art Erfahrung mit"),
    "some-topics-missing": ("not all of your topics", "nicht alle deine Themen"),
    "experience-not-stated": ("has not said which experience", "hat die Erfahrung nicht angegeben"),
    "approach-not-stated": ("has not said how they work", "hat die Arbeitsweise nicht angegeben"),
    "sector-not-as-wished": ("another sector than you asked for", "andere Branche als gewünscht"),
    "function-not-as-wished": ("another role than you asked for", "andere Funktion als gewünscht"),
    "not-first-language": ("not in your first language", "nicht in deiner ersten Sprache"),
    "few-times": ("few times to choose from", "wenige Termine zur Wahl"),
    "answers-slowly": ("may take days to answer", "braucht vielleicht Tage für eine Antwort"),
}
#: How a mentor works (`protocol.needs.Approach`).
APPROACHES: Final[Mapping[str, Both]] = {
    "asks-questions-first": ("asks questions first", "fragt zuerst"),
    "shares-own-story": ("shares their own story", "erzählt die eigene Geschichte"),
    "gives-frameworks": ("gives frameworks", "gibt Modelle an die Hand"),
    "challenges-assumptions": ("challenges assumptions", "stellt Annahmen infrage"),
    "rehearses-with-you": ("rehearses with you", "übt mit dir"),
    "reviews-your-draft": ("reviews your draft", "sieht deinen Entwurf durch"),
    "listens-first": ("listens first", "hört zuerst zu"),
    "direct-feedback": ("gives direct feedback", "gibt offene Rückmeldung"),
}
#: What kind of experience (`protocol.needs.Experience`).
EXPERIENCES: Final[Mapping[str, Both]] = {
    "did-it-once": ("did it once", "hat es einmal gemacht"),
    "did-it-often": ("did it often", "hat es oft gemacht"),
    "did-it-recently": ("did it recently", "hat es kürzlich gemacht"),
    "led-others-through-it": ("led others through it", "hat andere hindurchgeführt"),
    "built-it-from-scratch": ("built it from scratch", "hat es von Grund auf aufgebaut"),
    "learned-the-hard-way": ("learned it the hard way", "hat Lehrgeld gezahlt"),
    "saw-both-sides": ("saw both sides", "kennt beide Seiten"),
    "teaches-it": ("teaches it", "unterrichtet es"),
}
FITS: Final[Mapping[str, Both]] = {
    "exact": ("exact fit", "passt genau"),
    "near": ("close fit", "passt fast"),
    "general": ("general fit", "passt allgemein"),
}
KINDS: Final[Mapping[str, Both]] = {
    "do": ("does it", "macht es"),
    "know": ("knows about it", "kennt sich aus"),
    "been-through": ("has been through it", "hat es erlebt"),
}
BANDS: Final[Mapping[str, Both]] = {
    "any": ("any level", "jede Stufe"),
    "senior": ("senior", "erfahren"),
    "lead": ("leads others", "in Führung"),
}
FORMATS: Final[Mapping[str, Both]] = {
    "call": ("call", "Gespräch"),
    "text": ("text session", "Textsitzung"),
    "in-person": ("in person", "vor Ort"),
    "link": ("external link", "externer Link"),
}
#: Why the answer was no: refusals, reasons of mentors and of cancellations, and what the node notices.
NOS: Final[Mapping[str, Both]] = {
    "no-capacity": ("has no place free at the moment", "hat gerade keinen Platz frei"),
    "unavailable": ("is not available", "ist nicht verfügbar"),
    "policy": ("may not take this request", "darf diese Anfrage nicht annehmen"),
    "quote-expired": ("the proposal had lapsed", "der Vorschlag war abgelaufen"),
    "too-late": ("it was too late", "es war zu spät"),
    "not-my-topic": ("not their topic", "nicht das passende Thema"),
    "no-time": ("has no time at the moment", "hat gerade keine Zeit"),
    "conflict": ("a conflict of interest", "ein Interessenkonflikt"),
    "other": ("said no without a reason", "hat ohne Angabe von Gründen abgesagt"),
    "expired": ("did not answer in time", "hat nicht rechtzeitig geantwortet"),
    "no-answer": ("did not answer in time", "hat nicht rechtzeitig geantwortet"),
    "not-needed": ("it is not needed any more", "es wird nicht mehr gebraucht"),
    "cannot-make-it": ("cannot make it", "kann den Termin nicht wahrnehmen"),
    "fall-through": ("the request went on to somebody else", "die Anfrage ging an jemand anderen"),
    "lost": ("the request got lost on its way", "die Anfrage ging unterwegs verloren"),
}
#: NACE sections, for "somebody in …".
SECTORS: Final[Mapping[str, Both]] = {
    "A": ("agriculture", "Landwirtschaft"),
    "B": ("mining", "Bergbau"),
    "C": ("manufacturing", "Industrie"),
    "D": ("energy", "Energie"),
    "E": ("water and waste", "Wasser und Entsorgung"),
    "F": ("construction", "Bau"),
    "G": ("trade", "Handel"),
    "H": ("logistics", "Logistik"),
    "I": ("hospitality", "Gastgewerbe"),
    "J": ("information and communication", "Information und Kommunikation"),
    "K": ("finance", "Finanzen"),
    "L": ("real estate", "Immobilien"),
    "M": ("professional services", "Dienstleistung und Wissenschaft"),
    "N": ("business services", "Unternehmensdienste"),
    "O": ("public administration", "Verwaltung"),
    "P": ("education", "Bildung"),
    "Q": ("health and social work", "Gesundheit und Soziales"),
    "R": ("arts and recreation", "Kunst und Freizeit"),
    "S": ("other services", "andere Dienste"),
    "T": ("households", "Haushalte"),
    "U": ("international organizations", "internationale Organisationen"),
}
ROLES: Final[Mapping[str, Both]] = {"mentee": ("mentee", "Mentee"), "mentor": ("mentor", "Mentor")}
STATES: Final[Mapping[str, Both]] = {
    "REQUESTED": ("asking", "fragt an"),
    "OFFERED": ("proposed", "vorgeschlagen"),
    "SENDING": ("being sent", "wird gesendet"),
    "ACCEPTED": ("waiting for an answer", "wartet auf Antwort"),
    "AGREED": ("agreed", "vereinbart"),
    "CLOSED": ("over", "beendet"),
    "DECLINED": ("declined", "abgelehnt"),
    "EXPIRED": ("no answer in time", "nicht rechtzeitig beantwortet"),
    "CANCELLED": ("cancelled", "abgesagt"),
    "TERMINATED": ("not possible", "nicht möglich"),
}
#: What a client says about content that it does not show as text.
SAYINGS: Final[Mapping[str, Both]] = {
    "call-offer": ("wants to call; this program cannot take calls", "möchte anrufen; dieses Programm kann das nicht"),
    "call-answer": ("answered a call on another device", "hat einen Anruf auf einem anderen Gerät angenommen"),
    "call-candidate": ("is connecting a call", "verbindet einen Anruf"),
    "call-end": ("ended the call", "hat den Anruf beendet"),
    "retract": (
        "took something back: it is hidden here, but it may have been read or copied before",
        "hat etwas zurückgenommen: es ist hier verborgen, kann aber vorher gelesen oder kopiert worden sein",
    ),
    "retracted": ("(taken back)", "(zurückgenommen)"),
    "missing": (
        "(something that was said is missing here: it never arrived)",
        "(hier fehlt etwas, das gesagt wurde: es kam nie an)",
    ),
    "gone": ("(vanished)", "(verschwunden)"),
    "master-change": ("has other keys now", "hat jetzt andere Schlüssel"),
    "contact-token": ("lets you ask again", "lässt dich wieder fragen"),
    "checkpoints": ("compares what both see", "vergleicht, was beide sehen"),
    "code-commit": ("compares codes", "vergleicht Codes"),
    "code-answer": ("compares codes", "vergleicht Codes"),
    "code-reveal": ("compares codes", "vergleicht Codes"),
    "unknown": (
        "something your program cannot show yet: update it to see this",
        "etwas, das dein Programm noch nicht zeigen kann: aktualisiere es",
    ),
}
_UNITS: Final = ((86_400, ("days", "Tage")), (3_600, ("hours", "Stunden")), (60, ("minutes", "Minuten")))
ANSWERS: Final[Mapping[str, Both]] = {"yes": ("yes", "ja"), "no": ("no", "nein"), "closed": ("closed", "geschlossen")}
_DAYS: Final = (("Mon", "Mo"), ("Tue", "Di"), ("Wed", "Mi"), ("Thu", "Do"), ("Fri", "Fr"), ("Sat", "Sa"), ("Sun", "So"))


def word(table: Mapping[str, Both], code: str, language: str = "en") -> str:
    """Return a code in words; one that a newer program made is shown as it is."""
    return table[code][language.startswith("de")] if code in table else code


def somebody(about: tuple[str, ...], reason: str, chosen_from: int, language: str = "en") -> str:
    """Return the line a mentor reads first: `Somebody in logistics chose you from 4 mentors because you …`."""
    sectors = [chip.removeprefix("sector-").upper() for chip in about if chip.startswith("sector-")]
    german = language.startswith("de")
    where = (
        (f" aus {word(SECTORS, sectors[0], 'de')}" if german else f" in {word(SECTORS, sectors[0])}") if sectors else ""
    )
    if german:
        among = f" aus {chosen_from} Mentoren" if chosen_from > 1 else ""
        return f"Jemand{where} hat dich{among} gewählt: {word(REASONS, reason, 'de')}."
    among = f" from {chosen_from} mentors" if chosen_from > 1 else ""
    return f"Somebody{where} chose you{among}: {word(REASONS, reason)}."


def time_line(start: int, minutes: int = 0, language: str = "en") -> str:
    """Return a time in the zone of this machine: `Thu 27 Nov 2026, 15:00–15:30 CET`."""
    begin = datetime.fromtimestamp(start).astimezone()
    day = _DAYS[begin.weekday()][language.startswith("de")]
    end = f"–{datetime.fromtimestamp(start + minutes * 60).astimezone():%H:%M}" if minutes else ""
    date = f"{begin:%d.%m.%Y}" if language.startswith("de") else f"{begin:%Y-%m-%d}"
    return f"{day} {date}, {begin:%H:%M}{end} {begin:%Z}"


def content_line(content: Content, language: str = "en") -> tuple[str, str]:
    """Return the kind of a frame and its text, ready to print; the text has passed the displayable filter before."""
    return str(content.__struct_config__.tag), _content_text(content, language)


def _content_text(content: Content, language: str) -> str:  # noqa: C901 -- one line for each kind
    match content:
        case Chat(text=text) | Goal(text=text) | Takeaway(text=text) | Place(text=text) | Note(text=text):
            shown = text
        case Thanks(text=text) | Name(name=text):
            shown = text
        case Action():
            shown = _action(content, language)
        case Agenda(items=items):
            shown = " · ".join(f"{item.title} ({item.minutes} min)" for item in items)
        case Useful(score=score):
            shown = f"{score}/5"
        case Again(yes=yes):
            shown = word(ANSWERS, "yes" if yes else "no", language)
        case Slot(start_at=start, minutes=minutes):
            shown = time_line(start, minutes, language)
        case File(name=name, size=size):
            shown = f"{name} ({size_words(size)})"
        case Vanish():
            shown = vanish_words(content, language)
        case Unknown(kind=kind):
            shown = f"{word(SAYINGS, 'unknown', language)} ({kind})"
        case Close():
            shown = word(ANSWERS, "closed", language)
        case _:  # what programs say to each other, or stands here alone
            shown = word(SAYINGS, str(content.__struct_config__.tag), language)
    return shown


def _action(action: Action, language: str) -> str:
    done = "✓ " if action.done else ""
    owner = word(ROLES, action.owner, language)
    due = f", {time_line(action.due_at, language=language)}" if action.due_at is not None else ""
    return f"{done}{action.text} ({owner}{due})"


def size_words(size: int) -> str:
    """Return a size as people read it: `2.1 MB`."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def duration_words(seconds: int, language: str = "en") -> str:
    """Return a span in the largest unit that fits it whole: `7 days`."""
    for unit, names in _UNITS:
        if seconds % unit == 0:
            return f"{seconds // unit} {names[language.startswith('de')]}"
    return f"{seconds} s"


def vanish_words(wish: Vanish, language: str = "en") -> str:
    """Return a wish how long words stay."""
    german = language.startswith("de")
    if wish.seconds is None:
        return "lets words stay" if not german else "lässt Worte stehen"
    span = duration_words(wish.seconds, language)
    if wish.after == "end":
        return f"words vanish {span} after the end" if not german else f"Worte verschwinden {span} nach dem Ende"
    return f"words vanish {span} after they are said" if not german else f"Worte verschwinden nach {span}"
