"""`mentormesh ask`, `candidates`, `request`, `threads`, `cancel`: from a need to one person who answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, get_args

import click
import msgspec

from cli.client.blocks import DECLINING
from cli.client.gaps import missing
from cli.client.person import Person
from cli.client.pins import name_of
from cli.client.records import ThreadRecord
from cli.client.render import requested_lines, review_lines, shortlist_lines, thread_line
from cli.client.views import Agreed, Event, Exhausted, Proposal, Requested, Secured, Shortlist
from node.matching.typeahead import Suggestion
from protocol.bodies import CancelReason
from protocol.encoding import broken_rule
from protocol.errors import MalformedError, MeshError, MissingError, RefusedError
from protocol.needs import Approach, Experience, Need, Window, Wish
from protocol.vocabulary import Band, Format, Kind, TopicId

from .person_access import Terminal, follow, numbered, person_command, thread_named

MOST_CHARACTERS: Final = 600
FIND: Final = "`mentormesh ask` with a few words finds one"


class ThreadView(msgspec.Struct, frozen=True, kw_only=True):
    """One request or session; at `missing` places of it something was said that never arrived."""

    thread: str
    role: str
    peer: str
    state: str
    reason: str
    missing: int = 0


def parse_time(text: str) -> int:
    """Return Unix seconds of `2026-11-26T15:00`, in this machine's zone unless it names one. Raises: MalformedError."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        raise MalformedError("a time looks like 2026-11-26T15:00 or 2026-11-26T15:00+01:00") from None


def parse_window(text: str) -> Window:
    """Return the window `START/END`. Raises: MalformedError."""
    start, slash, end = text.partition("/")
    if not slash:
        raise MalformedError("a window looks like 2026-11-26T14:00/2026-11-26T18:00")
    first, last = parse_time(start), parse_time(end)
    if not 0 <= first < last:
        raise MalformedError("a window must end after it starts")
    return Window(start=first, end=last)


@click.command()
@click.argument("words", nargs=-1)
@click.option("--topic", "topics", multiple=True, help="Topic by its id, up to three; instead of WORDS.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="What the mentor brings.")
@click.option("--language", "languages", multiple=True, help="Language you speak, the best first; may be repeated.")
@click.option("--format", "format_", type=click.Choice(get_args(Format)), default="call", show_default=True)
@click.option("--length", type=click.Choice(["15", "20", "30", "45", "60"]), default="30", show_default=True)
@click.option("--window", "windows", multiple=True, help="START/END when you have time; may be repeated. Default: any.")
@click.option("--band", type=click.Choice(get_args(Band)), default="any", show_default=True, help="How senior.")
@click.option("--sector", type=click.Choice(get_args(Wish)), default="any", show_default=True)
@click.option("--function", type=click.Choice(get_args(Wish)), default="any", show_default=True)
@click.option("--experience", multiple=True, type=click.Choice(get_args(Experience)), help="Up to two.")
@click.option("--approach", multiple=True, type=click.Choice(get_args(Approach)), help="Up to two.")
@click.option("--exclude", multiple=True, metavar="ENTITY", help="Organization that is not asked; may be repeated.")
@click.option("--again", "contact", metavar="CONTACT", help="Ask somebody you have met, and nobody else.")
@click.option("--no-own", is_flag=True, help="Do not ask colleagues in your own company.")
@person_command
async def ask(
    me: Person,
    terminal: Terminal,
    *,
    words: tuple[str, ...],
    topics: tuple[str, ...],
    kind: Kind | None,
    languages: tuple[str, ...],
    format_: Format,
    length: str,
    windows: tuple[str, ...],
    exclude: tuple[str, ...],
    contact: str | None,
    no_own: bool,
    **wishes: object,
) -> None:
    """Say what you need in WORDS and see up to five people who could help.

    Your words stay at your own node, which turns them into a topic and forgets them.
    """
    chosen = await _topic(me, terminal, " ".join(words), topics)
    spoken = languages or (await me.api.me()).languages or (terminal.language,)
    need = _need(
        topics=chosen[0],
        kind=kind or chosen[1],
        languages=spoken[:4],
        format=format_,
        length=int(length),
        windows=sorted(({"start": one.start, "end": one.end} for one in map(parse_window, windows)), key=_start),
        **wishes,
    )
    if contact is not None:
        shortlist = await me.ask_again(need, contact)
    else:
        shortlist = await me.ask(need, exclude=exclude, own=not no_own)
    terminal.result(shortlist, shortlist_lines(shortlist, terminal.language))


def _start(window: dict[str, int]) -> int:
    return window["start"]


def _need(**fields: object) -> Need:
    try:
        return msgspec.convert(fields, Need)
    except msgspec.ValidationError as error:
        raise MalformedError(f"the need is not valid: {broken_rule(error)}") from None


async def _topic(me: Person, terminal: Terminal, words: str, topics: tuple[str, ...]) -> tuple[tuple[str, ...], Kind]:
    """Return the topics asked for, and the kind that goes with the first one."""
    if topics:
        await _require_known(me, terminal, topics)
        return topics, "been-through" if topics[0].startswith("mm:") else "do"
    if not words:
        raise click.UsageError("say in a few words what you need, or name a --topic")
    found = await me.api.suggest(words[:100], terminal.language)
    if not found:
        raise MissingError("no topic goes with these words: try others, such as “first presentation to the board”")
    one = _chosen(terminal, found)
    return (one.id,), one.kinds[0] if one.kinds else "been-through" if one.id.startswith("mm:") else "do"


async def _require_known(me: Person, terminal: Terminal, topics: tuple[str, ...]) -> None:
    """Return when the own node knows every topic; one that it does not know is its own name there."""
    for topic in topics:
        try:
            msgspec.convert(topic, TopicId)
        except msgspec.ValidationError:
            raise MalformedError(f"a topic looks like mm:first-board-presentation; {FIND}") from None
    labels = await me.api.labels(topics, terminal.language)
    strange = [topic for topic in topics if labels.get(topic, topic) == topic]
    if strange:
        raise MissingError(f"your node knows no topic {', '.join(strange)}; {FIND}")


def _chosen(terminal: Terminal, found: Sequence[Suggestion]) -> Suggestion:
    if len(found) == 1:
        return found[0]
    if not terminal.can_ask:
        listed = ", ".join(f"{one.id} ({one.label})" for one in found)
        raise RefusedError(f"several topics go with these words: name one with --topic: {listed}", code="which-topic")
    for number, one in enumerate(found, 1):
        terminal.say(f"[{number}] {one.label}")
    number = click.prompt("Which one", type=click.IntRange(1, len(found)), default=1, err=True)
    return found[int(number) - 1]


@click.command()
@person_command
async def candidates(me: Person, terminal: Terminal) -> None:
    """Show the people found last once more."""
    shortlist = _shortlist(me)
    terminal.result(shortlist, shortlist_lines(shortlist, terminal.language))


def _shortlist(me: Person) -> Shortlist:
    shortlist = me.shortlist()
    if shortlist is None:
        raise MissingError("there is no shortlist yet: use `mentormesh ask` first")
    return shortlist


@click.command()
@click.argument("number", type=int, required=False)
@click.option("--ask", "question", default="", help="Your question and its context.")
@click.option("--tried", default="", help="What you have tried.")
@click.option("--worth", default="", help="What would make the session worth it.")
@click.option("--slot", "slots", multiple=True, type=int, help="Number of a time, the best first; may be repeated.")
@click.option("--backup", "backups", multiple=True, type=int, help="Whom to ask next after a no; may be repeated.")
@click.option("--no-backups", is_flag=True, help="Ask nobody else after a no.")
@click.option("--about", multiple=True, help="Chip about yourself, such as sector-h or band-senior; may be repeated.")
@click.option("--thread", help="Take up other times that the mentor of this thread proposed.")
@click.option("--yes", is_flag=True, help="Do not show the review first.")
@click.option("--follow", "stay", is_flag=True, help="Stay until somebody says yes, or nobody is left.")
@person_command
async def request(
    me: Person,
    terminal: Terminal,
    *,
    number: int | None,
    question: str,
    tried: str,
    worth: str,
    slots: tuple[int, ...],
    backups: tuple[int, ...],
    no_backups: bool,
    about: tuple[str, ...],
    thread: str | None,
    yes: bool,
    stay: bool,
) -> None:
    """Send a request to person NUMBER of the shortlist.

    Three short texts, 600 characters together, are sealed so that only that person's device can read them.
    """
    shortlist = _shortlist(me)
    if thread is not None:
        sent = await _take_up(me, thread, slots)
    else:
        proposal = _proposal(shortlist, number)
        prompts = _prompts(terminal, question, tried, worth)
        if not yes:
            _review(me, terminal, proposal, prompts)
        sent = await me.request(
            proposal.number,
            prompts=prompts,
            slots=numbered(proposal.candidate.slots, slots),
            backups=() if no_backups else backups or None,
            about=about,
        )
    terminal.result(sent, requested_lines(sent, await _deadline(me, sent), shortlist.need, terminal.language))
    if stay:
        await follow(me, terminal, until=_is_settled)


def _proposal(shortlist: Shortlist, number: int | None) -> Proposal:
    if not shortlist.proposals:
        raise MissingError("the shortlist is empty: use `mentormesh ask` again")
    if number is None or not 1 <= number <= len(shortlist.proposals):
        raise click.UsageError(f"name a person of the shortlist, 1 to {len(shortlist.proposals)}")
    return shortlist.proposals[number - 1]


def _prompts(terminal: Terminal, question: str, tried: str, worth: str) -> tuple[str, str, str]:
    if question or not terminal.can_ask:
        return question, tried, worth
    question = click.prompt("What would you like to ask, and in which context", err=True)
    tried = click.prompt("What have you tried", default="", show_default=False, err=True)
    worth = click.prompt("What would make the session worth it", default="", show_default=False, err=True)
    left = MOST_CHARACTERS - len(question + tried + worth)
    if left < 0:
        raise MalformedError(f"the brief takes {MOST_CHARACTERS} characters together: cut {-left}")
    return question, tried, worth


def _review(me: Person, terminal: Terminal, proposal: Proposal, prompts: tuple[str, str, str]) -> None:
    if not terminal.can_ask:
        return
    state = me.state
    own = name_of(state, state.signed_in.entity)
    for line in review_lines(proposal, prompts, own, terminal.language):
        terminal.say(f"· {line}")
    click.confirm("Send it?", default=True, abort=True, err=True)


async def _take_up(me: Person, thread: str, slots: tuple[int, ...]) -> Requested:
    name = thread_named(me.state, thread)
    ref = me.state.thread(name).ref
    offered = [one for one in _shortlist(me).proposals if (one.thread, one.candidate.ref) == (name, ref)]
    if not offered:
        raise RefusedError("nobody proposes other times in this thread")
    return await me.take_up(name, numbered(offered[0].candidate.slots, slots))


async def _deadline(me: Person, sent: Requested) -> int | None:
    try:
        return (await me.api.thread(sent.thread, "consumer")).deadline
    except MeshError:
        return None


def _is_settled(event: Event) -> bool:
    return isinstance(event, Secured | Exhausted) or (isinstance(event, Agreed) and event.attested == "node")


@click.command()
@click.option("--follow", "stay", is_flag=True, help="Stay and print what happens; after a no the next one is asked.")
@person_command
async def threads(me: Person, terminal: Terminal, *, stay: bool) -> None:
    """List your requests and sessions, after taking in what is new."""
    for event in await me.poll():
        terminal.event(event)
    state = me.state
    shown = [one for one in state.threads.values() if one.state not in {"REQUESTED", "OFFERED", DECLINING} or one.ref]
    views = [_thread(me, one) for one in sorted(shown, key=lambda one: one.updated_at)]
    lines = [
        thread_line(state.threads[one.thread], name_of(state, one.peer), terminal.language, missing=one.missing)
        for one in views
    ]
    terminal.result(views, lines or ["There is no request yet."])
    if stay:
        await follow(me, terminal)


def _thread(me: Person, one: ThreadRecord) -> ThreadView:
    return ThreadView(
        thread=one.thread,
        role=one.role,
        peer=one.peer,
        state=one.state,
        reason=one.reason,
        missing=missing(me.state.sessions.get(one.thread), now=me.now()),
    )


@click.command()
@click.argument("thread")
@click.option("--reason", type=click.Choice(get_args(CancelReason)), default="not-needed", show_default=True)
@person_command
async def cancel(me: Person, terminal: Terminal, *, thread: str, reason: CancelReason) -> None:
    """Step back from the request THREAD, or call off its session."""
    name = thread_named(me.state, thread)
    await me.cancel(name, reason=reason)
    terminal.result({"thread": name, "cancelled": True}, "Called off. The other side is told, without your name.")
