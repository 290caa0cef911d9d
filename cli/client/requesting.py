"""From a shortlist to a request at one person, and on to the next person after a no.

The choice is sealed for the mentor's node, the brief for the mentor's devices. What is needed to understand the answer
is stored before anything leaves. Source: docs/protocol/31-handshake.md §7–§8.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from node.services.consumer import Ask
from protocol.bodies import AcceptedBody, SealedBrief
from protocol.encoding import unb64
from protocol.errors import MeshError, MissingError, RefusedError, UnavailableError

from .ask_records import AskRecord, OfferedRecord, TargetRecord
from .asking import Asking, choosable, prepare_request
from .brief import check_own, checked_prompts, ranked_slots, sealed_brief
from .core import Core
from .keychecks import KeyChecks
from .needs import ENDED, ended, given_up, is_valid, put_back, remaining, requoted
from .records import ThreadRecord
from .state import ClientState
from .views import Event, Exhausted, Passed, Refused, Requested

#: A request that is being sent for longer than this was interrupted.
PATIENCE_S: Final = 60
MOST_ATTEMPTS: Final = 12
MOST_REQUOTES: Final = 4
MOST_BACKUPS: Final = 4


class OvertakenError(RefusedError):
    """Another program with the same vault was quicker."""

    code = "overtaken"


class Requesting:
    """Choices of one device."""

    def __init__(self, core: Core, asking: Asking, checks: KeyChecks) -> None:
        self._core: Final = core
        self._checks: Final = checks
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
        texts = checked_prompts(prompts)
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
        if not is_valid(self._core.state(), chosen, self._core.now()):
            chosen = await self._again(ask, chosen)
        return await self._accept(ask.id, chosen, slots, before="")

    async def _again(self, ask: AskRecord, wanted: OfferedRecord) -> OfferedRecord:
        """Ask the person's node anew and return the same person. Raises: RefusedError: they are not proposed now."""
        targets = [one for one in ask.targets if one.entity == wanted.entity]
        ask = await self._asking.round(ask.id, targets)
        for one in ask.offered:
            if one.key == wanted.key and is_valid(self._core.state(), one, self._core.now()):
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
        audience = self._core.state().thread(offered.thread).audience
        await self._checks.own(audience)
        await self._checks.directory(offered.entity, audience)
        now = self._core.now()
        ranked = ranked_slots(self._core.state().asks[ask_id], offered, slots)

        def prepare(state: ClientState) -> tuple[ClientState, _Sending]:
            ask = state.asks[ask_id]
            if ask.active != before or state.thread(offered.thread).state != "OFFERED":
                raise OvertakenError("another program of yours has asked somebody already")
            record, choice, brief = sealed_brief(state, ask, offered, ranked, now=now)
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
        check_own(self._core.state(), record, unb64(accepted.item, what="message"), accepted.hash, body)
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
                self._core.vault.update(partial(put_back, thread=record.thread))
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
                self._core.vault.update(lambda state: requoted(state, ask_id))
                ask = await self._asking.round(ask_id, ask.targets)
                if remaining(self._core.state(), ask, now=self._core.now()):
                    continue
            self._core.vault.update(lambda state: given_up(state, ask_id))
            events.append(Exhausted(thread=before, tried=ask.attempts))
            return events


_Sending = tuple[ThreadRecord, str, SealedBrief, list[Ask]]


def _numbered(people: Sequence[OfferedRecord], number: int) -> OfferedRecord:
    if not 1 <= number <= len(people):
        raise MissingError(f"the shortlist has numbers 1 to {len(people)}" if people else "the shortlist is empty")
    return people[number - 1]


def _backup_targets(state: ClientState, ask: AskRecord, chosen: OfferedRecord) -> Iterable[TargetRecord]:
    """Return the offers that the node may ask about by itself while no device of the person is there."""
    if not ask.goes_on:
        return ()
    entities = [one.entity for one in remaining(state, ask) if one.key != chosen.key]
    order = dict.fromkeys((*entities, *(one.entity for one in ask.targets)))
    by_entity = {one.entity: one for one in reversed(ask.targets)}
    return [by_entity[entity] for entity in order if entity in by_entity][:MOST_BACKUPS]
