"""Several devices of one person in one session: linked while it is live, told what was said, taken out again."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client import linking as linking_module
from cli.client.api import NodeApi
from cli.client.core import ENGINE
from cli.client.handoff import frames_told
from cli.client.person import Person
from cli.client.sibling_records import JoiningRecord
from cli.client.siblings import _envelopes, held
from cli.client.unlock import create_vault, new_state
from cli.client.views import Arrived, Devices, Shown
from cli.client.words import content_line
from node.services.devices import EnrolledDevice
from protocol.e2ee.frames import Chat, Frame, Gone
from protocol.e2ee.keys import AccountSecret, DeviceSecret, PersonSealingKey, certify
from protocol.e2ee.siblings import MAX_ITEM_BYTES, Handoff, Invite, Told, Word, open_word, reader_of, seal_word
from protocol.encoding import b64, decode, encode, sha256
from protocol.envelope import Envelope, EnvelopeHeader, render_envelope
from protocol.errors import MalformedError, UnverifiedError
from protocol.ids import message_id
from protocol.sealing import SealingPublicKey
from tests.patience import PATIENCE_S

from .world import PASSPHRASE, PROMPTS, QUICK, Company, become_mentor, companies, happens, lists_something, meet, need

AUDIENCE = b64(sha256(b"audience"))
NOW = 1_800_000_000


async def linked(stack: AsyncExitStack, company: Company, owner: Person, member: str, name: str) -> Person:
    """Return a further device of a person."""
    vault = create_vault(company.folder / "clients" / name, new_state(), passphrase=PASSPHRASE, cost=QUICK)
    device = await stack.enter_async_context(Person(vault))
    waiting = await device.link(await company.link(member), hint=name)
    await asyncio.gather(waiting.finish(), owner.approve(waiting.code.code))
    await device.listed()
    return device


async def in_session(old: Person, new: Person, thread: str) -> None:
    """Return once `new` was brought into the session by `old`."""
    async with asyncio.timeout(PATIENCE_S):
        while thread not in new.state.sessions:
            await old.poll()
            await new.poll(wait_s=0.1)


async def in_step(people: tuple[Person, ...], thread: str) -> None:
    """Return once all are in one epoch: what is said behind a change that its sender has not seen is sent again."""
    async with asyncio.timeout(PATIENCE_S):
        while len({ENGINE.epoch(ENGINE.load(one.state.sessions[thread].state)) for one in people}) > 1:
            for one in people:
                await one.poll(wait_s=0.1)


def chats(person: Person, thread: str) -> list[tuple[str, bool]]:
    return [(one.text, one.mine) for one in person.session(thread).lines if one.kind == "chat"]


async def removal_elsewhere_reaches(
    mentor: Person, laptop: Person, thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Return once a removal that no member made reached the session; a node that only hides a device removes none."""

    async def hiding(audience: str) -> tuple[EnrolledDevice, ...]:
        del audience
        return ()

    with monkeypatch.context() as hidden:
        hidden.setattr(NodeApi, "siblings", lambda _api, audience: hiding(audience))
        mentor._loop.look_for_siblings()
        await mentor._loop._siblings.turn()
    assert mentor.state.sessions[thread].leaving == ()
    (lost,) = [one.device for one in (await mentor.api.me()).devices if one.hint == "tablet"]
    await mentor.api.remove_device(lost)
    async with asyncio.timeout(PATIENCE_S):
        while len(ENGINE.members(ENGINE.load(laptop.state.sessions[thread].state))) != 2:
            mentor._loop.look_for_siblings()
            await mentor.poll(wait_s=0.1)
            await laptop.poll(wait_s=0.1)
    assert len(ENGINE.members(ENGINE.load(mentor.state.sessions[thread].state))) == 2


@pytest.mark.slow
@pytest.mark.system
async def test_every_device_of_both_people_reads_and_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking_module, "LOOK_EVERY_S", 0.02)
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt),
        aurora.person("aurora1") as laptop,
        cobalt.person("cobalt1") as mentor,
        AsyncExitStack() as stack,
    ):
        await become_mentor(mentor)
        await lists_something(laptop)
        await laptop.ask(need())
        thread = (await laptop.request(1, prompts=PROMPTS)).thread
        await happens(mentor, Arrived)
        await mentor.accept(thread)
        await meet(laptop, mentor)
        await laptop.send_chat(thread, "From the laptop")
        assert (await happens(mentor, Shown)).text == "From the laptop"
        await laptop.poll()

        phone, tablet = await asyncio.gather(
            linked(stack, aurora, laptop, "aurora1", "phone"), linked(stack, cobalt, mentor, "cobalt1", "tablet")
        )
        await asyncio.gather(in_session(laptop, phone, thread), in_session(mentor, tablet, thread))
        await in_step((laptop, phone, mentor, tablet), thread)
        assert (chats(phone, thread), chats(tablet, thread)) == (
            [("From the laptop", True)],
            [("From the laptop", False)],
        )
        assert (phone.session(thread).name, tablet.session(thread).name) == ("cobalt1", "aurora1")
        assert len({one.state.sessions[thread].rejoin_key for one in (laptop, phone, mentor, tablet)} - {b""}) == 1
        assert {len(one.state.sessions[thread].asks) >= 3 for one in (phone, tablet)} == {True}
        assert {one.session(thread).safety for one in (phone, tablet)} == {laptop.session(thread).safety}
        await phone.send_chat(thread, "From the phone")
        for reader, role in ((mentor, "mentee"), (laptop, "mentee"), (tablet, "mentee")):
            shown = await happens(reader, Shown)
            assert (shown.text, shown.from_role) == ("From the phone", role)
        assert chats(laptop, thread) == [("From the laptop", True), ("From the phone", True)]
        await tablet.send_chat(thread, "From the mentor's tablet")
        for reader in (laptop, phone, mentor):
            assert (await happens(reader, Shown)).text == "From the mentor's tablet"
        assert chats(mentor, thread)[-1] == ("From the mentor's tablet", True)
        assert chats(phone, thread)[-1] == ("From the mentor's tablet", False)
        await mentor.send_chat(thread, "To all")
        for reader in (laptop, phone, tablet):
            assert (await happens(reader, Shown)).text == "To all"

        # The phone is lost: a device that remains takes it out of account, session and directory.
        (lost,) = [one.device for one in (await laptop.api.me()).devices if one.hint == "phone"]
        await laptop.remove_device(lost)
        while not (await happens(mentor, Devices)).left:
            pass  # those who came
        async with asyncio.timeout(PATIENCE_S):  # the change comes back to the laptop through two nodes
            while len(ENGINE.members(ENGINE.load(laptop.state.sessions[thread].state))) != 3:
                await laptop.poll(wait_s=0.1)
        await mentor.send_chat(thread, "Without the phone")
        assert (await happens(laptop, Shown)).text == "Without the phone"
        with pytest.raises(UnverifiedError, match="this device was removed") as told:
            await phone.poll()
        assert told.value.code == "device-removed"
        assert "Without the phone" not in [text for text, _ in chats(phone, thread)]

        await removal_elsewhere_reaches(mentor, laptop, thread, monkeypatch)

        # What a sibling was told stands nowhere at the node in clear, and is told once.
        assert laptop.state.words == phone.state.words == ()
        assert phone.state.joining == {}


# What one device tells another


LAPTOP, PHONE = DeviceSecret(sha256(b"laptop")), DeviceSecret(sha256(b"phone"))
ACCOUNT = AccountSecret(sha256(b"account"))
KEY = PersonSealingKey(sha256(b"sealing"))
THREAD = b64(sha256(b"thread")[:16])


def word(to: SealingPublicKey = KEY.public, *, account: AccountSecret = ACCOUNT, audience: str = AUDIENCE) -> bytes:
    said = Word(thread=THREAD, at=NOW, content=Invite())
    certificate = certify(account, LAPTOP, audience=audience, now=NOW)
    return seal_word(said, to, LAPTOP.key(audience), certificate, audience=audience)


def read(item: bytes, *, now: int = NOW) -> Word:
    return open_word(item, KEY, ACCOUNT.identity(AUDIENCE).public, audience=AUDIENCE, now=now).word


def test_a_word_says_who_said_it_and_opens_for_its_reader_only() -> None:
    item = word()
    heard = open_word(item, KEY, ACCOUNT.identity(AUDIENCE).public, audience=AUDIENCE, now=NOW)
    assert (heard.device, heard.word.content) == (LAPTOP.key(AUDIENCE).public, Invite())
    for foreign in (
        word(PersonSealingKey(sha256(b"another")).public),
        word(account=AccountSecret(sha256(b"a stranger"))),
        word(audience=b64(sha256(b"another audience"))),
    ):
        with pytest.raises(UnverifiedError):
            read(foreign)
    with pytest.raises(UnverifiedError, match="expired"):
        read(item, now=NOW + 401 * 86_400)


def test_a_changed_or_cut_word_is_refused() -> None:
    item = word()
    for place in (0, 40, 1200, len(item) - 1):
        with pytest.raises(UnverifiedError):
            read(item[:place] + bytes([item[place] ^ 1]) + item[place + 1 :])
    for bad in (b"", item[:1100], bytes(MAX_ITEM_BYTES + 1)):
        with pytest.raises(MalformedError):
            reader_of(bad)
    with pytest.raises(UnverifiedError):
        read(item + b"x")


def told(*frames: str) -> Handoff:
    """Return a handoff with frames as another device keeps them."""
    return Handoff(
        role="mentee",
        consumer="https://aurora.example",
        provider="https://cobalt.example",
        context=AUDIENCE,
        welcome="AA",
        number=3,
        peer_identity=AUDIENCE,
        peer_devices=(AUDIENCE,),
        agreement="",
        attested="device",
        format="call",
        ends_at=NOW,
        frames=tuple(Told(number=at, sender=AUDIENCE, frame=text) for at, text in enumerate(frames, 1)),
    )


def test_what_a_sibling_with_a_newer_program_kept_is_shown_as_such() -> None:
    said = Frame(id=b64(bytes(16)), at=NOW, content=Chat(text="as before"))
    head = f'"id":"{b64(bytes(15) + b"1")}"'
    newer = f'{{"at":{NOW},"content":{{"shape":"cube","type":"hologram"}},{head}}}'
    later = f'{{"at":{NOW},"content":{{"mood":"calm","text":"x","type":"chat"}},{head},"v":9}}'
    vanished = Frame(id=b64(bytes(15) + b"2"), at=NOW, content=Gone())
    records = frames_told(told(encode(said).decode(), newer, later, encode(vanished).decode()), now=NOW)
    frames = [decode(one.frame, Frame) for one in records]
    assert frames[0] == said
    shown = [content_line(one.content)[1] for one in frames[1:3]]
    assert ["hologram" in shown[0], "chat" in shown[1]] == [True, True]
    assert all("cannot show yet: update it" in one for one in shown)
    assert frames[3] == vanished


@pytest.mark.parametrize("junk", ["", "{}", '{"at":1}', "[]", "nonsense"])
def test_a_handoff_with_something_that_is_no_frame_is_refused(junk: str) -> None:
    with pytest.raises(MalformedError):
        frames_told(told(junk), now=NOW)


def test_junk_that_comes_before_the_handoff_is_not_kept_and_not_in_the_way() -> None:
    thread = b64(bytes(16))
    joining = JoiningRecord(audience=AUDIENCE, own_secret=bytes(32), since=NOW)
    state = replace(new_state(), joining={thread: joining})
    name = message_id(NOW, bytes(10))
    header = EnvelopeHeader(mid=name, id=name, thread=thread, side="consumer", kind="message", epoch=1, seq=1)
    envelope = render_envelope(Envelope(header=header, ciphertext=b"x" * 64))
    with pytest.raises(MalformedError):
        held(state, thread, b"junk")
    assert held(state, thread, envelope).joining[thread].held == (envelope,)
    # A vault of before kept junk as well.
    assert [one.header.id for one in _envelopes((b"junk", envelope, b""))] == [header.id]
