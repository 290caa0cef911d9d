"""Which logs are followed and which witnesses are asked, by peers, their modes, and the operator's policy."""

import pytest
from msgspec.structs import replace

from federation.directory import PeerDirectory, Seat
from federation.knownlogs import MOST_OF_REGISTRY, MOST_WITNESSES, KnownLogs, Witnesses
from federation.rows import PeerRow
from protocol.peers import witness_key
from protocol.signing import SigningKey, VerifyKey
from protocol.tlog.note import LogKey, WitnessKey
from protocol.tlog.policy import Policy, parse_policy
from tests.fakes.clock import SteppedClock

from .watchers import Town, Watcher

OWN = "https://aurora.example"
CLOCK = SteppedClock()
FOREIGN = LogKey(name="log.example/public", key=SigningKey(b"\3" * 32).public)
PUBLIC = WitnessKey(name="witness.example", key=SigningKey(b"\4" * 32).public)


@pytest.fixture
async def town() -> Town:
    return await Town.of("aurora", "birch", "cobalt")


def logs(watcher: Watcher, policy: Policy | None = None) -> list[str]:
    return [each.origin for each in KnownLogs(watcher.directory, CLOCK, own=OWN, policy=policy).all()]


def witnesses(watcher: Watcher, policy: Policy | None = None) -> list[str]:
    own_key = watcher.keys.witness
    return [each.name for each in Witnesses(watcher.directory, CLOCK, own=OWN, own_key=own_key, policy=policy).all()]


def set_mode(watcher: Watcher, entity: str, mode: str) -> None:
    peer = watcher.directory.get(entity)
    row = PeerRow(
        entity=entity,
        keyid=peer.http_key.keyid,
        federation_key=peer.document.keys.federation,
        document=peer.pinned.text.encode(),
        mode=mode,
        added_at=0,
        fetched_at=0,
    )
    watcher.directory.put(row)


async def test_the_logs_of_peers_are_followed_and_their_witnesses_asked(town: Town) -> None:
    aurora = town.watchers[0]
    assert logs(aurora) == ["birch.example/log", "cobalt.example/log"]
    assert sorted(witnesses(aurora)) == ["https://birch.example", "https://cobalt.example"]


async def test_a_blocked_peer_is_neither_followed_nor_asked(town: Town) -> None:
    aurora = town.watchers[0]
    set_mode(aurora, "https://birch.example", "blocked")
    known = KnownLogs(aurora.directory, CLOCK, own=OWN)
    assert (logs(aurora), known.of("birch.example/log")) == (["cobalt.example/log"], None)
    assert witnesses(aurora) == ["https://cobalt.example"]
    set_mode(aurora, "https://birch.example", "catalog-hidden")
    assert "birch.example/log" in logs(aurora)


async def test_a_frozen_peer_is_followed_and_not_asked(town: Town) -> None:
    aurora = town.watchers[0]
    aurora.directory.freeze(frozenset({"https://birch.example"}))
    assert "birch.example/log" in logs(aurora)
    assert witnesses(aurora) == ["https://cobalt.example"]


async def test_an_older_log_of_a_peer_is_not_followed(town: Town) -> None:
    known = KnownLogs(town.watchers[0].directory, CLOCK, own=OWN)
    assert known.of("birch.example/log") is not None
    assert known.of("birch.example/log/2") is None
    assert known.of("delta.example/log") is None


async def test_a_policy_names_further_logs_and_other_witnesses(town: Town) -> None:
    aurora, birch, _ = town.watchers
    own = LogKey(name="aurora.example/log", key=VerifyKey.parse(aurora.document.keys.log))
    lines = [
        f"log {FOREIGN.vkey} https://log.example/public/",
        f"log {own.vkey}",
        f"witness own {witness_key(aurora.document).vkey} https://aurora.example/witness",
        f"witness b {witness_key(birch.document).vkey}",
        f"witness p {PUBLIC.vkey} https://witness.example/some/where/",
        f"witness lost {WitnessKey(name='w', key=SigningKey(b'5' * 32).public).vkey}",
        "quorum none",
    ]
    policy = parse_policy("".join(f"{line}\n" for line in lines).encode())
    assert logs(aurora, policy) == ["birch.example/log", "cobalt.example/log", "log.example/public"]
    known = KnownLogs(aurora.directory, CLOCK, own=OWN, policy=policy).of("log.example/public")
    assert known is not None
    assert known.contact is not None
    assert (known.contact.api, known.prefix, known.keys) == ("https://log.example", "/public", (FOREIGN,))
    own_key = aurora.keys.witness
    targets = Witnesses(aurora.directory, CLOCK, own=OWN, own_key=own_key, policy=policy).all()
    assert [(each.name, each.contact.api, each.path, each.peer) for each in targets] == [
        ("b", "https://birch.example", "/witness/add-checkpoint", "https://birch.example"),
        ("p", "https://witness.example", "/some/where/add-checkpoint", ""),
    ]


@pytest.mark.slow
async def test_of_many_peers_the_same_few_are_asked() -> None:
    town = await Town.of("aurora", *(f"n{number:02}" for number in range(20)))
    aurora = town.watchers[0]
    first = witnesses(aurora)
    assert len(first) == MOST_WITNESSES
    other = PeerDirectory()
    for each in reversed(aurora.directory.all()):
        other.put(
            PeerRow(
                entity=each.entity,
                keyid=each.http_key.keyid,
                federation_key=each.document.keys.federation,
                document=each.pinned.text.encode(),
                mode="full",
                added_at=0,
                fetched_at=0,
            )
        )
    assert [each.name for each in Witnesses(other, CLOCK, own=OWN, own_key=aurora.keys.witness).all()] == first


@pytest.mark.slow
async def test_a_registry_cannot_fill_the_places_of_witnesses_with_names_that_it_invents() -> None:
    invented = [f"m{number}" for number in range(40)]
    town = await Town.of("aurora", "birch", "cobalt", *invented)
    aurora = town.watchers[0]
    for name in invented:
        peer = aurora.directory.get(f"https://{name}.example")
        registry = f"https://registry{int(name[1:]) % 2}.example"
        seats = (Seat(registry=registry, until=CLOCK.now() + 60),)
        aurora.directory._keep(replace(peer, via=registry, seats=seats))
    asked = witnesses(aurora)
    assert set(asked) > {"https://birch.example", "https://cobalt.example"}
    assert len(asked) == 2 + 2 * MOST_OF_REGISTRY
    # Another node asks others of them: which ones is not to be told from names.
    own_key = town.watchers[1].keys.witness
    other = [each.name for each in Witnesses(aurora.directory, CLOCK, own=OWN, own_key=own_key).all()]
    assert set(other) != set(asked)


async def test_a_new_document_of_a_peer_is_read_anew(town: Town) -> None:
    aurora = town.watchers[0]
    known = KnownLogs(aurora.directory, CLOCK, own=OWN)
    before = known.of("birch.example/log")
    peer = aurora.directory.get("https://birch.example")
    moved = replace(peer, connect_to="127.0.0.1:9")
    aurora.directory._keep(moved)
    after = known.of("birch.example/log")
    assert before is not None
    assert before.contact is not None
    assert after is not None
    assert after.contact is not None
    assert (before.contact.connect_to, after.contact.connect_to) == ("", "127.0.0.1:9")
