"""A hub that delays, drops, reorders, repeats, changes and forges cannot split a group, nor block a member for good.

Hypothesis draws what devices and hub do, for groups of up to eight devices. A member's state is always what its vault
gives back. At the end the hub repeats all that it once numbered, in order, and everybody is in one epoch again.
"""

from typing import Final

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from protocol.e2ee.mls import commits, welcome
from protocol.e2ee.mls.commits import Followed, Rules, entered_after
from protocol.e2ee.mls.errors import MemberError
from protocol.e2ee.mls.group import hear, speak
from protocol.e2ee.mls.nodes import LeafNode
from protocol.e2ee.mls.profile import PRODUCT
from protocol.e2ee.mls.proposals import Commit
from protocol.e2ee.mls.state import Group, alone, fingerprint
from protocol.e2ee.mls.suites import X25519
from protocol.e2ee.mls.welcome import Newcomer
from protocol.errors import MeshError

from .groups import AGREED, NOW, accept, commit_of, committed, device, drawn, rules, spoken_as

MOST_DEVICES: Final = 8
PAST_S: Final = PRODUCT.past_s
NUMBERS: Final = st.integers(0, 1 << 16)


def known(leaf: LeafNode) -> None:
    """Accept devices of the people of the session."""
    if not leaf.identity.startswith(b"device"):
        raise MemberError("a device was not checked")


class Sent(msgspec.Struct):
    """What the hub has numbered: a commit, or a message with its text; `maker` is the name of a device."""

    data: bytes
    epoch: int
    maker: str
    body: bytes = b""
    invited: Newcomer | None = None
    welcome: bytes = b""


class Member:
    """A device: its state as it stands in the vault, and its own commits by their number at the hub."""

    def __init__(self, name: str, group: Group) -> None:
        self.name: Final = name
        self.vault = b""
        self.own: Final[dict[int, Group]] = {}
        self.heard: Final[set[int]] = set()
        #: When it entered its epoch; None when it joined in this one.
        self.entered_at: int | None = None
        self.keep(group)

    @property
    def group(self) -> Group:
        """The state that the vault gives back."""
        return msgspec.msgpack.decode(self.vault, type=Group)

    def keep(self, group: Group) -> None:
        """Put a state into the vault."""
        self.vault = msgspec.msgpack.encode(group)
        assert self.group == group


class Hub(RuleBasedStateMachine):
    """Devices of one session and the hub between them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.log: list[Sent] = []
        #: By epoch, the number of the commit that ended it.
        self.first: dict[int, int] = {}
        self.members: dict[str, Member] = {}
        self.gone: dict[str, Member] = {}
        self.fingerprints: dict[int, bytes] = {}
        self.count = 0

    @initialize(others=st.integers(1, 3))
    def begin(self, others: int) -> None:
        own = device(self._name())
        leaf = own.package.leaf
        group = alone(X25519, leaf, private=own.private, seed=own.seed, agreement=AGREED, entropy=drawn("machine"))
        self._entered(Member("device-1", group))
        for _ in range(others):
            self._commit(self.members["device-1"], invite=True)
            self._in_order(self.members["device-1"])

    def _name(self) -> str:
        self.count += 1
        return f"device-{self.count}"

    def _rules(self) -> Rules:
        return rules(now=self.now, check=known)

    def _member(self, number: int) -> Member:
        return [*self.members.values()][number % len(self.members)]

    def _entered(self, member: Member) -> None:
        self.members[member.name] = member
        group = member.group
        assert self.fingerprints.setdefault(group.epoch, fingerprint(group)) == fingerprint(group)

    # What devices do

    @rule(by=NUMBERS)
    def speak(self, by: int) -> None:
        member = self._member(by)
        body = b"message %d" % len(self.log)
        epoch = member.group.epoch
        after, data = speak(member.group, body, entropy=drawn(member.name, len(self.log)))
        member.keep(after)
        self.log.append(Sent(data, epoch, member.name, body))

    @rule(by=NUMBERS, invite=st.booleans(), out=st.none() | NUMBERS)
    def commit(self, by: int, *, invite: bool, out: int | None) -> None:
        self._commit(self._member(by), invite=invite, out=out)

    def _commit(self, member: Member, *, invite: bool = False, out: int | None = None) -> None:
        """Only the first commit of an epoch counts; a member that lags behind makes one in vain."""
        group = member.group
        places = [place for place, _ in group.tree.members() if place != group.me]
        invite = invite and len(places) + 1 < MOST_DEVICES
        removed = [places[out % len(places)]] if out is not None and places else []
        invited = device(self._name(), change=self._alive) if invite else None
        staged = commits.make(
            group,
            add=[invited.package] if invited else [],
            remove=removed,
            rules=self._rules(),
            entropy=drawn(member.name, "commit", len(self.log)),
        )
        told = welcome.make(staged) if invited else b""
        number = len(self.log)
        member.keep(staged.group)
        member.own[number] = staged.next
        self.log.append(Sent(staged.message, group.epoch, member.name, invited=invited, welcome=told))
        if group.epoch not in self.first:
            self.first[group.epoch] = number
            if invited:
                name = invited.package.leaf.identity.decode()
                self._entered(Member(name, welcome.join(told, invited, self._rules(), accept=accept)))

    def _alive(self, leaf: LeafNode) -> LeafNode:
        return replace(leaf, lifetime=(self.now - 60, self.now + 86_400))

    # What the hub does

    @rule(seconds=st.integers(1, 2 * PAST_S))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(to=NUMBERS, number=NUMBERS)
    def deliver(self, to: int, number: int) -> None:
        """In any order, once or again."""
        if self.log:
            self._deliver(self._member(to), number % len(self.log))

    @rule(to=NUMBERS)
    def deliver_all(self, to: int) -> None:
        self._in_order(self._member(to))

    def _in_order(self, member: Member) -> None:
        for number in range(len(self.log)):
            if member.name in self.members:
                self._deliver(member, number)

    def _deliver(self, member: Member, number: int) -> None:
        sent, group = self.log[number], member.group
        if not sent.body and sent.epoch == group.epoch and self.first[sent.epoch] != number:
            return  # The hub's order is its own: the first of an epoch comes before all others.
        if not self._readable(member, number):
            self._refused(member, sent.data)
        elif sent.maker == member.name:
            self._keep(member, entered_after(group, member.own[number], now=self.now))
        else:
            after, heard = hear(group, sent.data, self._rules())
            member.heard.add(number)
            if isinstance(heard, Followed):
                self._keep(member, after)
            else:
                assert after is not None
                assert heard.body == sent.body
                assert group.tree.leaf(heard.sender) is not None or group.past is not None
                member.keep(after)

    def _readable(self, member: Member, number: int) -> bool:
        sent, epoch = self.log[number], member.group.epoch
        if not sent.body:
            return sent.epoch == epoch
        if sent.maker == member.name or number in member.heard:
            return False
        late = member.entered_at is not None and self.now <= member.entered_at + PAST_S and sent.epoch == epoch - 1
        stays = any(leaf.identity == sent.maker.encode() for _, leaf in member.group.tree.members())
        return sent.epoch == epoch or (late and stays)

    def _keep(self, member: Member, group: Group | None) -> None:
        if group is None:
            self.gone[member.name] = self.members.pop(member.name)
            return
        member.entered_at = self.now
        member.keep(group)
        self._entered(member)

    def _refused(self, member: Member, data: bytes) -> None:
        before = member.group
        with pytest.raises(MeshError):
            hear(before, data, self._rules())
        assert msgspec.msgpack.encode(before) == member.vault

    # What attackers do

    @rule(to=NUMBERS, number=NUMBERS, at=NUMBERS, mask=st.integers(1, 255))
    def tamper(self, to: int, number: int, at: int, mask: int) -> None:
        if self.log:
            data = bytearray(self.log[number % len(self.log)].data)
            data[at % len(data)] ^= mask
            self._refused(self._member(to), bytes(data))

    @rule(to=NUMBERS, number=NUMBERS, size=NUMBERS, junk=st.binary(max_size=40))
    def cut(self, to: int, number: int, size: int, junk: bytes) -> None:
        if self.log:
            data = self.log[number % len(self.log)].data
            self._refused(self._member(to), data[: size % len(data)] + junk)

    @rule(to=NUMBERS, by=NUMBERS)
    def speak_for_another(self, to: int, by: int) -> None:
        place, liar = self._member(to).group.me, self._member(by)
        if place != liar.group.me and liar.group.tree.leaf(place) is not None:
            self._refuse_all(liar, spoken_as(liar.group, place, liar.group.seed, liar.group.signer))

    @rule(by=NUMBERS)
    def commit_to_another_epoch(self, by: int) -> None:
        """Everybody drops it, and goes on with the next good commit."""
        liar = self._member(by)
        staged = commits.make(liar.group, rules=self._rules(), entropy=drawn("bogus", len(self.log)))
        bogus = committed(staged.group, Commit((), commit_of(staged, liar.group).path))
        self._refuse_all(liar, bogus)

    @rule(by=NUMBERS)
    def smuggle_a_device_in(self, by: int) -> None:
        liar = self._member(by)
        if sum(1 for _ in liar.group.tree.members()) < MOST_DEVICES:
            stranger = device("stranger", change=self._alive).package
            staged = commits.make(liar.group, add=[stranger], rules=rules(now=self.now), entropy=drawn("stranger"))
            self._refuse_all(liar, staged.message)

    def _refuse_all(self, liar: Member, data: bytes) -> None:
        for member in self.members.values():
            if member is not liar:
                self._refused(member, data)

    @rule()
    def read_on_after_removal(self) -> None:
        for member in self.gone.values():
            for sent in self.log:
                if sent.epoch > member.group.epoch:
                    self._refused(member, sent.data)

    # What holds

    @invariant()
    def members_of_an_epoch_agree(self) -> None:
        for member in self.members.values():
            group = member.group
            assert fingerprint(group) == self.fingerprints[group.epoch]
            assert group.epoch <= len(self.first)

    def teardown(self) -> None:
        """Nobody is blocked: all catch up, and each hears each."""
        for member in [*self.members.values()]:
            self._in_order(member)
        assert {member.group.epoch for member in self.members.values()} <= {len(self.first)}
        for number, member in enumerate([*self.members.values()]):
            self.speak(number)
            for other in self.members.values():
                if other is not member:
                    assert self._readable(other, len(self.log) - 1)
                    self._deliver(other, len(self.log) - 1)


def play(*, examples: int, steps: int, derandomize: bool) -> None:
    run_state_machine_as_test(
        Hub,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.mark.slow
def test_no_hub_splits_or_blocks_a_group() -> None:
    play(examples=60, steps=30, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_hub_splits_or_blocks_a_group_in_many_more_ways() -> None:
    play(examples=500, steps=60, derandomize=False)
