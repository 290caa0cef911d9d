"""The story as it is told: scenes with three panes, the same for the terminal and for the report."""

import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

Pane = Literal["mentee", "servers", "mentor"]
#: said: words of a person. bytes: what a server holds. good, bad: an outcome.
Tone = Literal["", "said", "bytes", "good", "bad"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line in one pane; `at_ms` since the story began."""

    pane: Pane
    text: str
    tone: Tone
    at_ms: int


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the story, complete."""

    number: int
    title: str
    lines: tuple[Line, ...]

    @property
    def rows(self) -> tuple[dict[Pane, tuple[Line, ...]], ...]:
        """The lines in rows of three panes, so that an answer stands below what it answers."""
        rows: list[dict[Pane, tuple[Line, ...]]] = [{}]
        last: Pane | None = None
        for line in self.lines:
            if line.pane in rows[-1] and line.pane != last:
                rows.append({})
            rows[-1][line.pane] = (*rows[-1].get(line.pane, ()), line)
            last = line.pane
        return tuple(rows)

    @property
    def at_ms(self) -> int:
        """When its last line was said."""
        return max((line.at_ms for line in self.lines), default=0)


class Stage:
    """Takes the lines of the story, and hands on each scene once it is complete."""

    def __init__(self, show: Callable[[Scene], None]) -> None:
        self._show: Final = show
        self._began = time.monotonic()
        self._title = ""
        self._lines: list[Line] = []
        self.scenes: list[Scene] = []

    def begin(self) -> None:
        """Start the clock of the story."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the story began."""
        return time.monotonic() - self._began

    def scene(self, title: str) -> None:
        """Begin the next scene."""
        self.end()
        self._title = title

    def line(self, pane: Pane, text: str, tone: Tone = "") -> None:
        """Say one line of the current scene."""
        self._lines.append(Line(pane=pane, text=text, tone=tone, at_ms=round(self.seconds * 1000)))

    def end(self) -> None:
        """Complete the current scene, if there is one."""
        if self._title:
            scene = Scene(number=len(self.scenes) + 1, title=self._title, lines=tuple(self._lines))
            self.scenes.append(scene)
            self._title, self._lines = "", []
            self._show(scene)
