"""Vectors of docs/protocol/45-sessions.md and 48-mls.md; what is encrypted is frozen.

`python -m tests.vectors.generate.session` encrypts anew, which is right only when the format has changed.
"""

import hashlib
from typing import Any, Final

from protocol import contexts
from protocol.e2ee.content import seal_content
from protocol.e2ee.crypto import Member
from protocol.e2ee.mls import commits
from protocol.e2ee.mls.codec import optional, vector_of
from protocol.e2ee.mls.commits import Rules
from protocol.e2ee.mls.engine import MlsCrypto, Session, newcomer_of
from protocol.e2ee.mls.framing import APPLICATION, COMMIT, PrivateMessage
from protocol.e2ee.mls.nodes import Extension, write_node
from protocol.e2ee.mls.profile import PRODUCT
from protocol.e2ee.mls.state import alone
from protocol.e2ee.mls.suites import X_WING
from protocol.e2ee.mls.tree import Tree, tree_hash
from protocol.e2ee.rejoin import Answer, Rejoin, ask_with, seal_rejoin
from protocol.encoding import b64, encode, label, length_prefixed, sha256, unb64
from tests.e2ee.groups import invited
from tests.protocol.e2ee.people import ACCEPTED, MENTEE, MENTOR, NOW, OTHER_HASH, OTHER_ID, STRANGER, THREAD, seed

from .brief import FOLDER
from .devices import Case, file

ENGINE: Final = MlsCrypto()
CONTEXT: Final = contexts.session(thread=THREAD, accepted=ACCEPTED, consent=OTHER_HASH)
MENTOR_OWN, MENTOR_PACKAGE = ENGINE.prepare(MENTOR.key(), MENTOR.certificate(), now=NOW, entropy=seed("mentor's"))
MENTEE_OWN, MENTEE_PACKAGE = ENGINE.prepare(MENTEE.key(), MENTEE.certificate(), now=NOW, entropy=seed("mentee's"))
STRANGER_OWN, STRANGER_PACKAGE = ENGINE.prepare(
    STRANGER.key(), STRANGER.certificate(), now=NOW, entropy=seed("stranger's")
)

#: Checked by opening only.
frozen: Final = ("session/welcome.json", "session/messages.json")


def files() -> dict[str, bytes]:
    """Return the content of each vector file that is made again, by its path under `tests/vectors`."""
    return {
        "session/context.json": file("45-sessions §2", "`result` is the context as hex.", _contexts()),
        "session/mark.json": file(
            "48-mls §11",
            "`input` is a message whose ciphertext is nobody's, as hex; `result` is the mark that it claims as hex, "
            "which is that of `authenticator` if there is one, and empty for none.",
            _marks(),
        ),
        "session/rejoin.json": file(
            "45-sessions §8",
            "`input` is the ciphertext of an envelope in `thread`, as hex, `key` that of the session; `result` is what "
            "it says, as JSON text.",
            _rejoins(),
        ),
    }


def seal() -> dict[str, bytes]:
    """Return new content of the frozen files."""
    started, welcome = _start(MENTEE_PACKAGE)
    return {
        "session/welcome.json": file(
            "48-mls §2–§4, §9",
            "The mentee's device (Ed25519 seed `device`) joins by `input` in `context` (hex) at `now`, where `allowed` "
            "are the keys it has checked; `secret` is L(entropy) ‖ L(its key package), of which `init` and `leaf` are "
            "the private keys. `result` are the members.",
            _welcomes(welcome),
        ),
        "session/messages.json": file(
            "48-mls §5–§6",
            "The mentee's device joins by the first case of welcome.json and receives these in order at `now`; `input` "
            "and `result` (the frame's bytes) are base64url, and the number of an epoch for a change of keys. A "
            "refused message leaves the state as it was.",
            _messages(started),
        ),
    }


def _private(purpose: str) -> bytes:
    """Return a private key of the mentee's key package, as page 48 §9 says and without the engine."""
    draws = hashlib.shake_256(b"mentormesh/mls-draws/v1\n" + purpose.encode() + b"\n" + seed("mentee's")).digest(64)
    return hashlib.shake_256(draws).digest(32)


def anybody(member: Member) -> None:
    """Accept every member."""
    del member


def _contexts() -> list[Case]:
    def case(name: str, **changed: str) -> Case:
        return {"name": name, "thread": THREAD, "accepted": ACCEPTED, "consent": OTHER_HASH, **changed}

    swapped = contexts.session(thread=THREAD, accepted=OTHER_HASH, consent=ACCEPTED)
    return [
        case("a session's context") | {"result": CONTEXT.hex()},
        case("message and consent exchanged", accepted=OTHER_HASH, consent=ACCEPTED) | {"result": swapped.hex()},
        case("a thread of another size", thread=OTHER_ID[:-1]) | {"error": "malformed"},
        case("a hash of another size", consent=OTHER_ID) | {"error": "malformed"},
    ]


def _marks() -> list[Case]:
    authenticator = sha256(b"authenticator") * 2
    mark = hashlib.sha256(b"mentormesh/epoch-mark/v1\n" + len(authenticator).to_bytes(4, "big") + authenticator)
    value = mark.digest()[:4]

    def message(data: bytes, kind: int = APPLICATION) -> bytes:
        return PrivateMessage(seed("group")[:16], 3, kind, data, bytes(28), bytes(99)).encoded()

    def case(name: str, data: bytes, **more: object) -> Case:
        return {"name": name, "input": data.hex(), **more}

    good = message(value)
    claims: Case = {"authenticator": authenticator.hex(), "result": value.hex()}
    return [
        case("a message of an epoch", good, **claims),
        case("a commit of an epoch", message(value, COMMIT), **claims),
        case("a message without a mark", message(b""), result=""),
        case("a message with a mark of another size", message(value + b"x"), result=""),
        case("a message cut inside its mark", good[:33], error="malformed"),
        case("a message with a byte more", good + b"x", error="malformed"),
        case("a key package", MENTEE_PACKAGE, error="malformed"),
        case("nothing", b"", error="malformed"),
    ]


def _rejoins() -> list[Case]:
    key, salt = seed("rejoin"), seed("salt")
    answer = Answer(device=MENTEE.key().public.text, number=7, welcome=b64(b"welcome"))
    asked, answered = ask_with(MENTEE_PACKAGE, at=NOW), Rejoin(at=NOW, content=answer)
    good = seal_rejoin(answered, key, thread=THREAD, salt=salt)

    def case(name: str, data: bytes, **more: object) -> Case:
        return {"name": name, "thread": THREAD, "key": key.hex(), "input": data.hex(), **more}

    def sealed(text: str) -> bytes:
        once = sha256(label("rejoin-key"), length_prefixed(key, salt))
        aad = label("rejoin") + length_prefixed(unb64(THREAD))
        return b"\xff" + salt + seal_content(text.encode(), once, aad)

    said = encode(answered).decode()
    return [
        case("an ask", seal_rejoin(asked, key, thread=THREAD, salt=salt), result=encode(asked).decode()),
        case("an answer", good, result=said),
        case("an answer as this page says it", sealed(said), result=said),
        case("of another session", good, thread=OTHER_ID, error="unverified"),
        case("of another key", good, key=seed("another").hex(), error="unverified"),
        case("one bit changed", good[:-1] + bytes([good[-1] ^ 1]), error="unverified"),
        case("another salt", good[:1] + seed("another") + good[33:], error="unverified"),
        case("cut inside the salt", good[:20], error="malformed"),
        case("a message of the group", b"\x00\x01" + good[2:], error="malformed"),
        case("of no known type", sealed(said.replace('"answer"', '"order"')), error="malformed"),
        case("with a number of zero", sealed(said.replace('"number":7', '"number":0')), error="malformed"),
        case("with a field more", sealed(said.replace('"at"', '"and":1,"at"')), error="malformed"),
    ]


def _start(*packages: bytes, own: Any = MENTOR_OWN, context: bytes = CONTEXT) -> tuple[Session, bytes]:  # noqa: ANN401 -- an Own
    return ENGINE.start(own, packages, context=context, check=anybody, now=NOW, entropy=seed("group"))


def _welcomes(good: bytes) -> list[Case]:
    changed = good[:-1] + bytes([good[-1] ^ 1])
    _, elsewhere = _start(MENTEE_PACKAGE, context=sha256(b"another session"))

    def case(name: str, welcome: bytes, **outcome: object) -> Case:
        given = {
            "device": b64(MENTEE_OWN.device.seed),
            "secret": b64(MENTEE_OWN.secret),
            "init": b64(_private("init")),
            "leaf": b64(_private("leaf")),
            "context": CONTEXT.hex(),
            "allowed": [MENTOR.key().public.text, MENTEE.key().public.text],
            "now": NOW,
            "input": b64(welcome),
        }
        return {"name": name, **given, **outcome}

    members = [MENTOR.key().public.text, MENTEE.key().public.text]
    unverified = {"error": "unverified"}
    return [
        case("a group of two", good, result=members),
        case("a group for another agreement", elsewhere, **unverified, code="wrong-context"),
        case("a starter that was not checked", _start(MENTEE_PACKAGE, own=STRANGER_OWN)[1], **unverified),
        case("a member that was not checked", _start(MENTEE_PACKAGE, STRANGER_PACKAGE)[1], **unverified),
        case("one bit of the group changed", changed, **unverified, code="mls-decrypt"),
        case("a group without this device", _start(STRANGER_PACKAGE)[1], **unverified, code="mls-decrypt"),
        case("a welcome cut short", good[:-1], error="malformed"),
        *(case(name, welcome, **outcome) for name, welcome, outcome in _crafted()),
    ]


def _crafted() -> list[tuple[str, bytes, Case]]:
    """Return welcomes of a starter that holds every key and signs what no honest program makes."""
    starter, guest = newcomer_of(MENTOR_OWN), newcomer_of(MENTEE_OWN)
    begun = alone(
        X_WING,
        starter.package.leaf,
        private=starter.private,
        seed=starter.seed,
        agreement=CONTEXT,
        entropy=seed("crafted group"),
    )
    rules = Rules(PRODUCT, NOW, lambda _leaf: None)
    change = commits.make(begun, add=[guest.package], rules=rules, entropy=seed("crafted commit"))
    tree = change.next.tree
    member, parent = (optional(write_node(node)) for node in tree.nodes[:2] if node is not None)
    wide = Tree((*tree.nodes[:2], *[None] * 62, tree.nodes[2], *[None] * 62))

    def made(**given: Any) -> bytes:  # noqa: ANN401 -- parts of a welcome
        return invited(begun, change, guest, **given)

    def refused(error: str, code: str) -> Case:
        return {"error": error, "code": f"mls-{code}"}

    more = (*change.next.context.extensions, Extension(0xF0A8, b""))
    return [
        ("a tree that ends with a parent", made(tree=vector_of([member, parent])), refused("malformed", "form")),
        (
            "a tree of 64 places",
            made(tree=wide.encoded(), tree_hash=tree_hash(wide, X_WING)),
            refused("unverified", "tree"),
        ),
        ("a path secret of another tree", made(path_secret=bytes(64)), refused("unverified", "commit")),
        ("an epoch that no session has", made(epoch=2**20 + 1), refused("refused", "profile")),
        ("a group id of 15 bytes", made(group_id=bytes(15)), refused("refused", "profile")),
        ("an extension beside the agreement", made(extensions=more), refused("refused", "profile")),
    ]


def _messages(state: Session) -> list[Case]:
    made: list[bytes] = []
    for number in range(3):
        state, message = _encrypt(state, f"message {number + 1}", number)
        made.append(message)
    elsewhere, _ = _start(MENTEE_PACKAGE, context=sha256(b"another session"))
    _, foreign = _encrypt(elsewhere, "elsewhere", 9)
    state, commit = ENGINE.change(state, check=anybody, now=NOW, entropy=seed("commit"))
    before, (state, _) = state, ENGINE.receive(state, commit, check=anybody, now=NOW)
    _, under_way = _encrypt(before, "under way", 4)
    _, after = _encrypt(state, "of the new epoch", 5)

    def case(name: str, message: bytes, **outcome: object) -> Case:
        return {"name": name, "now": NOW, "input": b64(message), **outcome}

    def changed(message: bytes, at: int) -> bytes:
        return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]

    first, second, third = made
    return [
        case("the second message comes first", second, result=b64(b"message 2")),
        case("the second message again", second, error="refused", code="replayed"),
        case("the third of another group", changed(third, 7), error="refused", code="mls-epoch"),
        case("the third of another epoch", changed(third, 28), error="refused", code="mls-epoch"),
        case("the third from another sender", changed(third, 40), error="unverified", code="mls-decrypt"),
        case("the third with a changed frame", changed(third, len(third) - 20), error="unverified", code="mls-decrypt"),
        case("the third cut short", third[:-1], error="malformed", code="mls-form"),
        case("a message of another agreement", foreign, error="unverified", code="mls-decrypt"),
        case("another version", changed(third, 1), error="malformed", code="mls-form"),
        case("the genuine third", third, result=b64(b"message 3")),
        case(
            "a change of keys, damaged",
            changed(commit, len(commit) - 30),
            error="unverified",
            code="mls-decrypt",
        ),
        case("a message of an epoch to come", after, error="refused", code="mls-epoch"),
        case("a change of keys", commit, result=2),
        case("the same change again", commit, error="refused", code="mls-epoch"),
        case("the first, late", first, result=b64(b"message 1")),
        case("the first again", first, error="refused", code="replayed"),
        case("a message that was under way", under_way, result=b64(b"under way")),
        case("a message of the new epoch", after, result=b64(b"of the new epoch")),
        case("one of the old epoch after a minute", under_way, error="refused", code="mls-epoch") | {"now": NOW + 61},
        case("a welcome", _start(MENTEE_PACKAGE)[1], error="malformed", code="mls-form"),
    ]


def _encrypt(state: Session, text: str, number: int) -> tuple[Session, bytes]:
    return ENGINE.encrypt(state, text.encode(), entropy=seed(f"message key {number}"))


if __name__ == "__main__":
    for path, content in seal().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_bytes(content)
