"""Handshake messages on the wire: a signed head, a body beside it, 32 KiB exactly; receipts; batches.

Wire item: kind byte `0x01`, 4-byte length and JWS, 4-byte length and body, zeros up to 32,768 bytes, so that accept,
decline and no-capacity look alike. Source: docs/protocol/30-messages.md.
"""

from typing import Annotated, Final, Literal, TypeVar

import msgspec

from . import jws
from .bodies import (
    AcceptedBody,
    AgreedBody,
    CancelledBody,
    DeclinedBody,
    ExpiredBody,
    FinalizedBody,
    OfferedBody,
    RefusedBody,
    RequestBody,
    VerifiedBody,
)
from .delivery import Cursor
from .encoding import Wire, b64, decode, encode, sha256
from .errors import LimitError, MalformedError, UnverifiedError
from .handshake import Side, State, Verb
from .ids import Bytes32, Entity, MessageId, RandomId, Seconds
from .signing import Signer, SigningKey

MESSAGE_TYP: Final = "mentormesh-msg+jws"
RECEIPT_TYP: Final = "mentormesh-receipt+jws"

ITEM_BYTES: Final = 32_768
KIND_HANDSHAKE: Final = 0x01
MAX_BATCH_ITEMS: Final = 64
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
#: No session item is larger; see `envelope.py`.
MAX_ITEM_BYTES: Final = 96 * 1024

Body = (
    RequestBody
    | OfferedBody
    | RefusedBody
    | AcceptedBody
    | AgreedBody
    | VerifiedBody
    | FinalizedBody
    | DeclinedBody
    | ExpiredBody
    | CancelledBody
)
B = TypeVar("B", bound=Wire)

#: The body that goes with each verb.
BODIES: Final[dict[Verb, type[Body]]] = {
    "request": RequestBody,
    "offer": OfferedBody,
    "refuse": RefusedBody,
    "accept": AcceptedBody,
    "counter": OfferedBody,
    "redirect": OfferedBody,
    "agree": AgreedBody,
    "decline": DeclinedBody,
    "expire": ExpiredBody,
    "verify": VerifiedBody,
    "finalize": FinalizedBody,
    "cancel": CancelledBody,
}


class CheckpointRef(Wire, frozen=True, kw_only=True):
    """The sender's newest log checkpoint: gossip that costs nothing."""

    origin: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    size: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
    root: Bytes32


class MessageHead(Wire, frozen=True, kw_only=True):
    """What is signed: `{"aud":"https://cobalt.example","body_hash":…,"mid":…,"prev":…,"seen":…,"seq":2,…}`.

    `seq` counts from 1 per thread and sender; `prev` is the hash of one's own previous message, `seen` the hash of the
    last message accepted from the other side.
    """

    mid: MessageId
    aud: Entity
    thread: RandomId
    side: Literal["consumer", "provider"]
    seq: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    prev: Bytes32 | None = None
    seen: Bytes32 | None = None
    deadline: Seconds
    type: Verb
    body_hash: Bytes32
    checkpoint: CheckpointRef | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose signature holds: only `open_message` and `sign_message` make one."""

    head: MessageHead
    body: Body
    item: bytes
    hash: str

    @property
    def sender(self) -> Side:
        """The role of the node that signed it."""
        return Side(self.head.side)

    def as_(self, kind: type[B]) -> B:
        """Return the body as `kind`; another kind is a programming mistake."""
        if not isinstance(self.body, kind):
            raise TypeError(f"body is not {kind.__name__}")
        return self.body


def sign_message(head: MessageHead, body: Body, key: SigningKey) -> Message:
    """Return the signed message; `head.body_hash` must be that of `body` (`body_hash`).

    Raises: MalformedError: the message does not fit its 32 KiB.
    """
    raw = encode(body)
    text = jws.sign(encode(head), key, MESSAGE_TYP)
    return Message(head=head, body=body, item=_pack(text.encode("ascii"), raw), hash=message_hash(text))


def body_hash(body: Body) -> str:
    """Return the SHA-256 of the body's canonical bytes as base64url."""
    return b64(sha256(encode(body)))


def message_hash(text: str) -> str:
    """Return the identity of a message for `prev`, `seen` and receipts: SHA-256 of its JWS text."""
    return b64(sha256(text.encode("ascii")))


class UnopenedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message taken apart but not verified: good for routing refusals, for nothing else."""

    signed: jws.Parsed
    claimed: MessageHead
    raw_body: bytes
    item: bytes
    hash: str

    @property
    def keyid(self) -> str:
        """The key that is said to have signed it."""
        return self.signed.header.kid


def parse_item(item: bytes) -> UnopenedMessage:
    """Return the parts of a handshake item. Raises: MalformedError."""
    text, raw = _unpack(item)
    signed = jws.parse(text, MESSAGE_TYP)
    return UnopenedMessage(
        signed=signed,
        claimed=decode(signed.payload, MessageHead, what="message head"),
        raw_body=raw,
        item=item,
        hash=message_hash(text),
    )


def open_message(unopened: UnopenedMessage, key: Signer, *, audience: str) -> Message:
    """Return the message once `key` signed its head, the head is meant for `audience`, and the body matches.

    Raises: UnverifiedError: signature, audience or body hash; MalformedError: the body.
    """
    unopened.signed.verify(key)
    head = unopened.claimed
    if head.aud != audience:
        raise UnverifiedError("message is addressed to another node", code="wrong-audience")
    if b64(sha256(unopened.raw_body)) != head.body_hash:
        raise UnverifiedError("message body does not match its signed hash", code="body-mismatch")
    body = decode(unopened.raw_body, BODIES[head.type], what=f"{head.type} body")
    return Message(head=head, body=body, item=unopened.item, hash=unopened.hash)


def _pack(text: bytes, body: bytes) -> bytes:
    used = 1 + 4 + len(text) + 4 + len(body)
    if used > ITEM_BYTES:
        raise MalformedError(f"message is {used - ITEM_BYTES} bytes too long for its {ITEM_BYTES}")
    head = bytes([KIND_HANDSHAKE]) + len(text).to_bytes(4, "big") + text
    return head + len(body).to_bytes(4, "big") + body + bytes(ITEM_BYTES - used)


def _unpack(item: bytes) -> tuple[str, bytes]:
    if len(item) != ITEM_BYTES or item[0] != KIND_HANDSHAKE:
        raise MalformedError(f"handshake message must be exactly {ITEM_BYTES} bytes of kind 1")
    at = 5 + int.from_bytes(item[1:5], "big")
    end = at + 4 + int.from_bytes(item[at : at + 4], "big")
    if end > ITEM_BYTES:
        raise MalformedError("handshake message has a length that runs past its end")
    if item.count(0, end) != ITEM_BYTES - end:
        raise MalformedError("handshake message padding must be zeros")
    try:
        return item[5:at].decode("ascii"), item[at + 4 : end]
    except UnicodeDecodeError:
        raise MalformedError("handshake message head must be ASCII") from None


class Receipt(Wire, frozen=True, kw_only=True):
    """Receiver-signed proof of storage: `{"hash":…,"mid":…,"received_at":…,"state":"ACCEPTED"}`.

    `deadline` is the receiver's own answer time, judged once at `received_at`; absent where nobody has to answer.
    """

    mid: MessageId
    hash: Bytes32
    received_at: Seconds
    state: State
    deadline: Seconds | None = None


def sign_receipt(receipt: Receipt, key: SigningKey) -> str:
    """Return the receipt as a JWS of type `mentormesh-receipt+jws`."""
    return jws.sign(encode(receipt), key, RECEIPT_TYP)


def open_receipt(text: str, key: Signer) -> Receipt:
    """Return the receipt once `key` signed it. Raises: MalformedError, UnverifiedError."""
    return decode(jws.parse(text, RECEIPT_TYP).verify(key), Receipt, what="receipt")


class Outcome(Wire, frozen=True, kw_only=True):
    """What the receiver did with one item of a batch, in the batch's order.

    `stored` and `duplicate` carry the receipt (session items carry none: the signed answer is theirs); `refused`
    carries a stable `code` and, for messages out of order, the `expected_seq`; `later` asks to send the item again.
    """

    mid: MessageId
    status: Literal["stored", "duplicate", "refused", "later"]
    receipt: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    code: Annotated[str, msgspec.Meta(max_length=40)] = ""
    state: State | None = None
    expected_seq: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


class Outcomes(Wire, frozen=True, kw_only=True):
    """Answer to a batch: one outcome an item, and what the receiver holds of the sender's items after it."""

    outcomes: Annotated[tuple[Outcome, ...], msgspec.Meta(min_length=1, max_length=MAX_BATCH_ITEMS)]
    cursor: Cursor | None = None


def join_batch(items: list[bytes]) -> bytes:
    """Return the batch of 1 to 64 items, each after its 4-byte length."""
    if not 1 <= len(items) <= MAX_BATCH_ITEMS:
        raise ValueError(f"a batch takes 1 to {MAX_BATCH_ITEMS} items")
    return b"".join(len(item).to_bytes(4, "big") + item for item in items)


def split_batch(data: bytes) -> list[bytes]:
    """Return the items of a batch.

    Raises: MalformedError: none, an empty one, too many, cut short. LimitError (code `too-large`): an item is too long.
    """
    items: list[bytes] = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        end = at + 4 + size
        if not size or end > len(data) or len(items) == MAX_BATCH_ITEMS:
            raise MalformedError(f"batch takes 1 to {MAX_BATCH_ITEMS} whole items of up to {MAX_ITEM_BYTES} bytes")
        if size > MAX_ITEM_BYTES:
            raise LimitError(f"item {len(items) + 1} of the batch exceeds {MAX_ITEM_BYTES} bytes", code="too-large")
        items.append(data[at + 4 : end])
        at = end
    if not items:
        raise MalformedError("batch is empty")
    return items
