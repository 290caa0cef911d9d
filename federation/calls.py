"""What one node asks another over HTTP, as the rest of the code sees it; `client.py` is the real thing."""

from typing import Protocol

import msgspec

from .directory import Peer


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node is reached that need not be a peer yet; `connect_to` is a loopback address in development."""

    api: str
    connect_to: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a peer, whole and within bounds; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type without parameters; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class PublicCalls(Protocol):
    """Asks what anybody may ask: neither side signs, what comes back proves itself. Raises as `Calls`."""

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:
        """Return a public resource."""
        ...

    async def submit(self, contact: Contact, target: str, body: bytes, *, limit: int | None = None) -> Answer:
        """Return the answer to a POST of text, whatever its status is."""
        ...


class Calls(Protocol):
    """Asks peers. Every method raises a MeshError of the kind that says what to do (`answers.py`)."""

    async def get(
        self, peer: Peer, target: str, *, limit: int | None = None, etag: str | None = None, signed: bool = True
    ) -> Answer:
        """Return the answer to a signed GET; with `etag` also 304. `signed=False`: the answer is immutable data."""
        ...

    async def post(
        self,
        peer: Peer,
        target: str,
        body: bytes,
        content_type: str,
        *,
        limit: int | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """Return the answer to a signed POST; `accept` names refusals that are answers to the caller, such as 409."""
        ...

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:
        """Return a public document of a node; neither side signs the exchange."""
        ...
