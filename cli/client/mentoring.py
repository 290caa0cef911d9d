"""The mentor's side: requests whose briefs this device opens, the answers to them, and the mentor's own profile.

Source: docs/protocol/31-handshake.md §9, 42-sealing.md §6.
"""

from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from node.services.mentor_side import Agree, Counter, Decline, RequestEntry
from protocol.bodies import AcceptedBody, DeclineReason
from protocol.e2ee.brief import OpenedBrief, open_brief
from protocol.encoding import decode, unb64
from protocol.errors import MeshError, MissingError, RefusedError, UnavailableError, UnverifiedError
from protocol.text import displayable

from .agreeing import Yes, say_yes
from .blocks import DECLINING, find_block, to_be_declined
from .contacts import of_identity
from .core import Core
from .keychecks import KeyChecks, require_listed
from .pins import Opened, audiences_with, name_of, open_item
from .records import SealingRecord, ThreadRecord
from .state import ClientState
from .views import Arrived, Event, Waiting

WAITING: Final = "ACCEPTED"
#: Other times were proposed; the request comes again when one suits.
COUNTERED: Final = "OFFERED"
#: The node was told yes; that it took it is not known for sure before the other side has signed.
SAID_YES: Final = "ANSWERED"


class Mentoring:
    """Answers of one mentor's device."""

    def __init__(self, core: Core, checks: KeyChecks) -> None:
        self._core: Final = core
        self._checks: Final = checks

    def requests(self) -> tuple[Waiting, ...]:
        """Return the requests that await an answer, the next deadline first."""
        state, now = self._core.state(), self._core.now()
        waiting = [
            waiting_of(state, record)
            for record in state.threads.values()
            if record.role == "mentor" and record.state == WAITING and record.deadline > now
        ]
        return tuple(sorted(waiting, key=lambda one: one.deadline))

    async def accept(self, thread: str, *, slot: int | None = None) -> None:
        """Say yes; consent and group are stored before the node is told.

        Raises: RefusedError: a time that was not asked for, or the request does not wait any more.
        """
        record = self._open(thread)
        await self._checks.own(record.audience)

        def prepare(state: ClientState) -> tuple[ClientState, tuple[int | None, Yes]]:
            record = state.thread(thread)
            chosen = _slot(record, slot)
            if record.consent:  # the node may have this yes already: a second one would not be what it signed
                return state, (chosen, Yes(consent=record.consent, private=record.private))
            state, yes = say_yes(self._core, state, record, chosen)
            return state, (chosen, yes)

        chosen, yes = self._core.vault.change(prepare)
        try:
            await self._core.api().answer(thread, Agree(slot=chosen, consent=yes.hash, private=yes.private))
        except UnavailableError:
            raise
        except MeshError:
            if not await self._was_taken(thread):
                self._core.vault.update(partial(_taken_back, thread=thread))
                raise
        self._core.vault.update(partial(_moved, thread=thread, to=SAID_YES, now=self._core.now()))

    async def _was_taken(self, thread: str) -> bool:
        """Find out whether the node took an answer whose confirmation got lost."""
        try:
            seen = await self._core.api().thread(thread, "provider")
        except MissingError:
            return False
        return seen.state in {"AGREED", "VERIFIED", "FINALIZED"}

    async def decline(self, thread: str, *, reason: DeclineReason = "other", pause: bool = False) -> None:
        """Say no; the brief is forgotten."""
        self._open(thread)
        await self._core.api().answer(thread, Decline(reason=reason, pause=pause))
        self._core.vault.update(
            partial(forgotten, thread=thread, outcome="DECLINED", reason=reason, now=self._core.now())
        )

    async def decline_blocked(self) -> None:
        """Say no, without a reason and when somebody might, to those who are blocked; nothing of it is kept."""
        for record in self._core.state().threads.values():
            if record.state == DECLINING and record.updated_at <= self._core.now():
                with suppress(RefusedError, MissingError):  # it has ended already
                    await self._core.api().answer(record.thread, Decline(reason="other", pause=False))
                self._core.vault.update(partial(_unseen, thread=record.thread))

    async def counter(self, thread: str, slots: tuple[int, ...]) -> None:
        """Propose other times; the brief comes again when the mentee takes one up."""
        self._open(thread)
        await self._core.api().answer(thread, Counter(slots=tuple(sorted(set(slots)))))
        self._core.vault.update(partial(_moved, thread=thread, to=COUNTERED, now=self._core.now()))

    def _open(self, thread: str) -> ThreadRecord:
        record = self._core.state().thread(thread)
        if record.role != "mentor" or record.state != WAITING:
            raise RefusedError("this request does not wait for your answer: `mentormesh inbox` lists those that do")
        return record


def take_request(core: Core, state: ClientState, thread: str, data: bytes) -> tuple[ClientState, list[Event]]:
    """Return the mentor's state with one request, its brief opened.

    Raises: UnverifiedError: not signed by a known node, or the brief is not for this device, thread or person.
        UnprovenError: the mentee's device was not looked up in its directory yet.
    """
    entry = decode(data, RequestEntry, what="request")
    own, known = state.signed_in.entity, state.threads.get(thread)
    if known is not None and (known.role != "mentor" or known.state not in (WAITING, COUNTERED)):
        return state, []  # answered already: an old request shown again changes nothing
    opened = open_item(state, unb64(entry.item, what="message"), audience=own)
    head = opened.message.head
    if (head.thread, head.side, head.type) != (thread, "consumer", "accept"):
        raise UnverifiedError("the message is no request, or of another thread", code="wrong-thread")
    record = ThreadRecord(
        thread=thread,
        role="mentor",
        consumer=opened.entity,
        provider=own,
        audience=_audience(state, opened),
        state=WAITING,
        updated_at=core.now(),
        ref=entry.choice.ref,
        accepted=opened.message.hash,
        topic=displayable(entry.topic, lines=False),
        format=entry.choice.format,
        length=entry.choice.length,
        deadline=entry.deadline,
    )
    brief, reader = _open_brief(state, record, opened, core.now())
    words = brief.brief.words
    proven = require_listed(
        state,
        origin=opened.entity,
        audience=record.audience,
        identity_key=words.identity_key,
        devices=(brief.device.text,),
        now=core.now(),
    )
    if find_block(state, entity=opened.entity, identity=words.identity_key) is not None:
        return state.with_thread(to_be_declined(record, now=core.now())), []
    record = replace(
        record,
        witnessed=proven.witnessed,
        brief=words,
        reader=reader,
        reply_key=brief.brief.reply_key.raw,
        key_packages=brief.brief.key_packages,
        peer_devices=(brief.device.text,),
        peer_identity=words.identity_key,
        # Only times that the mentee's device wrote down, whatever the node says it holds.
        slots=tuple(slot for slot in entry.held if slot in words.slots),
    )
    return state.with_thread(record), [Arrived(thread=thread, request=waiting_of(state, record))]


def _sealing_record(state: ClientState, opened: Opened) -> SealingRecord:
    """Return this device's key that the brief is sealed to. Raises: RefusedError: it is for another device."""
    own = {one.hash: one for one in state.sealing}
    for wrapped in opened.message.as_(AcceptedBody).brief.wrapped:
        if wrapped.key in own:
            return own[wrapped.key]
    raise RefusedError(
        "a request is sealed to another device of yours than this one; if you have that one no more, nobody can read "
        "it: decline it by the mail that told you of it, and somebody else is asked",
        code="other-device",
    )


def _audience(state: ClientState, opened: Opened) -> str:
    """Return the audience of a request: that of the key it is sealed to, if the two organizations meet there."""
    audience = _sealing_record(state, opened).audience
    if audience not in audiences_with(state, opened.entity):
        raise UnverifiedError("a request is sealed to a key for other organizations", code="wrong-audience")
    return audience


def _open_brief(state: ClientState, record: ThreadRecord, opened: Opened, now: int) -> tuple[OpenedBrief, str]:
    sealed, key = opened.message.as_(AcceptedBody).brief, _sealing_record(state, opened)
    brief = open_brief(sealed, key.key, context=record.context, ref=record.ref, audience=record.audience, now=now)
    return brief, key.hash


def waiting_of(state: ClientState, record: ThreadRecord) -> Waiting:
    """Return a request as its mentor reads it."""
    words = record.brief
    assert words is not None  # a request that waits has been opened
    met = of_identity(state.contacts, words.identity_key)
    return Waiting(
        thread=record.thread,
        entity=record.consumer,
        org=name_of(state, record.consumer),
        topic=record.topic,
        reason=words.chosen_because,
        chosen_from=words.chosen_from,
        about=words.about,
        prompts=words.prompts,
        format=record.format,
        length=record.length,
        slots=record.slots,
        deadline=record.deadline,
        witnessed=record.witnessed,
        known=met.name if words.again and met is not None else "",
    )


def forgotten(state: ClientState, *, thread: str, outcome: str, reason: str, now: int) -> ClientState:
    """Return the mentor's state after a request that came to nothing: no key, no word of the brief is left."""
    bare = replace(state.thread(thread).bare(state=outcome, now=now), reason=reason)
    return state.without_session(thread).with_thread(bare)


def _unseen(state: ClientState, *, thread: str) -> ClientState:
    """Return the state in which a request never was."""
    return state.without_threads(thread)


def _moved(state: ClientState, *, thread: str, to: str, now: int) -> ClientState:
    return state.with_thread(replace(state.thread(thread), state=to, private="", updated_at=now))


def _taken_back(state: ClientState, *, thread: str) -> ClientState:
    """Return the state without the consent and group of a yes that the node did not take."""
    record = replace(state.thread(thread), consent="", private="", own_secret=b"", slot=None)
    return state.without_session(thread).with_thread(record)


def _slot(record: ThreadRecord, wanted: int | None) -> int | None:
    if record.format == "text":
        return None
    if record.consent:
        if wanted not in (None, record.slot):
            raise RefusedError("your yes to another time is on its way: say yes to that time again", code="wrong-slot")
        return record.slot
    if wanted is None and record.slots:
        return record.slots[0]
    if wanted not in record.slots:
        raise RefusedError("choose one of the times asked for: `mentormesh inbox` shows them", code="wrong-slot")
    return wanted
