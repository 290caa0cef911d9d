"""What each mode lets a peer do, and what the memory of nonces and rows of them keep."""

import itertools
from typing import get_args

import pytest
from msgspec.structs import replace

from federation.authenticate import NONCE_MARGIN_S, ReplayedError, _NonceMemory, forget_nonces
from federation.directory import ALLOWED, Action, PeerDirectory, PeerModeError
from federation.rows import NonceRow, PeerRow
from protocol.errors import LimitError, MissingError
from protocol.tickets import Mode
from tests.fakes.clock import SteppedClock
from tests.fakes.memory_store import MemoryStore
from tests.vectors.generate import peers as documents

NOW = 1_800_000_000


def row(mode: str = "full", until: int | None = None) -> PeerRow:
    key = documents.key("aurora http")
    return PeerRow(
        entity=documents.ENTITY,
        keyid=documents.thumbprint(key),
        federation_key=documents.text_of(documents.FEDERATION),
        document=documents.signed(documents.document()).encode(),
        mode=mode,
        mode_until=until,
        added_at=NOW,
        fetched_at=NOW,
    )


def test_every_mode_says_what_it_allows_and_each_allows_less() -> None:
    modes = get_args(Mode)
    assert tuple(ALLOWED) == modes
    for one, other in itertools.pairwise(modes):
        assert ALLOWED[one] > ALLOWED[other]


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("action", get_args(Action))
def test_a_peer_may_do_what_its_mode_allows(mode: Mode, action: Action) -> None:
    peer = PeerDirectory().put(row(mode))
    if action in ALLOWED[mode]:
        peer.require(action, now=NOW)
    else:
        with pytest.raises(PeerModeError):
            peer.require(action, now=NOW)


def test_a_mode_ends_in_its_second() -> None:
    peer = PeerDirectory().put(row("blocked", until=NOW))
    assert peer.mode_at(NOW - 1) == "blocked"
    assert peer.mode_at(NOW) == "full"


def test_a_transport_key_that_another_peer_has_now_is_known_in_whatever_order_that_is_heard() -> None:
    key, later = documents.key("aurora http"), documents.text_of(documents.key("aurora http 2"))
    origin, log = "birch.example/log", documents.text_of(documents.key("aurora log"))
    birch = {
        "entity": "https://birch.example",
        "log_origin": origin,
        "log_vkey": documents.vkey(origin, log),
    }
    directory = PeerDirectory()
    directory.put(row())
    taken = documents.signed(documents.document(birch)).encode()
    directory.put(replace(row(), entity="https://birch.example", document=taken))
    directory.put(replace(row(), document=documents.signed(documents.document({"seq": 2}, http=later)).encode()))
    found = directory.by_keyid(documents.thumbprint(key))
    assert found is not None
    assert found.entity == "https://birch.example"
    for entity in (documents.ENTITY, "https://birch.example"):
        directory.remove(entity)
    assert directory.by_keyid(documents.thumbprint(key)) is None


def test_the_address_in_the_configuration_goes_first() -> None:
    directory = PeerDirectory({documents.ENTITY: "127.0.0.1:1"})
    assert directory.put(row()).connect_to == "127.0.0.1:1"


def test_a_removed_peer_is_nobody() -> None:
    directory = PeerDirectory()
    peer = directory.put(row())
    assert directory.by_keyid(peer.http_key.keyid) == peer
    directory.remove(peer.entity)
    directory.remove(peer.entity)
    assert directory.by_keyid(peer.http_key.keyid) is None
    with pytest.raises(MissingError):
        directory.get(peer.entity)


def test_a_nonce_is_remembered_until_its_signature_ends_and_memory_is_bounded() -> None:
    memory = _NonceMemory(2)
    memory.spend(("k", "a"), until=NOW + 10, now=NOW)
    memory.spend(("k", "b"), until=NOW + 10, now=NOW)
    with pytest.raises(ReplayedError):
        memory.spend(("k", "a"), until=NOW + 10, now=NOW + 10)
    with pytest.raises(LimitError):
        memory.spend(("k", "c"), until=NOW + 20, now=NOW + 10)
    memory.spend(("k", "c"), until=NOW + 20, now=NOW + 11)


def test_a_key_that_fills_the_memory_of_nonces_keeps_no_other_out() -> None:
    memory = _NonceMemory(4)
    for number in range(4):
        memory.spend(("loud", str(number)), until=NOW + 10, now=NOW)
    memory.spend(("quiet", "a"), until=NOW + 10, now=NOW)
    memory.spend(("quiet", "b"), until=NOW + 10, now=NOW)
    for key in ("loud", "quiet"):
        with pytest.raises(LimitError):
            memory.spend((key, "c"), until=NOW + 10, now=NOW)
    memory.spend(("loud", "c"), until=NOW + 30, now=NOW + 11)


async def test_rows_of_nonces_are_erased_after_their_margin() -> None:
    clock, store = SteppedClock(NOW), MemoryStore()
    async with store.write() as tx:
        await tx.insert(NonceRow(keyid="k", nonce="n", expires_at=NOW + NONCE_MARGIN_S))
    clock.advance(NONCE_MARGIN_S)
    assert await forget_nonces(store, clock) == 0
    clock.advance(1)
    assert await forget_nonces(store, clock) == 1
