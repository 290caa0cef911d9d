"""Examines the way to another node step by step: reached, document, clock, signatures in both directions."""

from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from protocol.encoding import decode_loose
from protocol.errors import MalformedError, MeshError, MissingError
from protocol.fingerprints import fingerprint_words
from protocol.ids import parse_entity
from protocol.peers import DOCUMENT_PATH, MAX_DOCUMENT_BYTES, PROTOCOLS, NodeDocument, common_protocol, open_document
from protocol.rotation import follow
from protocol.signing import VerifyKey

from .calls import Answer, Calls, Contact
from .directory import Peer, PeerDirectory
from .discovery import contact_of
from .ports import Clock
from .proving import document_text

HELLO_PATH: Final = "/federation/v1/hello"
#: Half of the skew that the signatures allow.
CLOCK_WARNING_S: Final = 30


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says to a peer that asks whether signatures work: `{"entity":…,"now":…,"peer":…}`."""

    entity: str
    peer: str
    now: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One step: what was examined, whether it is well, what was found, and what to do when it is not.

    `ahead_s` says of a clock how far it is before ours, negative when it is behind.
    """

    check: str
    ok: bool
    detail: str
    fix: str = ""
    ahead_s: int | None = None


class Checkup:
    """Examines one node from here."""

    def __init__(self, calls: Calls, clock: Clock, directory: PeerDirectory, *, own_entity: str) -> None:
        self._calls: Final = calls
        self._clock: Final = clock
        self._directory: Final = directory
        self._own_entity: Final = own_entity

    async def examine(self, address: str) -> tuple[Finding, ...]:
        """Return the findings about a peer, or about any node's address; the first failure ends the list.

        Raises: MalformedError: `address` is no entity identifier or API base.
        """
        try:
            peer = self._directory.get(address)
        except MissingError:
            return await self._examine_stranger(Contact(api=address))
        findings, document = await self._look(contact_of(peer))
        if document is None:
            return findings
        findings += (self._pin(peer, document[1]),)
        if findings[-1].ok:
            findings += (await self._round_trip(peer),)
        return findings

    async def _examine_stranger(self, contact: Contact) -> tuple[Finding, ...]:
        if not contact.api.startswith("https://"):
            raise MalformedError("give an entity identifier or address such as https://node.company.example")
        findings, document = await self._look(contact)
        if document is None:
            return findings
        detail = "this node is not a peer, so it answers nothing but its document"
        return (*findings, Finding(check="peer", ok=True, detail=detail))

    async def _look(self, contact: Contact) -> tuple[tuple[Finding, ...], tuple[NodeDocument, str] | None]:
        """Return the findings about reaching a node, its document and clock; None for a document that is not good."""
        try:
            answer = await self._calls.fetch(contact, DOCUMENT_PATH, limit=MAX_DOCUMENT_BYTES)
        except MeshError as error:
            return (_bad("reachable", error, "check DNS, firewall, TLS certificate and that the node runs"),), None
        reached = Finding(check="reachable", ok=True, detail=f"{contact.api} answers")
        try:
            text = document_text(answer)
            document = open_document(text)
        except MeshError as error:
            return (
                reached,
                _bad("document", error, "the other side updates its program, or another host answers"),
            ), None
        return (reached, _about(document), self._clock_of(answer)), (document, text)

    def _clock_of(self, answer: Answer) -> Finding:
        try:
            there = int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp())
        except ValueError:
            return Finding(check="clock", ok=False, detail="the answer has no date", fix="let the proxy pass Date on")
        offset = there - self._clock.now()
        return Finding(
            check="clock",
            ok=abs(offset) <= CLOCK_WARNING_S,
            detail=f"the other clock is {abs(offset)} s {'ahead' if offset > 0 else 'behind'}",
            fix="" if abs(offset) <= CLOCK_WARNING_S else "let both machines follow network time (NTP)",
            ahead_s=offset,
        )

    def _pin(self, peer: Peer, text: str) -> Finding:
        try:
            follow(peer.pinned, text)
        except MeshError as error:
            return _bad("pinned key", error, "call the other administrator before you do anything else")
        return Finding(check="pinned key", ok=True, detail="the federation key is the one known here")

    async def _round_trip(self, peer: Peer) -> Finding:
        try:
            answer = await self._calls.get(peer, HELLO_PATH)
            hello = decode_loose(answer.body, Hello, what="answer")
        except MeshError as error:
            return _bad("signatures", error, "ask the other side for `mentormesh peer show` of this node")
        if (hello.entity, hello.peer) != (peer.entity, self._own_entity):
            return Finding(check="signatures", ok=False, detail="it takes us for somebody else", fix="peer again")
        return Finding(check="signatures", ok=True, detail="a signed request was answered with a signature")


def _about(document: NodeDocument) -> Finding:
    protocol = common_protocol(PROTOCOLS, document.protocols)
    words = fingerprint_words(VerifyKey.parse(document.keys.federation))
    return Finding(
        check="document",
        ok=protocol is not None,
        detail=f"{parse_entity(document.entity)}, {protocol or 'no common protocol'}, words: {words}",
        fix="" if protocol else "update the older of the two nodes",
    )


def _bad(check: str, error: MeshError, fix: str) -> Finding:
    return Finding(check=check, ok=False, detail=str(error), fix=fix)
