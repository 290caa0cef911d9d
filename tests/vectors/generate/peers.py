"""Vectors of docs/protocol/20-identity.md: addresses, node documents, rotations, tickets and words.

Canonical JSON, JWS and hashes are made here from the standards alone; only the sealing key comes from the program.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import nacl.signing

from protocol.fingerprints import WORDS
from protocol.sealing import NodeSealingKey

Case = dict[str, Any]
Key = nacl.signing.SigningKey

NOW: Final = 1_800_000_000
ENTITY: Final = "https://aurora.example"
#: A point of small order: every signature of some messages verifies under it.
SMALL_ORDER: Final = bytes([1, *([0] * 31)])


#: Who reads reports at Aurora.
CONTACT: Final[Mapping[str, str]] = {
    "mail": "speakup@aurora.example",
    "name": "Dana Reyes",
    "seal": NodeSealingKey(hashlib.sha256(b"aurora contact").digest()).public.text,
}


def key(name: str) -> Key:
    """Return the Ed25519 key whose seed is the SHA-256 of `name`."""
    return Key(hashlib.sha256(name.encode()).digest())


def b64u(data: bytes) -> str:
    """Return unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def text_of(one: Key) -> str:
    """Return the public half as base64url."""
    return b64u(bytes(one.verify_key))


def thumbprint(one: Key) -> str:
    """Return the RFC 7638 thumbprint."""
    return b64u(hashlib.sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{text_of(one)}"}}'.encode()).digest())


def canonical(value: object) -> str:
    """Return RFC 8785 JSON of the subset in use."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def jws(payload: str, signer: Key, typ: str, *, kid: str | None = None, alg: str = "Ed25519") -> str:
    """Return a compact JWS."""
    header = canonical({"alg": alg, "kid": kid or thumbprint(signer), "typ": typ})
    signing_input = f"{b64u(header.encode())}.{b64u(payload.encode())}"
    return f"{signing_input}.{b64u(signer.sign(signing_input.encode()).signature)}"


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "peers/addresses.json": _file(
            "20-identity §1",
            "`api` is an API base, accepted in one spelling only; `authority` is what it signs and sends as Host.",
            _addresses(),
        ),
        "peers/audiences.json": _file(
            "20-identity §1",
            "`entities` make the audience `id`; entity identifiers are accepted in one spelling only.",
            _audiences(),
        ),
        "peers/documents.json": _file(
            "20-identity §2",
            "`document` is a JWS; `federation_key` is known from elsewhere, or null at the first sight of a node.",
            _documents(),
        ),
        "peers/rotations.json": _file(
            "20-identity §4",
            "`pinned` is the document known, `recovered` the number of the last recovery statement acted on; `fetched` "
            "is what is served now.",
            _rotations(),
        ),
        "peers/tickets.json": _file(
            "20-identity §5", "`ticket` is one line of text; `result` what it says.", _tickets()
        ),
        "peers/words.json": _file(
            "20-identity §5",
            "`key` is an Ed25519 public key as base64url, `words` what two people compare; `list` has all words.",
            _words(),
            list=list(WORDS),
        ),
    }


def _file(spec: str, comment: str, cases: list[Case], **more: object) -> bytes:
    content = {"spec": spec, "comment": comment, **more, "cases": cases}
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _refused(name: str, kind: str = "malformed", code: str | None = None, **given: object) -> Case:
    return {"name": name, **given, "error": kind, **({"code": code} if code else {})}


def _addresses() -> list[Case]:
    good = [
        ("a DNS name", "https://aurora.example", "aurora.example"),
        ("a name with a port", "https://mesh.aurora.example:8443", "mesh.aurora.example:8443"),
        ("a hyphen inside a label", "https://a-b.example", "a-b.example"),
    ]
    bad = {
        "no TLS": "http://aurora.example",
        "capitals": "https://Aurora.example",
        "a dot at the end": "https://aurora.example.",
        "the default port written out": "https://aurora.example:443",
        "a port of zero": "https://aurora.example:0",
        "a port with a leading zero": "https://aurora.example:08443",
        "a port that does not exist": "https://aurora.example:65536",
        "an empty port": "https://aurora.example:",
        "a path": "https://aurora.example/mesh",
        "a slash at the end": "https://aurora.example/",
        "a query": "https://aurora.example?x",
        "user information": "https://root@aurora.example",
        "an IPv4 address": "https://192.0.2.1",
        "an IPv6 address": "https://[2001:db8::1]",
        "an address as one number": "https://2130706433",
        "a hexadecimal address": "https://0x7f.1",
        "one label": "https://localhost",
        "punycode": "https://xn--urora-qla.example",
        "a full-width letter": "https://\uff41urora.example",
        "a label that begins with a hyphen": "https://-a.example",
        "an empty label": "https://a..example",
        "a space": "https://aurora.example ",
    }
    accepted = [{"name": name, "api": api, "result": {"authority": authority}} for name, api, authority in good]
    return [*accepted, *(_refused(name, api=api) for name, api in bad.items())]


def _audience(*entities: str) -> str:
    joined = "\n".join(sorted(entities))
    return b64u(hashlib.sha256(f"mentormesh/audience/v1\n{joined}".encode()).digest())


def _audiences() -> list[Case]:
    birch = "https://birch.example"
    accepted = [
        {"name": "a pair", "entities": [ENTITY, birch], "result": {"id": _audience(ENTITY, birch)}},
        {"name": "a pair in the other order", "entities": [birch, ENTITY], "result": {"id": _audience(ENTITY, birch)}},
        {"name": "one organization alone", "entities": [ENTITY], "result": {"id": _audience(ENTITY)}},
    ]
    return [
        *accepted,
        _refused("a pair with a port", entities=[ENTITY, "https://birch.example:8443"]),
        _refused("a pair with a bare name", entities=[ENTITY, "birch.example"]),
        _refused("one entity with a line feed", entities=["https://aurora.example\n"]),
        _refused("no entity identifier", entities=["everybody"]),
    ]


def _keys(prefix: str = "aurora", **changes: str) -> dict[str, str]:
    names = ("federation", "http", "log", "envelope_sign", "attest", "witness", "recovery")
    sealing = NodeSealingKey(hashlib.sha256(f"{prefix} sealing".encode()).digest()).public.text
    return {**{name: text_of(key(f"{prefix} {name}")) for name in names}, "envelope_seal": sealing, **changes}


def vkey(origin: str, public: str) -> str:
    """Return a C2SP verifier key of type 0x01."""
    typed = b"\x01" + base64.urlsafe_b64decode(public + "=")
    short = hashlib.sha256(origin.encode() + b"\n" + typed).digest()[:4].hex()
    return f"{origin}+{short}+{base64.b64encode(typed).decode()}"


def document(changes: Mapping[str, object] | None = None, **keys: str) -> dict[str, object]:
    """Return a node document as plain containers."""
    all_keys = _keys(**keys)
    said: dict[str, object] = {
        "version": 1,
        "entity": ENTITY,
        "api": ENTITY,
        "protocols": ["mentormesh/1"],
        "capabilities": ["handshake", "offers", "sessions"],
        "limits": {"batch_items": 64},
        "keys": all_keys,
        "log_origin": "aurora.example/log",
        "log_vkey": vkey("aurora.example/log", all_keys["log"]),
        "org": {
            "countries": ["DE", "FR"],
            "display_name": "Aurora Freight",
            "kind": "company",
            "sector": "H",
            "size_band": "50-250",
        },
        "issued_at": NOW,
        "seq": 1,
    }
    return {name: value for name, value in {**said, **(changes or {})}.items() if value is not None}


FEDERATION: Final = key("aurora federation")
DOCUMENT_TYP: Final = "mentormesh-node+jws"
ROTATION_TYP: Final = "mentormesh-rotation+jws"


def signed(said: Mapping[str, object], signer: Key = FEDERATION) -> str:
    """Return a node document as a JWS."""
    return jws(canonical(said), signer, DOCUMENT_TYP)


def _documents() -> list[Case]:
    known = text_of(FEDERATION)
    stranger = key("stranger")

    def accept(name: str, said: Mapping[str, object], *, expected: str | None = known) -> Case:
        result = {"entity": said["entity"], "seq": said["seq"]}
        return {"name": name, "federation_key": expected, "document": signed(said), "result": result}

    def bad(name: str, changes: Mapping[str, object] | None = None, **keys: str) -> Case:
        return _refused(name, federation_key=None, document=signed(document(changes, **keys)))

    good = signed(document())
    header, payload, signature = good.split(".")
    spaced = json.dumps(document(), sort_keys=True)
    org = document()["org"]
    assert isinstance(org, dict)
    return [
        accept("a document by the key that is known", document()),
        accept("a document met for the first time", document(), expected=None),
        accept("an API at another name and port", document({"api": "https://mesh.aurora.example:8443"})),
        accept(
            "a second log",
            document(
                {
                    "log_origin": "aurora.example/log/2",
                    "log_vkey": vkey("aurora.example/log/2", text_of(key("aurora log"))),
                }
            ),
        ),
        accept(
            "earlier keys",
            document({f"earlier_{role}": [text_of(key(f"earlier {role}"))] for role in ("attest", "log", "sign")}),
        ),
        accept("a contact for reports", document({"report_contact": CONTACT})),
        bad("a contact without a key", {"report_contact": {**CONTACT, "seal": ""}}),
        bad("a contact whose key is none", {"report_contact": {**CONTACT, "seal": "_" * 1622}}),
        bad("a contact whose mail is none", {"report_contact": {**CONTACT, "mail": "speakup"}}),
        bad("a contact whose name turns the line", {"report_contact": {**CONTACT, "name": "Dana \u202e"}}),
        bad("an earlier key that has a role", {"earlier_log": [text_of(key("aurora http"))]}),
        bad("an earlier key twice", {"earlier_sign": [text_of(key("aurora earlier"))] * 2}),
        bad("an earlier key in two roles", {f"earlier_{role}": [text_of(key("x"))] for role in ("log", "sign")}),
        bad("an earlier key of small order", {"earlier_attest": [b64u(SMALL_ORDER)]}),
        bad("too many earlier keys", {"earlier_sign": [text_of(key(f"aurora {n}")) for n in range(9)]}),
        bad("an earlier key of another role", {"earlier_http": [text_of(key("aurora earlier"))]}),
        _refused("another key is known", "unverified", federation_key=text_of(stranger), document=good),
        _refused(
            "signed by a key that it does not name",
            "unverified",
            federation_key=None,
            document=signed(document(), stranger),
        ),
        _refused(
            "another key under the known name",
            "unverified",
            federation_key=known,
            document=jws(canonical(document()), stranger, DOCUMENT_TYP, kid=thumbprint(FEDERATION)),
        ),
        _refused(
            "a known key that signs for another",
            "unverified",
            federation_key=text_of(stranger),
            document=signed(document(), stranger),
        ),
        _refused(
            "a changed payload",
            "unverified",
            federation_key=known,
            document=f"{header}.{b64u(canonical(document({'seq': 2})).encode())}.{signature}",
        ),
        _refused(
            "a signature over another type",
            "malformed",
            federation_key=known,
            document=jws(canonical(document()), FEDERATION, "mentormesh-head+jws"),
        ),
        _refused(
            "another algorithm",
            "malformed",
            federation_key=known,
            document=jws(canonical(document()), FEDERATION, DOCUMENT_TYP, alg="none"),
        ),
        _refused("spaces in the payload", federation_key=known, document=jws(spaced, FEDERATION, DOCUMENT_TYP)),
        _refused("padding in the JWS", federation_key=known, document=good + "="),
        _refused("two parts", federation_key=known, document=f"{header}.{payload}"),
        bad("one key in two roles", http=text_of(key("aurora log"))),
        bad("a witness with the key of the log", witness=text_of(key("aurora log"))),
        bad("a key of small order", attest=b64u(SMALL_ORDER)),
        bad("a witness key of small order", witness=b64u(SMALL_ORDER)),
        bad("no witness key", {"keys": {name: each for name, each in _keys().items() if name != "witness"}}),
        bad("a sealing key cut short", envelope_seal=_keys()["envelope_seal"][:-4]),
        bad("an API without TLS", {"api": "http://aurora.example"}),
        bad("an entity with a path", {"entity": "https://aurora.example/node"}),
        bad("no protocol", {"protocols": []}),
        bad("a protocol twice", {"protocols": ["mentormesh/1", "mentormesh/1"]}),
        bad("a protocol of another name", {"protocols": ["matrix/1"]}),
        bad(
            "a log of another host",
            {
                "log_origin": "birch.example/log",
                "log_vkey": vkey("birch.example/log", text_of(key("aurora log"))),
            },
        ),
        bad("a verifier key of another key", {"log_vkey": vkey("aurora.example/log", text_of(key("aurora http")))}),
        bad("a negative limit", {"limits": {"batch_items": -1}}),
        bad("a number of zero", {"seq": 0}),
        bad("a number beyond 2^53", {"seq": 2**53}),
        bad("another version", {"version": 2}),
        bad("an unknown field", {"motto": "on time"}),
        bad("no profile", {"org": None}),
        bad("a profile with countries out of order", {"org": {**org, "countries": ["FR", "DE"]}}),
        bad("a default written out", {"rotations": []}),
    ]


def rotation(
    signer: Key, old: str, new: str, *, number: int = 1, entity: str = ENTITY, recovery: str | None = None
) -> str:
    """Return a rotation statement as a JWS; keys are named by what their seed is made of."""
    said = {"entity": entity, "number": number, "old": text_of(key(old)), "new": text_of(key(new)), "issued_at": NOW}
    if recovery:
        said["recovery"] = text_of(key(recovery))
    return jws(canonical(said), signer, ROTATION_TYP)


def _rotations() -> list[Case]:
    first, second, third = "aurora federation", "aurora federation 2", "aurora federation 3"
    recovery = key("aurora recovery")
    pinned = signed(document({"seq": 5}))

    def fetched(
        statements: list[str], *, by: str = second, seq: int = 6, earlier: list[str] | None = None, **keys: str
    ) -> str:
        more = {"rotations": statements or None, "earlier_log": earlier}
        said = document({"seq": seq, **more}, federation=text_of(key(by)), **keys)
        return signed(said, key(by))

    def recovered_as(
        statements: list[str], *, by: str = second, seq: int = 6, earlier: list[str] | None = None, **keys: str
    ) -> str:
        """Return a document all of whose keys are new, but for the recovery key."""
        kept = {"recovery": text_of(recovery), **keys}
        return fetched(statements, by=by, seq=seq, earlier=earlier, prefix="aurora recovered", **kept)

    by_federation = rotation(key(first), first, second)
    by_recovery = rotation(recovery, first, second)
    new_recovery = text_of(key("aurora recovery 2"))

    def accept(name: str, text: str, *, by: str, recovered: int = 0, before: int = 0) -> Case:
        result = {"federation_key": text_of(key(by)), "recovered": recovered}
        return {"name": name, "pinned": pinned, "recovered": before, "fetched": text, "result": result}

    def refuse(name: str, text: str, code: str, *, before: int = 0, kind: str = "unverified") -> Case:
        return _refused(name, kind, code, pinned=pinned, recovered=before, fetched=text)

    return [
        accept("the same document", pinned, by=first),
        accept("a newer document by the same key", fetched([], by=first), by=first),
        accept("a new key that the old one vouches for", fetched([by_federation]), by=second),
        accept("a new key that the recovery key vouches for", recovered_as([by_recovery]), by=second, recovered=1),
        accept("two steps at once", fetched([by_federation, rotation(key(second), second, third)], by=third), by=third),
        accept("the recovery key wins over a lower number", recovered_as([by_recovery], seq=1), by=second, recovered=1),
        accept(
            "the recovery key overrules a step of the old key",
            recovered_as([rotation(key(first), first, third), by_recovery]),
            by=second,
            recovered=1,
        ),
        accept(
            "a statement of keys from before the pin is passed over",
            fetched([rotation(key("aurora federation 0"), "aurora federation 0", first), by_federation]),
            by=second,
        ),
        accept(
            "the recovery key names its own successor",
            recovered_as([rotation(recovery, first, second, recovery="aurora recovery 2")], recovery=new_recovery),
            by=second,
            recovered=1,
        ),
        accept(
            "a step of the recovered key after the recovery",
            recovered_as([by_recovery, rotation(key(second), second, third)], by=third),
            by=third,
            recovered=1,
        ),
        accept(
            "a recovery from a key that a thief made of the old one",
            recovered_as([rotation(recovery, third, second, number=7)]),
            by=second,
            recovered=7,
            before=6,
        ),
        accept(
            "an old recovery statement is passed over",
            fetched([by_recovery, by_federation]),
            by=second,
            recovered=2,
            before=2,
        ),
        refuse("an older document", fetched([], by=first, seq=4), "stale-document"),
        refuse("another document of the same number", signed(document({"seq": 5, "limits": None})), "stale-document"),
        refuse("a new key without a statement", fetched([]), "federation-key-changed"),
        refuse(
            "a statement by the new key itself",
            fetched([rotation(key(second), first, second)]),
            "federation-key-changed",
        ),
        refuse(
            "a statement that leads to another key",
            fetched([rotation(key(first), first, third)]),
            "federation-key-changed",
        ),
        refuse(
            "a statement about another entity",
            fetched([rotation(key(first), first, second, entity="https://birch.example")]),
            "federation-key-changed",
        ),
        refuse(
            "a statement that starts from another key",
            fetched([rotation(key(first), third, second)]),
            "federation-key-changed",
        ),
        refuse(
            "a recovery statement that was acted on before", fetched([by_recovery]), "federation-key-changed", before=1
        ),
        refuse("a recovered node with its old keys", fetched([by_recovery]), "revoked-key"),
        refuse(
            "a recovered node with an old key in another role",
            recovered_as([by_recovery], attest=text_of(key("aurora http"))),
            "revoked-key",
        ),
        refuse(
            "a recovered node whose old log key still counts",
            recovered_as([by_recovery], earlier=[text_of(key("aurora log"))]),
            "revoked-key",
        ),
        refuse(
            "a recovered node whose recovery key is the stolen federation key",
            recovered_as([rotation(recovery, first, second, recovery=first)], recovery=text_of(key(first))),
            "revoked-key",
        ),
        refuse(
            "the old federation key after a recovery",
            fetched([by_recovery, rotation(key(first), first, third)], by=first, seq=99),
            "federation-key-changed",
        ),
        refuse(
            "a step of the old federation key after a recovery",
            fetched([by_recovery, rotation(key(first), first, third)], by=third, seq=99),
            "federation-key-changed",
        ),
        refuse(
            "a new recovery key without its word",
            fetched([], by=first, recovery=new_recovery),
            "federation-key-changed",
        ),
        refuse(
            "a recovery key in a statement of the federation key",
            fetched([rotation(key(first), first, second, recovery="aurora recovery 2")]),
            "federation-key-changed",
        ),
        refuse(
            "a new recovery key by the word of the federation key",
            fetched([rotation(key(first), first, second, recovery="aurora recovery 2")], recovery=new_recovery),
            "federation-key-changed",
        ),
        refuse("a changed statement of a known key", fetched([by_federation[:-4] + "AAAA"]), "unverified"),
        refuse(
            "a statement of another type",
            fetched([jws(canonical({"x": 1}), key(first), DOCUMENT_TYP)]),
            "malformed",
            kind="malformed",
        ),
        refuse(
            "a statement that changes nothing",
            fetched([rotation(key(first), first, first)], by=first),
            "malformed",
            kind="malformed",
        ),
        refuse(
            "a document of another entity",
            signed(
                document(
                    {
                        "seq": 6,
                        "entity": "https://birch.example",
                        "log_origin": "birch.example/log",
                        "log_vkey": vkey("birch.example/log", text_of(key("aurora log"))),
                    }
                )
            ),
            "federation-key-changed",
        ),
    ]


def _ticket(said: object, *, checked: bytes | None = None) -> str:
    payload = canonical(said).encode() if not isinstance(said, bytes) else said
    checksum = hashlib.sha256(b"mentormesh/ticket/v1\n" + payload).digest()[:4] if checked is None else checked
    return "mm1-" + b64u(payload + checksum)


def _tickets() -> list[Case]:
    said = {
        "entity": ENTITY,
        "api": "https://mesh.aurora.example",
        "fingerprint": thumbprint(FEDERATION),
        "code": "AAECAwQFBgcICQoLDA0ODw",
        "expires_at": NOW + 604_800,
    }
    good = _ticket(said)

    def accept(name: str, **changes: object) -> Case:
        return {"name": name, "ticket": _ticket({**said, **changes}), "result": {**said, **changes}}

    def refuse(name: str, **changes: object) -> Case:
        return _refused(
            name, ticket=_ticket({one: value for one, value in {**said, **changes}.items() if value is not None})
        )

    return [
        accept("the usual ticket"),
        accept("with a proposed mode", policy="no-new-requests"),
        accept("with another mode", policy="catalog-hidden"),
        accept("in development", connect_to="127.0.0.1:8441"),
        accept("of a registry", consortium={"name": "Freight guild"}),
        accept(
            "of a registry with a charter",
            consortium={
                "name": "Gilde für Fracht",
                "charter": "Members answer within two working days.",
                "charter_url": "https://guild.example/charter",
            },
        ),
        _refused("cut short", ticket=good[:-5]),
        _refused("one letter mistyped", ticket=good[:40] + ("A" if good[40] != "A" else "B") + good[41:]),
        _refused("another checksum", ticket=_ticket(said, checked=b"\0\0\0\0")),
        _refused("no prefix", ticket=good.removeprefix("mm1-")),
        _refused("a later version", ticket=good.replace("mm1-", "mm2-")),
        _refused("padding", ticket=good + "="),
        _refused("a line break inside", ticket=good[:50] + "\n" + good[50:]),
        _refused("not JSON", ticket=_ticket(b"aurora")),
        _refused("not canonical JSON", ticket=_ticket(json.dumps(said).encode())),
        refuse("a code of fifteen bytes", code="AAECAwQFBgcICQoLDA0O"),
        refuse("no code", code=None),
        refuse("an entity with a port", entity="https://aurora.example:8443"),
        refuse("an API without TLS", api="http://aurora.example"),
        refuse("an unknown mode", policy="everything"),
        refuse("a proposal to block", policy="blocked"),
        refuse("the default mode written out", policy="full"),
        refuse("an address of another machine", connect_to="192.0.2.1:8441"),
        refuse("a time before 1970", expires_at=-1),
        refuse("an unknown field", note="hello"),
        refuse("a consortium without a name", consortium={"charter": "We help."}),
        refuse("a consortium with an empty name", consortium={"name": ""}),
        refuse("a consortium with an empty charter written out", consortium={"charter": "", "name": "Guild"}),
        refuse("a name of two lines", consortium={"name": "Freight\nguild"}),
        refuse("a name with a direction mark", consortium={"name": "Freight \u202eguild"}),
        refuse("a charter without TLS", consortium={"charter_url": "http://guild.example", "name": "Guild"}),
        refuse("an unknown field of the consortium", consortium={"members": 3, "name": "Guild"}),
    ]


def _words() -> list[Case]:
    def words(one: Key) -> str:
        hashed = hashlib.sha256(b"mentormesh/fingerprint/v1\n" + thumbprint(one).encode()).digest()
        return " ".join(WORDS[byte] for byte in hashed[:8])

    accepted = [
        {"name": f"the words of {name}", "key": text_of(key(name)), "result": {"words": words(key(name))}}
        for name in ("aurora federation", "birch federation", "cobalt federation")
    ]
    return [
        *accepted,
        _refused("a key of small order", key=b64u(SMALL_ORDER)),
        _refused("a key of zeros", key=b64u(bytes(32))),
        _refused("a point off the curve", key=b64u(b"\x02" + bytes(31))),
        _refused("a key of 31 bytes", key=b64u(bytes(31))),
    ]
