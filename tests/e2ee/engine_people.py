"""Devices of two people, the session engine with their checks, and what tests do with it."""

import itertools
from typing import NamedTuple

import pytest

from protocol import contexts
from protocol.e2ee.crypto import CheckMember, Event, Member, Own, Received
from protocol.e2ee.mls.engine import MlsCrypto, Session
from protocol.e2ee.mls.suites import X25519
from protocol.errors import MeshError, UnverifiedError
from tests.protocol.e2ee.people import ACCEPTED, MENTEE, MENTOR, NOW, OTHER_HASH, STRANGER, THREAD, Person, seed

# Groups with few operations are cheap in the classical suite; what is said of one engine holds for both.
ENGINE = MlsCrypto(X25519)
CONTEXT = contexts.session(thread=THREAD, accepted=ACCEPTED, consent=OTHER_HASH)
OTHER_CONTEXT = contexts.session(thread=THREAD, accepted=OTHER_HASH, consent=OTHER_HASH)
DRAWS = (seed(f"draw {number}") for number in itertools.count())


class Device(NamedTuple):
    own: Own
    package: bytes

    @property
    def name(self) -> str:
        return self.own.device.public.text


def device(person: Person, number: int = 1, *, engine: MlsCrypto = ENGINE) -> Device:
    entropy = seed(f"{person.name} {number}")
    return Device(*engine.prepare(person.key(number), person.certificate(number), now=NOW, entropy=entropy))


ADA, ADA_PHONE = device(MENTEE), device(MENTEE, 2)
CEM, CEM_PHONE = device(MENTOR), device(MENTOR, 2)
EVE = device(STRANGER)
CHECKED = {one.name for one in (ADA, ADA_PHONE, CEM, CEM_PHONE)}


def check(member: Member) -> None:
    if member.device not in CHECKED:
        raise UnverifiedError("not checked", code="unknown-member")


def group(*others: Device, context: bytes = CONTEXT, engine: MlsCrypto = ENGINE, start: Device = CEM) -> list[Session]:
    """Return the states of the one who starts, and of the others, who join."""
    packages = [other.package for other in others]
    state, welcome = engine.start(start.own, packages, context=context, check=check, now=NOW, entropy=next(DRAWS))
    return [state, *(engine.join(one.own, welcome, context=context, check=check, now=NOW) for one in others)]


def say(state: Session, text: bytes = b"hello") -> tuple[Session, bytes]:
    return ENGINE.encrypt(state, text, entropy=next(DRAWS))


def hear(state: Session, data: bytes, *, now: int = NOW, check: CheckMember = check) -> tuple[Session, Event]:
    return ENGINE.receive(state, data, check=check, now=now)


def read(state: Session, data: bytes, *, now: int = NOW) -> tuple[Session, bytes]:
    state, event = hear(state, data, now=now)
    assert isinstance(event, Received)
    return state, event.frame


def change(state: Session, *, add: tuple[bytes, ...] = (), remove: tuple[str, ...] = ()) -> tuple[Session, bytes]:
    return ENGINE.change(state, add=add, remove=remove, check=check, now=NOW, entropy=next(DRAWS))


def refused(state: Session, data: bytes, code: str = "", *, now: int = NOW) -> None:
    """Assert that the message is refused by name and that the state is as it was."""
    before = ENGINE.dump(state)
    with pytest.raises(MeshError) as caught:
        hear(state, data, now=now)
    assert caught.value.code not in ("error", "refused", "unverified", "malformed")
    assert code in ("", caught.value.code)
    assert ENGINE.dump(state) == before


def join(welcome: bytes, *, own: Own = ADA.own, now: int = NOW) -> Session:
    return ENGINE.join(own, welcome, context=CONTEXT, check=check, now=now)
