"""Linking a second device of one person, and everything that a node between the two could try."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from cli.client import linking as linking_module
from cli.client.api import NodeApi
from cli.client.linking import Linking
from cli.client.person import Person
from cli.client.unlock import create_vault, new_state
from node.services.linking import LinkingView
from protocol.e2ee.linking import LinkKey, Opening, Reply
from protocol.e2ee.pake import begin
from protocol.encoding import b64, decode, encode, unb64
from protocol.errors import MalformedError, MeshError, MissingError, RefusedError

from .world import PASSPHRASE, QUICK, Company, companies, company

pytestmark = [pytest.mark.slow, pytest.mark.system]


@pytest.fixture
async def aurora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Company]:
    monkeypatch.setattr(linking_module, "LOOK_EVERY_S", 0.02)
    async with company(tmp_path, "aurora") as made:
        yield made


def another(company: Company, name: str) -> Person:
    """Return a program with a vault of its own."""
    vault = create_vault(company.folder / "clients" / name, new_state(), passphrase=PASSPHRASE, cost=QUICK)
    return Person(vault)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


async def outcome(work: Any) -> str:  # noqa: ANN401 -- a coroutine
    """Return the code of the error that some work ends with, empty for none."""
    try:
        await work
    except MeshError as error:
        return error.code
    return ""


async def both(new: Linking, old: Person, code: str) -> tuple[str, str]:
    """Return what the new and the old device end with."""
    first, second = await asyncio.gather(outcome(new.finish()), outcome(old.approve(code)))
    return first, second


async def test_a_linked_device_is_the_same_person_everywhere(tmp_path: Path) -> None:
    async with (
        companies(tmp_path, "aurora", "cobalt") as (aurora, _),
        aurora.person("aurora1") as laptop,
        another(aurora, "phone") as phone,
    ):
        linking = await phone.link(await aurora.link("aurora1"), hint="phone")
        done, approved = await asyncio.gather(linking.finish(), laptop.approve(linking.code.qr))
        assert (done.first_device, done.name) == (False, "aurora1")
        assert set(done.synced.enrolled) == {"Aurora Works", "Cobalt Works"}
        assert phone.state.account_seed == laptop.state.account_seed
        assert phone.state.device_seed != laptop.state.device_seed
        assert phone.state.audiences == laptop.state.audiences
        assert phone.state.pins == laptop.state.pins
        devices = (await laptop.api.me()).devices
        assert sorted((one.hint, one.this) for one in devices) == [("", True), ("phone", False)]
        assert approved.device_key == phone.state.device_secret.key(phone.state.audiences[0]).public.text
        await phone.listed()
        # A program that ended is linked no second time, and nobody answers for it again.
        with pytest.raises(RefusedError, match="a device of an account already"):
            await phone.link()
        assert await outcome(laptop.approve(linking.code.code)) == "linking-over"
        assert (await phone.sync()).enrolled == ()


async def test_a_wrong_code_ends_the_linking_on_both_sides(aurora: Company) -> None:
    async with aurora.person("aurora1") as laptop, another(aurora, "phone") as phone:
        linking = await phone.link(await aurora.link("aurora1"))
        code = linking.code.code
        assert await both(linking, laptop, wrong(code)) == ("wrong-code", "wrong-code")
        # No second try, with the right code either: the new device makes another one.
        assert await outcome(laptop.approve(code)) == "wrong-code"
        with pytest.raises(MalformedError, match="eight digits"):
            await laptop.approve("1234567")
        again = await phone.link()
        assert again.code.code != code
        assert await both(again, laptop, again.code.code) == ("", "")


async def test_whoever_gives_up_or_begins_anew_ends_what_was(aurora: Company) -> None:
    async with (
        aurora.person("aurora1") as laptop,
        another(aurora, "phone") as phone,
        another(aurora, "thief") as thief,
    ):
        assert await outcome(laptop.approve("12345678")) == "linking-over"
        first = await phone.link(await aurora.link("aurora1"))
        raced = await thief.link(await aurora.link("aurora1"))
        assert await outcome(first.finish()) == "linking-over"
        # The person types the code of the device in their hand; the one that raced it gets nothing.
        assert await both(raced, laptop, first.code.code) == ("wrong-code", "wrong-code")
        assert thief.state.account_seed != laptop.state.account_seed
        last = await phone.link()
        await last.give_up()
        assert await both(last, laptop, last.code.code) == ("linking-over", "linking-over")
        with pytest.raises(RefusedError, match="has a device already"):
            await thief.sync()


async def test_an_account_without_device_links_none(aurora: Company) -> None:
    async with another(aurora, "phone") as phone:
        with pytest.raises(RefusedError, match="no device that could link") as caught:
            await phone.link(await aurora.link("aurora1"))
        assert caught.value.code == "no-device"
        assert (await phone.sign_in(await aurora.link("aurora1"))).first_device


async def test_only_the_two_devices_write_and_each_its_own_messages(aurora: Company) -> None:
    async with aurora.person("aurora1") as laptop, another(aurora, "phone") as phone, another(aurora, "t") as thief:
        linking = await phone.link(await aurora.link("aurora1"))
        name = (await laptop.api.linking()).linking
        await thief.sign_in(await aurora.link("aurora1"), only_data=True)
        for writer, number in ((phone, 2), (laptop, 3), (thief, 2)):
            with pytest.raises((RefusedError, MissingError)):
                await writer.api.say_linking(name, number, b"x")
        with pytest.raises(RefusedError, match="comes before"):
            await phone.api.say_linking(name, 3, b"x")
        with pytest.raises(RefusedError, match="a device of the account already"):
            await laptop.api.open_linking(b"x")
        with pytest.raises(MalformedError, match="message 2 must have"):
            await laptop.api.say_linking(name, 2, bytes(4097))
        await laptop.api.say_linking(name, 2, b"x")
        await laptop.api.say_linking(name, 2, b"x")
        with pytest.raises(RefusedError, match="already") as caught:
            await laptop.api.say_linking(name, 2, b"y")
        assert caught.value.code == "conflict"
        assert await outcome(linking.finish()) == "wrong-code"


# A node between the two devices

Change = Callable[[int, bytes], bytes]


class Between:
    """Changes what the node hands out to one of the two devices; `do` gets that device's view."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, victim: Person, do: Change) -> None:
        honest, mine = NodeApi.linking, victim.api._token

        async def linking(api: NodeApi) -> LinkingView:
            seen = await honest(api)
            if api._token != mine:
                return seen
            changed = [do(number, unb64(one)) for number, one in enumerate(seen.messages, 1)]
            return LinkingView(
                linking=seen.linking, expires_at=seen.expires_at, messages=tuple(map(b64, changed)), ended=seen.ended
            )

        monkeypatch.setattr(NodeApi, "linking", linking)


STRANGER: Final = LinkKey(bytes(32))


def other_key(number: int, message: bytes) -> bytes:
    """Put the node's own ephemeral key into opening and reply."""
    if number == 1:
        said = decode(message, Opening)
        return encode(Opening(run=said.run, share=said.share, key=STRANGER.public.text))
    if number == 2:
        said_back = decode(message, Reply)
        return encode(Reply(share=said_back.share, key=STRANGER.public.text, confirm=said_back.confirm))
    return message


def other_share(number: int, message: bytes) -> bytes:
    """Put in a share made with a guessed code."""
    if number != 1:
        return message
    said = decode(message, Opening)
    guess = begin(b"00000000", b"a guess", entropy=bytes(63) + b"\x01")
    return encode(Opening(run=said.run, share=b64(guess.share), key=said.key))


@pytest.mark.parametrize(("attack", "on_new"), [(other_key, False), (other_key, True), (other_share, False)])
async def test_a_node_that_puts_in_keys_of_its_own_is_noticed_on_both_sides(
    aurora: Company, monkeypatch: pytest.MonkeyPatch, attack: Change, on_new: bool
) -> None:
    async with aurora.person("aurora1") as laptop, another(aurora, "phone") as phone:
        linking = await phone.link(await aurora.link("aurora1"))
        with monkeypatch.context() as changed:
            Between(changed, phone if on_new else laptop, attack)
            assert await both(linking, laptop, linking.code.code) == ("wrong-code", "wrong-code")
        assert phone.state.account_seed != laptop.state.account_seed
        assert len((await laptop.api.me()).devices) == 1


async def test_a_changed_or_repeated_message_makes_no_device(aurora: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    async with aurora.person("aurora1") as laptop, another(aurora, "phone") as phone:
        seen: dict[int, bytes] = {}

        def cut(number: int, message: bytes) -> bytes:
            seen[number] = message
            return message if number != 4 else message[:-1] + bytes([message[-1] ^ 1])

        def repeat(number: int, message: bytes) -> bytes:
            return message if number == 1 else seen[number]

        linking = await phone.link(await aurora.link("aurora1"))
        with monkeypatch.context() as changed:
            Between(changed, phone, cut)
            assert await both(linking, laptop, linking.code.code) == ("unverified", "")
        again = await phone.link()
        with monkeypatch.context() as repeated:
            Between(repeated, phone, repeat)
            assert await both(again, laptop, again.code.code) == ("wrong-code", "wrong-code")
        assert phone.state.audiences == ()


async def test_what_the_node_held_says_neither_code_nor_secret(aurora: Company) -> None:
    async with aurora.person("aurora1") as laptop, another(aurora, "phone") as phone:
        linking = await phone.link(await aurora.link("aurora1"))
        await asyncio.gather(linking.finish(), laptop.approve(linking.code.code))
        seen = await laptop.api.linking()
        held = b"".join(unb64(one) for one in seen.messages)
        for secret in (laptop.state.account_seed, phone.state.device_seed):
            assert secret not in held
            assert b64(secret).encode() not in held
        assert linking.code.code.encode() not in held
        export = json.loads(await laptop.api.export())
        assert "linking" in {section["table"] for section in export["sections"]}


async def test_without_the_node_both_devices_say_so(aurora: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    async with aurora.person("aurora1") as laptop, another(aurora, "phone") as phone:
        linking = await phone.link(await aurora.link("aurora1"))

        async def away(api: NodeApi) -> LinkingView:
            return await NodeApi(api._http, "http://127.0.0.1:1", api._token).me()  # type: ignore[return-value]

        monkeypatch.setattr(NodeApi, "linking", away)
        assert await both(linking, laptop, linking.code.code) == ("node-away", "node-away")
