"""Vectors of docs/protocol/13-key-directory.md: entries, vouches, attestations, quorums, proofs, erasures.

Built by hand from the page: only signatures and commitments of other pages come from the program.
"""

import json
from hashlib import sha256
from typing import Any, Final

from protocol import jws
from protocol.addresses import audience_id
from protocol.devices import DEVICE_TYP, IDENTITY_TYP
from protocol.encoding import b64
from protocol.offers import OrgProfile
from protocol.peers import NodeDocument, NodeKeys, log_vkey, sign_document
from protocol.sealing import NodeSealingKey
from protocol.signing import SigningKey
from tests.vectors import c2sp, rfc6962

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
ERASURE_TYP: Final = "mentormesh-entry-erasure+jws"


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
        "keys/entries.json": _file(
            "13-key-directory §1, §3",
            "`input` are the bodies of a whole set for `audience`, judged at `now`; `before` are bodies held before.",
            _entries(),
        ),
        "keys/vouches.json": _file(
            "13-key-directory §2", "`opening` opens the vouch of `entry` for `audience`, or not.", _vouches()
        ),
        "keys/attestations.json": _file(
            "13-key-directory §5", "`input` by the attest key `key` about `head`, at `now`.", _attestations()
        ),
        "keys/quorums.json": _file(
            "13-key-directory §5",
            "Whether `statements` by `keys` are enough for `head` in an audience of `members`, `named` by a registry.",
            _quorums(),
        ),
        "keys/proofs.json": _file(
            "13-key-directory §6",
            "`input` proves keys of somebody at `origin` to a reader with `documents` in `audience`, at `now`.",
            _proofs(),
        ),
        "keys/erasures.json": _file(
            "13-key-directory §8", "`input` answers `request` of `origin` to `mirror`, whose key is `key`.", _erasures()
        ),
    }


def _file(spec: str, comment: str, cases: list[Case]) -> bytes:
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
        case("an entry that did not change", ben, before=(ben,), result=[1]),
        case("an entry that changed, with a larger number", first, before=(ben,), result=[1]),
        case("no device", {**ben, "devices": []}, error="unverified"),
        case("nine devices", entry("ben", *(f"device {number}" for number in range(9))), error="unverified"),
        case("devices out of order", turned, error="unverified"),
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
            "name": _hash(b"mentormesh/vouch-name/v1\n", bytes(15) + b"\x01", said.encode()),
            "identity": _hash(b"mentormesh/vouch-identity/v1\n", bytes(15) + b"\x02", identity.encode()),
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


def _hash(*parts: bytes) -> str:
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
        "head_hash": _hash(canonical(head).encode()),
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
        case("one bit of the signature changed", _flipped(good), error="unverified"),
        case("a field that none has", attestation(head, "birch", name="x"), error="malformed"),
        case("signed as a head", signed({}, key("birch attest"), "mentormesh-head+jws"), error="malformed"),
    ]


def _flipped(text: str) -> str:
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


def document(name: str) -> str:
    """Return the signed document of a node."""
    host = f"{name}.example"
    public = {role: key(f"{name} {role}").public.text for role in ("http", "attest", "witness", "recovery")}
    keys = NodeKeys(
        federation=key(f"{name} federation").public.text,
        log=key(f"{name} log").public.text,
        envelope_sign=key(f"{name} sign").public.text,
        envelope_seal=NodeSealingKey(sha256(f"{name} seal".encode()).digest()).public.text,
        **public,
    )
    said = NodeDocument(
        version=1,
        entity=f"https://{host}",
        api=f"https://{host}",
        protocols=("mentormesh/1",),
        keys=keys,
        log_origin=f"{host}/log",
        log_vkey=log_vkey(f"{host}/log", key(f"{name} log").public.raw),
        org=OrgProfile(display_name=name.title(), kind="company", sector="H", size_band="50-250", countries=("DE",)),
        issued_at=NOW,
        seq=1,
    )
    return sign_document(said, key(f"{name} federation"))


def _log_proof(head: Fields, text: str, *, origin: str = "aurora.example/log", signer: str = "aurora log") -> str:
    chain = _hash(b"mentormesh/chain/v1\n", f"{head['origin']}{head['audience']}{head['kind']}".encode())
    commitment = _hash(b"mentormesh/head-leaf/v1\n", text.encode())
    leaf = canonical({"chain": chain, "commitment": commitment, "seq": head["seq"], "type": "set-head"})
    hashes = [rfc6962.leaf(each) for each in (b"first", leaf.encode(), b"third")]
    note = f"{origin}\n3\n{c2sp.b64(rfc6962.mth(hashes))}\n"
    public, private = key(signer).public.raw, key(signer)
    line = c2sp.line(origin, c2sp.key_id(origin, 1, public) + private.sign(note.encode()))
    path = [c2sp.b64(each) for each in rfc6962.path(1, hashes)]
    return "\n".join(["c2sp.org/tlog-proof@v1", "index 1", *path, "", c2sp.note(note, line)])


def proof(
    *, by: tuple[str, ...] = ("birch",), log: Fields | None = None, placed: Fields | None = None, **changed: object
) -> Fields:
    """Return a proof of the second of three entries; `changed` fields of its head."""
    bodies = [canonical(entry(name, f"device of {name}")).encode() for name in ("ana", "ben", "cem")]
    leaves = sorted(rfc6962.leaf(sha256(b"mentormesh/key-entry/v1\n" + bytes(16) + body).digest()) for body in bodies)
    body = bodies[1]
    at = leaves.index(rfc6962.leaf(sha256(b"mentormesh/key-entry/v1\n" + bytes(16) + body).digest()))
    head = head_body([b64(rfc6962.mth(leaves))], size_bucket=4, **changed)
    text = signed(head, key("aurora log"), "mentormesh-head+jws")
    place = {
        "body": body.decode(),
        "index": at,
        "proof": [b64(each) for each in rfc6962.path(at, leaves)],
        "salt": b64(bytes(16)),
        "size": 3,
    }
    return {
        "entry": {**place, **(placed or {})},
        "head": {
            "attestations": [attestation(head, one) for one in by],
            "documents": [document("aurora"), document("birch")],
            "head": text,
            "log": _log_proof(head, text, **(log or {})),
        },
        "type": "mentormesh/key-proof/v1",
    }


def _proofs() -> list[Case]:
    good = proof()
    known = [document("aurora"), document("birch")]

    def case(
        name: str,
        given: Fields,
        *,
        documents: list[str] = known,
        now: int = NOW,
        members: tuple[str, ...] = (AURORA, BIRCH),
        **outcome: object,
    ) -> Case:
        return {
            "name": name,
            "input": canonical(given),
            "origin": AURORA,
            "audience": outcome.pop("audience", AUDIENCE),
            "members": list(members),
            "documents": documents,
            "now": now,
            **outcome,
        }

    ben = entry("ben")["label"]
    other = canonical(entry("dan", "device of dan"))
    wrong_head = {**good, "head": {**good["head"], "head": _flipped(good["head"]["head"])}}
    no_log = {**good, "head": {**good["head"], "log": "c2sp.org/tlog-proof@v1\n"}}
    return [
        case("the second of three entries", good, result=ben),
        case("in the successor of a log", proof(log={"origin": "aurora.example/log/2"}), result=ben),
        case("with a stranger's attestation beside", proof(by=("cobalt", "birch")), result=ben),
        case("nobody attests", proof(by=()), error="unverified"),
        case("the origin attests itself", proof(by=("aurora",)), error="unverified"),
        case("one stranger attests", proof(by=("cobalt",)), error="unverified"),
        case("another log key", proof(log={"signer": "birch log"}), error="unverified"),
        case("the log of another node", proof(log={"origin": "birch.example/log"}), error="unverified"),
        case("a head with a changed signature", wrong_head, error="unverified"),
        case("a head of offers", proof(kind="offers"), error="unverified"),
        case("a head for another audience", proof(audience=OTHER), error="unverified"),
        case("a head of another origin", proof(origin=BIRCH), error="unverified"),
        case("in the second in which the head runs out", good, now=NOW + 3600, error="unverified"),
        case("another salt", proof(placed={"salt": b64(bytes(15) + b"\x04")}), error="unverified"),
        case("another entry", proof(placed={"body": other}), error="unverified"),
        case("another place", proof(placed={"index": (good["entry"]["index"] + 1) % 3}), error="unverified"),
        case("a size above the bucket", proof(placed={"size": 5}), error="unverified"),
        case("a shard that is none", proof(placed={"shard": 1}), error="unverified"),
        case("a path cut short", proof(placed={"proof": []}), error="unverified"),
        case("without a document of the origin", good, documents=known[1:], error="unverified"),
        case("without a document of the attester", good, documents=known[:1], error="unverified"),
        case("an origin outside the audience", good, members=(BIRCH, COBALT), error="unverified"),
        case("another type", {**good, "type": "mentormesh/key-proof/v2"}, error="malformed"),
        case("without an entry", {name: one for name, one in good.items() if name != "entry"}, error="malformed"),
        case("a log proof that is none", no_log, error="malformed"),
    ]


def _erasures() -> list[Case]:
    commitments = sorted(b64(sha256(name.encode()).digest()) for name in ("one", "two"))
    request = {"audience": AUDIENCE, "commitments": commitments}

    def receipt(commitment: str, signer: str = "birch", **changes: object) -> str:
        body = {
            "audience": AUDIENCE,
            "commitment": commitment,
            "erased_at": NOW,
            "mirror": BIRCH,
            "origin": AURORA,
        }
        return signed({**body, **changes}, key(f"{signer} attest"), ERASURE_TYP)

    def case(name: str, answer: object, asked: Fields = request, **outcome: object) -> Case:
        return {
            "name": name,
            "request": canonical(asked),
            "input": answer if isinstance(answer, str) else canonical(answer),
            "origin": AURORA,
            "mirror": BIRCH,
            "key": key("birch attest").public.text,
            "now": NOW,
            **outcome,
        }

    one, two = commitments
    both = {"receipts": [receipt(one), receipt(two)]}
    single = {**request, "commitments": [one]}

    def altered(**changes: Any) -> Fields:  # noqa: ANN401 -- fields of any type
        return {"receipts": [receipt(one, **changes)]}

    return [
        case("both confirmed", both, result=2),
        case("one confirmed", {"receipts": [receipt(one)]}, single, result=1),
        case("one of two confirmed", {"receipts": [receipt(one)]}, error="unverified"),
        case("in another order", {"receipts": [receipt(two), receipt(one)]}, error="unverified"),
        case("by another node", {"receipts": [receipt(one, "cobalt")]}, single, error="unverified"),
        case("for another origin", altered(origin=COBALT), single, error="unverified"),
        case("for another mirror", altered(mirror=COBALT), single, error="unverified"),
        case("for another audience", altered(audience=OTHER), single, error="unverified"),
        case("erased in the future", altered(erased_at=NOW + 61), single, error="unverified"),
        case("no receipt", {"receipts": []}, single, error="malformed"),
        case("a field that none has", altered(name="x"), single, error="malformed"),
        case("a request out of order", both, {**request, "commitments": [two, one]}, error="malformed"),
        case("a request for one entry twice", both, {**request, "commitments": [one, one]}, error="malformed"),
        case("a request for nothing", both, {**request, "commitments": []}, error="malformed"),
    ]
