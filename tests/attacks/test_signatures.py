"""Signatures, keys and canonical forms (lines 26 to 47): nothing has an effect before it was verified."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import nacl.bindings
import nacl.exceptions
import nacl.signing
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from msgspec.structs import replace

from federation.attesting import ATTESTATIONS_PATH
from federation.checkup import HELLO_PATH
from federation.directory import peer_of
from federation.sets import NUDGES_PATH
from node.api.routes import JSON, Route
from node.api.table import ALL_ROUTES
from node.services.exchange import BATCH_TYPE, MESSAGE_TYPE, MESSAGES_PATH, QUOTES_PATH
from protocol import jws
from protocol.addresses import audience_id
from protocol.bodies import CancelledBody
from protocol.encoding import b64, encode
from protocol.erasure import ERASURES_PATH
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.ids import message_id
from protocol.messages import MESSAGE_TYP, MessageHead, body_hash, join_batch, sign_message
from protocol.peers import DOCUMENT_TYP
from protocol.signing import SigningKey, VerifyKey
from protocol.tickets import PEERINGS_PATH
from tests.federation.stations import RawAnswer
from tests.node.running import ENTITY
from tests.vectors import edwards

from .world import Attacker, World, fields_of, filled, name_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")

POSTS: Final = tuple(route for route in ALL_ROUTES if (route.auth, route.method) == ("peer", "POST"))


def head_of(peer: Attacker, **changed: object) -> MessageHead:
    """Return the head of a message that cancels a thread nobody has."""
    number = peer.entropy.take(10)
    head = MessageHead(
        mid=message_id(peer.clock.now_ms(), number),
        aud=ENTITY,
        thread=b64(peer.entropy.take(16)),
        side="consumer",
        seq=2,
        prev="A" * 43,
        seen="A" * 43,
        deadline=peer.clock.now() + 3600,
        type="cancel",
        body_hash=body_hash(CancelledBody(reason="not-needed")),
    )
    return replace(head, **changed)


def cancel(peer: Attacker, key: SigningKey | None = None, **changed: object) -> bytes:
    """Return a message of `peer`, signed by its envelope key or by `key`."""
    body = CancelledBody(reason="not-needed")
    return sign_message(head_of(peer, **changed), body, key or peer.keys.envelope_sign).item


def packed(text: str, body: bytes) -> bytes:
    """Return the item of a signed head and a body, whatever they say."""
    item = b"\x01" + len(text).to_bytes(4, "big") + text.encode() + len(body).to_bytes(4, "big") + body
    return item.ljust(32_768, b"\0")


# --- nothing before the signature --------------------------------------------------------------


@pytest.mark.parametrize("route", POSTS, ids=name_of)
async def test_a_valid_body_under_a_wrong_key_has_no_effect(world: World, route: Route) -> None:
    body = join_batch([cancel(world.birch)])
    path, forger = filled(route), SigningKey(bytes(32))
    headers = dict(world.birch.signed("POST", path, body, route.request_content_type, key=forger))
    async with world.unchanged():
        answer = await world.send("POST", path, headers.items(), body)
        assert refusal(answer) == (403, "unknown-peer")
        name = world.birch.keys.http.public.keyid
        headers["signature-input"] = headers["signature-input"].replace(forger.public.keyid, name)
        answer = await world.send("POST", path, headers.items(), body)
        assert refusal(answer) == (401, "bad-signature")


@pytest.mark.parametrize("role", ["federation", "log", "envelope_sign", "attest", "witness"])
async def test_a_key_of_another_role_signs_no_request(world: World, role: str) -> None:
    key: SigningKey = getattr(world.birch.keys, role)
    async with world.unchanged():
        headers = world.birch.signed("GET", HELLO_PATH, key=key)
        assert refusal(await world.send("GET", HELLO_PATH, headers)) == (403, "unknown-peer")


@pytest.mark.parametrize("role", ["federation", "http", "log", "attest", "witness"])
async def test_a_key_of_another_role_signs_no_message(world: World, role: str) -> None:
    (outcome,) = await world.batch(world.birch, cancel(world.birch, getattr(world.birch.keys, role)))
    assert (outcome.status, outcome.code) == ("refused", "unverified")


async def test_a_peer_does_not_speak_for_another_one(world: World) -> None:
    item = cancel(world.cobalt)
    (outcome,) = await world.batch(world.birch, item)
    assert (outcome.status, outcome.code) == ("refused", "unverified")
    async with world.unchanged():
        answer = await world.ask(world.birch, "POST", QUOTES_PATH, item, MESSAGE_TYPE)
        assert refusal(answer) == (401, "unverified")
        answer = await redeem(world, world.birch, world.cobalt.document)
        assert refusal(answer) == (401, "wrong-key")


async def test_a_message_for_another_node_is_refused(world: World) -> None:
    (outcome,) = await world.batch(world.birch, cancel(world.birch, aud=world.cobalt.entity))
    assert (outcome.status, outcome.code) == ("refused", "wrong-audience")


async def test_a_pinned_document_is_verified_again_when_it_is_read_back(world: World) -> None:
    row = world.birch.row()
    assert peer_of(row).entity == world.birch.entity
    with pytest.raises(MeshError):
        peer_of(replace(row, document=world.cobalt.document.encode()))
    with pytest.raises(MeshError):
        peer_of(replace(row, document=row.document[:-4] + b"AAAA"))


# --- one form only ------------------------------------------------------------------------------


def _respaced(text: str) -> str:
    return text.replace('":', '": ', 1)


def _reordered(text: str) -> str:
    pairs = [*fields_of(text).items()]
    return "{" + ",".join(encode({name: value}).decode()[1:-1] for name, value in reversed(pairs)) + "}"


def _nested(text: str) -> str:
    return '{"payload":' + text + "}"


def _extended(text: str) -> str:
    return encode({**fields_of(text), "role": "admin"}).decode()


def _doubled(text: str) -> str:
    return "{" + text[1:].partition(",")[0] + "," + text[1:]


def _escaped(text: str) -> str:
    return '{"\\u00' + f"{ord(text[2]):02x}" + text[3:]


def _exponent(text: str) -> str:
    place = '"seq":'
    before, _, after = text.partition(place)
    return f"{before}{place}{after[0]}.0{after[1:]}"


def _marked(text: str) -> str:
    return "\ufeff" + text


FORMS: Final[dict[str, Callable[[str], str]]] = {
    "a space": _respaced,
    "another order": _reordered,
    "one level deeper": _nested,
    "one field more": _extended,
    "a field twice": _doubled,
    "an escaped name": _escaped,
    "a number with a point": _exponent,
    "a byte order mark": _marked,
}


@pytest.mark.parametrize("form", FORMS)
async def test_a_second_form_of_a_document_is_refused_although_its_key_signed_it(world: World, form: str) -> None:
    said = jws.parse(world.birch.document, DOCUMENT_TYP).payload.decode()
    assert FORMS[form](said) != said
    document = jws.sign(FORMS[form](said).encode(), world.birch.keys.federation, DOCUMENT_TYP)
    async with world.unchanged():
        assert refusal(await redeem(world, world.birch, document)) == (400, "malformed")


@pytest.mark.parametrize("form", FORMS)
async def test_a_second_form_of_a_message_is_refused_although_its_key_signed_it(world: World, form: str) -> None:
    said = encode(head_of(world.birch)).decode()
    body = encode(CancelledBody(reason="not-needed"))
    text = jws.sign(FORMS[form](said).encode(), world.birch.keys.envelope_sign, MESSAGE_TYP)
    async with world.unchanged():
        batch = join_batch([packed(text, body)])
        assert refusal(await world.ask(world.birch, "POST", MESSAGES_PATH, batch, BATCH_TYPE)) == (400, "malformed")


@pytest.mark.parametrize("form", FORMS)
async def test_a_second_form_of_a_nudge_is_refused(world: World, form: str) -> None:
    said = encode({"audience": "A" * 43, "kind": "offers", "seq": 8}).decode()
    async with world.unchanged():
        answer = await world.ask(world.birch, "POST", NUDGES_PATH, FORMS[form](said).encode(), JSON)
        assert refusal(answer) == (400, "malformed")


async def redeem(world: World, peer: Attacker, document: str) -> RawAnswer:
    """Send a redemption with that document, signed by the http key of `peer`."""
    return await world.ask(peer, "POST", PEERINGS_PATH, encode({"code": "A" * 22, "document": document}), JSON)


# --- which algorithm, which key -----------------------------------------------------------------

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "no algorithm": {"alg": "none"},
    "a MAC": {"alg": "HS256"},
    "RSA": {"alg": "RS256"},
    "another curve": {"alg": "ES256"},
    "the family's name": {"alg": "EdDSA"},
    "another type": {"typ": "mentormesh-head+jws"},
    "the key of the attacker inside": {"jwk": {"crv": "Ed25519", "kty": "OKP", "x": "A" * 43}},
    "a place to fetch the key": {"jku": "https://evil.example/keys"},
    "a critical extension": {"crit": ["exp"], "exp": 1},
}


@pytest.mark.parametrize("header", HEADERS)
async def test_a_signature_of_another_kind_is_refused(world: World, header: str) -> None:
    parsed = jws.parse(world.birch.document, DOCUMENT_TYP)
    changed = {"alg": "Ed25519", "kid": parsed.header.kid, "typ": DOCUMENT_TYP, **HEADERS[header]}
    signed = f"{b64(encode(changed))}.{b64(parsed.payload)}"
    signature = world.birch.keys.federation.sign(signed.encode())
    async with world.unchanged():
        answer = await redeem(world, world.birch, f"{signed}.{b64(signature)}")
        assert refusal(answer) == (400, "malformed")


ROLES: Final = ("attest", "envelope_sign", "federation", "http", "log", "recovery", "witness")


@pytest.mark.parametrize("role", ROLES)
async def test_one_key_for_two_roles_is_refused(world: World, role: str) -> None:
    said = fields_of(jws.parse(world.birch.document, DOCUMENT_TYP).payload.decode())
    other = ROLES[ROLES.index(role) - 1]
    said["keys"] |= {role: said["keys"][other]}
    document = jws.sign(encode(said), world.birch.keys.federation, DOCUMENT_TYP)
    async with world.unchanged():
        assert refusal(await redeem(world, world.birch, document)) == (400, "malformed")


async def test_a_signing_key_is_no_sealing_key(world: World) -> None:
    said = fields_of(jws.parse(world.birch.document, DOCUMENT_TYP).payload.decode())
    said["keys"] |= {"envelope_seal": said["keys"]["envelope_sign"]}
    document = jws.sign(encode(said), world.birch.keys.federation, DOCUMENT_TYP)
    async with world.unchanged():
        assert refusal(await redeem(world, world.birch, document)) == (400, "malformed")


@pytest.mark.parametrize("route", POSTS, ids=name_of)
async def test_a_request_counts_once_on_every_route(world: World, route: Route) -> None:
    body = join_batch([cancel(world.birch)])
    headers = world.birch.signed("POST", filled(route), body, route.request_content_type)
    first = await world.send("POST", filled(route), headers, body)
    async with world.unchanged():
        again = await world.send("POST", filled(route), headers, body)
        # What was refused the first time had no effect and may be refused for the same reason again.
        assert refusal(again) == (409, "replay") or (again.status == first.status >= 400)


@pytest.mark.parametrize("path", [ATTESTATIONS_PATH, ERASURES_PATH])
async def test_what_is_told_of_a_directory_counts_once_whatever_it_says(world: World, path: str) -> None:
    headers = world.birch.signed("POST", path, b"{}", JSON)
    assert (await world.send("POST", path, headers, b"{}")).status == 400
    assert refusal(await world.send("POST", path, headers, b"{}")) == (409, "replay")


async def test_word_of_a_new_set_counts_once(world: World) -> None:
    audience = audience_id(ENTITY, world.birch.entity)
    body = encode({"audience": audience, "kind": "offers", "seq": 8})
    headers = world.birch.signed("POST", NUDGES_PATH, body, JSON)
    assert (await world.send("POST", NUDGES_PATH, headers, body)).status == 202
    assert refusal(await world.send("POST", NUDGES_PATH, headers, body)) == (409, "replay")


@pytest.mark.parametrize(("seconds", "code"), [(61, "clock-skew"), (-301, "signature-expired")])
async def test_a_clock_that_is_off_gets_the_time_with_the_refusal(world: World, seconds: int, code: str) -> None:
    headers = world.birch.signed("GET", HELLO_PATH, at=world.clock.now() + seconds)
    answer = await world.send("GET", HELLO_PATH, headers)
    assert refusal(answer) in {(401, code), (401, "before-start")}
    assert answer.headers["date"]
    if seconds > 0:
        assert refusal(answer) == (401, code)


# --- the curve ----------------------------------------------------------------------------------


def small_points() -> list[bytes]:
    """Return the encodings of points of order 1, 2, 4, 8 and 8."""
    point = edwards.torsion()
    return [edwards.encoded(edwards.times(factor, point)) for factor in (8, 4, 2, 1, 3)]


def challenge(commitment: bytes, public: bytes, message: bytes) -> int:
    """Return the number that a signature answers (RFC 8032 §5.1.6)."""
    return int.from_bytes(hashlib.sha512(commitment + public + message).digest(), "little") % edwards.ORDER


async def test_keys_and_commitments_of_small_order_sign_nothing() -> None:
    accepted = 0
    for public in small_points():
        with pytest.raises(MalformedError):
            VerifyKey(public)
        bare = object.__new__(VerifyKey)
        object.__setattr__(bare, "raw", public)
        for commitment in small_points():
            for number in range(200):
                accepted += holds(bare, commitment + bytes(32), f"message {number}".encode())
    assert accepted == 0


async def test_commitments_of_small_order_do_not_pass_under_an_honest_key() -> None:
    seed = hashlib.sha256(b"honest").digest()
    honest = SigningKey(seed)
    clamped = bytearray(hashlib.sha512(seed).digest()[:32])
    clamped[0] &= 248
    clamped[31] = clamped[31] & 127 | 64
    secret = int.from_bytes(clamped, "little")
    accepted = 0
    for commitment in small_points():
        for number in range(200):
            message = f"message {number}".encode()
            answer = challenge(commitment, honest.public.raw, message) * secret % edwards.ORDER
            accepted += holds(honest.public, commitment + answer.to_bytes(32, "little"), message)
    assert accepted == 0


async def test_a_key_with_a_part_of_small_order_is_none() -> None:
    honest = edwards.decoded(SigningKey(bytes(32)).public.raw)
    for factor in range(1, 8):
        mixed = edwards.add(honest, edwards.times(factor, edwards.torsion()))
        with pytest.raises(MalformedError):
            VerifyKey(edwards.encoded(mixed))


async def test_a_signature_has_one_form() -> None:
    key = SigningKey(bytes(32))
    for number in range(50):
        message = f"message {number}".encode()
        signature = key.sign(message)
        second = int.from_bytes(signature[32:], "little") + edwards.ORDER
        changed = signature[:32] + second.to_bytes(32, "little")
        assert holds(key.public, signature, message)
        assert not holds(key.public, changed, message)
        with pytest.raises(InvalidSignature):
            Ed25519PublicKey.from_public_bytes(key.public.raw).verify(changed, message)


def holds(key: VerifyKey, signature: bytes, message: bytes) -> bool:
    """Return whether a signature is taken."""
    try:
        key.verify(signature, message)
    except UnverifiedError:
        return False
    return True


async def test_a_shared_secret_of_zeros_is_refused_by_both_libraries() -> None:
    with pytest.raises(ValueError, match="Error"):
        X25519PrivateKey.from_private_bytes(bytes(32)).exchange(X25519PublicKey.from_public_bytes(bytes(32)))
    with pytest.raises(nacl.exceptions.RuntimeError):
        nacl.bindings.crypto_scalarmult(bytes(range(32)), bytes(32))
