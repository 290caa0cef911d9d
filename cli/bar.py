"""A progress bar for whoever waits at a terminal."""

from types import TracebackType
from typing import Any, Final, Self

from .output import Output


class Bar:
    """A progress bar on standard error, for people at a terminal only."""

    def __init__(self, output: Output, what: str) -> None:
        self._shown: Final = not output.as_json
        self._what: Final = what
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        if self._shown and console.is_terminal:
            self._bar = Progress(console=console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=None)
        return self

    def show(self, done: int, total: int) -> None:
        """Move the bar, if there is one."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
