"""docs/protocol/50 to 54 and this program agree on their vectors: every result, and for each refusal its own rule."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import LimitError, MalformedError, MeshError, MissingError, RefusedError, UnverifiedError
from protocol.signing import VerifyKey
from protocol.tlog.checkpoint import SignedCheckpoint, open_checkpoint, parse_checkpoint, parse_text
from protocol.tlog.cosignature import cosigners
from protocol.tlog.merkle import leaf_hash, verify_consistency
from protocol.tlog.note import LogKey, WitnessKey, parse_note, parse_vkey, render_note
from protocol.tlog.policy import PolicyWitness, Witnessed, open_witnessed, parse_policy, policy_text
from protocol.tlog.proof import parse_log_proof, render_log_proof, verify_log_proof
from protocol.tlog.subtrees import Node
from protocol.tlog.tilehashes import RightEdge, TileHashes, grow
from protocol.tlog.tiles import (
    Bundle,
    Tile,
    bundles_written,
    decode_bundle,
    decode_tile,
    encode_bundle,
    parse_tile_path,
    tile_path,
    tiles_written,
)
from protocol.tlog.witness import (
    advance,
    parse_answer,
    parse_request,
    parse_size,
    render_request,
    render_size,
    status,
)
from tests.together import together
from tests.vectors.c2sp import b64
from tests.vectors.generate import (
    checkpoint,
    consistency,
    cosignature,
    note,
    policy,
    proof,
    tiles,
    witness,
)

Case = dict[str, Any]

VECTORS = Path(__file__).parents[2] / "vectors"
PROGRAMS = (note, checkpoint, cosignature, consistency, tiles, witness, policy, proof)
KINDS: dict[str, type[MeshError]] = {
    "malformed": MalformedError,
    "unverified": UnverifiedError,
    "refused": RefusedError,
    "missing": MissingError,
    "limit": LimitError,
}


def log_keys(case: Case) -> list[LogKey]:
    keys = [parse_vkey(text) for text in case["keys"]]
    return [key for key in keys if isinstance(key, LogKey)]


# each reader returns what a case calls its result


def read_note(case: Case, _: Case) -> object:
    data = bytes.fromhex(case["hex"]) if "hex" in case else case["input"].encode()
    found = parse_note(data)
    assert render_note(found) == data
    lines = [
        {"name": each.name, "key_id": each.key_id.hex(), "signature": b64(each.signature)} for each in found.signatures
    ]
    return {"text": found.text, "signatures": lines}


def read_vkey(case: Case, _: Case) -> object:
    key = parse_vkey(case["input"])
    assert key.vkey == case["input"]
    return {"name": key.name, "type": key.type, "key_id": key.key_id.hex(), "key": key.key.raw.hex()}


def _said(found: Any) -> object:  # noqa: ANN401 -- a checkpoint
    return {"origin": found.origin, "size": found.size, "root": found.root.hex()}


def read_text(case: Case, _: Case) -> object:
    found = parse_text(case["input"])
    assert found.text == case["input"]
    return _said(found)


def read_signed(case: Case, _: Case) -> object:
    return _said(open_checkpoint(parse_checkpoint(case["input"].encode()), log_keys(case)).checkpoint)


def read_cosigned(case: Case, shared: Case) -> object:
    log, known = parse_vkey(shared["key"]), [parse_vkey(text) for text in case["witnesses"]]
    assert isinstance(log, LogKey)
    signed = open_checkpoint(parse_checkpoint(case["input"].encode()), [log])
    found = cosigners(signed, [key for key in known if isinstance(key, WitnessKey)], now=case["now"])
    return [{"witness": each.witness.name, "at": each.at} for each in found]


def read_consistency(case: Case, _: Case) -> object:
    verify_consistency(
        old_size=case["old_size"],
        old_root=bytes.fromhex(case["old_root"]),
        new_size=case["new_size"],
        new_root=bytes.fromhex(case["new_root"]),
        proof=[bytes.fromhex(each) for each in case["proof"]],
    )
    return "consistent"


def read_path(case: Case, _: Case) -> object:
    name = parse_tile_path(case["input"])
    assert tile_path(name) == case["input"]
    level = name.level if isinstance(name, Tile) else "entries"
    return {"level": level, "index": name.index, "width": name.width}


def read_bundle(case: Case, _: Case) -> object:
    entries = decode_bundle(bytes.fromhex(case["input"]), Bundle(0, case["width"]))
    assert encode_bundle(entries).hex() == case["input"]
    return [entry.hex() for entry in entries]


def read_growth(case: Case, _: Case) -> object:
    if "path" in case:
        tile = parse_tile_path(case["path"])
        assert isinstance(tile, Tile)
        return decode_tile(bytes.fromhex(case["input"]), tile)
    old, new = case["old_size"], case["new_size"]
    if "sha256" in case:
        assert _digests(old, new) == case["sha256"]
    tiles_now, bundles_now = tiles_written(old, new), bundles_written(old, new)
    return [*(tile_path(tile) for tile in tiles_now), *(tile_path(bundle) for bundle in bundles_now)]


def _digests(old: int, new: int) -> dict[str, str]:
    entries = [b"entry %d" % number for number in range(new)]
    leaves = [leaf_hash(entry) for entry in entries]
    written: dict[str, bytes] = {}
    for tile, data in grow(grow(RightEdge(), leaves[:old]).edge, leaves[old:]).tiles.items():
        written[tile_path(tile)] = data
    for bundle in bundles_written(old, new):
        start = bundle.index * 256
        written[tile_path(bundle)] = encode_bundle(entries[start : start + bundle.width])
    return {path: hashlib.sha256(data).hexdigest() for path, data in written.items()}


def read_through_tiles(case: Case, shared: Case) -> object:
    taken: dict[Tile, bytes] = {}
    for path in case["take"]:
        data = bytearray.fromhex(shared["tiles"][path])
        if case.get("flip", {}).get("path") == path:
            data[case["flip"]["at"]] ^= 1
        tile = parse_tile_path(path)
        assert isinstance(tile, Tile)
        taken[tile] = bytes(data)
    root: str = {**shared, **case}["root"]
    hashes = TileHashes(size=258, root=bytes.fromhex(root), tiles=taken)
    return hashes(Node(*case["node"])).hex()


def read_request(case: Case, _: Case) -> object:
    request = parse_request(case["input"].encode())
    assert render_request(request) == case["input"].encode()
    return {
        "old_size": request.old_size,
        "proof": [each.hex() for each in request.proof],
        "size": request.checkpoint.checkpoint.size,
    }


def read_answer(case: Case, _: Case) -> object:
    data = case["input"].encode()
    if case["status"] == 200:
        return len(parse_answer(data))
    size = parse_size(data)
    assert render_size(size) == data
    return size


def decide(case: Case, _: Case) -> object:
    held = parse_text(case["held"]) if case["held"] else None
    return advance(held, parse_request(case["input"].encode()), log_keys(case)).checkpoint.size


def read_policy(case: Case, _: Case) -> object:
    found = parse_policy(case["input"].encode())
    canonical = policy_text(found)
    assert parse_policy(canonical.encode()) == found
    return None if canonical == case["input"] else canonical


def read_quorum(case: Case, _: Case) -> object:
    found = parse_policy(case["policy"].encode())
    own: list[VerifyKey] = [line.key.key for line in found.of(PolicyWitness) if line.name in case["own"]]
    return names(open_witnessed(parse_checkpoint(case["input"].encode()), found, now=case["now"], own=own))


def names(witnessed: Witnessed) -> list[str]:
    return sorted(each.witness.name.split(".")[0] for each in witnessed.cosigned)


def read_log_proof(case: Case, shared: Case) -> object:
    found = parse_log_proof(case["input"].encode())
    assert render_log_proof(found) == case["input"].encode()
    witnessed = verify_log_proof(
        found, leaf_hash(case["entry"].encode()), parse_policy(shared["policy"].encode()), now=shared["now"]
    )
    assert isinstance(witnessed.signed, SignedCheckpoint)
    return {"index": found.index, "extra": found.extra.hex(), "cosigned": names(witnessed)}


READERS: dict[str, Callable[[Case, Case], object]] = {
    "note/notes.json": read_note,
    "note/vkeys.json": read_vkey,
    "checkpoint/texts.json": read_text,
    "checkpoint/signed.json": read_signed,
    "cosignature/cosignatures.json": read_cosigned,
    "consistency/consistency.json": read_consistency,
    "tiles/paths.json": read_path,
    "tiles/bundles.json": read_bundle,
    "tiles/growth.json": read_growth,
    "tiles/reading.json": read_through_tiles,
    "witness/requests.json": read_request,
    "witness/answers.json": read_answer,
    "witness/decisions.json": decide,
    "policy/policies.json": read_policy,
    "policy/quorums.json": read_quorum,
    "proof/proofs.json": read_log_proof,
}


def content(path: str) -> Case:
    found: Case = json.loads((VECTORS / path).read_bytes())
    return found


def every_case(*, refused: bool) -> list[Any]:
    return [
        pytest.param(path, case, id=f"{path}: {case['name']}")
        for path in READERS
        for case in content(path)["cases"]
        if ("error" in case) is refused
    ]


def test_every_vector_file_has_a_reader() -> None:
    assert set(READERS) == {path for program in PROGRAMS for path in program.files()}


@together(every_case(refused=False), by=": ")
def test_what_the_specification_allows_is_read(path: str, case: Case) -> None:
    assert READERS[path](case, content(path)) == case["result"]


@together(every_case(refused=True), by=": ")
def test_what_the_specification_forbids_is_refused_by_its_own_rule(path: str, case: Case) -> None:
    with pytest.raises(KINDS[case["error"]]) as refusal:
        READERS[path](case, content(path))
    assert refusal.value.code == case["rule"]
    assert type(refusal.value).__dict__["code"] == case["rule"]
    assert getattr(refusal.value, "size", None) == case.get("size")
    if path in {"witness/requests.json", "witness/decisions.json"}:
        assert status(refusal.value) == case.get("status", 413 if case["error"] == "limit" else 400)
