"""`mentormesh keys verify`: what a file that a client kept proves about somebody's keys, without any node."""

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from protocol.fingerprints import fingerprint_words
from protocol.ids import parse_entity
from protocol.keyevidence import Evidence, open_evidence
from protocol.keyproof import MAX_PROOF_BYTES, parse_proof
from protocol.signing import VerifyKey
from protocol.times import when

from .output import Output, json_option


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """An organization by the document in the file: to be compared with what the reader knows."""

    entity: str
    words: str


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """What the file proves: these keys stood in the directory of the first signer, as the others attest."""

    signers: tuple[Signer, ...]
    audience: str
    label: str
    identity_key: str
    devices: tuple[str, ...]
    seq: int
    issued_at: int
    checkpoint: str
    pair: bool


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--attester", "attesters", multiple=True, metavar="ENTITY", help="Who attests there; may be repeated.")
@json_option
def verify(file: Path, *, attesters: tuple[str, ...], as_json: bool) -> None:
    """Verify the key proof in FILE, such as a client keeps when it is shown a strange key; needs no network.

    It proves which keys an organization's directory listed for somebody, and who attested it. The documents of the
    organizations are in the file: compare the words with those you know. In a consortium name its attesters, or
    everybody in the file counts as one.
    """
    with file.open("rb") as opened:
        data = opened.read(MAX_PROOF_BYTES + 1)
    named = tuple(parse_entity(one, what="attester") for one in attesters)
    proved = _proved(open_evidence(parse_proof(data), attesters=named))
    Output(as_json=as_json).result(proved, list(_lines(proved, sure=bool(attesters) or proved.pair)))


def _proved(found: Evidence) -> Proved:
    head, entry = found.keys.head, found.keys.opened
    return Proved(
        signers=tuple(
            Signer(entity=one.entity, words=fingerprint_words(VerifyKey.parse(one.keys.federation)))
            for one in found.documents
        ),
        audience=head.head.audience,
        label=entry.entry.label,
        identity_key=entry.entry.identity_key,
        devices=tuple(one.device_key for one in entry.devices),
        seq=head.head.seq,
        issued_at=head.head.issued_at,
        checkpoint=f"{head.checkpoint.origin} {head.checkpoint.size}",
        pair=found.pair,
    )


def _lines(proved: Proved, *, sure: bool) -> Iterator[str]:
    origin, *others = proved.signers
    yield f"Proved: the key directory of {origin.entity} listed this, {when(proved.issued_at)}, number {proved.seq}:"
    yield f"  label {proved.label}, identity key {proved.identity_key}"
    yield from (f"  device {one}" for one in proved.devices)
    yield f"It stands in the log {proved.checkpoint}, and is attested by {', '.join(one.entity for one in others)}."
    yield "Whose keys these are is not in the file, and the organizations are taken from it. Compare their words:"
    yield from (f"  {one.entity}: {one.words}" for one in proved.signers)
    if not sure:
        yield "Whether these are all who must attest there is not in the file: name them with --attester."
