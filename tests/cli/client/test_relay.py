"""A relay that delays, repeats, forges and sends junk costs nobody a word, and blocks no member for good."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cli.client.core import ENGINE
from cli.client.epochs import renewed, too_old
from cli.client.session import with_frame
from cli.client.views import Shown
from protocol.e2ee.frames import Chat
from protocol.encoding import sha256
from protocol.envelope import FIRST_EPOCH, Envelope
from protocol.errors import MeshError
from protocol.ids import message_id

from .pair import NOW, Pair

STEPS = ("write", "write", "renew", "submit", "submit", "read", "read", "repeat", "junk", "forge", "minute", "minutes")
#: The mentor's words leave when the mentee's device has read a change of keys for longer than it reads older ones.
LATE = [
    (what, by_mentor, 0)
    for what, by_mentor in (
        ("write", True),
        ("renew", False),
        ("submit", False),
        ("read", False),
        ("minute", True),
        ("submit", True),
        ("read", False),
    )
]
#: So many rounds of submitting and reading settle everything, once the relay behaves.
ROUNDS = 12


class Relay:
    """A hub between two devices; `order` is what it hands out, `at` how far each device (mentor: True) has read."""

    def __init__(self) -> None:
        self.pair = Pair()
        self.pair.until_open()
        self.order: list[Envelope] = []
        self.at = {True: 0, False: 0}
        self.count = FIRST_EPOCH
        self.written: dict[bool, list[str]] = {True: [], False: []}
        self.shown: dict[bool, list[str]] = {True: [], False: []}
        self.settle()

    def step(self, what: str, by_mentor: bool, pick: int) -> None:
        pair, state = self.pair, self.pair.mentor if by_mentor else self.pair.mentee
        match what:
            case "write":
                self.written[by_mentor].append(f"{by_mentor} {len(self.written[by_mentor])}")
                after = with_frame(pair.core, state, pair.thread, Chat(text=self.written[by_mentor][-1]))
                pair.keep(after, by_mentor=by_mentor)
            case "renew":
                pair.keep(renewed(pair.core, state, pair.thread), by_mentor=by_mentor)
            case "submit":
                self.submit(by_mentor=by_mentor)
            case "read":
                self.read(by_mentor=by_mentor)
            case "repeat" if self.order:
                self.hear(self.order[pick % len(self.order)], by_mentor=by_mentor)
            case "junk" if self.order:
                genuine = self.order[pick % len(self.order)]
                at = pick % max(1, len(genuine.ciphertext))
                wrong = genuine.ciphertext[:at] + bytes([genuine.ciphertext[at] ^ 1]) + genuine.ciphertext[at + 1 :]
                self.hear(self._as_new(replace(genuine, ciphertext=wrong), pick), by_mentor=by_mentor)
            case "forge":
                self.count += 1
            case "minute" | "minutes":
                pair.now += 61 if what == "minute" else 601

    def _as_new(self, envelope: Envelope, pick: int) -> Envelope:
        """A copy of an own message is known by its id: a relay gets further with another one."""
        made = message_id(NOW * 1000, sha256(b"%d" % pick)[:10])
        return replace(envelope, header=replace(envelope.header, id=made))

    def submit(self, *, by_mentor: bool) -> None:
        """Take what waits on one device; what is too old by the hub's count goes back."""
        for envelope in self.pair.outgoing(by_mentor=by_mentor):
            header = envelope.header
            if header.epoch < self.count - 1:
                state = self.pair.mentor if by_mentor else self.pair.mentee
                self.pair.keep(too_old(self.pair.core, state, self.pair.thread, header.id), by_mentor=by_mentor)
                continue
            self.count += header.kind == "commit" and header.epoch == self.count
            self.order.append(replace(envelope, header=replace(header, number=len(self.order) + 1)))

    def read(self, *, by_mentor: bool) -> None:
        while self.at[by_mentor] < len(self.order):
            self.hear(self.order[self.at[by_mentor]], by_mentor=by_mentor)
            self.at[by_mentor] += 1

    def hear(self, envelope: Envelope, *, by_mentor: bool) -> None:
        try:
            events = self.pair.hear(envelope, by_mentor=by_mentor)
        except MeshError:
            return
        self.shown[by_mentor] += [event.text for event in events if isinstance(event, Shown)]

    def settle(self) -> None:
        for _ in range(ROUNDS):
            for by_mentor in (True, False):
                self.submit(by_mentor=by_mentor)
                self.read(by_mentor=by_mentor)

    def epochs(self) -> set[int]:
        states = (self.pair.mentor, self.pair.mentee)
        return {ENGINE.epoch(ENGINE.load(state.sessions[self.pair.thread].state)) for state in states}


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@example(LATE)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.booleans(), st.integers(0, 2**31)), max_size=30))
def test_whatever_the_relay_does_each_word_is_shown_once_and_both_stay_together(
    steps: list[tuple[str, bool, int]],
) -> None:
    relay = Relay()
    for what, by_mentor, pick in steps:
        relay.step(what, by_mentor, pick)
    relay.settle()
    for by_mentor in (True, False):
        assert sorted(relay.shown[by_mentor]) == sorted(relay.written[not by_mentor])
    assert len(relay.epochs()) == 1
    for by_mentor in (True, False):
        relay.step("write", by_mentor, 0)
        relay.settle()
        assert relay.shown[not by_mentor][-1] == relay.written[by_mentor][-1]
