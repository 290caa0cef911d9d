"""How a catalog changes: once per edition, delayed, never two new offers of one mentor, ending only in purge rounds.

k hides a person in one picture; this hides them in the film. All decisions are drawn from `entropy`, one draw for each
purpose and cell, so that they do not depend on the order of cells and two audiences with one policy move alike.
Source: docs/protocol/11-offers.md §6.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import shake_256
from typing import Final, Literal

import msgspec

from .commitments import SALT_BYTES, Opening
from .crowd import Cell
from .encoding import label, length_prefixed
from .ids import id_bytes, random_id
from .minimize import Desired, Rules, cell_key
from .offers import Offer, encode_offer

#: waiting: not shown yet. listed: shown. hidden: rotated out until the next purge round. gone: ended, remembered.
Phase = Literal["waiting", "listed", "hidden", "gone"]
#: Who could hold a cell now.
Holders = Callable[[Cell], frozenset[str]]

_DRAW_BYTES: Final = 8
_DRAW_RANGE: Final = 1 << 8 * _DRAW_BYTES


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of an audience; the defaults are the product's, a demo shortens `edition_s` to seconds.

    Attributes:
        rules: who may be listed at all.
        keep: a listed cell goes at once when fewer people could have held it all the time.
        edition_s: seconds between two editions.
        purge_every: editions between two purge rounds.
        purge_percent: chance that a listing nobody asks for ends in a purge round.
        rotate_percent: chance that a listing pauses from one purge round to the next.
        mean_delay: mean wait of a new offer in editions; 0 and 1 mean none.
        bulk: so many new mentors at once need no delay, because they hide each other.
        memory_rounds: purge rounds for which a cell that ended keeps its history.
    """

    rules: Rules = Rules()
    keep: int = 5
    edition_s: float = 86_400.0
    purge_every: int = 30
    purge_percent: int = 30
    rotate_percent: int = 10
    mean_delay: int = 7
    bulk: int = 10
    memory_rounds: int = 13

    def __post_init__(self) -> None:
        if not 0 < self.keep <= self.rules.k:
            raise ValueError("keep must be between 1 and k")


class CellState(msgspec.Struct, frozen=True, kw_only=True):
    """One cell through time.

    `holders` are the members who could have held the cell in every edition since it was first listed, None before
    that. `round` is the purge round in which it became hidden or gone.
    """

    cell: Cell
    phase: Phase
    holders: frozenset[str] | None = None
    offer: Offer | None = None
    salt: str = ""
    round: int = 0


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """All cells of one audience after an edition, by their canonical bytes; the node's own, private state."""

    edition: int = 0
    round: int = 0
    cells: tuple[CellState, ...] = ()

    @property
    def listed(self) -> tuple[CellState, ...]:
        """The cells that peers are shown."""
        return tuple(one for one in self.cells if one.phase == "listed")

    def openings(self) -> tuple[Opening, ...]:
        """Return the bodies to commit to, each with its salt."""
        return tuple(Opening(salt=id_bytes(one.salt), body=encode_offer(one.offer)) for one in self.listed if one.offer)


class Draws:
    """Independent random draws, one for each (purpose, cell), expanded from one edition's entropy by SHAKE-256."""

    def __init__(self, entropy: bytes, audience: str) -> None:
        if len(entropy) < 32:
            raise ValueError("an edition takes at least 32 bytes of entropy")
        self._entropy: Final = entropy
        self._audience: Final = audience

    def secret(self, purpose: str, cell: Cell, size: int) -> bytes:
        """Return `size` bytes of this audience alone, such as a salt."""
        return self._expand(size, self._audience, purpose, cell)

    def number(self, purpose: str, cell: Cell) -> int:
        """Return a number below 2^64 that all audiences of this edition share."""
        return int.from_bytes(self._expand(_DRAW_BYTES, "", purpose, cell), "big")

    def happens(self, purpose: str, cell: Cell, *, of: int, chance: int) -> bool:
        """Return True with probability `chance` / `of`."""
        return self.number(purpose, cell) * of < chance * _DRAW_RANGE

    def _expand(self, size: int, audience: str, purpose: str, cell: Cell) -> bytes:
        parts = length_prefixed(self._entropy, audience.encode(), purpose.encode(), cell_key(cell))
        return shake_256(label("edition") + parts).digest(size)


def edition_number(policy: Policy, now: int) -> int:
    """Return the number of the edition that `now` falls into; editions are counted from 1970."""
    return int(now // policy.edition_s)


def next_edition(
    catalog: Catalog,
    desired: Iterable[Desired],
    holders: Holders,
    *,
    policy: Policy,
    now: int,
    entropy: bytes,
    audience: str = "",
) -> Catalog:
    """Return the catalog of the edition that `now` falls into; the same one when that is the current edition.

    Editions missed while a node was down are not made up for: at most one purge round takes place.

    Args:
        desired: what `minimize` asks for now.
        holders: who could hold a cell now, also for cells that nobody asks for any more.
        entropy: 32 fresh bytes, the same for all audiences of this edition.
        audience: its id; offer ids and salts differ between audiences.
    """
    number = edition_number(policy, now)
    if number <= catalog.edition:
        return catalog
    round_number = number // policy.purge_every
    wanted = {one.cell: one for one in desired}
    draws = Draws(entropy, audience)
    cells = {one.cell: _narrowed(one, holders) for one in catalog.cells}
    cells = {cell: _kept(one, wanted, policy, round_number) for cell, one in cells.items()}
    if catalog.edition and round_number > catalog.round:
        cells = {cell: _purged(one, wanted, policy, draws, round_number) for cell, one in cells.items()}
    fresh = [cell for cell in wanted if cell not in cells or cells[cell].phase == "gone"]
    whole = _bulk(fresh, wanted, policy)
    cells = {cell: one for cell, one in cells.items() if not _forgotten(one, wanted, policy, round_number)}
    for cell in fresh:
        cells[cell] = CellState(cell=cell, phase="waiting", holders=cells[cell].holders if cell in cells else None)
    for cell in _entering(cells, wanted, whole, policy, draws):
        cells[cell] = _listed(cells[cell], wanted[cell], draws)
    return Catalog(edition=number, round=round_number, cells=tuple(cells[cell] for cell in sorted(cells, key=cell_key)))


def _narrowed(one: CellState, holders: Holders) -> CellState:
    """Return the cell with those taken out who could no longer hold it: leavers, movers, people erased."""
    if one.holders is None:
        return one
    still = one.holders & holders(one.cell)
    return one if len(still) == len(one.holders) else msgspec.structs.replace(one, holders=still)


def _kept(one: CellState, wanted: Mapping[Cell, Desired], policy: Policy, round_number: int) -> CellState:
    """Return the cell, ended at once when too few people are left who could have held it all the time.

    A pause that nobody wants to end any more is an end, too.
    """
    if one.phase == "listed" and len(one.holders or ()) < policy.keep:
        return _ended(one, round_number)
    if one.phase == "waiting" and one.holders is not None and one.cell not in wanted:
        return _ended(one, round_number)
    return one


def _ended(one: CellState, round_number: int) -> CellState:
    """Return the cell without its offer: id and salt are destroyed, the history stays."""
    return CellState(cell=one.cell, phase="gone", holders=one.holders, round=round_number)


def _purged(
    one: CellState, wanted: Mapping[Cell, Desired], policy: Policy, draws: Draws, round_number: int
) -> CellState:
    """Return the cell after a purge round: some unwanted listings end, some listings pause, paused ones come back."""
    asked = wanted.get(one.cell)
    if one.phase == "hidden":
        return CellState(cell=one.cell, phase="waiting", holders=one.holders) if asked else _ended(one, round_number)
    if one.phase != "listed":
        return one
    if not asked and draws.happens("purge", one.cell, of=100, chance=policy.purge_percent):
        return _ended(one, round_number)
    if draws.happens("rotate", one.cell, of=100, chance=policy.rotate_percent):
        return CellState(cell=one.cell, phase="hidden", holders=one.holders, round=round_number)
    return _refreshed(one, asked, draws) if asked else one


def _refreshed(one: CellState, asked: Desired, draws: Draws) -> CellState:
    """Return a listing with today's formats and lengths; between purge rounds they stay as they were."""
    offer = one.offer and msgspec.structs.replace(one.offer, formats=asked.formats, lengths=asked.lengths)
    if offer == one.offer:
        return one
    return msgspec.structs.replace(one, offer=offer, salt=random_id(draws.secret("salt", one.cell, SALT_BYTES)))


def _forgotten(one: CellState, wanted: Mapping[Cell, Desired], policy: Policy, round_number: int) -> bool:
    """Tell whether nothing needs to be remembered: never shown and not asked for, or ended long ago."""
    if one.phase == "waiting":
        return one.cell not in wanted and one.holders is None
    return one.phase == "gone" and round_number - one.round > policy.memory_rounds


def _bulk(fresh: Iterable[Cell], wanted: Mapping[Cell, Desired], policy: Policy) -> frozenset[Cell]:
    """Return the new cells that may go out whole, because enough mentors are new at the same time."""
    new = set(fresh)
    known = {mentor for cell, one in wanted.items() if cell not in new for mentor in one.mentors}
    arrived = {mentor for cell in new for mentor in wanted[cell].mentors} - known
    if len(arrived) < policy.bulk:
        return frozenset()
    return frozenset(cell for cell in new if wanted[cell].mentors & arrived)


def _entering(
    cells: Mapping[Cell, CellState],
    wanted: Mapping[Cell, Desired],
    whole: frozenset[Cell],
    policy: Policy,
    draws: Draws,
) -> Iterator[Cell]:
    """Yield the waiting cells to list now; apart from a bulk start no two of them rest on one mentor."""
    ready = [
        cell for cell, one in cells.items() if one.phase == "waiting" and cell in wanted and _hides(one, wanted, policy)
    ]
    used: set[str] = set()
    for cell in (each for each in ready if each in whole):
        used |= wanted[cell].mentors
        yield cell
    mean = max(policy.mean_delay, 1)
    for cell in sorted(ready, key=lambda each: draws.number("order", each)):
        if cell in whole or used & wanted[cell].mentors:
            continue
        if draws.happens("enter", cell, of=mean, chance=1):
            used |= wanted[cell].mentors
            yield cell


def _hides(one: CellState, wanted: Mapping[Cell, Desired], policy: Policy) -> bool:
    """Tell whether enough people could hold the cell in all editions a peer may have kept."""
    asked = wanted[one.cell]
    count = len(asked.holders if one.holders is None else one.holders & asked.holders)
    return count >= policy.rules.k and not policy.rules.too_many_mentors(asked.behind, count)


def _listed(one: CellState, asked: Desired, draws: Draws) -> CellState:
    """Return the cell with a new offer: new id and new salt, so that nothing ties it to an earlier listing."""
    offer = Offer(
        offer_id=random_id(draws.secret("offer-id", one.cell, SALT_BYTES)),
        topic=one.cell.topic,
        band=one.cell.band,
        language=one.cell.language,
        region=one.cell.region,
        formats=asked.formats,
        lengths=asked.lengths,
    )
    return CellState(
        cell=one.cell,
        phase="listed",
        holders=asked.holders if one.holders is None else one.holders & asked.holders,
        offer=offer,
        salt=random_id(draws.secret("salt", one.cell, SALT_BYTES)),
    )
