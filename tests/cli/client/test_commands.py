"""The commands as a person types them, against a real node: one sentence for each mistake, JSON for programs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

from cli.client import linking, unlock
from cli.client.person import Person
from cli.main import main
from protocol.errors import MissingError, RefusedError

from .world import PASSPHRASE, QUICK, Company, company

pytestmark = [pytest.mark.slow, pytest.mark.system]
ASK: Final = ("ask", "first board presentation", "--kind", "been-through", "--language", "en")


@pytest.fixture
async def aurora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Company]:
    monkeypatch.setattr(unlock.create_vault, "__kwdefaults__", {"cost": QUICK})
    monkeypatch.setenv("MENTORMESH_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("LANG", "C")
    async with company(tmp_path, "aurora") as made:
        yield made


class Home:
    """One person's folder and the commands typed in it."""

    def __init__(self, company: Company, name: str) -> None:
        self.company: Final = company
        self.name: Final = name
        self.folder: Final = company.folder / "homes" / name

    async def type(self, *words: str, typed: str | None = None) -> Result:
        """Run a command in a thread of its own, because the node answers in this one."""
        arguments = [*words, "--home", str(self.folder)]
        return await asyncio.to_thread(CliRunner().invoke, main, arguments, input=typed)

    async def done(self, *words: str, typed: str | None = None) -> str:
        """Return what a command that works prints."""
        result = await self.type(*words, typed=typed)
        assert result.exit_code == 0, result.output
        return result.stdout

    async def read(self, *words: str) -> Any:  # noqa: ANN401 -- JSON
        """Return the last JSON line that a command prints."""
        return json.loads((await self.done(*words, "--json")).splitlines()[-1])

    async def sign_in(self) -> "Home":
        await self.done("person", "sign-in", await self.company.link(self.name), "--name", self.name.title())
        return self


async def mentor(aurora: Company, name: str) -> Home:
    """Return somebody who mentors."""
    home = await Home(aurora, name).sign_in()
    topic = ("--topic", "mm:first-board-presentation", "--format", "call", "--length", "30")
    await home.done("mentor", "set", *topic, "--window", "mon-sun 0:00-24:00", "--approach", "listens-first")
    await home.done("mentor", "on", "--agree")
    assert "Others can check this device's keys." in await home.done("person", "sync", "--wait")
    return home


async def until_waiting(home: Home) -> list[dict[str, Any]]:
    """Return the requests that wait, as soon as there is one."""
    for _ in range(60):
        if waiting := await home.read("inbox"):
            return list(waiting)
    raise AssertionError("no request came")


async def until_open(home: Home, thread: str) -> None:
    for _ in range(60):
        if (await home.type("session", "show", thread)).exit_code == 0:
            return
    raise AssertionError("the session never opened")


async def until_shown(home: Home, thread: str, words: str) -> str:
    """Return what a session shows, as soon as `words` are in it."""
    for _ in range(60):
        if words in (read := await home.done("session", "show", thread)):
            return read
    raise AssertionError(f"{words} never came")


async def test_a_whole_session_is_typed(aurora: Company) -> None:
    ana, ben = await Home(aurora, "aurora1").sign_in(), await mentor(aurora, "aurora2")
    shown = await ana.done(*ASK)
    assert "1. Aurora Works (your company) · exact fit · senior · has been through it" in shown
    assert "has been through it; knows exactly this topic" in shown
    assert (await ana.done("candidates", "--lang", "de")).splitlines()[2].startswith("1. Aurora Works (deine Firma)")
    sent = await ana.done("request", "1", "--ask", "How do I begin?", "--about", "sector-h", "--slot", "2")
    assert sent.startswith("Sent to one person at Aurora Works.\n")
    assert "Answer by:" in sent
    (waiting,) = await until_waiting(ben)
    read = await ben.done("inbox")
    assert "Somebody in logistics chose you: has been through it." in read
    assert "1) How do I begin?" in read
    thread = waiting["thread"]
    await ben.done("accept", thread[:6])
    await until_open(ana, thread)
    await until_open(ben, thread)
    await chat(ana, ben, thread)


async def chat(ana: Home, ben: Home, thread: str) -> None:
    await ana.done("session", thread, typed="Hello Ben!\n/goal Three sentences\n/useful 7\n/useful 5\n/quit\n")
    read = await until_shown(ben, thread, "[useful]")
    assert "Aurora1: Hello Ben!" in read
    assert "Aurora1 [goal]: Three sentences" in read
    assert "Aurora1 [useful]: 5/5" in read
    assert await ben.done("session", "send", thread, "Hello", "Ana!") == "Sent.\n"
    await ben.done("session", "agenda", thread, "What happened=5", "Options=15")
    await ben.done("session", "action", thread, "Send the outline", "--owner", "mentor")
    await until_shown(ana, thread, "[action]")
    view = await ana.read("session", "show", thread)
    assert [(line["kind"], line["text"]) for line in view["lines"] if not line["mine"]][1:] == [
        ("chat", "Hello Ana!"),
        ("agenda", "What happened (5 min) · Options (15 min)"),
        ("action", "Send the outline (mentor)"),
    ]
    await more(ana, ben, thread)
    await ana.done("session", "again", thread, "yes")
    assert await ana.done("session", "close", thread) == "Closed on your side.\n"
    await ben.done("session", "again", thread, "no")
    assert await ben.done("session", "close", thread) == "The session is over, its keys are destroyed.\n"
    assert "over" in await ana.done("threads")
    assert (await ana.read("person", "show"))["takeaways"] == 3
    await ana.done("person", "block", "Aurora2")
    assert [one["by_person"] for one in await ana.read("person", "blocks")] == [True]
    await ana.done("person", "unblock", "1")
    assert "Nobody is blocked." in (await ana.type("person", "blocks")).stderr
    gone = await ana.type("session", "send", thread, "Still there?")
    assert gone.exit_code == 1
    assert gone.stderr.startswith("Error: this device has no such session")


async def more(ana: Home, ben: Home, thread: str) -> None:
    """Type what is not said as a line: notes for oneself, the clock, taking back, vanishing, files."""
    assert "only you" in await ana.done("session", "note", thread, "--private", "He is kind")
    await ben.done("session", "timer", thread, "start")
    await ben.done("session", "done", thread, "1")
    await ben.done("session", "send", thread, "Oops")
    assert "may have been read or copied" in await ben.done("session", "undo", thread)
    assert "Words vanish on both devices" in await ben.done("session", "vanish", thread, "--after-end", "1d")
    read = await until_shown(ana, thread, "Words vanish on both devices")
    for text in ("(taken back)", "[x] Send the outline", "its clock runs", "only you: He is kind"):
        assert text in read
    source, target = ana.folder.parent / "a.txt", ana.folder.parent / "got"
    source.write_text("a small file")
    target.mkdir(exist_ok=True)
    assert (await ana.done("session", "file", "send", thread, str(source))).startswith("Sent: a.txt, kept until ")
    await until_shown(ben, thread, "[file]")
    assert [one["name"] for one in await ben.read("session", "file", "list", thread)] == ["a.txt"]
    await ben.done("session", "file", "get", thread, "1", "--to", str(target))
    assert (target / "a.txt").read_text() == "a small file"
    again = await ben.type("session", "file", "get", thread, "a.txt", "--to", str(target))
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)
    await ana.done("session", "file", "delete", thread, "1")


async def test_a_no_is_typed_and_told(aurora: Company) -> None:
    ana, ben = await Home(aurora, "aurora1").sign_in(), await mentor(aurora, "aurora2")
    await ana.done(*ASK)
    await ana.done("request", "1", "--ask", "How do I begin?", "--no-backups")
    (waiting,) = await until_waiting(ben)
    await ben.done("decline", waiting["thread"], "--reason", "no-time", "--pause")
    assert "No request waits for your answer." in await ben.done("inbox")
    told = ""
    while "has no time at the moment" not in told:
        told = await ana.done("threads")
    assert "declined" in told
    assert "Paused until" in await ben.done("mentor", "show")


async def test_a_sign_in_that_fails_leaves_no_vault_and_one_that_works_keeps_it(aurora: Company) -> None:
    home = Home(aurora, "aurora1")
    link = await aurora.link("aurora1")
    await Home(aurora, "aurora3").done("person", "sign-in", link)
    result = await home.type("person", "sign-in", link)
    assert "this sign-in link was used or has expired" in result.stderr
    assert "Ask for another one" in result.stderr
    assert not (home.folder / "state.vault").exists()
    await home.type("person", "sign-in", await aurora.link("aurora2"))
    kept = (home.folder / "state.vault").read_bytes()
    assert "was used" in (await home.type("person", "sign-in", link)).stderr
    assert (home.folder / "state.vault").read_bytes() == kept


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("request", "7", "--ask", "Me?"), "name a person of the shortlist, 1 to 1"),
        (("request", "1"), "say at least what you would like to ask"),
        (("request", "1", "--ask", "x" * 601), "the brief takes 600 characters together; yours has 601"),
        (("request", "1", "--ask", "Me?", "--slot", "9"), "--slot takes 1 to 5"),
        (("request", "1", "--ask", "Me?", "--about", "Sector H"), "brief is not valid"),
        (("accept", "nothing"), "no thread of this device has this id"),
        (("session", "nothing"), "no thread of this device has this id"),
        (("ask",), "say in a few words what you need"),
        (("ask", "zzzzqqqq"), "no topic goes with these words"),
        (("ask", "--topic", "nonsense"), "a topic looks like mm:first-board-presentation"),
        (("ask", "--topic", "mm:no-such-topic"), "your node knows no topic mm:no-such-topic"),
        (("ask", *ASK[1:], "--window", "2026-11-26T18:00/2026-11-26T14:00"), "a window must end after it starts"),
        (("ask", *ASK[1:], "--window", "0001-01-01T00:00/9999-12-31T23:59"), "a time looks like"),
        (("ask", *ASK[1:], "--window", "tomorrow"), "a window looks like"),
        (("mentor", "set", "--window", "every day"), "a window looks like"),
        (("mentor", "set", "--window", "mon 18:00-14:00"), "window"),
        (("mentor", "set", "--window", "mon 10:00-25:00"), "window"),
        (("mentor", "set", "--topic", "mm:first-board-presentation", "--line", "x" * 200), "line"),
        (("mentor", "set", "--topic", "mm:first-board-presentation", "--zone", "Mars/Base"), "zone"),
        (("mentor", "set", "--topic", "mm:no-such-topic"), "not in this node's vocabulary"),
        (("mentor", "on", "--listed"), "consent `mentoring` is needed"),
        (("person", "trust", "https://cobalt.example"), "no organization of this name has changed its key"),
        (("person", "erase"), "there is nobody to ask"),
    ],
)
async def test_a_mistake_is_one_sentence_and_changes_nothing(
    aurora: Company, words: tuple[str, ...], sentence: str
) -> None:
    ana, _ = await Home(aurora, "aurora1").sign_in(), await mentor(aurora, "aurora2")
    await ana.done(*ASK)
    before = await ana.read("threads")
    result = await ana.type(*words)
    assert result.exit_code in (1, 2)
    assert sentence in result.stderr
    assert "Traceback" not in result.output
    assert await ana.read("threads") == before


async def test_what_stands_in_the_way_is_said_with_what_to_do(aurora: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = await Home(aurora, "aurora1").sign_in()
    link = await aurora.link("aurora1")
    await ana.done("person", "sign-in", link)
    used = await ana.type("person", "sign-in", link)
    assert "was used or has expired" in used.stderr
    assert "--mail" in used.stderr
    monkeypatch.setenv("MENTORMESH_PASSPHRASE", "another passphrase")
    wrong = await ana.type("threads")
    assert wrong.stderr.startswith("Error: the vault does not open with this passphrase or key.\n")
    monkeypatch.delenv("MENTORMESH_PASSPHRASE")
    assert "MENTORMESH_PASSPHRASE" in (await ana.type("threads")).stderr
    nobody = await Home(aurora, "aurora3").type("threads")
    assert "sign in first" in nobody.stderr
    assert {used.exit_code, wrong.exit_code, nobody.exit_code} == {1}


async def test_a_node_that_is_away_is_said_with_its_own_exit_code(aurora: Company, tmp_path: Path) -> None:
    ana = await Home(aurora, "aurora1").sign_in()
    async with company(tmp_path / "other", "birch") as birch:
        away = await Home(birch, "birch1").sign_in()
    result = await away.type("threads")
    assert result.exit_code == 3
    assert "does not answer" in result.stderr
    assert (await away.type("threads", "--json")).exit_code == 3
    assert await ana.read("threads") == []


async def test_the_data_and_the_account_are_the_persons(aurora: Company) -> None:
    ana = await Home(aurora, "aurora1").sign_in()
    assert "aurora1@aurora.example" in json.dumps(await ana.read("person", "export"))
    assert (await ana.done("person", "export", "--html")).startswith("<!")
    (device,) = await ana.read("person", "devices")
    assert device["this"]
    itself = await ana.type("person", "devices", "--remove", device["device"])
    assert "the device that you are at" in itself.stderr
    assert "rows erased" in await ana.done("person", "erase", "--yes")
    after = await ana.type("person", "devices")
    assert after.exit_code == 1
    assert "sign" in after.stderr


async def test_a_link_is_mailed_on_request(aurora: Company) -> None:
    url = aurora.node.base.page_base
    for mail in ("aurora1@aurora.example", "nobody@aurora.example"):
        said = await Home(aurora, "aurora1").done("person", "sign-in", "--url", url, "--mail", mail)
        assert said == "If this is a member's address, a link was mailed there; use it soon.\n"


async def test_a_second_device_is_linked_by_its_code(aurora: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "code_of", lambda _: "00420042")
    monkeypatch.setattr(linking, "LOOK_EVERY_S", 0.02)
    laptop, phone = await Home(aurora, "aurora1").sign_in(), Home(aurora, "phone")
    assert "no new device waits" in (await laptop.type("person", "approve", "0042", "0042")).stderr
    # One command at a time: the runner changes the standard output of the whole process.
    shown = asyncio.create_task(phone.type("person", "link", await aurora.link("aurora1"), "--hint", "phone"))
    async with Person(unlock.open_vault(laptop.folder, passphrase=PASSPHRASE, ask=str)) as me:
        while not shown.done():
            with suppress(MissingError, RefusedError):
                await me.approve("0042 0042")
    assert (await shown).exit_code == 0
    assert "Code: 0042 0042" in shown.result().stdout
    assert "█" in shown.result().stderr
    assert {one["hint"] for one in await phone.read("person", "devices")} == {"", "phone"}
    refused = await phone.type("person", "link")
    assert "a device of an account already" in refused.stderr
    tablet = unlock.create_vault(aurora.folder / "tablet", unlock.new_state(), passphrase=PASSPHRASE, cost=QUICK)
    async with Person(tablet) as third:
        waiting = await third.link(await aurora.link("aurora1"))
        done = asyncio.create_task(waiting.finish())
        assert (await phone.read("person", "approve", "00420042"))["device_key"]
        assert (await done).entity == aurora.entity
