"""What everybody may read of a node, and how the guard of peers' routes answers."""

import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import nacl.signing
import pytest

from federation.checkup import HELLO_PATH
from protocol.errors import UnavailableError
from protocol.keydirectory import DIRECTORY_PATH, DIRECTORY_TAG, DIRECTORY_TYPE
from protocol.peers import DOCUMENT_PATH, DOCUMENT_TYPE, open_document
from tests.fakes.clock import SteppedClock
from tests.federation.stations import LIMITS, Station, befriend, raw, station

pytestmark = pytest.mark.system

HOST = ("Host", "aurora.example")


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def aurora(tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Station]:
    async with station("aurora", tmp_path, clock) as made:
        yield made


@pytest.fixture
async def birch(tmp_path: Path, clock: SteppedClock, aurora: Station) -> AsyncIterator[Station]:
    async with station("birch", tmp_path, clock) as made:
        await befriend(aurora, made)
        yield made


async def test_the_node_document_is_served_as_it_was_signed(aurora: Station) -> None:
    answer = await raw(aurora.port, "GET", DOCUMENT_PATH, [HOST])
    assert (answer.status, answer.headers["content-type"]) == (200, DOCUMENT_TYPE)
    assert answer.body.decode() == aurora.own.text
    document = open_document(answer.body.decode(), expected_key=aurora.keys.federation.public)
    assert (document.entity, document.org.display_name) == (aurora.entity, "Aurora")
    assert answer.headers["cache-control"] == "public, max-age=60"


async def test_whoever_has_the_document_is_told_so(aurora: Station) -> None:
    etag = (await raw(aurora.port, "GET", DOCUMENT_PATH, [HOST])).headers["etag"]
    again = await raw(aurora.port, "GET", DOCUMENT_PATH, [HOST, ("If-None-Match", etag)])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", etag)
    aurora.own.text += "x"
    assert (await raw(aurora.port, "GET", DOCUMENT_PATH, [HOST, ("If-None-Match", etag)])).status == 200


async def test_the_key_directory_is_signed_by_the_key_it_shows(aurora: Station) -> None:
    answer = await raw(aurora.port, "GET", DIRECTORY_PATH, [HOST])
    assert (answer.status, answer.headers["content-type"]) == (200, DIRECTORY_TYPE)
    (jwk,) = json.loads(answer.body)["keys"]
    assert jwk == {
        "crv": "Ed25519",
        "kid": aurora.keys.http.public.keyid,
        "kty": "OKP",
        "use": "sig",
        "x": aurora.keys.http.public.text,
    }
    given = answer.headers["signature-input"].removeprefix("sig1=")
    assert re.search(rf'keyid="{jwk["kid"]}".*tag="{DIRECTORY_TAG}"', given)
    base = f'"@authority";req: aurora.example\n"@signature-params": {given}'
    signature = base64.b64decode(answer.headers["signature"].removeprefix("sig1=:").removesuffix(":"))
    nacl.signing.VerifyKey(base64.urlsafe_b64decode(jwk["x"] + "=")).verify(base.encode(), signature)


async def test_a_peer_is_told_who_it_is_taken_for(aurora: Station, birch: Station) -> None:
    answer = await birch.client.get(birch.directory.get(aurora.entity), HELLO_PATH)
    assert json.loads(answer.body) == {"entity": aurora.entity, "peer": birch.entity, "now": aurora.clock.now()}


async def test_immutable_data_goes_out_without_a_signature(aurora: Station, birch: Station) -> None:
    peer = birch.directory.get(aurora.entity)
    answer = await birch.client.get(peer, "/federation/v1/page", signed=False)
    assert answer.body == b"page"
    assert "signature" not in answer.headers


async def test_a_batch_may_be_larger_than_a_json_body(aurora: Station, birch: Station) -> None:
    peer = birch.directory.get(aurora.entity)
    batch = "application/vnd.mentormesh.batch"
    answer = await birch.client.post(peer, "/federation/v1/batch", b"x" * LIMITS.batch_bytes, batch)
    assert json.loads(answer.body)["size"] == LIMITS.batch_bytes
    with pytest.raises(UnavailableError) as refusal:
        await birch.client.post(peer, "/federation/v1/batch", b"x" * (LIMITS.batch_bytes + 1), batch)
    assert refusal.value.code == "too-large"
    with pytest.raises(UnavailableError) as refusal:
        await birch.client.post(peer, "/federation/v1/messages", b"x" * (64 * 1024 + 1), "application/json")
    assert refusal.value.code == "too-large"
