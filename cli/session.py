"""`mentormesh session`: the conversation, as a chat in the terminal or one line at a time."""

import asyncio
import re
from typing import Final

import click

from cli.client.core import fresh_id
from cli.client.person import Person
from cli.client.render import line_of, session_lines
from cli.client.render_board import vanishing_line
from cli.client.typed import agenda_of, content_of, text_of
from cli.client.views import Alarm, Closed, CodeReady, Role
from protocol.e2ee.frames import Action, Again, Content, Useful
from protocol.errors import MalformedError, MissingError, UnavailableError

from .chat import HELP, Chat
from .person_access import Terminal, follow, person_command, thread_named


class SessionGroup(click.Group):
    """`session THREAD` without a verb is the chat."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what is left of `args`; a first word that is no command is a thread, or an option, of the chat."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["chat", *args]
        return super().parse_args(ctx, args)


@click.group(cls=SessionGroup)
def session() -> None:
    """Talk in a session: `session THREAD` is a chat, the commands below say one thing each."""


async def opened(me: Person, terminal: Terminal, thread: str) -> str:
    """Return the id of a session after taking in what is new; what is new elsewhere is told. Raises: MissingError."""
    events = await me.poll()
    name = thread_named(me.state, thread)
    for event in events:
        if event.thread != name or isinstance(event, Alarm):
            terminal.event(event)
    me.state.session(name)
    return name


async def _say(me: Person, terminal: Terminal, thread: str, content: Content) -> None:
    name = await opened(me, terminal, thread)
    _told(terminal, name, delivered=await me.send(name, content))


def _told(terminal: Terminal, name: str, *, delivered: bool) -> None:
    note = "Sent." if delivered else "Stored: it is sent when your node is back."
    terminal.result({"thread": name, "sent": delivered}, note)


@session.command()
@click.argument("thread")
@click.argument("words", nargs=-1, required=True)
@person_command
async def send(me: Person, terminal: Terminal, *, thread: str, words: tuple[str, ...]) -> None:
    """Send one chat message."""
    await _say(me, terminal, thread, content_of("chat", text_of(words)))


def _text_command(kind: str, summary: str) -> None:
    """Add `session KIND THREAD WORDS`."""

    @session.command(kind, help=summary)
    @click.argument("thread")
    @click.argument("words", nargs=-1, required=True)
    @person_command
    async def command(me: Person, terminal: Terminal, *, thread: str, words: tuple[str, ...]) -> None:
        await _say(me, terminal, thread, content_of(kind, text_of(words)))


for _kind, _summary in (
    ("goal", "Say what you want to leave with."),
    ("takeaway", "Say the one thing that stays; both keep it."),
    ("place", "Say where to meet."),
    ("thanks", "Say thank you."),
):
    _text_command(_kind, _summary)


@session.command()
@click.argument("thread")
@click.argument("words", nargs=-1, required=True)
@click.option("--owner", type=click.Choice(["mentee", "mentor"]), default="mentee", show_default=True)
@person_command
async def action(me: Person, terminal: Terminal, *, thread: str, words: tuple[str, ...], owner: Role) -> None:
    """Note one thing to do; both keep it."""
    await _say(me, terminal, thread, Action(action=fresh_id(), text=text_of(words), owner=owner))


@session.command()
@click.argument("thread")
@click.argument("items", nargs=-1, required=True, metavar="TITLE=MINUTES...")
@person_command
async def agenda(me: Person, terminal: Terminal, *, thread: str, items: tuple[str, ...]) -> None:
    """Set the agenda, such as `"What happened=5" "Options=15"`."""
    await _say(me, terminal, thread, agenda_of(items))


@session.command()
@click.argument("thread")
@click.argument("words", nargs=-1, required=True)
@click.option("--private", is_flag=True, help="Only you: it stays in your vault and is never sent.")
@person_command
async def note(me: Person, terminal: Terminal, *, thread: str, words: tuple[str, ...], private: bool) -> None:
    """Write a shared note, or a private one."""
    if not private:
        await _say(me, terminal, thread, content_of("note", text_of(words)))
        return
    name = thread_named(me.state, thread)
    me.note_privately(name, text_of(words))
    await me.keep()
    terminal.result({"thread": name, "private": True}, "\N{LOCK} Kept in your vault: only you see it.")


@session.command()
@click.argument("thread")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--open", "reopen", is_flag=True, help="It is open again.")
@person_command
async def done(me: Person, terminal: Terminal, *, thread: str, number: int, reopen: bool) -> None:
    """Tick an action of the board by its number."""
    name = await opened(me, terminal, thread)
    tasks = me.session(name).board.actions
    if number > len(tasks):
        raise MissingError(f"the board has {len(tasks)} actions")
    one = tasks[number - 1]
    ticked = Action(action=one.id, text=one.text, owner=one.owner, due_at=one.due_at, done=not reopen)
    _told(terminal, name, delivered=await me.send(name, ticked))


@session.command()
@click.argument("thread")
@click.argument("verb", type=click.Choice(["start", "stop"]))
@person_command
async def timer(me: Person, terminal: Terminal, *, thread: str, verb: str) -> None:
    """Start or stop the clock of the agenda; both see what is left."""
    name = await opened(me, terminal, thread)
    _told(terminal, name, delivered=await me.timer(name, runs=verb == "start"))


_SPAN: Final = re.compile(r"([1-9][0-9]{0,3})(m|h|d)")
_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400}


def parse_span(text: str) -> int | None:
    """Return the seconds of `30m`, `1h` or `7d`, None for `off`. Raises: MalformedError."""
    if text == "off":
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise MalformedError("a time looks like 30m, 1h or 7d, or is `off`")
    return int(found[1]) * _UNITS[found[2]]


@session.command()
@click.argument("thread")
@click.option("--after-end", metavar="TIME", help="All words, so long after the agreed end: 1h, 1d, 7d, or off.")
@click.option("--after-said", metavar="TIME", help="Each message, so long after it was said: 30m, 1h, or off.")
@person_command
async def vanish(me: Person, terminal: Terminal, *, thread: str, after_end: str | None, after_said: str | None) -> None:
    """Let words vanish on both devices; the shortest of both wishes counts, and nobody can prevent copies."""
    if after_end is None and after_said is None:
        raise MalformedError("say when: --after-end 1d, or --after-said 1h")
    name = await opened(me, terminal, thread)
    if after_end is not None:
        await me.vanish(name, after="end", seconds=parse_span(after_end))
    if after_said is not None:
        await me.vanish(name, after="said", seconds=parse_span(after_said))
    if name not in me.state.sessions:
        terminal.result({"thread": name, "over": True}, "The time is over: all words are gone here.")
        return
    view = me.session(name, language=terminal.language)
    terminal.result(view.vanishing, vanishing_line(view, terminal.language) or "Words stay until the session ends.")


@session.command()
@click.argument("thread")
@click.option("--message", "number", type=click.IntRange(min=1), help="Which one; the last one by default.")
@person_command
async def undo(me: Person, terminal: Terminal, *, thread: str, number: int | None) -> None:
    """Take back a message of yours: the other device hides it, if nobody has read or copied it before."""
    name = await opened(me, terminal, thread)
    delivered = await me.take_back(name, number)
    terminal.result(
        {"thread": name, "sent": delivered},
        "The other device is asked to hide it. It may have been read or copied, and it stays there for a report until "
        "the session ends.",
    )


@session.command()
@click.argument("thread")
@click.argument("score", type=click.IntRange(1, 5))
@person_command
async def useful(me: Person, terminal: Terminal, *, thread: str, score: int) -> None:
    """Say how useful it was for the question, 1 to 5."""
    await _say(me, terminal, thread, Useful(score=score))


@session.command()
@click.argument("thread")
@click.argument("answer", type=click.Choice(["yes", "no"]))
@person_command
async def again(me: Person, terminal: Terminal, *, thread: str, answer: str) -> None:
    """Say whether you would meet again; it shows only when both say yes."""
    await _say(me, terminal, thread, Again(yes=answer == "yes"))


@session.command()
@click.argument("thread")
@click.option("--matches", is_flag=True, help="You have read the code to each other, and it is the same.")
@click.option("--wait", "wait_s", type=click.IntRange(1, 600), default=60, show_default=True, help="Seconds to wait.")
@person_command
async def verify(me: Person, terminal: Terminal, *, thread: str, matches: bool, wait_s: int) -> None:
    """Compare a short code with the other person, by voice: seven pictures and three numbers.

    The other program must be open. What matched is remembered and shown in later sessions with the same person.
    """
    name = await opened(me, terminal, thread)
    if matches:
        me.code_matches(name)
        await me.keep()
        done = me.session(name, language=terminal.language)
        terminal.result(done, session_lines(done, terminal.language)[-1])
        return
    await me.verify(name)
    if not terminal.as_json:
        terminal.say("Waiting for the other program …")
    try:
        async with asyncio.timeout(wait_s):
            await follow(me, terminal, until=lambda event: isinstance(event, CodeReady) and event.thread == name)
    except TimeoutError:
        raise UnavailableError("the other program did not answer: is it open?", code="no-answer") from None


@session.command()
@click.argument("thread")
@person_command
async def close(me: Person, terminal: Terminal, *, thread: str) -> None:
    """Close the session; once both have, its keys are destroyed and takeaways stay."""
    name = await opened(me, terminal, thread)
    await me.close(name)
    over = name not in me.state.sessions
    after = "The session is over, its keys are destroyed." if over else "Closed on your side."
    terminal.result({"thread": name, "over": over}, after)


@session.command()
@click.argument("thread")
@click.option("--follow", "stay", is_flag=True, help="Stay and print what comes.")
@click.option("--numbers", is_flag=True, help="With the numbers by which messages are named.")
@person_command
async def show(me: Person, terminal: Terminal, *, thread: str, stay: bool, numbers: bool) -> None:
    """Show the session so far: what was said, the board, and your private notes."""
    name = await opened(me, terminal, thread)
    view = me.session(name, language=terminal.language)
    terminal.result(view, session_lines(view, terminal.language, numbers=numbers))
    if stay:
        await follow(me, terminal, until=lambda event: isinstance(event, Closed) and event.thread == name)


@session.command()
@click.argument("thread")
@person_command
async def chat(me: Person, terminal: Terminal, *, thread: str) -> None:
    """Chat in the terminal; also reads lines from a pipe."""
    for event in await me.poll():
        terminal.event(event)
    name = thread_named(me.state, thread)
    if name in me.state.sessions:
        view = me.session(name, language=terminal.language)
        if clock := vanishing_line(view, terminal.language):
            terminal.say(clock)
        for line in view.lines:
            if line.kind != "name":
                terminal.result(line, line_of(line, view.name, terminal.language))
    else:
        terminal.say("Waiting until the session is open on both devices …")
    if terminal.can_ask:
        terminal.say(HELP)
    await Chat(me, terminal, name).run()
