"""Vectors of docs/protocol/42-sealing.md: contexts are made again each time; sealed parts are frozen.

What is sealed cannot be made twice: HPKE draws its own randomness. `python -m tests.vectors.generate.brief` seals anew,
which is right only when the format has changed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from protocol import contexts
from protocol.contexts import ThreadContext
from protocol.devices import sealing_key_hash
from protocol.e2ee.agreed import seal_agreed
from protocol.e2ee.consent import consent_hash
from protocol.encoding import b64, unb64
from protocol.signing import SigningKey
from tests.protocol.e2ee import people
from tests.protocol.e2ee.people import AUDIENCE, CONTEXT, MENTOR, NOW, OTHER_AUDIENCE, OTHER_ID, REF, REPLY, STRANGER

from .devices import Case, file

FOLDER: Final = Path(__file__).parents[1]

#: Checked by opening only.
frozen: Final = ("brief/brief.json", "brief/agreed.json")


def files() -> dict[str, bytes]:
    """Return the content of each vector file that is made again, by its path under `tests/vectors`."""
    return {
        "brief/contexts.json": file(
            "42-sealing §3",
            "`result` is the `info` or associated data as hex; `key` is the SHA-256 of the sealing key.",
            _contexts(),
        ),
        "brief/consent.json": file(
            "42-sealing §7",
            "`input` is opened with the device keys `keys`; `hash` names it in the agreement.",
            _consents(),
        ),
    }


def seal() -> dict[str, bytes]:
    """Return new content of the frozen files."""
    return {
        "brief/brief.json": file(
            "42-sealing §6",
            "`input` names one of `sealed`, which is opened with the X-Wing seed `seed` in `context`; `result` are the "
            "words, the reply key's hash and the key packages.",
            _briefs(),
            sealed=_sealed_briefs(),
        ),
        "brief/agreed.json": file(
            "42-sealing §8",
            "`input` names one of `sealed`, which is opened with the X-Wing seed `seed` and then checked against "
            "`agreement` and `sent`.",
            _agreed(),
            sealed=_sealed_agreed(),
        ),
    }


def _plain(value: object) -> Any:  # noqa: ANN401 -- JSON is of any type
    return msgspec.json.decode(msgspec.json.encode(value))


def _contexts() -> list[Case]:
    key = MENTOR.sealing().public
    made: list[tuple[str, Callable[[ThreadContext, str, str], bytes]]] = [
        ("request", lambda context, _ref, _audience: contexts.request(context, key)),
        ("quote", lambda context, _ref, _audience: contexts.quote(context, key)),
        ("choice", lambda context, _ref, _audience: contexts.choice(context, key)),
        ("brief_wrap", lambda context, ref, aud: contexts.brief_wrap(context, ref=ref, audience=aud, key=key)),
        ("brief_box", lambda context, ref, aud: contexts.brief_box(context, ref=ref, audience=aud)),
        (
            "agreed_private",
            lambda context, ref, aud: contexts.agreed_private(context, ref=ref, audience=aud, reply_key=key),
        ),
    ]
    base = {"context": _plain(CONTEXT), "key": sealing_key_hash(key), "ref": REF, "audience": AUDIENCE}
    accepted = [
        {"name": f"the context of {purpose}", "purpose": purpose, **base, "result": make(CONTEXT, REF, AUDIENCE).hex()}
        for purpose, make in made
    ]
    return [
        *accepted,
        *(
            {"name": f"{purpose} of a short thread", "purpose": purpose, **base, "error": "malformed"}
            | {"context": {**base["context"], "thread": "AAAA"}}
            for purpose, _ in made
        ),
    ]


def _consents() -> list[Case]:
    device, stranger = MENTOR.key(), STRANGER.key()

    def case(name: str, text: str, *keys: SigningKey, **outcome: object) -> Case:
        return {"name": name, "input": text, "keys": [key.public.text for key in keys], **outcome}

    good, timeless = people.consent_text(), people.consent_text(slot=None)
    said = {"accepted": people.ACCEPTED, "ref": REF, "thread": people.THREAD}
    return [
        case("a consent to a slot", good, device, result={**said, "slot": people.SLOT}, hash=consent_hash(good)),
        case("a consent to a text session", timeless, stranger, device, result=said, hash=consent_hash(timeless)),
        case("a consent of another device", good, stranger, error="unverified"),
        case("a changed consent", good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BAAA"), device, error="unverified"),
        case("a certificate in place of a consent", MENTOR.certificate(), device, error="malformed"),
    ]


def _flip(text: str) -> str:
    """Return sealed text with one bit changed in the middle."""
    data = bytearray(unb64(text))
    data[len(data) // 2] ^= 1
    return b64(bytes(data))


def _sealed_briefs() -> dict[str, Any]:
    sealed = people.sealed_brief(1, 2)
    return {
        "two readers": _plain(sealed),
        "one bit of the box changed": _plain(replace(sealed, box=_flip(sealed.box))),
        "a reader taken away": _plain(replace(sealed, wrapped=sealed.wrapped[:1])),
        "signed by another device": _plain(people.sealed_brief(signer=STRANGER.key())),
    }


def _briefs() -> list[Case]:
    def case(name: str, sealed: str = "two readers", **changed: object) -> Case:
        expected = {
            "input": sealed,
            "seed": b64(MENTOR.sealing().seed),
            "context": _plain(CONTEXT),
            "ref": REF,
            "audience": AUDIENCE,
            "now": NOW,
        }
        return {"name": name, **expected, **changed}

    brief = people.ordinary_brief()
    result = {
        "words": _plain(brief.words),
        "reply_key": sealing_key_hash(REPLY.public),
        "key_packages": [b64(one) for one in brief.key_packages],
    }
    other = replace(CONTEXT, thread=OTHER_ID)
    return [
        case("the first device of the mentor", result=result),
        case("the second device of the mentor", seed=b64(MENTOR.sealing(2).seed), result=result),
        case("a device it is not sealed to", seed=b64(STRANGER.sealing().seed), error="unverified"),
        case("another thread", context=_plain(other), error="unverified"),
        case("another candidate", ref=OTHER_ID, error="unverified"),
        case("another audience", audience=OTHER_AUDIENCE, error="unverified"),
        case("one bit of the box changed", "one bit of the box changed", error="unverified"),
        case("a reader taken away", "a reader taken away", error="unverified"),
        case("signed by another device", "signed by another device", error="unverified"),
    ]


def _sealed_agreed() -> dict[str, str]:
    sealed = seal_agreed(people.private(), REPLY.public, CONTEXT, ref=REF, audience=AUDIENCE)
    return {"private": sealed, "one bit changed": _flip(sealed), "with padding": sealed + "="}


def _agreed() -> list[Case]:
    def case(name: str, sealed: str = "private", **changed: object) -> Case:
        expected = {
            "input": sealed,
            "seed": b64(REPLY.seed),
            "sent": _plain(people.sent()),
            "agreement": _plain(people.agreement()),
            "now": NOW,
        }
        return {"name": name, **expected, **changed}

    result = {
        "label": MENTOR.account.label(AUDIENCE),
        "master_key": MENTOR.account.master().public.text,
        "devices": [MENTOR.key().public.text],
        "welcome": b64(people.private().welcome),
    }
    foreign = replace(people.sent(), sealed_to=(people.OTHER_HASH,))
    return [
        case("a mentor who owns every key", result=result),
        case("a brief sealed to a foreign key", sent=_plain(foreign), error="unverified", code="foreign-reader"),
        case("another slot in the agreement", agreement=_plain(people.agreement(slot=NOW)), error="unverified"),
        case("another message", sent=_plain(replace(people.sent(), accepted=OTHER_AUDIENCE)), error="unverified"),
        case("another reply key", seed=b64(people.seed("other")), error="unverified"),
        case("one bit changed", "one bit changed", error="unverified"),
        case("base64url with padding", "with padding", error="malformed"),
    ]


if __name__ == "__main__":
    for path, content in seal().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_bytes(content)
