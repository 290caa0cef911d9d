"""A key proof read as evidence: by somebody who knows none of the organizations, and compares the words of their keys.

The documents come with the proof, so it shows what the holders of these keys have signed, not yet whose keys they are.
Source: docs/protocol/13-key-directory.md §6.1.
"""

import msgspec

from .addresses import audience_id
from .encoding import decode
from .errors import UnverifiedError
from .heads import HEAD_TYP, SetHead
from .ids import Entity
from .jws import parse
from .keyproof import Circle, KeyProof, ProvenKeys, enclosed_documents, verify_proof
from .peers import NodeDocument


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a proof shows; `documents` are those of the origin and of who attested, as they came with it.

    `pair` tells that the audience is that of two organizations: nobody else could attest.
    """

    origin: Entity
    keys: ProvenKeys
    documents: tuple[NodeDocument, ...]
    pair: bool


def open_evidence(proof: KeyProof, *, attesters: tuple[Entity, ...] = ()) -> Evidence:
    """Return what a proof shows, as of the last second in which its head was good.

    Args:
        attesters: who attests in the audience as the reader knows it; empty: everybody whose document came along.
    Raises: MalformedError; UnverifiedError: as `verify_proof`, and when nobody but the origin attests.
    """
    documents = enclosed_documents(proof.head)
    # Who and when is read first, and verified by the same words below.
    said = decode(parse(proof.head.head, HEAD_TYP).payload, SetHead, what="set head")
    others = tuple(one for one in documents if one != said.origin)
    pair = next((one for one in others if audience_id(said.origin, one) == said.audience), None)
    named = (pair,) if pair is not None else attesters or others
    circle = Circle(
        audience=said.audience, members=tuple({said.origin, *named}), named=tuple(named), documents=documents
    )
    keys = verify_proof(proof, circle, origin=said.origin, now=said.not_after - 1)
    if not keys.head.witnessed:
        raise UnverifiedError("nobody but its own organization attests this directory", code="not-witnessed")
    seen = tuple(documents[one] for one in (said.origin, *keys.head.attested_by))
    return Evidence(origin=said.origin, keys=keys, documents=seen, pair=pair is not None)
