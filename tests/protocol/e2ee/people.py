"""Two made-up people with devices, and the documents that pass between them; the same in every run."""

from protocol.bodies import Agreement, SealedBrief
from protocol.contexts import ThreadContext
from protocol.devices import sealing_key_hash
from protocol.e2ee.agreed import AgreedPrivate, AgreedProof, DeviceProof, SentBrief
from protocol.e2ee.brief import Brief, BriefWords, seal_brief
from protocol.e2ee.consent import Consent, consent_hash, sign_consent
from protocol.e2ee.keys import (
    AccountSecret,
    DeviceKey,
    DeviceSecret,
    PersonSealingKey,
    ReplyKey,
    certify,
    state_key,
)
from protocol.encoding import b64, sha256

NOW = 1_767_000_000
AUDIENCE = b64(sha256(b"audience of the tests"))
OTHER_AUDIENCE = b64(sha256(b"another audience"))
THREAD = b64(sha256(b"thread")[:16])
REF = b64(sha256(b"ref")[:16])
OTHER_ID = b64(sha256(b"another id")[:16])
ACCEPTED = b64(sha256(b"the ACCEPTED message"))
OTHER_HASH = b64(sha256(b"another message"))
CONTEXT = ThreadContext(thread=THREAD, consumer="https://aurora.example", provider="https://cobalt.example")
SLOT = NOW + 86_400
PROMPTS = (
    "How do I tell a customer that we ship late?\nI do it for the first time.",
    "I wrote a draft and deleted it twice.",
    "Three sentences that I can say.",
)


def seed(name: str) -> bytes:
    """Return 32 bytes that belong to `name`."""
    return sha256(b"seed of ", name.encode())


class Person:
    """Somebody with one account and any number of devices, all from `name`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.account = AccountSecret(seed(f"{name} account"))

    def device(self, number: int = 1) -> DeviceSecret:
        return DeviceSecret(seed(f"{self.name} device {number}"))

    def key(self, number: int = 1, audience: str = AUDIENCE) -> DeviceKey:
        return self.device(number).key(audience)

    def certificate(self, number: int = 1, audience: str = AUDIENCE, now: int = NOW) -> str:
        return certify(self.account, self.device(number), audience=audience, now=now)

    def sealing(self, number: int = 1) -> PersonSealingKey:
        return PersonSealingKey(seed(f"{self.name} sealing {number}"))

    def proof(self, number: int = 1) -> DeviceProof:
        stated = state_key(self.sealing(number), self.key(number), now=NOW)
        return DeviceProof(certificate=self.certificate(number), sealing_key=stated.statement)


MENTEE = Person("Ada of Aurora Freight")
MENTOR = Person("Cem of Cobalt Works")
STRANGER = Person("Stranger")
REPLY = ReplyKey(seed("reply key"))


def brief_words(**changed: object) -> BriefWords:
    """Return the words of an ordinary brief, with some fields changed."""
    fields: dict[str, object] = {
        "thread": THREAD,
        "ref": REF,
        "audience": AUDIENCE,
        "consumer": CONTEXT.consumer,
        "provider": CONTEXT.provider,
        "prompts": PROMPTS,
        "about": ("sector-h", "band-any"),
        "chosen_because": "been-through-it",
        "chosen_from": 4,
        "slots": (SLOT, SLOT + 1_800),
        "identity_key": MENTEE.account.identity(AUDIENCE).public.text,
        "certificate": MENTEE.certificate(),
    }
    return BriefWords(**{**fields, **changed})  # type: ignore[arg-type] # a table of fields for the tests


def ordinary_brief(**changed: object) -> Brief:
    """Return an ordinary brief with two key packages."""
    return Brief(words=brief_words(**changed), reply_key=REPLY.public, key_packages=(b"first", b"second package"))


def sealed_brief(*devices: int, brief: Brief | None = None, signer: DeviceKey | None = None) -> SealedBrief:
    """Return a brief that the mentee sealed to these devices of the mentor."""
    keys = tuple(MENTOR.sealing(number).public for number in devices or (1,))
    return seal_brief(brief or ordinary_brief(), signer or MENTEE.key(), keys, entropy=seed("content key"))


def consent_text(device: object = None, **changed: object) -> str:
    """Return the mentor's signed consent, with some fields changed."""
    fields: dict[str, object] = {"thread": THREAD, "ref": REF, "slot": SLOT, "accepted": ACCEPTED}
    return sign_consent(Consent(**{**fields, **changed}), device or MENTOR.key())  # type: ignore[arg-type] # as above


def proof(*devices: int, consent: str | None = None) -> AgreedProof:
    """Return the mentor's proof with these devices."""
    return AgreedProof(
        consent=consent or consent_text(),
        identity=MENTOR.account.state_identity(AUDIENCE),
        master_key=MENTOR.account.master().public.text,
        devices=tuple(MENTOR.proof(number) for number in devices or (1,)),
    )


def private(*devices: int) -> AgreedPrivate:
    """Return the mentor's private part."""
    return AgreedPrivate(proof=proof(*devices), welcome=b"welcome to the group")


def agreement(**changed: object) -> Agreement:
    """Return the agreement that belongs to `consent_text()`, with some fields changed."""
    fields: dict[str, object] = {
        "thread": THREAD,
        "consumer": CONTEXT.consumer,
        "provider": CONTEXT.provider,
        "accepted": ACCEPTED,
        "slot": SLOT,
        "format": "call",
        "length": 30,
        "consent": consent_hash(consent_text()),
        "agreed_at": NOW,
    }
    return Agreement(**{**fields, **changed})  # type: ignore[arg-type] # as above


def sent(*devices: int) -> SentBrief:
    """Return what the mentee's device remembers of a brief sealed to these devices."""
    return SentBrief(
        context=CONTEXT,
        ref=REF,
        audience=AUDIENCE,
        accepted=ACCEPTED,
        sealed_to=tuple(sealing_key_hash(MENTOR.sealing(number).public) for number in devices or (1,)),
    )
