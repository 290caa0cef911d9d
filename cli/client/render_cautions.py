"""What is wrong with a session, as lines for a terminal.

Source: docs/protocol/45-sessions.md §7.
"""

from .views import SessionView
from .words import time_line


def fork_lines(view: SessionView, language: str) -> list[str]:
    """Return what to show in red when another history of the session showed; nothing otherwise."""
    if not view.forked_at:
        return []
    when = time_line(view.forked_at, language=language)
    if language.startswith("de"):
        return [f"WARNUNG: Von dieser Sitzung gibt es zwei Geschichten (bemerkt {when}). Schreibt hier nichts mehr."]
    return [f"WARNING: there are two histories of this session (seen {when}). Say nothing more here."]
