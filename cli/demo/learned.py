"""One line for each company: what it learned, worded from what its rows hold and from nothing else."""

from collections.abc import Iterable, Mapping

from .servers import Ledger
from .words import listing, number, topic_label


def learned(entity: str, ledger: Ledger, names: Mapping[str, str]) -> str:
    """Return the line of the company `entity`; `names` are the display names of all entities."""
    parts = [*_asked(entity, ledger, names), *_requests(entity, ledger, names), *_meetings(entity, ledger, names)]
    return " ".join((*parts, "No word, no name.")) if parts else "Nothing: it was not asked, and nobody here asked."


def _asked(entity: str, ledger: Ledger, names: Mapping[str, str]) -> Iterable[str]:
    others = [names[one] for one in ledger.asked if one != entity]
    if others:
        yield f"Somebody here asked {listing(others)}."


def _requests(entity: str, ledger: Ledger, names: Mapping[str, str]) -> Iterable[str]:
    outcome = f": {text}" if (text := _outcome(ledger)) else ""
    # Of a request that came to nothing the rows keep no topic; what is known comes first.
    for topic in sorted({topic for _, topic in ledger.asked_by}, key=lambda topic: (not topic, topic)):
        asking = [peer for peer, about in ledger.asked_by if about == topic]
        who = listing("somebody here" if peer == entity else f"somebody at {names[peer]}" for peer in asking)
        about = f" about “{topic_label(topic)}”" if topic else ""
        kept = "" if topic else ", of which it kept nothing"
        yield f"Asked{about} by {who}{kept}{outcome}."
        outcome = ""


def _outcome(ledger: Ledger) -> str:
    parts = []
    if ledger.turned_away:
        parts.append(f"{number(ledger.turned_away, 'request')} found no free place")
    if ledger.waiting:
        parts.append(f"{number(ledger.waiting, 'request')} {'waits' if ledger.waiting == 1 else 'wait'}")
    return listing(parts) if parts else ""


def _meetings(entity: str, ledger: Ledger, names: Mapping[str, str]) -> Iterable[str]:
    internal = len({one.side for one in ledger.meetings if one.peer == entity}) == 2
    for one in ledger.meetings:
        if internal and one.side == "consumer":
            continue
        whom = "Two people here met" if internal else f"Somebody here met somebody at {names[one.peer]}"
        yield f"{whom}: {number(one.envelopes, 'sealed envelope')}."
