"""`mentormesh offer`: preview, list, show, prove and verify offers."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from federation.mirror import MirrorStatus
from node.services.offer_operations import (
    ListOffers,
    PreviewMember,
    PreviewOffers,
    ProveOffer,
    ShowOffer,
    VerifyOffer,
)
from node.services.offer_words import TopicPreview
from node.services.offers import CatalogPreview, OfferLists
from protocol.errors import LimitError, MalformedError
from protocol.ids import id_bytes
from protocol.offerproof import MAX_PROOF_BYTES, OfferProof, ProvenOffer, parse_proof, verify_proof
from protocol.offers import Offer
from protocol.signing import VerifyKey

from . import node_access
from .node_access import NodeAccess, directory_option, operator_command
from .output import Output, json_option

_LANGUAGE = click.option("--language", default="en", show_default=True, metavar="TAG", help="Language of labels.")


@click.group()
def offer() -> None:
    """See what is shown to other organizations, and what they show."""


@offer.command()
@click.option("--member", metavar="ID", help="One mentor (id of the member file): topics outside and why.")
@_LANGUAGE
@operator_command
async def preview(node: NodeAccess, output: Output, member: str | None, language: str) -> None:
    """Show what the organization would list outside, before any edition does."""
    if member is not None:
        topics = await node.call(
            "offer.preview-member", PreviewMember(member=member, language=language), tuple[TopicPreview, ...]
        )
        output.result(topics, _topic_lines(topics))
        return
    found = await node.call("offer.preview", PreviewOffers(language=language), CatalogPreview)
    output.result(found, _catalog_lines(found))


@offer.command("list")
@_LANGUAGE
@operator_command
async def list_offers(node: NodeAccess, output: Output, language: str) -> None:
    """List own offers, and those of peers with age and freshness."""
    found = await node.call("offer.list", ListOffers(language=language), OfferLists)
    output.result(found, [*_own_lines(found), *_peer_lines(found)])


@offer.command()
@click.argument("offer_id", metavar="ID")
@click.option("--proof", "prove", is_flag=True, help="Write a JSON proof file to standard output, for `offer verify`.")
@operator_command
async def show(node: NodeAccess, output: Output, offer_id: str, *, prove: bool) -> None:
    """Show one offer; with --proof everything that proves offline that this node lists it."""
    id_bytes(offer_id, what="ID")
    if prove:
        proof = await node.call("offer.prove", ProveOffer(offer_id=offer_id), OfferProof)
        output.result(proof, msgspec.json.format(msgspec.json.encode(proof)).decode())
        return
    found = await node.call("offer.show", ShowOffer(offer_id=offer_id), Offer)
    output.result(found, msgspec.json.format(msgspec.json.encode(found)).decode())


@offer.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", metavar="KEY", help="Log key of the organization; without it, the keys this node knows.")
@directory_option
@json_option
def verify(directory: Path, file: Path, key: str | None, *, as_json: bool) -> None:
    """Check a proof file from `offer show --proof`; with --key no node is needed."""
    data = _read_proof(file)
    if key is not None:
        proven = verify_proof(parse_proof(data), VerifyKey.parse(key))
    else:
        proven = asyncio.run(_verify_at(directory, data))
    Output(as_json=as_json).result(proven, _proven_lines(proven))


def _read_proof(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(MAX_PROOF_BYTES + 1)
    if len(data) > MAX_PROOF_BYTES:
        raise LimitError("offer proof is over 64 KiB")
    return data


async def _verify_at(directory: Path, data: bytes) -> ProvenOffer:
    try:
        proof = data.decode()
    except UnicodeDecodeError:
        raise MalformedError("offer proof is not text in UTF-8") from None
    async with node_access.open_node(directory) as node:
        return await node.call("offer.verify", VerifyOffer(proof=proof), ProvenOffer)


def _topic_lines(topics: tuple[TopicPreview, ...]) -> list[str]:
    if not topics:
        return ["This member is not listed as a mentor: nothing of theirs is shown outside."]
    lines = []
    for one in topics:
        outside = f"“{one.outside}”" if one.outside else "nothing"
        lines.append(f"{one.inside} ({one.kind}, {one.language})")
        lines.append(f"  outside: {outside}; inside our matcher: “{one.inside}”")
        lines.append(f"  {one.why}")
    return lines


def _catalog_lines(found: CatalogPreview) -> list[str]:
    if found.cells:
        return [f"{one.text} · {one.level} · {one.people} people could be meant · {one.state}" for one in found.cells]
    if found.missing is None:
        return ["Nothing would be shown outside: no mentor agreed to be listed yet."]
    people = "person" if found.missing == 1 else "people"
    return [
        f"Nothing would be shown outside: fewer than {found.k} people could be meant by every topic.",
        f"The closest one needs {found.missing} more {people} until shown.",
    ]


def _own_lines(found: OfferLists) -> list[str]:
    if not found.own:
        return ["Own offers: none are listed yet. `mentormesh offer preview` says what would be, and why."]
    return ["Own offers:", *(f"  {one.offer.offer_id}  {one.text}" for one in found.own)]


def _peer_lines(found: OfferLists) -> list[str]:
    if not found.mirrors:
        return ["Offers of peers: there are no peers yet. `mentormesh peer invite` begins with one."]
    lines = []
    for mirror in found.mirrors:
        lines.append(f"{mirror.peer}: {_freshness(mirror, found.now)}")
        lines += [
            f"  {one.offer.offer_id}  {one.text}"
            for one in found.peers
            if one.origin == mirror.peer and mirror.kind == "offers"
        ]
    return lines


def _freshness(mirror: MirrorStatus, now: int) -> str:
    problem = f" (last problem: {mirror.problem})" if mirror.problem else ""
    if mirror.issued_at is None or mirror.not_after is None:
        return f"nothing mirrored yet{problem}"
    age = f"signed {_span(now - mirror.issued_at)} ago"
    if mirror.state == "fresh":
        return f"{mirror.entries} offers, {age}, good for {_span(mirror.not_after - now)}{problem}"
    told = {
        "stale": f"not shown, {age} and run out",
        "incomplete": f"not shown, {age}; the newest set could not be had whole",
        "forked": "not shown, two contradicting heads are kept as evidence",
    }
    return f"{told.get(mirror.state, mirror.state)}{problem}"


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"


def _proven_lines(proven: ProvenOffer) -> list[str]:
    head = proven.head
    issued, until = (datetime.fromtimestamp(each, UTC).isoformat() for each in (head.issued_at, head.not_after))
    return [
        f"Good: {head.origin} listed this offer in set head {head.seq}, signed {issued}, good until {until}.",
        f"The head stands in {proven.checkpoint.origin}, checkpoint of {proven.checkpoint.size} entries.",
        msgspec.json.format(msgspec.json.encode(proven.offer)).decode(),
    ]
