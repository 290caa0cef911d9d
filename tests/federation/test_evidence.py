"""What binds evidence to a peer, and when it freezes: enough to catch whoever goes on, never by a stolen key."""

import pytest
from msgspec.structs import replace

from federation import evidence
from federation.evidence import binds
from federation.rows import FrozenRow
from protocol.errors import LimitError
from protocol.evidence import make_bundle, signed_checkpoint
from protocol.peers import NodeDocument, log_key, sign_document
from protocol.rotation import Pinned, Rotation, sign_rotation
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, sign_checkpoint

from .watchers import Town, Watcher

AURORA = "https://aurora.example"
LOG = "aurora.example/log"
OLD, NEW = SigningKey(b"\x21" * 32), SigningKey(b"\x22" * 32)
RECOVERY = SigningKey(b"\x23" * 32)


def bundle(watcher: Watcher, size: int, text: str = "") -> bytes:
    """Return evidence of two trees of this size."""
    document = watcher.document
    statements = [
        signed_checkpoint(
            sign_checkpoint(Checkpoint(origin=LOG, size=size, root=bytes([at] * 32)), watcher.keys.log),
            log_key(document),
            text or watcher.text,
        )
        for at in (1, 2)
    ]
    return make_bundle("two-checkpoints", AURORA, *statements)


async def frozen(watcher: Watcher) -> list[str]:
    async with watcher.store.read() as rows:
        return [row.peer for row in await rows.find(FrozenRow)]


async def test_a_thawed_peer_with_many_bundles_is_frozen_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST", 2)
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    for size in (9, 10):
        await birch.evidence.record(bundle(aurora, size))
    with pytest.raises(LimitError):
        await birch.evidence.record(bundle(aurora, 11))
    await birch.evidence.thaw(AURORA)
    assert (await birch.evidence.record(bundle(aurora, 11))).frozen
    assert await frozen(birch) == [AURORA]


async def test_enough_bundles_end_no_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST", 1)
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await birch.evidence.record(bundle(aurora, 9))

    async def kept() -> list[bytes]:
        return [bundle(aurora, 10), bundle(aurora, 9)]

    birch.evidence._from_mirror = kept  # type: ignore[method-assign]
    assert await birch.evidence.collect() == ()


async def test_the_same_statements_with_a_newer_document_freeze_no_thawed_peer() -> None:
    town = await Town.of("aurora", "birch")
    aurora, birch = town.watchers
    await birch.evidence.record(bundle(aurora, 9))
    await birch.evidence.thaw(AURORA)
    newer = sign_document(replace(aurora.document, seq=aurora.document.seq + 1), aurora.keys.federation)
    assert not (await birch.evidence.record(bundle(aurora, 9, newer))).frozen
    assert len(await birch.evidence.all()) == 1


def documents(signer: SigningKey) -> tuple[NodeDocument, str, Pinned]:
    """Return a document with an old federation key, and the pin of one with a new key that `signer` vouches for."""
    town = Town()
    before = Watcher(town, "aurora").document
    keys = replace(before.keys, recovery=RECOVERY.public.text)
    before = replace(before, keys=replace(keys, federation=OLD.public.text))
    said = Rotation(entity=AURORA, number=1, old=OLD.public.text, new=NEW.public.text, issued_at=town.clock.now())
    after = replace(
        before,
        keys=replace(keys, federation=NEW.public.text),
        rotations=(sign_rotation(said, signer),),
        seq=before.seq + 1,
    )
    return before, sign_document(before, OLD), Pinned(text=sign_document(after, NEW), document=after)


def test_a_key_that_the_peer_itself_replaced_still_binds() -> None:
    before, text, pinned = documents(OLD)
    assert binds(pinned, before, text)


def test_a_key_that_the_recovery_key_ended_binds_nothing() -> None:
    before, text, pinned = documents(RECOVERY)
    assert not binds(pinned, before, text)
