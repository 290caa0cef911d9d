"""Requests and choices open for the provider's node, quotes for the device that asked: each in its own thread only."""

import pytest
from msgspec.structs import replace

from protocol import contexts
from protocol.bodies import Candidate, Choice, Quote, Request, Target
from protocol.contexts import ThreadContext
from protocol.e2ee.keys import ReplyKey
from protocol.e2ee.sealing import open_quote, seal_choice, seal_request
from protocol.encoding import b64, decode, encode, unb64
from protocol.errors import MalformedError, UnverifiedError
from protocol.needs import Need
from protocol.offers import OrgProfile
from protocol.sealing import NodeSealingKey

from .people import CONTEXT, MENTOR, NOW, OTHER_ID, REF, REPLY, SLOT, seed

NODE = NodeSealingKey(seed("envelope key of the node"))
REQUEST = Request(
    target=Target(type="offer", id=OTHER_ID),
    need=Need(
        topics=("mm:first-board-presentation",), kind="been-through", languages=("en",), format="call", length=30
    ),
    reply_key=REPLY.public.text,
)
CHOICE = Choice(ref=REF, slots=(SLOT,), format="call", length=30)
QUOTE = Quote(
    org=OrgProfile(display_name="Cobalt Works", kind="company", sector="C", size_band="250-1k", countries=("DE",)),
    candidates=(
        Candidate(
            ref=REF,
            fit="exact",
            reasons=("exact-topic", "been-through-it"),
            gap="",
            kind="been-through",
            band="senior",
            slots=(SLOT,),
            keys=(MENTOR.sealing().public.text,),
        ),
    ),
    valid_until=NOW + 900,
)
OTHERS = [
    pytest.param(replace(CONTEXT, thread=OTHER_ID), id="another thread"),
    pytest.param(replace(CONTEXT, consumer="https://birch.example"), id="another consumer"),
    pytest.param(replace(CONTEXT, provider="https://birch.example"), id="another provider"),
]


def sealed_quote(data: bytes = encode(QUOTE)) -> str:
    return b64(REPLY.public.seal(data, contexts.quote(CONTEXT, REPLY.public)))


def test_a_request_and_a_choice_open_for_the_node_they_are_sealed_to() -> None:
    request = unb64(seal_request(REQUEST, NODE.public, CONTEXT))
    assert decode(NODE.open(request, contexts.request(CONTEXT, NODE.public)), Request) == REQUEST
    choice = unb64(seal_choice(CHOICE, NODE.public, CONTEXT))
    assert decode(NODE.open(choice, contexts.choice(CONTEXT, NODE.public)), Choice) == CHOICE


def test_a_request_cannot_be_replayed_as_a_choice() -> None:
    sealed = unb64(seal_request(REQUEST, NODE.public, CONTEXT))
    with pytest.raises(UnverifiedError):
        NODE.open(sealed, contexts.choice(CONTEXT, NODE.public))


@pytest.mark.parametrize("other", OTHERS)
def test_a_request_opens_in_no_other_thread_and_for_no_other_node(other: ThreadContext) -> None:
    with pytest.raises(UnverifiedError):
        NODE.open(unb64(seal_request(REQUEST, NODE.public, CONTEXT)), contexts.request(other, NODE.public))


def test_a_quote_opens_with_the_one_time_key_of_its_request() -> None:
    assert open_quote(sealed_quote(), REPLY, CONTEXT) == QUOTE


@pytest.mark.parametrize("other", OTHERS)
def test_a_quote_for_another_thread_is_refused(other: ThreadContext) -> None:
    with pytest.raises(UnverifiedError):
        open_quote(sealed_quote(), REPLY, other)


def test_a_quote_for_another_key_is_refused() -> None:
    with pytest.raises(UnverifiedError):
        open_quote(sealed_quote(), ReplyKey(seed("other reply")), CONTEXT)


@pytest.mark.parametrize("data", [b"", b"{}", encode(QUOTE) + b" ", encode(CHOICE)])
def test_a_quote_that_is_not_one_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        open_quote(sealed_quote(data), REPLY, CONTEXT)


def test_a_quote_that_is_not_base64url_is_refused() -> None:
    with pytest.raises(MalformedError):
        open_quote(sealed_quote() + "=", REPLY, CONTEXT)
