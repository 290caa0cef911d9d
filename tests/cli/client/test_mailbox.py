"""What does not succeed, or waits, costs nothing else: what was stored is told, and the mailbox is read on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from cli.client import mailbox
from cli.client.contacts import to_give, with_token
from cli.client.core import fresh_id
from cli.client.keychecks import NotListedYetError
from cli.client.mailbox import GO_ON_S, SessionOverError
from cli.client.parking import MAX_ASIDE, MAX_PARKED, is_behind, parked
from cli.client.person import Person
from cli.client.reportrecord import ReportRecord
from cli.client.requesting import Requesting
from cli.client.unlock import create_vault
from cli.client.views import Event, Problem, Shown
from node.api.exchange import Entry, Mailbox
from node.api.reports import ReportViews
from node.api.siblings import Siblings
from protocol.contacttokens import LIFE_S
from protocol.e2ee.frames import Again
from protocol.encoding import b64
from protocol.envelope import Envelope, render_envelope
from protocol.errors import RefusedError, UnavailableError

from .pair import NOW, Pair, seed
from .test_coming_back import ask, new_device, settled
from .test_epochs import texts
from .test_forks import said
from .test_http import answering
from .test_own_words import say
from .world import PASSPHRASE, QUICK

WHY: Final = "no, says the node"


class OwnNode:
    """The mentor's own node, reduced to a mailbox; `answers` are statuses and codes by the end of a path."""

    def __init__(self, pair: Pair) -> None:
        self.pair: Final = pair
        self.entries: tuple[Entry, ...] = ()
        self.answers: dict[str, tuple[int, str]] = {}
        self.listed = False
        self.waits: list[str] = []

    def brings(self, *envelopes: Envelope) -> None:
        """Put envelopes into the mailbox, as the mentor's side of the session."""
        for one in envelopes:
            self.entries += (self.entry(len(self.entries) + 1, one),)

    def entry(self, cursor: int, envelope: Envelope, *, thread: str = "") -> Entry:
        data = b64(render_envelope(envelope))
        name = thread or self.pair.thread
        return Entry(cursor=cursor, kind="envelope", thread=name, side="provider", data=data, at=NOW)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if self.listed and request.method == "GET" and request.path.endswith("/reports"):
            return web.Response(body=msgspec.json.encode(ReportViews(reports=())))
        for end, (status, code) in self.answers.items():
            if end in request.path and status >= 400:
                return web.json_response({"status": status, "detail": WHY, "code": code}, status=status)
        if request.path.endswith("/mailbox"):
            after = int(request.query["after"])
            self.waits.append(request.query["wait_s"])
            waiting = tuple(one for one in self.entries if one.cursor > after)
            return web.Response(body=msgspec.json.encode(Mailbox(entries=waiting)))
        if request.path.endswith("/siblings"):
            return web.Response(body=msgspec.json.encode(Siblings(devices=())))
        if request.path.endswith(("/envelopes", "/ack")):
            return web.Response(status=204)
        return web.json_response({"status": 404, "detail": WHY, "code": "missing"}, status=404)

    @asynccontextmanager
    async def mentor(self, folder: Path) -> AsyncIterator[Person]:
        """Yield the mentor's client."""
        async with answering(self.answer) as url:
            state = self.pair.mentor
            assert state.account is not None
            state = replace(state, account=replace(state.account, url=url), self_check_at=NOW + 86_400)
            vault = create_vault(folder / "mentor", state, passphrase=PASSPHRASE, cost=QUICK)
            async with Person(vault, clock=lambda: self.pair.now) as person:
                yield person


@pytest.fixture
def node() -> OwnNode:
    return OwnNode(settled())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "PATIENCE_S", 0)


def asks(pair: Pair, name: str) -> Envelope:
    """Return an ask of a device that the account secret certifies and no directory lists, by who was in the session."""
    mentee, proven = pair.mentee, pair.mentor.proven
    new_device(pair, by_mentor=False)
    pair.mentee = replace(pair.mentee, device_seed=seed(name))
    (asked,) = ask(pair, by_mentor=False)
    pair.mentee, pair.mentor = mentee, replace(pair.mentor, proven=proven)
    return asked


def shown(events: tuple[Event, ...]) -> list[str]:
    return texts(list(events))


async def test_what_was_stored_is_told_when_the_node_goes_away_behind_it(tmp_path: Path, node: OwnNode) -> None:
    node.brings(said(node.pair, "read me", by_mentor=False), asks(node.pair, "tablet"))
    node.answers["/keys"] = (503, "busy")
    async with node.mentor(tmp_path) as ben:
        assert shown(await ben.poll()) == ["read me"]
        with pytest.raises(UnavailableError):
            await ben.poll()


async def test_asks_of_devices_that_nobody_lists_hold_up_no_word(tmp_path: Path, node: OwnNode) -> None:
    """Whoever was in the session once can make them without end, as with a stolen device that was removed."""
    for number in range(MAX_ASIDE + 2):
        node.brings(asks(node.pair, f"made up {number}"))
    node.brings(said(node.pair, "behind them", by_mentor=False))
    async with node.mentor(tmp_path) as ben:
        assert shown(await ben.poll()) == ["behind them"]
        assert len(ben.state.parked) == MAX_ASIDE
        assert not is_behind(ben.state, node.pair.thread)
        assert ben.state.session(node.pair.thread).newcomers == {}


async def test_an_ask_is_heard_once_its_device_is_listed(tmp_path: Path, node: OwnNode) -> None:
    asked = asks(node.pair, "new device False")
    node.brings(asked)
    async with node.mentor(tmp_path) as ben:
        assert await ben.poll() == ()
        new_device(node.pair, by_mentor=False)
        proven = node.pair.mentor.proven
        ben._core.vault.update(lambda state: replace(state, proven=proven))
        (told,) = await ben.poll()
        assert isinstance(told, Problem)
        assert "joined again with a new device" in told.sentence
        assert ben.state.parked == ()


def entries(node: OwnNode, thread: str, count: int, after: int) -> list[Entry]:
    envelope = said(node.pair, "x", by_mentor=False)
    return [node.entry(after + one, envelope, thread=thread) for one in range(1, count + 1)]


def test_one_session_that_waits_takes_no_place_of_another(node: OwnNode) -> None:
    state, events = node.pair.mentor, []
    busy, honest = fresh_id(), fresh_id()
    for one in (*entries(node, busy, MAX_PARKED, 0), *entries(node, honest, 2, MAX_PARKED)):
        state, more = parked(one, state, now=NOW)
        events += more
    assert [one.thread for one in state.parked].count(honest) == 2
    assert len(state.parked) == MAX_PARKED
    assert [(type(one), one.thread) for one in events if isinstance(one, Problem)] == [(Problem, busy)] * 2


async def test_two_programs_that_take_in_the_same_waiting_entry_read_it_once(tmp_path: Path, node: OwnNode) -> None:
    word = said(node.pair, "once", by_mentor=False)
    async with node.mentor(tmp_path) as ben:
        state, _ = parked(node.entry(1, word), ben.state, now=NOW)
        ben._core.vault.update(lambda _: state)
        (waiting,) = state.parked
        entry = msgspec.json.decode(waiting.entry, type=Entry)
        take = ben._loop._unparked
        told = [ben._core.vault.change(lambda state: take(waiting, entry, state, last=True)) for _ in range(2)]
        assert [[type(one) for one in each] for each in told] == [[Shown], []]


async def test_a_token_that_the_node_does_not_take_keeps_nobody_from_reading(tmp_path: Path, node: OwnNode) -> None:
    for by_mentor in (True, False):
        say(node.pair, Again(yes=True), by_mentor=by_mentor)
    node.brings(said(node.pair, "read me", by_mentor=False))
    node.answers["/contact-tokens/"] = (400, "malformed")
    async with node.mentor(tmp_path) as ben:
        events = await ben.poll()
        assert shown(events) == ["read me"]
        assert [one.sentence for one in events if isinstance(one, Problem)] == [WHY]
        assert await ben.poll(wait_s=7) == ()
        assert node.waits == ["0", "7"]


async def test_an_organization_that_cannot_be_asked_next_keeps_nobody_from_reading(
    tmp_path: Path, node: OwnNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    async def unproven(_: Requesting) -> list[Event]:
        tries.append(node.pair.now)
        raise NotListedYetError("the key directory is not proven yet")

    monkeypatch.setattr(Requesting, "go_on", unproven)
    node.brings(said(node.pair, "read me", by_mentor=False))
    async with node.mentor(tmp_path) as ben:
        assert shown(await ben.poll()) == ["read me"]
        await ben.poll()
        assert len(tries) == 1
        node.pair.now += GO_ON_S
        await ben.poll()
        assert len(tries) == 2


def test_a_token_made_by_a_clock_that_was_ahead_is_made_anew(node: OwnNode) -> None:
    for by_mentor in (True, False):
        say(node.pair, Again(yes=True), by_mentor=by_mentor)
    assert to_give(node.pair.mentor) == [node.pair.thread]
    ahead, _ = with_token(node.pair.mentor, node.pair.thread, now=NOW + 86_400 * 365)
    state, given = with_token(ahead, node.pair.thread, now=NOW)
    assert given.until == NOW + LIFE_S
    assert with_token(state, node.pair.thread, now=NOW + 5)[1] == given


@pytest.mark.parametrize(
    ("status", "code", "standing"),
    [(429, "report-quota", "waiting"), (503, "busy", "waiting"), (413, "too-large", "refused"), (400, "x", "refused")],
)
async def test_a_report_that_the_node_does_not_take_is_listed_and_holds_nothing_up(
    tmp_path: Path, node: OwnNode, status: int, code: str, standing: str
) -> None:
    node.answers["/reports"] = (status, code)
    record = ReportRecord(report=fresh_id(), thread=node.pair.thread, to=node.pair.aurora.entity, at=NOW, item=b"x")
    async with node.mentor(tmp_path) as ben:
        ben._core.vault.update(lambda state: replace(state, reports=(record,)))
        if standing == "refused":
            node.listed = True
        (one,) = await ben.reports.reports()
        assert (one.standing, one.refused) == (standing, code if standing == "refused" else "")


async def test_what_a_removed_device_says_is_refused_and_not_called_sent(tmp_path: Path, node: OwnNode) -> None:
    node.answers["/envelopes"] = (403, "device-removed")
    async with node.mentor(tmp_path) as ben:
        with pytest.raises(RefusedError, match=WHY):
            await ben.send_chat(node.pair.thread, "hello")
        assert len(ben.state.session(node.pair.thread).outbox) == 1


async def test_who_speaks_in_a_session_that_is_over_at_the_node_is_told(tmp_path: Path, node: OwnNode) -> None:
    node.answers["/envelopes"] = (409, SessionOverError.code)
    async with node.mentor(tmp_path) as ben:
        with pytest.raises(SessionOverError, match="was not sent"):
            await ben.send_chat(node.pair.thread, "hello")
        assert ben.state.session(node.pair.thread).outbox == ()
        assert await ben.close(node.pair.thread)
