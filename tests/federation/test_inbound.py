"""What a node answers to requests that no honest peer sends (research B.3: 4, 9, 12, 14-16, 24, 26, 27, 35-38, 45, 46).

Every case goes over a real socket and ends in the right status, a problem that repeats nothing, and unchanged rows.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from federation.authenticate import Authenticator, BlockedPeerError, UnknownPeerError
from federation.directory import FrozenPeerError, PeerModeError
from federation.rows import FrozenRow, InviteRow, PeerRow
from protocol.encoding import encode
from protocol.httpsig import NONCE_BYTES, RequestLine, sign_request
from protocol.signing import SigningKey
from protocol.tickets import PEERINGS_PATH, Redemption, parse_ticket
from tests.fakes.clock import SteppedClock
from tests.vectors.generate import httpsig as signed
from tests.vectors.generate import peers as documents

from .stations import BATCH, LIMITS, RawAnswer, Station, raw, station

pytestmark = pytest.mark.system

CASES = json.loads((Path(__file__).parents[1] / "vectors/httpsig/requests.json").read_bytes())["cases"]
STATUS = {"malformed": 400, "unverified": 401}
ELSEWHERE = frozenset(
    {
        "two Content-Type headers",
        "another method arrived",
        "another path arrived",
        "an escape was undone on the way",
        "another content type arrived",
        "a body where none was signed",
        "a content type without a body",
    }
)
#: Spaces around a header's value end on the wire.
NOT_ON_THE_WIRE = "a digest with a space"
CALLER = SigningKey(bytes(signed.CALLER))
HOST = ("Host", "birch.example")


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def birch(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Station]:
    """The node of the vectors, with their caller as its only peer."""
    async with station("birch", tmp_path, clock) as made:
        await add_peer(made)
        yield made


async def add_peer(made: Station, *, mode: str = "full") -> None:
    text = documents.signed(documents.document(http=CALLER.public.text))
    row = PeerRow(
        entity=documents.ENTITY,
        keyid=CALLER.public.keyid,
        federation_key=documents.text_of(documents.FEDERATION),
        document=text.encode(),
        mode=mode,
        added_at=0,
        fetched_at=0,
    )
    async with made.store.write() as tx:
        await tx.put(row)
    made.directory.put(row)


def headers_of(
    made: Station,
    method: str,
    target: str,
    body: bytes = b"",
    content_type: str | None = None,
    *,
    key: SigningKey = CALLER,
    at: int | None = None,
) -> list[tuple[str, str]]:
    """Return the headers of a request as an honest client would send them."""
    line = RequestLine(method=method, authority="birch.example", target=target)
    now = made.clock.now() if at is None else at
    nonce = made.entropy.take(NONCE_BYTES)
    return [HOST, *sign_request(line, body, content_type, key=key, now=now, nonce=nonce).headers.items()]


def problem(answer: RawAnswer) -> dict[str, Any]:
    assert answer.headers["content-type"].startswith("application/problem+json")
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["name"])
        for case in CASES
        if "result" in case and (case["method"], case["target"]) == ("POST", signed.TARGET)
    ],
)
async def test_a_request_of_the_profile_has_its_effect(
    birch: Station, clock: SteppedClock, case: dict[str, Any]
) -> None:
    clock.advance(case["now"] - clock.now())
    headers = [HOST, *((name, value) for name, value in case["headers"])]
    answer = await raw(birch.port, case["method"], case["target"], headers, case["body"].encode())
    assert answer.status == 200, answer.body
    assert len((await birch.rows())["nonce"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case["name"]) for case in CASES if "error" in case and case["name"] != NOT_ON_THE_WIRE],
)
async def test_any_other_request_changes_nothing(birch: Station, clock: SteppedClock, case: dict[str, Any]) -> None:
    clock.advance(case["now"] - clock.now())
    before = await birch.rows()
    headers = [HOST, *((name, value) for name, value in case["headers"])]
    answer = await raw(birch.port, case["method"], case["target"], headers, case["body"].encode())
    if case["authority"] != "birch.example":
        assert answer.status == 200, "the same bytes are right at the authority they were signed for"
        return
    found = problem(answer)
    assert await birch.rows() == before
    assert "date" in answer.headers
    if case["code"] in {"request-target", "wrong-key"} or case["name"] in ELSEWHERE:
        # Another address, an unknown key or another type stops the request before anybody checks a signature.
        assert answer.status in {400, 403, 404, 405, 415, 421}
    else:
        assert (answer.status, found["code"]) == (STATUS[case["error"]], case["code"])


async def test_an_unknown_key_is_refused_before_its_body_is_read(birch: Station) -> None:
    headers = headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON, key=SigningKey(bytes(32)))
    # The body never comes: whoever waited for it would be cut off after 0.2 s with 408.
    answer = await raw(birch.port, "POST", signed.TARGET, [*headers, ("Content-Length", "1")])
    assert (answer.status, problem(answer)["code"]) == (403, "unknown-peer")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/federation/v1/see"),
        ("GET", "/federation/v1/hello"),
        ("GET", "/federation/v1/page"),
        ("POST", "/federation/v1/batch"),
    ],
)
async def test_a_blocked_peer_is_refused_everywhere(birch: Station, method: str, target: str) -> None:
    await add_peer(birch, mode="blocked")
    body = b"x" if method == "POST" else b""
    headers = headers_of(birch, method, target, body, signed.JSON if body else None)
    answer = await raw(birch.port, method, target, headers, body)
    assert (answer.status, problem(answer)["code"]) == (403, "peer-blocked")


async def test_who_is_suspended_while_its_body_comes_in_is_refused(birch: Station, clock: SteppedClock) -> None:
    authenticator = Authenticator(birch.directory, clock, address_per_minute=9, peer_per_minute=9, not_before=0)
    line = RequestLine(method="POST", authority="birch.example", target=signed.TARGET)
    headers = [(name.lower(), value) for name, value in headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON)]
    admission = authenticator.admit(line, headers, address="192.0.2.1")
    assert authenticator.verify(admission, b"x").peer.entity == documents.ENTITY
    seen = authenticator.verify(authenticator.admit(line, headers, address="192.0.2.1"), b"x")
    await add_peer(birch, mode="no-new-requests")
    async with birch.store.write() as tx:
        with pytest.raises(PeerModeError):
            await seen.spend(tx, action="request")
    await add_peer(birch, mode="blocked")
    with pytest.raises(BlockedPeerError):
        authenticator.verify(admission, b"x")
    async with birch.store.write() as tx:
        with pytest.raises(BlockedPeerError):
            await seen.spend(tx)
    birch.directory.remove(documents.ENTITY)
    async with birch.store.write() as tx:
        with pytest.raises(UnknownPeerError):
            await seen.spend(tx)


async def test_who_was_suspended_or_frozen_at_another_process_has_no_effect_here_though_nobody_heard_of_it_yet(
    birch: Station, clock: SteppedClock
) -> None:
    authenticator = Authenticator(birch.directory, clock, address_per_minute=9, peer_per_minute=9, not_before=0)
    line = RequestLine(method="POST", authority="birch.example", target=signed.TARGET)
    headers = [(name.lower(), value) for name, value in headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON)]
    await add_peer(birch)
    seen = authenticator.verify(authenticator.admit(line, headers, address="192.0.2.1"), b"x")
    async with birch.store.write() as tx:
        await tx.put(FrozenRow(peer=documents.ENTITY, bundle="", since=clock.now()))
        with pytest.raises(FrozenPeerError):
            await seen.spend(tx, action="request")
        row = await tx.get(PeerRow, documents.ENTITY)
        assert row is not None
        await tx.put(replace(row, mode="blocked"))
        with pytest.raises(BlockedPeerError):
            await seen.spend(tx)


async def test_a_body_of_another_media_type_is_refused_unread(birch: Station) -> None:
    headers = headers_of(birch, "POST", signed.TARGET, b"x", "multipart/form-data; boundary=x")
    answer = await raw(birch.port, "POST", signed.TARGET, [*headers, ("Content-Length", "1")])
    assert (answer.status, problem(answer)["code"]) == (415, "media-type")


async def test_a_compressed_body_is_refused_unread(birch: Station) -> None:
    headers = headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON)
    answer = await raw(
        birch.port, "POST", signed.TARGET, [*headers, ("Content-Encoding", "gzip"), ("Content-Length", "1")]
    )
    assert answer.status == 415


async def test_a_body_over_the_limit_is_refused_unread(birch: Station) -> None:
    headers = headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON)
    answer = await raw(birch.port, "POST", signed.TARGET, [*headers, ("Content-Length", str(64 * 1024 + 1))])
    assert (answer.status, problem(answer)["code"]) == (413, "too-large")


async def test_a_body_that_never_comes_is_given_up(birch: Station) -> None:
    headers = headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON)
    answer = await raw(birch.port, "POST", signed.TARGET, [*headers, ("Content-Length", "1")])
    assert (answer.status, problem(answer)["code"]) == (408, "timeout")


async def test_a_get_has_no_body(birch: Station) -> None:
    headers = headers_of(birch, "GET", "/federation/v1/see")
    answer = await raw(birch.port, "GET", "/federation/v1/see", headers, b"x")
    assert answer.status == 413


@pytest.mark.parametrize("target", ["http://birch.example/federation/v1/see", "http://evil.example/federation/v1/see"])
async def test_an_absolute_form_target_is_misdirected(birch: Station, target: str) -> None:
    answer = await raw(birch.port, "GET", target, headers_of(birch, "GET", "/federation/v1/see"))
    assert answer.status == 421


async def test_another_host_name_is_misdirected_for_peers(birch: Station) -> None:
    headers = headers_of(birch, "GET", "/federation/v1/see")[1:]
    for host in (f"127.0.0.1:{birch.port}", "evil.example"):
        answer = await raw(birch.port, "GET", "/federation/v1/see", [("Host", host), *headers])
        assert (answer.status, problem(answer)["code"]) == (421, "misdirected")


async def test_a_replay_has_no_second_effect_even_after_a_restart(birch: Station) -> None:
    headers = headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON)
    assert (await raw(birch.port, "POST", signed.TARGET, headers, b"x")).status == 200
    before = await birch.rows()
    answer = await raw(birch.port, "POST", signed.TARGET, headers, b"x")
    assert (answer.status, problem(answer)["code"]) == (409, "replay")
    assert await birch.rows() == before
    await birch.hang_up()
    birch.authenticator._nonces._until.clear()
    await birch.listen()
    assert (await raw(birch.port, "POST", signed.TARGET, headers, b"x")).status == 409
    assert await birch.rows() == before


async def test_a_replayed_reading_is_refused_too(birch: Station) -> None:
    headers = headers_of(birch, "GET", "/federation/v1/see")
    assert (await raw(birch.port, "GET", "/federation/v1/see", headers)).status == 200
    answer = await raw(birch.port, "GET", "/federation/v1/see", headers)
    assert (answer.status, problem(answer)["code"]) == (409, "replay")


async def test_a_request_from_before_the_start_is_refused(birch: Station) -> None:
    headers = headers_of(birch, "GET", "/federation/v1/see", at=birch.authenticator._not_before - 1)
    # Alive by its own times, were the clock set back; but what was spent then is forgotten.
    birch.clock.advance(-600)
    answer = await raw(birch.port, "GET", "/federation/v1/see", headers)
    assert (answer.status, problem(answer)["code"]) == (401, "before-start")


async def test_a_wrong_key_under_the_name_of_a_peer_changes_nothing(birch: Station) -> None:
    headers = dict(headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON, key=SigningKey(bytes(32))))
    headers["signature-input"] = headers["signature-input"].replace(
        SigningKey(bytes(32)).public.keyid, CALLER.public.keyid
    )
    before = await birch.rows()
    answer = await raw(birch.port, "POST", signed.TARGET, headers.items(), b"x")
    assert (answer.status, problem(answer)["code"]) == (401, "bad-signature")
    assert await birch.rows() == before


async def test_strangers_of_one_address_run_out_of_tries_and_the_peer_does_not(
    tmp_path: Path, clock: SteppedClock
) -> None:
    limits = msgspec.structs.replace(LIMITS, address_per_minute=5)
    async with station("birch", tmp_path, clock, limits=limits) as birch:
        await add_peer(birch)
        good = headers_of(birch, "GET", "/federation/v1/see")
        assert (await raw(birch.port, "GET", "/federation/v1/see", good)).status == 200
        forged = headers_of(birch, "GET", "/federation/v1/see", key=SigningKey(bytes(32)))
        statuses = [(await raw(birch.port, "GET", "/federation/v1/see", forged)).status for _ in range(7)]
        assert statuses == [403] * 5 + [429] * 2
        # The same address, but a key that has proven itself there.
        good = headers_of(birch, "GET", "/federation/v1/see")
        assert (await raw(birch.port, "GET", "/federation/v1/see", good)).status == 200
        answer = await raw(birch.port, "GET", "/.well-known/mentormesh", [HOST])
        assert answer.status == 429
        assert int(answer.headers["retry-after"]) >= 1
        clock.advance(60)
        assert (await raw(birch.port, "GET", "/.well-known/mentormesh", [HOST])).status == 200


async def test_forged_requests_do_not_use_up_the_tokens_of_a_peer(tmp_path: Path, clock: SteppedClock) -> None:
    limits = msgspec.structs.replace(LIMITS, peer_per_minute=2)
    async with station("birch", tmp_path, clock, limits=limits) as birch:
        await add_peer(birch)
        forged = dict(headers_of(birch, "GET", "/federation/v1/see"))
        forged["signature"] = f"sig1=:{'A' * 86}==:"
        for _ in range(5):
            assert (await raw(birch.port, "GET", "/federation/v1/see", forged.items())).status == 401
        statuses = [
            (await raw(birch.port, "GET", "/federation/v1/see", headers_of(birch, "GET", "/federation/v1/see"))).status
            for _ in range(3)
        ]
        assert statuses == [200, 200, 429]


@pytest.mark.slow
async def test_who_names_the_key_of_a_peer_pays_before_its_body_is_read(tmp_path: Path, clock: SteppedClock) -> None:
    limits = msgspec.structs.replace(LIMITS, address_per_minute=2)
    async with station("birch", tmp_path, clock, limits=limits) as birch:
        await add_peer(birch)
        forged = [*headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON), ("Content-Length", "1")]
        statuses = [(await raw(birch.port, "POST", signed.TARGET, forged)).status for _ in range(4)]
        assert statuses == [408, 408, 429, 429]
        clock.advance(60)
        for _ in range(4):  # who holds the key gets back what it paid
            headers = headers_of(birch, "POST", signed.TARGET, b"x", signed.JSON)
            assert (await raw(birch.port, "POST", signed.TARGET, headers, b"x")).status == 200


async def test_bodies_that_never_end_take_no_more_of_the_memory_than_one_addresss_share(birch: Station) -> None:
    headers = headers_of(birch, "POST", "/federation/v1/batch", b"x", BATCH)
    size, most = 130_000, 10**7 // 4

    async def begin() -> int:
        forged = [*headers, ("Content-Length", str(size + 1))]
        return (await raw(birch.port, "POST", "/federation/v1/batch", forged, bytes(size))).status

    statuses = await asyncio.gather(*(begin() for _ in range(2 * most // size)))
    assert {*statuses} == {408, 429}
    assert statuses.count(408) <= most // size


async def test_a_sender_that_hangs_up_in_mid_body_is_no_fault_of_this_node(birch: Station) -> None:
    headers = [*headers_of(birch, "POST", signed.TARGET, b"xx", signed.JSON), ("Content-Length", "2")]
    headers.append(("Expect", "100-continue"))
    reader, writer = await asyncio.open_connection("127.0.0.1", birch.port)
    lines = ["POST " + signed.TARGET + " HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", "x"]
    writer.write("\r\n".join(lines).encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    writer.transport.abort()
    await birch.hang_up()
    assert birch.events.failures == []


async def test_what_a_handler_refuses_is_signed(birch: Station) -> None:
    headers = headers_of(birch, "POST", "/federation/v1/refuse", b"x", signed.JSON)
    answer = await raw(birch.port, "POST", "/federation/v1/refuse", headers, b"x")
    assert answer.status == 409
    assert "signature-input" in answer.headers


# --- the redemption of a ticket ------------------------------------------------------------------


async def redeem(
    made: Station, redemption: Redemption, *, key: SigningKey, content_type: str = signed.JSON
) -> RawAnswer:
    body = encode(redemption)
    headers = headers_of(made, "POST", PEERINGS_PATH, body, content_type, key=key)
    return await raw(made.port, "POST", PEERINGS_PATH, headers, body)


async def code(made: Station) -> str:
    return parse_ticket((await made.peering.invite()).ticket).code


async def test_a_document_counts_only_with_the_key_that_it_names(birch: Station) -> None:
    document = documents.signed(documents.document(http=CALLER.public.text))
    redemption = Redemption(code=await code(birch), document=document)
    before = await birch.rows()
    answer = await redeem(birch, redemption, key=SigningKey(bytes(32)))
    assert (answer.status, problem(answer)["code"]) == (401, "wrong-key")
    assert await birch.rows() == before


async def test_a_document_that_nobody_signed_lets_nobody_in(birch: Station) -> None:
    document = documents.signed(documents.document(http=CALLER.public.text), documents.key("stranger"))
    redemption = Redemption(code=await code(birch), document=document)
    before = await birch.rows()
    assert (await redeem(birch, redemption, key=CALLER)).status == 401
    assert await birch.rows() == before


async def test_no_code_no_contact(birch: Station) -> None:
    asked: list[str] = []

    async def lookup(host: str, _port: int) -> list[str]:
        asked.append(host)
        return []

    birch.client._resolver._lookup = lookup  # type: ignore[misc]
    document = documents.signed(
        documents.document(
            {
                "entity": "https://cobalt.example",
                "api": "https://cobalt.example",
                "log_origin": "cobalt.example/log",
                "log_vkey": documents.vkey("cobalt.example/log", documents.text_of(documents.key("aurora log"))),
            },
            http=CALLER.public.text,
        )
    )
    answer = await redeem(birch, Redemption(code="A" * 22, document=document), key=CALLER)
    assert (answer.status, problem(answer)["code"]) == (403, "ticket")
    assert asked == []
    answer = await redeem(birch, Redemption(code=await code(birch), document=document), key=CALLER)
    assert (answer.status, problem(answer)["code"]) == (403, "not-reachable")
    assert asked == ["cobalt.example"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 50_000, b'{"code":"A"}', b"\xff\xfe"])
async def test_any_other_body_is_no_redemption(birch: Station, body: bytes) -> None:
    before = await birch.rows()
    headers = headers_of(birch, "POST", PEERINGS_PATH, body, signed.JSON if body else None, key=CALLER)
    answer = await raw(birch.port, "POST", PEERINGS_PATH, headers, body)
    assert answer.status in {400, 415}
    assert await birch.rows() == before


async def test_an_unsigned_redemption_is_refused(birch: Station) -> None:
    answer = await raw(birch.port, "POST", PEERINGS_PATH, [HOST, ("Content-Type", signed.JSON)], b"{}")
    assert (answer.status, problem(answer)["code"]) == (401, "unsigned")


async def test_redemptions_are_bounded_by_address(tmp_path: Path, clock: SteppedClock) -> None:
    async with station("birch", tmp_path, clock, limits=msgspec.structs.replace(LIMITS, address_per_minute=3)) as birch:
        document = documents.signed(documents.document(http=CALLER.public.text))
        redemption = Redemption(code="A" * 22, document=document)
        statuses = [(await redeem(birch, redemption, key=CALLER)).status for _ in range(5)]
        assert statuses == [403, 403, 403, 429, 429]
        async with birch.store.read() as reader:
            assert await reader.count(InviteRow) == 0
