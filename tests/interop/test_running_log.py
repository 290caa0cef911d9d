"""A program that knows C2SP and nothing of ours follows the logs of a running demo over HTTP, and notices a lie."""

import base64
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from protocol.logleaves import NodeKeyLeaf, PolicyLeaf, SetHeadLeaf, parse_leaf
from protocol.peers import DOCUMENT_PATH, open_document, witness_key
from protocol.signing import SigningKey
from protocol.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from protocol.tlog.cosignature import cosign
from protocol.tlog.merkle import leaf_hash
from protocol.tlog.note import LogKey, WitnessKey, render_note, render_signatures
from protocol.tlog.tilehashes import RightEdge, grow
from protocol.tlog.tiles import CONTENT_TYPE, bundles_written, encode_bundle, tile_path
from tests.patience import PATIENCE_S, until

from .go_counterpart import ask_go

PROGRAM: Final = "reader_counterpart.go"
DEMO: Final = (sys.executable, "-m", "cli.main", "demo", "--json", "--once", "--keep", "--companies", "2")
ORIGIN: Final = "aurora.example/log"
SIGNER: Final = SigningKey(bytes(32))
KEY: Final = LogKey(name=ORIGIN, key=SIGNER.public)
WITNESS: Final = SigningKey(b"\1" * 32)
WITNESS_KEY: Final = WitnessKey(name="birch.example/witness", key=WITNESS.public)
NOW: Final = 1_767_000_000
ENTRIES: Final = [b"entry %d" % number for number in range(600)]

pytestmark = pytest.mark.slow


def follow(
    url: str, key: str, *, growths: int, witnesses: tuple[str, ...] = (), patience: float = PATIENCE_S
) -> dict[str, Any]:
    asked = {"url": url, "key": key, "growths": growths, "witnesses": witnesses, "patience": patience}
    answer = ask_go(PROGRAM, asked)
    assert isinstance(answer, dict)
    return answer


@contextmanager
def demo(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the addresses of a demo's nodes by name, as soon as it prints them: the story has just begun."""
    process = subprocess.Popen(
        [*DEMO, "--dir", str(folder)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        found = [json.loads(process.stdout.readline() or b"{}") for _ in range(2)]
        assert [line.get("event") for line in found] == ["node", "node"]
        yield {line["name"]: line["url"] for line in found}
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)


def log_key(folder: Path) -> str:
    """Return the verifier key that a node's operator would publish."""
    command = [sys.executable, "-m", "cli.main", "log", "show", "--json", "--dir", str(folder)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S)
    key: str = json.loads(done.stdout)["vkey"]
    return key


def witness_of(url: str) -> str:
    """Return the verifier key of the witness of the node at `url`, as its document has it."""
    with urllib.request.urlopen(f"{url}{DOCUMENT_PATH}", timeout=PATIENCE_S) as answer:
        return witness_key(open_document(answer.read().decode())).vkey


def is_signed(url: str) -> bool:
    """Tell whether the log at `url` has a first checkpoint."""
    try:
        with urllib.request.urlopen(f"{url}/checkpoint", timeout=PATIENCE_S):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False


@pytest.mark.system
def test_a_program_that_knows_only_c2sp_verifies_the_log_of_a_running_demo_as_it_grows(tmp_path: Path) -> None:
    with demo(tmp_path / "demo") as nodes:
        key = log_key(tmp_path / "demo" / "nodes" / "aurora")
        until(lambda: is_signed(f"{nodes['aurora']}/log"))
        told = follow(f"{nodes['aurora']}/log", key, growths=2, witnesses=(witness_of(nodes["cobalt"]),))
    assert told.get("cosigned") == 1, told
    sizes = [checkpoint["Size"] for checkpoint in told["checkpoints"]]
    # The tree may have grown once more until the witness had cosigned it.
    assert len(sizes) >= 3
    assert sizes == sorted(set(sizes))
    leaves = [parse_leaf(base64.b64decode(entry)) for entry in told["entries"]]
    assert len(leaves) == sizes[-1]
    assert {type(leaf) for leaf in leaves} >= {NodeKeyLeaf, PolicyLeaf, SetHeadLeaf}


class Log:
    """Everything that a log serves once it has `sizes[-1]` of these entries; `files` by path."""

    def __init__(self, entries: list[bytes], sizes: tuple[int, ...]) -> None:
        edge = RightEdge()
        self.files: dict[str, bytes] = {}
        for size in sizes:
            growth = grow(edge, [leaf_hash(entry) for entry in entries[edge.size : size]])
            self.files |= {tile_path(tile): data for tile, data in growth.tiles.items()}
            for bundle in bundles_written(edge.size, size):
                first = bundle.index * 256
                self.files[tile_path(bundle)] = encode_bundle(entries[first : first + bundle.width])
            edge = growth.edge
        signed = sign_checkpoint(Checkpoint(origin=ORIGIN, size=sizes[-1], root=edge.root), SIGNER)
        self.files["checkpoint"] = render_note(signed.note)


@contextmanager
def serving(*states: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the address of a log that goes on to the next of its states with every checkpoint it gives out."""
    waiting = list(states)

    class Handler(BaseHTTPRequestHandler):
        files: Mapping[str, bytes] = states[0]

        def do_GET(self) -> None:
            name = self.path.removeprefix("/log/")
            if name == "checkpoint" and waiting:
                Handler.files = waiting.pop(0)
            data = Handler.files.get(name)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Type", "text/plain; charset=utf-8" if name == "checkpoint" else CONTENT_TYPE)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/log"
        finally:
            server.shutdown()
            thread.join()


def cosigned(by: SigningKey, log: Mapping[str, bytes], other: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Return the log with a cosignature on its checkpoint, or one on that of `other`."""
    seen = open_checkpoint(parse_checkpoint((other or log)["checkpoint"]), [KEY])
    line = render_signatures([cosign(seen, name=WITNESS_KEY.name, key=by, now=NOW)])
    return {**log, "checkpoint": log["checkpoint"] + line.encode()}


YOUNG: Final = Log(ENTRIES, (1, 300)).files
GROWN: Final = Log(ENTRIES, (1, 300, 600)).files
OTHER: Final = Log([*ENTRIES[:7], b"another story", *ENTRIES[8:]], (1, 300, 600)).files


def test_the_program_is_content_with_a_log_that_only_grows() -> None:
    with serving(YOUNG, GROWN) as url:
        told = follow(url, KEY.vkey, growths=1)
    assert [base64.b64decode(entry) for entry in told["entries"]] == ENTRIES


def test_the_program_waits_for_every_witness_that_it_was_told_of() -> None:
    with serving(YOUNG, YOUNG, cosigned(WITNESS, YOUNG)) as url:
        assert follow(url, KEY.vkey, growths=0, witnesses=(WITNESS_KEY.vkey,))["cosigned"] == 1
    with serving(YOUNG) as url:
        told = follow(url, KEY.vkey, growths=0, witnesses=(WITNESS_KEY.vkey,), patience=0.2)
    assert told == {"error": "no patience: the log grew 0 times, 0 witnesses cosigned"}


@pytest.mark.parametrize("forged", [cosigned(SIGNER, YOUNG), cosigned(WITNESS, YOUNG, GROWN)], ids=["key", "tree"])
def test_the_program_notices_a_cosignature_that_is_none(forged: Mapping[str, bytes]) -> None:
    # A line by another key has another key id and would be passed over.
    forged = {**forged, "checkpoint": renamed(forged["checkpoint"])}
    with serving(forged) as url:
        assert "invalid signature" in follow(url, KEY.vkey, growths=0, witnesses=(WITNESS_KEY.vkey,))["error"]


def renamed(checkpoint: bytes) -> bytes:
    """Return a checkpoint whose last line claims to be by the witness."""
    *lines, last = checkpoint.decode().rstrip("\n").split("\n")
    dash, name, signature = last.split(" ")
    raw = WITNESS_KEY.key_id + base64.b64decode(signature)[4:]
    return "\n".join([*lines, f"{dash} {name} {base64.b64encode(raw).decode()}", ""]).encode()


@pytest.mark.parametrize(
    ("states", "refusal"),
    [
        ((YOUNG, OTHER), "no continuation of size 300"),
        ((GROWN, YOUNG), "no continuation of size 600"),
        (({**GROWN, "tile/entries/000": OTHER["tile/entries/000"]},), "the entries give another root"),
        (({**GROWN, "tile/0/000": OTHER["tile/0/000"]},), "downloaded inconsistent tile"),
        (({**GROWN, "tile/entries/000": GROWN["tile/entries/000"] + b"\0"},), "bytes left over"),
        (({name: data for name, data in GROWN.items() if name != "tile/0/001"},), "tile/0/001: 404"),
        (({**GROWN, "checkpoint": GROWN["checkpoint"].replace(b"\n600\n", b"\n599\n")},), "invalid signature"),
    ],
    ids=["rewritten", "shrunk", "another entry", "another hash", "too long", "gone", "not signed"],
)
def test_the_program_notices_a_log_that_lies(states: tuple[Mapping[str, bytes], ...], refusal: str) -> None:
    with serving(*states) as url:
        assert refusal in follow(url, KEY.vkey, growths=1)["error"]
