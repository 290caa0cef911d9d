"""Two sealed parts never share a context: purpose, thread, nodes, person, audience and key all count."""

import itertools

from msgspec.structs import replace

from protocol import contexts
from protocol.contexts import ThreadContext

from .e2ee.people import (
    ACCEPTED,
    AUDIENCE,
    CONTEXT,
    MENTEE,
    MENTOR,
    OTHER_AUDIENCE,
    OTHER_HASH,
    OTHER_ID,
    REF,
    THREAD,
)


def every_context(
    context: ThreadContext = CONTEXT, *, ref: str = REF, audience: str = AUDIENCE, mentor: bool = True
) -> list[bytes]:
    key = (MENTOR if mentor else MENTEE).sealing().public
    return [
        contexts.request(context, key),
        contexts.quote(context, key),
        contexts.choice(context, key),
        contexts.brief_wrap(context, ref=ref, audience=audience, key=key),
        contexts.brief_box(context, ref=ref, audience=audience),
        contexts.agreed_private(context, ref=ref, audience=audience, reply_key=key),
    ]


def test_every_purpose_has_its_own_context() -> None:
    assert len(set(every_context())) == 6


def test_another_thread_or_node_changes_every_context() -> None:
    others = [
        replace(CONTEXT, thread=OTHER_ID),
        replace(CONTEXT, consumer="https://birch.example"),
        replace(CONTEXT, provider="https://birch.example"),
        replace(CONTEXT, consumer=CONTEXT.provider, provider=CONTEXT.consumer),
    ]
    all_contexts = list(itertools.chain(every_context(), *map(every_context, others)))
    assert len(set(all_contexts)) == 6 * 5


def test_another_ref_audience_or_key_changes_the_contexts_that_name_it() -> None:
    before = every_context()
    changed = [
        every_context(ref=OTHER_ID),
        every_context(audience=OTHER_AUDIENCE),
        every_context(mentor=False),
    ]
    differs = [[left != right for left, right in zip(before, after, strict=True)] for after in changed]
    assert differs == [
        [False, False, False, True, True, True],
        [False, False, False, True, True, True],
        [True, True, True, True, False, True],
    ]


def test_moving_a_character_between_two_nodes_changes_the_context() -> None:
    left = replace(CONTEXT, consumer="https://a.example", provider="https://bc.example")
    right = replace(CONTEXT, consumer="https://a.exampleh", provider="ttps://bc.example")
    assert contexts.request(left, MENTOR.sealing().public) != contexts.request(right, MENTOR.sealing().public)


def test_a_session_is_bound_to_thread_message_and_consent() -> None:
    found = {
        contexts.session(thread=THREAD, accepted=ACCEPTED, consent=OTHER_HASH),
        contexts.session(thread=OTHER_ID, accepted=ACCEPTED, consent=OTHER_HASH),
        contexts.session(thread=THREAD, accepted=OTHER_HASH, consent=ACCEPTED),
        contexts.session(thread=THREAD, accepted=OTHER_HASH, consent=OTHER_HASH),
    }
    assert {len(one) for one in found} == {32}
    assert len(found) == 4
