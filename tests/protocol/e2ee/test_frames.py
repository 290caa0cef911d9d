"""Frames are typed, bounded, padded, and hold nothing that must not be shown."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.e2ee import frames, shortcode, signals
from protocol.e2ee.frames import BUCKETS, Content, Frame, decode_frame, encode_frame
from protocol.e2ee.masterchange import StatedChange
from protocol.e2ee.padding import pad
from protocol.encoding import encode
from protocol.errors import LimitError, MalformedError, MeshError
from protocol.text import displayable
from tests.vectors.generate.frames import SDP

from .damage import cut, flipped
from .people import AUDIENCE, MENTOR, NOW, OTHER_ID, SLOT, THREAD

EVERY_KIND: list[Content] = [
    frames.Chat(text="Good morning!\nHow was the board meeting?"),
    frames.Agenda(items=(frames.AgendaItem(title="Explore", minutes=10),), started_at=NOW),
    frames.Goal(goal=OTHER_ID, text="Know my three opening sentences"),
    frames.Action(action=OTHER_ID, text="Call the customer", owner="mentor", due_at=SLOT, done=True),
    frames.Takeaway(text="Say the date first."),
    frames.Useful(score=5),
    frames.Again(yes=True),
    frames.ContactToken(token=OTHER_ID, until=SLOT),
    frames.Name(
        name="Cem",
        identity=MENTOR.account.state_identity(AUDIENCE),
        master_key=MENTOR.account.master().public.text,
    ),
    frames.MasterChanged(change=StatedChange(by_new="a" * 300, by_old="b" * 300)),
    frames.Slot(start_at=SLOT, minutes=30),
    frames.Place(text="https://meet.example/room"),
    frames.Note(note=OTHER_ID, text="Shared\nnote"),
    frames.Thanks(text="Thank you."),
    frames.File(
        blob=OTHER_ID,
        name="report.pdf",
        media_type="application/pdf",
        size=70_000,
        hash="A" * 43,
        key="A" * 43,
        header="A" * 32,
        expires_at=NOW,
    ),
    frames.Retract(frame=OTHER_ID),
    frames.Vanish(after="end", seconds=3_600),
    signals.CallOffer(call=OTHER_ID, sdp=SDP),
    signals.CallAnswer(call=OTHER_ID, sdp=SDP),
    signals.CallCandidate(call=OTHER_ID, candidate="candidate:1 1 udp 1 192.0.2.1 3478 typ relay", mid="0"),
    signals.CallEnd(call=OTHER_ID, reason="busy"),
    shortcode.CodeCommit(run=OTHER_ID, commitment="A" * 43, epoch=3),
    shortcode.CodeAnswer(run=OTHER_ID, nonce="A" * 43),
    shortcode.CodeReveal(run=OTHER_ID, nonce="A" * 43, device="A" * 43),
    frames.Checkpoints(logs=("aurora.example/log\n1\n",)),
    frames.Close(),
]
LOCAL: list[Content] = [frames.Unknown(kind="poll"), frames.Gone()]


def framed(content: Content, **changed: object) -> Frame:
    return Frame(id=THREAD, at=NOW, content=content, **changed)  # type: ignore[arg-type] # from a table


def raw(text: bytes) -> bytes:
    """Return bytes padded as a frame is, whatever they say."""
    return pad(text, next(size for size in BUCKETS if len(text) + 4 <= size), what="frame")


@pytest.mark.parametrize("content", EVERY_KIND, ids=lambda content: type(content).__name__)
def test_every_kind_of_frame_comes_back(content: Content) -> None:
    assert decode_frame(encode_frame(framed(content))) == framed(content)


def test_every_kind_of_frame_is_in_these_tests() -> None:
    assert {type(content) for content in (*EVERY_KIND, *LOCAL)} == set(Content.__args__)


@pytest.mark.parametrize("content", LOCAL, ids=lambda content: type(content).__name__)
def test_what_stands_on_one_device_is_never_sent(content: Content) -> None:
    with pytest.raises(MalformedError) as caught:
        encode_frame(framed(content))
    assert caught.value.code == "local-only"


@pytest.mark.parametrize(("size", "bucket"), [(1, 1_024), (900, 1_024), (1_000, 4_096), (4_000, 4_096)])
def test_a_frame_takes_the_smallest_size_that_fits(size: int, bucket: int) -> None:
    assert len(encode_frame(framed(frames.Chat(text="a" * size)))) == bucket


def test_the_edge_between_two_sizes_is_exact() -> None:
    overhead = len(encode(framed(frames.Chat(text="a")))) - 1 + 4
    at_edge, over = (framed(frames.Chat(text="a" * (1_024 - overhead + more))) for more in (0, 1))
    assert (len(encode_frame(at_edge)), len(encode_frame(over))) == (1_024, 4_096)
    assert decode_frame(encode_frame(at_edge)) == at_edge


def test_the_longest_note_in_any_script_fits() -> None:
    note = framed(frames.Note(note=OTHER_ID, text="😀" * 12_000))
    assert len(encode_frame(note)) == BUCKETS[-1]
    assert decode_frame(encode_frame(note)) == note


def test_a_larger_size_than_needed_is_refused() -> None:
    with pytest.raises(MalformedError, match="smallest"):
        decode_frame(pad(encode(framed(frames.Close())), 4_096, what="frame"))


@pytest.mark.parametrize("size", [0, 4, 1_023, 1_025, 65_537])
def test_bytes_of_another_size_are_refused(size: int) -> None:
    with pytest.raises(MalformedError, match="padded to one of"):
        decode_frame(bytes(size))


def test_padding_that_is_not_zero_is_refused() -> None:
    padded = encode_frame(framed(frames.Close()))
    with pytest.raises(MalformedError, match="zeros"):
        decode_frame(padded[:-1] + b"\x01")


@pytest.mark.parametrize(
    "content",
    [
        frames.Chat(text=""),
        frames.Chat(text="a" * 4_001),
        frames.Chat(text="bell\x07"),
        frames.Chat(text="\u202etxet"),
        frames.Goal(goal=OTHER_ID, text="two\nlines"),
        frames.Goal(goal="short", text="goal"),
        frames.Action(action=OTHER_ID, text="a" * 301),
        frames.Agenda(items=(frames.AgendaItem(title="\x1b[2J", minutes=5),)),
        frames.Agenda(items=(frames.AgendaItem(title="two\nlines", minutes=5),)),
        frames.Agenda(items=(frames.AgendaItem(title="a", minutes=0),)),
        frames.Agenda(items=(frames.AgendaItem(title="a", minutes=5),) * 13),
        frames.Takeaway(text="a" * 1_001),
        frames.Useful(score=0),
        frames.Useful(score=6),
        frames.Name(name=""),
        frames.Name(name="Ada\nCem"),
        frames.Name(name="a" * 81),
        frames.Slot(start_at=-1, minutes=30),
        frames.Place(text="a\u2066b"),
        frames.Note(note=OTHER_ID, text="a" * 12_001),
        frames.Thanks(text="\x00"),
    ],
    ids=ascii,
)
def test_a_frame_out_of_its_bounds_is_neither_sent_nor_read(content: Content) -> None:
    with pytest.raises(MalformedError):
        encode_frame(framed(content))
    with pytest.raises(MalformedError):
        decode_frame(raw(encode(framed(content))))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"at":1,"content":{"type":"Call"},"id":"AAAAAAAAAAAAAAAAAAAAAA"}',
        b'{"at":1,"content":{},"id":"AAAAAAAAAAAAAAAAAAAAAA"}',
        b'{"at":1,"content":{"type":"close"},"id":"AAAAAAAAAAAAAAAAAAAAAA","v":1}',
        b'{"at":1,"content":{"type":"close"},"id":"AAAAAAAAAAAAAAAAAAAAAA" }',
        b'{"at":1,"at":1,"content":{"type":"close"},"id":"AAAAAAAAAAAAAAAAAAAAAA"}',
        b'{"at":1,"content":{"text":"a","type":"close"},"id":"AAAAAAAAAAAAAAAAAAAAAA"}',
        b'{"at":1.0,"content":{"type":"close"},"id":"AAAAAAAAAAAAAAAAAAAAAA"}',
        b'{"at":1,"content":{"type":"again","yes":1},"id":"AAAAAAAAAAAAAAAAAAAAAA"}',
        b'{"at":1,"content":{"type":"chat","text":"a"},"id":"AAAAAAAAAAAAAAAAAAAAAA"}',
        b"[" * 900,
    ],
)
def test_a_frame_in_another_spelling_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_frame(raw(text))


def test_a_frame_of_a_newer_version_asks_for_an_update() -> None:
    with pytest.raises(MalformedError) as caught:
        decode_frame(raw(b'{"content":{"hologram":1,"type":"hologram"},"v":2}'))
    assert caught.value.code == "unknown-version"


def test_a_frame_that_fits_no_size_is_refused_before_it_is_sent() -> None:
    with pytest.raises(LimitError):
        frames._bucket(BUCKETS[-1] + 1)


def test_damaged_bytes_are_refused_or_read_as_exactly_what_they_say() -> None:
    padded = encode_frame(framed(frames.Chat(text="hello")))
    outcomes = set()
    for damaged in itertools.chain(flipped(padded), cut(padded, step=7)):
        try:
            assert encode_frame(decode_frame(damaged)) == damaged
            outcomes.add("read")
        except MeshError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


TEXT = st.text(min_size=1, max_size=300).map(lambda text: displayable(text, lines=False)).filter(bool)


@given(
    st.one_of(
        st.builds(frames.Chat, text=TEXT),
        st.builds(frames.Goal, goal=st.just(OTHER_ID), text=TEXT),
        st.builds(frames.Action, action=st.just(OTHER_ID), text=TEXT, done=st.booleans()),
        st.builds(frames.Useful, score=st.integers(1, 5)),
        st.builds(frames.Note, note=st.just(OTHER_ID), text=st.text(max_size=4_000).map(displayable)),
    )
)
def test_any_frame_that_can_be_written_can_be_read(content: Content) -> None:
    padded = encode_frame(framed(content))
    assert len(padded) in BUCKETS
    assert decode_frame(padded) == framed(content)


def test_again_is_a_choice_and_never_absent() -> None:
    with pytest.raises(TypeError):
        frames.Again()  # type: ignore[call-arg] # that is what is tested
    assert msgspec.json.encode(frames.Again(yes=False)) == b'{"type":"again","yes":false}'
