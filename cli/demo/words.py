"""What the people of the demo write, but for the visitor's sentence, and the plain words of the screen."""

from collections.abc import Iterable
from typing import Final

from cli.client.core import fresh_id
from node.services.vocabulary import situations
from protocol.e2ee.frames import Action, Agenda, AgendaItem, Goal

from .companies import TOPIC
from .people import Cast
from .search_nodes import Needle

DEFAULT_MESSAGE: Final = "What do I do when somebody on the board interrupts me after one sentence?"

BRIEF: Final = (
    "On Thursday I show our new route plan to the board, for the first time.",
    "I have twelve slides, and nobody here has ever done it.",
    "I would like to hear what a board really wants to know.",
)
OTHER_BRIEF: Final = ("My first board meeting is next week and I need a second pair of eyes.", "", "")
REPLY: Final = "Answer in one breath, then ask whether that settles it. And put the decision on slide one."
AGENDA: Final = (
    AgendaItem(title="The decision in one sentence", minutes=10),
    AgendaItem(title="Rehearse the first two minutes", minutes=15),
    AgendaItem(title="Which slides can go", minutes=5),
)
GOAL: Final = "Walk in with one sentence that holds the decision I need."
ACTION: Final = "Cut the deck to five slides by Wednesday evening."
TAKEAWAY: Final = "Decision first, slides second."
THANKS: Final = "Thank you for not being polite about my slides!"


def agenda() -> Agenda:
    """Return the agenda, not started."""
    return Agenda(items=AGENDA)


def goal() -> Goal:
    """Return Ana's goal."""
    return Goal(goal=fresh_id(), text=GOAL)


def action() -> Action:
    """Return what Ben proposes to do."""
    return Action(action=fresh_id(), text=ACTION, owner="mentee")


def needles(cast: Cast) -> tuple[Needle, ...]:
    """Return every text that only the people's devices may hold, but for what the visitor types."""
    brief = (Needle(label=f"the brief, part {number}", text=text) for number, text in enumerate(BRIEF, 1))
    items = (Needle(label=f"the agenda, item {number}", text=item.title) for number, item in enumerate(AGENDA, 1))
    people = (Needle(label=f"{part.key}'s name", text=part.name) for part in (cast.ana, cast.ben))
    return (
        *brief,
        Needle(label="the other mentee's brief", text=OTHER_BRIEF[0]),
        Needle(label="the answer", text=REPLY),
        *items,
        Needle(label="the goal", text=GOAL),
        Needle(label="the action", text=ACTION),
        Needle(label="the takeaway", text=TAKEAWAY),
        Needle(label="the thanks", text=THANKS),
        *people,
    )


def topic_label(topic: str = TOPIC) -> str:
    """Return the English label of a situation."""
    return next((one.label("en") for one in situations() if one.id == topic), topic)


def listing(parts: Iterable[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def number(count: int, one: str, many: str = "") -> str:
    """Return `1 place`, `2 places`, `no places`."""
    return f"{count or 'no'} {one if count == 1 else many or one + 's'}"
