"""What peers and strangers make a node read, in two sizes, so that work that grows faster than its input shows."""

import contextlib
import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from node.api.bodies import parse_json
from protocol import pages
from protocol.commitments import Opening
from protocol.concept_lines import parse_concepts
from protocol.encoding import b64, decode, encode, sha256
from protocol.heads import HeadAnswer, SeenHead, contradictions, open_answer
from protocol.httpsig import parse_request
from protocol.logleaves import HeadWatch, SetHeadLeaf
from protocol.messages import Outcome, Outcomes, join_batch, split_batch
from protocol.signature_errors import UnsignedError
from protocol.text import check_displayable, displayable
from protocol.tlog.merkle import root_hash
from protocol.tlog.note import Note, SignatureLine, parse_note, render_note
from protocol.tlog.tiles import Bundle, Tile, decode_bundle, decode_tile, encode_bundle, encode_tile

Task = Callable[[], object]
#: Returns the work on an input of a size; making the input does not count.
Made = Callable[[int], Task]


def _names(size: int) -> list[str]:
    return [b64(sha256(str(number).encode())) for number in range(size)]


def _batch(size: int) -> Task:
    data = join_batch([bytes([1]) * 100] * size)
    return lambda: split_batch(data)


def _note(size: int) -> Task:
    lines = tuple(
        SignatureLine(name=f"log-{number}.example", key_id=bytes([number] * 4), signature=bytes(64))
        for number in range(size)
    )
    data = render_note(Note(text="text\n", signatures=lines))
    return lambda: parse_note(data)


def _tile(size: int) -> Task:
    data = encode_tile([sha256(bytes([number % 256])) for number in range(size)])
    return lambda: decode_tile(data, Tile(0, 0, size))


def _bundle(size: int) -> Task:
    data = encode_bundle([b"x" * 50] * size)
    return lambda: decode_bundle(data, Bundle(0, size))


def _root(size: int) -> Task:
    leaves = [sha256(str(number).encode()) for number in range(size)]
    return lambda: root_hash(leaves)


def _page(size: int) -> Task:
    openings = [Opening(salt=number.to_bytes(16, "big"), body=b'{"n":%d}' % number) for number in range(size)]
    (data,) = pages.snapshot("offers", openings).pages
    return lambda: pages.decode_page(data)


def _gossip(size: int) -> Task:
    seen = tuple(
        sorted(
            (SeenHead(origin=f"https://n{number}.example", seq=1, head_hash="A" * 43) for number in range(size)),
            key=lambda one: one.origin,
        )
    )
    held = {one.origin: one for one in seen}
    data = encode(HeadAnswer(head="a.b.c", seen=seen))
    return lambda: contradictions(open_answer(data).seen, held)


def _heads(size: int) -> Task:
    leaves = [SetHeadLeaf(chain=name, commitment=name, seq=1) for name in _names(size)]

    def watched() -> None:
        watch = HeadWatch()
        for leaf in leaves:
            watch.see(leaf)

    return watched


def _headers(size: int) -> Task:
    headers = [(f"x-{number}", "v") for number in range(size)]

    def read() -> None:
        # How long it takes to find out that nobody signed is the question.
        with contextlib.suppress(UnsignedError):
            parse_request(headers)

    return read


def _json(size: int) -> Task:
    data = json.dumps(dict.fromkeys(_names(size), 1)).encode()
    return lambda: parse_json(data, dict[str, int])


def _outcomes(size: int) -> Task:
    outcomes = tuple(Outcome(mid=f"00000000-0000-7000-8000-{number:012}", status="stored") for number in range(size))
    data = encode(Outcomes(outcomes=outcomes))
    return lambda: decode(data, Outcomes)


def _words(size: int) -> Task:
    text = "a\u0301 b " * size

    def show() -> str:
        check_displayable(text, "text")
        return displayable(text)

    return show


def _concepts(size: int) -> Task:
    lines = [json.dumps({"id": f"ext:{name.lower().replace('_', '-')}", "en": name}).encode() for name in _names(size)]
    return lambda: parse_concepts(lines)


#: By name: the work, and the smaller of two sizes of which the other is ten times as large.
FED: Final[dict[str, tuple[Made, int]]] = {
    "a batch": (_batch, 6),
    "a note": (_note, 1),
    "a tile": (_tile, 25),
    "a bundle of entries": (_bundle, 25),
    "a Merkle root": (_root, 400),
    "a page of a set": (_page, 20),
    "gossip about heads": (_gossip, 50),
    "heads of a log": (_heads, 100),
    "headers": (_headers, 50),
    "JSON": (_json, 100),
    "outcomes": (_outcomes, 6),
    "text to show": (_words, 100),
    "a vocabulary": (_concepts, 50),
}
#: So much more work ten times the input may be.
MOST: Final = 12.0


def lines_run(task: Task) -> int:
    """Return how many lines of Python a task runs."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:  # noqa: ANN401 -- the interpreter's own
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        task()
    finally:
        sys.settrace(before)
    return count
