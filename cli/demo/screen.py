"""The story on a terminal, in three columns and at least 80 characters wide; in a pipe or a file as plain lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from .people import Cast
from .scenes import Line, Pane, Scene, Tone

PANES: Final[tuple[Pane, ...]] = ("mentee", "servers", "mentor")
STYLES: Final[dict[Tone, str]] = {"": "", "said": "cyan", "bytes": "dim", "good": "green", "bad": "bold red"}
NARROWEST: Final = 60
#: A pipe has no width; lines are not broken there.
PIPE_WIDTH: Final = 10_000


class Screen:
    """Shows progress, scenes and results on one stream."""

    def __init__(self, cast: Cast, titles: dict[str, str], *, stream: TextIO) -> None:
        """Take the stream; `titles` are the display names of companies by node name."""
        # A terminal that does not know a character shows `?` instead of ending the demo.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
        live = stream.isatty()
        self._console: Final = Console(
            file=stream, highlight=False, soft_wrap=not live, width=None if live else PIPE_WIDTH
        )
        self._columns: Final = live and self._console.width >= NARROWEST
        self._names: Final[dict[Pane, str]] = {
            "mentee": f"Ana, {titles[cast.ana.company]}",
            "servers": "What the servers know" if len(titles) > 1 else "What the server knows",
            "mentor": f"Ben, {titles[cast.ben.company]}",
        }
        self._status: Status | None = None
        self._headed = False

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show a moving line while inside, on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status("setting up") as self._status:
            yield
        self._status = None

    def step(self, text: str) -> None:
        """Say what is being set up."""
        if self._status is not None:
            self._status.update(f"setting up: {text} …")
        else:
            self.say(f"setting up: {text}")

    def say(self, text: str, style: str = "") -> None:
        """Print one line."""
        self._console.print(Text(text, style=style))

    def scene(self, scene: Scene) -> None:
        """Print one scene."""
        if self._columns:
            self._scene_in_columns(scene)
        else:
            self._scene_in_lines(scene)

    def _scene_in_columns(self, scene: Scene) -> None:
        table = Table(box=None, expand=True, padding=(0, 1, 0, 0), show_header=not self._headed, header_style="bold")
        for pane in PANES:
            table.add_column(Text(self._names[pane]), ratio=1, overflow="fold")
        for row in scene.rows:
            table.add_row(*(_cell(row.get(pane, ())) for pane in PANES))
        self._headed = True
        self._console.print()
        self._console.rule(Text(f"{scene.number}  {scene.title}", style="bold"), align="left")
        self._console.print(table)

    def _scene_in_lines(self, scene: Scene) -> None:
        self.say(f"\n{scene.number}. {scene.title}", "bold")
        speaker: dict[Pane, str] = {"mentee": "Ana", "servers": "servers", "mentor": "Ben"}
        for line in scene.lines:
            text = Text(f"   {speaker[line.pane]:<8} ")
            text.append(line.text, style=STYLES[line.tone])
            self._console.print(text)


def _cell(lines: tuple[Line, ...]) -> Text:
    return Text("\n").join(Text(line.text, style=STYLES[line.tone]) for line in lines)
