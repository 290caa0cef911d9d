"""From a shortlist to a request at one person, and on to the next person after a no.

The choice is sealed for the mentor's node, the brief for the mentor's devices. What is needed to understand the answer
is stored before anything leaves. Source: docs/protocol/handshake.md §5.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from node.services.consumer import Ask
from protocol.bodies import AcceptedBody, Choice, SealedBrief
from protocol.devices import sealing_key_hash
from protocol.e2ee.brief import Brief, BriefWords, seal_brief
from protocol.e2ee.keys import ReplyKey, certify
from protocol.e2ee.sealing import seal_choice
from protocol.encoding import unb64
from protocol.errors import MalformedError, MeshError, MissingError, RefusedError, UnavailableError, UnverifiedError
from protocol.sealing import SealingPublicKey
from protocol.text import displayable

from .asking import PEOPLE, Asking, choosable, prepare_request
from .core import ENGINE, Core, fresh_secret
from .pins import open_item, sealing_key_of
from .records import AskRecord, OfferedRecord, TargetRecord, ThreadRecord
from .state import ClientState
from .views import Event, Exhausted, Passed, Refused, Requested

#: A quote that ends sooner is asked for again, because the way to the node takes time.
MARGIN_S: Final = 10
#: A request that is being sent for longer than this was interrupted.
PATIENCE_S: Final = 60
MOST_ATTEMPTS: Final = 12
MOST_REQUOTES: Final = 4
MOST_BACKUPS: Final = 4
MOST_PROMPTS: Final = 600
#: States after which a thread leads nowhere.
ENDED: Final = frozenset({"DECLINED", "EXPIRED", "TERMINATED", "CANCELLED"})


class OvertakenError(RefusedError):
    """Another program with the same vault was quicker."""

    code = "overtaken"


class Requesting:
    """Choices of one device."""

    def __init__(self, core: Core, asking: Asking) -> None:
        self._core: Final = core
        self._asking: Final = asking

    async def request(
        self,
        number: int,
        *,
        prompts: tuple[str, str, str],
        slots: Sequence[int] = (),
        backups: Sequence[int] | None = None,
        about: Sequence[str] = (),
    ) -> Requested:
        """Send the request to the person `number` of the last shortlist.

        Raises: MissingError: no such person or shortlist; RefusedError: they are no longer proposed; MalformedError.
        """
        texts = _prompts(prompts)
        state = self._core.state()
        ask = state.last_ask
        if ask is None:
            raise MissingError("there is no shortlist yet: use `mentormesh ask` first")
        if ask.active:
            raise RefusedError(
                "a request for this need waits for its answer: `mentormesh cancel` it first, or ask anew"
            )
        people = choosable(ask)
        chosen = _numbered(people, number)
        following = people if backups is None else [_numbered(people, one) for one in backups]
        ask = replace(
            ask,
            prompts=texts,
            about=tuple(about),
            order=tuple(dict.fromkeys((chosen.key, *(one.key for one in following)))),
            said_no=(),
            goes_on=backups is None or bool(backups),
            attempts=0,
            requotes=0,
        )
        self._core.vault.update(lambda state: state.with_ask(ask))
        if not _is_valid(self._core.state(), chosen, self._core.now()):
            chosen = await self._again(ask, chosen)
        return await self._accept(ask.id, chosen, slots, before="")

    async def _again(self, ask: AskRecord, wanted: OfferedRecord) -> OfferedRecord:
        """Ask the person's node anew and return the same person. Raises: RefusedError: they are not proposed now."""
        targets = [one for one in ask.targets if one.entity == wanted.entity]
        ask = await self._asking.round(ask.id, targets)
        for one in ask.offered:
            if one.key == wanted.key and _is_valid(self._core.state(), one, self._core.now()):
                return one
        raise RefusedError("this person is not free any more: see `mentormesh candidates`", code="quote-expired")

    async def take_up(self, thread: str, slots: Sequence[int]) -> Requested:
        """Accept other times that the mentor of `thread` proposed."""
        state = self._core.state()
        record = state.thread(thread)
        ask = state.asks.get(record.ask)
        if record.state != "OFFERED" or ask is None or ask.active != thread:
            raise RefusedError("nobody proposes other times in this thread")
        offered = next(one for one in ask.offered if one.thread == thread and one.candidate.ref == record.ref)
        return await self._accept(ask.id, offered, slots, before=thread)

    async def _accept(self, ask_id: str, offered: OfferedRecord, slots: Sequence[int], *, before: str) -> Requested:
        """Send choice and brief; afterwards the thread is the active one of its need, which `before` was until now."""
        now = self._core.now()
        ranked = _slots(self._core.state().asks[ask_id], offered, slots)

        def prepare(state: ClientState) -> tuple[ClientState, _Sending]:
            ask = state.asks[ask_id]
            if ask.active != before or state.thread(offered.thread).state != "OFFERED":
                raise OvertakenError("another program of yours has asked somebody already")
            record, choice, brief = _brief(state, ask, offered, ranked, now=now)
            backups = [prepare_request(state, ask, target, now=now) for target in _backup_targets(state, ask, offered)]
            for other, _ in backups:
                state = state.with_thread(other)
            ask = replace(ask, active=record.thread, attempts=ask.attempts + 1)
            return state.with_thread(record).with_ask(ask), (record, choice, brief, [each for _, each in backups])

        record, choice, brief, backups = self._core.vault.change(prepare)
        try:
            accepted = await self._core.api().accept(record.thread, choice, brief, backups)
        except UnavailableError:
            raise  # whether the node took it shows later: `unfinished` looks
        except MeshError:
            gone = partial(ended, thread=record.thread, outcome="TERMINATED", reason="quote-expired", now=now)
            self._core.vault.update(gone)
            raise
        body = AcceptedBody(choice=choice, brief=brief)
        _check_own(self._core.state(), record, unb64(accepted.item, what="message"), accepted.hash, body)
        done = replace(record, state="ACCEPTED", accepted=accepted.hash)
        ask = self._core.vault.update(lambda state: state.with_thread(done)).asks[ask_id]
        return Requested(
            thread=record.thread,
            entity=offered.entity,
            org=offered.org,
            known_as=offered.candidate.known_as,
            slots=ranked,
            attempt=ask.attempts,
            backups=len(remaining(self._core.state(), ask)),
        )

    # After a no

    async def unfinished(self) -> None:
        """Find out what became of requests that were being sent when the node or this program went away."""
        api, now = self._core.api(), self._core.now()
        lost = [
            one
            for one in self._core.state().threads.values()
            if one.state == "SENDING" and one.updated_at + PATIENCE_S <= now
        ]
        for record in lost:
            seen = await self._seen(record)
            if seen == "OFFERED":
                self._core.vault.update(partial(_put_back, thread=record.thread))
                continue
            if seen == "ACCEPTED":
                # The node has it, but its hash never arrived here: without it no agreement could be checked.
                await api.cancel(record.thread, "consumer", "not-needed")
            self._core.vault.update(
                partial(ended, thread=record.thread, outcome="CANCELLED", reason="lost", now=now, said_no=False)
            )

    async def _seen(self, record: ThreadRecord) -> str:
        try:
            return (await self._core.api().thread(record.thread, "consumer")).state
        except MissingError:
            return "TERMINATED"

    async def go_on(self) -> list[Event]:
        """Ask the next person of every need whose active request ended; return what was done."""
        events: list[Event] = []
        for ask in list(self._core.state().asks.values()):
            record = self._core.state().threads.get(ask.active)
            if not (ask.active and ask.goes_on and (record is None or record.state in ENDED)):
                continue
            try:
                events += await self._next(ask.id, ask.active)
            except UnavailableError:
                if not events:
                    raise
                return events  # what happened so far must be told; the rest is done at the next turn
        return events

    async def _next(self, ask_id: str, before: str) -> list[Event]:
        events: list[Event] = []
        while True:
            state = self._core.state()
            ask = state.asks[ask_id]
            people = remaining(state, ask, now=self._core.now())
            if people and ask.attempts < MOST_ATTEMPTS:
                try:
                    request = await self._accept(ask_id, people[0], (), before=ask.active)
                except UnavailableError:
                    raise
                except OvertakenError:
                    return events
                except MeshError as error:
                    events.append(
                        Refused(
                            thread=people[0].thread,
                            entity=people[0].entity,
                            org=people[0].org.display_name,
                            reason=error.code,
                        )
                    )
                    continue
                events.append(Passed(thread=request.thread, before=before, request=request))
                return events
            if ask.requotes < MOST_REQUOTES and ask.attempts < MOST_ATTEMPTS and ask.targets:
                self._core.vault.update(lambda state: _requoted(state, ask_id))
                ask = await self._asking.round(ask_id, ask.targets)
                if remaining(self._core.state(), ask, now=self._core.now()):
                    continue
            self._core.vault.update(lambda state: _given_up(state, ask_id))
            events.append(Exhausted(thread=before, tried=ask.attempts))
            return events


_Sending = tuple[ThreadRecord, str, SealedBrief, list[Ask]]


def remaining(state: ClientState, ask: AskRecord, *, now: int | None = None) -> list[OfferedRecord]:
    """Return who can be asked next, in the person's own order, then as ranked; nobody who said no."""
    place = {key: number for number, key in enumerate(ask.order)}
    active = state.threads.get(ask.active)
    people = [
        one
        for one in choosable(ask)
        if one.key not in ask.said_no
        and (active is None or (one.thread, one.candidate.ref) != (active.thread, active.ref))
        and (now is None or _is_valid(state, one, now))
    ]
    return sorted(people, key=lambda one: place.get(one.key, PEOPLE))


def _is_valid(state: ClientState, offered: OfferedRecord, now: int) -> bool:
    record = state.threads.get(offered.thread)
    return record is not None and record.state == "OFFERED" and not record.ref and now + MARGIN_S < offered.valid_until


def _numbered(people: Sequence[OfferedRecord], number: int) -> OfferedRecord:
    if not 1 <= number <= len(people):
        raise MissingError(f"the shortlist has numbers 1 to {len(people)}" if people else "the shortlist is empty")
    return people[number - 1]


def _prompts(prompts: tuple[str, str, str]) -> tuple[str, str, str]:
    texts = displayable(prompts[0]), displayable(prompts[1]), displayable(prompts[2])
    if not texts[0]:
        raise MalformedError("say at least what you would like to ask")
    length = len("".join(texts))
    if length > MOST_PROMPTS:
        raise MalformedError(f"the brief takes {MOST_PROMPTS} characters together; yours has {length}")
    return texts


def _slots(ask: AskRecord, offered: OfferedRecord, wanted: Sequence[int]) -> tuple[int, ...]:
    if ask.need.format == "text":
        return ()
    if not set(wanted) <= set(offered.candidate.slots):
        raise RefusedError("choose out of the times that this person offers: `mentormesh candidates` shows them")
    return tuple(dict.fromkeys(wanted)) or offered.candidate.slots


def _brief(
    state: ClientState, ask: AskRecord, offered: OfferedRecord, slots: tuple[int, ...], *, now: int
) -> tuple[ThreadRecord, str, SealedBrief]:
    """Return the thread as it is remembered, and what goes out: the sealed choice and the sealed brief."""
    record = state.thread(offered.thread)
    candidate, audience = offered.candidate, record.audience
    keys = tuple(SealingPublicKey.parse(text) for text in candidate.keys)
    device, account = state.device_secret, state.account_secret
    own, package = ENGINE.prepare(device.key(audience), entropy=fresh_secret())
    answer_seed = fresh_secret()
    words = BriefWords(
        thread=record.thread,
        ref=candidate.ref,
        audience=audience,
        consumer=record.consumer,
        provider=record.provider,
        prompts=ask.prompts,
        about=ask.about,
        chosen_because=candidate.reasons[0] if candidate.reasons else "exact-topic",
        chosen_from=max(1, min(PEOPLE, len(choosable(ask)))),
        slots=slots,
        identity_key=account.identity(audience).public.text,
        certificate=certify(account, device, audience=audience, now=now),
    )
    brief = Brief(words=words, reply_key=ReplyKey(answer_seed).public, key_packages=(package,))
    sealed = seal_brief(brief, device.key(audience), keys, entropy=fresh_secret())
    choice = Choice(ref=candidate.ref, slots=slots, format=ask.need.format, length=ask.need.length)
    remembered = replace(
        record,
        state="SENDING",
        updated_at=now,
        ref=candidate.ref,
        own_secret=own.secret,
        answer_seed=answer_seed,
        sealed_to=tuple(sealing_key_hash(key) for key in keys),
        slots=slots,
        deadline=0,
    )
    return remembered, seal_choice(choice, sealing_key_of(state, record.provider), record.context), sealed


def _backup_targets(state: ClientState, ask: AskRecord, chosen: OfferedRecord) -> Iterable[TargetRecord]:
    """Return the offers that the node may ask about by itself while no device of the person is there."""
    if not ask.goes_on:
        return ()
    entities = [one.entity for one in remaining(state, ask) if one.key != chosen.key]
    order = dict.fromkeys((*entities, *(one.entity for one in ask.targets)))
    by_entity = {one.entity: one for one in reversed(ask.targets)}
    return [by_entity[entity] for entity in order if entity in by_entity][:MOST_BACKUPS]


def _check_own(state: ClientState, record: ThreadRecord, item: bytes, digest: str, body: AcceptedBody) -> None:
    """Return when the own node signed exactly what this device gave it. Raises: UnverifiedError."""
    opened = open_item(state, item, audience=record.provider)
    head = opened.message.head
    said = (opened.entity, opened.message.hash, head.thread, head.side, head.type)
    if said != (record.consumer, digest, record.thread, "consumer", "accept") or opened.message.body != body:
        raise UnverifiedError("your node sent something else than this device gave it", code="wrong-message")


def ended(state: ClientState, *, thread: str, outcome: str, reason: str, now: int, said_no: bool = True) -> ClientState:
    """Return the state after a thread led nowhere; its one-time keys are gone.

    Args:
        said_no: the person is not asked again for this need.
    """
    record = state.thread(thread)
    bare = ThreadRecord(
        thread=thread,
        role=record.role,
        consumer=record.consumer,
        provider=record.provider,
        audience=record.audience,
        state=outcome,
        updated_at=now,
        ref=record.ref,
        ask=record.ask,
        topic=record.topic,
        format=record.format,
        length=record.length,
        reason=reason,
    )
    state = state.with_thread(bare)
    ask = state.asks.get(record.ask)
    if ask is None:
        return state
    keys = tuple(one.key for one in ask.offered if one.thread == thread and one.candidate.ref == record.ref)
    # Colleagues proposed in the same thread went with it; a new quote may bring them back.
    others = tuple(one for one in ask.offered if one.thread != thread)
    return state.with_ask(replace(ask, offered=others, said_no=(*ask.said_no, *(keys if said_no else ()))))


def _put_back(state: ClientState, *, thread: str) -> ClientState:
    """Return the state with a thread as it was before a choice that the node never took."""
    record = state.thread(thread)
    state = state.with_thread(replace(record, state="OFFERED", ref="", answer_seed=b"", own_secret=b"", sealed_to=()))
    ask = state.asks.get(record.ask)
    return state if ask is None else state.with_ask(replace(ask, active=""))


def _requoted(state: ClientState, ask_id: str) -> ClientState:
    ask = state.asks[ask_id]
    return state.with_ask(replace(ask, requotes=ask.requotes + 1, asked=0))


def _given_up(state: ClientState, ask_id: str) -> ClientState:
    return state.with_ask(replace(state.asks[ask_id], active="", goes_on=False))
