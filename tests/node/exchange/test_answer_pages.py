"""Answering by mail alone: pages that ask before they act, links that work once, and nothing of the brief in either."""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from msgspec.structs import replace

from federation.rows import AnswerLinkRow, ThreadRow
from node.api.answers import ANSWER_ROUTES, ANSWERS
from node.api.bodies import BODY_LIMITS, BodyLimits
from node.api.hosts import HOSTS
from node.api.routes import add_routes
from node.api.strangers import STRANGERS
from node.api.writing import HEADERS
from node.rows import DeviceRow, MailRow
from node.services.mentor_side import ProviderNotes
from node.services.notices import MentorRequest, decode_notice
from protocol.bodies import OfferedBody
from protocol.e2ee.sealing import open_quote
from protocol.encoding import decode, unb64
from tests.fakes.visitors import Visitors

from .conftest import Town
from .people import waiting_request
from .test_agreement import requested, states
from .world import settle

Open = Callable[[web.Application], Awaitable[TestClient[Any, Any]]]


async def notice(town: Town) -> MentorRequest:
    """Return the mail that Ben got."""
    async with town.cobalt.store.read() as tx:
        rows = await tx.find(MailRow)
    found = [decode_notice(row.notice) for row in rows if row.member == town.ben.member]
    (request,) = [one for one in found if isinstance(one, MentorRequest)]
    return request


@pytest.fixture
async def browser(town: Town, aiohttp_client: Open) -> TestClient[Any, Any]:
    """Return a browser at Cobalt's pages."""
    app = web.Application()
    app[STRANGERS] = app[HOSTS] = Visitors()  # type: ignore[misc]
    app[ANSWERS] = town.cobalt.exchanging.links
    app[BODY_LIMITS] = BodyLimits(body_bytes=4096, body_s=1, in_flight_bytes=65536)
    add_routes(app, ANSWER_ROUTES, {})
    return await aiohttp_client(app)


def path(link: str) -> str:
    """Return a mailed link's path."""
    return link.removeprefix("http://cobalt.localhost")


async def test_the_mail_names_topic_length_and_slots_and_nothing_of_the_brief(town: Town) -> None:
    await requested(town)
    mail = await notice(town)
    assert mail.topic
    assert (mail.format, mail.length, len(mail.slots)) == ("call", 30, 2)
    async with town.cobalt.store.read() as tx:
        assert "directors" not in repr(await tx.find(MailRow))


async def test_opening_a_link_shows_and_changes_nothing(town: Town, browser: TestClient[Any, Any]) -> None:
    mentee = await requested(town)
    for link in ((await notice(town)).slots[0].link, (await notice(town)).decline):
        answer = await browser.get(path(link))
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert "<form" in await answer.text()
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")


async def test_the_policy_of_a_page_lets_its_own_style_through_and_nothing_else(
    town: Town, browser: TestClient[Any, Any]
) -> None:
    await requested(town)
    answer = await browser.get(path((await notice(town)).decline))
    (style,) = re.findall(r"<style>(.*?)</style>", await answer.text(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy == f"{dict(HEADERS)['Content-Security-Policy']}; style-src 'sha256-{digest}'"


async def test_a_mentor_without_a_device_accepts_by_the_button(town: Town, browser: TestClient[Any, Any]) -> None:
    mentee = await requested(town)
    mail = await notice(town)
    answer = await browser.post(path(mail.slots[1].link), data={"ok": "1"})
    assert answer.status == 200
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("FINALIZED", "FINALIZED")
    row = await town.cobalt.exchanging.views.one(town.ben.label, mentee.thread, "provider")
    assert row.slot == mail.slots[1].start
    async with town.cobalt.store.read() as tx:
        thread = await tx.get(ThreadRow, mentee.thread, "provider")
    assert thread is not None
    assert '"attested":"node"' in _payload(decode(thread.notes, ProviderNotes).agreement)


def _payload(document: str) -> str:
    found = re.search(r'"payload":"([^"]+)"', document)
    assert found
    return unb64(found[1]).decode()


async def test_one_answer_uses_up_every_link_of_the_request(town: Town, browser: TestClient[Any, Any]) -> None:
    mentee = await requested(town)
    mail = await notice(town)
    assert (await browser.post(path(mail.decline), data={})).status == 200
    for link in (mail.decline, mail.slots[0].link, mail.other_time):
        assert (await browser.get(path(link))).status == 404
        assert (await browser.post(path(link), data={})).status == 404
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("DECLINED", "DECLINED")


async def test_other_times_are_chosen_on_the_page(town: Town, browser: TestClient[Any, Any]) -> None:
    mentee = await requested(town)
    mail = await notice(town)
    page = await (await browser.get(path(mail.other_time))).text()
    times = re.findall(r'name="time" value="(\d+)"', page)
    assert len(times) == 12
    refused = await browser.post(path(mail.other_time), data={})
    assert refused.status == 409
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")
    answer = await browser.post(path(mail.other_time), data=[("time", times[3]), ("time", times[5])])
    assert answer.status == 200
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("OFFERED", "OFFERED")


@pytest.mark.parametrize("times", [["9" * 400], ["1"], ["253402299000"], ["0", "1800"]])
async def test_times_that_the_page_never_showed_change_nothing(
    town: Town, browser: TestClient[Any, Any], times: list[str]
) -> None:
    mentee = await requested(town)
    link = path((await notice(town)).other_time)
    answer = await browser.post(link, data=[("time", one) for one in times])
    assert answer.status == 409
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")


async def test_decline_and_pause_takes_no_requests_for_a_while(town: Town, browser: TestClient[Any, Any]) -> None:
    await requested(town)
    await browser.post(path((await notice(town)).decline_and_pause), data={})
    await settle(town.aurora, town.cobalt)
    assert await town.mentee().refusal() == "no-capacity"
    town.clock.advance(15 * 86_400)
    async with town.cobalt.store.write() as tx:
        for row in await tx.find(DeviceRow):
            await tx.put(replace(row, seen_on=town.clock.now()))
    assert (await town.mentee().quote()).candidates


async def test_a_link_is_over_with_the_deadline(town: Town, browser: TestClient[Any, Any]) -> None:
    await requested(town)
    mail = await notice(town)
    assert mail.deadline == (await waiting_request(town.ben)).deadline
    town.clock.advance(mail.deadline - town.clock.now())
    assert (await browser.post(path(mail.slots[0].link), data={})).status == 404
    await town.cobalt.exchanging.links.sweep()
    async with town.cobalt.store.read() as tx:
        assert await tx.count(AnswerLinkRow) == 0


@pytest.mark.parametrize("token", ["xyzzy", "A" * 32, "%2e%2e", "A" * 31 + "%00"])
async def test_an_invented_link_is_over_and_says_no_more(browser: TestClient[Any, Any], token: str) -> None:
    answer = await browser.get(f"/answer/{token}")
    assert answer.status == 404
    assert token not in await answer.text()


async def test_the_pages_speak_german_to_who_asks_for_it(town: Town, browser: TestClient[Any, Any]) -> None:
    await requested(town)
    link = path((await notice(town)).decline)
    german = await (await browser.get(link, headers={"Accept-Language": "de-AT, en;q=0.5"})).text()
    assert 'lang="de"' in german
    assert "Ablehnen" in german


async def test_two_missed_deadlines_pause_a_mentor(town: Town) -> None:
    for _ in range(2):
        await requested(town)
        town.clock.advance(3 * 86_400)
        await town.cobalt.exchanging.sweep()
        await settle(town.aurora, town.cobalt)
    assert await town.mentee().refusal() == "no-capacity"


async def test_links_of_an_earlier_acceptance_do_not_come_back_with_the_next(
    town: Town, browser: TestClient[Any, Any]
) -> None:
    mentee = town.mentee()
    quote = await mentee.quote()
    await mentee.accept(quote)
    await settle(town.aurora, town.cobalt)
    mail = await notice(town)
    times = re.findall(r'value="(\d+)"', await (await browser.get(path(mail.other_time))).text())
    await browser.post(path(mail.other_time), data=[("time", times[4])])
    await settle(town.aurora, town.cobalt)
    item = (await town.ana.entries())[-1].data
    again = open_quote(mentee.read(item).as_(OfferedBody).quote, mentee.reply_key, mentee.context)
    await mentee.accept(again)
    await settle(town.aurora, town.cobalt)
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")
    assert (await browser.post(path(mail.decline), data={})).status == 404
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")


@pytest.mark.parametrize(
    "form", ["&".join(["time=1"] * 30), "time=" + "9" * 4000, "time=%C2%B2", "time=99999999999999999999", "=&==&;"]
)
async def test_a_form_that_the_page_never_made_changes_nothing(
    town: Town, browser: TestClient[Any, Any], form: str
) -> None:
    mentee = await requested(town)
    link = path((await notice(town)).other_time)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with browser.post(link, data=form, headers=headers) as answer:
        assert answer.status == 409
    assert await states(town, mentee.thread) == ("ACCEPTED", "ACCEPTED")
