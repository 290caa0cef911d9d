"""How a staged attack tells what happens: numbered scenes, each a few lines by somebody."""

import time
from collections.abc import Callable
from typing import Final

from .events import Step

#: Told of each step.
Tell = Callable[[Step], None]


class Telling:
    """The steps of one attack, in order."""

    def __init__(self, tell: Tell) -> None:
        self._tell: Final = tell
        self._began: Final = time.monotonic()
        self._title = ""
        self._number = 0

    @property
    def seconds(self) -> float:
        """Return how long it has been going on."""
        return round(time.monotonic() - self._began, 2)

    def scene(self, title: str) -> None:
        """Begin the next scene."""
        self._number += 1
        self._title = title

    def say(self, who: str, text: str) -> None:
        """Tell one line; `who` is a node's or a person's key, or empty."""
        self._tell(Step(number=self._number, title=self._title, who=who, text=text, at=self.seconds))
