"""Decides who sent a request, cheap refusals first; nothing has an effect before the signature holds.

`admit` looks at the head alone: form of the signature, allow list, time, buckets. Then the edge reads the body within
its bounds, and `verify` checks digest, signature and nonce. A stranger's failures are charged to its address, a peer's
requests to its key, so that a forged key id cannot use up the tokens of the real peer.
Source: docs/protocol/21-transport.md §7.
"""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Final, Protocol, cast

import msgspec

from protocol.errors import ConflictError, LimitError, MeshError, MissingError, RefusedError, UnverifiedError
from protocol.httpsig import MAX_LIFETIME_S, Asked, MessageSignature, RequestLine, parse_request, verify_request
from protocol.tickets import Mode

from .directory import Action, Peer, PeerDirectory
from .limits import Buckets, address_key
from .ports import Clock, Store, Writer, below
from .rows import FrozenRow, NonceRow, PeerRow

SAFE_METHODS: Final = frozenset({"GET"})
#: Rows of spent nonces stay this long after the signature expired, should the clock be set back.
NONCE_MARGIN_S: Final = 600

_NONCES: Final = 100_000
_PROVEN: Final = 10_000


class UnknownPeerError(RefusedError):
    """The key belongs to nobody on the allow list."""

    code = "unknown-peer"


class BlockedPeerError(RefusedError):
    """The administrator blocked this peer."""

    code = "peer-blocked"


class BeforeStartError(UnverifiedError):
    """The request was signed before this process started, which has forgotten the nonces of that time."""

    code = "before-start"


class ReplayedError(ConflictError):
    """This very request was here before."""

    code = "replay"


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """A request whose head is acceptable; its body is still to be read and its signature to be checked."""

    peer: Peer
    line: RequestLine
    signed: MessageSignature
    source: str
    charged: bool


class Require(Protocol):
    """Tells whether a peer may do something at the moment; by its row, where that was read, and not by memory alone."""

    def __call__(self, action: Action, row: PeerRow | None = None, *, frozen: bool = False) -> None:
        """Return if it may. Raises: UnknownPeerError, BlockedPeerError, FrozenPeerError, PeerModeError."""
        ...


class Authenticated(msgspec.Struct, frozen=True, kw_only=True):
    """A request that a peer signed, with its body; `asked` is what the answer refers to.

    `peer` is as it was then; `require` tells whether it may do something at the moment.

    Raises (`require`): UnknownPeerError: it is none any more. BlockedPeerError, FrozenPeerError, PeerModeError.
    """

    peer: Peer
    require: Require
    keyid: str
    nonce: str
    expires: int
    asked: Asked
    body: bytes

    async def spend(self, tx: Writer, action: Action = "continue") -> None:
        """Spend the nonce in the transaction of the effect, which the peer must be allowed to have now.

        Raises: ReplayedError: it was spent before. UnknownPeerError: the peer has changed its key since, or is none.
        BlockedPeerError, FrozenPeerError, PeerModeError: it was let do this when it asked, and is not any more.
        """
        row = await tx.get(PeerRow, self.peer.entity)
        if row is None or row.keyid != self.keyid:
            raise UnknownPeerError("the peer has another key by now: sign the request anew")
        frozen = action != "continue" and await tx.get(FrozenRow, self.peer.entity) is not None
        self.require(action, row, frozen=frozen)
        try:
            await tx.insert(NonceRow(keyid=self.keyid, nonce=self.nonce, expires_at=self.expires + NONCE_MARGIN_S))
        except ConflictError:
            raise ReplayedError("this request had its effect before: sign a new one") from None


class Authenticator:
    """Knows the requests of one node's peers."""

    def __init__(
        self,
        directory: PeerDirectory,
        clock: Clock,
        *,
        address_per_minute: int,
        peer_per_minute: int,
        not_before: int,
        shared: Store | None = None,
        remembered: int = _NONCES,
    ) -> None:
        """Refuse requests created before `not_before`: the start of this process, or the restore of its database.

        `shared` remembers all nonces where other processes serve the same node, which must know them too.
        """
        self._directory: Final = directory
        self._clock: Final = clock
        self._strangers: Final = Buckets(per_minute=address_per_minute)
        self._peers: Final = Buckets(per_minute=peer_per_minute)
        self._not_before: Final = not_before
        self._shared: Final = shared
        self._nonces: Final = _NonceMemory(remembered)
        #: (source, key id) that verified before, the latest last: its failures elsewhere are not held against it.
        self._proven: Final[dict[tuple[str, str], None]] = {}

    def meet_stranger(self, address: str) -> None:
        """Charge a request that no key answers for to its address. Raises: LimitError."""
        self._strangers.take(address_key(address), now_ms=self._clock.now_ms())

    def check_fresh(self, signed: MessageSignature) -> None:
        """Return if a signature is alive and younger than this node's memory.

        Raises: LifetimeError, ClockSkewError, ExpiredError, BeforeStartError.
        """
        signed.check_time(self._clock.now())
        if signed.created < self._not_before:
            raise BeforeStartError("request was signed before this node started: sign it again")

    def admit(self, line: RequestLine, headers: Iterable[tuple[str, str]], *, address: str) -> Admission:
        """Return the admission of a request before its body is read.

        Raises: LimitError; UnknownPeerError, BlockedPeerError, BeforeStartError; a class of `signature_errors`.
        """
        now_ms = self._clock.now_ms()
        source = address_key(address)
        try:
            signed = parse_request(headers)
            peer = self._known(signed)
        except MeshError:
            self._strangers.take(source, now_ms=now_ms)
            raise
        self._peers.check(signed.keyid, now_ms=now_ms)
        # Whoever names somebody's key pays before its body is read, and gets the token back if it holds the key.
        charged = (source, signed.keyid) not in self._proven
        if charged:
            self._strangers.take(source, now_ms=now_ms)
        return Admission(peer=peer, line=line, signed=signed, source=source, charged=charged)

    def verify(self, admission: Admission, body: bytes) -> Authenticated:
        """Return who signed this head and body.

        A safe request is still to be told from a repeat by `once`; any other has its nonce spent with its effect.

        Raises: a class of `signature_errors`; LimitError; UnknownPeerError.
        """
        signed, now = admission.signed, self._clock.now()
        peer = self._directory.by_keyid(signed.keyid)
        if peer is None:
            raise UnknownPeerError("the peer has changed its key while its request came in")
        if peer.mode_at(now) == "blocked":
            raise BlockedPeerError("the peer was suspended or blocked while its request came in")
        try:
            asked = verify_request(signed, admission.line, body, key=peer.http_key, now=now)
        except MeshError:
            if not admission.charged:
                self._strangers.take(admission.source, now_ms=self._clock.now_ms())
            raise
        if admission.charged:
            self._strangers.give_back(admission.source, now_ms=self._clock.now_ms())
        self._prove((admission.source, signed.keyid))
        self._peers.take(signed.keyid, now_ms=self._clock.now_ms())
        return Authenticated(
            peer=peer,
            require=partial(self._require, peer.entity),
            keyid=signed.keyid,
            nonce=signed.nonce,
            expires=signed.expires,
            asked=asked,
            body=body,
        )

    async def once(self, authenticated: Authenticated) -> None:
        """Spend the nonce of a request whose effect writes no row. Raises: ReplayedError, LimitError."""
        if self._shared is not None:
            async with self._shared.write() as tx:
                await authenticated.spend(tx)
            return
        pair = (authenticated.keyid, authenticated.nonce)
        self._nonces.spend(pair, until=authenticated.expires, now=self._clock.now())

    def _require(self, entity: str, action: Action, row: PeerRow | None = None, *, frozen: bool = False) -> None:
        """Return if this peer may do this at the moment, whatever it was a while ago.

        `row` and `frozen` are what the database says, which may know what another process did a moment ago.
        """
        now = self._clock.now()
        try:
            peer = self._directory.get(entity)
        except MissingError:
            raise UnknownPeerError("this node is no peer of that organization any more") from None
        if row is not None:
            mode = cast("Mode", row.mode)
            peer = msgspec.structs.replace(peer, mode=mode, mode_until=row.mode_until, frozen=frozen or peer.frozen)
        if peer.mode_at(now) == "blocked":
            raise BlockedPeerError("the peer was suspended or blocked meanwhile")
        peer.require(action, now=now)

    def _known(self, signed: MessageSignature) -> Peer:
        peer = self._directory.by_keyid(signed.keyid)
        if peer is None:
            raise UnknownPeerError("this node has no peer with that key: exchange a ticket first")
        if peer.mode_at(self._clock.now()) == "blocked":
            raise BlockedPeerError("the administrator here has blocked this peer")
        self.check_fresh(signed)
        return peer

    def _prove(self, pair: tuple[str, str]) -> None:
        self._proven.pop(pair, None)
        if len(self._proven) >= _PROVEN:
            del self._proven[next(iter(self._proven))]
        self._proven[pair] = None


class _NonceMemory:
    """Nonces of safe requests until their signatures expire.

    When it is full, only keys that have less than their even share are let through: nobody fills it for others.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity: Final = capacity
        self._until: Final[dict[tuple[str, str], int]] = {}
        self._held: Final[Counter[str]] = Counter()

    def spend(self, key: tuple[str, str], *, until: int, now: int) -> None:
        self._forget(now)
        if key in self._until:
            raise ReplayedError("this request was here before: sign a new one")
        share = self._capacity // max(1, len(self._held))
        if len(self._until) >= self._capacity and self._held[key[0]] >= share:
            raise LimitError("too many requests to remember: slow down", retry_at=now + MAX_LIFETIME_S)
        self._until[key] = until
        self._held[key[0]] += 1

    def _forget(self, now: int) -> None:
        while (oldest := next(iter(self._until), None)) is not None and self._until[oldest] < now:
            del self._until[oldest]
            self._held[oldest[0]] -= 1
            if not self._held[oldest[0]]:
                del self._held[oldest[0]]


async def forget_nonces(store: Store, clock: Clock) -> int:
    """Erase the rows of nonces whose signatures expired long enough ago; return how many."""
    async with store.write() as tx:
        return await tx.delete(NonceRow, below("expires_at", clock.now()))
