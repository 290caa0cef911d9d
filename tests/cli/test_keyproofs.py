"""`mentormesh keys verify`: a key proof is checked by anybody, without a node and without a network."""

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.addresses import audience_id
from protocol.errors import MalformedError, UnverifiedError
from protocol.keyevidence import open_evidence
from protocol.keyproof import parse_proof
from tests.cli.test_operator_commands import run
from tests.vectors.generate.keyproofs import document, proof
from tests.vectors.generate.keys import AUDIENCE, AURORA, BIRCH, COBALT, OTHER, flipped


def written(folder: Path, given: dict[str, Any]) -> Path:
    file = folder / "keys.json"
    file.write_text(json.dumps(given, indent=1))
    return file


def in_head(given: dict[str, Any], **changed: object) -> dict[str, Any]:
    return {**given, "head": {**given["head"], **changed}}


def test_a_proof_is_verified_by_the_words_of_the_keys_in_it(tmp_path: Path) -> None:
    file = written(tmp_path, proof())
    done = run("keys", "verify", str(file), "--json")
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert [one["entity"] for one in shown["signers"]] == [AURORA, BIRCH]
    assert shown["audience"] == AUDIENCE
    assert len(shown["devices"]) >= 1
    read = run("keys", "verify", str(file))
    assert f"attested by {BIRCH}" in read.stdout
    assert all(one["words"] in read.stdout for one in shown["signers"])


def test_who_must_attest_is_said_by_the_reader_where_the_file_does_not_show_it(tmp_path: Path) -> None:
    consortium = written(tmp_path, proof(audience=OTHER))
    strict = run("keys", "verify", str(consortium), "--attester", COBALT, "--attester", BIRCH)
    assert (strict.exit_code, "attest" in strict.stderr) == (1, True)
    file = written(tmp_path, proof())
    wrong = run("keys", "verify", str(file), "--attester", "nobody")
    assert (wrong.exit_code, "attester" in wrong.stderr) == (1, True)


def test_in_a_pair_the_other_organization_attests_whoever_is_named() -> None:
    assert audience_id(AURORA, BIRCH) == AUDIENCE
    found = open_evidence(parse_proof(json.dumps(proof()).encode()), attesters=(COBALT,))
    assert (found.pair, found.keys.head.attested_by) == (True, (BIRCH,))


@pytest.mark.parametrize(
    "given",
    [
        proof(by=()),
        proof(by=("aurora",)),
        proof(by=("cobalt",)),
        proof(log={"signer": "birch log"}),
        proof(placed={"size": 5}),
        in_head(proof(), head=flipped(proof()["head"]["head"])),
        in_head(proof(), documents=[document("birch")]),
        in_head(proof(), documents=[document("aurora")]),
    ],
)
def test_what_does_not_hold_proves_nothing(given: dict[str, Any]) -> None:
    with pytest.raises(UnverifiedError):
        open_evidence(parse_proof(json.dumps(given).encode()))


def test_what_is_no_proof_is_refused_with_a_sentence(tmp_path: Path) -> None:
    for data in ("{}", "nonsense", json.dumps({**proof(), "type": "mentormesh/key-proof/v2"})):
        file = tmp_path / "x"
        file.write_text(data)
        told = run("keys", "verify", str(file))
        assert (told.exit_code, "Traceback" in told.output) == (1, False)
    twice = in_head(proof(), documents=[document("aurora")] * 2)
    with pytest.raises(MalformedError, match="two documents"):
        open_evidence(parse_proof(json.dumps(twice).encode()))
