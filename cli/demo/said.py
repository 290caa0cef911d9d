"""Everything that two people can say to each other, each text of it marked, for those who look for the marks."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from cli.client.core import fresh_id, fresh_secret
from cli.client.views import Shown
from protocol.e2ee.frames import (
    Action,
    Again,
    Agenda,
    AgendaItem,
    Chat,
    Content,
    Goal,
    Note,
    Place,
    Takeaway,
    Thanks,
    Useful,
    Vanish,
)
from protocol.e2ee.sealedreports import ReportKey
from protocol.e2ee.signals import CallAnswer, CallCandidate, CallEnd, CallOffer
from protocol.errors import UnavailableError

from . import words
from .actors import Actor
from .nodes import Settings

Mark = Callable[[str], str]
#: Programs say these to each other, or keep them until both spoke: nobody is shown anything when they come.
UNSEEN: Final = (Again, CallCandidate)
MONTH_S: Final = 30 * 86_400


def settings() -> Settings:
    """Return settings of a node whose contact reads reports with a key that nobody has."""
    key = ReportKey(fresh_secret()).public.text
    return {"reports": {"name": "Speak up", "mail": "speakup@example.com", "key": key}}


def said(mark: Mark) -> tuple[tuple[str, Content], ...]:
    """Return everything that is said, by whom; each text is marked."""
    call = fresh_id()
    return (
        ("ana", Chat(text=mark("Good morning! Can we begin with the slides?"))),
        ("ben", Chat(text=mark(words.REPLY))),
        ("ana", Agenda(items=tuple(AgendaItem(title=mark(one.title), minutes=one.minutes) for one in words.AGENDA))),
        ("ana", Goal(goal=fresh_id(), text=mark(words.GOAL))),
        ("ben", Action(action=fresh_id(), text=mark(words.ACTION), owner="mentee")),
        ("ben", Note(note=fresh_id(), text=mark("Boards ask what it costs to wait."))),
        ("ana", Place(text=mark("The small room on the third floor"))),
        ("ana", Takeaway(text=mark(words.TAKEAWAY))),
        ("ben", Takeaway(text=mark("She already knew the answer."))),
        ("ana", CallOffer(call=call, sdp=_sdp(mark))),
        ("ben", CallAnswer(call=call, sdp=_sdp(mark))),
        ("ben", CallCandidate(call=call, candidate=mark("candidate:1 1 udp 1 192.0.2.1 9"), mid="0")),
        ("ben", CallEnd(call=call)),
        ("ben", Vanish(after="end", seconds=MONTH_S)),
        ("ana", Useful(score=5)),
        ("ana", Again(yes=True)),
        ("ana", Thanks(text=mark(words.THANKS))),
    )


async def done_beside(ana: Actor, ben: Actor, thread: str, mark: Mark, folder: Path) -> tuple[str, ...]:
    """Let both do what is more than a frame, and return what it was.

    Ana takes a message back, keeps a note to herself, in the vault and sealed at her node, and sends a file that Ben
    fetches; Ben reports a message of hers. Raises: UnavailableError: a file or report went astray; MeshError.
    """
    await ana.say(thread, Chat(text=mark("That was for somebody else.")))
    await ben.see(Shown)
    await ana.person.take_back(thread)
    await ben.see(Shown)
    ana.person.note_privately(thread, mark("He is kinder than I thought."))
    ana.person.archive.shared(shared=True)
    if not await ana.person.archive.push():
        raise UnavailableError("the note was not stored")
    await _file(ana, ben, thread, mark, folder)
    number = next(one.number for one in ben.person.session(thread).lines if one.kind == "chat" and not one.mine)
    report = ben.person.report(thread, [number], reason="other", words=mark("It hurt me."))
    if {one.standing for one in await ben.person.reports.hand_in(report)} & {"waiting", "refused"}:
        raise UnavailableError("the report was not taken")
    return "retract", "private note", "file", "report"


async def _file(ana: Actor, ben: Actor, thread: str, mark: Mark, folder: Path) -> None:
    source = folder / "slides.txt"
    source.write_text(mark("Slide 1: we ship late. ") * 1_000, encoding="utf-8")
    await ana.person.files.send(thread, source, name=mark("slides") + ".txt", progress=_unwatched)
    await ben.see(Shown)
    fetched = await ben.person.files.get(thread, "1", to=folder / "fetched.txt", progress=_unwatched)
    if fetched.read_bytes() != source.read_bytes():
        raise UnavailableError("another file came than was sent")


def _sdp(mark: Mark) -> str:
    lines = ("v=0", f"s={mark('call')}", f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}")
    return "".join(f"{line}\r\n" for line in lines)


def _unwatched(_done: int, _total: int) -> None:
    """Show no progress."""
