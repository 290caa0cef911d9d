"""What publishing and mirroring of sets share: audiences, peers as sources, and the paths of the endpoints."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from protocol.heads import SetKind
from protocol.signing import VerifyKey

BASE: Final = "/federation/v1"
NUDGES_PATH: Final = f"{BASE}/nudges"
#: A head with the gossip of the largest audience.
MAX_HEAD_ANSWER: Final = 512 * 1024


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """Who may see a set: an id (`protocol.addresses.audience_id`) and the entities that belong to it."""

    id: str
    members: frozenset[str]


class AudienceBook(Protocol):
    """Knows the audiences this node publishes to now, itself a member of each."""

    async def audiences(self) -> Sequence[Audience]:
        """Return them all, by id."""
        ...


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One peer's set that this node mirrors, and the `log` key that signs its heads."""

    peer: str
    audience: str
    key: VerifyKey
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
