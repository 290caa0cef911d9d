"""Go's sumdb/note and sumdb/tlog read our notes, tiles and proofs, and write the same (C2SP; RFC 6962)."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from protocol.tlog.cosignature import cosign
from protocol.tlog.merkle import Tree, leaf_hash, verify_consistency, verify_inclusion
from protocol.tlog.note import LogKey, WitnessKey, render_note, with_signatures
from protocol.tlog.proof import LogProof, render_log_proof
from protocol.tlog.tilehashes import RightEdge, grow
from protocol.tlog.tiles import tile_path

from .go_counterpart import ask_go

SCRIPT = "sumdb_counterpart.go"
VECTORS = Path(__file__).parents[1] / "vectors"
ORIGIN = "aurora.example/log"
SIZES = (1, 2, 255, 256, 257, 300, 66_000)
SIZE = SIZES[-1]
ENTRIES = [b"entry %d" % number for number in range(SIZE)]
LEAVES = [leaf_hash(entry) for entry in ENTRIES]
NOW = 1_767_000_000
LOG, WITNESS = SigningKey(bytes(32)), SigningKey(b"\1" * 32)
LOG_KEY = LogKey(name=ORIGIN, key=LOG.public)
WITNESS_KEY = WitnessKey(name="birch.example/witness", key=WITNESS.public)

pytestmark = pytest.mark.slow


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(LEAVES)


@pytest.fixture(scope="module")
def tiles() -> dict[str, bytes]:
    """Return every tile that the log wrote while it grew."""
    edge = RightEdge()
    written: dict[str, bytes] = {}
    for size in SIZES:
        growth = grow(edge, LEAVES[edge.size : size])
        written |= {tile_path(tile): data for tile, data in growth.tiles.items()}
        edge = growth.edge
    return written


@pytest.fixture(scope="module")
def signed(tree: Tree) -> SignedCheckpoint:
    """Return the newest checkpoint, with the cosignature of a witness."""
    log = sign_checkpoint(Checkpoint(origin=ORIGIN, size=SIZE, root=tree.root), LOG)
    note = with_signatures(log.note, [cosign(log, name=WITNESS_KEY.name, key=WITNESS, now=NOW)])
    return open_checkpoint(parse_checkpoint(render_note(note)), [LOG_KEY])


def ask(do: str, **more: object) -> Any:  # noqa: ANN401 -- JSON is of any type
    return ask_go(SCRIPT, {"do": do, **more})


def test_go_opens_a_checkpoint_of_ours_with_its_cosignature(signed: SignedCheckpoint) -> None:
    data = render_note(signed.note).decode()
    answer = ask("open", note=data, keys=[LOG_KEY.vkey, WITNESS_KEY.vkey])
    assert answer == {"text": signed.checkpoint.text, "signed": [LOG_KEY.name, WITNESS_KEY.name]}


def test_go_refuses_a_checkpoint_of_ours_with_another_size(signed: SignedCheckpoint) -> None:
    data = render_note(signed.note).decode().replace(f"\n{SIZE}\n", f"\n{SIZE - 1}\n")
    assert "invalid signature" in ask("open", note=data, keys=[LOG_KEY.vkey])["error"]
    assert "invalid signature" in ask("open", note=data, keys=[WITNESS_KEY.vkey])["error"]


def test_we_open_a_checkpoint_that_go_signs(signed: SignedCheckpoint) -> None:
    secret = f"PRIVATE+KEY+{ORIGIN}+{LOG_KEY.key_id.hex()}+{b64(bytes([1]) + LOG.seed)}"
    data = ask("sign", secret=secret, text=signed.checkpoint.text)
    assert open_checkpoint(parse_checkpoint(data.encode()), [LOG_KEY]).checkpoint == signed.checkpoint


def test_go_writes_the_same_tiles_and_root(tree: Tree, tiles: dict[str, bytes]) -> None:
    answer = ask("grow", sizes=SIZES)
    assert answer["root"] == b64(tree.root)
    assert answer["sha256"] == {path: hashlib.sha256(data).hexdigest() for path, data in tiles.items()}


def test_go_makes_from_our_tiles_the_proofs_that_we_make(tree: Tree, tiles: dict[str, bytes]) -> None:
    indexes = [0, 255, 256, 65_535, 65_536, SIZE - 1]
    answer = ask(
        "prove", size=SIZE, root=b64(tree.root), tiles={path: b64(data) for path, data in tiles.items()},
        indexes=indexes, old=SIZES,
    )  # fmt: skip
    for index, hashes in zip(indexes, answer["inclusion"], strict=True):
        proof = [base64.b64decode(each) for each in hashes]
        assert tuple(proof) == tree.inclusion_proof(index)
        verify_inclusion(tree.root, leaf=LEAVES[index], index=index, size=SIZE, proof=proof)
    for old, hashes in zip(SIZES, answer["consistency"], strict=True):
        proof = [base64.b64decode(each) for each in hashes or ()]
        old_root = Tree(LEAVES[:old]).root
        verify_consistency(old_size=old, old_root=old_root, new_size=SIZE, new_root=tree.root, proof=proof)


def test_go_refuses_a_tile_of_ours_with_one_bit_changed(tree: Tree, tiles: dict[str, bytes]) -> None:
    spoilt = {**tiles, "tile/0/001": tiles["tile/0/001"][:-1] + bytes([tiles["tile/0/001"][-1] ^ 1])}
    answer = ask(
        "prove", size=SIZE, root=b64(tree.root), tiles={path: b64(data) for path, data in spoilt.items()},
        indexes=[256],
    )  # fmt: skip
    assert "downloaded inconsistent tile" in answer["error"]


def test_go_verifies_our_proof_of_an_entry_and_refuses_it_for_another(tree: Tree, signed: SignedCheckpoint) -> None:
    proof = LogProof(extra=b"salt", index=300, hashes=tree.inclusion_proof(300), checkpoint=signed)
    asked = {"proof": render_log_proof(proof).decode(), "keys": [LOG_KEY.vkey, WITNESS_KEY.vkey]}
    assert ask("verify", **asked, entry=b64(ENTRIES[300])) == 2
    assert "invalid" in ask("verify", **asked, entry=b64(ENTRIES[301]))["error"]


def test_go_reads_every_note_that_we_read() -> None:
    cases = json.loads((VECTORS / "note" / "notes.json").read_bytes())["cases"]
    for case in cases:
        if "result" in case:
            assert ask("open", note=case["input"], keys=[])["text"] == case["result"]["text"], case["name"]
