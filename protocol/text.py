"""Text that people show each other: no control characters, nothing invisible, nothing that reorders a line.

The refused characters are listed by number, not by Unicode category, so that every implementation agrees whatever
its Unicode version. Joiners (U+200C, U+200D) and variation selectors stay: scripts and emoji need them.
Source: docs/protocol/44-frames.md §3.
"""

import re
from typing import Final

from .errors import MalformedError

_REFUSED: Final = (
    r"\x00-\x09\x0b-\x1f\x7f-\x9f"  # control characters but the line feed; terminals obey them
    r"\u2028\u2029"  # second kinds of line end
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction marks: text may read other than it is stored
    r"\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible
    r"\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff"  # no character, or a private one
)
_BAD: Final = re.compile(f"[{_REFUSED}]")
_SPACES: Final = re.compile(r"[\t\v\f\u0085\u2028\u2029]|\r\n?")


def displayable(text: str, *, lines: bool = True) -> str:
    """Return `text` fit to be sent: other spaces and line ends made plain, what is refused taken out, ends trimmed.

    With `lines=False` line feeds become spaces, for a name or a title.
    """
    plain = _SPACES.sub(lambda found: " " if found[0] == "\t" else "\n", text)
    plain = _BAD.sub("", plain).strip()
    return plain if lines else " ".join(plain.split("\n"))


def check_displayable(text: str, what: str, *, lines: bool = True) -> None:
    """Return when `text` may be shown as it is. Raises: MalformedError: it holds a refused character."""
    if _BAD.search(text) or (not lines and "\n" in text):
        raise MalformedError(f"{what} holds a control, invisible or direction character", code="not-displayable")
