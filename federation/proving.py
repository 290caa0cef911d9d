"""What a node shows before it counts: its document, the transport key that it holds, the host of its name.

Source: docs/protocol/20-identity.md §3.4, §5.4, §6, 22-members.md §5.3.
"""

from typing import Final

from protocol.addresses import authority_of, host_of
from protocol.errors import MalformedError, UnverifiedError
from protocol.keydirectory import DIRECTORY_PATH, UnprovenKeyError, verify_directory
from protocol.peers import DOCUMENT_PATH, DOCUMENT_TYPE, MAX_DOCUMENT_BYTES, NodeDocument, open_document
from protocol.signing import VerifyKey

from .answers import BadAnswerError
from .calls import Answer, Calls, Contact

MAX_DIRECTORY_BYTES: Final = 8 * 1024


class OtherHostError(UnverifiedError):
    """The host of an entity identifier does not say that the node is its own."""

    code = "host-not-proven"


async def served_document(calls: Calls, contact: Contact) -> str:
    """Return the JWS served as the node document at `contact`. Raises: BadAnswerError, MalformedError, as `Calls`."""
    return document_text(await calls.fetch(contact, DOCUMENT_PATH, limit=MAX_DOCUMENT_BYTES))


def document_text(answer: Answer) -> str:
    """Return the JWS of an answer from `/.well-known/mentormesh`. Raises: BadAnswerError."""
    if answer.media_type != DOCUMENT_TYPE:
        raise BadAnswerError(f"node document must come as {DOCUMENT_TYPE}")
    try:
        return answer.body.decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError("node document is not a JWS") from None


async def prove_key(calls: Calls, contact: Contact, key: VerifyKey, *, now: int) -> None:
    """Return once who answers at `contact` has shown that it holds this `http` key.

    Raises: UnprovenKeyError; as `Calls`.
    """
    answer = await calls.fetch(contact, DIRECTORY_PATH, limit=MAX_DIRECTORY_BYTES)
    verify_directory(answer.headers, authority_of(contact.api), key, now=now)


def same_key(document: NodeDocument, proven: NodeDocument) -> None:
    """Return if a document names the `http` key that another of the node has just signed by. Raises: UnprovenKeyError.

    A node that changes its key in the middle of this tries once more.
    """
    if document.keys.http != proven.keys.http:
        raise UnprovenKeyError("the node shows two documents with two transport keys: try again")


async def prove_host(calls: Calls, contact: Contact, entity: str, keyid: str) -> None:
    """Return once the host of `entity` itself names the federation key with this thumbprint.

    A node that answers at that host has proved it by answering. On one machine in development there is one host only.

    Raises: OtherHostError, MalformedError; as `Calls`.
    """
    if contact.connect_to or host_of(contact.api) == host_of(entity):
        return
    document = open_document(await served_document(calls, Contact(api=entity)))
    if (document.entity, VerifyKey.parse(document.keys.federation).keyid) != (entity, keyid):
        raise OtherHostError("the host of that entity identifier names another node or another federation key")
