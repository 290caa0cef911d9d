"""@hpke/core with X-Wing and our own HPKE open what the other sealed, and derive the same keys (RFC 9180, X-Wing)."""

import pytest

from protocol.e2ee.mls.errors import DecryptError
from protocol.e2ee.mls.suites import X25519, X_WING, Suite
from protocol.sealing import PrivateSealingKey
from tests.e2ee.groups import drawn

from .node_counterpart import ask_node

pytestmark = pytest.mark.slow

SUITES = pytest.mark.parametrize("suite", [X25519, X_WING], ids=["x25519", "x-wing"])
INFO = b"what it is for"
PLAIN = b"half an hour on Thursday"


def ask(what: str, suite: Suite, **rest: bytes | int) -> object:
    told = {name: value.hex() if isinstance(value, bytes) else value for name, value in rest.items()}
    return ask_node("hpke.cjs", {"do": what, "suite": suite.number, **told})


@SUITES
def test_both_derive_the_same_keys(suite: Suite) -> None:
    ikm = drawn("ikm", suite.number)
    private, public = suite.kem.derive(ikm)
    assert ask("derive", suite, ikm=ikm) == {"private": private.hex(), "public": public.hex()}


@SUITES
@pytest.mark.parametrize("plain", [b"", PLAIN, bytes(5000)], ids=["nothing", "a line", "5 kB"])
def test_each_opens_what_the_other_sealed(suite: Suite, plain: bytes) -> None:
    private, public = suite.kem.derive(drawn("key", suite.number))
    theirs = ask("seal", suite, public=public, info=INFO, plain=plain)
    assert isinstance(theirs, str)
    assert suite.kem.open(private, INFO, bytes.fromhex(theirs)) == plain
    ours = suite.kem.seal(public, INFO, plain)
    assert len(ours) == len(theirs) // 2
    size = suite.kem.encapsulated_bytes
    assert ask("open", suite, private=private, info=INFO, sealed=ours, encapsulated=size) == plain.hex()


@SUITES
def test_neither_opens_for_another_use(suite: Suite) -> None:
    private, public = suite.kem.derive(drawn("key", suite.number))
    theirs = ask("seal", suite, public=public, info=INFO, plain=PLAIN)
    assert isinstance(theirs, str)
    with pytest.raises(DecryptError):
        suite.kem.open(private, b"another use", bytes.fromhex(theirs))
    ours = suite.kem.seal(public, INFO, PLAIN)
    size = suite.kem.encapsulated_bytes
    answer = ask("open", suite, private=private, info=b"another use", sealed=ours, encapsulated=size)
    assert answer == {"error": "OpenError"}


def test_what_a_library_seals_for_a_person_opens_with_their_sealing_key() -> None:
    key = PrivateSealingKey(drawn("person"))
    sealed = ask("seal", X_WING, public=key.public.raw, info=INFO, plain=PLAIN)
    assert isinstance(sealed, str)
    assert key.open(bytes.fromhex(sealed), INFO) == PLAIN
