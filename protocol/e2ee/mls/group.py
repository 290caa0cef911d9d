"""Speaking and listening in a group; every function returns a new state, one that raises leaves the old one as valid.

Source: RFC 9420 §6.3, §9, §15; docs/protocol/48-mls.md.
"""

import msgspec
from msgspec.structs import replace

from .commits import Followed, Rules, follow
from .errors import EpochError, SignatureError
from .framing import (
    APPLICATION,
    COMMIT,
    GUARD_BYTES,
    Content,
    Opened,
    PrivateMessage,
    Signed,
    decrypt,
    encrypt,
    parse_private,
    sign_content,
    verify_content,
)
from .profile import Profile
from .state import Group, Past


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """What a member said: its place and signature key in the epoch of the message, its counter, and the bytes.

    `signed` and `context` are the evidence of it for somebody outside the group.
    """

    epoch: int
    sender: int
    signer: bytes
    generation: int
    body: bytes
    signed: Signed
    context: bytes


Heard = Spoken | Followed


def speak(group: Group, body: bytes, *, entropy: bytes) -> tuple[Group, bytes]:
    """Return the state after sending `body`, and the message. `entropy`: at least four random bytes."""
    content = Content(group.context.group_id, group.epoch, group.me, APPLICATION, body, group.mark)
    signed = Signed(content, sign_content(content, group.suite, (group.seed, group.signer), group.encoded))
    keys, message = encrypt(
        signed, group.suite, group.keys, group.epoch_secrets.sender_data, entropy=entropy[:GUARD_BYTES]
    )
    return replace(group, keys=keys), message.encoded()


def hear(group: Group, data: bytes, rules: Rules) -> tuple[Group | None, Heard]:
    """Return the state after a message, None when it removed this member, and what it said.

    Raises: FormError, EpochError, ReplayError, DecryptError, SignatureError, CommitError, TreeError, ProfileError; what
        `rules.check` raises.
    """
    message = parse_private(data)
    if message.group_id != group.context.group_id:
        raise EpochError("a message is of another group")
    past = group.past
    if past is not None and message.epoch == past.epoch:
        return _hear_late(group, past, message, rules)
    if message.epoch != group.epoch:
        raise EpochError("a message is of another epoch")
    opened = decrypt(message, group.suite, group.keys, group.epoch_secrets.sender_data, profile=rules.profile)
    context = group.encoded
    signer = _verified(group, opened, _signer(group, opened.signed.content.sender), context)
    heard = replace(group, keys=opened.tree)
    if message.content_type == COMMIT:
        followed = follow(heard, opened.signed, rules)
        return followed.group, followed
    return heard, _spoken(opened, signer, context)


def _hear_late(group: Group, past: Past, message: PrivateMessage, rules: Rules) -> tuple[Group, Spoken]:
    """Hear somebody who had not seen the last commit yet; their own commit comes too late."""
    if rules.now > past.ended_at + rules.profile.past_s or message.content_type != APPLICATION:
        raise EpochError("a message is of an epoch that has ended")
    opened = decrypt(message, group.suite, past.keys, past.sender_data, profile=rules.profile)
    signer = _verified(group, opened, past.signers.get(opened.signed.content.sender), past.context)
    heard = replace(group, past=replace(past, keys=opened.tree))
    return heard, _spoken(opened, signer, past.context)


def _signer(group: Group, number: int) -> bytes | None:
    leaf = group.tree.leaf(number)
    return leaf.signature_key if leaf is not None else None


def _verified(group: Group, opened: Opened, signer: bytes | None, context: bytes) -> bytes:
    if signer is None:
        raise SignatureError("a message comes from nobody in the group")
    verify_content(opened.signed, group.suite, signer, context)
    return signer


def _spoken(opened: Opened, signer: bytes, context: bytes) -> Spoken:
    content = opened.signed.content
    return Spoken(
        epoch=content.epoch,
        sender=content.sender,
        signer=signer,
        generation=opened.generation,
        body=content.body,
        signed=opened.signed,
        context=context,
    )


def without_past(group: Group, *, now: int, profile: Profile) -> Group:
    """Return the state without the epoch before, once its time is over."""
    if group.past is None or now <= group.past.ended_at + profile.past_s:
        return group
    return replace(group, past=None)
