"""`mentormesh log evidence`: what proves that a node contradicted itself: listed, verified, handed on, and thawed."""

from pathlib import Path

import click
import msgspec

from federation.evidence import Recorded
from node.services.witness_operations import (
    EvidenceBundle,
    ExportEvidence,
    ImportEvidence,
    ListEvidence,
    ThawPeer,
)
from protocol.errors import RefusedError
from protocol.evidence import MAX_BUNDLE_BYTES, Opened, open_bundle
from protocol.fingerprints import fingerprint_words
from protocol.times import when

from .node_access import NodeAccess, operator_command
from .output import Output, json_option

#: Characters of a hash that are shown, and enough to name it.
SHORT = 12


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that verifies: `words` are those of the federation keys whose holder contradicted itself."""

    hash: str
    kind: str
    accused: str
    what: str
    words: tuple[str, ...]


@click.group()
def evidence() -> None:
    """Look at evidence that a node contradicted itself."""


@evidence.command(name="list")
@operator_command
async def list_evidence(node: NodeAccess, output: Output) -> None:
    """List all evidence, the newest first."""
    found = await node.call("evidence.list", ListEvidence(), tuple[Recorded, ...])
    rows = [(one.hash[:SHORT], one.accused, one.kind, one.source, _consequence(one), moment(one.at)) for one in found]
    columns = ("evidence", "about", "kind", "source", "consequence", "since")
    output.table(found, columns, rows, empty="There is no evidence against anybody.")


@evidence.command()
@click.argument("hash_", metavar="HASH")
@operator_command
async def show(node: NodeAccess, output: Output, *, hash_: str) -> None:
    """Show what the evidence whose hash begins with HASH proves."""
    found = await node.call("evidence.export", ExportEvidence(hash=hash_), EvidenceBundle)
    verdict = _verdict(open_bundle(found.bundle.encode()))
    output.result(verdict, _lines(verdict))


@evidence.command()
@click.argument("hash_", metavar="HASH")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@operator_command
async def export(node: NodeAccess, output: Output, *, hash_: str, file: Path) -> None:
    """Write the evidence whose hash begins with HASH to FILE, to hand it on; FILE must not exist."""
    found = await node.call("evidence.export", ExportEvidence(hash=hash_), EvidenceBundle)
    verdict = _verdict(open_bundle(found.bundle.encode()))
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(found.bundle)
    except FileExistsError:
        raise RefusedError(f"{file.name} exists: choose another name", code="exists") from None
    output.result(verdict, f"Wrote {file}. It names {verdict.accused} and its two statements, and no person.")


@evidence.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@json_option
def verify(file: Path, *, as_json: bool) -> None:
    """Verify the evidence in FILE; needs no node and no network.

    It proves that whoever holds the key with the words shown said two things. Compare the words with those you know.
    """
    verdict = _verdict(open_bundle(_read(file)))
    Output(as_json=as_json).result(verdict, _lines(verdict))


@evidence.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@operator_command
async def import_evidence(node: NodeAccess, output: Output, *, file: Path) -> None:
    """Record the evidence in FILE; it freezes a peer only if the keys are those pinned here."""
    data = _read(file)
    open_bundle(data)
    found = await node.call("evidence.import", ImportEvidence(bundle=data.decode()), Recorded)
    output.result(found, f"Recorded evidence about {found.accused}: {_consequence(found)}.")


@evidence.command()
@click.argument("entity")
@click.option("--yes", is_flag=True, help="Do not ask.")
@operator_command
async def thaw(node: NodeAccess, output: Output, *, entity: str, yes: bool) -> None:
    """Let the frozen peer ENTITY begin new handshakes again; the evidence stays."""
    question = f"Do you know why {entity} contradicted itself, and that it will not again? Thaw it?"
    if not yes and not click.confirm(question, err=True):
        raise RefusedError("nothing was thawed", code="not-confirmed")
    await node.call("evidence.thaw", ThawPeer(entity=entity), type(None))
    output.result({"entity": entity}, f"{entity} is no longer frozen; what it shows from now on counts.")


def moment(seconds: int | None) -> str:
    """Return a time for people, to the minute; nothing for none."""
    return "" if seconds is None else when(seconds)


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_BUNDLE_BYTES + 1)


def _consequence(one: Recorded) -> str:
    if not one.bound:
        return "none: the keys are not those of a peer here"
    return "frozen" if one.frozen else "thawed"


def _verdict(opened: Opened) -> Verdict:
    return Verdict(
        hash=opened.hash,
        kind=opened.bundle.kind,
        accused=opened.bundle.accused,
        what=opened.what,
        words=tuple(fingerprint_words(key) for key in opened.keys),
    )


def _lines(verdict: Verdict) -> list[str]:
    return [
        f"Proved: the node with the key below, which calls itself {verdict.accused}, signed two things that cannot",
        f"both be true: {verdict.what}.",
        *(f"key: {words}" for words in verdict.words),
        f"hash: {verdict.hash}",
    ]
