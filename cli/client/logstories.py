"""Checkpoints told inside sessions: what the other person's client saw of both logs is held against what this one saw.

A node that shows two people two logs is found out by them, without any other node. Source: 45-sessions.md §6.
"""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from msgspec.structs import replace

from federation.knownlogs import KnownLog
from federation.logtree import prefix
from protocol.e2ee.frames import Checkpoints
from protocol.errors import MalformedError, MeshError, MissingError, UnverifiedError
from protocol.evidence import Gap, bare_checkpoint, make_bundle, signed_checkpoint
from protocol.logleaves import is_log_of
from protocol.peers import log_key
from protocol.tlog.checkpoint import CheckpointNote, open_checkpoint, parse_checkpoint
from protocol.tlog.note import LogKey
from protocol.tlog.proof import parse_log_proof

from .check_records import ToldLog
from .core import Core
from .pins import document_of, name_of
from .proofs import kept
from .records import ThreadRecord
from .state import ClientState
from .views import Alarm, Event

#: Notes that wait for a comparison; a session tells two.
MAX_TOLD: Final = 16
#: What a log does not show for so long is let go of.
KEEP_S: Final = 86_400
AGAIN_S: Final = 3_600

#: GET of a resource of an organization's node: entity, path, most bytes.
Fetch = Callable[[str, str, int], Awaitable[bytes]]


def learned(state: ClientState, entity: str, log: str, *, now: int) -> ClientState:
    """Return the state with the checkpoint of a log proof that was verified; the newest of each log is kept."""
    key = log_key(document_of(state, entity))
    found = parse_log_proof(log.encode()).checkpoint
    if found.checkpoint.origin != key.name:
        return state  # a log that ended with its key
    text = bare_checkpoint(found, [key]).decode()
    known = state.logs.get(entity)
    if known is None or parse_checkpoint(known.encode()).checkpoint.size < found.checkpoint.size:
        state = replace(state, logs={**state.logs, entity: text})
    return _waiting(state, entity, text, thread="", now=now) if known and known != text else state


def to_tell(state: ClientState, record: ThreadRecord) -> Checkpoints | None:
    """Return what this device knows of both organizations' logs, for the other person's client."""
    known = tuple(state.logs[entity] for entity in (record.consumer, record.provider) if entity in state.logs)
    return Checkpoints(logs=tuple(dict.fromkeys(known))) if known else None


def heard(state: ClientState, record: ThreadRecord, told: Checkpoints, *, now: int) -> ClientState:
    """Return the state with notes of the other person's client that wait to be compared.

    Raises: MalformedError, UnverifiedError: a note that its log did not sign.
    """
    for text in told.logs:
        found = parse_checkpoint(text.encode())
        for entity in dict.fromkeys((record.consumer, record.provider)):
            key = log_key(document_of(state, entity))
            if is_log_of(entity, found.checkpoint.origin) and found.checkpoint.origin == key.name:
                open_checkpoint(found, [key])
                state = _waiting(state, entity, bare_checkpoint(found, [key]).decode(), record.thread, now=now)
    return state


def _waiting(state: ClientState, entity: str, text: str, thread: str, *, now: int) -> ClientState:
    told = ToldLog(thread=thread, entity=entity, note=text, at=now)
    if any((one.entity, one.note) == (entity, text) for one in state.told_logs):
        return state
    return replace(state, told_logs=(*state.told_logs[-MAX_TOLD + 1 :], told))


class LogStories:
    """Compares what was told, and keeps what contradicts itself."""

    def __init__(self, core: Core, fetch: Fetch) -> None:
        self._core: Final = core
        self._fetch: Final = fetch

    async def settle(self) -> list[Event]:
        """Compare what waits; return an alarm for every log that was told in two ways, its evidence kept."""
        events: list[Event] = []
        now = self._core.now()
        for told in self._core.state().told_logs:
            if now < told.next_at:
                continue
            try:
                events += await self._compare(told)
            except MeshError:  # whatever somebody else's log answers in place of a tile
                if now < told.at + KEEP_S:
                    self._core.vault.update(partial(_later, told=told, at=now + AGAIN_S))
                    continue  # the log does not answer now
            self._core.vault.update(partial(_without, told=told))
        return events

    async def _compare(self, told: ToldLog) -> list[Event]:
        state = self._core.state()
        key = log_key(document_of(state, told.entity))
        if told.entity not in state.logs:
            raise MissingError("this device has not seen the log yet")
        mine, theirs = (parse_checkpoint(note.encode()) for note in (state.logs[told.entity], told.note))
        small, large = sorted((mine, theirs), key=lambda one: one.checkpoint.size)
        if small.checkpoint.size == large.checkpoint.size:
            if small.checkpoint.root == large.checkpoint.root:
                return []
            return [self._two_logs(told, (small, large), key, None)]
        log = KnownLog(keys=(key,), entity=told.entity, document=state.pins[told.entity].document)
        try:
            before = await prefix(self._read, log, large.checkpoint, small.checkpoint.size)
        except (UnverifiedError, MalformedError) as error:
            org = name_of(state, told.entity)
            return [Alarm(thread=told.thread, sentence=f"The log of {org} does not hold: {error}", code="log")]
        if before.root == small.checkpoint.root:
            return []
        return [self._two_logs(told, (small, large), key, before.gap)]

    async def _read(self, log: KnownLog, path: str, *, limit: int) -> bytes:
        return await self._fetch(log.entity, f"/log/{path}", limit)

    def _two_logs(
        self, told: ToldLog, notes: tuple[CheckpointNote, CheckpointNote], key: LogKey, gap: Gap | None
    ) -> Event:
        """Keep both checkpoints as evidence that verifies offline, and return what to tell in red."""
        state = self._core.state()
        document = state.pins[told.entity].document
        one, other = (signed_checkpoint(note, key, document) for note in notes)
        bundle = make_bundle("two-checkpoints", told.entity, one, other, gap=gap)
        host = told.entity.removeprefix("https://")
        name = f"logs-{host}-{notes[0].checkpoint.size}-{notes[1].checkpoint.size}-{secrets.token_hex(4)}.json"
        file = kept(self._core.vault.folder, name, bundle)
        sentence = (
            f"{name_of(state, told.entity)} shows two logs, one to you and another to the other person: one of you may "
            f"be shown keys that are not true. Say nothing more here and compare codes by phone. The proof is in {file}"
        )
        return Alarm(thread=told.thread, sentence=sentence, code="two-logs")


def _later(state: ClientState, told: ToldLog, *, at: int) -> ClientState:
    waits = replace(told, next_at=at)
    return replace(state, told_logs=tuple(waits if one == told else one for one in state.told_logs))


def _without(state: ClientState, told: ToldLog) -> ClientState:
    return replace(state, told_logs=tuple(one for one in state.told_logs if one != told))
