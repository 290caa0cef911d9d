"""Vectors of docs/protocol/13-key-directory.md §6 and §8: key proofs and erasure receipts."""

from hashlib import sha256
from typing import Any, Final

from protocol.encoding import b64
from protocol.offers import OrgProfile
from protocol.peers import NodeDocument, NodeKeys, log_vkey, sign_document
from protocol.sealing import NodeSealingKey
from tests.vectors import c2sp, rfc6962

from .keys import (
    AUDIENCE,
    AURORA,
    BIRCH,
    COBALT,
    NOW,
    OTHER,
    Case,
    Fields,
    attestation,
    canonical,
    entry,
    file,
    flipped,
    hashed,
    head_body,
    key,
    signed,
)

ERASURE_TYP: Final = "mentormesh-entry-erasure+jws"


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "keys/proofs.json": file(
            "13-key-directory §6",
            "`input` proves keys of somebody at `origin` to a reader with `documents` in `audience`, at `now`.",
            _proofs(),
        ),
        "keys/erasures.json": file(
            "13-key-directory §8", "`input` answers `request` of `origin` to `mirror`, whose key is `key`.", _erasures()
        ),
    }


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
    chain = hashed(b"mentormesh/chain/v1\n", f"{head['origin']}{head['audience']}{head['kind']}".encode())
    commitment = hashed(b"mentormesh/head-leaf/v1\n", text.encode())
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
    wrong_head = {**good, "head": {**good["head"], "head": flipped(good["head"]["head"])}}
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
    # They begin with the characters "-" and "A": by text the one is lower, by bytes the other.
    by_text = [b64(bytes([byte]) * 32) for byte in (248, 0)]
    confirmed = {"receipts": [receipt(each) for each in by_text]}

    def altered(**changes: Any) -> Fields:  # noqa: ANN401 -- fields of any type
        return {"receipts": [receipt(one, **changes)]}

    return [
        case("both confirmed", both, result=2),
        case("one confirmed", {"receipts": [receipt(one)]}, single, result=1),
        case("by the characters of the commitments", confirmed, {**request, "commitments": by_text}, result=2),
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
        case(
            "a request by the bytes of the commitments",
            {"receipts": confirmed["receipts"][::-1]},
            {**request, "commitments": by_text[::-1]},
            error="malformed",
        ),
        case("a request for one entry twice", both, {**request, "commitments": [one, one]}, error="malformed"),
        case("a request for nothing", both, {**request, "commitments": []}, error="malformed"),
    ]
