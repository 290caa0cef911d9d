"""Coming back after the loss of every device, and what a node that lies about the recovery copy achieves."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.api import NodeApi
from cli.client.core import fresh_id
from cli.client.records import Outgoing
from cli.client.recovery import Passphrase, Words, read_copy
from cli.person_access import Terminal
from federation.ports import where
from node.rows import MailRow, SafeRow
from protocol.e2ee.recovery import DamagedBundleError
from protocol.e2ee.recovery_slots import WeakPassphraseError
from protocol.e2ee.vault import WrongKeyError
from protocol.encoding import sha256
from protocol.errors import MissingError, RefusedError, UnavailableError, UnverifiedError

from .recovering import ENTROPY, SENTENCE, another
from .test_commands import Home
from .world import Company, companies

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.usefixtures("quick")]


async def planted(company: Company, data: bytes | None) -> None:
    """Let the node keep something else in place of the recovery copy, or nothing."""
    async with company.store.write() as tx:
        (row,) = await tx.find(SafeRow, where(name="recovery"))
        await tx.delete(SafeRow, where(name="recovery"))
        if data is not None:
            await tx.insert(replace(row, data=data, version=row.version + 1))


async def gone(_self: NodeApi, _said: object) -> None:
    """Stand for a call to a node that is away."""
    raise UnavailableError("away")


async def test_a_new_device_comes_back_by_words_and_the_lost_ones_are_out(tmp_path: Path) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, _),
        aurora.person("aurora1") as lost,
        another(aurora, "later") as later,
    ):
        await lost.recovery.add_words(ENTROPY)
        before = lost.state
        await later.recovery.begin(await aurora.link("aurora1"))
        fresh = later.state
        with pytest.raises(WrongKeyError, match="these words do not open"):
            await later.recovery.restore(Words(sha256(b"other words")))
        with pytest.raises(RefusedError, match="opens in another way"):
            await later.recovery.restore(Passphrase(SENTENCE))
        assert later.state == fresh
        done = await later.recovery.restore(Words(ENTROPY), hint="new laptop")
        assert (done.name, done.removed, done.synced.warnings) == ("aurora1", 1, ())
        assert later.state.account_secret.master().public == before.account_secret.master().public
        assert set(later.state.audiences) == set(before.audiences)
        assert len(before.audiences) == 2
        (device,) = (await later.api.me()).devices
        assert (device.hint, device.this) == ("new laptop", True)
        with pytest.raises(UnverifiedError):
            await lost.api.me()
        assert [one.kind for one in await later.recovery.slots()] == ["words"]
        async with aurora.store.read() as reader:
            waiting = [mail.notice for mail in await reader.find(MailRow)]
        mailed = [file.read_text() for file in (aurora.folder / "nodes" / "aurora" / "mail").glob("*.eml")]
        assert any('"regained":true' in one for one in waiting) or any("recovered" in one for one in mailed)
        await later.listed()


async def test_a_restore_that_was_interrupted_goes_on(aurora: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    async with aurora.person("aurora1") as lost, another(aurora, "later") as later:
        await lost.recovery.add_passphrase(SENTENCE)
        await later.recovery.begin(await aurora.link("aurora1"))
        with monkeypatch.context() as away:
            away.setattr(NodeApi, "enrol", gone)
            with pytest.raises(UnavailableError):
                await later.recovery.restore(Passphrase(SENTENCE))
        assert (await later.recovery.restore(Passphrase(SENTENCE))).removed == 1
        assert later.state.recovery is not None
        assert not later.state.recovery.regaining
        with pytest.raises(RefusedError, match="is a device already"):
            await later.recovery.restore(Passphrase(SENTENCE))


async def test_what_a_restore_left_undone_is_done_by_the_next_command(
    aurora: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aurora.person("aurora1") as lost, another(aurora, "later") as later:
        await lost.recovery.add_passphrase(SENTENCE)
        await later.recovery.begin(await aurora.link("aurora1"))
        with monkeypatch.context() as away:
            away.setattr(NodeApi, "remove_device", gone)
            with pytest.raises(UnavailableError):
                await later.restore(Passphrase(SENTENCE))
            await later.poll()
            assert len((await later.api.me()).devices) == 2
        # A look at the ways back ends nothing.
        assert [one.kind for one in await later.recovery.slots()] == ["passphrase"]
        assert len((await later.api.me()).devices) == 2
        await later.poll()
        (device,) = (await later.api.me()).devices
        assert device.this
        with pytest.raises(UnverifiedError):
            await lost.api.me()
        assert await later.recovery.finish() is None
        assert not later.state.returning


async def test_a_node_that_shows_an_older_a_changed_or_no_copy_is_noticed(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        await ana.recovery.add_words(ENTROPY)
        assert ana.state.recovery is not None
        older = ana.state.recovery.bundle
        await ana.recovery.add_passphrase(SENTENCE)
        newest = ana.state.recovery.bundle
        for shown, what in ((older, "an older"), (newest[:-9] + b"AAAAAAAA}", "a changed"), (None, "lost your")):
            await planted(aurora, shown)
            assert {one.kind for one in await ana.recovery.slots()} == {"words", "passphrase"}
            assert what in ana.recovery.warnings.pop()
            assert (await ana.api.sealed("recovery")).data == (await ana.api.sealed("recovery")).data
            async with aurora.store.read() as reader:
                assert [row.data for row in await reader.find(SafeRow)] == [newest]


async def test_a_copy_that_this_account_did_not_make_is_not_replaced_by_accident(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        await ana.recovery.add_words(ENTROPY)
        await planted(aurora, b"{}")
        ana._core.vault.update(lambda state: replace(state, recovery=None))
        with pytest.raises(DamagedBundleError, match="this account did not make"):
            await ana.recovery.add_words(ENTROPY)


async def test_slots_are_replaced_by_kind_and_the_last_one_stays(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        assert await ana.recovery.slots() == ()
        with pytest.raises(MissingError, match="no recovery copy yet"):
            await ana.recovery.save(aurora.folder / "copy")
        with pytest.raises(WeakPassphraseError):
            await ana.recovery.add_passphrase("too short")
        await ana.recovery.add_words(ENTROPY)
        await ana.recovery.add_words(sha256(b"newer words"))
        (slot,) = await ana.recovery.slots()
        with pytest.raises(RefusedError, match="the last way back"):
            await ana.recovery.remove(slot.slot)
        with pytest.raises(MissingError):
            await ana.recovery.remove("nothing")
        await ana.recovery.add_passphrase(SENTENCE)
        before = ana.state.recovery
        await ana.recovery.remove(slot.slot)
        assert [one.kind for one in await ana.recovery.slots()] == ["passphrase"]
        # The program ended after the node had the copy and before the vault had it: what was removed stays removed.
        ana._core.vault.update(lambda state: replace(state, recovery=before))
        assert [one.kind for one in await ana.recovery.slots()] == ["passphrase"]
        assert ana.recovery.warnings == []


async def test_a_saved_copy_serves_where_the_node_lost_its_own(aurora: Company) -> None:
    copy = aurora.folder / "copy"
    async with aurora.person("aurora1") as lost, another(aurora, "later") as later:
        await lost.recovery.add_words(ENTROPY)
        await lost.recovery.save(copy)
        assert copy.stat().st_mode & 0o777 == 0o600
        await planted(aurora, None)
        await later.recovery.begin(await aurora.link("aurora1"))
        with pytest.raises(MissingError, match="has no recovery copy"):
            await later.recovery.restore(Words(ENTROPY))
        copy.with_suffix(".cut").write_bytes(copy.read_bytes()[:-1])
        with pytest.raises(DamagedBundleError):
            read_copy(copy.with_suffix(".cut"))
        done = await later.recovery.restore(Words(ENTROPY), copy=read_copy(copy))
        assert "lost your recovery copy" in done.synced.warnings[0]
        assert (await later.api.sealed("recovery")).version == 1


async def test_a_copy_of_somebody_else_opens_nothing_here(aurora: Company) -> None:
    async with (
        aurora.person("aurora1") as ana,
        aurora.person("aurora2") as ben,
        another(aurora, "later") as later,
    ):
        await ana.recovery.add_words(ENTROPY)
        await ben.recovery.add_words(ENTROPY)
        await ben.recovery.save(aurora.folder / "ben")
        await later.recovery.begin(await aurora.link("aurora1"))
        with pytest.raises(UnverifiedError):
            await later.recovery.restore(Words(ENTROPY), copy=read_copy(aurora.folder / "ben"))
        assert [one.this for one in (await ana.api.me()).devices] == [True]


async def test_a_sign_in_link_alone_neither_speaks_in_a_session_nor_closes_it(aurora: Company) -> None:
    async with aurora.person("aurora1"), another(aurora, "reader of mail") as reader:
        await reader.sign_in(await aurora.link("aurora1"), only_data=True)
        for kind in ("message", "commit", "close"):
            said = Outgoing(id=reader._core.envelope_id(), kind=kind, ciphertext=b"junk", epoch=1)
            with pytest.raises(RefusedError) as refused:
                await reader.api.envelope(fresh_id(), "consumer", said)
            assert refused.value.code == "no-device"


async def test_recovery_is_typed(aurora: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = await Home(aurora, "aurora1").sign_in()
    alone = await ana.type("person", "recovery", "words", "--json")
    assert "say --show" in alone.stderr
    words = await ana.read("person", "recovery", "words", "--show")
    secret = ana.folder / "secret"
    secret.write_text(SENTENCE)
    await ana.done("person", "recovery", "passphrase", "--recovery-passphrase-file", str(secret))
    secret.write_text("password")
    weak = await ana.type("person", "recovery", "passphrase", "--recovery-passphrase-file", str(secret))
    assert "could guess at it" in weak.stderr
    listed = await ana.read("person", "recovery", "list")
    assert {one["kind"] for one in listed} == {"words", "passphrase"}
    await ana.done("person", "recovery", "save", str(ana.folder / "copy"))
    later = Home(aurora, "later")
    paper = aurora.folder / "paper"
    paper.write_text("\n".join(words["words"][:-1]))
    link = await aurora.link("aurora1")
    missing = await later.type("person", "recovery", "restore", link, "--words-file", str(paper))
    assert "recovery words are 33 words, and these are 32" in missing.stderr
    paper.write_text("\n".join(words["words"]))
    done = await later.read("person", "recovery", "restore", "--words-file", str(paper))
    assert done["removed"] == 1
    slot = next(one["slot"] for one in listed if one["kind"] == "words")
    assert "change-master-key" in await later.done("person", "recovery", "remove", slot)
    monkeypatch.setattr(Terminal, "can_ask", property(lambda _self: True))
    wrong = await later.type("person", "recovery", "words", typed="\nwrong\nwrong\n")
    assert "nothing was set" in wrong.stderr
    assert len(await later.read("person", "recovery", "list")) == 1
    assert len(re.findall(r"\d+\. [a-z]+", wrong.stderr)) == 33
    assert done["entity"] == aurora.entity
