"""Open sessions in the archive: what of them a device keeps there, and how a new device begins to come back into them.

Source: docs/protocol/45-sessions.md §10.
"""

from typing import Final

from msgspec.structs import replace

from protocol.e2ee.places import MAX_PLACES, KeptPlace
from protocol.encoding import b64, unb64
from protocol.session import LIFE_S

from .core import ENGINE
from .epochs import AGREED
from .records import SessionRecord, ThreadRecord
from .state import ClientState

#: What a place says of the thread, under the same names.
OF_THREAD: Final = (
    "thread",
    "role",
    "consumer",
    "provider",
    "audience",
    "peer_identity",
    "peer_next",
    "peer_chain",
    "agreement",
    "attested",
    "format",
    "length",
    "topic",
    "slot",
    "ends_at",
)


def places_of(state: ClientState) -> tuple[KeptPlace, ...]:
    """Return the open sessions of this device, and those that another device put into the archive."""
    own = {thread: _place(state.thread(thread), session) for thread, session in state.sessions.items()}
    kept = {**state.places, **{thread: one for thread, one in own.items() if one is not None}}
    return tuple(kept[thread] for thread in sorted(kept))[:MAX_PLACES]


def with_places(state: ClientState, places: tuple[KeptPlace, ...]) -> ClientState:
    """Return the state with places of the archive, where this device knows nothing of the thread."""
    new = {one.thread: one for one in places if one.thread not in state.threads}
    return replace(state, places=dict(list({**new, **state.places}.items())[-MAX_PLACES:]))


def without_old_places(state: ClientState, *, now: int) -> ClientState:
    """Return the state without places of sessions that are over, or that this device is in."""
    left = {
        thread: one
        for thread, one in state.places.items()
        if one.ends_at + LIFE_S > now and thread not in state.threads
    }
    return state if len(left) == len(state.places) else replace(state, places=left)


def coming_back(state: ClientState, *, now: int) -> ClientState:
    """Return the state of a new device, with every open session in the archive to be let into."""
    for place in without_old_places(state, now=now).places.values():
        fields = {name: getattr(place, name) for name in OF_THREAD}
        record = ThreadRecord(**fields, state=AGREED, updated_at=now)
        session = SessionRecord(
            thread=place.thread,
            engine=ENGINE.name,
            state=ENGINE.dump(ENGINE.outside()),
            name=place.name,
            master_key=place.master_key,
            former=place.former,
            label=place.label,
            vouched=place.vouched,
            late=True,
            rejoin_key=unb64(place.rejoin, size=32, what="rejoin"),
            context=unb64(place.context, size=32, what="context"),
        )
        state = state.with_thread(record).with_session(session)
    return replace(state, places={})


def _place(record: ThreadRecord, session: SessionRecord) -> KeptPlace | None:
    """Return what the archive keeps of a session; None: it is not open, or nobody could be asked."""
    if session.closed_mine or session.closed_theirs or not session.rejoin_key or record.state != AGREED:
        return None
    group = ENGINE.load(session.state)
    if ENGINE.is_closed(group) and not session.context:
        return None
    fields = {name: getattr(record, name) for name in OF_THREAD}
    return KeptPlace(
        **fields,
        context=b64(session.context or ENGINE.context(group)),
        rejoin=b64(session.rejoin_key),
        name=session.name,
        master_key=session.master_key,
        former=session.former,
        label=session.label,
        vouched=session.vouched,
    )
