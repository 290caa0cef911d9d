"""docs/protocol/30 to 33 and 41 and this program agree on their vectors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from federation.inbox import outcomes_of
from node.services.mentor_side import RequestEntry
from protocol.agreement import agreement_hash, countersign, open_agreement, open_proposed
from protocol.bodies import Agreement, Choice, Quote, Request
from protocol.contacttokens import token_commitment
from protocol.delivery import Cursor, Heads, HeadsAnswer, Returned
from protocol.encoding import Wire, b64, decode, encode, sha256, unb64
from protocol.envelope import parse_envelope, render_envelope
from protocol.errors import LimitError, MalformedError, MeshError, RefusedError, UnverifiedError
from protocol.handshake import Handshake, Side, State, advance
from protocol.messages import (
    BODIES,
    Message,
    MessageHead,
    open_message,
    open_receipt,
    parse_item,
    sign_message,
    split_batch,
)
from protocol.session import session_state
from protocol.signing import SigningKey, VerifyKey
from protocol.threads import Book, OutOfOrderError, hear, heard_late
from tests.together import together
from tests.vectors.generate.bodies import filled

from . import pairs

VECTORS = Path(__file__).parents[1] / "vectors"
TOPICS = ("messages", "handshake", "agreement", "delivery", "envelopes")
KINDS: dict[str, type[MeshError]] = {
    "malformed": MalformedError,
    "unverified": UnverifiedError,
    "refused": RefusedError,
    "limit": LimitError,
}
PARTS: dict[str, type[Any]] = {"Request": Request, "Quote": Quote, "Choice": Choice}

Case = dict[str, Any]


def every_case() -> list[Any]:
    return [
        pytest.param(f"{topic}/{path.stem}", case, id=f"{topic}/{path.stem}: {case['name']}")
        for topic in TOPICS
        for path in sorted((VECTORS / topic).glob("*.json"))
        for case in json.loads(path.read_bytes())["cases"]
    ]


# each reader returns what a case calls its result


def item(case: Case) -> object:
    start = unb64(case["input"])
    unopened = parse_item(start + bytes(max(0, case["size"] - len(start))) if case["size"] > len(start) else start)
    message = open_message(unopened, VerifyKey.parse(case["key"]), audience=case["audience"])
    return {"head": encode(message.head).decode(), "body": encode(message.body).decode(), "hash": message.hash}


def body(case: Case) -> object:
    kind = PARTS[case["part"]] if "part" in case else BODIES[case["verb"]]
    text = filled(case["input"]).encode()
    assert encode(decode(text, kind)) == text
    return True


def heard(case: Case) -> object:
    before = msgspec.convert(case["book"], Book)
    head = msgspec.convert(case["head"], MessageHead)
    message = Message(head=head, body=pairs.BODIES[head.type], item=b"", hash=case["hash"])
    after = hear(before, message)
    changed = {name: value for name, value in _plain(after).items() if _plain(before).get(name) != value}
    assert changed.keys() <= {"state", "heard", "session_cancelled", "counters"}
    return changed


def _plain(value: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(value))
    return found


def receipt(case: Case) -> object:
    return _plain(open_receipt(case["input"], VerifyKey.parse(case["key"])))


def step(case: Case) -> object:
    state = None if case["state"] is None else Handshake(state=State(case["state"]), counters=case["counters"])
    return advance(state, Side(case["side"]), case["verb"], crossing=case["crossing"]).state.value


def contact_token(case: Case) -> object:
    return token_commitment(case["input"])


def conversation(case: Case) -> object:
    pair = pairs.Pair()
    for side, event in ((Side(side), event) for side, event in case["events"]):
        if event == "hear":
            pair.hear(side)
        elif event == "late":
            pair.books[side] = heard_late(pair.books[side], pair.waiting[side].pop(0))
        else:
            pair.say(side, event)
    waiting = pair.waiting[Side.CONSUMER] + pair.waiting[Side.PROVIDER]
    (ending,) = (
        {(book.state, book.session_cancelled) for book in pair.books.values()} if not waiting else {(None, False)}
    )
    assert ending[0] is not None
    return {"state": ending[0].value, "session_cancelled": ending[1]}


def terms(case: Case) -> object:
    text = case["input"].encode()
    assert encode(decode(text, Agreement)) == text
    return True


def document(case: Case) -> object:
    provider = VerifyKey.parse(case["provider"])
    if "consumer" not in case:
        return encode(open_proposed(case["input"], provider)).decode()
    found = open_agreement(case["input"], provider, VerifyKey.parse(case["consumer"]))
    assert agreement_hash(case["input"]) == case["hash"]
    return encode(found).decode()


def batch(case: Case) -> object:
    data = b"".join(
        bytes.fromhex(part) if isinstance(part, str) else bytes.fromhex(part[0]) * part[1] for part in case["parts"]
    )
    return [len(one) for one in split_batch(data)]


def outcomes(case: Case) -> object:
    return [_plain(one) for one in outcomes_of(case["input"].encode(), case["mids"])]


def canonical_as(case: Case, kind: type[Wire]) -> object:
    text = case["input"].encode()
    assert encode(decode(text, kind)) == text
    return True


def envelope(case: Case) -> object:
    data = unb64(case["input"]) + bytes(case.get("more", 0))
    found = parse_envelope(data)
    assert render_envelope(found) == data
    return {"header": encode(found.header).decode(), "size": len(found.ciphertext)}


def request_entry(case: Case) -> object:
    text = case["input"].replace("<item>", "A" * 43_691).encode()
    assert encode(decode(text, RequestEntry)) == text
    return True


def life(case: Case) -> object:
    given = {name: case[name] for name in ("start", "end", "now", "closed", "cancelled")}
    return session_state(**given).value


READERS: dict[str, Callable[[Case], object]] = {
    "messages/items": item,
    "messages/bodies": body,
    "messages/books": heard,
    "messages/receipts": receipt,
    "handshake/contact-tokens": contact_token,
    "handshake/steps": step,
    "handshake/conversations": conversation,
    "agreement/terms": terms,
    "agreement/documents": document,
    "delivery/batches": batch,
    "delivery/outcomes": outcomes,
    "delivery/cursors": lambda case: canonical_as(case, Returned if case.get("answer") else Cursor),
    "delivery/heads": lambda case: canonical_as(case, HeadsAnswer if case.get("answer") else Heads),
    "envelopes/items": envelope,
    "envelopes/requests": request_entry,
    "envelopes/states": life,
}


@together(every_case(), by=": ")
def test_a_case_ends_as_the_vectors_say(name: str, case: Case) -> None:
    if "error" not in case:
        assert READERS[name](case) == case["result"]
        return
    with pytest.raises(MeshError) as caught:
        READERS[name](case)
    assert isinstance(caught.value, KINDS[case["error"]])
    if "code" in case:
        assert caught.value.code == case["code"]
    if "expected_seq" in case:
        assert isinstance(caught.value, OutOfOrderError)
        assert caught.value.expected_seq == case["expected_seq"]


def test_the_second_signature_of_the_vectors_is_the_one_that_the_program_adds() -> None:
    cases = json.loads((VECTORS / "agreement/documents.json").read_bytes())["cases"]
    proposed, signed = cases[0]["input"], cases[1]["input"]
    assert countersign(proposed, SigningKey(sha256(b"alice"))) == signed


@together(
    pytest.param(case, id=case["name"])
    for case in json.loads((VECTORS / "handshake/conversations.json").read_bytes())["cases"]
    if "error" in case
)
def test_only_the_last_event_of_a_refused_conversation_is_refused(case: Case) -> None:
    pair = pairs.Pair()
    for side, event in ((Side(side), event) for side, event in case["events"][:-1]):
        if event == "hear":
            pair.hear(side)
        else:
            pair.say(side, event)


def test_a_message_of_the_vectors_is_the_one_that_the_program_signs() -> None:
    first = json.loads((VECTORS / "messages/items.json").read_bytes())["cases"][0]
    head = decode(first["result"]["head"].encode(), MessageHead)
    made = sign_message(head, decode(first["result"]["body"].encode(), BODIES[head.type]), SigningKey(sha256(b"alice")))
    assert b64(made.item.rstrip(b"\0")) == first["input"]
    assert made.hash == first["result"]["hash"]
