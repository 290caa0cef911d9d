"""People whom a person wants to meet no more, recognized by the keys that their devices have shown.

Whoever changes their master key and shows it stays blocked. What this cannot prevent: in another consortium somebody
has other keys. A mentor recognizes them only when names are told, a mentee when they say yes; with a new account they
are somebody else. No node is told of a block.
"""

import secrets
from collections.abc import Collection, Iterable
from typing import Final

from msgspec.structs import replace

from protocol.bodies import Candidate
from protocol.devices import sealing_key_hash
from protocol.e2ee.masterchange import MasterChange, OpenedChange
from protocol.errors import MissingError, RefusedError
from protocol.sealing import SealingPublicKey

from .blockrecord import BlockRecord
from .core import fresh_id
from .records import ThreadRecord
from .state import ClientState
from .views import Blocked, Event, Problem

#: A request of somebody blocked, which gets its no when somebody might have answered.
DECLINING: Final = "DECLINING"
SOONEST_S: Final = 1_800
LATEST_S: Final = 3 * 3_600
MAX_BLOCKS: Final = 500
#: Keys of one person that are remembered.
MAX_KEYS: Final = 64


def find_block(
    state: ClientState, *, entity: str, master_key: str = "", identity: str = "", sealing: Collection[str] = ()
) -> BlockRecord | None:
    """Return the block of whoever has one of these keys; a master key counts whatever the organization is."""
    for one in state.blocks:
        if master_key in one.masters:
            return one
        if one.entity == entity and (identity in one.identities or not set(one.sealing).isdisjoint(sealing)):
            return one
    return None


def hashes_of(candidate: Candidate) -> tuple[str, ...]:
    """Return the hashes of the keys that a brief to a candidate would be sealed to."""
    return tuple(sealing_key_hash(SealingPublicKey.parse(key)) for key in candidate.keys)


def with_block(state: ClientState, thread: str, *, now: int) -> ClientState:
    """Return the state with a block of the other person of a thread or contact; proposals of them are gone, too.

    Raises: MissingError: no such thread or contact; RefusedError: nothing of them is known yet, or too many blocks.
    """
    made = _block_of(state, thread, now)
    if not (made.master_key or made.identities or made.sealing):
        raise RefusedError("nothing is known of this person yet by which they could be recognized")
    if len(state.blocks) >= MAX_BLOCKS:
        raise RefusedError(f"at most {MAX_BLOCKS} people can be blocked: forget one first")
    return without_proposals(replace(state, blocks=(*state.blocks, made)))


def without_proposals(state: ClientState) -> ClientState:
    """Return the state in which nobody who is blocked is proposed any more."""
    for ask in state.asks.values():
        left = tuple(
            one for one in ask.offered if find_block(state, entity=one.entity, sealing=hashes_of(one.candidate)) is None
        )
        state = state.with_ask(replace(ask, offered=left)) if left != ask.offered else state
    return state


def _block_of(state: ClientState, thread: str, now: int) -> BlockRecord:
    contact = next((one for one in reversed(state.contacts) if one.thread == thread), None)
    record, session = state.threads.get(thread), state.sessions.get(thread)
    if record is None and contact is None:
        raise MissingError("there is no such thread or contact here")
    told = (contact.name, contact.master_key) if contact else ("", "")
    name, master = (session.name or told[0], session.master_key or told[1]) if session else told
    others = (contact.master_key, contact.next_key, *contact.former) if contact else ()
    return BlockRecord(
        id=fresh_id(),
        entity=record.peer if record else contact.entity if contact else "",
        at=now,
        name=name,
        master_key=master,
        former=tuple(one for one in dict.fromkeys(others) if one not in ("", master))[:MAX_KEYS],
        identities=(record.peer_identity,) if record and record.peer_identity else (),
        sealing=record.sealed_to if record and record.role == "mentee" else (),
    )


def without_block(state: ClientState, number: int) -> ClientState:
    """Return the state without a block, by its number from 1. Raises: MissingError."""
    if not 1 <= number <= len(state.blocks):
        raise MissingError("there is no such block: `mentormesh person blocks` lists them")
    gone = state.blocks[number - 1].key
    rest = (*state.blocks[: number - 1], *state.blocks[number:])
    return replace(state, blocks=rest, unblocked=(*state.unblocked, gone)[-MAX_BLOCKS:])


def followed(state: ClientState, opened: Iterable[OpenedChange]) -> ClientState:
    """Return the state in which somebody blocked is blocked under the master keys that they changed to, too.

    Whoever says of themselves that they follow a blocked person is taken at their word, with the old key's signature or
    without: a change is signed by the key that it leads to, so nobody is blocked by what others say.
    """
    for one in opened:
        state = replace(state, blocks=tuple(_following(each, one.change) for each in state.blocks))
    return state


def _following(one: BlockRecord, change: MasterChange) -> BlockRecord:
    if change.old_key not in one.masters or change.new_key in one.masters:
        return one
    return replace(one, former=(*one.former, change.new_key)[-MAX_KEYS:])


def joined(mine: Iterable[BlockRecord], theirs: Iterable[BlockRecord], *, gone: Collection[str]) -> list[BlockRecord]:
    """Return the blocks of two devices of one person; those that either has forgotten are gone."""
    found: dict[str, BlockRecord] = {}
    for one in (*mine, *theirs):
        found[one.key] = _same(found[one.key], one) if one.key in found else one
    return [one for key, one in found.items() if key not in gone][:MAX_BLOCKS]


def _same(one: BlockRecord, other: BlockRecord) -> BlockRecord:
    master = one.master_key or other.master_key
    return replace(
        one,
        name=one.name or other.name,
        master_key=master,
        former=_keys(sorted((one.masters | other.masters) - {master})),
        identities=_keys((*one.identities, *other.identities)),
        sealing=_keys((*one.sealing, *other.sealing)),
    )


def _keys(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))[-MAX_KEYS:]


def recognized(state: ClientState, *, master_key: str, identity: str, sealing: tuple[str, ...]) -> ClientState:
    """Return the state that also knows somebody blocked by the keys they have just shown."""

    def also(one: BlockRecord) -> BlockRecord:
        if master_key not in one.masters:
            return one
        return replace(one, identities=_keys((*one.identities, identity)), sealing=_keys((*one.sealing, *sealing)))

    return replace(state, blocks=tuple(also(one) for one in state.blocks))


def blocked(state: ClientState) -> tuple[Blocked, ...]:
    """Return all blocks, with their numbers."""
    return tuple(
        Blocked(number=number, name=one.name, entity=one.entity, at=one.at, by_person=bool(one.masters))
        for number, one in enumerate(state.blocks, 1)
    )


def to_be_declined(record: ThreadRecord, *, now: int) -> ThreadRecord:
    """Return a request whose brief is forgotten, and when it is declined: at once would tell that nobody read it."""
    due = now + SOONEST_S + secrets.randbelow(LATEST_S - SOONEST_S)
    at = max(now, min(due, record.deadline - 60))
    return replace(record.bare(state=DECLINING, now=at), topic="", format="", length=0)


def called_off_blocked(state: ClientState, record: ThreadRecord) -> tuple[ClientState, Event]:
    """Return the state in which a thread is called off because its other person turned out to be blocked."""
    stopped = replace(record, cancel="not-needed", reason="not-needed")
    sentence = "The other person is somebody you have blocked: it is called off without a reason"
    return state.with_thread(stopped), Problem(thread=record.thread, code="blocked", sentence=sentence)
