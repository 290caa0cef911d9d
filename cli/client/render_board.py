"""The board of a session and one's private notes, as lines for a terminal."""

from collections.abc import Iterable, Mapping
from typing import Final

from .views import Board, Part, SessionView
from .words import ROLES, Both, duration_words, time_line, word

_TEXT: Final[Mapping[str, Both]] = {
    "goals": ("goals", "Ziele"),
    "actions": ("actions", "Schritte"),
    "runs": ("agenda, its clock runs", "Agenda, die Uhr läuft"),
    "stands": ("agenda", "Agenda"),
    "place": ("place", "Ort"),
    "left": ("min left", "Min. übrig"),
    "time": ("proposed time", "vorgeschlagene Zeit"),
    "private": ("🔒 only you", "🔒 nur du"),
}


def vanishing_line(view: SessionView, language: str) -> str:
    """Return when words vanish, and what that cannot promise; empty when nobody has wished so."""
    german, parts = language.startswith("de"), []
    if view.vanishing.end_at is not None:
        when = time_line(view.vanishing.end_at, language=language)
        parts.append(f"alle am {when}" if german else f"all of them {when}")
    if view.vanishing.said_s is not None:
        span = duration_words(view.vanishing.said_s, language)
        parts.append(f"jedes nach {span}" if german else f"each {span} after it was said")
    if not parts:
        return ""
    if german:
        return f"\N{HOURGLASS} Worte verschwinden auf beiden Geräten: {', '.join(parts)}. Kopierbar bleiben sie."
    return f"\N{HOURGLASS} Words vanish on both devices: {', '.join(parts)}. They can still be copied before."


def board_lines(view: SessionView, language: str) -> list[str]:
    """Return what stands on the board, then private notes; nothing when there is nothing."""
    private = [f"{word(_TEXT, 'private', language)}: {one.text}" for one in view.private]
    return [*_board(view.board, language), *private]


def _board(board: Board, language: str) -> Iterable[str]:
    if board.slot:
        start, minutes = board.slot
        yield f"{word(_TEXT, 'time', language)}: {time_line(start, minutes, language)}"
    if board.place:
        yield f"{word(_TEXT, 'place', language)}: {board.place}"
    if board.goals:
        yield f"{word(_TEXT, 'goals', language)}: {'; '.join(board.goals)}"
    if board.agenda:
        yield f"{word(_TEXT, 'runs' if board.running else 'stands', language)}: {_agenda(board, language)}"
    if board.actions:
        yield f"{word(_TEXT, 'actions', language)}:"
    for number, one in enumerate(board.actions, 1):
        due = f", {time_line(one.due_at, language=language)}" if one.due_at is not None else ""
        yield f"  {number}. [{'x' if one.done else ' '}] {one.text} ({word(ROLES, one.owner, language)}{due})"


def _agenda(board: Board, language: str) -> str:
    return " · ".join(_part(part, board, language) for part in board.agenda)


def _part(part: Part, board: Board, language: str) -> str:
    if not board.running or part.left_s == part.minutes * 60:
        return f"{part.title} ({part.minutes} min)"
    if part.left_s == 0:
        return f"{part.title} ✓"
    return f"→ {part.title} ({-(-part.left_s // 60)} {word(_TEXT, 'left', language)})"
