"""From a notice to a mail: subject, plain text and HTML out of one template per language.

Templates are `node/templates/mail/NOTICE.LANGUAGE.j2`. Both forms come from the same words, so they cannot say
different things. Nothing is loaded from elsewhere: no image, no font, no counter.
"""

import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import msgspec

from .notices import AnyNotice

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LANGUAGES: Final = ("en", "de")
TEMPLATES: Final = Path(__file__).parent.parent / "templates" / "mail"
WIDTH: Final = 72

_WEEKDAYS: Final = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_MONTHS: Final = {
    "en": "January February March April May June July August September October November December",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
}
_FORMATS: Final = {
    "en": {"call": "call", "text": "text session", "in-person": "meeting in person", "link": "meeting by a link"},
    "de": {"call": "Gespräch", "text": "Textsitzung", "in-person": "persönliches Treffen", "link": "Treffen per Link"},
}


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A mail's contents."""

    subject: str
    text: str
    html: str


def choose_language(spoken: tuple[str, ...], default: str = "en") -> str:
    """Return the first of a person's languages that templates exist in, else `default`, else English."""
    bases = [tag.partition("-")[0] for tag in (*spoken, default)]
    return next((base for base in bases if base in LANGUAGES), "en")


def word(notice: AnyNotice, language: str) -> Words:
    """Return the contents of a mail in one of `LANGUAGES`."""
    layout = _environment("html").get_template("layout.html.j2")
    body = _safe(_block("html", "body", notice, language))
    return Words(
        subject=" ".join(_block("text", "subject", notice, language).split()),
        text=_block("text", "body", notice, language).strip() + "\n",
        html=layout.render(language=language, body=body) + "\n",
    )


def message(  # every argument is a header of its own
    words: Words, *, sender: Address, recipient: str, mail: str, at: int, language: str
) -> EmailMessage:
    """Return the mail with both forms. A line break in any header value is a ValueError of the library.

    Args:
        mail: becomes the Message-ID, so that a mail sent twice is recognized.
    """
    out = EmailMessage()
    out["From"] = sender
    out["To"] = Address(addr_spec=recipient)
    out["Subject"] = words.subject
    out["Date"] = datetime.fromtimestamp(at, UTC)
    out["Message-ID"] = f"<{mail}@{sender.domain}>"
    out["Content-Language"] = language
    out["Auto-Submitted"] = "auto-generated"
    out["X-Auto-Response-Suppress"] = "All"
    out.set_content(words.text, cte="quoted-printable")
    out.add_alternative(words.html, subtype="html", cte="quoted-printable")
    return out


def say_time(instant: int, zone: str, language: str) -> str:
    """Return a local time such as `Tuesday 24 November 2026, 14:00 (Europe/Berlin)`."""
    local = datetime.fromtimestamp(instant, ZoneInfo(zone))
    return f"{say_day(local, language)}, {local:%H:%M} ({zone})"


def say_day(day: datetime, language: str) -> str:
    """Return a day such as `Tuesday 24 November 2026`."""
    weekday, month = _WEEKDAYS[language][day.weekday()], _MONTHS[language].split()[day.month - 1]
    if language == "de":
        return f"{weekday}, {day.day}. {month} {day.year}"
    return f"{weekday} {day.day} {month} {day.year}"


def say_form(code: str, language: str) -> str:
    """Return how two people meet, in words."""
    return _FORMATS[language][code]


def _block(form: str, block: str, notice: AnyNotice, language: str) -> str:
    template = _environment(form).get_template(f"{type(notice).__struct_config__.tag}.{language}.j2")
    values = {field: getattr(notice, field) for field in notice.__struct_fields__}
    return "".join(template.blocks[block](template.new_context(values | _helpers(language))))


def _helpers(language: str) -> dict[str, Callable[..., str]]:
    return {
        "time": lambda instant, zone: say_time(instant, zone, language),
        "day": lambda instant: say_day(datetime.fromtimestamp(instant, UTC), language),
        "form": lambda code: say_form(code, language),
    }


@cache
def _environment(form: str) -> "Environment":
    """Return the templates' environment: `html` escapes every value, `text` lays out lines."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=form == "html",  # noqa: S701 -- plain text has nothing to escape
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= _HTML if form == "html" else _TEXT
    return made


def _text_paragraph(caller: Callable[[], str]) -> str:
    return textwrap.fill(" ".join(caller().split()), WIDTH, break_long_words=False, break_on_hyphens=False) + "\n\n"


def _text_action(link: str, caller: Callable[[], str]) -> str:
    return f"{_text_paragraph(caller).strip()}:\n  {link}\n\n"


def _text_code(code: str) -> str:
    return f"    {code}\n\n"


def _markup(pattern: str, *parts: object) -> "Markup":
    """Return a constant pattern filled with parts, each escaped unless it is markup already."""
    from markupsafe import Markup

    return Markup(pattern).format(*parts)  # noqa: S704 -- patterns are constants of this file


def _safe(rendered: str) -> "Markup":
    """Return what an escaping template rendered, so that it is not escaped twice."""
    from markupsafe import Markup

    return Markup(rendered)  # noqa: S704 -- every value in it was escaped


#: Mail programs drop style sheets, so a button carries its style; the outline reads on light and dark alike.
_BUTTON: Final = (
    "display:inline-block;padding:11px 20px;border:2px solid #1a7f55;border-radius:8px;"
    "color:#1a7f55;font-weight:600;text-decoration:none"
)
_TEXT: Final[dict[str, Callable[..., str]]] = {
    "paragraph": _text_paragraph,
    "action": _text_action,
    "code": _text_code,
}
_HTML: Final[dict[str, Callable[..., str]]] = {
    "paragraph": lambda caller: _markup('<p style="margin:0 0 16px">{}</p>\n', caller().strip()),
    "action": lambda link, caller: _markup(
        '<p style="margin:0 0 12px"><a href="{}" style="{}">{}</a></p>\n', link, _BUTTON, caller().strip()
    ),
    "code": lambda code: _markup("<pre>{}</pre>\n", code),
}
