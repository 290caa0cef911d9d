"""Where two devices of one person meet to link the second: one small, expiring place a person, opaque to this node.

Messages alternate: the new device (a sign-in without device) writes the odd ones, a device of the account the even
ones; each is written once. Source: docs/protocol/46-own-devices.md §2.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec.structs import replace

from federation.ports import Clock, Entropy, Store, Writer, at_most
from node.rows import LinkingRow
from protocol.encoding import b64, unb64
from protocol.errors import ConflictError, MalformedError, MissingError, RefusedError
from protocol.ids import ID_BYTES, RandomId, Seconds, random_id

from .accounts import Person
from .allowance import Allowance
from .ownership import require_device

#: Long enough to walk from one device to the other.
LIFE_S: Final = 600
#: Linkings that one person begins in that time: each is one guess at a code for whoever reads their mail; and messages.
MOST_BEGUN: Final = 20
MOST_SAID: Final = 100
#: Bytes of each message: opening, reply, proof, grant.
MAX_BYTES: Final = (4096, 4096, 8192, 640 * 1024)
Ended = Literal["wrong-code", "cancelled"]


class LinkingView(msgspec.Struct, frozen=True, kw_only=True):
    """The place as either device sees it: `messages` so far as base64url, and why it ended, if it did."""

    linking: RandomId
    expires_at: Seconds
    messages: tuple[str, ...]
    ended: str = ""


class SayLinking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next message; `number` counts from 1 and keeps two devices from answering one another's."""

    number: Annotated[int, msgspec.Meta(ge=2, le=4)]
    message: Annotated[str, msgspec.Meta(max_length=4 * MAX_BYTES[3] // 3 + 4)]


class OpenLinking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first message, by a signed-in client that is no device yet."""

    message: Annotated[str, msgspec.Meta(max_length=4 * MAX_BYTES[0] // 3 + 4)]


class EndLinking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why no more messages come."""

    reason: Ended


class Linkings:
    """The meeting places of this node's people."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._begun: Final = Allowance(clock, most=MOST_BEGUN, per_s=LIFE_S)
        self._uses: Final = Allowance(clock, most=MOST_SAID, per_s=LIFE_S)

    async def open(self, person: Person, command: OpenLinking) -> LinkingView:
        """Begin; a linking that was under way ends by it.

        Raises: RefusedError: this client is a device of the account already; MalformedError.
        """
        if person.device is not None:
            raise RefusedError("this client is a device of the account already", code="linked-already")
        self._begun.use(person.member, what="linkings begun")
        row = LinkingRow(
            member=person.member,
            linking=random_id(self._entropy.take(ID_BYTES)),
            sign_in=unb64(person.sign_in),
            opening=_bounded(command.message, 1),
            expires_at=self._clock.now() + LIFE_S,
        )
        async with self._store.write() as writer:
            await writer.put(row)
        return _view(row)

    async def view(self, person: Person) -> LinkingView:
        """Return the person's linking. Raises: MissingError: none is under way."""
        async with self._store.read() as reader:
            row = await reader.get(LinkingRow, person.member)
        return _view(self._live(row))

    async def say(self, person: Person, linking: str, command: SayLinking) -> LinkingView:
        """Add the next message; the same one again changes nothing.

        Raises: MissingError: none is under way, or another one; RefusedError: it has ended, or is not this client's
            turn; ConflictError: this message was written already; MalformedError.
        """
        self._uses.use(person.member, what="messages of linkings")
        data = _bounded(command.message, command.number)
        async with self._store.write() as writer:
            row = await self._own(writer, person, linking)
            if (command.number % 2 == 1) != (row.sign_in == unb64(person.sign_in)):
                raise RefusedError("the other device writes this message", code="wrong-device")
            if command.number % 2 == 0:
                await require_device(writer, person, what="lets another one in")
            said = _messages(row)
            if len(said) >= command.number:
                if said[command.number - 1] != data:
                    raise ConflictError("another device of yours is linking this one already")
                return _view(row)
            if len(said) != command.number - 1:
                raise RefusedError("a message comes before this one", code="too-early")
            row = replace(row, **{("reply", "proof", "given")[command.number - 2]: data})
            await writer.put(row)
        return _view(row)

    async def end(self, person: Person, linking: str, reason: Ended) -> None:
        """Let no more messages in; both sides read the reason until the time is over."""
        self._uses.use(person.member, what="messages of linkings")
        async with self._store.write() as writer:
            row = await self._own(writer, person, linking)
            ended = LinkingRow(
                member=row.member,
                linking=row.linking,
                sign_in=row.sign_in,
                opening=b"",
                expires_at=row.expires_at,
                ended=reason,
            )
            await writer.put(ended)

    async def sweep(self) -> None:
        """Erase linkings whose time is over."""
        async with self._store.write() as writer:
            await writer.delete(LinkingRow, at_most("expires_at", self._clock.now()))

    async def _own(self, writer: Writer, person: Person, linking: str) -> LinkingRow:
        """Return the linking if this client may take part in it."""
        row = self._live(await writer.get(LinkingRow, person.member))
        if row.linking != linking or (person.device is None and row.sign_in != unb64(person.sign_in)):
            raise MissingError("this linking is over: another device began one since", code="linking-over")
        if row.ended:
            raise RefusedError("this linking has ended: begin anew on the new device", code="linking-over")
        return row

    def _live(self, row: LinkingRow | None) -> LinkingRow:
        if row is None or row.expires_at <= self._clock.now():
            raise MissingError("no new device waits to be linked, or it waited too long", code="linking-over")
        return row


def _bounded(text: str, number: int) -> bytes:
    data = unb64(text, what="message")
    if not 0 < len(data) <= MAX_BYTES[number - 1]:
        raise MalformedError(f"message {number} must have 1 to {MAX_BYTES[number - 1]} bytes")
    return data


def _messages(row: LinkingRow) -> tuple[bytes, ...]:
    return tuple(one for one in (row.opening, row.reply, row.proof, row.given) if one)


def _view(row: LinkingRow) -> LinkingView:
    return LinkingView(
        linking=row.linking,
        expires_at=row.expires_at,
        messages=tuple(b64(one) for one in _messages(row)),
        ended=row.ended,
    )
