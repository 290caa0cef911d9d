"""Vectors of docs/protocol/45-sessions.md and 46-session-interim.md; messages of a session are frozen.

`python -m tests.vectors.generate.session` encrypts anew, which is right only when the format has changed.
"""

from typing import Any, Final

from protocol import contexts
from protocol.e2ee.interim import Group, InterimCrypto
from protocol.encoding import b64, sha256
from tests.protocol.e2ee.people import ACCEPTED, MENTEE, MENTOR, OTHER_HASH, OTHER_ID, STRANGER, THREAD, seed

from .brief import FOLDER
from .devices import Case, file

ENGINE: Final = InterimCrypto()
CONTEXT: Final = contexts.session(thread=THREAD, accepted=ACCEPTED, consent=OTHER_HASH)
MENTOR_OWN, MENTOR_PACKAGE = ENGINE.prepare(MENTOR.key(), entropy=seed("mentor's session"))
MENTEE_OWN, MENTEE_PACKAGE = ENGINE.prepare(MENTEE.key(), entropy=seed("mentee's session"))
STRANGER_OWN, STRANGER_PACKAGE = ENGINE.prepare(STRANGER.key(), entropy=seed("stranger's session"))

#: Checked by opening only.
frozen: Final = ("session/messages.json",)


def files() -> dict[str, bytes]:
    """Return the content of each vector file that is made again, by its path under `tests/vectors`."""
    return {
        "session/context.json": file("45-sessions §2", "`result` is the context as hex.", _contexts()),
        "session/welcome.json": file(
            "46-session-interim §3",
            "The mentee's device (Ed25519 seed `device`, X-Wing seed `secret`) joins by `input` in `context` (hex), "
            "where `allowed` are the device keys it has checked. `result` are the members.",
            _welcomes(),
        ),
    }


def seal() -> dict[str, bytes]:
    """Return new content of the frozen files."""
    return {
        "session/messages.json": file(
            "46-session-interim §4–§5",
            "The mentee's device joins by the first case of welcome.json and receives these in order; `input` and "
            "`result` (the frame's bytes) are base64url. A refused message leaves the state as it was.",
            _messages(),
        )
    }


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


def _welcome(*packages: bytes, own: Any = MENTOR_OWN, context: bytes = CONTEXT) -> bytes:  # noqa: ANN401 -- an Own
    return ENGINE.start(own, packages, context=context, entropy=b"")[1]


def _welcomes() -> list[Case]:
    good = _welcome(MENTEE_PACKAGE)
    changed = good[:-1] + bytes([good[-1] ^ 1])
    elsewhere = _welcome(MENTEE_PACKAGE, context=sha256(b"another session"))

    def case(name: str, welcome: bytes, **outcome: object) -> Case:
        given = {
            "device": b64(MENTEE_OWN.device.seed),
            "secret": b64(MENTEE_OWN.secret),
            "context": CONTEXT.hex(),
            "allowed": [MENTOR.key().public.text],
            "input": b64(welcome),
        }
        return {"name": name, **given, **outcome}

    members = [MENTOR.key().public.text, MENTEE.key().public.text]
    return [
        case("a group of two", good, result=members),
        case("a group for another agreement", elsewhere, error="unverified"),
        case("a starter that was not checked", _welcome(MENTEE_PACKAGE, own=STRANGER_OWN), error="unverified"),
        case("a member that was not checked", _welcome(MENTEE_PACKAGE, STRANGER_PACKAGE), error="unverified"),
        case("one bit of the signature changed", changed, error="unverified"),
        case("a group without this device", _welcome(STRANGER_PACKAGE), error="refused"),
        case("a welcome cut short", good[:-1], error="malformed"),
    ]


def _messages() -> list[Case]:
    state, _ = ENGINE.start(MENTOR_OWN, (MENTEE_PACKAGE,), context=CONTEXT, entropy=b"")
    made: list[bytes] = []
    for number in range(3):
        state, message = _encrypt(state, f"message {number + 1}", number)
        made.append(message)
    elsewhere, _ = ENGINE.start(MENTOR_OWN, (MENTEE_PACKAGE,), context=sha256(b"another session"), entropy=b"")
    _, foreign = _encrypt(elsewhere, "elsewhere", 9)

    def case(name: str, message: bytes, **outcome: object) -> Case:
        return {"name": name, "input": b64(message), **outcome}

    def changed(message: bytes, at: int) -> bytes:
        return message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :]

    first, second, third = made
    return [
        case("the second message comes first", second, result=b64(b"message 2")),
        case("the second message again", second, error="refused"),
        case("the third with another number in its head", changed(third, 9), error="refused"),
        case("the third with a changed wrap", changed(third, 500), error="unverified"),
        case("the third with a changed signature or frame", changed(third, -20 % len(third)), error="unverified"),
        case("the third cut short", third[:-1], error="unverified"),
        case("a message of another session", foreign, error="unverified"),
        case("another version", changed(third, 0), error="malformed"),
        case("no member of the group", bytes([1, 7]) + third[2:], error="malformed"),
        case("the genuine third", third, result=b64(b"message 3")),
        case("the first, late", first, result=b64(b"message 1")),
        case("the first again", first, error="refused"),
    ]


def _encrypt(state: Group, text: str, number: int) -> tuple[Group, bytes]:
    return ENGINE.encrypt(state, text.encode(), entropy=seed(f"message key {number}"))


if __name__ == "__main__":
    for path, content in seal().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_bytes(content)
