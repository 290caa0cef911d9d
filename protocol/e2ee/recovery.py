"""The recovery bundle: slots that each wrap one key, and the account secret under that key; opaque to who keeps it.

Whoever has recovery words or the recovery passphrase opens one slot, with its key the content, and is the same person
again. Slots and number are authenticated with the content, so that whoever keeps the
bundle can neither add nor mix slots. Source: docs/protocol/49-recovery.md §5.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec.structs import replace

from protocol.encoding import Wire, b64, decode, encode, label, unb64
from protocol.errors import LimitError, MalformedError, UnverifiedError
from protocol.ids import Bytes32, Entity, RandomId, id_bytes

from .content import open_content, seal_content
from .padding import pad, unpad
from .recovery_slots import Box, Slot, derived

CONTENT_BYTES: Final = 1_024
MAX_SLOTS: Final = 8
MAX_BUNDLE_BYTES: Final = 16_384


class DamagedBundleError(MalformedError):
    """The bundle is cut short, changed or not one at all: use another copy."""

    code = "damaged-bundle"


class Bundle(Wire, frozen=True, kw_only=True):
    """`{"content":…,"id":…,"salt":…,"seq":3,"slots":[…],"v":…}`; `seq` grows with each change, `salt` is fresh then."""

    v: Literal["mentormesh/recovery/v1"] = "mentormesh/recovery/v1"
    id: RandomId
    seq: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    salt: RandomId
    slots: Annotated[tuple[Slot, ...], msgspec.Meta(max_length=MAX_SLOTS)]
    content: Box = ""

    def __post_init__(self) -> None:
        """Refuse two slots of one id."""
        if len({slot.id for slot in self.slots}) != len(self.slots):
            raise MalformedError("two slots have one id")


class Recovered(Wire, frozen=True, kw_only=True):
    """What a bundle protects: the account secret, where the account is, and the person's name."""

    account_secret: Bytes32
    entity: Entity
    name: Annotated[str, msgspec.Meta(max_length=80)] = ""

    def __repr__(self) -> str:
        return "Recovered(…)"


def render_bundle(bundle: Bundle, recovered: Recovered, key: bytes) -> bytes:
    """Return the bytes of `bundle` with its content sealed under `key`; `bundle.salt` must be fresh."""
    bare = replace(bundle, content="")
    plain = pad(encode(recovered), CONTENT_BYTES, what="recovery content")
    box = seal_content(plain, _content_key(bare, key), label("recovery-bundle") + encode(bare))
    data = encode(replace(bare, content=b64(box)))
    if len(data) > MAX_BUNDLE_BYTES:
        raise LimitError(f"recovery bundle takes at most {MAX_BUNDLE_BYTES} bytes")
    return data


def parse_bundle(data: bytes) -> Bundle:
    """Return a bundle of the right form; it is authentic only after `open_bundle`. Raises: DamagedBundleError."""
    if len(data) > MAX_BUNDLE_BYTES:
        raise DamagedBundleError(f"recovery bundle takes at most {MAX_BUNDLE_BYTES} bytes")
    try:
        return decode(data, Bundle, what="recovery bundle")
    except MalformedError as error:
        raise DamagedBundleError(str(error)) from None


def open_bundle(bundle: Bundle, key: bytes) -> Recovered:
    """Return what the bundle protects. Raises: DamagedBundleError: changed since it was sealed, or another key's."""
    bare = replace(bundle, content="")
    try:
        box = unb64(bundle.content, what="recovery content")
        aad = label("recovery-bundle") + encode(bare)
        plain = open_content(box, _content_key(bare, key), aad, what="recovery bundle")
    except (MalformedError, UnverifiedError):
        raise DamagedBundleError("the recovery bundle was changed since it was sealed: use another copy") from None
    return decode(unpad(plain, CONTENT_BYTES, what="recovery content"), Recovered, what="recovery content")


def recovery_key_of(account_secret: bytes, bundle: str) -> bytes:
    """Return the key of the bundle `bundle`; every device of the person has it, so each can change the slots."""
    return derived("recovery-key", account_secret, id_bytes(bundle, what="bundle"))


def _content_key(bundle: Bundle, key: bytes) -> bytes:
    return derived("recovery-content", key, id_bytes(bundle.salt, what="salt"))
