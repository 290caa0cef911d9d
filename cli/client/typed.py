"""What a person types in a session, by its kind.

Source: docs/protocol/44-frames.md §2.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from protocol.e2ee.frames import Action, Agenda, AgendaItem, Chat, Content, Goal, Note, Place, Takeaway, Thanks
from protocol.errors import MalformedError
from protocol.text import displayable

from .core import fresh_id

#: What a person types as one line or text.
TYPED: Final[Mapping[str, Callable[[str], Content]]] = {
    "chat": lambda text: Chat(text=text),
    "goal": lambda text: Goal(goal=fresh_id(), text=text),
    "action": lambda text: Action(action=fresh_id(), text=text),
    "takeaway": lambda text: Takeaway(text=text),
    "place": lambda text: Place(text=text),
    "note": lambda text: Note(note=fresh_id(), text=text),
    "thanks": lambda text: Thanks(text=text),
}


def content_of(kind: str, text: str) -> Content:
    """Return what a person typed as content of a kind. Raises: MalformedError: no such kind."""
    if kind not in TYPED:
        raise MalformedError(f"a session takes {', '.join(TYPED)}")
    return TYPED[kind](text)


def text_of(words: Sequence[str]) -> str:
    """Return what a person typed as text that can be shown. Raises: MalformedError: nothing of it can."""
    text = displayable(" ".join(words))
    if not text:
        raise MalformedError("there is nothing to send")
    return text


def agenda_of(items: Sequence[str]) -> Agenda:
    """Return the agenda of `TITLE=MINUTES` parts. Raises: MalformedError."""
    parsed: list[AgendaItem] = []
    for item in items:
        title, _, minutes = item.strip().rpartition("=")
        if not title or not minutes.isascii() or not minutes.isdigit():
            raise MalformedError("a part of the agenda looks like `Options=15`")
        parsed.append(AgendaItem(title=displayable(title, lines=False), minutes=int(minutes)))
    return Agenda(items=tuple(parsed))
