"""The moment a session comes about: the mentor's consent and group, and the mentee's check that nobody else could read.

All functions take the state and return the next one; sending is the caller's.
Source: docs/protocol/42-sealing.md §7, §8.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from protocol import contexts
from protocol.agreement import open_agreement, open_proposed
from protocol.bodies import AgreedBody, Agreement, Sealed, VerifiedBody
from protocol.e2ee.agreed import (
    AgreedPrivate,
    AgreedProof,
    DeviceProof,
    Mentor,
    check_agreed,
    open_agreed,
    seal_agreed,
)
from protocol.e2ee.consent import Consent, consent_hash, sign_consent
from protocol.e2ee.frames import Name
from protocol.e2ee.keys import certify, state_key
from protocol.encoding import b64, unb64
from protocol.errors import MeshError, RefusedError, UnverifiedError
from protocol.sealing import SealingPublicKey

from .blocks import called_off_blocked, find_block, recognized
from .contacts import of_token
from .core import ENGINE, Core, fresh_secret
from .keychecks import UnprovenError, require_listed
from .logstories import to_tell
from .members import checked
from .newkeys import own_changes, require_undisputed, with_changes
from .pins import Opened, signing_key_of
from .records import Outgoing, SessionRecord, ThreadRecord
from .session import with_frame
from .state import ClientState
from .views import Agreed, Alarm, Event, Secured

#: A thread in this state was agreed; with a session its keys are checked as well.
AGREED: Final = "AGREED"


class Yes(msgspec.Struct, frozen=True, kw_only=True):
    """What a mentor's device gives its node for a yes."""

    consent: str
    private: Sealed

    @property
    def hash(self) -> str:
        """The consent as the agreement names it."""
        return consent_hash(self.consent)


# The mentor's device


def say_yes(core: Core, state: ClientState, record: ThreadRecord, slot: int | None) -> tuple[ClientState, Yes]:
    """Return the state with consent and a new group of both devices, and what goes to the mentee's device.

    Raises: RefusedError: the request was answered before; UnverifiedError: a key package is of another device.
    """
    if not record.reply_key:
        raise RefusedError("this request was answered already")
    device, account, audience = state.device_secret.key(record.audience), state.account_secret, record.audience
    said = Consent(thread=record.thread, ref=record.ref, slot=slot, accepted=record.accepted)
    consent = sign_consent(said, device)
    now = core.now()
    certificate = certify(account, state.device_secret, audience=audience, now=now)
    own, _ = ENGINE.prepare(device, certificate, now=now, entropy=fresh_secret())
    context = contexts.session(thread=record.thread, accepted=record.accepted, consent=consent_hash(consent))
    check = checked(state, record, peer=record.peer_identity, known=record.peer_devices, now=now)
    group, welcome = ENGINE.start(
        own, record.key_packages, context=context, check=check, now=now, entropy=fresh_secret()
    )
    stated = state_key(state.sealing_key(record.reader), device, now=now)
    proof = AgreedProof(
        consent=consent,
        identity=account.state_identity(audience),
        master_key=account.master().public.text,
        devices=(
            DeviceProof(
                certificate=certificate,
                sealing_key=stated.statement,
            ),
        ),
        changes=own_changes(state),
    )
    private = AgreedPrivate(proof=proof, welcome=welcome)
    reply_key = SealingPublicKey(record.reply_key)
    sealed = seal_agreed(private, reply_key, record.context, ref=record.ref, audience=audience)
    session = SessionRecord(thread=record.thread, engine=ENGINE.name, state=ENGINE.dump(group))
    record = replace(record, consent=consent, private=sealed, slot=slot)
    return state.with_thread(record).with_session(session), Yes(consent=consent, private=sealed)


def take_verified(
    core: Core, state: ClientState, record: ThreadRecord, opened: Opened
) -> tuple[ClientState, list[Event]]:
    """Return the mentor's state once both nodes signed the agreement.

    If the yes came by mail link, this device makes consent and group now and sends them as the session's first message.
    Raises: UnverifiedError: another agreement than the one this device consented to.
    """
    document = opened.message.as_(VerifiedBody).agreement
    agreement = open_agreement(document, signing_key_of(state, record.provider), signing_key_of(state, record.consumer))
    _check_parties(agreement, record)
    record = _with_agreement(record, agreement, document)
    if agreement.consent is None:
        state, yes = say_yes(core, state.with_thread(record), record, agreement.slot)
        welcome = Outgoing(id=core.envelope_id(), kind="welcome", ciphertext=unb64(yes.private, what="private part"))
        session = state.session(record.thread)
        state = state.with_session(replace(session, outbox=(*session.outbox, welcome), welcome=welcome.id))
        record = state.thread(record.thread)
    elif not record.consent:
        raise RefusedError(
            "another device of yours said yes to this request, and brings the session here; if none of yours did, "
            "somebody made it up",
            code="other-device",
        )
    elif consent_hash(record.consent) != agreement.consent:
        raise UnverifiedError("the agreement names another consent than this device's", code="wrong-consent")
    used = replace(record, state=AGREED, private="", reply_key=b"", key_packages=())
    state = tell_name(core, state.with_thread(used), used)
    secured = Secured(thread=record.thread, role="mentor", witnessed=record.witnessed)
    return state, [_agreed(record, agreement), secured]


# The mentee's device


def take_agreed(
    core: Core, state: ClientState, record: ThreadRecord, opened: Opened
) -> tuple[ClientState, list[Event]]:
    """Return the mentee's state after the mentor's yes; with a device's yes the session is open.

    Raises: UnverifiedError: not the agreement for what this device sent.
    """
    body = opened.message.as_(AgreedBody)
    agreement = open_proposed(body.agreement, signing_key_of(state, record.provider))
    _check_parties(agreement, record)
    if agreement.slot not in (record.slots or (None,)):
        raise UnverifiedError("the agreed time was never asked for", code="wrong-slot")
    record = replace(_with_agreement(record, agreement, body.agreement), state=AGREED)
    state = state.with_thread(record)
    ask = state.asks.get(record.ask)
    if ask is not None:
        state = state.with_ask(replace(ask, active="", goes_on=False))
    events: list[Event] = [_agreed(record, agreement)]
    if body.private is not None:
        state, more = take_private(core, state, record, body.private)
        events.append(more)
    return state, events


def take_private(core: Core, state: ClientState, record: ThreadRecord, sealed: Sealed) -> tuple[ClientState, Event]:
    """Return the mentee's state in the mentor's group, or with the session called off when the proof does not hold.

    Raises: UnprovenError: the mentor's keys were not looked up in their directory yet.
    """
    try:
        private = open_agreed(sealed, record.answer_key, record.context, ref=record.ref, audience=record.audience)
        mentor = check_agreed(private.proof, _proposed(state, record, private), record.sent, now=core.now())
        state = _seen_changes(state, record, private.proof, now=core.now())
        _require_met(state, record, mentor)
        context = contexts.session(thread=record.thread, accepted=record.accepted, consent=mentor.consent)
        devices = tuple(device.text for device in mentor.devices)
        proven = require_listed(
            state,
            origin=record.provider,
            audience=record.audience,
            identity_key=mentor.identity_key.text,
            devices=devices,
            now=core.now(),
        )
        check = checked(state, record, peer=mentor.identity_key.text, known=devices, now=core.now())
        group = ENGINE.join(state.own(record), private.welcome, context=context, check=check, now=core.now())
        if find_block(state, entity=record.provider, master_key=mentor.master_key.text) is not None:
            identity = mentor.identity_key.text
            state = recognized(state, master_key=mentor.master_key.text, identity=identity, sealing=record.sealed_to)
            return called_off_blocked(state, replace(record, answer_seed=b"", own_secret=b""))
    except UnprovenError:
        raise
    except MeshError as error:
        stopped = replace(record, cancel="conflict", reason=error.code, answer_seed=b"", own_secret=b"")
        sentence = f"Stopped before any name was told: {error}"
        return state.with_thread(stopped), Alarm(thread=record.thread, sentence=sentence)
    session = SessionRecord(
        thread=record.thread,
        engine=ENGINE.name,
        state=ENGINE.dump(group),
        master_key=mentor.master_key.text,
        label=mentor.label,
    )
    record = _joined(replace(record, witnessed=proven.witnessed), mentor)
    state = tell_name(core, state.with_thread(record).with_session(session), record)
    return state, Secured(thread=record.thread, role="mentee", witnessed=record.witnessed)


def _proposed(state: ClientState, record: ThreadRecord, private: AgreedPrivate) -> Agreement:
    """Return the agreement to check the proof against; one made by mail link names no consent, so any may follow it."""
    agreement = open_proposed(record.agreement, signing_key_of(state, record.provider))
    if agreement.attested == "node" and agreement.consent is None:
        return replace(agreement, attested="device", consent=consent_hash(private.proof.consent))
    return agreement


def _require_met(state: ClientState, record: ThreadRecord, mentor: Mentor) -> None:
    """Return when whoever said yes to somebody asked again is the person whom one has met. Raises: RefusedError."""
    if record.target is None or record.target.type != "contact":
        return
    met = of_token(state.contacts, record.target.id)
    if met is not None:
        require_undisputed(met, mentor.master_key.text)


def _seen_changes(state: ClientState, record: ThreadRecord, proof: AgreedProof, *, now: int) -> ClientState:
    """Return the state after the changes that a mentor's proof shows; the name tells them again, with a sentence."""
    return with_changes(state, record.thread, proof.changes, leads_to=proof.master_key, now=now)[0]


def _joined(record: ThreadRecord, mentor: Mentor) -> ThreadRecord:
    return replace(
        record,
        peer_devices=tuple(device.text for device in mentor.devices),
        peer_identity=mentor.identity_key.text,
        consented=mentor.consent,
        answer_seed=b"",
        own_secret=b"",
    )


# Both


def tell_name(core: Core, state: ClientState, record: ThreadRecord) -> ClientState:
    """Return the state with one's name as the session's first frame, the proof of it, and what one saw of both logs."""
    vouch = state.account_secret.open_vouch(record.audience, state.signed_in.told_name)
    frame = Name(
        name=vouch.name,
        identity=vouch.identity,
        master_key=vouch.master_key,
        name_salt=b64(vouch.name_salt),
        identity_salt=b64(vouch.identity_salt),
        changes=own_changes(state),
    )
    state = with_frame(core, state, record.thread, frame)
    told = to_tell(state, record)
    return with_frame(core, state, record.thread, told) if told else state


def _check_parties(agreement: Agreement, record: ThreadRecord) -> None:
    said = agreement.thread, agreement.consumer, agreement.provider, agreement.accepted
    form = agreement.format, agreement.length
    known = record.thread, record.consumer, record.provider, record.accepted
    if said != known or form != (record.format, record.length):
        raise UnverifiedError("agreement is about another request than this device's", code="wrong-agreement")


def _with_agreement(record: ThreadRecord, agreement: Agreement, document: str) -> ThreadRecord:
    start = agreement.slot if agreement.slot is not None else agreement.agreed_at
    return replace(
        record,
        agreement=document,
        slot=agreement.slot,
        ends_at=start + (agreement.window_s or agreement.length * 60),
        attested=agreement.attested,
        format=agreement.format,
        length=agreement.length,
        quote_seed=b"",
        quote=None,
    )


def _agreed(record: ThreadRecord, agreement: Agreement) -> Agreed:
    return Agreed(
        thread=record.thread,
        role=record.role,
        entity=record.peer,
        slot=record.slot,
        ends_at=record.ends_at,
        attested=agreement.attested,
    )
