"""The sealed brief and choice that go to one person, and what this device remembers of them.

Source: docs/protocol/42-sealing.md §6.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from protocol.bodies import AcceptedBody, Choice, SealedBrief
from protocol.devices import sealing_key_hash
from protocol.e2ee.brief import MAX_PROMPT_CHARACTERS, Brief, BriefWords, seal_brief
from protocol.e2ee.keys import ReplyKey, certify
from protocol.e2ee.sealing import seal_choice
from protocol.errors import MalformedError, RefusedError, UnverifiedError
from protocol.sealing import SealingPublicKey
from protocol.text import displayable

from .ask_records import AskRecord, OfferedRecord
from .asking import PEOPLE, choosable
from .core import ENGINE, fresh_secret
from .pins import open_item, sealing_key_of
from .records import ThreadRecord
from .state import ClientState


def checked_prompts(prompts: tuple[str, str, str]) -> tuple[str, str, str]:
    """Return the three texts fit to be sent. Raises: MalformedError: no question, or too long together."""
    texts = displayable(prompts[0]), displayable(prompts[1]), displayable(prompts[2])
    if not texts[0]:
        raise MalformedError("say at least what you would like to ask")
    length = len("".join(texts))
    if length > MAX_PROMPT_CHARACTERS:
        raise MalformedError(f"the brief takes {MAX_PROMPT_CHARACTERS} characters together; yours has {length}")
    return texts


def ranked_slots(ask: AskRecord, offered: OfferedRecord, wanted: Sequence[int]) -> tuple[int, ...]:
    """Return the start times to ask for, the best first. Raises: RefusedError: one that the person does not offer."""
    if ask.need.format == "text":
        return ()
    if not set(wanted) <= set(offered.candidate.slots):
        raise RefusedError("choose out of the times that this person offers: `mentormesh candidates` shows them")
    return tuple(dict.fromkeys(wanted)) or offered.candidate.slots


def sealed_brief(
    state: ClientState, ask: AskRecord, offered: OfferedRecord, slots: tuple[int, ...], *, now: int
) -> tuple[ThreadRecord, str, SealedBrief]:
    """Return the thread as it is remembered, and what goes out: the sealed choice and the sealed brief."""
    record = state.thread(offered.thread)
    candidate, audience = offered.candidate, record.audience
    keys = tuple(SealingPublicKey.parse(text) for text in candidate.keys)
    device, account = state.device_secret, state.account_secret
    certificate = certify(account, device, audience=audience, now=now)
    own, package = ENGINE.prepare(device.key(audience), certificate, now=now, entropy=fresh_secret())
    answer_seed = fresh_secret()
    words = BriefWords(
        thread=record.thread,
        ref=candidate.ref,
        audience=audience,
        consumer=record.consumer,
        provider=record.provider,
        prompts=ask.prompts,
        about=ask.about,
        chosen_because=candidate.reasons[0] if candidate.reasons else "exact-topic",
        chosen_from=max(1, min(PEOPLE, len(choosable(ask)))),
        slots=slots,
        again=record.target is not None and record.target.type == "contact",
        identity_key=account.identity(audience).public.text,
        certificate=certificate,
    )
    brief = Brief(words=words, reply_key=ReplyKey(answer_seed).public, key_packages=(package,))
    sealed = seal_brief(brief, device.key(audience), keys, entropy=fresh_secret())
    choice = Choice(ref=candidate.ref, slots=slots, format=ask.need.format, length=ask.need.length)
    remembered = replace(
        record,
        state="SENDING",
        updated_at=now,
        ref=candidate.ref,
        own_secret=own.secret,
        answer_seed=answer_seed,
        sealed_to=tuple(sealing_key_hash(key) for key in keys),
        slots=slots,
        deadline=0,
    )
    return remembered, seal_choice(choice, sealing_key_of(state, record.provider), record.context), sealed


def check_own(state: ClientState, record: ThreadRecord, item: bytes, digest: str, body: AcceptedBody) -> None:
    """Return when the own node signed exactly what this device gave it. Raises: UnverifiedError."""
    opened = open_item(state, item, audience=record.provider)
    head = opened.message.head
    said = (opened.entity, opened.message.hash, head.thread, head.side, head.type)
    if said != (record.consumer, digest, record.thread, "consumer", "accept") or opened.message.body != body:
        raise UnverifiedError("your node sent something else than this device gave it", code="wrong-message")
