"""Organizations as this device knows them: each one's key is kept from first sight, and another key is not believed.

What is sealed to an organization or signed by it is sealed and checked with the keys of its pinned document only; the
own node merely passes documents on. Source: docs/explanation/what-the-client-keeps.md.
"""

from functools import lru_cache

import msgspec
from msgspec.structs import replace

from protocol.addresses import audience_id
from protocol.errors import MissingError, RefusedError, UnverifiedError
from protocol.fingerprints import fingerprint_words
from protocol.messages import Message, UnopenedMessage, open_message, parse_item
from protocol.peers import NodeDocument, open_document
from protocol.rotation import KeyChangedError, Pinned, StaleDocumentError, follow
from protocol.rotation import pin as pin_document
from protocol.sealing import SealingPublicKey
from protocol.signing import VerifyKey, VerifyKeys

from .records import Pin
from .state import ClientState


class UnknownSenderError(UnverifiedError):
    """A message is signed by a node that this device does not know yet: look for new organizations first."""

    code = "unknown-sender"


class ChangedKeyError(UnverifiedError):
    """An organization suddenly shows another federation key."""

    code = "federation-key-changed"


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A handshake message whose signature holds, and the organization whose node signed it."""

    entity: str
    message: Message


@lru_cache(maxsize=256)
def _document(text: str) -> NodeDocument:
    return open_document(text)


def document_of(state: ClientState, entity: str) -> NodeDocument:
    """Return an organization's pinned document. Raises: MissingError: never seen; ChangedKeyError."""
    pin = state.pins.get(entity)
    if pin is None:
        raise MissingError("your node knows no such organization: run `mentormesh person sync`")
    if pin.changed:
        raise ChangedKeyError(changed_sentence(pin))
    return _document(pin.document)


def sealing_key_of(state: ClientState, entity: str) -> SealingPublicKey:
    """Return the key to which parts for an organization's node are sealed."""
    return SealingPublicKey.parse(document_of(state, entity).keys.envelope_seal)


def signing_key_of(state: ClientState, entity: str) -> VerifyKeys:
    """Return the keys by which an organization's node signs messages, and signed those that are under way."""
    return document_of(state, entity).message_keys


def name_of(state: ClientState, entity: str) -> str:
    """Return the name of an organization as it shows it itself, or its identifier."""
    pin = state.pins.get(entity)
    return _document(pin.document).org.display_name if pin else entity


def changed_sentence(pin: Pin) -> str:
    """Return what to tell the person, in red."""
    before = _document(pin.document)
    words = fingerprint_words(VerifyKey.parse(before.keys.federation))
    return (
        f"The key of {before.org.display_name} ({pin.entity}) has changed and nobody known vouches for the new one. "
        f"Nothing was sent there. Known words: {words}. New words: {pin.changed}. Compare the new ones with your "
        "contact there by phone; if they are right, run "
        f"`mentormesh person trust {pin.entity}`"
    )


def first_pin(entity: str, text: str, *, own: bool) -> Pin:
    """Return the pin of an organization met for the first time. Raises: MalformedError, UnverifiedError."""
    document = open_document(text)
    if document.entity != entity:
        raise UnverifiedError("your node passed on the document of another organization", code="wrong-entity")
    recovered = pin_document(text, VerifyKey.parse(document.keys.federation)).recovered
    return Pin(entity=entity, document=text, recovered=recovered, own=own)


def next_pin(pin: Pin, text: str) -> Pin:
    """Return the pin after another look: a document that known keys vouch for replaces it, any other marks it.

    Raises: MalformedError.
    """
    before = Pinned(text=pin.document, document=_document(pin.document), recovered=pin.recovered)
    try:
        after = follow(before, text)
    except StaleDocumentError:
        return pin
    except KeyChangedError:
        shown = open_document(text)
        return replace(pin, changed=fingerprint_words(VerifyKey.parse(shown.keys.federation)), shown=text)
    return replace(pin, document=after.text, recovered=after.recovered, changed="", shown="")


def trusted_pin(pin: Pin, words: str) -> Pin:
    """Return the pin with the document whose words the person compared, whatever the node has shown since.

    Raises: RefusedError: other words than the ones kept; UnverifiedError: the document is of another organization.
    """
    if not pin.changed or pin.changed != words:
        raise RefusedError("the key has changed once more: compare the new words first", code="wrong-words")
    trusted = first_pin(pin.entity, pin.shown, own=pin.own)
    return replace(trusted, bilateral=pin.bilateral, registries=pin.registries)


def audiences_with(state: ClientState, entity: str) -> tuple[str, ...]:
    """Return the ids of the audiences in which this person and people of `entity` meet; none for a stranger."""
    own, pin = state.signed_in.entity, state.pins.get(entity)
    if pin is None:
        return ()
    pair = (audience_id(own, entity),) if pin.bilateral or pin.own else ()
    return (*pair, *sorted(audience_id(registry) for registry in pin.registries))


def open_item(state: ClientState, item: bytes, *, audience: str) -> Opened:
    """Return a handshake message by a known node. Raises: UnknownSenderError, UnverifiedError, MalformedError."""
    unopened = parse_item(item)
    entity = _signer(state, unopened)
    return Opened(entity=entity, message=open_message(unopened, signing_key_of(state, entity), audience=audience))


def _signer(state: ClientState, unopened: UnopenedMessage) -> str:
    for entity, pin in state.pins.items():
        if unopened.keyid in _document(pin.document).message_keys:
            return entity
    raise UnknownSenderError("a message is signed by a node that this device does not know")
