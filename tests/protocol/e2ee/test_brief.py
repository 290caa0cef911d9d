"""A brief opens for the mentor it was written for, bound to one thread, one candidate and one set of keys."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from protocol import contexts
from protocol.bodies import AcceptedBody, Choice, SealedBrief, Wrapped
from protocol.devices import MAX_DEVICE_LIFETIME_S, sealing_key_hash
from protocol.e2ee.brief import (
    BRIEF_BYTES,
    MAX_PACKAGE_BYTES,
    Brief,
    OpenedBrief,
    open_brief,
    seal_brief,
)
from protocol.e2ee.content import OVERHEAD_BYTES, open_content, seal_content
from protocol.e2ee.sealing import seal_choice
from protocol.encoding import MAX_SAFE_INTEGER, b64, decode, encode, sha256, unb64
from protocol.errors import MalformedError, MeshError, UnverifiedError
from protocol.messages import CheckpointRef, MessageHead, body_hash, sign_message
from protocol.sealing import NodeSealingKey

from .damage import flipped
from .people import (
    AUDIENCE,
    CONTEXT,
    MENTEE,
    MENTOR,
    NOW,
    OTHER_AUDIENCE,
    OTHER_ID,
    PROMPTS,
    REF,
    REPLY,
    STRANGER,
    THREAD,
    brief_words,
    ordinary_brief,
    sealed_brief,
    seed,
)


def opened(sealed: SealedBrief, key: object = None, **changed: object) -> OpenedBrief:
    """Open a brief as the mentor's device does, with some of what it expects changed."""
    expected: dict[str, object] = {"context": CONTEXT, "ref": REF, "audience": AUDIENCE, "now": NOW}
    own = key or MENTOR.sealing()
    return open_brief(sealed, own, **{**expected, **changed})  # type: ignore[arg-type] # from a table


def test_a_brief_comes_back_as_it_was_written() -> None:
    found = opened(sealed_brief())
    assert found.brief == ordinary_brief()
    assert found.device == MENTEE.key().public
    assert found.readers == (sealing_key_hash(MENTOR.sealing().public),)


@pytest.mark.parametrize("packages", [(), (b"one",), (b"", b"two")])
def test_a_brief_may_carry_up_to_two_key_packages(packages: tuple[bytes, ...]) -> None:
    brief = replace(ordinary_brief(), key_packages=packages)
    assert opened(sealed_brief(brief=brief)).brief == brief


def test_a_brief_with_four_key_packages_inside_is_refused() -> None:
    box = contexts.brief_box(CONTEXT, ref=REF, audience=AUDIENCE)
    padded = open_box(sealed_brief(), seed("content key"), box)
    end = 4 + int.from_bytes(padded[:4], "big")
    plain = padded[4:end] + bytes(8)
    longer = len(plain).to_bytes(4, "big") + plain + bytes(BRIEF_BYTES - 4 - len(plain))
    with pytest.raises(MalformedError, match="key packages"):
        opened(wrap_again(longer, CONTEXT, REF))


def test_both_devices_of_a_mentor_open_the_same_brief_and_see_who_else_can() -> None:
    sealed = sealed_brief(1, 2)
    first, second = opened(sealed), opened(sealed, MENTOR.sealing(2))
    assert first == second
    assert len(first.readers) == 2


def test_a_brief_is_equally_long_whatever_it_says() -> None:
    short = Brief(words=brief_words(prompts=("?", "", "")), reply_key=REPLY.public)
    sizes = {len(encode(sealed_brief(brief=brief))) for brief in (short, ordinary_brief())}
    assert len(sizes) == 1
    assert len(unb64(sealed_brief().box)) == BRIEF_BYTES + OVERHEAD_BYTES


@pytest.mark.parametrize(
    "changed",
    [
        {"context": replace(CONTEXT, thread=OTHER_ID)},
        {"context": replace(CONTEXT, consumer="https://birch.example")},
        {"context": replace(CONTEXT, provider="https://birch.example")},
        {"ref": OTHER_ID},
        {"audience": OTHER_AUDIENCE},
        {"key": STRANGER.sealing()},
        {"now": NOW + MAX_DEVICE_LIFETIME_S},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_brief_for_another_thread_node_candidate_audience_key_or_time_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(UnverifiedError):
        opened(sealed_brief(), **changed)


def resealed(
    *, words: dict[str, object] | None = None, context: contexts.ThreadContext = CONTEXT, ref: str = REF
) -> SealedBrief:
    """Return a brief whose words say something else than the context it is sealed in."""
    brief = ordinary_brief(**words or {})
    honest = seal_brief(brief, MENTEE.key(), (MENTOR.sealing().public,), entropy=seed("key"))
    box = contexts.brief_box(brief.words.context, ref=brief.words.ref, audience=AUDIENCE)
    padded = open_box(honest, seed("key"), box)
    return wrap_again(padded, context, ref)


def open_box(sealed: SealedBrief, key: bytes, aad: bytes) -> bytes:
    return open_content(unb64(sealed.box), key, aad, what="brief")


def wrap_again(padded: bytes, context: contexts.ThreadContext, ref: str) -> SealedBrief:
    """Seal these padded bytes correctly for the mentor in `context`, as somebody who knows them could."""
    key = MENTOR.sealing().public
    info = contexts.brief_wrap(context, ref=ref, audience=AUDIENCE, key=key)
    box = seal_content(padded, seed("key"), contexts.brief_box(context, ref=ref, audience=AUDIENCE))
    wrapped = Wrapped(key=sealing_key_hash(key), sealed=b64(key.seal(seed("key"), info)))
    return SealedBrief(wrapped=(wrapped,), box=b64(box))


@pytest.mark.parametrize(
    "words", [{"thread": OTHER_ID}, {"ref": OTHER_ID}, {"consumer": "https://birch.example"}], ids=str
)
def test_words_that_name_another_context_than_they_are_sealed_in_are_refused(words: dict[str, object]) -> None:
    with pytest.raises(UnverifiedError) as caught:
        opened(resealed(words=words))
    assert caught.value.code == "wrong-context"


def test_a_node_that_read_a_brief_cannot_seal_it_again_for_the_real_mentor() -> None:
    spy = STRANGER.sealing()
    for_spy = seal_brief(ordinary_brief(), MENTEE.key(), (spy.public,), entropy=seed("key"))
    padded = open_box(for_spy, seed("key"), contexts.brief_box(CONTEXT, ref=REF, audience=AUDIENCE))
    with pytest.raises(UnverifiedError, match="brief signature"):
        opened(wrap_again(padded, CONTEXT, REF))


def test_a_brief_signed_by_another_device_than_its_certificate_names_is_refused() -> None:
    with pytest.raises(UnverifiedError, match="brief signature"):
        opened(sealed_brief(signer=STRANGER.key()))


def test_a_certificate_of_somebody_else_does_not_help() -> None:
    brief = ordinary_brief(certificate=STRANGER.certificate())
    with pytest.raises(UnverifiedError, match="another key"):
        opened(sealed_brief(brief=brief, signer=STRANGER.key()))


def swapped(sealed: SealedBrief) -> SealedBrief:
    left, right = sealed.wrapped
    return replace(sealed, wrapped=(replace(left, sealed=right.sealed), replace(right, sealed=left.sealed)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda sealed: replace(sealed, wrapped=sealed.wrapped[:1]), id="one reader less"),
        pytest.param(lambda sealed: replace(sealed, wrapped=sealed.wrapped[::-1]), id="readers in another order"),
        pytest.param(swapped, id="wraps exchanged"),
        pytest.param(lambda sealed: replace(sealed, wrapped=(sealed.wrapped[0],) * 2), id="a reader twice"),
    ],
)
def test_a_changed_list_of_readers_is_refused(change: Callable[[SealedBrief], SealedBrief]) -> None:
    with pytest.raises(UnverifiedError):
        opened(change(sealed_brief(1, 2)))


@pytest.mark.slow
def test_a_changed_byte_anywhere_in_a_wrap_is_refused() -> None:
    sealed = sealed_brief()
    for damaged in flipped(unb64(sealed.wrapped[0].sealed)):
        wrapped = replace(sealed.wrapped[0], sealed=b64(damaged))
        with pytest.raises(UnverifiedError):
            opened(replace(sealed, wrapped=(wrapped,)))


@pytest.mark.slow
def test_a_changed_byte_or_a_cut_in_the_box_is_refused() -> None:
    sealed = sealed_brief()
    box = unb64(sealed.box)
    for damaged in (*flipped(box, step=29), *(box[:size] for size in range(0, len(box), 211))):
        with pytest.raises(UnverifiedError):
            opened(replace(sealed, box=b64(damaged)))
    assert opened(sealed).brief == ordinary_brief()


@pytest.mark.parametrize(
    "prompts",
    [
        ("a" * 601, "", ""),
        ("a" * 300, "b" * 300, "c"),
        ("語" * 599, "😀", ""),
        ("😀" * 451, "", ""),
        ("bell \x07", "", ""),
        ("", "right to left \u202e", ""),
    ],
    ids=ascii,
)
def test_prompts_that_are_too_long_or_not_displayable_are_refused(prompts: tuple[str, str, str]) -> None:
    with pytest.raises(MalformedError):
        brief_words(prompts=prompts)


@pytest.mark.parametrize("prompts", [("a" * 600, "", ""), ("語" * 200, "語" * 200, "語" * 200), ("😀" * 450, "", "")])
def test_prompts_at_their_limit_are_taken(prompts: tuple[str, str, str]) -> None:
    assert brief_words(prompts=prompts).prompts == prompts


@pytest.mark.parametrize(
    "changed",
    [
        {"about": ("a", "b", "c", "d", "e")},
        {"about": ("Sector",)},
        {"chosen_because": "because"},
        {"chosen_from": 6},
        {"chosen_from": 0},
        {"slots": tuple(range(6))},
        {"prompts": PROMPTS[:2]},
        {"consumer": "https://AURORA.example"},
        {"thread": "short"},
    ],
    ids=str,
)
def test_words_out_of_their_bounds_are_not_even_sealed(changed: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        sealed_brief(brief=ordinary_brief(**changed))


@pytest.mark.parametrize("packages", [(b"",) * 4, (b"a" * (MAX_PACKAGE_BYTES + 1),), (b"a" * 4_801, b"b" * 4_800)])
def test_key_packages_out_of_their_bounds_are_refused(packages: tuple[bytes, ...]) -> None:
    with pytest.raises(MalformedError):
        Brief(words=brief_words(), reply_key=REPLY.public, key_packages=packages)


@pytest.mark.parametrize(
    "plain",
    [b"", b"\x00\x00\x00\x01", b"\x00\x00\x00\x00" * 6, b"\x00\x00\x00\x00" * 2, b"\x00\x00\x00\x05abc"],
    ids=lambda plain: plain.hex() or "empty",
)
def test_a_box_that_holds_no_brief_is_refused(plain: bytes) -> None:
    padded = len(plain).to_bytes(4, "big") + plain + bytes(BRIEF_BYTES - 4 - len(plain))
    with pytest.raises(MalformedError):
        opened(wrap_again(padded, CONTEXT, REF))


def test_padding_that_is_not_zero_is_refused() -> None:
    with pytest.raises(MalformedError, match="zeros"):
        opened(wrap_again(bytes(BRIEF_BYTES - 1) + b"\x01", CONTEXT, REF))


LONG_CONSUMER = "https://" + ".".join(["c" * 61] * 4) + ".example"[: 253 - 4 * 61 - 3]
LONG_PROVIDER = LONG_CONSUMER.replace("c", "p")


def longest_brief() -> Brief:
    """Return a brief in which every field is as long as it may be."""
    words = brief_words(
        consumer=LONG_CONSUMER,
        provider=LONG_PROVIDER,
        prompts=("語" * 200, "語" * 200, "語" * 200),
        about=("a" * 24, "b" * 24, "c" * 24, "d" * 24),
        chosen_because="function-as-wished",
        slots=tuple(253402300799 - 1_800 * number for number in range(5)),
        certificate=MENTEE.certificate(now=253402300799 - MAX_DEVICE_LIFETIME_S),
    )
    return Brief(words=words, reply_key=REPLY.public, key_packages=(b"a" * 1_248, b"b" * 1_248))


def test_the_longest_acceptance_fits_its_32_kib_with_two_readers() -> None:
    assert len(LONG_CONSUMER) == len("https://") + 253
    brief = longest_brief()
    choice = Choice(ref=REF, slots=brief.words.slots, format="in-person", length=60)
    node = NodeSealingKey(seed("node"))
    body = AcceptedBody(
        choice=seal_choice(choice, node.public, brief.words.context), brief=sealed_brief(1, 2, brief=brief)
    )
    head = MessageHead(
        mid="019b6e5c-7c00-7abc-8def-0123456789ab",
        aud=LONG_PROVIDER,
        thread=THREAD,
        side="consumer",
        seq=1_000,
        prev=b64(sha256(b"prev")),
        seen=b64(sha256(b"seen")),
        deadline=253402300799,
        type="accept",
        body_hash=body_hash(body),
        checkpoint=CheckpointRef(origin="o" * 300, size=MAX_SAFE_INTEGER, root=b64(sha256(b"root"))),
    )
    assert len(sign_message(head, body, MENTEE.key()).item) == 32_768
    assert decode(encode(body), AcceptedBody) == body


def test_the_longest_brief_is_sealed_and_read() -> None:
    brief = longest_brief()
    context = contexts.ThreadContext(thread=THREAD, consumer=LONG_CONSUMER, provider=LONG_PROVIDER)
    sealed = sealed_brief(1, 2, brief=brief)
    far = 253402300799 - MAX_DEVICE_LIFETIME_S
    assert opened(sealed, MENTOR.sealing(2), context=context, now=far).brief == brief


def test_a_refusal_repeats_none_of_the_words() -> None:
    with pytest.raises(MeshError) as caught:
        brief_words(prompts=("private words \x07", "", ""))
    assert "private" not in str(caught.value)
