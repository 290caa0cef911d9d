"""What a program remembers is enough to go from the brief to the last word, through a restart at every step."""

from typing import Literal

from msgspec.structs import replace

from cli.client.core import ENGINE
from cli.client.members import checked
from cli.client.records import FrameRecord, Outgoing, SealingRecord, SessionRecord, ThreadRecord
from cli.client.state import ClientState, dump_state, load_state
from protocol import contexts
from protocol.bodies import Agreement, SealedBrief
from protocol.devices import sealing_key_hash
from protocol.e2ee.agreed import AgreedPrivate, AgreedProof, DeviceProof, check_agreed, open_agreed, seal_agreed
from protocol.e2ee.brief import Brief, BriefWords, open_brief, seal_brief
from protocol.e2ee.consent import Consent, consent_hash, sign_consent
from protocol.e2ee.crypto import Received
from protocol.e2ee.frames import Chat, Frame, decode_frame, encode_frame
from protocol.e2ee.keys import PersonSealingKey, certify, state_key
from protocol.encoding import b64, encode, sha256
from protocol.ids import message_id
from protocol.sealing import SealingPublicKey
from tests.fakes.entropy import SeededEntropy

NOW = 1_767_000_000
AUDIENCE = b64(sha256(b"audience"))
THREAD, REF = b64(sha256(b"thread")[:16]), b64(sha256(b"ref")[:16])
ACCEPTED = b64(sha256(b"accepted"))
SLOT = NOW + 86_400


def restarted(state: ClientState) -> ClientState:
    """Return the state as the next start of the program finds it."""
    return load_state(dump_state(state))


class People:
    """A mentee and a mentor, each with one program; `entropy` is the same in every run."""

    def __init__(self) -> None:
        self.entropy = SeededEntropy(7)
        self.mentee = ClientState(account_seed=self.entropy.take(32), device_seed=self.entropy.take(32))
        sealing = PersonSealingKey(self.entropy.take(32))
        name = sealing_key_hash(sealing.public)
        record = SealingRecord(hash=name, seed=sealing.seed, audience=AUDIENCE, expires_at=NOW + 999)
        self.mentor = ClientState(
            account_seed=self.entropy.take(32), device_seed=self.entropy.take(32), sealing=(record,)
        )

    def thread(self, role: Literal["mentee", "mentor"]) -> ThreadRecord:
        return ThreadRecord(
            thread=THREAD,
            role=role,
            consumer="https://aurora.example",
            provider="https://cobalt.example",
            audience=AUDIENCE,
            state="OFFERED",
            updated_at=NOW,
            ref=REF,
        )


def test_a_session_is_held_from_what_two_programs_remember() -> None:
    people = People()
    body = _mentee_chooses(people)
    agreed, agreement = _mentor_agrees(people, body)
    _mentee_joins(people, agreed, agreement)
    first = _say(people, "Hello, I am Cem.", by_mentor=True)
    assert _hear(people, first, by_mentor=False) == "Hello, I am Cem."
    second = _say(people, "Ada here. Thank you!", by_mentor=False)
    assert _hear(people, second, by_mentor=True) == "Ada here. Thank you!"
    people.mentor = restarted(people.mentor.without_session(THREAD))
    assert people.mentor.sessions == {}


def _mentee_chooses(people: People) -> SealedBrief:
    device, account = people.mentee.device_secret, people.mentee.account_secret
    certificate = certify(account, device, audience=AUDIENCE, now=NOW)
    own, package = ENGINE.prepare(device.key(AUDIENCE), certificate, now=NOW, entropy=people.entropy.take(32))
    record = replace(people.thread("mentee"), answer_seed=people.entropy.take(32), own_secret=own.secret)
    words = BriefWords(
        thread=THREAD,
        ref=REF,
        audience=AUDIENCE,
        consumer=record.consumer,
        provider=record.provider,
        prompts=("How?", "Tried twice.", "A plan."),
        chosen_because="exact-topic",
        slots=(SLOT,),
        identity_key=account.identity(AUDIENCE).public.text,
        certificate=certificate,
    )
    brief = Brief(words=words, reply_key=record.answer_key.public, key_packages=(package,))
    key = people.mentor.sealing[0].key.public
    sealed = seal_brief(brief, device.key(AUDIENCE), (key,), entropy=people.entropy.take(32))
    record = replace(record, sealed_to=(sealing_key_hash(key),), accepted=ACCEPTED)
    people.mentee = restarted(people.mentee.with_thread(record))
    return sealed


def _mentor_agrees(people: People, sealed: SealedBrief) -> tuple[str, Agreement]:
    record = replace(people.thread("mentor"), accepted=ACCEPTED)
    (wrapped,) = sealed.wrapped
    opened = open_brief(
        sealed,
        people.mentor.sealing_key(wrapped.key),
        context=record.context,
        ref=REF,
        audience=AUDIENCE,
        now=NOW,
    )
    record = replace(
        record,
        brief=opened.brief.words,
        reply_key=opened.brief.reply_key.raw,
        key_packages=opened.brief.key_packages,
        peer_devices=(opened.device.text,),
        peer_identity=opened.brief.words.identity_key,
    )
    people.mentor = restarted(people.mentor.with_thread(record))
    return _agree(people, people.mentor.thread(THREAD))


def _agree(people: People, record: ThreadRecord) -> tuple[str, Agreement]:
    device, account = people.mentor.device_secret, people.mentor.account_secret
    consent = sign_consent(Consent(thread=THREAD, ref=REF, slot=SLOT, accepted=record.accepted), device.key(AUDIENCE))
    context = contexts.session(thread=THREAD, accepted=record.accepted, consent=consent_hash(consent))
    certificate = certify(account, device, audience=AUDIENCE, now=NOW)
    own, _ = ENGINE.prepare(device.key(AUDIENCE), certificate, now=NOW, entropy=people.entropy.take(32))
    group, welcome = ENGINE.start(
        own,
        record.key_packages,
        context=context,
        check=checked(people.mentor, record, peer=record.peer_identity, known=record.peer_devices, now=NOW),
        now=NOW,
        entropy=people.entropy.take(32),
    )
    session = SessionRecord(thread=THREAD, engine=ENGINE.name, state=ENGINE.dump(group))
    people.mentor = restarted(people.mentor.with_session(session).with_thread(replace(record, consent=consent)))
    stated = state_key(people.mentor.sealing[0].key, device.key(AUDIENCE), now=NOW)
    proof = AgreedProof(
        consent=consent,
        identity=account.state_identity(AUDIENCE),
        master_key=account.master().public.text,
        devices=(DeviceProof(certificate=certificate, sealing_key=stated.statement),),
    )
    private = AgreedPrivate(proof=proof, welcome=welcome)
    reply = SealingPublicKey(record.reply_key)
    agreement = Agreement(
        thread=THREAD,
        consumer=record.consumer,
        provider=record.provider,
        accepted=record.accepted,
        slot=SLOT,
        format="call",
        length=30,
        consent=consent_hash(consent),
        agreed_at=NOW,
    )
    return seal_agreed(private, reply, record.context, ref=REF, audience=AUDIENCE), agreement


def _mentee_joins(people: People, sealed: str, agreement: Agreement) -> None:
    record = people.mentee.thread(THREAD)
    private = open_agreed(sealed, record.answer_key, record.context, ref=record.ref, audience=AUDIENCE)
    mentor = check_agreed(private.proof, agreement, record.sent, now=NOW)
    context = contexts.session(thread=THREAD, accepted=record.accepted, consent=mentor.consent)
    devices = tuple(device.text for device in mentor.devices)
    check = checked(people.mentee, record, peer=mentor.identity_key.text, known=devices, now=NOW)
    group = ENGINE.join(people.mentee.own(record), private.welcome, context=context, check=check, now=NOW)
    session = SessionRecord(thread=THREAD, engine=ENGINE.name, state=ENGINE.dump(group))
    people.mentee = restarted(
        people.mentee.with_session(session).with_thread(replace(record, peer_devices=devices, state="AGREED"))
    )


def _say(people: People, text: str, *, by_mentor: bool) -> bytes:
    who = people.mentor if by_mentor else people.mentee
    session = who.session(THREAD)
    frame = Frame(id=b64(people.entropy.take(16)), at=NOW, content=Chat(text=text))
    group, out = ENGINE.encrypt(ENGINE.load(session.state), encode_frame(frame), entropy=people.entropy.take(32))
    _keep(
        people,
        who.with_session(replace(session, state=ENGINE.dump(group), outbox=(_outgoing(out),))),
        by_mentor=by_mentor,
    )
    return out


def _outgoing(ciphertext: bytes) -> Outgoing:
    return Outgoing(id=message_id(NOW * 1000, bytes(10)), kind="message", ciphertext=ciphertext)


def _hear(people: People, ciphertext: bytes, *, by_mentor: bool) -> str:
    who = people.mentor if by_mentor else people.mentee
    session = who.session(THREAD)
    group, event = ENGINE.receive(ENGINE.load(session.state), ciphertext, check=lambda _: None, now=NOW)
    assert isinstance(event, Received)
    frame = decode_frame(event.frame)
    shown = FrameRecord(number=len(session.frames) + 1, sender=event.sender, frame=encode(frame))
    session = replace(session, state=ENGINE.dump(group), frames=(*session.frames, shown))
    _keep(people, who.with_session(session), by_mentor=by_mentor)
    assert event.sender in who.thread(THREAD).peer_devices
    assert isinstance(frame.content, Chat)
    return frame.content.text


def _keep(people: People, state: ClientState, *, by_mentor: bool) -> None:
    if by_mentor:
        people.mentor = restarted(state)
    else:
        people.mentee = restarted(state)
