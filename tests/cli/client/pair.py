"""Two people and their two nodes without any network: what the nodes would sign is signed here, honestly or not."""

from typing import Final, cast

from msgspec.structs import replace

from cli.client.agreeing import Yes, say_yes, take_agreed, take_verified
from cli.client.ask_records import AskRecord, OfferedRecord, TargetRecord
from cli.client.asking import prepare_request, take_offer
from cli.client.brief import sealed_brief
from cli.client.core import Core
from cli.client.http import Http
from cli.client.mentoring import take_request
from cli.client.pins import document_of, first_pin, open_item
from cli.client.records import Account, Pin, ProvenRecord, SealingRecord, ThreadRecord
from cli.client.session import take_envelope
from cli.client.state import ClientState
from cli.client.vault import ClientVault
from cli.client.views import Event
from node.services.mentor_side import RequestEntry
from protocol import contexts
from protocol.addresses import audience_id
from protocol.agreement import countersign, propose
from protocol.bodies import (
    AcceptedBody,
    AgreedBody,
    Agreement,
    Candidate,
    Choice,
    OfferedBody,
    Quote,
    Request,
    VerifiedBody,
)
from protocol.devices import sealing_key_hash
from protocol.e2ee.keys import PersonSealingKey
from protocol.encoding import b64, decode, encode, sha256, unb64
from protocol.envelope import Envelope, EnvelopeHeader
from protocol.handshake import Verb
from protocol.ids import message_id
from protocol.keyentries import make_vouch
from protocol.messages import Body, MessageHead, body_hash, sign_message
from protocol.needs import Need
from protocol.offers import OrgProfile
from protocol.peers import NodeDocument, NodeKeys, log_vkey, sign_document
from protocol.sealing import NodeSealingKey, SealingPublicKey
from protocol.signing import SigningKey

NOW: Final = 1_799_049_600
SLOTS: Final = (NOW + 86_400, NOW + 90_000)
PROMPTS: Final = ("How?", "Tried.", "Worth.")
REF: Final = b64(sha256(b"ref")[:16])
ASK: Final = b64(sha256(b"ask")[:16])
NEED: Final = Need(topics=("mm:first-board-presentation",), kind="do", languages=("en",), format="call", length=30)


def seed(name: str) -> bytes:
    return sha256(b"seed of ", name.encode())


class Org:
    """A node reduced to its keys and its signed document."""

    def __init__(self, name: str) -> None:
        self.entity: Final = f"https://{name}.example"
        self.sign = SigningKey(seed(f"{name} envelope_sign"))
        self.seal: Final = NodeSealingKey(seed(f"{name} seal"))
        federation = SigningKey(seed(f"{name} federation"))
        log = SigningKey(seed(f"{name} log")).public
        roles = ("http", "attest", "witness", "recovery")
        public = {role: SigningKey(seed(f"{name} {role}")).public.text for role in roles}
        keys = NodeKeys(
            federation=federation.public.text,
            log=log.text,
            envelope_sign=self.sign.public.text,
            envelope_seal=self.seal.public.text,
            **public,
        )
        document = NodeDocument(
            version=1,
            entity=self.entity,
            api=self.entity,
            protocols=("mentormesh/1",),
            keys=keys,
            log_origin=f"{name}.example/log",
            log_vkey=log_vkey(f"{name}.example/log", log.raw),
            org=OrgProfile(
                display_name=name.title(), kind="company", sector="H", size_band="50-250", countries=("DE",)
            ),
            issued_at=NOW,
            seq=1,
        )
        self.text: Final = sign_document(document, federation)

    def pin(self, *, own: bool) -> Pin:
        return first_pin(self.entity, self.text, own=own)

    def say(self, to: "Org", thread: str, side: str, verb: Verb, body: Body) -> bytes:
        """Return the signed item of one message."""
        head = MessageHead(
            mid=message_id(NOW * 1000, seed(f"{verb} {side}")[:10]),
            aud=to.entity,
            thread=thread,
            side="consumer" if side == "consumer" else "provider",
            seq=1,
            deadline=NOW + 900,
            type=verb,
            body_hash=body_hash(body),
        )
        return sign_message(head, body, self.sign).item


class Pair:
    """A mentee of Aurora and a mentor of Cobalt; each step returns what it did and keeps the new states."""

    def __init__(self) -> None:
        self.now = NOW
        self.core: Final = Core(cast("ClientVault", None), Http(), lambda: self.now)
        self.aurora, self.cobalt = Org("aurora"), Org("cobalt")
        self.audience: Final = audience_id(self.aurora.entity, self.cobalt.entity)
        self.sealing: Final = PersonSealingKey(seed("sealing"))
        self.mentee = self._state("mentee", self.aurora, self.cobalt)
        self.mentor = self._state("mentor", self.cobalt, self.aurora)
        name = sealing_key_hash(self.sealing.public)
        record = SealingRecord(hash=name, seed=self.sealing.seed, audience=self.audience, expires_at=NOW + 86_400)
        self.mentor = replace(self.mentor, sealing=(record,))
        self.mentee, self.mentor = self.knows(self.mentee, self.mentor), self.knows(self.mentor, self.mentee)
        ask = AskRecord(
            id=ASK,
            need=NEED,
            created_at=NOW,
            companies=1,
            asked=0,
            targets=(TargetRecord(entity=self.cobalt.entity, offer_id=REF),),
            prompts=PROMPTS,
            goes_on=True,
        )
        self.mentee = self.mentee.with_ask(ask)
        self.thread = ""
        self.accepted = ""
        self.number = 0

    def knows(self, state: ClientState, other: ClientState) -> ClientState:
        """Return `state` after the directory proved the other person's only device."""
        vouch = make_vouch(other.account_secret.open_vouch(self.audience, other.signed_in.told_name))
        record = ProvenRecord(
            vouched_name=vouch.name,
            vouched_identity=vouch.identity,
            origin=other.signed_in.entity,
            audience=self.audience,
            identity_key=other.account_secret.identity(self.audience).public.text,
            until=NOW + 86_400,
            label=other.account_secret.label(self.audience),
            devices=(other.device_secret.key(self.audience).public.text,),
            witnessed=True,
        )
        return replace(state, proven={f"{record.origin} {record.audience} {record.identity_key}": record})

    def _state(self, name: str, own: Org, other: Org) -> ClientState:
        account = Account(url=own.entity, entity=own.entity, token="token", member="member", name=name.title())
        pins = {own.entity: own.pin(own=True), other.entity: other.pin(own=False)}
        return ClientState(
            account_seed=seed(f"{name} account"), device_seed=seed(f"{name} device"), account=account, pins=pins
        )

    # Steps of an honest exchange; each takes changes that make it dishonest

    def ask(self) -> Request:
        """Return the request that Cobalt's node opens."""
        record, ask = prepare_request(self.mentee, self.mentee.asks[ASK], self.mentee.asks[ASK].targets[0], now=NOW)
        self.mentee, self.thread = self.mentee.with_thread(record), record.thread
        sealed = unb64(ask.request)
        return decode(self.cobalt.seal.open(sealed, contexts.request(record.context, self.cobalt.seal.public)), Request)

    def quote(self, request: Request, *, keys: tuple[str, ...] = (), thread: str = "") -> bytes:
        """Return Cobalt's OFFERED."""
        candidate = Candidate(
            ref=REF,
            fit="exact",
            reasons=("does-it",),
            gap="",
            kind="do",
            band="any",
            slots=SLOTS,
            keys=keys or (self.sealing.public.text,),
        )
        org = document_of(self.mentee, self.cobalt.entity).org
        quote = Quote(org=org, candidates=(candidate,), valid_until=NOW + 900)
        key = SealingPublicKey.parse(request.reply_key)
        context = self.mentee.threads[self.thread].context
        body = OfferedBody(quote=b64(key.seal(encode(quote), contexts.quote(context, key))))
        return self.cobalt.say(self.aurora, thread or self.thread, "provider", "offer", body)

    def offered(self, item: bytes) -> OfferedRecord:
        opened = open_item(self.mentee, item, audience=self.aurora.entity)
        self.mentee = take_offer(self.mentee, self.mentee.threads[self.thread], opened, now=NOW)
        return self.mentee.asks[ASK].offered[0]

    def accept(self, offered: OfferedRecord) -> tuple[bytes, AcceptedBody, Choice]:
        """Return Aurora's ACCEPTED as Cobalt receives it."""
        record, choice, brief = sealed_brief(self.mentee, self.mentee.asks[ASK], offered, SLOTS, now=NOW)
        body = AcceptedBody(choice=choice, brief=brief)
        item = self.aurora.say(self.cobalt, self.thread, "consumer", "accept", body)
        self.accepted = open_item(self.mentee, item, audience=self.cobalt.entity).message.hash
        record = replace(record, state="ACCEPTED", accepted=self.accepted)
        ask = replace(self.mentee.asks[ASK], active=self.thread)
        self.mentee = self.mentee.with_thread(record).with_ask(ask)
        opened = self.cobalt.seal.open(unb64(choice), contexts.choice(record.context, self.cobalt.seal.public))
        return item, body, decode(opened, Choice)

    def entry(self, item: bytes, choice: Choice, *, held: tuple[int, ...] = SLOTS) -> bytes:
        """Return what Cobalt's node puts into the mentor's mailbox."""
        topic = NEED.topics[0]
        return encode(RequestEntry(item=b64(item), choice=choice, held=held, deadline=NOW + 3600, topic=topic))

    def arrive(self, entry: bytes) -> list[Event]:
        self.mentor, events = take_request(self.core, self.mentor, self.thread, entry)
        return events

    def yes(self, slot: int = SLOTS[0]) -> Yes:
        self.mentor, yes = say_yes(self.core, self.mentor, self.mentor.threads[self.thread], slot)
        return yes

    def agreement(self, consent: str | None, **changed: object) -> Agreement:
        fields: dict[str, object] = {
            "thread": self.thread,
            "consumer": self.aurora.entity,
            "provider": self.cobalt.entity,
            "accepted": self.accepted,
            "slot": SLOTS[0],
            "format": "call",
            "length": 30,
            "attested": "device" if consent else "node",
            "consent": consent,
            "agreed_at": NOW,
        }
        return Agreement(**{**fields, **changed})  # type: ignore[arg-type] # a table of fields for the tests

    def agree(self, agreement: Agreement, private: str | None) -> list[Event]:
        """Let the mentee's device take Cobalt's AGREED."""
        body = AgreedBody(agreement=propose(agreement, self.cobalt.sign), private=private)
        item = self.cobalt.say(self.aurora, self.thread, "provider", "agree", body)
        opened = open_item(self.mentee, item, audience=self.aurora.entity)
        self.mentee, events = take_agreed(self.core, self.mentee, self.mentee.threads[self.thread], opened)
        return events

    def verify(self, agreement: Agreement) -> list[Event]:
        """Let the mentor's device take Aurora's VERIFIED."""
        document = countersign(propose(agreement, self.cobalt.sign), self.aurora.sign)
        item = self.aurora.say(self.cobalt, self.thread, "consumer", "verify", VerifiedBody(agreement=document))
        opened = open_item(self.mentor, item, audience=self.cobalt.entity)
        self.mentor, events = take_verified(self.core, self.mentor, self.mentor.threads[self.thread], opened)
        return events

    def until_arrived(self) -> None:
        item, _, choice = self.accept(self.offered(self.quote(self.ask())))
        self.arrive(self.entry(item, choice))

    def until_open(self) -> None:
        """Go all the way to an open session; names wait to be sent."""
        self.until_arrived()
        yes = self.yes()
        self.agree(self.agreement(yes.hash), yes.private)
        self.verify(self.agreement(yes.hash))

    # Envelopes

    def outgoing(self, *, by_mentor: bool) -> list[Envelope]:
        """Return what waits on one device, as the hub hands it out, and take it as sent."""
        state = self.mentor if by_mentor else self.mentee
        session = state.sessions[self.thread]
        envelopes = []
        for one in session.outbox:
            self.number += 1
            header = EnvelopeHeader(
                mid=one.id,
                id=one.id,
                thread=self.thread,
                side="provider" if by_mentor else "consumer",
                kind=one.kind,
                epoch=one.epoch,
                seq=self.number,
                number=self.number,
            )
            envelopes.append(Envelope(header=header, ciphertext=one.ciphertext))
        self.keep(state.with_session(replace(session, outbox=())), by_mentor=by_mentor)
        return envelopes

    def hear(self, envelope: Envelope, *, by_mentor: bool) -> list[Event]:
        state = self.mentor if by_mentor else self.mentee
        after, events = take_envelope(self.core, state, state.threads[self.thread], envelope)
        self.keep(after, by_mentor=by_mentor)
        return events

    def keep(self, state: ClientState, *, by_mentor: bool) -> None:
        if by_mentor:
            self.mentor = state
        else:
            self.mentee = state

    def record(self, *, by_mentor: bool = False) -> ThreadRecord:
        return (self.mentor if by_mentor else self.mentee).threads[self.thread]
