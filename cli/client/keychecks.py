"""Log first, use later: keys of another person count only once a logged directory shows them that others hold too.

What the own node gives out is verified here against pinned documents. Nothing proven is red and stops; a directory that
nobody outside can attest is amber. Source: docs/protocol/13-key-directory.md §7.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from msgspec.structs import replace

from node.services.key_lookup import KeyAnswer, KeyQuery
from protocol.addresses import audience_id
from protocol.directorypages import DirectoryPage
from protocol.errors import MeshError, MissingError, UnavailableError, UnverifiedError
from protocol.heads import Held, RollbackError, follow
from protocol.keyentries import OpenedEntry, lookup_prefix
from protocol.keyproof import Circle, ProvenHead, find_entry, verify_head

from .core import Core
from .logstories import learned
from .pins import document_of
from .records import DirectoryRecord, ProvenRecord
from .state import ClientState

T = TypeVar("T")

#: So many entries come with the one that is meant.
CROWD_BITS: Final = 6
#: A newly enrolled device is waited for so long, looking this often.
PATIENCE_S: Final = 15.0
LOOK_EVERY_S: Final = 0.25
#: What was refused is looked at again after this long.
REFUSED_S: Final = 60


class UnprovenError(UnverifiedError):
    """Keys are to be used that were not proven to this device yet: ask for the proof first."""

    code = "unproven"

    def __init__(self, *, origin: str, audience: str, identity_key: str, devices: Iterable[str]) -> None:
        super().__init__("the other person's keys are not proven")
        self.origin: Final = origin
        self.audience: Final = audience
        self.identity_key: Final = identity_key
        self.devices: Final = frozenset(devices)


class NotListedYetError(UnavailableError):
    """A device does not stand in a proven directory yet; it may soon."""

    code = "not-listed"


def require_listed(
    state: ClientState, *, origin: str, audience: str, identity_key: str, devices: Iterable[str], now: int
) -> ProvenRecord:
    """Return what is proven about a person of `origin`, all these devices of theirs included.

    Raises: UnprovenError: nothing recent is; UnverifiedError: a proof was wrong a moment ago.
    """
    record = state.proven.get(_place(origin, audience, identity_key))
    wanted = frozenset(devices)
    if record is not None and now < record.until and record.refused:
        raise UnverifiedError(record.refused, code="refused-keys")
    if record is None or now >= record.until or not wanted <= set(record.devices):
        raise UnprovenError(origin=origin, audience=audience, identity_key=identity_key, devices=wanted)
    return record


class KeyChecks:
    """Proofs of one device's peers."""

    def __init__(self, core: Core, refresh: Callable[[], Awaitable[object]]) -> None:
        """Take the core; `refresh` looks for newer documents of organizations."""
        self._core: Final = core
        self._refresh: Final = refresh

    async def prove(self, wanted: UnprovenError, *, patience_s: float = PATIENCE_S) -> ProvenRecord:
        """Remember what proves these keys, and return it.

        Raises: NotListedYetError: they are not listed yet; UnverifiedError: the proof is wrong, which is remembered.
        """
        return await _patiently(lambda: self._once(wanted), patience_s)

    async def own(self, audience: str) -> ProvenRecord:
        """Return once this device stands in its own directory where others can see it.

        Raises: NotListedYetError: not yet; UnverifiedError: one's own node does not show this device's keys.
        """
        state = self._core.state()
        entity = state.signed_in.entity
        wanted = UnprovenError(
            origin=entity,
            audience=audience,
            identity_key=state.account_secret.identity(audience).public.text,
            devices=(state.device_secret.key(audience).public.text,),
        )
        try:
            return require_listed(
                state,
                origin=entity,
                audience=audience,
                identity_key=wanted.identity_key,
                devices=wanted.devices,
                now=self._core.now(),
            )
        except UnprovenError:
            try:
                return await self.prove(wanted)
            except NotListedYetError:
                raise NotListedYetError(
                    "this device is not in the key directory yet, so nobody could check it: try again in a minute"
                ) from None

    async def directory(self, origin: str, audience: str) -> ProvenHead:
        """Return the proven directory of an organization before anything is sealed for somebody there.

        Raises: NotListedYetError: none is proven yet; UnverifiedError: the proof is wrong.
        """
        return await _patiently(lambda: self._directory(origin, audience), PATIENCE_S)

    async def _directory(self, origin: str, audience: str) -> ProvenHead:
        answer = await self._ask(KeyQuery(origin=origin, audience=audience))
        return await self.verified(answer, origin, audience)

    async def _once(self, wanted: UnprovenError) -> ProvenRecord:
        origin, audience = wanted.origin, wanted.audience
        try:
            proven = await self._directory(origin, audience)
            bits = max(0, proven.head.size_bucket.bit_length() - 1 - CROWD_BITS)
            prefix = lookup_prefix(wanted.identity_key, bits)
            answer = await self._ask(KeyQuery(origin=origin, audience=audience, prefix=prefix, bits=bits))
            proven = await self.verified(answer, origin, audience)
            now = self._core.now()
            found = find_entry(answer.entries, proven, identity_key=wanted.identity_key, now=now)
        except UnverifiedError as error:
            self._keep(wanted, _refused(wanted, error, now=self._core.now()))
            raise
        opened = found[1] if found else None
        if opened is None or not wanted.devices <= {one.device_key for one in opened.devices}:
            raise NotListedYetError("a device of the other person is not in its organization's key directory yet")
        return self._keep(wanted, _record(wanted, opened, proven))

    async def _ask(self, query: KeyQuery) -> KeyAnswer:
        try:
            return await self._core.api().keys(query)
        except MissingError:
            raise NotListedYetError("the key directory is not proven yet: try again in a moment") from None

    async def verified(self, answer: KeyAnswer | DirectoryPage, origin: str, audience: str) -> ProvenHead:
        """Return the head of an answer, verified with pinned keys; looked at twice if keys may have been renewed.

        Raises: UnverifiedError; NotListedYetError: it is older than one seen before.
        """
        state, now = self._core.state(), self._core.now()
        try:
            proven = verify_head(answer.head, circle_of(state, audience, origin, answer), origin=origin, now=now)
        except UnverifiedError:
            await self._refresh()
            state = self._core.state()
            proven = verify_head(answer.head, circle_of(state, audience, origin, answer), origin=origin, now=now)
        try:
            self._core.vault.update(lambda state: _learned(state, proven, answer.head.log, now=now))
        except RollbackError:
            # A node that came back from a backup mirrors anew; older heads than those seen are never used.
            raise NotListedYetError("the key directory shown is older than one seen before: try again later") from None
        return proven

    def _keep(self, wanted: UnprovenError, record: ProvenRecord) -> ProvenRecord:
        place = _place(wanted.origin, wanted.audience, wanted.identity_key)
        now = self._core.now()

        def keep(state: ClientState) -> ClientState:
            recent = {name: one for name, one in state.proven.items() if now < one.until}
            return replace(state, proven={**recent, place: record})

        self._core.vault.update(keep)
        return record


async def _patiently(look: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """Return what `look` finds, looking again while it is not listed. Raises: NotListedYetError: it took too long."""
    left = patience_s
    while True:
        try:
            return await look()
        except NotListedYetError:
            if left <= 0:
                raise
        left -= LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)


def members_of(state: ClientState, audience: str) -> tuple[str, ...]:
    """Return who is in an audience as this device knows it: oneself first; a pair or itself by its id, others by pins.

    Just oneself: no other organization meets the own one there.
    """
    own = state.signed_in.entity
    others = [one.entity for one in state.pins.values() if not one.own]
    pair = next(((own, one) for one in others if audience == audience_id(own, one)), None)
    if audience == audience_id(own) or pair:
        return pair or (own,)
    found = (pin.entity for pin in state.pins.values() if audience in map(audience_id, pin.registries))
    return tuple(dict.fromkeys((own, *found)))


def circle_of(state: ClientState, audience: str, origin: str, answer: KeyAnswer | DirectoryPage) -> Circle:
    """Return the audience as this device knows it, with the documents that it pinned.

    Raises: UnverifiedError: no audience in which the two organizations meet.
    """
    members = members_of(state, audience)
    if origin not in members:
        raise UnverifiedError("no audience of these two organizations", code="wrong-audience")
    documents = {}
    for entity in members:
        try:
            documents[entity] = document_of(state, entity)
        except MeshError:
            continue  # a key that changed counts for nothing until it is believed
    return Circle(audience=audience, members=members, named=answer.named, documents=documents)


def _learned(state: ClientState, proven: ProvenHead, log: str, *, now: int) -> ClientState:
    """Return the state with this head as its directory's newest, and the checkpoint of the log that it stands in."""
    return learned(_followed(state, proven), proven.head.origin, log, now=now)


def _followed(state: ClientState, proven: ProvenHead) -> ClientState:
    """Return the state with this head as the newest of its directory. Raises: RollbackError; ForkError: two stories."""
    place = f"{proven.head.origin} {proven.head.audience}"
    known = state.directories.get(place)
    held = Held(seq=known.seq, head_hash=known.head_hash, issued_at=known.issued_at) if known else None
    follow(proven.head, proven.hash, held)
    record = DirectoryRecord(seq=proven.head.seq, head_hash=proven.hash, issued_at=proven.head.issued_at)
    return replace(state, directories={**state.directories, place: record})


def _record(wanted: UnprovenError, opened: OpenedEntry, proven: ProvenHead) -> ProvenRecord:
    return ProvenRecord(
        origin=wanted.origin,
        audience=wanted.audience,
        identity_key=wanted.identity_key,
        label=opened.entry.label,
        devices=tuple(one.device_key for one in opened.devices),
        until=min(proven.head.not_after, *(one.expires_at for one in opened.devices)),
        witnessed=proven.witnessed,
        vouched_name=opened.entry.vouch.name,
        vouched_identity=opened.entry.vouch.identity,
    )


def _refused(wanted: UnprovenError, error: MeshError, *, now: int) -> ProvenRecord:
    return ProvenRecord(
        origin=wanted.origin,
        audience=wanted.audience,
        identity_key=wanted.identity_key,
        until=now + REFUSED_S,
        refused=f"The keys of the other person do not hold: {error}",
    )


def _place(origin: str, audience: str, identity_key: str) -> str:
    return f"{origin} {audience} {identity_key}"
