"""An MLS group in which our members and those of ts-mls sit together, and see the same after every step."""

from random import Random
from typing import Any, Final

from msgspec.structs import replace

from protocol.e2ee.mls import commits, welcome
from protocol.e2ee.mls.codec import u16
from protocol.e2ee.mls.commits import Rules
from protocol.e2ee.mls.framing import KEY_PACKAGE_MESSAGE, open_message
from protocol.e2ee.mls.group import hear, speak
from protocol.e2ee.mls.nodes import KeyPackage, LeafNode, read_key_package
from protocol.e2ee.mls.profile import VERSION
from protocol.e2ee.mls.schedule import export
from protocol.e2ee.mls.state import Group, agreement_of, alone, fingerprint
from protocol.e2ee.mls.suites import Suite
from protocol.e2ee.mls.welcome import Newcomer
from tests.e2ee.groups import AGREED, accept, device, drawn, rules

from .node_counterpart import Conversation

OURS: Final = "ours"
THEIRS: Final = "theirs"
LIFE_S: Final = 86_400
LABEL: Final = "mixed group"
CONTEXT: Final = b"of both"
#: 2.0.0-rc.10 wants one list of unmerged leaves on a whole path, RFC 9420 §12.4.3.1 each leaf in the nodes between.
UNMERGED: Final = "must list leaf node in its unmerged_leaves"


def read_package(data: bytes) -> KeyPackage:
    """Return the key package of an MLSMessage."""
    reader = open_message(data, KEY_PACKAGE_MESSAGE, what="a key package")
    package = read_key_package(reader)
    reader.end()
    return package


def write_package(package: KeyPackage) -> bytes:
    """Return a key package as an MLSMessage."""
    return u16(VERSION) + u16(KEY_PACKAGE_MESSAGE) + package.encoded()


class Refused(Exception):  # noqa: N818 -- what the counterpart answers, not a mistake
    """The counterpart refused."""


class MixedGroup:
    """A group begun by one of ours or theirs; `places` are the leaves of all members, by name."""

    def __init__(self, node: Conversation, suite: Suite, *, first: str, now: int, salt: object = 0) -> None:
        self.ours: Final[dict[str, Group]] = {}
        self.theirs: Final[set[str]] = set()
        self.places: Final[dict[str, int]] = {}
        self._node: Final = node
        self._suite: Final = suite
        self._rules: Final[Rules] = rules(now=now)
        self._salt: Final = (suite.number, salt)
        #: How many of theirs refused a welcome that ours accepted.
        self.left_outside = 0
        self._outside: list[str] = []
        self._count = 0
        name = self._new_name(first)
        self.places[name] = 0
        if first == OURS:
            own = self._our_device(name)
            self.ours[name] = alone(
                suite,
                own.package.leaf,
                private=own.private,
                seed=own.seed,
                agreement=AGREED,
                entropy=drawn(name, "group"),
            )
        else:
            self._prepared(name)
            self.ask("create", name=name, group=drawn(name, "group")[:16].hex(), agreement=AGREED.hex())
            self.theirs.add(name)

    @property
    def names(self) -> list[str]:
        """All members, in the order of their places."""
        return sorted(self.places, key=lambda name: self.places[name])

    def ask(self, what: str, **rest: object) -> dict[str, Any]:
        """Return the counterpart's answer. Raises: Refused."""
        answer: dict[str, Any] = self._node.ask({"do": what, **rest})
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def commit(self, by: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> list[str]:
        """Make a commit, let everybody follow and newcomers join, compare; return the newcomers' names."""
        newcomers = {self._new_name(kind): kind for kind in add}
        devices = {name: self._our_device(name) for name, kind in newcomers.items() if kind == OURS}
        packages = [
            write_package(devices[name].package) if kind == OURS else self._prepared(name)
            for name, kind in newcomers.items()
        ]
        change, told = self.staged(by, packages, remove)
        self._follow(by, change, remove)
        for name in remove:
            self.ours.pop(name, None)
            self.theirs.discard(name)
            del self.places[name]
        self._outside = [name for name in self._outside if name not in remove]
        for name, kind in newcomers.items():
            self.places[name] = min(set(range(len(self.places) + 1)) - set(self.places.values()))
            if kind == OURS:
                self.ours[name] = welcome.join(told, devices[name], self._rules, accept=accept)
            else:
                self._join(name, told)
        self.compare()
        self._help_outside(by)
        return [name for name in newcomers if name in self.places]

    def _join(self, name: str, told: bytes) -> None:
        """Let one of theirs join; the one refusal that we know of ts-mls leaves it outside."""
        try:
            self.ask("join", name=name, welcome=told.hex())
            self.theirs.add(name)
        except Refused as refusal:
            if UNMERGED not in str(refusal):
                raise
            self._outside.append(name)
            self.left_outside += 1

    def _help_outside(self, by: str) -> None:
        """Remove who could not join, by one of ours."""
        if self._outside and not self.ours:
            self.commit(by, add=(OURS,))
        elif self._outside:
            self.commit(next(iter(self.ours)), remove=tuple(self._outside))

    def staged(self, by: str, packages: list[bytes], remove: tuple[str, ...]) -> tuple[bytes, bytes]:
        """Return a commit and its welcome; the commit counts for its maker already."""
        places = [self.places[name] for name in remove]
        if by in self.theirs:
            made = self.ask("commit", name=by, add=[each.hex() for each in packages], remove=places)
            self.ask("merge", name=by)
            return bytes.fromhex(made["commit"]), bytes.fromhex(made["welcome"])
        self._count += 1
        staged = commits.make(
            self.ours[by],
            add=[read_package(each) for each in packages],
            remove=places,
            rules=self._rules,
            entropy=drawn(by, self._count, "commit"),
        )
        self.ours[by] = staged.next
        return staged.message, welcome.make(staged) if packages else b""

    def package(self, kind: str) -> bytes:
        """Return the key package of a new device that is no member yet."""
        name = self._new_name(kind)
        return write_package(self._our_device(name).package) if kind == OURS else self._prepared(name)

    def _follow(self, by: str, change: bytes, remove: tuple[str, ...]) -> None:
        for name, group in [*self.ours.items()]:
            if name != by:
                after, _ = hear(group, change, self._rules)
                assert (after is None) is (name in remove)
                if after is not None:
                    self.ours[name] = after
        for name in self.theirs - {by, *remove}:
            self.ask("hear", name=name, message=change.hex())

    def say(self, by: str, *texts: str, order: Random | None = None) -> None:
        """Let a member say something and everybody else read it, each in an order of their own."""
        sent = {text: self._said(by, text) for text in texts}
        for name in set(self.places) - {by}:
            heard = [*texts]
            if order is not None:
                order.shuffle(heard)
            for text in heard:
                assert self._heard(name, sent[text]) == text

    def _said(self, by: str, text: str) -> bytes:
        if by in self.theirs:
            return bytes.fromhex(self.ask("say", name=by, text=text)["message"])
        self.ours[by], data = speak(self.ours[by], text.encode(), entropy=drawn(by, text))
        return data

    def _heard(self, name: str, data: bytes) -> str:
        if name in self.theirs:
            text: str = self.ask("hear", name=name, message=data.hex())["text"]
            return text
        after, spoken = hear(self.ours[name], data, self._rules)
        assert after is not None
        assert hasattr(spoken, "body")
        self.ours[name] = after
        return spoken.body.decode()

    def compare(self) -> None:
        """All members are in the same epoch: number, authenticator, agreement, and an exported secret."""
        views = [self.view(name) for name in sorted(self.theirs)] + [
            {
                "epoch": group.epoch,
                "authenticator": fingerprint(group).hex(),
                "agreement": agreement_of(group.context).hex(),
                "exported": export(group.suite, group.epoch_secrets, LABEL.encode(), CONTEXT, 32).hex(),
            }
            for group in self.ours.values()
        ]
        assert len(views) == len(self.places) - len(self._outside)
        assert all(view == views[0] for view in views), views
        for name, group in self.ours.items():
            assert group.me == self.places[name]

    def view(self, name: str) -> dict[str, Any]:
        """Return what one of theirs sees."""
        return self.ask("view", name=name, label=LABEL, context=CONTEXT.hex())

    def _new_name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}-{self._salt}"

    def _our_device(self, name: str) -> Newcomer:
        def alive(leaf: LeafNode) -> LeafNode:
            return replace(leaf, lifetime=(self._rules.now - 60, self._rules.now + LIFE_S))

        return device(name, self._suite, change=alive)

    def _prepared(self, name: str) -> bytes:
        now = self._rules.now
        made = self.ask("prepare", name=name, suite=self._suite.number, **{"from": now - 60, "until": now + LIFE_S})
        return bytes.fromhex(made["package"])
