"""What an operator can ask about offers; the command line is `cli/offers.py`."""

from typing import Annotated

import msgspec

from federation.ports import Store, where
from node.operations import Command, Operation
from node.rows import MemberRow
from protocol.errors import MissingError
from protocol.ids import RandomId
from protocol.offerproof import MAX_PROOF_BYTES, OfferProof, ProvenOffer
from protocol.offers import Offer
from protocol.vocabulary import Language

from .offer_words import TopicPreview
from .offers import CatalogPreview, OfferLists, Offers


class PreviewOffers(Command, frozen=True, kw_only=True):
    """Ask what the organization would show; labels in `language`."""

    language: Language = "en"


class PreviewMember(Command, frozen=True, kw_only=True):
    """Ask what becomes of one mentor's topics; `member` is the id of the member file."""

    member: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    language: Language = "en"


class ListOffers(Command, frozen=True, kw_only=True):
    """Ask for own and mirrored offers."""

    language: Language = "en"


class ShowOffer(Command, frozen=True, kw_only=True):
    """Ask for one offer."""

    offer_id: RandomId


class ProveOffer(Command, frozen=True, kw_only=True):
    """Ask for the proof of one own offer."""

    offer_id: RandomId


class VerifyOffer(Command, frozen=True, kw_only=True):
    """Ask whether a proof file holds under a key this node knows."""

    proof: Annotated[str, msgspec.Meta(max_length=MAX_PROOF_BYTES)]


class OfferOperations:
    """The operations on offers of one node."""

    def __init__(self, store: Store, offers: Offers) -> None:
        self._store = store
        self._offers = offers

    async def _preview(self, command: PreviewOffers) -> CatalogPreview:
        return await self._offers.preview_all(reader=command.language)

    async def _preview_member(self, command: PreviewMember) -> tuple[TopicPreview, ...]:
        async with self._store.read() as rows:
            found = await rows.find(MemberRow, where(hris_id=command.member))
        if not found or not found[0].active:
            raise MissingError("no active member has this id")
        return await self._offers.preview_for_operator(found[0].member, reader=command.language)

    async def _list(self, command: ListOffers) -> OfferLists:
        return await self._offers.lists(reader=command.language)

    async def _show(self, command: ShowOffer) -> Offer:
        return await self._offers.show(command.offer_id)

    async def _prove(self, command: ProveOffer) -> OfferProof:
        return await self._offers.prove(command.offer_id)

    async def _verify(self, command: VerifyOffer) -> ProvenOffer:
        return await self._offers.verify(command.proof.encode())

    def operations(self) -> tuple[Operation, ...]:
        """Return what an operator can ask here."""
        return (
            Operation(
                name="offer.preview",
                summary="What the organization would show outside",
                request=PreviewOffers,
                response=CatalogPreview,
                run=self._preview,
            ),
            Operation(
                name="offer.preview-member",
                summary="What becomes of one mentor's topics, outside and inside",
                request=PreviewMember,
                response=tuple[TopicPreview, ...],
                run=self._preview_member,
            ),
            Operation(
                name="offer.list",
                summary="Own offers, and those of peers with age and freshness",
                request=ListOffers,
                response=OfferLists,
                run=self._list,
            ),
            Operation(name="offer.show", summary="One offer", request=ShowOffer, response=Offer, run=self._show),
            Operation(
                name="offer.prove",
                summary="The proof that an own offer is listed",
                request=ProveOffer,
                response=OfferProof,
                run=self._prove,
            ),
            Operation(
                name="offer.verify",
                summary="What a proof file shows",
                request=VerifyOffer,
                response=ProvenOffer,
                run=self._verify,
            ),
        )
