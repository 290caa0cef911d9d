"""What people and operators are told about offers: previews, lists, proofs, and the mirrored offers for a search."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain
from typing import Final, Literal

import msgspec

from federation.index import MirrorIndex, ShownSet
from federation.logbook import Logbook
from federation.mirror import MirrorService, MirrorStatus
from federation.ports import Clock, Store
from federation.publisher import newest_head, own_head, own_pages
from federation.sequencer import ElsewhereError, Sequencer
from federation.sets import SourceBook
from node.matching.facts import MirroredOffer
from protocol.concepts import Vocabulary
from protocol.editions import CellState
from protocol.encoding import b64
from protocol.errors import MissingError, RefusedError, UnverifiedError
from protocol.heads import SetHead
from protocol.logleaves import head_leaf, render_leaf
from protocol.minimize import Explanation, explain, minimize
from protocol.offerproof import OfferProof, ProvenOffer, parse_proof, verify_proof
from protocol.offers import Offer, open_offer
from protocol.pages import Entry, decode_page, open_pages
from protocol.signing import VerifyKey
from protocol.tlog.merkle import Tree, leaf_hash
from protocol.vocabulary import Language

from .catalogs import Catalogs
from .offer_words import TopicPreview, cell_line, preview_topic

PROOF_TYPE: Final = "mentormesh/offer-proof/v1"


class CellPreview(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the catalog to be: `state` is listed, waiting or new (not seen by an edition yet)."""

    text: str
    level: str
    people: int
    state: Literal["listed", "waiting", "new"]


class CatalogPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What the organization would show; no mentor and no withheld topic is named.

    `missing` is the smallest number of people by which something withheld falls short, None when nothing does.
    """

    members: int
    k: int
    cells: tuple[CellPreview, ...]
    missing: int | None


class OwnOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer of this node as one audience sees it."""

    audience: str
    text: str
    offer: Offer


class PeerOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer of a peer, with the time its head was signed and the time it is good until."""

    origin: str
    text: str
    issued_at: int
    not_after: int
    offer: Offer


class OfferLists(msgspec.Struct, frozen=True, kw_only=True):
    """Own offers, those of peers that may be shown now, and how every mirror stands; times are Unix seconds."""

    now: int
    own: tuple[OwnOffer, ...]
    peers: tuple[PeerOffer, ...]
    mirrors: tuple[MirrorStatus, ...]


class MirroredOffers:
    """The mirrored offers as the search takes them; built once for each set, not for each search.

    Args:
        sector: NACE section of an origin, empty when not known.
    """

    def __init__(self, index: MirrorIndex, sector: Callable[[str], str]) -> None:
        self._index = index
        self._sector = sector
        self._built: dict[tuple[str, str], tuple[ShownSet, tuple[MirroredOffer, ...]]] = {}

    def at(self, now: int) -> tuple[MirroredOffer, ...]:
        """Return the offers at `now` of one complete and fresh set of each organization."""
        shown = self._index.one_each(now)
        self._built = {(one.origin, one.audience): self._of(one) for one in shown}
        return tuple(chain.from_iterable(offers for _, offers in self._built.values()))

    def _of(self, shown: ShownSet) -> tuple[ShownSet, tuple[MirroredOffer, ...]]:
        built = self._built.get((shown.origin, shown.audience))
        if built and built[0].offers is shown.offers:
            return built
        sector = self._sector(shown.origin)
        offers = tuple(
            [
                MirroredOffer(origin=shown.origin, offer=each, sector=sector, audience=shown.audience)
                for each in shown.offers
            ]
        )
        return shown, offers


class Offers:
    """Answers about the offers of one node and its peers.

    Args:
        log: proves that a head stands in the node's log.
        own: this node's entity; `log_key` its public log key.
        works_council: no operator sees what one person declared.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        catalogs: Catalogs,
        mirror: MirrorService,
        sources: SourceBook,
        *,
        log: Sequencer,
        vocabulary: Callable[[], Vocabulary],
        own: str,
        log_key: VerifyKey,
        works_council: bool,
    ) -> None:
        self._store = store
        self._clock = clock
        self._catalogs = catalogs
        self._mirror = mirror
        self._sources = sources
        self._log = log
        self._vocabulary = vocabulary
        self._own = own
        self._log_keys: tuple[VerifyKey, ...] = (log_key,)
        self._works_council = works_council

    def rekey(self, present: VerifyKey, earlier: Iterable[VerifyKey]) -> None:
        """Verify own proofs by these log keys: those from before a change hold too."""
        self._log_keys = (present, *earlier)

    async def preview(self, member: str, *, reader: Language = "en") -> tuple[TopicPreview, ...]:
        """Return what becomes of each topic of a mentor; empty for somebody who is not listed as one."""
        crowd = await self._catalogs.crowd()
        rules, vocabulary = self._catalogs.policy.rules, self._vocabulary()
        return tuple(preview_topic(one, vocabulary, rules, reader) for one in explain(crowd, rules, member))

    async def preview_for_operator(self, member: str, *, reader: Language = "en") -> tuple[TopicPreview, ...]:
        """Return `preview`, unless a works council agreed that operators see nothing about one person.

        Raises: RefusedError.
        """
        if self._works_council:
            raise RefusedError(
                "in works-council mode only the mentor sees this: ask them to look", code="works-council"
            )
        return await self.preview(member, reader=reader)

    async def preview_all(self, *, reader: Language = "en") -> CatalogPreview:
        """Return what the whole organization would show now."""
        crowd = await self._catalogs.crowd()
        rules = self._catalogs.policy.rules
        wanted = minimize(crowd, rules)
        states = await self._states()
        return CatalogPreview(
            members=crowd.size,
            k=rules.k,
            cells=tuple(
                CellPreview(
                    text=cell_line(one.cell, self._vocabulary(), reader),
                    level=one.cell.topic.level,
                    people=len(one.holders),
                    state=_phase(states.get(one.cell)),
                )
                for one in wanted.cells
            ),
            missing=_least_missing(wanted.why),
        )

    async def _states(self) -> dict[object, CellState]:
        """Return the state of each cell in the audience that is furthest."""
        states: dict[object, CellState] = {}
        for catalog in (await self._catalogs.current()).values():
            for one in catalog.cells:
                if one.cell not in states or one.phase == "listed":
                    states[one.cell] = one
        return states

    async def lists(self, *, reader: Language = "en") -> OfferLists:
        """Return own and mirrored offers with their age and freshness."""
        now = self._clock.now()
        return OfferLists(
            now=now,
            own=tuple(
                OwnOffer(audience=audience, text=cell_line(one.offer, self._vocabulary(), reader), offer=one.offer)
                for audience, catalog in sorted((await self._catalogs.current()).items())
                for one in catalog.listed
                if one.offer
            ),
            peers=tuple(
                PeerOffer(
                    origin=shown.origin,
                    text=cell_line(offer, self._vocabulary(), reader),
                    issued_at=shown.issued_at,
                    not_after=shown.not_after,
                    offer=offer,
                )
                for shown in self._mirror.index.one_each(now)
                for offer in shown.offers
            ),
            mirrors=await self._mirror.status(),
        )

    async def show(self, offer_id: str) -> Offer:
        """Return an own or mirrored offer that is shown now. Raises: MissingError."""
        lists = await self.lists()
        for offer in (*(one.offer for one in lists.own), *(one.offer for one in lists.peers)):
            if offer.offer_id == offer_id:
                return offer
        raise MissingError("no offer with this id is shown now: see `offer list`")

    async def prove(self, offer_id: str) -> OfferProof:
        """Return the proof of an own offer under the newest head that shows it.

        Raises: MissingError; whatever keeps the log from being signed.
        """
        for audience in sorted(await self._catalogs.current()):
            async with self._store.read() as rows:
                row = await newest_head(rows, audience, "offers")
                pages = await own_pages(rows, row) if row else ()
            if row is None:
                continue
            head = own_head(row)
            entries = [one for one in open_pages(head, [decode_page(page) for page in pages]) if one.shard == 0]
            for index, entry in enumerate(entries):
                if open_offer(entry.opening.body).offer_id == offer_id:
                    log = await self._log_proof(head, row.head)
                    return _proof(row.head, entries, index, log)
        raise MissingError("no own offer with this id is published now: see `offer list`")

    async def _log_proof(self, head: SetHead, jws: str) -> str:
        """Return the proof that a head stands in the log, which is signed now if it was not yet.

        Raises: MissingError: another process signs the log, and has not yet.
        """
        with suppress(ElsewhereError):
            await self._log.sequence()
        return await Logbook(self._store).prove(render_leaf(head_leaf(head, jws)))

    async def verify(self, data: bytes) -> ProvenOffer:
        """Return what a proof file shows, by the log key of this node or of the peer it is from.

        Raises: MalformedError, UnverifiedError: also when no key is known that signed the head.
        """
        proof = parse_proof(data)
        known = [(each.peer, each.key) for each in await self._sources.sources()]
        for origin, key in (*((self._own, key) for key in self._log_keys), *known):
            try:
                proven = verify_proof(proof, key)
            except UnverifiedError:
                continue
            if proven.head.origin == origin:
                return proven
        raise UnverifiedError("the proof does not hold under the log key of this node or of any peer")


def _phase(state: CellState | None) -> Literal["listed", "waiting", "new"]:
    if state is None:
        return "new"
    return "listed" if state.phase == "listed" else "waiting"


def _least_missing(why: tuple[Explanation, ...]) -> int | None:
    return min((one.missing for one in why if one.missing), default=None)


def _proof(head: str, entries: list[Entry], index: int, log: str) -> OfferProof:
    tree = Tree([leaf_hash(each.commitment) for each in entries])
    opening = entries[index].opening
    return OfferProof(
        type=PROOF_TYPE,
        offer=open_offer(opening.body),
        salt=b64(opening.salt),
        head=head,
        index=index,
        size=tree.size,
        proof=tuple(b64(each) for each in tree.inclusion_proof(index)),
        log=log,
    )
