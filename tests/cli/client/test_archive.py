"""The archive: what is kept when sessions end, what comes back on a new device, and what a lying node achieves."""

from functools import partial

import pytest
from msgspec.structs import replace

from cli.client.archived import sessions_of
from cli.client.person import Person
from cli.client.records import FrameRecord, SessionRecord, ThreadRecord
from cli.client.recovery import Words
from cli.client.remains import destroyed
from cli.client.state import ClientState, dump_state
from federation.ports import where
from node.rows import SafeRow
from protocol.addresses import audience_id
from protocol.e2ee.frames import Chat, Content, Frame, Takeaway
from protocol.encoding import b64, encode, sha256
from protocol.errors import MissingError, RefusedError
from protocol.signing import SigningKey

from .recovering import ENTROPY, SENTENCE, another, two_ways
from .test_commands import Home
from .world import Company

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.usefixtures("quick")]


def named(text: str) -> str:
    return b64(sha256(text.encode())[:16])


def talked(state: ClientState, name: str, *said: Content) -> ClientState:
    """Return the state in the middle of a session in which this device said something."""
    thread, entity = named(name), state.signed_in.entity
    record = ThreadRecord(
        thread=thread,
        role="mentee",
        consumer=entity,
        provider="https://cobalt.example",
        audience=audience_id(entity, "https://cobalt.example"),
        state="AGREED",
        updated_at=1,
        topic="mm:first-board-presentation",
    )
    frames = tuple(
        shown(number, Frame(id=named(f"{name} {number}"), at=number, content=content))
        for number, content in enumerate(said, 1)
    )
    session = SessionRecord(
        thread=thread,
        engine="mls-1",
        state=b"",
        frames=frames,
        name=name,
        master_key=SigningKey(sha256(b"master")).public.text,
    )
    return state.with_thread(record).with_session(session)


def shown(number: int, frame: Frame) -> FrameRecord:
    return FrameRecord(number=number, sender="own", frame=encode(frame))


async def ends(person: Person, name: str, *said: Content) -> str:
    """Let a session of this device end, and return its thread."""
    person._core.vault.update(lambda state: talked(state, name, *said))
    person._core.vault.update(lambda state: destroyed(state, named(name), now=person._core.now()))
    return named(name)


async def kept_at(company: Company) -> dict[str, SafeRow]:
    async with company.store.read() as reader:
        return {row.name: row for row in await reader.find(SafeRow)}


async def test_contacts_takeaways_and_archived_sessions_are_back_on_a_new_device(aurora: Company) -> None:
    async with aurora.person("aurora1") as lost, another(aurora, "later") as later:
        with pytest.raises(RefusedError, match="2 ways back"):
            lost.archive.turn(on=True)
        await ends(lost, "Ben", Chat(text="not kept"), Takeaway(text="Bad news first."))
        await two_ways(lost)
        lost.archive.turn(on=True)
        thread = await ends(lost, "Cleo", Chat(text="kept words"), Takeaway(text="Ask early."))
        assert await lost.archive.push()
        assert not await lost.archive.push()
        stored = await kept_at(aurora)
        assert len(stored) == 4
        assert {len(row.data) for name, row in stored.items() if name != "recovery"} == {4096 + 16 + 40}
        assert b"kept words" not in b"".join(row.data for row in stored.values())
        await later.recovery.begin(await aurora.link("aurora1"))
        done = await later.restore(Words(ENTROPY))
        assert done.synced.warnings == ()
        state = later.state
        assert {one.name for one in state.contacts} == {"Ben", "Cleo"}
        assert {one.text for one in state.takeaways} == {"Bad news first.", "Ask early."}
        (kept,) = sessions_of(state)
        assert (kept.thread, kept.name) == (thread, "Cleo")
        assert [one.text for one in kept.said if one.kind == "chat"] == ["kept words"]
        assert not await later.archive.push()


async def test_a_session_that_nobody_chose_to_keep_leaves_no_words(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        await two_ways(ana)
        await ends(ana, "Ben", Chat(text="canary words"))
        ana._core.vault.update(lambda state: talked(state, "Cleo", Chat(text="chosen words")))
        ana.archive.turn(on=True, thread=named("Cleo"))
        ana.archive.turn(on=True)
        ana._core.vault.update(lambda state: talked(state, "Dan", Chat(text="spared words")))
        ana.archive.turn(on=False, thread=named("Dan"))
        assert (ana.archive.keeps(named("Cleo")), ana.archive.keeps(named("Dan"))) == (True, False)
        with pytest.raises(MissingError):
            ana.archive.turn(on=True, thread=named("nobody"))
        for name in ("Cleo", "Dan"):
            ana._core.vault.update(partial(destroyed, thread=named(name), now=9))
        assert [one.name for one in sessions_of(ana.state)] == ["Cleo"]

        assert b"canary words" not in dump_state(ana.state)
        assert b"spared words" not in dump_state(ana.state)


async def test_what_was_deleted_stays_deleted(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana, another(aurora, "later") as later:
        await two_ways(ana)
        ana.archive.turn(on=True)
        first, second = await ends(ana, "Ben", Chat(text="one")), await ends(ana, "Cleo", Chat(text="two"))
        await ana.archive.push()
        older = await kept_at(aurora)
        await ana.archive.delete(first)
        with pytest.raises(MissingError, match="archive has no session"):
            await ana.archive.delete(first)
        assert len(await kept_at(aurora)) == len(older) - 1
        await later.recovery.begin(await aurora.link("aurora1"))
        await later.restore(Words(ENTROPY))
        assert [one.thread for one in sessions_of(later.state)] == [second]


async def test_an_older_changed_or_lost_archive_is_told_and_stored_again(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        await two_ways(ana)
        ana.archive.turn(on=True)
        await ends(ana, "Ben", Chat(text="one"))
        await ana.archive.push()
        older = (await kept_at(aurora))["archive"]
        await ends(ana, "Cleo", Chat(text="two"))
        await ana.archive.push()
        newest = (await kept_at(aurora))["archive"]
        changed = replace(newest, data=newest.data[:-1] + b"x")
        for shown, what in ((older, "an older archive"), (changed, "a changed archive"), (None, "lost your archive")):
            async with aurora.store.write() as tx:
                await tx.delete(SafeRow, where(name="archive"))
                if shown is not None:
                    await tx.insert(replace(shown, version=newest.version + 5))
            await ana.archive.pull()
            assert what in ana.archive.warnings.pop()
            assert await ana.archive.push()
            assert len(await kept_at(aurora)) == 5
            newest = (await kept_at(aurora))["archive"]


async def test_one_damaged_item_costs_one_session_and_the_rest_comes_back(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana, another(aurora, "later") as later:
        await two_ways(ana)
        ana.archive.turn(on=True)
        for name in ("Ben", "Cleo"):
            await ends(ana, name, Chat(text=name), Takeaway(text=f"of {name}"))
            await ana.archive.push()
        items = [row for name, row in (await kept_at(aurora)).items() if name not in {"recovery", "archive"}]
        sessions = sorted(items, key=lambda row: row.data)
        async with aurora.store.write() as tx:
            for row in sessions[:2]:  # exchanged for one another
                other = sessions[1] if row is sessions[0] else sessions[0]
                await tx.put(replace(row, data=other.data))
        await later.recovery.begin(await aurora.link("aurora1"))
        done = await later.restore(Words(ENTROPY))
        assert len(done.synced.warnings) == 2
        assert all("could not be read" in one for one in done.synced.warnings)


async def test_two_devices_keep_what_both_archived(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana, another(aurora, "copy") as copy:
        await two_ways(ana)
        ana.archive.turn(on=True)
        await ana.archive.push()
        copy._core.vault.update(lambda _state: ana.state)
        await ends(copy, "Ben", Chat(text="there"))
        await ends(ana, "Cleo", Chat(text="here"))
        await copy.archive.push()
        await ana.archive.push()
        await copy.archive.pull()
        for one in (ana, copy):
            assert {kept.name for kept in sessions_of(one.state)} == {"Ben", "Cleo"}
            assert {contact.name for contact in one.state.contacts} == {"Ben", "Cleo"}


async def test_own_devices_tell_each_other_what_one_person_keeps_without_any_way_back(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana, another(aurora, "copy") as copy:
        ana._core.vault.update(lambda state: talked(state, "Ben", Chat(text="words of a session")))
        await ana.keep()
        assert await kept_at(aurora) == {}  # nobody could read it
        ana.archive.shared(shared=True)
        copy._core.vault.update(lambda _state: ana.state)
        ana.note_privately(named("Ben"), "canary note")
        ana.block(named("Ben"))
        master = ana.state.session(named("Ben")).master_key
        ana._core.vault.update(lambda state: replace(state, verified={master: 7}))
        await ana.keep()
        stored = await kept_at(aurora)
        assert len(stored) == 2
        assert b"canary" not in b"".join(row.data for row in stored.values())
        await copy.keep(happened=False)
        (note,) = copy.state.session(named("Ben")).private
        assert note.text == "canary note"
        assert [one.master_key for one in copy.state.blocks] == [master]
        assert copy.state.verified == {master: 7}
        assert await kept_at(aurora) == stored  # the other device has nothing to add
        copy.unblock(1)
        await copy.keep()
        await ana.archive.push(look=True)
        assert (ana.state.blocks, copy.state.blocks) == ((), ())
        again = await kept_at(aurora)
        for one in (copy, ana, copy):
            assert not await one.archive.push(look=True)
        assert await kept_at(aurora) == again


async def test_what_one_device_did_while_it_took_in_the_others_is_stored_too(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana, another(aurora, "copy") as copy:
        await two_ways(ana)
        await ana.archive.push()
        copy._core.vault.update(lambda _state: ana.state)
        await ends(ana, "Ben", Takeaway(text="of this device"))
        await ends(copy, "Cleo", Takeaway(text="of that device"))
        await ana.keep()
        await copy.keep()
        await ana.archive.push(look=True)
        for one in (ana, copy):
            assert {line.text for line in one.state.takeaways} == {"of this device", "of that device"}
            assert not await one.archive.push(look=True)


async def test_two_devices_that_archive_one_session_agree_on_the_first_one(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana, another(aurora, "copy") as copy:
        await two_ways(ana)
        ana.archive.turn(on=True)
        await ana.archive.push()
        copy._core.vault.update(lambda _state: ana.state)
        await ends(ana, "Ben", Chat(text="there"), Takeaway(text="both keep it"))
        await ends(copy, "Ben", Chat(text="there"), Takeaway(text="both keep it"), Chat(text="later"))
        assert await ana.archive.push()
        assert not await copy.archive.push(look=True)
        assert not await ana.archive.push(look=True)
        assert [one.text for one in copy.state.takeaways] == ["both keep it"]
        assert len(copy.state.contacts) == 1


async def test_the_archive_is_typed(aurora: Company) -> None:
    ana = await Home(aurora, "aurora1").sign_in()
    refused = await ana.type("person", "archive", "on")
    assert "sessions are kept once there are 2 ways back, and you have 0" in refused.stderr
    await ana.read("person", "recovery", "words", "--show")
    secret = ana.folder / "secret"
    secret.write_text(SENTENCE)
    await ana.done("person", "recovery", "passphrase", "--recovery-passphrase-file", str(secret))
    assert "kept when they end" in await ana.done("person", "archive", "on")
    assert await ana.read("person", "archive", "show") == []
    missing = await ana.type("person", "archive", "show", "AAAAAA")
    assert "no such session" in missing.stderr
    assert "Nobody was proposed" in await ana.done("person", "archive", "shortlists")
    await ana.done("person", "archive", "export", str(ana.folder / "all.json"))
    assert (ana.folder / "all.json").stat().st_mode & 0o777 == 0o600
    assert await ana.read("person", "archive", "delete", "--all") == {"deleted": []}
    assert "What is in the archive stays" in await ana.done("person", "archive", "off")
