"""Every kind of message with one bit changed, cut, or one byte longer: all refused, and the genuine one still accepted.

Messages are changed on the wire, as a relay could, and inside, as a member or an inviter could who encrypts again what
it changed. The sample of every run is drawn evenly over all places; the long test takes every byte and every length.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import pytest
from msgspec.structs import replace

from protocol.e2ee.mls import welcome
from protocol.e2ee.mls.codec import Reader, vector, whole
from protocol.e2ee.mls.framing import APPLICATION, Content, Signed, sign_content
from protocol.e2ee.mls.group import hear
from protocol.e2ee.mls.nodes import KeyPackage, read_key_package
from protocol.e2ee.mls.schedule import welcome_secret
from protocol.e2ee.mls.state import Group
from protocol.e2ee.mls.suites import X25519, X_WING, Suite
from protocol.e2ee.mls.welcome import GroupSecrets, Newcomer, Welcome
from protocol.errors import MeshError

from .groups import accept, begun, committed, device, opened, rules, said, sealed, staged

SUITES = pytest.mark.parametrize("suite", [X25519, X_WING], ids=["x25519", "x-wing"])
MASKS: Final = (0x01, 0x80)
#: Bytes of each message that are changed, and lengths that it is cut to, in the sample.
PLACES: Final = 130


class Target(msgspec.Struct, frozen=True):
    """A genuine message, what raises unless it is accepted, and the bytes of a state that must stay as they are."""

    name: str
    data: bytes
    take: Callable[[bytes], object]
    state: Callable[[], bytes] = lambda: b""


def changed(data: bytes, step: int) -> Iterator[bytes]:
    """Yield the message a little wrong."""
    for at in range(0, len(data), step):
        for mask in MASKS:
            yield data[:at] + bytes((data[at] ^ mask,)) + data[at + 1 :]
        yield data[:at]
    # Not a zero, which would be padding inside a message.
    yield data + b"\x01"


def targets(suite: Suite) -> Iterator[Target]:
    """Yield every kind of message of a group of four, with a member or newcomer that reads it."""
    ana, ben, *_ = begun("ana", "ben", "cid", "dan", suite=suite)
    yield from _talk(ana, ben)
    yield from _commits(ana, ben)
    yield from _packages(ana, device("eve", suite))
    yield from _welcomes(ana, device("eve", suite))


def _listener(group: Group) -> tuple[Callable[[bytes], object], Callable[[], bytes]]:
    return (lambda data: hear(group, data, rules())), (lambda: msgspec.msgpack.encode(group))


def _talk(ana: Group, ben: Group) -> Iterator[Target]:
    take, state = _listener(ben)
    _, data = said(ana, b"good morning")
    yield Target("application message", data, take, state)
    later, _ = hear(ben, staged(ana).message, rules())
    assert later is not None
    yield Target("application message of the epoch before", data, *_listener(later))

    class Inside(Signed, frozen=True):
        """Whose content and authentication are these bytes."""

        inside: bytes = b""

        def auth(self) -> bytes:
            return self.inside[len(vector(self.content.body)) :]

    def again(inside: bytes) -> object:
        body = Reader(inside, what="a body").vector()
        content = Content(ana.context.group_id, ana.epoch, ana.me, APPLICATION, body, ana.mark)
        return take(sealed(ana, Inside(content, b"", b"", inside)))

    signed = opened(data, ben)
    yield Target("application message inside", vector(signed.content.body) + signed.auth(), again, state)


def _commits(ana: Group, ben: Group) -> Iterator[Target]:
    take, state = _listener(ben)
    change = staged(ana, add=(device("fox", ana.suite),), remove=(2,))
    yield Target("commit", change.message, take, state)
    signed = opened(change.message, ben)

    def again(body: bytes) -> object:
        content = replace(signed.content, body=body)
        own = sign_content(content, ana.suite, (ana.seed, ana.signer), ana.encoded)
        return take(sealed(ana, Signed(content, signed.signature if body == signed.content.body else own, signed.tag)))

    yield Target("commit inside", signed.content.body, again, state)
    yield Target("confirmation tag", signed.tag, lambda tag: take(committed(ana, signed.content.body, tag=tag)), state)


def _packages(ana: Group, eve: Newcomer) -> Iterator[Target]:
    def take(data: bytes) -> object:
        package: KeyPackage = whole(data, read_key_package, what="a key package")
        return staged(ana, add=(replace(eve, package=package),))

    yield Target("key package", eve.package.encoded(), take, lambda: msgspec.msgpack.encode(ana))


def _welcomes(ana: Group, eve: Newcomer) -> Iterator[Target]:
    suite = ana.suite
    change = staged(ana, add=(eve,))
    data = welcome.make(change)

    def take(data: bytes) -> object:
        return welcome.join(data, eve, rules(), accept=accept)

    yield Target("welcome", data, take)
    told = welcome.parse_welcome(data)
    [(name, box)] = told.secrets
    plain = suite.open_with(eve.init, b"Welcome", told.group_info, box)
    secrets = whole(plain, welcome.read_group_secrets, what="group secrets")
    key, nonce = welcome._info_key(suite, welcome_secret(suite, secrets.joiner, suite.zero))
    info = suite.decrypt(key, nonce, told.group_info, b"")

    def invited(plain: bytes, info: bytes) -> bytes:
        sealed_info = suite.encrypt(key, nonce, info, b"")
        box = suite.seal_to(eve.package.init_key, b"Welcome", sealed_info, plain)
        return Welcome(suite.number, ((name, box),), sealed_info).encoded()

    yield Target("welcome: secrets inside", plain, lambda other: take(invited(other, info)))
    yield Target("welcome: group info inside", info, lambda other: take(invited(plain, other)))
    assert isinstance(secrets, GroupSecrets)


def refused(target: Target, *, step: int) -> int:
    """Return how many changed messages were refused, each by a named error; the state is as before."""
    before, count = target.state(), 0
    for data in changed(target.data, step):
        with pytest.raises(MeshError) as caught:
            target.take(data)
        assert caught.value.code not in {"error", "refused", "unverified", "malformed"}
        count += 1
    assert target.state() == before
    target.take(target.data)
    return count


def refuse_all(suite: Suite, *, places: int, capsys: pytest.CaptureFixture[str]) -> int:
    """Return how many changed messages of all kinds were refused; print it by kind."""
    counts = {each.name: refused(each, step=max(1, -(-len(each.data) // places))) for each in targets(suite)}
    with capsys.disabled():
        kinds = ", ".join(f"{name} {count}" for name, count in counts.items())
        sys.stdout.write(f"\n{suite}: {sum(counts.values())} changed messages refused, 0 accepted ({kinds})\n")
    return sum(counts.values())


@pytest.mark.slow
@SUITES
def test_a_changed_message_of_any_kind_is_refused_and_the_genuine_one_is_not(
    suite: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refuse_all(suite, places=PLACES, capsys=capsys) >= 2500


@pytest.mark.long
@pytest.mark.timeout(3600)
@SUITES
def test_every_byte_and_every_length_of_every_kind_counts(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert refuse_all(suite, places=1 << 20, capsys=capsys) >= 10_000
