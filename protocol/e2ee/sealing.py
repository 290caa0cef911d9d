"""What a mentee's device seals to the provider's node, and opens of its answer.

Every sealed part is base64url text in its body; its context comes from `protocol.contexts`. The brief and the
agreement's private part, which pass between devices, have files of their own.
Source: docs/protocol/42-sealing.md §4.
"""

from protocol import contexts
from protocol.bodies import Choice, Quote, Request
from protocol.contexts import ThreadContext
from protocol.encoding import b64, decode, encode, unb64
from protocol.sealing import SealingPublicKey

from .keys import ReplyKey


def seal_request(request: Request, node_key: SealingPublicKey, context: ThreadContext) -> str:
    """Return the request, sealed for the provider's matcher; not even the mentee's own node reads it."""
    return b64(node_key.seal(encode(request), contexts.request(context, node_key)))


def seal_choice(choice: Choice, node_key: SealingPublicKey, context: ThreadContext) -> str:
    """Return the choice, sealed for the provider's node."""
    return b64(node_key.seal(encode(choice), contexts.choice(context, node_key)))


def open_quote(sealed: str, key: ReplyKey, context: ThreadContext) -> Quote:
    """Return the quote that answers the request which carried `key`.

    Raises: UnverifiedError: another key, thread or node, or changed bytes; MalformedError.
    """
    plain = key.open(unb64(sealed, what="quote"), contexts.quote(context, key.public), what="quote")
    return decode(plain, Quote, what="quote")
