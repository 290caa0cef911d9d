"""What shows somebody outside a group who said one message in it, and tells them nothing else.

A member signs FramedContentTBS (RFC 9420 §6.1): the content and the context of its epoch, of which hashes and the
agreement are public to whoever has the proof. No key, no other message and no other member can be found from it.
Source: docs/protocol/48-mls.md §10.
"""

from protocol.encoding import length_prefixed, split_prefixed
from protocol.errors import MalformedError

from .codec import whole
from .errors import ContextError
from .framing import APPLICATION, Content, Signed, verify_content
from .group import Spoken
from .schedule import read_context
from .state import agreement_of
from .suites import SUITES

_PLACE_BYTES = 4


def proof_of(spoken: Spoken) -> bytes:
    """Return the proof of a message, without its content."""
    content = spoken.signed.content
    place = content.sender.to_bytes(_PLACE_BYTES, "big")
    return length_prefixed(spoken.context, place, content.authenticated_data, spoken.signed.signature)


def agreement_proven(proof: bytes, body: bytes, signer: bytes) -> bytes:
    """Return the agreement of the group in which `signer` said exactly `body`.

    Raises: MalformedError: no proof; SignatureError: not this content, group, place or signer; ContextError.
    """
    encoded, place, authenticated, signature = split_prefixed(proof, 4, what="proof")
    if len(place) != _PLACE_BYTES:
        raise MalformedError("proof names no place in a group")
    context = whole(encoded, read_context, what="the context of a proof")
    if context.suite not in SUITES:
        raise ContextError("a proof is of a group of another suite")
    content = Content(context.group_id, context.epoch, int.from_bytes(place, "big"), APPLICATION, body, authenticated)
    verify_content(Signed(content, signature), SUITES[context.suite], signer, encoded)
    return agreement_of(context)
