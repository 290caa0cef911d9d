"""From a need to a shortlist: search at the own node, ask other nodes for candidates in rounds, keep five people.

Each request is sealed for one node's matcher and answered to a one-time key of this device; the own node reads neither.
Source: docs/protocol/31-handshake.md §6.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from node.api.exchange import QuoteAnswer
from node.services.consumer import Ask
from protocol.addresses import audience_id
from protocol.bodies import Candidate, OfferedBody, RefusedBody, Request, Target
from protocol.devices import sealing_key_hash
from protocol.e2ee.keys import ReplyKey
from protocol.e2ee.sealing import open_quote, seal_request
from protocol.encoding import unb64
from protocol.errors import MeshError, RefusedError, UnverifiedError
from protocol.needs import Fit, Need
from protocol.sealing import SealingPublicKey
from protocol.text import displayable

from .ask_records import AskRecord, OfferedRecord, TargetRecord
from .blocks import find_block, hashes_of
from .contacts import askable
from .core import Core, fresh_id, fresh_secret
from .pins import Opened, audiences_with, document_of, open_item, sealing_key_of
from .records import Contact, ThreadRecord
from .state import ClientState
from .views import Proposal, Shortlist

#: People shown, offers asked about, and offers of one round.
PEOPLE: Final = 5
MOST_ASKED: Final = 8
ROUND: Final = 3
#: A shortlist stays on the device for thirty days.
KEEP_S: Final = 30 * 86_400

_FITS: Final[dict[Fit, int]] = {"exact": 0, "near": 1, "general": 2}


class Asking:
    """Quote rounds of one device."""

    def __init__(self, core: Core) -> None:
        self._core: Final = core

    async def ask(self, need: Need, *, exclude: Sequence[str] = (), own: bool = True) -> Shortlist:
        """Return the people found for `need`; they and the way to ask again are kept."""
        api = self._core.api()
        state = self._core.state()
        entity = state.signed_in.entity
        found = await api.search(need, exclude)
        targets = tuple(
            TargetRecord(entity=one.peer, offer_id=one.offer_id, audience=one.audience) for one in found.offers
        )
        if own and entity not in exclude:
            inside = TargetRecord(entity=entity, offer_id=fresh_id())
            targets = (*targets[: ROUND - 1], inside, *targets[ROUND - 1 :])
        reachable = tuple(one for one in targets if _is_known(state, one))[:MOST_ASKED]
        ask = AskRecord(
            id=fresh_id(),
            need=need,
            created_at=self._core.now(),
            companies=found.companies,
            asked=0,
            targets=reachable,
        )
        self._core.vault.update(lambda state: _without_old(state, self._core.now()).with_ask(ask))
        while ask.asked < len(reachable) and len(choosable(ask)) < PEOPLE:
            batch = reachable[ask.asked : ask.asked + ROUND]
            ask = await self.round(ask.id, batch)
        return shortlist_of(self._core.state(), ask)

    async def again(self, need: Need, contact: Contact) -> Shortlist:
        """Ask somebody whom this person has met, and nobody else. Raises: RefusedError: no token, or no way there."""
        state = self._core.state()
        token, audiences = askable(contact, now=self._core.now()), audiences_with(state, contact.entity)
        document_of(state, contact.entity)
        if not audiences:
            raise RefusedError("your organization and theirs do not meet any more", code="no-way")
        target = TargetRecord(entity=contact.entity, offer_id=token, audience=audiences[0], kind="contact")
        ask = AskRecord(id=fresh_id(), need=need, created_at=self._core.now(), companies=1, asked=0, targets=(target,))
        self._core.vault.update(lambda state: _without_old(state, self._core.now()).with_ask(ask))
        ask = await self.round(ask.id, (target,))
        return shortlist_of(self._core.state(), ask)

    async def round(self, ask_id: str, targets: Sequence[TargetRecord]) -> AskRecord:
        """Ask about these offers at once and return the need with what came back."""
        now = self._core.now()
        state = self._core.state()
        prepared = [prepare_request(state, state.asks[ask_id], target, now=now) for target in targets]

        def remember(state: ClientState) -> ClientState:
            for record, _ in prepared:
                state = state.with_thread(record)
            ask = state.asks[ask_id]
            offered = _without_lapsed(state, ask, {target.entity for target in targets}, now)
            return state.with_ask(replace(ask, asked=ask.asked + len(prepared), offered=offered))

        self._core.vault.update(remember)
        answers = await self._core.api().quotes([ask for _, ask in prepared])

        def take(state: ClientState) -> tuple[ClientState, AskRecord]:
            for answer in answers.results:
                state = take_answer(state, answer, now=now)
            return state, state.asks[ask_id]

        return self._core.vault.change(take)


def _without_lapsed(
    state: ClientState, ask: AskRecord, entities: Collection[str], now: int
) -> tuple[OfferedRecord, ...]:
    """Return the people proposed, without earlier proposals of these organizations that nobody can take up now."""

    def stands(one: OfferedRecord) -> bool:
        record = state.threads.get(one.thread)
        return record is not None and record.state == "OFFERED" and now < one.valid_until

    return tuple(one for one in ask.offered if one.entity not in entities or stands(one))


def prepare_request(state: ClientState, ask: AskRecord, target: TargetRecord, *, now: int) -> tuple[ThreadRecord, Ask]:
    """Return a thread with fresh one-time keys, and the sealed request that opens it."""
    need = ask.need
    own = state.signed_in.entity
    record = ThreadRecord(
        thread=fresh_id(),
        role="mentee",
        consumer=own,
        provider=target.entity,
        audience=target.audience or audience_id(own, target.entity),
        state="REQUESTED",
        updated_at=now,
        ask=ask.id,
        need=need,
        target=Target(type=target.kind, id=target.offer_id),
        quote_seed=fresh_secret(),
        topic=need.topics[0],
        format=need.format,
        length=need.length,
    )
    assert record.target is not None
    request = Request(target=record.target, need=need, reply_key=ReplyKey(record.quote_seed).public.text)
    sealed = seal_request(request, sealing_key_of(state, target.entity), record.context)
    return record, Ask(peer=target.entity, thread=record.thread, request=sealed)


def take_answer(state: ClientState, answer: QuoteAnswer, *, now: int) -> ClientState:
    """Return the state with one node's answer: its candidates, or that it has none. Never raises for a bad answer."""
    record = state.threads.get(answer.thread)
    if record is None or record.role != "mentee":
        return state
    try:
        if not answer.item:
            return _refused(state, record, displayable(answer.reason, lines=False)[:40] or "unavailable")
        opened = open_item(state, unb64(answer.item, what="quote"), audience=record.consumer)
        return take_offer(state, record, opened, now=now)
    except MeshError as error:
        return _refused(state, record, error.code)


def take_offer(state: ClientState, record: ThreadRecord, opened: Opened, *, now: int) -> ClientState:
    """Return the state with the candidates of a verified OFFERED, or without the thread after a refusal.

    Raises: UnverifiedError: by another node, about another thread, or not opened by this thread's one-time key.
    """
    head, body = opened.message.head, opened.message.body
    if (opened.entity, head.thread, head.side) != (record.provider, record.thread, "provider"):
        raise UnverifiedError("answer belongs to another request", code="wrong-thread")
    if isinstance(body, RefusedBody):
        return _refused(state, record, body.reason)
    if not isinstance(body, OfferedBody):
        raise UnverifiedError("answer to a request is neither an offer nor a refusal", code="wrong-thread")
    quote = open_quote(body.quote, record.quote_key, record.context)
    until = min(quote.valid_until, now + 86_400)
    state = state.with_thread(replace(record, state="OFFERED", quote=quote, deadline=until, updated_at=now))
    ask = state.asks.get(record.ask)
    if ask is None:
        return state
    offered = [
        _offered(state, record, one, until)
        for one in quote.candidates
        if find_block(state, entity=record.provider, sealing=hashes_of(one)) is None
    ]
    kept = [one for one in ask.offered if one.thread != record.thread]
    return state.with_ask(replace(ask, offered=(*kept, *offered)))


def _offered(state: ClientState, record: ThreadRecord, candidate: Candidate, until: int) -> OfferedRecord:
    """Return a person proposed; the organization is shown as its pinned document says, not as the quote does."""
    shown = replace(
        candidate,
        line=displayable(candidate.line, lines=False),
        known_as=displayable(candidate.known_as, lines=False),
    )
    return OfferedRecord(
        thread=record.thread,
        entity=record.provider,
        org=document_of(state, record.provider).org,
        candidate=shown,
        valid_until=until,
        key=sealing_key_hash(SealingPublicKey.parse(candidate.keys[0])),
    )


def _refused(state: ClientState, record: ThreadRecord, reason: str) -> ClientState:
    state = state.without_threads(record.thread)
    ask = state.asks.get(record.ask)
    return state if ask is None else state.with_ask(replace(ask, refused=(*ask.refused, reason)))


def shortlisted(offered: Iterable[OfferedRecord]) -> list[OfferedRecord]:
    """Return at most five different people, best first: fit, then place in their node's answer, then order asked."""
    newest: dict[str, OfferedRecord] = {}
    for one in offered:
        newest[one.key] = one
    place: dict[str, int] = {}
    order: list[tuple[int, int, int, OfferedRecord]] = []
    for number, one in enumerate(newest.values()):
        position = place.get(one.thread, 0)
        place[one.thread] = position + 1
        order.append((_FITS[one.candidate.fit], position, number, one))
    order.sort(key=lambda each: each[:3])
    return [one for *_, one in order][:PEOPLE]


def choosable(ask: AskRecord) -> list[OfferedRecord]:
    """Return the shortlist without whom a session of this format could not be agreed with, because no time is free."""
    timed = ask.need.format != "text"
    return shortlisted(one for one in ask.offered if one.candidate.slots or not timed)


def shortlist_of(state: ClientState, ask: AskRecord) -> Shortlist:
    """Return the shortlist of a need for its owner."""
    own = state.signed_in.entity
    people = tuple(
        Proposal(
            number=number,
            thread=one.thread,
            entity=one.entity,
            org=one.org,
            own=one.entity == own,
            candidate=one.candidate,
            valid_until=one.valid_until,
        )
        for number, one in enumerate(choosable(ask), 1)
    )
    return Shortlist(
        id=ask.id, need=ask.need, companies=ask.companies, asked=ask.asked, proposals=people, refused=ask.refused
    )


def _is_known(state: ClientState, target: TargetRecord) -> bool:
    """Tell whether the organization's key is believed, and the two meet where the node says that the offer is shown."""
    try:
        document_of(state, target.entity)
    except MeshError:
        return False
    return not target.audience or target.audience in audiences_with(state, target.entity)


def _without_old(state: ClientState, now: int) -> ClientState:
    """Return the state without needs of thirty days ago and without threads that nobody took up."""
    asks = {name: ask for name, ask in state.asks.items() if ask.created_at + KEEP_S > now or ask.active}
    lapsed = [
        name
        for name, record in state.threads.items()
        if record.role == "mentee" and record.state in ("REQUESTED", "OFFERED") and record.updated_at + 86_400 < now
    ]
    return replace(state, asks=asks).without_threads(*lapsed)
