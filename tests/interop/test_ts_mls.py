"""ts-mls, the MLS of browsers, and our own sit in one group: whatever one does, the other follows (RFC 9420).

After every change all members have the same epoch authenticator, agreement and exported secret.
"""

import random
import time
from collections.abc import Iterator
from typing import Final

import pytest

from protocol.e2ee.mls.errors import CommitError
from protocol.e2ee.mls.group import hear
from protocol.e2ee.mls.state import fingerprint
from protocol.e2ee.mls.suites import X25519, X_WING, Suite
from tests.e2ee.groups import rules

from .mixed_group import OURS, THEIRS, MixedGroup, Refused
from .node_counterpart import Conversation, node_conversation

pytestmark = pytest.mark.slow

SUITES = pytest.mark.parametrize("suite", [X25519, X_WING], ids=["x25519", "x-wing"])
BOTH = pytest.mark.parametrize("first", [OURS, THEIRS])
KINDS: Final = (OURS, THEIRS)
#: ts-mls compares lifetimes with the real clock.
NOW: Final = int(time.time())
STEPS: Final = 12
MOST_MEMBERS: Final = 9


@pytest.fixture(scope="module")
def node() -> Iterator[Conversation]:
    with node_conversation("ts_mls.cjs") as conversation:
        yield conversation


@SUITES
@BOTH
def test_both_begin_join_add_update_and_remove(node: Conversation, suite: Suite, first: str) -> None:
    group = MixedGroup(node, suite, first=first, now=NOW, salt=("by hand", first))
    creator = group.names[0]
    other = THEIRS if first == OURS else OURS
    [second] = group.commit(creator, add=(other,))
    group.say(creator, "welcome")
    group.say(second, "thank you")
    group.commit(second)
    added = group.commit(second, add=(first, other))
    group.commit(creator)
    for name in group.names:
        group.say(name, "here I am", "and still")
        group.commit(name)
    ours = next(name for name in group.names if name in group.ours)
    group.commit(ours, remove=(next(name for name in added if name != ours),))
    group.commit(ours, add=(OURS, THEIRS, THEIRS))
    theirs = next(name for name in group.names if name in group.theirs)
    gone = tuple(name for name in group.names if name not in {ours, theirs})[:2]
    group.commit(theirs, remove=gone)
    group.say(ours, "two fewer")
    group.say(theirs, "so it is")


@SUITES
def test_a_removal_without_a_path_as_ts_mls_makes_it_is_refused_and_stops_nobody(
    node: Conversation, suite: Suite
) -> None:
    """RFC 9420 §12.4 demands a path of every commit that removes; 2.0.0-rc.10 makes one from two removals on."""
    group = MixedGroup(node, suite, first=OURS, now=NOW, salt="no path")
    ours, theirs, third = group.names[0], *group.commit(group.names[0], add=(THEIRS, OURS))
    made = group.ask("commit", name=theirs, add=[], remove=[group.places[third]])
    for name in (ours, third):
        with pytest.raises(CommitError, match="path"):
            hear(group.ours[name], bytes.fromhex(made["commit"]), rules(now=NOW))
    group.commit(ours, remove=(third,))
    group.say(theirs, "I never merged mine")


@SUITES
def test_a_path_that_ts_mls_seals_to_somebody_it_removes_is_refused(node: Conversation, suite: Suite) -> None:
    """RFC 9420 §7.6 leaves newcomers out of a path's recipients; 2.0.0-rc.10 seals to who had their places before."""
    group = MixedGroup(node, suite, first=OURS, now=NOW, salt="reused places")
    ours, theirs, *gone = group.names[0], *group.commit(group.names[0], add=(THEIRS, THEIRS, OURS))
    change, _ = group.staged(theirs, [group.package(kind) for kind in KINDS], tuple(gone))
    with pytest.raises(CommitError, match="sealed"):
        hear(group.ours[ours], change, rules(now=NOW))


@SUITES
def test_a_tree_with_unmerged_leaves_that_ts_mls_refuses_is_a_good_one_for_ours(
    node: Conversation, suite: Suite
) -> None:
    """Two lists of unmerged leaves may differ where they stand above each other, as in the official vectors."""
    group = MixedGroup(node, suite, first=OURS, now=NOW, salt="unmerged")
    first, *others = group.names[0], *group.commit(group.names[0], add=(OURS,) * 6)
    group.commit(others[3])
    assert group.left_outside == 0
    group.commit(first, add=(THEIRS,))
    assert group.left_outside == 1


@SUITES
def test_a_commit_that_empties_the_other_half_is_followed_by_ours_alone(node: Conversation, suite: Suite) -> None:
    """The root then gets no key (RFC 9420 §4.1.2); 2.0.0-rc.10 makes such commits and cannot follow its own."""
    group = MixedGroup(node, suite, first=OURS, now=NOW, salt="other half")
    first, second, ours, theirs = group.names[0], *group.commit(group.names[0], add=(THEIRS, OURS, THEIRS))
    change, _ = group.staged(theirs, [], (first, second))
    after, _ = hear(group.ours[ours], change, rules(now=NOW))
    assert after is not None
    assert fingerprint(after).hex() == group.view(theirs)["authenticator"]
    again = MixedGroup(node, suite, first=OURS, now=NOW, salt="its own")
    first, second, left, _ = again.names[0], *again.commit(again.names[0], add=(OURS, OURS, THEIRS))
    with pytest.raises(Refused, match="confirmation tag"):
        again.commit(left, remove=(first, second))


@SUITES
def test_what_is_changed_on_the_way_is_refused_by_ts_mls_too(node: Conversation, suite: Suite) -> None:
    group = MixedGroup(node, suite, first=OURS, now=NOW, salt="changed")
    ours, theirs = group.names[0], *group.commit(group.names[0], add=(THEIRS,))
    change, _ = group.staged(ours, [], ())
    for at in range(0, len(change), max(1, len(change) // 40)):
        changed = change[:at] + bytes((change[at] ^ 1,)) + change[at + 1 :]
        with pytest.raises(Refused):
            group.ask("hear", name=theirs, message=changed.hex())
    group.ask("hear", name=theirs, message=change.hex())
    group.compare()


def empties_a_half(group: MixedGroup, remove: list[str]) -> bool:
    left = [place for name, place in group.places.items() if name not in remove]
    return min(left) >= 1 << max(left).bit_length() - 1 > 0


def play(node: Conversation, suite: Suite, seed: int) -> None:
    """Draw a sequence of changes and talk, by members of both kinds, and compare after each."""
    drawn = random.Random(f"{suite.number} {seed}")
    group = MixedGroup(node, suite, first=drawn.choice(KINDS), now=NOW, salt=seed)
    group.commit(group.names[0], add=tuple(drawn.choices(KINDS, k=drawn.randint(1, 3))))
    for step in range(STEPS):
        by = drawn.choice(group.names)
        what = drawn.choice(("update", "change", "change", "talk", "talk"))
        if what == "talk":
            group.say(by, *(f"{step}.{number}" for number in range(drawn.randint(1, 4))), order=drawn)
            continue
        others = [name for name in group.names if name != by]
        room = MOST_MEMBERS - len(group.places)
        add = drawn.choices(KINDS, k=drawn.randint(0, min(2, room))) if what == "change" else []
        remove = drawn.sample(others, k=drawn.randint(0, min(2, len(others) - 1))) if what == "change" else []
        # The commits that ts-mls makes or follows wrongly, see above.
        if (by in group.theirs and (len(remove) == 1 or add)) or empties_a_half(group, remove):
            remove = []
        group.commit(by, add=tuple(add), remove=tuple(remove))


@SUITES
@pytest.mark.parametrize("seed", range(6))
def test_drawn_sequences_keep_all_members_in_one_epoch(node: Conversation, suite: Suite, seed: int) -> None:
    play(node, suite, seed)


@pytest.mark.long
@pytest.mark.timeout(1800)
@SUITES
def test_a_hundred_drawn_sequences_keep_all_members_in_one_epoch(node: Conversation, suite: Suite) -> None:
    for seed in range(100, 200):
        play(node, suite, seed)
