"""The board of a session: goals, actions, agenda with its clock, place and time, each in its newest form."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from protocol.e2ee.frames import Action, Agenda, Frame, Goal, Place, Slot

from .views import Board, Part, Task, View


class _Latest(View, frozen=True, kw_only=True):
    goals: dict[str, str] = msgspec.field(default_factory=dict)
    actions: dict[str, Action] = msgspec.field(default_factory=dict)
    agenda: Agenda | None = None
    place: str = ""
    slot: Slot | None = None


def board_of(frames: Iterable[Frame], *, now: int) -> Board:
    """Return what the two have put on the board by `frames`, which come in the order of the hub."""
    latest = _Latest()
    for frame in frames:
        latest = _with(latest, frame)
    return Board(
        goals=tuple(latest.goals.values()),
        actions=tuple(
            Task(id=one.action, text=one.text, owner=one.owner, due_at=one.due_at, done=one.done)
            for one in latest.actions.values()
        ),
        agenda=_parts(latest.agenda, now) if latest.agenda else (),
        running=latest.agenda is not None and latest.agenda.started_at is not None,
        place=latest.place,
        slot=(latest.slot.start_at, latest.slot.minutes) if latest.slot else (),
    )


def _with(latest: _Latest, frame: Frame) -> _Latest:
    match frame.content:
        case Goal(goal=name, text=text):
            return replace(latest, goals={**latest.goals, name: text})
        case Action() as action:
            return replace(latest, actions={**latest.actions, action.action: action})
        case Agenda() as agenda:
            return replace(latest, agenda=agenda)
        case Place(text=text):
            return replace(latest, place=text)
        case Slot() as slot:
            return replace(latest, slot=slot)
        case _:
            return latest


def _parts(agenda: Agenda, now: int) -> tuple[Part, ...]:
    """Return the parts with what is left of each, in seconds; all of it while the clock stands."""
    parts: list[Part] = []
    spent = max(0, now - agenda.started_at) if agenda.started_at is not None else 0
    for item in agenda.items:
        whole = item.minutes * 60
        left = max(0, whole - spent)
        spent = max(0, spent - whole)
        parts.append(Part(title=item.title, minutes=item.minutes, left_s=left))
    return tuple(parts)


def restarted(frames: Iterable[Frame], *, started_at: int | None) -> Agenda | None:
    """Return the newest agenda with its clock started or stopped, None when there is none."""
    agendas = [frame.content for frame in frames if isinstance(frame.content, Agenda)]
    return replace(agendas[-1], started_at=started_at) if agendas else None
