"""The board in words: every cell says in a word what its colour says too, so that it reads without colours."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec
from rich.table import Table
from rich.text import Text

from federation.watchwords import ALARMING
from node.services.standing import Attested, BoardView, HeldSet, PeerLine
from protocol.times import when

from .output import shown

Tone = Literal["", "good", "warn", "bad"]
STYLES: Final[dict[Tone, str]] = {"": "", "good": "green", "warn": "yellow", "bad": "bold red"}
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 86_400
#: A head that is older than this has missed several rounds.
OLD_S: Final = 4 * HOUR_S
#: A log that was looked at longer ago is not watched as it should be.
UNWATCHED_S: Final = HOUR_S
COLUMNS: Final = ("peer", "may", "sets", "keys attested", "cosigned", "its log", "delivery", "waiting", "contact")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One line of one cell."""

    text: str
    tone: Tone = ""


#: The cells of one peer, in the order of `COLUMNS`.
Cells = tuple[tuple[Said, ...], ...]


def rows_of(view: BoardView) -> tuple[Cells, ...]:
    """Return the cells of every peer."""
    return tuple(_cells(one, view) for one in view.peers)


def header(view: BoardView) -> Text:
    """Return the lines about this node's own log."""
    log = view.log
    text = Text(f"{shown(view.entity)}, {when(view.now)}\n", style="bold")
    text.append(f"own log {shown(log.origin)}: {log.size} entries, {log.waiting} waiting", style="not bold")
    if log.problem:
        text.append(f"; not signed: {log.problem}", style="bold red")
    if not log.cosigned_by and not log.missing:
        text.append("; nobody is asked to cosign it", style="yellow")
        return text
    signed, asked = len(log.cosigned_by), len(log.cosigned_by) + len(log.missing)
    enough = signed >= log.needed
    verdict = f"; cosigned by {signed} of {asked} ({log.needed} needed): {'enough' if enough else 'too few'}"
    text.append(verdict, style="not bold green" if enough else "not bold yellow")
    for label, names in (("signed", log.cosigned_by), ("not yet", log.missing)):
        if names:
            text.append(f"\n  {label}: {', '.join(map(_host, names))}", style="not bold")
    return text


def part_of_it(view: BoardView) -> Text:
    """Return what one of several processes cannot say for the others."""
    text = Text("One of several processes answers: breakers, pauses and last contacts are its own.")
    if not view.on_duty:
        text.append(" Why sets, witnesses or logs fail, the one on duty knows: `mentormesh status` names it.")
    return text


def warning(note: str) -> Text:
    """Return a line that must not be overlooked."""
    return Text(shown(note), style="bold red")


def table(rows: Sequence[Cells]) -> Table:
    """Return the peers in columns."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 1, 0))
    for column in COLUMNS:
        made.add_column(column, overflow="fold")
    for cells in rows:
        made.add_row(*(Text("\n").join(map(_text, cell)) for cell in cells))
    return made


def stacked(rows: Sequence[Cells]) -> Text:
    """Return the peers below each other, for a narrow terminal."""
    lines: list[Text] = []
    for cells in rows:
        lines += [Text(), Text(" ").join(map(_text, cells[0]))]
        for column, cell in zip(COLUMNS[1:], cells[1:], strict=True):
            lines.append(Text(f"  {column:<14} ") + Text("; ").join(map(_text, cell)))
    return Text("\n").join(lines)


def _text(said: Said) -> Text:
    return Text(shown(said.text), style=STYLES[said.tone])


def _cells(one: PeerLine, view: BoardView) -> Cells:
    return (
        (Said(text=one.display_name), Said(text=_host(one.entity))),
        tuple(_mode(one)),
        tuple(_sets(one.sets)),
        (_attested("theirs", one.its_keys), _attested("ours", one.own_keys)),
        tuple(_cosigned(one, view)),
        tuple(_log(one, view.now)),
        tuple(_delivery(one, view.now)),
        tuple(_waiting(one)),
        (_contact(one, view.now),),
    )


def _mode(one: PeerLine) -> Iterable[Said]:
    if one.frozen_at is not None:
        yield Said(text=f"FROZEN {when(one.frozen_at)}", tone="bad")
    tones: dict[str, Tone] = {"full": "good", "blocked": "bad"}
    tone = tones.get(one.mode, "warn")
    yield Said(text="suspended" if one.mode == "blocked" else one.mode, tone="" if one.frozen_at else tone)
    if one.mode != "full" and one.mode_reason:
        yield Said(text=one.mode_reason)
    if one.mode != "full" and one.mode_until is not None:
        yield Said(text=f"until {when(one.mode_until)}")


def _sets(sets: Sequence[HeldSet]) -> Iterable[Said]:
    for kind in ("offers", "keys"):
        found = [each for each in sets if each.kind == kind]
        # What needs looking at first: what is not fresh, then the oldest.
        held = max(found, key=lambda each: (each.state != "fresh", each.age_s or 0), default=None)
        if held is None:
            yield Said(text=f"{kind} not mirrored")
            continue
        age = f" {_age(held.age_s)}" if held.age_s is not None else ""
        why = f" ({held.problem})" if held.problem else ""
        fresh: Tone = "good" if (held.age_s or 0) < OLD_S and not held.problem else "warn"
        tones: dict[str, Tone] = {"fresh": fresh, "forked": "bad"}
        yield Said(text=f"{kind}{age}, {held.state}{why}", tone=tones.get(held.state, "warn"))


def _attested(whose: str, found: Attested | None) -> Said:
    if found is None:
        return Said(text=f"{whose}: none")
    count = f"{whose}: {found.given} of {found.needed}"
    if found.given >= found.needed:
        return Said(text=f"{count}, enough", tone="good")
    if found.usable:
        return Said(text=f"{count}, older in use", tone="warn")
    return Said(text=f"{count}, not usable", tone="warn")


def _cosigned(one: PeerLine, view: BoardView) -> Iterable[Said]:
    ours = one.cosigned_ours
    if ours is None:
        yield Said(text="ours: not asked")
    elif ours.problem in {"witness-ahead", "witness-contradicts"}:
        yield Said(text=f"ours: claims another log ({ours.problem})", tone="bad")
    else:
        why = f" ({ours.problem})" if ours.problem else ""
        yield Said(
            text=f"ours: {ours.size} of {view.log.size}{why}", tone="good" if ours.size >= view.log.size else "warn"
        )
    known = max(one.log.size if one.log else 0, one.cosigned_theirs.size)
    yield Said(text=f"theirs: {one.cosigned_theirs.size} of {known}")


def _log(one: PeerLine, now: int) -> Iterable[Said]:
    if one.log is None or one.log.at is None:
        problem = one.log.problem if one.log else ""
        yield Said(text=f"not read ({problem})" if problem else "not read", tone="warn")
        return
    behind = f"{one.log.behind} behind" if one.log.behind else "all read"
    yield Said(text=f"{one.log.size} entries, {behind}", tone="warn" if one.log.behind else "good")
    seen = max(0, now - one.log.at)
    yield Said(text=f"looked {_age(seen)} ago", tone="warn" if seen > UNWATCHED_S else "")
    if one.log.problem:
        yield Said(text=one.log.problem, tone="bad" if one.log.problem in ALARMING else "warn")


def _delivery(one: PeerLine, now: int) -> Iterable[Said]:
    if one.comparing:
        yield Said(text="comparing after a restore", tone="warn")
    if one.sending.state == "open":
        again = f", again in {_age(max(0, one.sending.until - now))}" if one.sending.until is not None else ""
        yield Said(text=f"out: paused ({one.sending.last_error}{again})", tone="bad")
    else:
        yield Said(text="out: ok", tone="good")
    if one.taking.state == "open":
        yield Said(text=f"in: turned away for {_age(max(0, (one.taking.until or now) - now))}", tone="bad")
    else:
        faults = f", {one.taking.faults} faults" if one.taking.faults else ""
        yield Said(text=f"in: ok{faults}", tone="warn" if faults else "good")


def _waiting(one: PeerLine) -> Iterable[Said]:
    if not one.waiting:
        yield Said(text="nothing")
        return
    tone: Tone = "bad" if one.lag_s >= HOUR_S else "warn" if one.lag_s >= 5 * MINUTE_S else ""
    yield Said(text=str(one.waiting), tone=tone)
    yield Said(text=f"oldest {_age(one.lag_s)}", tone=tone)


def _contact(one: PeerLine, now: int) -> Said:
    if one.contact_at is None:
        return Said(text="not since start")
    return Said(text=f"{_age(max(0, now - one.contact_at))} ago")


def _age(seconds: int) -> str:
    """Return a time span in its largest unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    for unit, name in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def _host(entity: str) -> str:
    return shown(entity.removeprefix("https://"))
