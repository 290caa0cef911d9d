"""What a mentee's and a mentor's device do, step by step and without a client around it."""

import msgspec

from node.services.answering import Answering
from node.services.consumer import Ask, QuoteResult
from node.services.mentor_side import Agree, RequestEntry
from protocol.addresses import audience_id
from protocol.bodies import AcceptedBody, Choice, OfferedBody, Quote, RefusedBody, Request, Target
from protocol.contexts import ThreadContext
from protocol.devices import sealing_key_hash
from protocol.e2ee.agreed import AgreedPrivate, AgreedProof, DeviceProof, SentBrief, seal_agreed
from protocol.e2ee.brief import Brief, BriefWords, OpenedBrief, open_brief, seal_brief
from protocol.e2ee.consent import Consent, consent_hash, sign_consent
from protocol.e2ee.keys import ReplyKey, certify, state_key
from protocol.e2ee.sealing import open_quote, seal_choice, seal_request
from protocol.encoding import decode, unb64
from protocol.ids import random_id
from protocol.messages import Message, open_message, parse_item
from protocol.needs import Need
from protocol.offers import Offer
from protocol.sealing import SealingPublicKey

from .world import TOPIC, Site, Somebody

NEED = Need(topics=(TOPIC,), kind="been-through", languages=("en",), format="call", length=30)


class Mentee:
    """One request of a person, from the quote to the agreement."""

    def __init__(self, person: Somebody, provider: Site, offer: Offer, need: Need = NEED) -> None:
        take = person.node.entropy.take
        self.person = person
        self.provider = provider
        self.need = need
        self.offer = offer
        self.audience = audience_id(person.node.entity, provider.entity)
        self.context = ThreadContext(thread=random_id(take(16)), consumer=person.node.entity, provider=provider.entity)
        self.reply_key = ReplyKey(take(32))
        self.answer_key = ReplyKey(take(32))
        self.sent: SentBrief | None = None

    @property
    def thread(self) -> str:
        """The thread's id."""
        return self.context.thread

    def ask(self) -> Ask:
        """Return the sealed request."""
        request = Request(
            target=Target(type="offer", id=self.offer.offer_id), need=self.need, reply_key=self.reply_key.public.text
        )
        sealed = seal_request(request, self.provider.keys.envelope_seal.public, self.context)
        return Ask(peer=self.provider.entity, thread=self.thread, request=sealed)

    async def quote(self) -> Quote:
        """Ask for a quote and open it."""
        (result,) = await self.person.node.exchanging.consumer.ask(self.person.label, [self.ask()])
        return self.open(result)

    def open(self, result: QuoteResult) -> Quote:
        """Return the quote of an answer."""
        body = self.read(result.item).as_(OfferedBody)
        return open_quote(body.quote, self.reply_key, self.context)

    def read(self, item: bytes) -> Message:
        """Return a provider's message, verified."""
        key = self.provider.keys.envelope_sign.public
        return open_message(parse_item(item), key, audience=self.person.node.entity)

    async def refusal(self) -> str:
        """Ask for a quote and return why there is none."""
        (result,) = await self.person.node.exchanging.consumer.ask(self.person.label, [self.ask()])
        return self.read(result.item).as_(RefusedBody).reason if result.item else result.reason

    def accepted(self, quote: Quote, *, slots: tuple[int, ...] | None = None, which: int = 0) -> AcceptedBody:
        """Return the acceptance of one candidate, with a real brief."""
        take = self.person.node.entropy.take
        candidate = quote.candidates[which]
        chosen = candidate.slots[:2] if slots is None else slots
        choice = Choice(ref=candidate.ref, slots=chosen, format=self.need.format, length=self.need.length)
        keys = tuple(SealingPublicKey.parse(key) for key in candidate.keys)
        words = BriefWords(
            thread=self.thread,
            ref=candidate.ref,
            audience=self.audience,
            consumer=self.context.consumer,
            provider=self.context.provider,
            prompts=("I present to the directors on Thursday", "I read our old slides", "a first sentence"),
            chosen_because="been-through-it",
            chosen_from=len(quote.candidates),
            slots=chosen,
            identity_key=self.person.account.identity(self.audience).public.text,
            certificate=certify(
                self.person.account, self.person.device, audience=self.audience, now=self.person.node.clock.now()
            ),
        )
        brief = seal_brief(
            Brief(words=words, reply_key=self.answer_key.public),
            self.person.device.key(self.audience),
            keys,
            entropy=take(32),
        )
        self.sent = SentBrief(
            context=self.context,
            ref=candidate.ref,
            audience=self.audience,
            accepted="",
            sealed_to=tuple(sealing_key_hash(key) for key in keys),
        )
        sealed = seal_choice(choice, self.provider.keys.envelope_seal.public, self.context)
        return AcceptedBody(choice=sealed, brief=brief)

    async def accept(self, quote: Quote, *, slots: tuple[int, ...] | None = None, which: int = 0) -> None:
        """Send the acceptance."""
        body = self.accepted(quote, slots=slots, which=which)
        message = await self.person.node.exchanging.consumer.accept(self.person.label, self.thread, body)
        assert self.sent is not None
        self.sent = msgspec.structs.replace(self.sent, accepted=message.hash)


async def waiting_request(mentor: Somebody) -> RequestEntry:
    """Return the newest request in a mentor's mailbox."""
    entries = [entry for entry in await mentor.entries() if entry.kind == "request"]
    return decode(entries[-1].data, RequestEntry)


async def read_brief(
    mentor: Somebody, consumer: Site, entry: RequestEntry | None = None
) -> tuple[Message, OpenedBrief]:
    """Open a request, or else the newest one, as the mentor's device does."""
    entry = entry or await waiting_request(mentor)
    key = consumer.keys.envelope_sign.public
    message = open_message(parse_item(unb64(entry.item)), key, audience=mentor.node.entity)
    context = ThreadContext(thread=message.head.thread, consumer=consumer.entity, provider=mentor.node.entity)
    audience = audience_id(consumer.entity, mentor.node.entity)
    opened = open_brief(
        message.as_(AcceptedBody).brief,
        mentor.sealing,
        context=context,
        ref=entry.choice.ref,
        audience=audience,
        now=mentor.node.clock.now(),
    )
    return message, opened


async def agree(mentor: Somebody, consumer: Site, *, slot: int | None, entry: RequestEntry | None = None) -> None:
    """Say yes to a request, or else to the newest one, with everything a mentor's device sends."""
    message, opened = await read_brief(mentor, consumer, entry)
    words = opened.brief.words
    device = mentor.device.key(words.audience)
    consent = sign_consent(Consent(thread=words.thread, ref=words.ref, slot=slot, accepted=message.hash), device)
    now = mentor.node.clock.now()
    proof = AgreedProof(
        consent=consent,
        identity=mentor.account.state_identity(words.audience),
        master_key=mentor.account.master().public.text,
        devices=(
            DeviceProof(
                certificate=certify(mentor.account, mentor.device, audience=words.audience, now=now),
                sealing_key=state_key(mentor.sealing, device, now=now).statement,
            ),
        ),
    )
    private = seal_agreed(
        AgreedPrivate(proof=proof, welcome=b"welcome"),
        opened.brief.reply_key,
        words.context,
        ref=words.ref,
        audience=words.audience,
    )
    answering: Answering = mentor.node.exchanging.answering
    answer = Agree(slot=slot, consent=consent_hash(consent), private=private)
    await answering.answer(mentor.label, words.thread, answer)
