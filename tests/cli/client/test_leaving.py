"""From one employer to another as the same person: the file, the node that was left, and who recognizes whom."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from msgspec.structs import replace

from cli.client import leaving as module
from cli.client import recovery, unlock
from cli.client.api import NodeApi
from cli.client.archived import sessions_of
from cli.client.http import Http
from cli.client.leaving import luggage_of, read_luggage, take_out, unpacked, write_luggage
from cli.client.newkeys import known_as
from cli.client.person import Person
from cli.client.records import Contact
from cli.client.unlock import create_vault
from cli.client.views import Moved
from federation.ports import where
from federation.rows import KeyEntryRow
from node.rows import SafeRow
from node.services.erasure import Cell, PersonExport, Section
from node.services.members import Members
from protocol.e2ee.frames import Chat, Name
from protocol.e2ee.recovery import DamagedBundleError
from protocol.e2ee.recovery_slots import WeakPassphraseError
from protocol.e2ee.vault import DamagedVaultError, WrongKeyError
from protocol.encoding import sha256
from protocol.errors import MissingError, UnverifiedError

from .recovering import two_ways
from .test_archive import ends
from .test_commands import Home
from .test_masterkey import KEYS, ben, knowing, record
from .world import PASSPHRASE, QUICK, Company, companies, members

ENTROPY: Final = sha256(b"words of the tests")
SENTENCE: Final = "otter plays seven drums before noon"


@pytest.fixture
async def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Company]]:
    monkeypatch.setattr(recovery.Recovery.__init__, "__kwdefaults__", {"cost": QUICK})
    monkeypatch.setattr(unlock.create_vault, "__kwdefaults__", {"cost": QUICK})
    monkeypatch.setattr(module.write_luggage, "__kwdefaults__", {"cost": QUICK})
    monkeypatch.setenv("MENTORMESH_PASSPHRASE", PASSPHRASE)
    async with companies(tmp_path, "aurora", "cobalt") as made:
        yield made


async def lets_go(company: Company, name: str) -> None:
    """Have the organization's file say that somebody left."""
    people: Members = company.node.people.members
    rows = [row for row in members(16, "aurora").decode().splitlines() if not row.startswith(f"{name},")]
    await people.apply(await people.plan("\r\n".join((*rows, "")).encode()))


def arrives(folder: Path, luggage_file: Path) -> Person:
    state = unpacked(read_luggage(luggage_file, SENTENCE))
    return Person(create_vault(folder, state, passphrase=PASSPHRASE, cost=QUICK))


@pytest.mark.slow
@pytest.mark.system
async def test_a_person_begins_at_another_organization_as_the_same_person(two: list[Company]) -> None:
    aurora, cobalt = two
    file = aurora.folder / "luggage"
    async with aurora.person("aurora1") as ana:
        await two_ways(ana)
        ana.archive.turn(on=True)
        await ends(ana, "Ben", Chat(text="kept words"))
        before = ana.state
        with pytest.raises(WeakPassphraseError):
            write_luggage(file, luggage_of(before, "", now=1), "short")
        write_luggage(file, luggage_of(before, "", now=1), SENTENCE)
        assert b"kept words" not in file.read_bytes()
        assert file.stat().st_mode & 0o777 == 0o600
        await ana.api.erase()
        async with aurora.store.read() as reader:
            labels = [before.account_secret.label(one) for one in before.audiences]
            for label in labels:
                assert await reader.find(KeyEntryRow, where(label=label)) == []
    async with arrives(aurora.folder / "moved", file) as moved:
        done = await moved.sign_in(await cobalt.link("cobalt1"), name="Ana")
        assert done.first_device
        assert moved.state.account_secret.master().public == before.account_secret.master().public
        assert moved.state.device_seed != before.device_seed
        assert [one.name for one in moved.state.contacts] == ["Ben"]
        assert [one.name for one in sessions_of(moved.state)] == ["Ben"]
        assert not {moved.state.account_secret.label(one) for one in moved.state.audiences[:1]} & set(labels[:1])


@pytest.mark.slow
@pytest.mark.system
async def test_who_left_takes_their_things_out_with_recovery_words_until_they_are_forgotten(two: list[Company]) -> None:
    aurora, _ = two
    async with aurora.person("aurora1") as ana, Http() as http:
        await two_ways(ana)
        ana.archive.turn(on=True)
        await ends(ana, "Ben", Chat(text="one"))
        await ends(ana, "Cleo", Chat(text="two"))
        await ana.archive.push()
        url, seed = ana.state.signed_in.url, ana.state.account_seed
        await lets_go(aurora, "aurora1")
        with pytest.raises(UnverifiedError):
            await ana.api.me()
        luggage, export, warnings = await take_out(http, url, ENTROPY)
        assert warnings == []
        assert unpacked(luggage).account_seed == seed
        assert {one.name for one in luggage.book.contacts} == {"Ben", "Cleo"}
        assert len(luggage.sessions) == 2
        assert {section.table for section in export.sections} >= {"member", "safe", "enrolment"}
        with pytest.raises(MissingError, match="of nobody"):
            await take_out(http, url, sha256(b"other words"))
        await one_item_is_damaged(aurora, http, url)
        await aurora.node.people.erasure.forget_leavers(days=0)
        with pytest.raises(MissingError, match="of nobody"):
            await take_out(http, url, ENTROPY)


async def one_item_is_damaged(aurora: Company, http: Http, url: str) -> None:
    async with aurora.store.write() as tx:
        items = [row for row in await tx.find(SafeRow) if row.name not in {"recovery", "archive"}]
        await tx.put(replace(items[0], data=items[0].data[:-1] + b"x"))
    luggage, _, warnings = await take_out(http, url, ENTROPY)
    assert len(warnings) == 1
    assert bool(luggage.book.contacts) + len(luggage.sessions) == 2


async def test_a_node_that_shows_rows_of_another_form_gives_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def shown(_api: NodeApi, locator: str) -> PersonExport:
        del locator
        rows: tuple[dict[str, Cell], ...] = ({}, {"name": "recovery"})
        return PersonExport(exported_at=1, sections=(Section(table="safe", purposes={}, rows=rows),))

    monkeypatch.setattr(NodeApi, "take_out", shown)
    async with Http() as http:
        with pytest.raises(DamagedBundleError):
            await take_out(http, "https://aurora.example", ENTROPY)


def test_a_damaged_file_or_another_passphrase_loses_nothing(tmp_path: Path) -> None:
    state = knowing(ben(thread="AAAAAAAAAAAAAAAAAAAAAA"))
    file = tmp_path / "luggage"
    write_luggage(file, luggage_of(state, "", now=1), SENTENCE, cost=QUICK)
    data = file.read_bytes()
    with pytest.raises(WrongKeyError):
        read_luggage(file, SENTENCE + "!")
    for wrong in (data[:-1], data[:40] + b"x" + data[41:], b""):
        file.write_bytes(wrong)
        with pytest.raises(DamagedVaultError):
            read_luggage(file, SENTENCE)
    file.write_bytes(data)
    assert unpacked(read_luggage(file, SENTENCE)).contacts == state.contacts


def test_contacts_recognize_who_moved_by_the_master_key() -> None:
    told = Name(name="Ben", master_key=KEYS[0].public.text, identity="x" * 100)
    state, (event,) = known_as(knowing(ben()), record("https://new.example"), told, now=1)
    assert isinstance(event, Moved)
    assert (event.before, event.entity) == ("https://b.example", "https://new.example")
    (contact,) = state.contacts
    assert isinstance(contact, Contact)
    assert (contact.entity, contact.master_key) == ("https://new.example", KEYS[0].public.text)


@pytest.mark.slow
@pytest.mark.system
async def test_leaving_and_moving_are_typed(two: list[Company]) -> None:
    aurora, cobalt = two
    ana = await Home(aurora, "aurora1").sign_in()
    words = await ana.read("person", "recovery", "words", "--show")
    secret, paper = ana.folder / "secret", ana.folder / "paper"
    secret.write_text(SENTENCE)
    paper.write_text(" ".join(words["words"]))
    given = ("--file-passphrase-file", str(secret))
    url = (await ana.read("person", "show"))["url"]
    taken = await ana.read(
        "person", "take-out", str(ana.folder / "out"), "--url", url, "--words-file", str(paper), *given
    )
    assert taken["contacts"] == 0
    asked = await ana.type("person", "leave", str(ana.folder / "luggage"), *given, "--erase", "--json")
    assert "say --yes" in asked.stderr
    await ana.done("person", "leave", str(ana.folder / "luggage"), *given, "--erase", "--yes")
    moved = Home(cobalt, "cobalt1")
    arrived = await moved.read("person", "move", str(ana.folder / "luggage"), await cobalt.link("cobalt1"), *given)
    assert (arrived["entity"], arrived["name"]) == (cobalt.entity, "Aurora1")
    again = await moved.type("person", "move", str(ana.folder / "luggage"), await cobalt.link("cobalt1"), *given)
    assert "holds a vault already" in again.stderr
