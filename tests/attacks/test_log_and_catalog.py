"""The log of a running node in wrong hands (lines 48 to 56): mixed, moved forward, written in other ways.

What peers' sets and witnesses are tested for where they live is listed in `index.py`.
"""

from collections.abc import Callable
from typing import Final

import msgspec
import pytest
import pytest_asyncio

from node.api.routes import JSON
from protocol import jws
from protocol.encoding import b64, encode
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.heads import HEAD_TYP, SetHead, head_hash, open_any_head, sign_head
from protocol.logaudit import EntryHashError, LogAudit
from protocol.logleaves import AgreementsLeaf
from protocol.peers import DOCUMENT_TYP
from protocol.signing import SigningKey
from protocol.tickets import PEERINGS_PATH
from protocol.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, parse_text
from protocol.tlog.note import LogKey, NoteLimitError, parse_note
from protocol.tlog.tilehashes import TileHashError
from protocol.tlog.tiles import Bundle, BundleError, Tile, TileLengthError, encode_bundle, encode_tile, tile_path

from .world import World, fields_of, refusal

pytestmark = pytest.mark.asyncio(loop_scope="module")


class ReadLog(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a log as everybody reads it: a checkpoint, its one tile, its one bundle of entries."""

    note: bytes
    checkpoint: Checkpoint
    tile: bytes
    bundle: bytes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def states(world: World) -> tuple[ReadLog, ReadLog]:
    """The node's log at two sizes."""
    await world.node.node.log.announce()
    found = []
    for number in (1, 2):
        leaf = AgreementsLeaf(until=world.clock.now() + number, root=b64(bytes([number]) * 32))
        async with world.node.node.base.store.write() as tx:
            await world.node.node.log.sequencer.append(tx, leaf)
        await world.node.node.log.sequencer.sequence()
        found.append(await read(world))
    return found[0], found[1]


async def read(world: World) -> ReadLog:
    """Read the log over HTTP."""
    note = (await world.send("GET", "/log/checkpoint")).body
    checkpoint = open_checkpoint(parse_checkpoint(note), [log_key(world)]).checkpoint
    size = checkpoint.size
    tile = await world.send("GET", f"/log/{tile_path(Tile(0, 0, size))}")
    bundle = await world.send("GET", f"/log/{tile_path(Bundle(0, size))}")
    return ReadLog(note=note, checkpoint=checkpoint, tile=tile.body, bundle=bundle.body)


def log_key(world: World) -> LogKey:
    """Return what the node's checkpoints are verified with."""
    return LogKey(name="aurora.example/log", key=world.node.node.base.keys.log.public)


def audit(checkpoint: Checkpoint, tile: bytes, bundle: bytes) -> None:
    """Check a whole log of one tile. Raises: MeshError."""
    checking = LogAudit(checkpoint)
    while (wanted := checking.next) is not None:
        checking.take(wanted, dict.fromkeys(wanted.tiles, tile), dict.fromkeys(wanted.bundles, bundle))


async def test_the_log_as_it_is_served_holds(states: tuple[ReadLog, ReadLog]) -> None:
    for state in states:
        audit(state.checkpoint, state.tile, state.bundle)


def _other_tile(state: ReadLog) -> bytes:
    return encode_tile([bytes([number]) * 32 for number in range(state.checkpoint.size)])


def _other_entries(state: ReadLog) -> bytes:
    return encode_bundle([b"an entry of another log"] * state.checkpoint.size)


MIXED: Final[dict[str, tuple[Callable[[ReadLog, ReadLog], tuple[Checkpoint, bytes, bytes]], type[MeshError]]]] = {
    "the tile of a smaller tree": (lambda old, new: (new.checkpoint, old.tile, new.bundle), TileLengthError),
    "the tile of a larger tree": (lambda old, new: (old.checkpoint, new.tile, old.bundle), TileLengthError),
    "the tile of another log": (lambda _, new: (new.checkpoint, _other_tile(new), new.bundle), TileHashError),
    "entries of a smaller tree": (lambda old, new: (new.checkpoint, new.tile, old.bundle), BundleError),
    "entries of another log": (lambda _, new: (new.checkpoint, new.tile, _other_entries(new)), EntryHashError),
    "one bit of a tile": (
        lambda _, new: (new.checkpoint, bytes([new.tile[0] ^ 1]) + new.tile[1:], new.bundle),
        TileHashError,
    ),
    "one bit of an entry": (
        lambda _, new: (new.checkpoint, new.tile, new.bundle[:-1] + bytes([new.bundle[-1] ^ 1])),
        EntryHashError,
    ),
    "no tile": (lambda _, new: (new.checkpoint, b"", new.bundle), TileLengthError),
    "no entries": (lambda _, new: (new.checkpoint, new.tile, b""), BundleError),
    "a checkpoint of the future": (
        lambda _, new: (msgspec.structs.replace(new.checkpoint, size=new.checkpoint.size + 1), new.tile, new.bundle),
        TileLengthError,
    ),
}


@pytest.mark.parametrize("mixed", MIXED)
async def test_parts_of_several_logs_or_sizes_do_not_go_together(states: tuple[ReadLog, ReadLog], mixed: str) -> None:
    make, error = MIXED[mixed]
    with pytest.raises(error):
        audit(*make(*states))


async def test_a_checkpoint_of_another_key_or_log_is_refused(world: World, states: tuple[ReadLog, ReadLog]) -> None:
    for key in (
        LogKey(name="aurora.example/log", key=SigningKey(bytes(32)).public),
        LogKey(name="birch.example/log", key=log_key(world).key),
    ):
        with pytest.raises(UnverifiedError):
            open_checkpoint(parse_checkpoint(states[0].note), [key])


BEYOND: Final = (
    *(
        "0/0",
        "0/00",
        "0/0000",
        "0/x000",
        "0/000.p/0",
        "0/000.p/256",
        "0/000.p/01",
        "0/000/",
        "64/000",
        "-1/000",
        "00/000",
    ),
    *(
        "0/999",
        "0/000.p/255",
        "entries/999",
        "entries/000.p/0",
        "data/000",
        "0/000.p/1/2",
        "%30/000",
        "0/\u0660\u0660\u0660",
    ),
)


@pytest.mark.parametrize("path", BEYOND)
async def test_a_path_that_names_no_tile_of_this_log_is_refused(
    world: World, states: tuple[ReadLog, ReadLog], path: str
) -> None:
    assert states
    target = f"/log/tile/{path}".encode().decode("latin-1")
    async with world.unchanged():
        assert refusal(await world.send("GET", target)) in {(400, "tile-path"), (400, "malformed"), (404, "missing")}


# --- moved forward ------------------------------------------------------------------------------

FAR: Final = (2**53, 2**63 - 1, 2**64, 10**30)


@pytest.mark.parametrize("number", FAR)
async def test_a_head_from_the_far_end_of_all_numbers_is_refused(number: int) -> None:
    key = SigningKey(bytes(32))
    head = SetHead(
        origin="https://birch.example",
        audience="A" * 43,
        kind="offers",
        seq=2,
        prev="A" * 43,
        shards=("A" * 43,),
        size_bucket=1,
        issued_at=1_800_000_000,
        not_after=1_800_000_100,
    )
    assert open_any_head(sign_head(head, key), key.public).seq == 2
    text = jws.sign(encode(head).replace(b'"seq":2', b'"seq":%d' % number), key, HEAD_TYP)
    assert head_hash(text)
    with pytest.raises(MalformedError):
        open_any_head(text, key.public)


@pytest.mark.parametrize("number", FAR)
async def test_a_document_from_the_far_end_of_all_numbers_is_refused(world: World, number: int) -> None:
    said = fields_of(jws.parse(world.birch.document, DOCUMENT_TYP).payload.decode()) | {"seq": number}
    document = jws.sign(encode(said), world.birch.keys.federation, DOCUMENT_TYP)
    body = encode({"code": "A" * 22, "document": document})
    async with world.unchanged():
        assert refusal(await world.ask(world.birch, "POST", PEERINGS_PATH, body, JSON)) == (400, "malformed")


@pytest.mark.parametrize("size", ["-1", "+1", "01", "1e3", "\u0661", str(2**63), str(2**64), "9" * 5000, ""])
async def test_a_tree_of_an_impossible_size_is_refused(size: str) -> None:
    root = "A" * 43 + "="
    assert parse_text(f"aurora.example/log\n5\n{root}\n").size == 5
    with pytest.raises(MalformedError):
        parse_text(f"aurora.example/log\n{size}\n{root}\n")


# --- written in other ways ----------------------------------------------------------------------

NOTES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "lines ended by CR and LF": lambda note: note.replace(b"\n", b"\r\n"),
    "no empty line": lambda note: note.replace(b"\n\n", b"\n"),
    "two empty lines": lambda note: note.replace(b"\n\n", b"\n\n\n"),
    "a line separator": lambda note: note.replace("\n— ".encode(), "\u2028— ".encode()),
    "a hyphen for the dash": lambda note: note.replace("— ".encode(), b"- "),
    "two spaces": lambda note: note.replace("— ".encode(), "—  ".encode()),
    "a no-break space": lambda note: note.replace("— ".encode(), "—\u00a0".encode()),
    "a plus in the name": lambda note: note.replace("— aurora".encode(), "— au+rora".encode()),
    "no name": lambda note: note.replace("— aurora.example/log".encode(), "— ".encode()),
    "no line feed at the end": lambda note: note[:-1],
    "a space at the end": lambda note: note[:-1] + b" \n",
    "padding cut off": lambda note: note.rstrip(b"=\n") + b"\n",
    "a NUL": lambda note: note.replace(b"aurora", b"aur\0ora", 1),
    "a tab": lambda note: note.replace(b"aurora", b"aur\tora", 1),
    "no UTF-8": lambda note: note.replace(b"aurora", b"aur\xffora", 1),
    "a byte order mark": lambda note: b"\xef\xbb\xbf" + note,
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("form", NOTES)
async def test_a_checkpoint_in_another_form_is_refused(
    world: World, states: tuple[ReadLog, ReadLog], form: str
) -> None:
    note = NOTES[form](states[1].note)
    assert note != states[1].note
    with pytest.raises((MalformedError, UnverifiedError)):
        open_checkpoint(parse_checkpoint(note), [log_key(world)])


async def test_a_thousand_signatures_are_refused_by_their_number(states: tuple[ReadLog, ReadLog]) -> None:
    line = states[1].note.partition(b"\n\n")[2]
    with pytest.raises(NoteLimitError):
        parse_note(states[1].note + line * 1000)
