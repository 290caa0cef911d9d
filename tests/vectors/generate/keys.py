"""Vectors of docs/protocol/13-key-directory.md: entries, vouches, attestations, quorums.

Built by hand from the page: only signatures and commitments of other pages come from the program.
"""

import json
from hashlib import sha256
from typing import Any, Final

from protocol import jws
from protocol.addresses import audience_id
from protocol.devices import DEVICE_TYP, IDENTITY_TYP
from protocol.encoding import b64
from protocol.signing import SigningKey

Case = dict[str, Any]
Fields = dict[str, Any]

NOW: Final = 1_767_000_000
AURORA: Final = "https://aurora.example"
BIRCH: Final = "https://birch.example"
COBALT: Final = "https://cobalt.example"
DELTA: Final = "https://delta.example"
AUDIENCE: Final = audience_id(AURORA, BIRCH)
OTHER: Final = audience_id(AURORA, COBALT)
ATTESTATION_TYP: Final = "mentormesh-head-attestation+jws"


def key(name: str) -> SigningKey:
    """Return the key of a name."""
    return SigningKey(sha256(name.encode()).digest())


def canonical(value: object) -> str:
    """Return canonical JSON."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def signed(value: object, signer: SigningKey, typ: str) -> str:
    """Return the compact JWS of a body."""
    return jws.sign(canonical(value).encode(), signer, typ)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "keys/entries.json": file(
            "13-key-directory §1, §3",
            "`input` are the bodies of a whole set for `audience`, judged at `now`; `before` are bodies held before.",
            _entries(),
        ),
        "keys/vouches.json": file(
            "13-key-directory §2", "`opening` opens the vouch of `entry` for `audience`, or not.", _vouches()
        ),
        "keys/attestations.json": file(
            "13-key-directory §5", "`input` by the attest key `key` about `head`, at `now`.", _attestations()
        ),
        "keys/quorums.json": file(
            "13-key-directory §5",
            "Whether `statements` by `keys` are enough for `head` in an audience of `members`, `named` by a registry.",
            _quorums(),
        ),
    }


def file(spec: str, comment: str, cases: list[Case]) -> bytes:
    """Return a vector file."""
    return (
        json.dumps({"spec": spec, "comment": comment, "cases": cases}, ensure_ascii=False, indent=1) + "\n"
    ).encode()


def certificate(person: str, device: str, **changes: object) -> str:
    """Return a certificate of a person's device."""
    body = {
        "audience": AUDIENCE,
        "created_at": NOW - 100,
        "device_id": b64(sha256(f"{device} id".encode()).digest()[:16]),
        "device_key": key(f"{device} key").public.text,
        "expires_at": NOW + 86_400,
    }
    return signed({**body, **changes}, key(f"{person} identity"), DEVICE_TYP)


def entry(person: str, *devices: str, **changes: object) -> Fields:
    """Return an entry with these devices, in their order."""
    names = sorted(devices, key=lambda one: b64(sha256(f"{one} id".encode()).digest()[:16]))
    body: Fields = {
        "devices": [certificate(person, one) for one in names],
        "identity_key": key(f"{person} identity").public.text,
        "label": b64(sha256(person.encode()).digest()[:16]),
        "seq": 1,
        "vouch": {"identity": b64(bytes(32)), "name": b64(bytes(31) + b"\x04")},
    }
    return {**body, **changes}


def _entries() -> list[Case]:
    ana, ben = entry("ana", "laptop", "phone"), entry("ben", "desk")
    # Their ids begin with the characters "-" and "A": by text the one is lower, by bytes the other.
    by_text = [
        certificate("ana", one, device_id=b64(bytes([byte]) * 16)) for one, byte in (("laptop", 248), ("phone", 0))
    ]
    first = entry("ben", "desk", seq=2)

    def case(name: str, *bodies: Fields | str, before: tuple[Fields, ...] = (), **outcome: object) -> Case:
        texts = [one if isinstance(one, str) else canonical(one) for one in bodies]
        held = [canonical(one) for one in before]
        return {"name": name, "input": texts, "before": held, "audience": AUDIENCE, "now": NOW, **outcome}

    turned = {**ana, "devices": ana["devices"][::-1]}
    stranger = {**ben, "devices": [certificate("ana", "desk")]}
    elsewhere = {**ben, "devices": [certificate("ben", "desk", audience=OTHER)]}
    over = {**ben, "devices": [certificate("ben", "desk", expires_at=NOW)]}
    early = {**ben, "devices": [certificate("ben", "desk", created_at=NOW + 400, expires_at=NOW + 500)]}
    itself = {**ben, "devices": [certificate("ben", "desk", device_key=key("ben identity").public.text)]}
    return [
        case("an empty set", result=[]),
        case("one person with two devices", ana, result=[2]),
        case("two people", ana, ben, result=[2, 1]),
        case("devices by the characters of their ids", {**ana, "devices": by_text}, result=[2]),
        case("an entry that did not change", ben, before=(ben,), result=[1]),
        case("an entry that changed, with a larger number", first, before=(ben,), result=[1]),
        case("no device", {**ben, "devices": []}, error="unverified"),
        case("nine devices", entry("ben", *(f"device {number}" for number in range(9))), error="unverified"),
        case("devices out of order", turned, error="unverified"),
        case("devices by the bytes of their ids", {**ana, "devices": by_text[::-1]}, error="unverified"),
        case("a device twice", {**ben, "devices": ben["devices"] * 2}, error="unverified"),
        case("a device certified by somebody else", stranger, error="unverified"),
        case("a device of another audience", elsewhere, error="unverified"),
        case("a certificate in the second of its end", over, error="unverified"),
        case("a certificate of the future", early, error="unverified"),
        case("an identity key as its own device", itself, error="unverified"),
        case("a number of 0", {**ben, "seq": 0}, error="unverified"),
        case("no vouch", {name: one for name, one in ben.items() if name != "vouch"}, error="unverified"),
        case("a field that no entry has", {**ben, "name": "Ben"}, error="unverified"),
        case("a space", canonical(ben).replace(",", ", ", 1), error="unverified"),
        case("one label twice", ana, {**ben, "label": ana["label"]}, error="unverified"),
        case("one device in two entries", ana, entry("cem", "laptop"), error="unverified"),
        case("one identity key in two entries", ana, entry("ana", "desk", label=ben["label"]), error="unverified"),
        case(
            "a change under the same number",
            {**ben, "vouch": ana["vouch"] | {"name": b64(bytes(32))}},
            before=(ben,),
            error="unverified",
        ),
        case("a smaller number than before", ben, before=(first,), error="unverified"),
        case(
            "another identity key under one label",
            entry("cem", "desk", label=ben["label"], seq=3),
            before=(ben,),
            error="unverified",
        ),
    ]


def _vouches() -> list[Case]:
    label, salt, other = entry("ana")["label"], b64(bytes(15) + b"\x01"), b64(bytes(15) + b"\x02")
    statement = {"audience": AUDIENCE, "identity_key": key("ana identity").public.text, "label": label, "seq": 1}

    def case(
        name: str,
        *,
        said: str = "Ana Sommer",
        changed: Fields | None = None,
        shown: Fields | None = None,
        **outcome: object,
    ) -> Case:
        identity = signed({**statement, **(changed or {})}, key("ana master"), IDENTITY_TYP)
        vouch = {
            "name": hashed(b"mentormesh/vouch-name/v1\n", bytes(15) + b"\x01", said.encode()),
            "identity": hashed(b"mentormesh/vouch-identity/v1\n", bytes(15) + b"\x02", identity.encode()),
        }
        opening = {
            "name": said,
            "name_salt": salt,
            "identity": identity,
            "identity_salt": other,
            "master_key": key("ana master").public.text,
        }
        return {
            "name": name,
            "entry": entry("ana", "laptop", vouch=vouch),
            "opening": {**opening, **(shown or {})},
            "audience": AUDIENCE,
            **outcome,
        }

    forged = signed(statement, key("ben master"), IDENTITY_TYP)
    return [
        case("a name and the statement that were vouched for", result="Ana Sommer"),
        case("an empty name", said="", result=""),
        case("another name", shown={"name": "Ana Winter"}, error="unverified"),
        case("another salt of the name", shown={"name_salt": other}, error="unverified"),
        case("another salt of the statement", shown={"identity_salt": salt}, error="unverified"),
        case("another statement", shown={"identity": forged}, error="unverified"),
        case("another master key", shown={"master_key": key("ben master").public.text}, error="unverified"),
        case("a statement about another label", changed={"label": entry("ben")["label"]}, error="unverified"),
        case("a statement about another key", changed={"identity_key": key("x").public.text}, error="unverified"),
        case("a statement for another audience", changed={"audience": OTHER}, error="unverified"),
        case("a name with a direction mark", said="Ana\u202eremmoS", error="malformed"),
        case("a name of 321 bytes", said="a" * 321, error="malformed"),
    ]


def hashed(*parts: bytes) -> str:
    """Return the SHA-256 as base64url."""
    return b64(sha256(b"".join(parts)).digest())


def head_body(shards: list[str] | None = None, **changes: object) -> Fields:
    """Return the content of a head of keys."""
    body = {
        "audience": AUDIENCE,
        "issued_at": NOW - 10,
        "kind": "keys",
        "not_after": NOW + 3600,
        "origin": AURORA,
        "prev": b64(bytes(32)),
        "seq": 7,
        "shards": shards or [b64(bytes(32))],
        "size_bucket": 16,
    }
    return {**body, **changes}


def attestation(head: Fields, signer: str, **changes: object) -> str:
    """Return a member's attestation of a head."""
    body = {
        "audience": head["audience"],
        "head_hash": hashed(canonical(head).encode()),
        "held_at": NOW - 5,
        "kind": head["kind"],
        "origin": head["origin"],
        "seq": head["seq"],
    }
    return signed({**body, **changes}, key(f"{signer} attest"), ATTESTATION_TYP)


def _attestations() -> list[Case]:
    head = head_body()

    def case(name: str, text: str, **outcome: object) -> Case:
        jws_of_head = signed(head, key("aurora log"), "mentormesh-head+jws")
        return {
            "name": name,
            "input": text,
            "head": jws_of_head,
            "key": key("birch attest").public.text,
            "now": NOW,
            **outcome,
        }

    good = attestation(head, "birch")
    return [
        case("by the member, right after", good, result=NOW - 5),
        case("in the second of the head", attestation(head, "birch", held_at=NOW - 10), result=NOW - 10),
        case("by a clock 60 s ahead", attestation(head, "birch", held_at=NOW + 60), result=NOW + 60),
        case("by another key", attestation(head, "cobalt"), error="unverified"),
        case(
            "of another head under the number", attestation(head, "birch", head_hash=b64(bytes(32))), error="unverified"
        ),
        case("of another number", attestation(head, "birch", seq=8), error="unverified"),
        case("of another origin", attestation(head, "birch", origin=BIRCH), error="unverified"),
        case("of another audience", attestation(head, "birch", audience=OTHER), error="unverified"),
        case("of another kind", attestation(head, "birch", kind="offers"), error="unverified"),
        case("held a minute and a second before", attestation(head, "birch", held_at=NOW - 71), error="unverified"),
        case("held 61 s in the future", attestation(head, "birch", held_at=NOW + 61), error="unverified"),
        case("one bit of the signature changed", flipped(good), error="unverified"),
        case("a field that none has", attestation(head, "birch", name="x"), error="malformed"),
        case("signed as a head", signed({}, key("birch attest"), "mentormesh-head+jws"), error="malformed"),
    ]


def flipped(text: str) -> str:
    """Return a JWS whose signature differs in one bit."""
    start, _, signature = text.rpartition(".")
    return f"{start}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _quorums() -> list[Case]:
    head = head_body()
    everybody = [AURORA, BIRCH, COBALT, DELTA, "https://elm.example", "https://fir.example"]

    def case(
        name: str, members: list[str], by: tuple[str, ...], named: tuple[str, ...] = (), **outcome: object
    ) -> Case:
        keys = {one: key(f"{one[8:].partition('.')[0]} attest").public.text for one in members}
        return {
            "name": name,
            "head": signed(head, key("aurora log"), "mentormesh-head+jws"),
            "members": members,
            "named": list(named),
            "keys": {**keys, **outcome.pop("keys", {})},  # type: ignore[dict-item]  # a table of cases
            "statements": [attestation(head, one) for one in by],
            "now": NOW,
            **outcome,
        }

    two, three = everybody[:2], everybody[:3]
    alone = "the origin alone"
    named = (AURORA, BIRCH, COBALT, DELTA)
    doubled = {COBALT: key("birch attest").public.text}
    return [
        case(alone, [AURORA], (), result=[]),
        case("two: the other", two, ("birch",), result=[BIRCH]),
        case("three: both others", three, ("birch", "cobalt"), result=[BIRCH, COBALT]),
        case("more: two of three that are named", everybody, ("cobalt", "delta"), named, result=[COBALT, DELTA]),
        case("statements of strangers beside them", two, ("birch", "delta"), result=[BIRCH]),
        case("two: nobody", two, (), error="unverified"),
        case("two: the origin itself", two, ("aurora",), error="unverified"),
        case("three: one of them", three, ("birch",), error="unverified"),
        case("three: one of them twice", three, ("birch", "birch"), error="unverified"),
        case("three: two with one key", three, ("birch",), keys=doubled, error="unverified"),
        case("more: one of three that are named", everybody, ("birch",), named, error="unverified"),
        case("more: others than are named", everybody, ("elm", "fir"), named, error="unverified"),
        case("more: nobody is named", everybody, ("birch", "cobalt"), error="unverified"),
        case("more: the origin alone is named", everybody, ("aurora",), (AURORA,), error="unverified"),
        case("more: a stranger is named", everybody, ("birch",), (BIRCH, "https://x.example"), error="unverified"),
    ]
