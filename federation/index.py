"""The offers of peers that may be shown now, in memory: what a search looks through."""

from collections.abc import Iterable

import msgspec

from protocol.addresses import audience_id
from protocol.offers import Offer

from .rows import MirrorRow


class ShownSet(msgspec.Struct, frozen=True, kw_only=True):
    """The complete set of one origin in one audience, good until `not_after`."""

    origin: str
    audience: str
    seq: int
    issued_at: int
    not_after: int
    offers: tuple[Offer, ...]


class MirrorIndex:
    """Complete sets by origin and audience, mirrored by `own`; freshness is judged at the moment of asking."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._sets: dict[tuple[str, str], ShownSet] = {}

    def sets(self, now: int) -> tuple[ShownSet, ...]:
        """Return the sets that may be shown at `now`, by origin and audience."""
        return tuple(self._sets[place] for place in sorted(self._sets) if now < self._sets[place].not_after)

    def one_each(self, now: int) -> tuple[ShownSet, ...]:
        """Return one set of each origin that may be shown at `now`: the pair's, else the first by audience."""
        chosen: dict[str, ShownSet] = {}
        for one in self.sets(now):
            known = chosen.get(one.origin)
            if known is None or one.audience == audience_id(self._own, one.origin):
                chosen[one.origin] = one
        return tuple(chosen.values())

    def holds(self, origin: str, audience: str) -> bool:
        """Tell whether a set of this origin and audience is here, fresh or not."""
        return (origin, audience) in self._sets

    def show(self, shown: ShownSet) -> None:
        """Show a set in place of the one held before."""
        self._sets[shown.origin, shown.audience] = shown

    def replace(self, shown: Iterable[ShownSet], origins: frozenset[str] | None) -> None:
        """Show exactly these sets of these origins, None: of all."""
        for place in [each for each in self._sets if origins is None or each[0] in origins]:
            del self._sets[place]
        for one in shown:
            self.show(one)

    def renew(self, origin: str, audience: str, *, seq: int, issued_at: int, not_after: int) -> None:
        """Show the same offers under a newer head."""
        if held := self._sets.get((origin, audience)):
            self.show(msgspec.structs.replace(held, seq=seq, issued_at=issued_at, not_after=not_after))

    def hide(self, origin: str, audience: str) -> None:
        """Show this set no longer."""
        self._sets.pop((origin, audience), None)

    def retain(self, places: set[tuple[str, str]]) -> None:
        """Hide every set but those of `places`."""
        for place in set(self._sets) - places:
            del self._sets[place]


def shown_set(row: MirrorRow, offers: tuple[Offer, ...]) -> ShownSet:
    """Return what a search sees of a mirrored set."""
    return ShownSet(
        origin=row.origin,
        audience=row.audience,
        seq=row.seq,
        issued_at=row.issued_at,
        not_after=row.not_after,
        offers=offers,
    )
