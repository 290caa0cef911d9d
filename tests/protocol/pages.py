"""Reads tables out of the pages of the specification."""

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "protocol"


def section(page: str, start: str, end: str = "") -> str:
    """Return the text of a page from the line that starts with `start` up to the one that starts with `end`."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    begin = text.index(f"\n{start}") + 1
    return text[begin : text.index(f"\n{end}", begin) if end else len(text)]


def table(text: str) -> list[list[str]]:
    """Return the rows of all tables in `text`, without their heads; code marks are taken off."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        if re.fullmatch(r"\|(-+\|)+", line.replace(" ", "").replace(":", "")):
            rows.pop()
        elif line.startswith("|"):
            rows.append([cell.strip().strip("`") for cell in line.strip().strip("|").split("|")])
    return rows
