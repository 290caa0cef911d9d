"""An open chat in the terminal, or with lines from a pipe."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cli.client.needs import ENDED
from cli.client.person import Person
from cli.client.session import OVER
from cli.client.typed import agenda_of, content_of, text_of
from cli.client.views import Event, Shown
from protocol.e2ee.frames import Again, Content, Useful
from protocol.errors import MalformedError, MeshError
from protocol.text import displayable

from .person_access import Terminal

HELP: Final = (
    "Type a line and press Enter. /goal TEXT · /action TEXT · /takeaway TEXT · /note TEXT · /place TEXT · "
    "/thanks TEXT · /agenda TITLE=MINUTES, … · /useful 1-5 · /again yes|no · /verify · /matches · /close · /quit"
)


class Chat:
    """An open chat: what is typed goes out, what comes in is printed, until one of both ends."""

    def __init__(self, me: Person, terminal: Terminal, thread: str) -> None:
        self._me: Final = me
        self._terminal: Final = terminal
        self._thread: Final = thread
        self._open: Final = asyncio.Event()
        self._commands: Final[dict[str, Callable[[str], Awaitable[Any]]]] = {
            "close": self._close,
            "useful": lambda text: self._send(Useful(score=_score(text))),
            "again": lambda text: self._send(Again(yes=text.strip().lower() in {"yes", "ja", "y", "j"})),
            "verify": lambda _: self._me.verify(self._thread),
            "matches": self._matches,
            "agenda": lambda text: self._send(agenda_of(text.split(","))),
        }

    async def run(self) -> None:
        """Return once the person quits, the input ends, or the session is over."""
        if self._thread in self._me.state.sessions:
            self._open.set()
        listening = asyncio.ensure_future(self._listen())
        typing = asyncio.ensure_future(self._type())
        done, pending = await asyncio.wait({listening, typing}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for task in done:
            task.result()

    async def _listen(self) -> None:
        async for event in self._me.events():
            self._print(event)
            state = self._me.state
            if self._thread in state.sessions:
                self._open.set()
            elif self._open.is_set() or state.thread(self._thread).state in (*ENDED, OVER):
                return

    def _print(self, event: Event) -> None:
        """Print an event; what the other person of this chat says stands behind their name."""
        here = self._me.state.sessions.get(self._thread)
        if self._terminal.as_json or not isinstance(event, Shown) or event.thread != self._thread or here is None:
            self._terminal.event(event)
            return
        kind = "" if event.kind == "chat" else f" [{event.kind}]"
        self._terminal.result(event, f"{here.name or event.from_role}{kind}: {event.text}")

    async def _type(self) -> None:
        await self._open.wait()
        lines = _lines_of_stdin()
        while (line := await lines.get()) is not None:
            if line.strip() == "/quit":
                return
            try:
                await self._take(line.rstrip("\n"))
            except MeshError as error:
                self._terminal.say(f"{error}.")

    async def _take(self, line: str) -> None:
        if not line.startswith("/"):
            if displayable(line):
                await self._send(content_of("chat", displayable(line)))
            return
        name, _, text = line[1:].partition(" ")
        if name == "help":
            self._terminal.say(HELP)
        elif name in self._commands:
            await self._commands[name](text)
        else:
            await self._send(content_of(name, text_of([text])))

    async def _send(self, content: Content) -> None:
        if not await self._me.send(self._thread, content):
            self._terminal.say("(stored: it is sent when your node is back)")

    async def _matches(self, _text: str) -> None:
        self._me.code_matches(self._thread)
        self._terminal.say("Remembered: you have compared codes.")

    async def _close(self, _text: str) -> None:
        await self._me.close(self._thread)
        self._terminal.say("You have closed. The session ends when the other side has, too.")


def _score(text: str) -> int:
    if text.strip() not in {"1", "2", "3", "4", "5"}:
        raise MalformedError("useful takes 1 to 5")
    return int(text)


def _lines_of_stdin() -> "asyncio.Queue[str | None]":
    """Return typed lines, then None; a thread reads them, because files and terminals cannot be waited for alike."""
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def read() -> None:
        # Bytes that are no text are shown as such by `displayable`, instead of ending the chat without a word.
        for raw in sys.stdin.buffer:
            loop.call_soon_threadsafe(lines.put_nowait, raw.decode("utf-8", "replace"))
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    return lines
