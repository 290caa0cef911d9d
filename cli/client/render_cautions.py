"""What is wrong with a session, as lines for a terminal.

Source: docs/protocol/45-sessions.md §7.
"""

from .gaps import missing
from .state import ClientState
from .views import SessionView
from .words import SAYINGS, time_line, word


def fork_lines(view: SessionView, language: str) -> list[str]:
    """Return what to show in red when another history of the session showed; nothing otherwise."""
    if not view.forked_at:
        return []
    when = time_line(view.forked_at, language=language)
    if language.startswith("de"):
        return [f"WARNUNG: Von dieser Sitzung gibt es zwei Geschichten (bemerkt {when}). Schreibt hier nichts mehr."]
    return [f"WARNING: there are two histories of this session (seen {when}). Say nothing more here."]


def gap_lines(state: ClientState, language: str, *, now: int) -> list[str]:
    """Return a sentence for each open session in which something that was said never arrived."""
    return [
        f"{session.name or state.thread(thread).peer} ({thread[:8]}): {word(SAYINGS, 'missing', language)}"
        for thread, session in state.sessions.items()
        if missing(session, now=now)
    ]
