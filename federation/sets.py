"""What publishing and mirroring of sets share: audiences, peers as sources, and the paths of the endpoints."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

from protocol.errors import MeshError
from protocol.heads import HeadAnswer, SetHead, SetKind
from protocol.signing import Signer

from .ports import Writer

BASE: Final = "/federation/v1"
NUDGES_PATH: Final = f"{BASE}/nudges"
#: A head with the gossip of the largest audience.
MAX_HEAD_ANSWER: Final = 512 * 1024
#: Members of an audience that are told something at once, and how long each is waited for, in seconds.
TOLD_AT_ONCE: Final = 100
TOLD_WITHIN_S: Final = 5.0
#: What organizations that meet show each other; the members set is shown by a registry alone.
MEETING: Final[frozenset[SetKind]] = frozenset({"offers", "keys", "needs"})


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """Who may see sets of `kinds`: an id (`protocol.addresses.audience_id`) and the entities that belong to it."""

    id: str
    members: frozenset[str]
    kinds: frozenset[SetKind] = MEETING


class AudienceBook(Protocol):
    """Knows the audiences this node publishes to now, itself a member of each."""

    async def audiences(self) -> Sequence[Audience]:
        """Return them all, by id."""
        ...


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One peer's set that this node mirrors, and the `log` keys that sign its heads."""

    peer: str
    audience: str
    key: Signer
    kind: SetKind = "offers"

    @property
    def place(self) -> tuple[str, str, str]:
        """The key of the mirror's row."""
        return self.peer, self.audience, self.kind


class SourceBook(Protocol):
    """Knows the sets to mirror now."""

    async def sources(self) -> Sequence[Source]:
        """Return them all."""
        ...


class Contents(Protocol):
    """What this node makes of one small kind of set, beyond mirroring it."""

    def check_size(self, bucket: int) -> None:
        """Return if a set whose head says `size_bucket` may be asked for. Raises: MeshError."""
        ...

    def check(self, source: Source, bodies: Sequence[bytes]) -> None:
        """Return if these bodies may be the whole set. Raises: MeshError: the set is refused and changes nothing."""
        ...

    async def take(self, tx: Writer, source: Source, bodies: Sequence[bytes]) -> None:
        """Take over what a checked set says, in the transaction that stores it."""
        ...


class Pages(Protocol):
    """Looks at the pages of one set, in their order, each in a thread."""

    def take(self, bodies: Sequence[bytes]) -> None:
        """Return if the bodies of the next page may be part of the set. Raises: MeshError: the set is refused."""
        ...


class Paged(Protocol):
    """What must hold for a kind of set that is too large to be looked at whole."""

    def check_size(self, bucket: int) -> None:
        """Return if a set whose head says `size_bucket` may be asked for. Raises: MeshError."""
        ...

    async def begin(self, source: Source) -> Pages:
        """Return what looks at the pages of a set in place of the one held now."""
        ...


class Beside(Protocol):
    """Takes what stands beside a head: log proof and attestations."""

    async def took(self, source: Source, head: SetHead, jws: str, answer: HeadAnswer) -> bool:
        """Keep it, once all bodies of the head are stored; tell whether it is all there. Raises: MeshError."""
        ...


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """An answer worth reading: 200 with a body, or 304 without."""

    status: int
    body: bytes = b""
    etag: str = ""


class Fetch(Protocol):
    """Bounded GET at a peer."""

    async def __call__(self, peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:
        """Return the answer.

        Args:
            etag: the one of the answer held, or empty.
            limit: largest body in bytes.
            signed: whether the answer must be signed; pages prove themselves by their roots.
        Raises: MeshError: of the kind that the peer's problem or the failed exchange stands for.
        """
        ...


class Post(Protocol):
    """Signed POST at a peer whose answer is of no interest."""

    async def __call__(self, peer: str, path: str, body: bytes) -> None:
        """Return once the peer took it. Raises: MeshError."""
        ...


def head_path(audience: str, kind: SetKind) -> str:
    """Return the path of a set's newest head."""
    return f"{BASE}/sets/{audience}/{kind}/head"


def page_path(audience: str, kind: SetKind, seq: int, page: int) -> str:
    """Return the path of one page of the snapshot that head `seq` signs."""
    return f"{BASE}/sets/{audience}/{kind}/snapshots/{seq}/{page}"


async def tell(peers: Iterable[str], say: Callable[[str], Awaitable[None]]) -> tuple[str, ...]:
    """Say something to each of `peers`, many at once; return those that could not be told, in their order."""
    turns = asyncio.Semaphore(TOLD_AT_ONCE)

    async def told(peer: str) -> bool:
        async with turns:
            try:
                async with asyncio.timeout(TOLD_WITHIN_S):
                    await say(peer)
            except (MeshError, TimeoutError):
                return False
            return True

    asked = tuple(peers)
    done = await asyncio.gather(*(told(peer) for peer in asked))
    return tuple(peer for peer, heard in zip(asked, done, strict=True) if not heard)
