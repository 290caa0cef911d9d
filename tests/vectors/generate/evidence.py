"""Vectors of docs/protocol/56-evidence.md: bundles that prove a contradiction, and those that prove nothing."""

import base64
import hashlib
from typing import Any, Final

from tests.vectors import rfc6962
from tests.vectors.c2sp import ENTRIES, LEAVES, Party, checkpoint, note
from tests.vectors.c2sp import b64 as base64_text

from . import peers
from .devices import Case, file
from .messages import head as message_head
from .peers import b64u, canonical, jws, key

ENTITY: Final = peers.ENTITY
LOG: Final = Party("aurora.example/log", 1, "aurora log")
DOCUMENT: Final = peers.signed(peers.document())
#: The same node after it changed its log key.
LATER_LOG: Final = Party("aurora.example/log", 1, "aurora log 2")
LATER: Final = peers.signed(
    peers.document({"seq": 2, "log_vkey": LATER_LOG.vkey}, log=peers.text_of(key("aurora log 2")))
)
#: And went on in a successor, naming the earlier keys of its log and of its messages.
SUCCESSOR: Final = Party("aurora.example/log/2", 1, "aurora log 2")
MOVED: Final = peers.signed(
    peers.document(
        {
            "seq": 2,
            "log_origin": SUCCESSOR.name,
            "log_vkey": SUCCESSOR.vkey,
            "earlier_log": [peers.text_of(key("aurora log"))],
            "earlier_sign": [peers.text_of(key("aurora envelope_sign"))],
        },
        log=peers.text_of(key("aurora log 2")),
        envelope_sign=peers.text_of(key("aurora envelope_sign 2")),
    )
)
FORK: Final = [*LEAVES[:199], rfc6962.leaf(b"another story"), *LEAVES[200:]]
AUDIENCE: Final = b64u(hashlib.sha256(b"audience").digest())
NOW: Final = 1_767_000_000


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "evidence/bundles.json": file(
            "56-evidence §2",
            "`input` is a bundle. `result` is its kind, the accused and its hash. `rule` is the rule of §6.",
            [*_good(), *_bad_form(), *_bad_statements(), *_no_contradiction()],
        )
    }


def statement(text: str, document: str = DOCUMENT) -> dict[str, str]:
    return {"document": document, "text": text}


def bundle(kind: str, first: object, second: object, **more: object) -> dict[str, object]:
    return {
        "accused": ENTITY, "first": first, "kind": kind, "second": second, "type": "mentormesh-evidence", "version": 1,
        **more,
    }  # fmt: skip


def _case(name: str, said: dict[str, object]) -> Case:
    text = canonical(said)
    hashed = b64u(hashlib.sha256(text.encode()).digest())
    return {"name": name, "input": text, "result": {"kind": said["kind"], "accused": said["accused"], "hash": hashed}}


def _refused(name: str, rule: str, said: dict[str, object] | str) -> Case:
    kind = {"evidence-limit": "limit", "evidence-form": "malformed", "evidence-order": "malformed"}.get(
        rule, "unverified"
    )
    text = said if isinstance(said, str) else canonical(said)
    return {"name": name, "input": text, "error": kind, "rule": rule}


def tree(size: int, leaves: list[bytes] = LEAVES, log: Party = LOG) -> str:
    text = checkpoint(size, rfc6962.mth(leaves[:size]), log.name)
    return note(text, log.signs(text))


def gap(old: int, new: int, leaves: list[bytes]) -> dict[str, object]:
    proof = [b64u(each) for each in rfc6962.proof(old, leaves[:new])]
    return {"root": b64u(rfc6962.mth(leaves[:old])), **({"proof": proof} if proof else {})}


def ordered(one: str, other: str, *documents: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return two statements of one place in their order; checkpoints of one size are ordered by their roots."""
    by = [documents[0] if documents else DOCUMENT, documents[-1] if documents else DOCUMENT]
    pair = sorted(zip((one, other), by, strict=True), key=lambda each: each[0])
    return statement(*pair[0]), statement(*pair[1])


def same_size(size: int = 300) -> tuple[dict[str, str], dict[str, str]]:
    pair = sorted((rfc6962.mth(leaves[:size]), tree(size, leaves)) for leaves in (LEAVES, FORK))
    return statement(pair[0][1]), statement(pair[1][1])


def set_head(seq: int, **changed: Any) -> str:  # noqa: ANN401 -- any field of a head
    said = {
        "audience": AUDIENCE, "issued_at": NOW + seq, "kind": "offers", "not_after": NOW + seq + 900, "origin": ENTITY,
        "prev": b64u(bytes(32)) if seq > 1 else None, "seq": seq, "shards": [b64u(bytes(32))], "size_bucket": 1,
        **changed,
    }  # fmt: skip
    return jws(canonical({name: value for name, value in said.items() if value is not None}), key("aurora log"), HEAD)


HEAD: Final = "mentormesh-head+jws"
MESSAGE: Final = "mentormesh-msg+jws"
OTHER_ROOT: Final = b64u(bytes([1] * 32))


def listed(entry: bytes, index: int = 73, log: Party = LOG) -> str:
    """Return a log proof of an entry, which stands in it as extra data."""
    leaves = [*LEAVES[:index], rfc6962.leaf(entry), *LEAVES[index + 1 :]]
    hashes = [base64_text(each) for each in rfc6962.path(index, leaves)]
    lines = ["c2sp.org/tlog-proof@v1", f"extra {base64_text(entry)}", f"index {index}", *hashes, ""]
    return "\n".join(lines) + "\n" + tree(len(leaves), leaves, log)


def leaf(seq: int, commitment: bytes) -> bytes:
    chain = hashlib.sha256(f"mentormesh/chain/v1\n{ENTITY}{AUDIENCE}offers".encode()).digest()
    said = {"chain": b64u(chain), "commitment": b64u(commitment), "seq": seq, "type": "set-head"}
    return canonical(said).encode()


def message(**changed: Any) -> str:  # noqa: ANN401 -- any field of a head
    said = message_head(**{"aud": "https://cobalt.example", **changed})
    return jws(canonical(said), key("aurora envelope_sign"), MESSAGE)


def _heads(one: str, other: str) -> dict[str, object]:
    return bundle("two-heads", *ordered(one, other))


def _good() -> list[Case]:
    first, second = set_head(7), set_head(7, shards=[OTHER_ROOT])
    one, other = message(seq=2, prev=b64u(bytes(32))), message(seq=2, prev=OTHER_ROOT)
    leaves = [leaf(7, bytes(32)), leaf(7, bytes([2] * 32))]
    return [
        _case("two checkpoints of one size", bundle("two-checkpoints", *same_size())),
        _case(
            "two checkpoints of different size",
            bundle("two-checkpoints", statement(tree(250)), statement(tree(300, FORK)), gap=gap(250, 300, FORK)),
        ),
        _case(
            "a smaller tree of a power of two",
            bundle("two-checkpoints", statement(tree(256)), statement(tree(300, FORK)), gap=gap(256, 300, FORK)),
        ),
        _case(
            "two checkpoints under two documents",
            bundle(
                "two-checkpoints",
                statement(tree(250)),
                statement(tree(300, FORK, LATER_LOG), LATER),
                gap=gap(250, 300, FORK),
            ),
        ),
        _case("two heads with one number", _heads(first, second)),
        _case(
            "a head that does not follow the one before", bundle("two-heads", statement(first), statement(set_head(8)))
        ),
        _case("two heads that a log lists under one number", _heads(listed(leaves[0]), listed(leaves[1], 99))),
        _case("a head, and another one that the log lists", _heads(first, listed(leaves[0]))),
        _case("two heads by an earlier key", bundle("two-heads", *ordered(first, second, MOVED))),
        _case(
            "a head by an earlier key, and another one that the earlier log lists",
            bundle("two-heads", *ordered(first, listed(leaves[0]), MOVED)),
        ),
        _case(
            "two checkpoints of an earlier log under the document of its successor",
            bundle(
                "two-checkpoints",
                statement(tree(250), MOVED),
                statement(tree(300, FORK), MOVED),
                gap=gap(250, 300, FORK),
            ),
        ),
        _case("two messages by an earlier key", bundle("two-messages", *ordered(one, other, MOVED))),
        _case("two messages in one place", bundle("two-messages", *ordered(one, other))),
        _case(
            "two messages with one id",
            bundle("two-messages", statement(message(seq=1, prev=None)), statement(message(seq=4, prev=OTHER_ROOT))),
        ),
        _case(
            "a message that does not follow the one before",
            bundle(
                "two-messages",
                statement(message(seq=1, prev=None)),
                statement(message(seq=2, prev=OTHER_ROOT, mid=_OTHER_MID)),
            ),
        ),
    ]


_OTHER_MID: Final = "019b7c4a-0000-7000-8000-0000000000ff"


def _payload(text: str) -> bytes:
    part = text.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _bad_form() -> list[Case]:
    pair = same_size()
    good = bundle("two-checkpoints", *pair)
    text = canonical(good)
    return [
        _refused("nothing", "evidence-form", ""),
        _refused("a space", "evidence-form", text.replace(",", ", ", 1)),
        _refused("a kind that is none", "evidence-form", {**good, "kind": "two-offers"}),
        _refused("another type", "evidence-form", {**good, "type": "evidence"}),
        _refused("another version", "evidence-form", {**good, "version": 2}),
        _refused("a further field", "evidence-form", {**good, "body": "x"}),
        _refused("a statement without a document", "evidence-form", {**good, "first": {"text": pair[0]["text"]}}),
        _refused("a gap between checkpoints of one size", "evidence-form", {**good, "gap": gap(250, 300, FORK)}),
        _refused(
            "no gap between checkpoints of different size",
            "evidence-form",
            bundle("two-checkpoints", statement(tree(250)), statement(tree(300, FORK))),
        ),
        _refused(
            "a gap between heads",
            "evidence-form",
            {**_heads(set_head(7), set_head(7, size_bucket=2)), "gap": gap(1, 2, FORK)},
        ),
        _refused("the larger root first", "evidence-order", bundle("two-checkpoints", pair[1], pair[0])),
        _refused("one checkpoint twice", "evidence-order", bundle("two-checkpoints", pair[0], pair[0])),
        _refused(
            "the larger size first",
            "evidence-order",
            bundle("two-checkpoints", statement(tree(300, FORK)), statement(tree(250)), gap=gap(250, 300, FORK)),
        ),
        _refused(
            "one head twice", "evidence-order", bundle("two-heads", statement(set_head(7)), statement(set_head(7)))
        ),
        _refused("over 256 KiB", "evidence-limit", text + " " * 262_144),
    ]


def _bad_statements() -> list[Case]:
    pair = same_size()
    birch = peers.signed(peers.document({"entity": "https://birch.example", "api": "https://birch.example"}))
    forged = Party(LOG.name, 1, "forged")
    forged_fork = note(
        checkpoint(300, rfc6962.mth(FORK), LOG.name), forged.signs(checkpoint(300, rfc6962.mth(FORK), LOG.name))
    )
    by_federation = jws(_payload(set_head(7)).decode(), key("aurora federation"), HEAD)
    wrong = {**gap(250, 300, FORK), "root": OTHER_ROOT}
    heads = ordered(set_head(7), by_federation)
    other_origin = set_head(7, origin="https://birch.example")
    return [
        _refused(
            "an earlier key under the origin of the successor",
            "evidence-statement",
            bundle(
                "two-checkpoints",
                statement(tree(250, log=Party(SUCCESSOR.name, 1, "aurora log")), MOVED),
                statement(tree(300, FORK, Party(SUCCESSOR.name, 1, "aurora log")), MOVED),
                gap=gap(250, 300, FORK),
            ),
        ),
        _refused(
            "the key of the successor under the origin of the earlier log",
            "evidence-statement",
            bundle(
                "two-checkpoints",
                statement(tree(250, log=LATER_LOG), MOVED),
                statement(tree(300, FORK, LATER_LOG), MOVED),
                gap=gap(250, 300, FORK),
            ),
        ),
        _refused(
            "a head by a key that the document names no more",
            "evidence-statement",
            bundle("two-heads", *ordered(set_head(7), set_head(7, shards=[OTHER_ROOT]), LATER)),
        ),
        _refused(
            "a document cut short",
            "evidence-document",
            bundle("two-checkpoints", {**pair[0], "document": "x"}, pair[1]),
        ),
        _refused(
            "a document whose signature is another's",
            "evidence-document",
            bundle("two-checkpoints", {**pair[0], "document": peers.signed(peers.document(), key("forged"))}, pair[1]),
        ),
        _refused(
            "a document of another node",
            "evidence-document",
            bundle("two-checkpoints", pair[0], {**pair[1], "document": birch}),
        ),
        _refused(
            "another accused",
            "evidence-document",
            {**bundle("two-checkpoints", *pair), "accused": "https://birch.example"},
        ),
        _refused(
            "a checkpoint by a key that the document does not name",
            "evidence-statement",
            bundle("two-checkpoints", statement(tree(300)), statement(forged_fork)),
        ),
        _refused(
            "a checkpoint under the document after a change of key",
            "evidence-statement",
            bundle("two-checkpoints", {**pair[0], "document": LATER}, pair[1]),
        ),
        _refused(
            "a text that is no checkpoint",
            "evidence-statement",
            bundle("two-checkpoints", statement("aurora"), pair[1]),
        ),
        _refused(
            "a gap that does not lead to the larger tree",
            "evidence-statement",
            bundle("two-checkpoints", statement(tree(250)), statement(tree(300, FORK)), gap=wrong),
        ),
        _refused("a head by the federation key", "evidence-statement", bundle("two-heads", *heads)),
        _refused("a head of another origin", "evidence-statement", _heads(set_head(7), other_origin)),
        _refused(
            "a listed head that is not in the tree",
            "evidence-statement",
            _heads(set_head(7), listed(leaf(7, bytes(32))).replace("index 73", "index 74")),
        ),
        _refused("a listed entry that is no head", "evidence-statement", _heads(set_head(7), listed(ENTRIES[73]))),
        _refused(
            "a message by the log key",
            "evidence-statement",
            bundle(
                "two-messages",
                *ordered(
                    message(seq=2, prev=OTHER_ROOT), jws(canonical(message_head(seq=2)), key("aurora log"), MESSAGE)
                ),
            ),
        ),
    ]


def _no_contradiction() -> list[Case]:
    first = set_head(7)
    following = set_head(8, prev=b64u(hashlib.sha256(_payload(first)).digest()))
    second_log = Party("aurora.example/log/2", 1, "aurora log")
    second_document = peers.signed(
        peers.document({"seq": 2, "log_origin": second_log.name, "log_vkey": second_log.vkey})
    )
    one = message(seq=1, prev=None)
    hashed = b64u(hashlib.sha256(one.encode()).digest())
    own_leaf = hashlib.sha256(b"mentormesh/head-leaf/v1\n" + first.encode()).digest()
    elsewhere = message(seq=1, prev=None, aud="https://delta.example")
    return [
        _refused(
            "a larger tree that begins with the smaller one",
            "no-contradiction",
            bundle("two-checkpoints", statement(tree(250)), statement(tree(300)), gap=gap(250, 300, LEAVES)),
        ),
        _refused(
            "checkpoints of a log and its successor",
            "no-contradiction",
            bundle(
                "two-checkpoints",
                statement(tree(250)),
                statement(tree(300, FORK, second_log), second_document),
                gap=gap(250, 300, FORK),
            ),
        ),
        _refused(
            "a head and the one that follows",
            "no-contradiction",
            bundle("two-heads", statement(first), statement(following)),
        ),
        _refused(
            "heads with a gap between",
            "no-contradiction",
            bundle("two-heads", statement(first), statement(set_head(9))),
        ),
        _refused("heads of two sets", "no-contradiction", _heads(first, set_head(7, kind="keys"))),
        _refused(
            "a head, and the same as its log lists it", "no-contradiction", _heads(first, listed(leaf(7, own_leaf)))
        ),
        _refused(
            "a message and the one that follows",
            "no-contradiction",
            bundle("two-messages", statement(one), statement(message(seq=2, prev=hashed, mid=_OTHER_MID))),
        ),
        _refused("messages to two receivers", "no-contradiction", bundle("two-messages", *ordered(one, elsewhere))),
    ]
