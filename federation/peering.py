"""Lets peers in and out: tickets, their redemption, modes.

One side invites (`invite`), the other accepts (`accept`), and its node redeems the code at the first node (`redeem`),
which looks at the newcomer's document at the newcomer's own address before it lets it in. So both directions have
worked once when the peering exists, and each side has pinned the other's federation key.
Source: docs/protocol/20-identity.md §5.
"""

import hmac
from typing import Final, cast

from msgspec.structs import replace

from protocol.encoding import decode, encode
from protocol.errors import LimitError, MalformedError, MeshError, MissingError, RefusedError, UnverifiedError
from protocol.fingerprints import fingerprint_words, words_of
from protocol.ids import ID_BYTES, parse_entity, random_id
from protocol.peers import PROTOCOLS, NodeDocument, common_protocol, open_document
from protocol.rotation import pin
from protocol.signing import VerifyKey
from protocol.tickets import (
    PEERINGS_PATH,
    Consortium,
    Mode,
    Redeemed,
    Redemption,
    Ticket,
    code_hash,
    parse_ticket,
    render_ticket,
)

from .authenticate import NONCE_MARGIN_S, ReplayedError
from .calls import Calls, Contact
from .directory import Peer, PeerDirectory
from .identity import Own
from .introductions import met_document
from .mirror_store import forget_mirrored
from .peer_views import Accepted, Invitation, PeerInfo, Preview
from .pins import follow_known, forget_peer
from .ports import Clock, Entropy, Reader, Store, Writer, at_most, where
from .proving import same_key
from .rows import FellowRow, InviteRow, MembershipRow, NonceRow, PeerRow, RegistrationRow

JSON: Final = "application/json"
#: A ticket works this long unless the administrator says otherwise.
TICKET_S: Final = 7 * 86_400
LONGEST_TICKET_S: Final = 30 * 86_400
MAX_REASON: Final = 200
#: Open tickets at one time.
MAX_INVITES: Final = 100
MAX_REDEMPTION_BYTES: Final = 64 * 1024

_REGISTRY_TICKET: Final = "this ticket is a registry's: use `mentormesh registry join`"
_OTHER_TICKET: Final = "this ticket is no registry's: use `mentormesh peer accept`"


class TicketError(RefusedError):
    """The code is unknown, used, or expired; which of them is not said."""

    code = "ticket"


class PeeringService:
    """Peerings of one node."""

    def __init__(
        self,
        *,
        store: Store,
        calls: Calls,
        clock: Clock,
        entropy: Entropy,
        directory: PeerDirectory,
        own: Own,
        development: bool = False,
    ) -> None:
        """Take the parts; `development` permits loopback addresses in tickets."""
        self._store: Final = store
        self._calls: Final = calls
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._directory: Final = directory
        self.own: Final = own
        self._development: Final = development

    async def invite(
        self,
        *,
        entity: str | None = None,
        policy: Mode = "full",
        valid_s: int = TICKET_S,
        consortium: Consortium | None = None,
    ) -> Invitation:
        """Return a new ticket, for `entity` alone or for whoever holds it; with `consortium` as its registry.

        Raises: MalformedError: no entity identifier. RefusedError: this very node; in development, one that takes any
        free port and does not run. LimitError: too many open tickets.
        """
        if entity is not None and parse_entity(entity) == self.own.entity:
            raise RefusedError("a node does not invite itself")
        if self._development and not self.own.connect_to:
            raise RefusedError(
                "start the node first: it takes a free port, which the ticket must name", code="not-started"
            )
        now = self._clock.now()
        ticket = Ticket(
            entity=self.own.entity,
            api=self.own.document.api,
            fingerprint=self.own.federation_key.keyid,
            code=random_id(self._entropy.take(ID_BYTES)),
            policy=policy,
            expires_at=now + max(60, min(valid_s, LONGEST_TICKET_S)),
            consortium=consortium,
            connect_to=self.own.connect_to if self._development else "",
        )
        text = render_ticket(ticket)
        async with self._store.write() as tx:
            await tx.delete(InviteRow, at_most("expires_at", now))
            if await tx.count(InviteRow, where(used_by=None)) >= MAX_INVITES:
                raise LimitError("too many open tickets: wait until some have expired", retry_at=now + 3600)
            await tx.insert(
                InviteRow(
                    code_hash=code_hash(ticket.code),
                    entity=entity or "",
                    policy=policy,
                    consortium=consortium is not None,
                    created_at=now,
                    expires_at=ticket.expires_at,
                )
            )
        return Invitation(
            ticket=text,
            entity=self.own.entity,
            words=fingerprint_words(self.own.federation_key),
            expires_at=ticket.expires_at,
        )

    def preview(self, text: str) -> Preview:
        """Return what a ticket says. Raises: MalformedError; RefusedError: expired, our own, or for development."""
        ticket = self._usable(text)
        return Preview(
            entity=ticket.entity,
            api=ticket.api,
            words=words_of(ticket.fingerprint),
            policy=ticket.policy,
            expires_at=ticket.expires_at,
            consortium=ticket.consortium,
        )

    async def accept(self, text: str, *, joining: bool = False) -> Accepted:
        """Peer with the node that gave out this ticket, a registry if `joining` and no other.

        Raises: MalformedError, RefusedError: as `preview`, or the other node refuses. UnverifiedError: its key is not
        the ticket's. UnavailableError: it, or this node seen from there, cannot be reached.
        """
        ticket = self._usable(text)
        if joining != (ticket.consortium is not None):
            raise RefusedError(_OTHER_TICKET if joining else _REGISTRY_TICKET, code="other-ticket")
        contact = self._contact(ticket.entity, ticket.api, ticket.connect_to)
        pinned_text = await met_document(self._calls, contact, ticket.entity, ticket.fingerprint)
        peer = self._provisional(pinned_text, contact.connect_to)
        redemption = Redemption(
            code=ticket.code,
            document=self.own.text,
            connect_to=self.own.connect_to if self._development else "",
        )
        answer = await self._calls.post(peer, PEERINGS_PATH, encode(redemption), JSON, limit=MAX_REDEMPTION_BYTES)
        redeemed = decode(answer.body, Redeemed, what="answer to the ticket")
        document = open_document(redeemed.document, expected_key=VerifyKey.parse(peer.document.keys.federation))
        if document.entity != ticket.entity:
            raise UnverifiedError("the other node answered with another entity's document")
        same_key(document, peer.document)
        row = self._peer_row(redeemed.document, document, mode=redeemed.mode, connect_to=ticket.connect_to)
        row = await self._let_in(row, document, joining=joining)
        return Accepted(peer=self._info(row), own_words=fingerprint_words(self.own.federation_key))

    async def redeem(self, redemption: Redemption, document: NodeDocument, *, nonce: NonceRow) -> bytes:
        """Return the answer to a redemption whose request `document`'s http key signed.

        Raises: TicketError; RefusedError; UnverifiedError, UnavailableError: the newcomer's document is not served,
        or is another one, at its own address; the ticket stays good then. ReplayedError.
        """
        if redemption.connect_to and not self._development:
            raise RefusedError("this node takes no loopback addresses", code="development-only")
        async with self._store.read() as reader:
            await self._invite_for(reader, redemption.code, document)
        contact = self._contact(document.entity, document.api, redemption.connect_to)
        try:
            keyid = VerifyKey.parse(document.keys.federation).keyid
            served = await met_document(self._calls, contact, document.entity, keyid)
            same_key(open_document(served), document)
        except MeshError as error:
            raise RefusedError(
                "your node's document is not served at the address that it names, or not at the host of its entity "
                "identifier: start your node, then accept again",
                code="not-reachable",
            ) from error
        mode = await self._record(redemption, served, nonce)
        return encode(Redeemed(document=self.own.text, mode=mode))

    async def peers(self) -> tuple[PeerInfo, ...]:
        """Return all peers, by entity."""
        async with self._store.read() as reader:
            return tuple(self._info(row) for row in await reader.find(PeerRow))

    async def show(self, entity: str) -> PeerInfo:
        """Return one peer. Raises: MissingError."""
        async with self._store.read() as reader:
            return self._info(await _row(reader, entity))

    async def set_mode(self, entity: str, mode: Mode, *, reason: str, days: int | None = None) -> PeerInfo:
        """Return the peer after changing what it may do, for `days` or for good; takes effect at once.

        Raises: MissingError; MalformedError: `days` is not 1 to 366, or the reason is longer than 200 characters.
        """
        if days is not None and not 1 <= days <= 366:
            raise MalformedError("a mode holds 1 to 366 days")
        if len(reason) > MAX_REASON:
            raise MalformedError(f"the reason must not exceed {MAX_REASON} characters")
        until = None if days is None else self._clock.now() + days * 86_400
        async with self._store.write() as tx:
            row = replace(await _row(tx, entity), mode=mode, mode_reason=reason, mode_until=until)
            await tx.put(row)
        self._directory.put(row)
        return self._info(row)

    async def remove(self, entity: str) -> None:
        """Forget a peer: from now on it is a stranger, and its sets would begin anew.

        Raises: MissingError. RefusedError: a registry would bring it back, or this node states it as a member.
        """
        async with self._store.write() as tx:
            await self._check_free(tx, await _row(tx, entity))
            await tx.delete(PeerRow, where(entity=entity))
            await forget_peer(tx, entity)
            await forget_mirrored(tx, entity)
            for fellow in await tx.find(FellowRow, where(entity=entity)):
                await tx.put(replace(fellow, met=""))
        self._directory.remove(entity)

    async def _check_free(self, rows: Reader, peer: PeerRow) -> None:
        """Return unless a consortium holds this peer."""
        if await rows.get(MembershipRow, peer.entity) is not None:
            raise RefusedError("this peer is a registry: leave its consortium first", code="member")
        if self._directory.registries(peer.entity, self._clock.now()):
            raise RefusedError(
                "this peer is a member of a consortium: set its mode to `blocked`, or leave the consortium",
                code="member",
            )
        registration = await rows.get(RegistrationRow, peer.entity)
        if registration is not None and registration.status in {"active", "suspended"}:
            raise RefusedError(
                "this node states the peer as a member: remove it from the registry first", code="member"
            )

    def _usable(self, text: str) -> Ticket:
        ticket = parse_ticket(text)
        if ticket.entity == self.own.entity:
            raise RefusedError("this ticket is this node's own: hand it to the other organization")
        if ticket.expires_at <= self._clock.now():
            raise TicketError("the ticket has expired: ask for a new one")
        if ticket.connect_to and not self._development:
            raise RefusedError("this ticket is for nodes on one machine in development", code="development-only")
        return ticket

    def _contact(self, entity: str, api: str, told: str) -> Contact:
        """Return where to ask; what the configuration says goes before what the other side told."""
        return Contact(api=api, connect_to=self._directory.loopback(entity) or told)

    def _provisional(self, text: str, connect_to: str) -> Peer:
        """Return a peer that may be asked, but is not let in."""
        pinned = pin(text, VerifyKey.parse(open_document(text).keys.federation))
        http_key = VerifyKey.parse(pinned.document.keys.http)
        return Peer(pinned=pinned, http_key=http_key, connect_to=connect_to, mode="blocked", mode_until=None)

    async def _invite_for(self, reader: Reader, code: str, document: NodeDocument) -> InviteRow:
        """Return the ticket with this code if it is good for this newcomer. Raises: TicketError, RefusedError."""
        wanted, now = code_hash(code), self._clock.now()
        # Every row is compared, each in constant time: an index would answer sooner for a longer common prefix.
        matching = [row for row in await reader.find(InviteRow) if hmac.compare_digest(row.code_hash, wanted)]
        usable = [
            row
            for row in matching
            if now < row.expires_at and row.entity in {"", document.entity} and row.used_by in {None, document.entity}
        ]
        if not usable:
            raise TicketError("the ticket is unknown, used or expired: ask for a new one")
        known = await reader.get(PeerRow, document.entity)
        _check_known(known, document)
        if usable[0].used_by is not None and known is None:
            raise TicketError("the ticket is unknown, used or expired: ask for a new one")
        return usable[0]

    async def _record(self, redemption: Redemption, served: str, nonce: NonceRow) -> Mode:
        document = open_document(served)
        async with self._store.write() as tx:
            if await tx.get(NonceRow, nonce.keyid, nonce.nonce) is not None:
                raise ReplayedError("this request had its effect before: sign a new one")
            invite = await self._invite_for(tx, redemption.code, document)
            row = self._peer_row(served, document, mode=cast("Mode", invite.policy), connect_to=redemption.connect_to)
            known = await tx.get(PeerRow, document.entity)
            row = await follow_known(tx, known, row, now=row.fetched_at)
            row = _keeping(known, row, consortium=invite.consortium)
            await tx.insert(replace(nonce, expires_at=nonce.expires_at + NONCE_MARGIN_S))
            await tx.put(row, replace(invite, used_by=document.entity))
            if invite.consortium:
                await _apply(tx, document.entity, now=self._clock.now())
        self._directory.put(row)
        return cast("Mode", invite.policy)

    async def _let_in(self, row: PeerRow, document: NodeDocument, *, joining: bool) -> PeerRow:
        async with self._store.write() as tx:
            known = await tx.get(PeerRow, document.entity)
            _check_known(known, document)
            row = await follow_known(tx, known, row, now=row.fetched_at)
            row = _keeping(known, row, consortium=joining)
            await tx.put(row)
        self._directory.put(row)
        return row

    def _peer_row(self, text: str, document: NodeDocument, *, mode: Mode, connect_to: str) -> PeerRow:
        now = self._clock.now()
        return PeerRow(
            entity=document.entity,
            connect_to=connect_to,
            keyid=VerifyKey.parse(document.keys.http).keyid,
            federation_key=document.keys.federation,
            document=text.encode("ascii"),
            mode=mode,
            added_at=now,
            fetched_at=now,
        )

    def _info(self, row: PeerRow) -> PeerInfo:
        document = open_document(row.document.decode("ascii"))
        return PeerInfo(
            entity=row.entity,
            display_name=document.org.display_name,
            api=document.api,
            mode=cast("Mode", row.mode),
            mode_reason=row.mode_reason,
            mode_until=row.mode_until,
            words=fingerprint_words(VerifyKey.parse(row.federation_key)),
            protocol=common_protocol(PROTOCOLS, document.protocols),
            capabilities=document.capabilities,
            added_at=row.added_at,
            fetched_at=row.fetched_at,
            connect_to=row.connect_to,
            via=row.via,
            registries=self._directory.registries(row.entity, self._clock.now()),
        )


def _keeping(known: PeerRow | None, row: PeerRow, *, consortium: bool) -> PeerRow:
    """Return `row` with the mode of a pair that stands already, which joining a consortium does not change."""
    if known is None or known.via or not consortium:
        return row
    return replace(row, mode=known.mode, mode_reason=known.mode_reason, mode_until=known.mode_until)


async def _apply(tx: Writer, entity: str, *, now: int) -> None:
    """Note that an organization asks to be admitted, unless it is a member already."""
    row = await tx.get(RegistrationRow, entity)
    if row is None:
        await tx.insert(RegistrationRow(entity=entity, status="applied", applied_at=now))
    elif row.status == "removed":
        await tx.put(replace(row, status="applied", reason="", applied_at=now))


def _check_known(row: PeerRow | None, document: NodeDocument) -> None:
    """Return if `document` may become that of a peer that perhaps exists. Raises: RefusedError."""
    if row is None:
        return
    if row.federation_key != document.keys.federation:
        raise RefusedError("that organization is a peer already, with another federation key", code="key-conflict")
    if row.mode == "blocked":
        raise RefusedError("that organization is blocked here", code="peer-blocked")


async def _row(reader: Reader, entity: str) -> PeerRow:
    row = await reader.get(PeerRow, entity)
    if row is None:
        raise MissingError("there is no such peer: `mentormesh peer list` shows all", code="no-such-peer")
    return row
