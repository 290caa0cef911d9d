"""Who may be in the group of a session: only devices that were traced to one of its two people."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cli.client.core import ENGINE
from cli.client.epochs import renewed
from cli.client.keychecks import UnprovenError
from cli.client.members import checked
from cli.client.siblings import alone
from cli.client.views import Devices, Shown
from protocol.devices import MAX_DEVICE_LIFETIME_S
from protocol.e2ee.crypto import Change, CheckMember, Member
from protocol.e2ee.frames import Chat, Frame, encode_frame
from protocol.e2ee.keys import AccountSecret, DeviceSecret, certify
from protocol.encoding import b64, sha256
from protocol.envelope import Envelope, EnvelopeHeader
from protocol.errors import UnverifiedError
from protocol.ids import message_id

from .pair import NOW, Pair, seed

OTHER = b64(sha256(b"another audience"))


def opened() -> Pair:
    pair = Pair()
    pair.until_open()
    return pair


def member(account: AccountSecret, device: DeviceSecret, audience: str, *, now: int = NOW) -> Member:
    certificate = certify(account, device, audience=audience, now=now)
    return Member(device=device.key(audience).public.text, certificate=certificate)


def check_of(pair: Pair, *, known: tuple[str, ...] = (), now: int = NOW, later: bool = False) -> CheckMember:
    """Return what the mentor's device checks members by."""
    record = pair.record(by_mentor=True)
    return checked(pair.mentor, record, peer=record.peer_identity, known=known, now=now, later=later)


def hers(pair: Pair) -> Member:
    return member(pair.mentee.account_secret, pair.mentee.device_secret, pair.audience)


def test_the_two_checked_devices_pass() -> None:
    pair = opened()
    check_of(pair, known=(hers(pair).device,))(hers(pair))
    check_of(pair)(member(pair.mentor.account_secret, pair.mentor.device_secret, pair.audience))


WRONG: dict[str, Callable[[Pair], Member]] = {
    "somebody else": lambda pair: member(AccountSecret(seed("x")), DeviceSecret(seed("x")), pair.audience),
    "for another audience": lambda pair: member(pair.mentee.account_secret, pair.mentee.device_secret, OTHER),
    "not valid yet": lambda pair: member(
        pair.mentee.account_secret, pair.mentee.device_secret, pair.audience, now=NOW + 400
    ),
    "expired": lambda pair: member(
        pair.mentee.account_secret, pair.mentee.device_secret, pair.audience, now=NOW - MAX_DEVICE_LIFETIME_S
    ),
    "another key than the certificate's": lambda pair: replace(
        hers(pair), device=DeviceSecret(seed("x")).key(pair.audience).public.text
    ),
    "no certificate": lambda pair: replace(hers(pair), certificate=""),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("later", [False, True])
def test_a_device_that_is_not_traced_to_one_of_the_two_is_refused(name: str, later: bool) -> None:
    pair = opened()
    wrong = WRONG[name](pair)
    with pytest.raises(UnverifiedError) as caught:
        check_of(pair, known=(wrong.device,), later=later)(wrong)
    assert caught.value.code == "unknown-member"


def test_at_the_start_a_further_device_of_the_right_person_is_refused_all_the_same() -> None:
    pair = opened()
    further = member(pair.mentee.account_secret, DeviceSecret(seed("phone")), pair.audience)
    with pytest.raises(UnverifiedError) as caught:
        check_of(pair, known=(hers(pair).device,))(further)
    assert caught.value.code == "unknown-member"


def brought(pair: Pair) -> tuple[DeviceSecret, Envelope, Envelope]:
    """Return a second device of the mentee, the commit that brings it in, and a message from it."""
    phone = DeviceSecret(seed("phone"))
    key, certificate = (
        phone.key(pair.audience),
        certify(pair.mentee.account_secret, phone, audience=pair.audience, now=NOW),
    )
    own, package = ENGINE.prepare(key, certificate, now=NOW, entropy=seed("package"))
    group = ENGINE.load(pair.mentee.sessions[pair.thread].state)
    group, commit = ENGINE.change(group, add=[package], check=lambda _: None, now=NOW, entropy=seed("commit"))
    _, change = ENGINE.receive(group, commit, check=lambda _: None, now=NOW)
    assert isinstance(change, Change)
    context = _context(pair)
    joined = ENGINE.join(own, change.welcome, context=context, check=lambda _: None, now=NOW)
    frame = encode_frame(Frame(id="A" * 22, at=NOW, content=Chat(text="from my phone")))
    _, message = ENGINE.encrypt(joined, frame, entropy=seed("message"))
    return phone, _envelope(pair, "commit", commit, 1), _envelope(pair, "message", message, 2)


def _context(pair: Pair) -> bytes:
    group = ENGINE.load(pair.mentee.sessions[pair.thread].state).group
    assert group is not None
    return group.context.extensions[0].data


def _envelope(pair: Pair, kind: str, ciphertext: bytes, epoch: int) -> Envelope:
    pair.number += 1
    made = message_id(NOW * 1000, seed(f"envelope {pair.number}")[:10])
    header = EnvelopeHeader(
        mid=made,
        id=made,
        thread=pair.thread,
        side="consumer",
        kind="commit" if kind == "commit" else "message",
        epoch=epoch,
        seq=pair.number,
        number=pair.number,
    )
    return Envelope(header=header, ciphertext=ciphertext)


def test_a_device_that_comes_later_is_looked_up_first_and_then_speaks_for_its_person() -> None:
    pair = opened()
    phone, commit, message = brought(pair)
    before = pair.mentor
    with pytest.raises(UnprovenError) as caught:
        pair.hear(commit, by_mentor=True)
    assert pair.mentor == before
    listed = phone.key(pair.audience).public.text
    assert (caught.value.origin, caught.value.devices) == (pair.aurora.entity, frozenset({listed}))
    ((place, proven),) = pair.mentor.proven.items()
    pair.mentor = replace(pair.mentor, proven={place: replace(proven, devices=(*proven.devices, listed))})
    assert pair.hear(commit, by_mentor=True) == [Devices(thread=pair.thread, joined=1)]
    (shown,) = pair.hear(message, by_mentor=True)
    assert isinstance(shown, Shown)
    assert (shown.from_role, shown.text) == ("mentee", "from my phone")


def test_who_takes_another_master_key_takes_their_other_devices_out_of_the_session() -> None:
    pair = opened()
    pair.outgoing(by_mentor=False)
    phone = DeviceSecret(seed("phone")).key(pair.audience)
    certificate = certify(pair.mentee.account_secret, DeviceSecret(seed("phone")), audience=pair.audience, now=NOW)
    _, package = ENGINE.prepare(phone, certificate, now=NOW, entropy=seed("package"))
    session = pair.mentee.session(pair.thread)
    group, commit = ENGINE.change(
        ENGINE.load(session.state), add=[package], check=lambda _: None, now=NOW, entropy=seed("commit")
    )
    group, _ = ENGINE.receive(group, commit, check=lambda _: None, now=NOW)
    pair.mentee = pair.mentee.with_session(replace(session, state=ENGINE.dump(group)))
    state = alone(pair.mentee, thread=pair.thread, now=NOW)
    assert state.session(pair.thread).leaving == (phone.public.text,)
    pair.keep(renewed(pair.core, replace(state, account_seed=seed("another")), pair.thread), by_mentor=False)
    (out,) = pair.outgoing(by_mentor=False)
    (event,) = pair.hear(out, by_mentor=False)
    assert isinstance(event, Devices)
    assert event.left == 1
    assert len(ENGINE.members(ENGINE.load(pair.mentee.session(pair.thread).state))) == 2
    assert alone(pair.mentee, thread="unknown", now=NOW) == pair.mentee
