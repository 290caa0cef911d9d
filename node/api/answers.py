"""The pages behind a mentor's mailed links: opening one shows and asks, only its button answers.

Server-rendered, no script, no device needed. The token is in the path of a page that is neither cached nor indexed and
sends no referrer.
"""

import base64
import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qsl

from aiohttp import web

from node.services.answer_links import Action, AnswerLinks, AnswerPage
from node.services.mail_text import choose_language, say_form, say_time
from protocol.errors import MalformedError, MeshError, MissingError

from .accounts import PAGES
from .bodies import read_bytes
from .routes import Route
from .strangers import charge
from .writing import HEADERS

if TYPE_CHECKING:
    from jinja2 import Template

ANSWERS: Final = web.AppKey("mentormesh.answers", AnswerLinks)
FORM: Final = "application/x-www-form-urlencoded"
FORM_BYTES: Final = 4096
HTML: Final = "text/html"
CSP: Final = "Content-Security-Policy"
_PAGE: Final = "answer.html.j2"

#: Unix seconds up to the year 9999, as the page writes them.
_TIME: Final = re.compile(r"[0-9]{1,12}", re.ASCII)

Language = Literal["en", "de"]

_TITLES: Final[dict[str, dict[Action, str]]] = {
    "en": {
        "accept": "Accept this session?",
        "other-time": "Propose other times?",
        "decline": "Decline this request?",
        "decline-pause": "Decline, and pause requests to you?",
    },
    "de": {
        "accept": "Dieses Gespräch zusagen?",
        "other-time": "Andere Zeiten vorschlagen?",
        "decline": "Diese Anfrage ablehnen?",
        "decline-pause": "Ablehnen und Anfragen an Sie aussetzen?",
    },
}
_BUTTONS: Final[dict[str, dict[Action, str]]] = {
    "en": {
        "accept": "Accept",
        "other-time": "Propose these times",
        "decline": "Decline",
        "decline-pause": "Decline and pause for two weeks",
    },
    "de": {
        "accept": "Zusagen",
        "other-time": "Diese Zeiten vorschlagen",
        "decline": "Ablehnen",
        "decline-pause": "Ablehnen und zwei Wochen aussetzen",
    },
}
_DONE: Final[dict[str, dict[Action, str]]] = {
    "en": {
        "accept": "You accepted. The confirmation follows by mail; names and the brief open on your device.",
        "other-time": "Your times are on their way. You get a mail when one is chosen.",
        "decline": "You declined. Somebody else is asked now; nobody at your company sees how you answer.",
        "decline-pause": "You declined, and get no requests for two weeks. You can start again any time.",
    },
    "de": {
        "accept": "Sie haben zugesagt. Die Bestätigung kommt per Mail; Namen und Schilderung öffnet Ihr Gerät.",
        "other-time": "Ihre Zeiten sind unterwegs. Sie bekommen eine Mail, sobald eine gewählt ist.",
        "decline": "Sie haben abgelehnt. Nun wird jemand anderes gefragt; in Ihrer Firma sieht das niemand.",
        "decline-pause": "Sie haben abgelehnt und bekommen zwei Wochen keine Anfragen, oder bis Sie es ändern.",
    },
}
_WORDS: Final[dict[str, dict[str, str]]] = {
    "en": {
        "what": "What",
        "when": "When",
        "until": "Answer by",
        "choose": "Choose one to five times",
        "note": "Nothing has happened yet. What was written to you is sealed to your device and is not shown here.",
        "over": "This link is over",
        "over_text": "The request was answered already, was withdrawn, or its time has passed. Nothing was changed.",
        "minutes": "minutes",
        "thanks": "Thank you",
        "problem": "That did not work",
    },
    "de": {
        "what": "Was",
        "when": "Wann",
        "until": "Antwort bis",
        "choose": "Wählen Sie eine bis fünf Zeiten",
        "note": "Noch ist nichts geschehen. Was man Ihnen schrieb, ist für Ihr Gerät versiegelt und steht nicht hier.",
        "over": "Dieser Link gilt nicht mehr",
        "over_text": "Die Anfrage ist beantwortet, zurückgezogen oder abgelaufen. Es wurde nichts geändert.",
        "minutes": "Minuten",
        "thanks": "Danke",
        "problem": "Das ging nicht",
    },
}


async def show_answer(request: web.Request) -> web.Response:
    """Show what the link would do; change nothing."""
    charge(request)
    language = _language(request)
    try:
        page = await request.app[ANSWERS].show(request.match_info["token"])
    except (MissingError, MalformedError):
        return _over(language)
    return _page(language, title=_TITLES[language][page.action], **_shown(page, language))


async def give_answer(request: web.Request) -> web.Response:
    """Do what the link says, once."""
    charge(request)
    language = _language(request)
    form = (await read_bytes(request, limit=FORM_BYTES, content_type=FORM)).decode("ascii", "replace")
    try:
        action = await request.app[ANSWERS].use(request.match_info["token"], times=_times(form))
    except (MissingError, MalformedError):
        return _over(language)
    except MeshError as error:
        return _page(language, title=_WORDS[language]["problem"], done=str(error), status=409)
    return _page(language, title=_WORDS[language]["thanks"], done=_DONE[language][action])


def _times(form: str) -> tuple[int, ...]:
    try:
        given = parse_qsl(form, max_num_fields=20)
    except ValueError:  # more fields than the page has
        return ()
    return tuple(int(value) for name, value in given if name == "time" and _TIME.fullmatch(value))


def _shown(page: AnswerPage, language: Language) -> dict[str, Any]:
    words = _WORDS[language]
    return {
        "what": f"{say_form(page.format, language)}, {page.length} {words['minutes']}",
        "when": say_time(page.slot, page.zone, language) if page.slot is not None else "",
        "until": say_time(page.deadline, page.zone, language),
        "times": [(slot, say_time(slot, page.zone, language)) for slot in page.other_times],
        "words": words | {"button": _BUTTONS[language][page.action]},
    }


def _over(language: Language) -> web.Response:
    words = _WORDS[language]
    return _page(language, title=words["over"], done=words["over_text"], status=404)


def _page(language: Language, *, status: int = 200, **values: Any) -> web.Response:  # noqa: ANN401 -- what the template takes
    html = _template().render(language=language, **({"done": "", "words": _WORDS[language]} | values))
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", CSP: _policy()}
    return web.Response(status=status, text=html, content_type=HTML, headers=headers)


def _language(request: web.Request) -> Language:
    wanted = [part.partition(";")[0].strip().lower() for part in request.headers.get("Accept-Language", "").split(",")]
    return "de" if choose_language(tuple(wanted[:8])) == "de" else "en"


@cache
def _policy() -> str:
    """Return the policy of every answer with one exception: the style block of this page, by its hash."""
    source = (PAGES / _PAGE).read_text(encoding="utf-8")
    style = source.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"{dict(HEADERS)[CSP]}; style-src 'sha256-{digest}'"


@cache
def _template() -> "Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(_PAGE)


ANSWER_ROUTES: Final = (
    Route(
        method="GET",
        path="/answer/{token}",
        handler=show_answer,
        auth="page",
        summary="Show what a mentor's mailed link would do",
        response_content_type=HTML,
    ),
    Route(
        method="POST",
        path="/answer/{token}",
        handler=give_answer,
        auth="page",
        summary="Answer a request as the mailed link says",
        request_content_type=FORM,
        response_content_type=HTML,
    ),
)
