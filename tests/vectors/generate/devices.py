"""Vectors of docs/protocol/43-devices.md and 46-own-devices.md; what is sealed is frozen.

`python -m tests.vectors.generate.devices` seals anew, which is right only when the format has changed.
"""

import json
from pathlib import Path
from typing import Any, Final

from protocol import jws
from protocol.devices import (
    DEVICE_TYP,
    IDENTITY_TYP,
    MAX_DEVICE_LIFETIME_S,
    MAX_SEALING_LIFETIME_S,
    MAX_SKEW_S,
    SEALING_KEY_TYP,
    sealing_key_hash,
    sign_sealing_key,
)
from protocol.e2ee import pake
from protocol.e2ee.keys import AccountSecret, DeviceKey, DeviceSecret, PersonSealingKey, certify
from protocol.e2ee.linking import Account, LinkKey, NewSide, OldSide
from protocol.e2ee.safety import safety_number
from protocol.e2ee.siblings import Invite, Word, seal_word
from protocol.encoding import b64, encode, sha256
from protocol.signing import SigningKey

Case = dict[str, Any]
#: Checked by opening only.
frozen: Final = ("devices/siblings.json",)

NOW: Final = 1_767_000_000
AUDIENCE: Final = b64(sha256(b"audience of the vectors"))
OTHER: Final = b64(sha256(b"another audience"))
ACCOUNT: Final = AccountSecret(sha256(b"account secret"))
DEVICE: Final = DeviceSecret(sha256(b"device secret"))
STRANGER: Final = AccountSecret(sha256(b"secret of a stranger"))
SEALING: Final = PersonSealingKey(sha256(b"sealing key"))


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "devices/derived.json": file(
            "43-devices §2",
            "Keys and names of one audience; secrets and keys as base64url. A wrong audience id is malformed.",
            _derived(),
        ),
        "devices/identity.json": file(
            "43-devices §3", "`input` is opened with the master key `key` for `audience`.", _identity()
        ),
        "devices/certificates.json": file(
            "43-devices §4", "`input` is opened with the identity key `key` for `audience` at `now`.", _certificates()
        ),
        "devices/sealing-keys.json": file(
            "43-devices §5", "`input` is opened with the device key `key` at `now`.", _sealing_keys()
        ),
        "devices/linking.json": file(
            "46-own-devices §3, §4",
            "A run of both sides: their X-Wing keys are made from `seed_new` and `seed_old`, their scalars from "
            "`entropy_new` and `entropy_old`. `typed` is what is typed at the old device if it differs from `digits`, "
            "`changed` what becomes of fields of the reply on the way. `result` are opening and reply.",
            _linking(),
        ),
        "devices/safety.json": file(
            "43-devices §7", "`result` is the safety number of two people with these master keys.", _safety()
        ),
    }


def seal() -> dict[str, bytes]:
    """Return new content of the frozen file."""
    return {
        "devices/siblings.json": file(
            "46-own-devices §6",
            "`input` is opened with the X-Wing seed `seed` for `audience` at `now`; `key` is the person's identity key "
            "there. `result` are the sender's device key and the word.",
            _siblings(),
        )
    }


def _siblings() -> list[Case]:
    word = Word(thread=b64(sha256(b"thread")[:16]), at=NOW, content=Invite())
    other = PersonSealingKey(sha256(b"another sealing key"))

    def item(account: AccountSecret, *, to: PersonSealingKey = SEALING, audience: str = AUDIENCE) -> bytes:
        certificate = certify(account, DEVICE, audience=audience, now=NOW)
        return seal_word(word, to.public, DEVICE.key(audience), certificate, audience=audience)

    def case(name: str, data: bytes, **more: object) -> Case:
        given = {"input": b64(data), "seed": b64(SEALING.seed), "key": ACCOUNT.identity(AUDIENCE).public.text}
        return {"name": name, "now": NOW, "audience": AUDIENCE, **given, **more}

    right = item(ACCOUNT)
    result = {"device": DEVICE.key(AUDIENCE).public.text, "word": encode(word).decode()}
    changed = right[:-1] + bytes([right[-1] ^ 1])
    return [
        case("an invitation", right, result=result),
        case("a byte changed", changed, error="unverified"),
        case("sealed to another key", item(ACCOUNT, to=other), error="unverified"),
        case("of a stranger's device", item(STRANGER), error="unverified"),
        case("for another audience", item(ACCOUNT, audience=OTHER), error="unverified"),
        case("after the certificate's end", right, now=NOW + MAX_DEVICE_LIFETIME_S, error="unverified"),
        case("cut short", right[:500], error="malformed"),
    ]


def file(spec: str, comment: str, cases: list[Case], **shared: object) -> bytes:
    """Return a vector file; `shared` is what several cases refer to."""
    content = {"spec": spec, "comment": comment, **shared, "cases": cases}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _safety() -> list[Case]:
    one, other = ACCOUNT.master().public, STRANGER.master().public
    return [
        {"name": "two people", "one": one.text, "other": other.text, "result": safety_number(one, other)},
        {"name": "the other of the two", "one": other.text, "other": one.text, "result": safety_number(one, other)},
        {"name": "a key of 31 bytes", "one": b64(bytes(31)), "other": other.text, "error": "malformed"},
        {"name": "a key of small order", "one": one.text, "other": b64(bytes(32)), "error": "malformed"},
    ]


def _linking() -> list[Case]:
    account = Account(entity="https://aurora.example", member="member-1")
    run, seeds = b64(sha256(b"run")[:16]), (sha256(b"new"), sha256(b"old"))
    entropy = sha256(b"n1") + sha256(b"n2"), sha256(b"o1") + sha256(b"o2")

    def case(name: str, code: str, **more: object) -> Case:
        ends = {"seed_new": seeds[0], "seed_old": seeds[1], "entropy_new": entropy[0], "entropy_old": entropy[1]}
        given = {"entity": account.entity, "member": account.member, "digits": code, "run": run}
        return {"name": name, **given, **{key: b64(value) for key, value in ends.items()}, **more}

    def right(name: str, code: str, **more: object) -> Case:
        new = NewSide(account, code, run=run, key=LinkKey(seeds[0]), entropy=entropy[0])
        old = OldSide(account, code, new.opening, key=LinkKey(seeds[1]), entropy=entropy[1])
        return case(name, code, **more, result={"opening": new.opening.decode(), "reply": old.reply.decode()})

    def wrong(name: str, error: str, field: str, value: str) -> Case:
        return case(name, "12345678", changed={field: value}, error=error)

    stranger = LinkKey(sha256(b"stranger")).public.text
    other = pake.begin(b"12345678", b"another run", entropy=entropy[1])
    return [
        right("eight digits", "12345678"),
        right("a code with zeros before", "00000007"),
        right("as a person types it", "12345678", typed="1234 56-78"),
        right("as a QR code says it", "12345678", typed="mentormesh:link/1/12345678"),
        case("another code at the old device", "12345678", typed="12345679", error="unverified"),
        case("seven digits", "12345678", typed="1234567", error="malformed"),
        wrong("another key on the way", "unverified", "key", stranger),
        wrong("another share on the way", "unverified", "share", b64(other.share)),
        wrong("another confirmation", "unverified", "confirm", b64(sha256(b"another"))),
        wrong("a share of small order", "malformed", "share", b64(b"\x01" + bytes(31))),
        wrong("a share that is no point", "malformed", "share", b64(b"\x02" + bytes(31))),
        wrong("a share of 31 bytes", "malformed", "share", b64(bytes(31))),
    ]


def _derived() -> list[Case]:
    def case(name: str, audience: str) -> Case:
        secrets = {"account_secret": b64(ACCOUNT.seed), "device_secret": b64(DEVICE.seed), "audience": audience}
        return {"name": name, **secrets}

    def result(audience: str) -> Case:
        return {
            "master_key": ACCOUNT.master().public.text,
            "identity_key": ACCOUNT.identity(audience).public.text,
            "label": ACCOUNT.label(audience),
            "device_key": DEVICE.key(audience).public.text,
            "device_id": DEVICE.device_id(audience),
        }

    return [
        case("one audience", AUDIENCE) | {"result": result(AUDIENCE)},
        case("another audience shares the master key only", OTHER) | {"result": result(OTHER)},
        case("an audience of 31 bytes", b64(bytes(31))) | {"error": "malformed"},
        case("an audience in another spelling", AUDIENCE + "=") | {"error": "malformed"},
    ]


def _signed(payload: dict[str, Any], key: SigningKey, typ: str) -> str:
    return jws.sign(encode(payload), key, typ)


def _last_bit(text: str) -> str:
    """Return a JWS whose signature differs in one bit."""
    head, _, signature = text.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _identity() -> list[Case]:
    master, good = ACCOUNT.master(), ACCOUNT.state_identity(AUDIENCE)
    payload = {
        "audience": AUDIENCE,
        "identity_key": ACCOUNT.identity(AUDIENCE).public.text,
        "label": ACCOUNT.label(AUDIENCE),
        "seq": 1,
    }

    def case(name: str, text: str, **outcome: object) -> Case:
        return {"name": name, "input": text, "key": master.public.text, "audience": AUDIENCE, **outcome}

    def altered(**changes: object) -> str:
        return _signed({**payload, **changes}, master, IDENTITY_TYP)

    return [
        case("a statement of the master key", good, result=payload),
        case("a later statement", altered(seq=7), result={**payload, "seq": 7}),
        case("one for another audience", ACCOUNT.state_identity(OTHER), error="unverified"),
        case("one by another master key", STRANGER.state_identity(AUDIENCE), error="unverified"),
        case("one bit of the signature changed", _last_bit(good), error="unverified"),
        case("a sequence number of 0", altered(seq=0), error="malformed"),
        case("a field that is not specified", altered(more=1), error="malformed"),
        case("signed as another type", _signed(payload, master, DEVICE_TYP), error="malformed"),
        case("a fourth part", good + ".AAAA", error="malformed"),
    ]


def _certificates() -> list[Case]:
    identity = ACCOUNT.identity(AUDIENCE)
    good = certify(ACCOUNT, DEVICE, audience=AUDIENCE, now=NOW)
    payload = {
        "audience": AUDIENCE,
        "created_at": NOW,
        "device_id": DEVICE.device_id(AUDIENCE),
        "device_key": DEVICE.key(AUDIENCE).public.text,
        "expires_at": NOW + MAX_DEVICE_LIFETIME_S,
    }

    def case(name: str, text: str, now: int = NOW, **outcome: object) -> Case:
        return {
            "name": name,
            "input": text,
            "key": identity.public.text,
            "audience": AUDIENCE,
            "now": now,
            **outcome,
        }

    def altered(**changes: object) -> str:
        return _signed({**payload, **changes}, identity, DEVICE_TYP)

    end = NOW + MAX_DEVICE_LIFETIME_S
    return [
        case("a certificate in its first second", good, result=payload),
        case("a certificate in its last second", good, end - 1, result=payload),
        case("a clock that is 300 s behind", good, NOW - MAX_SKEW_S, result=payload),
        case("a clock that is 301 s behind", good, NOW - MAX_SKEW_S - 1, error="unverified"),
        case("the second of expiry", good, end, error="unverified"),
        case("another audience", altered(audience=OTHER), error="unverified"),
        case("another identity key", certify(STRANGER, DEVICE, audience=AUDIENCE, now=NOW), error="unverified"),
        case("one bit of the signature changed", _last_bit(good), error="unverified"),
        case("an expiry before the start", altered(expires_at=NOW - 1), error="malformed"),
        case("a life of one second too much", altered(expires_at=end + 1), error="malformed"),
        case("a device id of 15 bytes", altered(device_id="A" * 20), error="malformed"),
    ]


def _sealing_keys() -> list[Case]:
    device = DEVICE.key(AUDIENCE)
    good = sign_sealing_key(SEALING.public, device, expires_at=NOW + 60)
    payload = {
        "device_key": device.public.text,
        "expires_at": NOW + 60,
        "sealing_key": sealing_key_hash(SEALING.public),
    }

    def case(name: str, text: str, now: int = NOW, **outcome: object) -> Case:
        return {"name": name, "input": text, "key": device.public.text, "now": now, **outcome}

    def altered(key: DeviceKey = device, **changes: object) -> str:
        return _signed({**payload, **changes}, key, SEALING_KEY_TYP)

    longest = MAX_SEALING_LIFETIME_S + MAX_SKEW_S
    stranger = STRANGER.identity(AUDIENCE).public.text
    return [
        case("a statement in its last second", good, NOW + 59, result=payload),
        case(
            "the longest life",
            altered(expires_at=NOW + longest),
            result={**payload, "expires_at": NOW + longest},
        ),
        case("the second of expiry", good, NOW + 60, error="unverified"),
        case("a life of one second too much", altered(expires_at=NOW + longest + 1), error="unverified"),
        case("a statement about another device", altered(device_key=stranger), error="unverified"),
        case("by another device", altered(DeviceKey(sha256(b"other"))), error="unverified"),
        case(
            "without an expiry", _signed({"device_key": device.public.text}, device, SEALING_KEY_TYP), error="malformed"
        ),
    ]


if __name__ == "__main__":
    for name, content in seal().items():
        (Path(__file__).parents[1] / name).write_bytes(content)
