"""A report goes to the contacts of both organizations, sealed, and its reporter learns what became of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from click.testing import CliRunner
from msgspec.structs import replace

from cli.client.core import fresh_id
from cli.main import main
from cli.reports import standing_of
from federation.ports import where
from node.rows import MemberRow, ReportRow
from node.services import reports as service
from node.services.reports import LONGEST_KEPT_DAYS, REPORTS_PATH
from protocol.e2ee.reports import encode_report
from protocol.encoding import b64, encode, sha256
from protocol.errors import (
    ConflictError,
    LimitError,
    MalformedError,
    MissingError,
    RefusedError,
    UnavailableError,
)
from protocol.reportitems import LONGEST_DAYS, ReportState, parse_sealed
from tests.patience import PATIENCE_S

from .reporttown import (
    KEYS,
    Stepped,
    Town,
    due_now,
    fine,
    founded,
    handed_in,
    item,
    mails_of,
    refused,
    refused_of,
    run,
    until,
)
from .test_reports import number_of
from .world import PASSPHRASE

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with founded(tmp_path_factory.mktemp("reports")) as made:
        yield made


async def test_a_report_reaches_both_contacts_is_opened_by_them_alone_and_is_answered(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [reader.contact.name for reader in town.ben.reports.readers(town.report) if reader.contact]
    assert names == ["aurora speak-up", "cobalt speak-up"]
    handed = {one.to: one.report for one in await town.ben.reports.hand_in(town.report)}
    assert handed.keys() == {town.aurora.entity, town.cobalt.entity}
    arrived = await until(town.ben, handed[town.aurora.entity], "received")
    assert arrived.thread == town.report.thread
    assert arrived.due_at is not None
    assert 0 <= arrived.due_at - 14 * service.DAY_S - arrived.at <= 60
    mails = {path.read_text() for one in (town.aurora, town.cobalt) for path in await mails_of(one)}
    assert len(mails) == 2
    for mail in mails:
        assert "A report waits for you" in mail
        assert not [
            secret for secret in (arrived.report, town.report.thread, town.ben.state.signed_in.member) if secret in mail
        ]
    assert [one.source for one in await town.listed(town.aurora)] == [town.cobalt.entity]
    (own,) = await town.listed(town.cobalt)  # not the one to the peer: it would tell who complains about whom
    assert own.source == town.cobalt.entity

    file, key, plain = (tmp_path / name for name in ("sealed", "key", "plain"))
    shown = await run(monkeypatch, town.aurora, "report", "show", arrived.report[:8], "--to", str(file))
    assert shown.exit_code == 0, shown.output
    for secret in (town.report.thread, "pay or else", town.report.identity_key, "threat"):
        assert secret.encode() not in file.read_bytes()
        assert secret not in shown.output
    made = await asyncio.to_thread(CliRunner().invoke, main, ["report", "key", str(key)])
    assert (made.exit_code, key.stat().st_mode & 0o777) == (0, 0o600)
    opening = ["report", "open", str(file), "--key", str(key)]
    refused = await asyncio.to_thread(CliRunner().invoke, main, opening)
    assert (refused.exit_code, "does not open" in refused.stderr) == (1, True)
    key.write_text(f"mentormesh-key/1 report {b64(KEYS['aurora'].seed)}\n")
    opened = await asyncio.to_thread(CliRunner().invoke, main, [*opening, "--to", str(plain)])
    assert opened.exit_code == 0, opened.output
    assert "mentee [chat]: pay or else" in opened.stdout
    verified = await asyncio.to_thread(CliRunner().invoke, main, ["report", "verify", str(plain)])
    assert verified.stdout == opened.stdout

    closed = await run(monkeypatch, town.aurora, "report", "close", arrived.report[:8], "--outcome", "warned")
    assert closed.exit_code == 0, closed.output
    other = await run(monkeypatch, town.aurora, "report", "close", arrived.report[:8], "--outcome", "excluded")
    assert (other.exit_code, "closed as warned" in other.stderr) == (1, True)
    listed = await run(monkeypatch, town.aurora, "report", "list")
    assert "closed: warned" in listed.stdout
    async with town.cobalt.store.write() as tx:
        await due_now(tx, arrived.report)
    await town.reports(town.cobalt).step()
    assert (await until(town.ben, arrived.report, "closed")).outcome == "warned"


async def test_a_report_is_shown_then_sent_as_people_type_it(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    threads, sessions = town.pair.mentor.threads, town.pair.mentor.sessions
    town.ben.reports._core.vault.update(lambda now: replace(now, threads=threads, sessions=sessions))
    monkeypatch.setenv("MENTORMESH_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("LANG", "C")
    home = ["--home", str(town.ben.folder)]
    number = str(number_of(town.pair, "I mean it"))
    words = ["session", "report", town.report.thread, "--message", number, "--reason", "threat", *home]
    unsure = await asyncio.to_thread(CliRunner().invoke, main, words)
    assert (unsure.exit_code, "say --yes" in unsure.stderr) == (1, True)
    before = len(town.ben.state.reports)
    sent = await asyncio.to_thread(CliRunner().invoke, main, [*words, "--yes"])
    assert sent.exit_code == 0, sent.output
    for sentence in ("[chat]: I mean it", "Sealed for aurora speak-up (speakup@aurora.example)", "no node can read it"):
        assert sentence in sent.stderr
    assert "pay or else" not in sent.output
    assert f"{town.cobalt.entity}: received, to be answered by" in sent.stdout
    assert len(town.ben.state.reports) == before + 2
    shown = await asyncio.to_thread(CliRunner().invoke, main, ["session", "reports", "--json", *home])
    assert {one["thread"] for one in json.loads(shown.stdout)[:2]} == {town.report.thread}


async def test_a_node_takes_only_a_peers_own_report_for_its_own_contact_and_each_once(town: Town) -> None:
    aurora, cobalt, birch = town.aurora, town.cobalt, town.birch
    name = fresh_id()
    data = item(town, to=aurora, name=name)
    before = await town.reports(aurora).take(cobalt.entity, data, fine)
    assert await town.reports(aurora).take(cobalt.entity, data, fine) == before
    with pytest.raises(ConflictError):
        await town.reports(aurora).take(cobalt.entity, item(town, to=aurora, name=name), fine)
    for peer, wrong in ((birch.entity, data), (cobalt.entity, item(town, to=cobalt)), (cobalt.entity, b"{}")):
        with pytest.raises(MalformedError):
            await town.reports(aurora).take(peer, wrong, fine)
    with pytest.raises(RefusedError, match="names nobody"):
        await town.reports(birch).take(cobalt.entity, item(town, to=birch), fine)
    assert await town.reports(aurora).state(cobalt.entity, name) == before
    for peer, unknown in ((birch.entity, name), (cobalt.entity, fresh_id())):
        with pytest.raises(MissingError):
            await town.reports(aurora).state(peer, unknown)


async def test_a_node_takes_so_many_reports_in_a_day_and_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "PEER_DAILY", 1)
    desk, birch = town.reports(town.cobalt), town.birch.entity
    await desk.take(birch, item(town, to=town.cobalt, source=birch), fine)
    with pytest.raises(LimitError, match="in a day"):
        await desk.take(birch, item(town, to=town.cobalt, source=birch), fine)
    for bound, sentence in (("PERSON_MOST", "are kept here"), ("PERSON_DAILY", "in a day")):
        monkeypatch.setattr(service, bound, 0)
        with pytest.raises(LimitError, match=sentence):
            await desk.hand_in("somebody", item(town, to=town.aurora))


async def test_all_reports_are_listed_a_few_at_a_time_and_without_what_they_say(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAGE", 2)
    desk, brought = town.reports(town.cobalt), {}
    for source in (town.birch, town.birch, town.birch, town.aurora):
        name = fresh_id()
        brought[name] = item(town, to=town.cobalt, source=source.entity, name=name)
        await desk.take(source.entity, brought[name], fine)
    elsewhere = await desk.hand_in("somebody", item(town, to=town.aurora))
    listed = {row.report: row for row in await desk.here()}
    assert brought.keys() <= listed.keys()
    assert elsewhere.report not in listed
    assert {row.item for row in listed.values()} == {b""}
    assert {name: await desk.item(listed[name]) for name in brought} == brought


async def test_a_slow_peer_holds_up_reports_to_no_other(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, asked, answered = town.reports(town.cobalt), asyncio.Event(), asyncio.Event()
    peers = desk._peers
    post = peers.post

    async def slow(peer: str, path: str, body: bytes, content_type: str) -> bytes:
        if peer == town.aurora.entity:
            asked.set()
            await answered.wait()
        return await post(peer, path, body, content_type)

    monkeypatch.setattr(peers, "post", slow)
    async with asyncio.timeout(PATIENCE_S):
        await desk.hand_in("somebody", item(town, to=town.aurora))
        await asked.wait()
        async with desk._store.write() as tx:  # so that it comes first
            await tx.put(*[replace(row, next_at=0) for row in await tx.find(ReportRow, where(member="somebody"))])
        elsewhere = await desk.hand_in("somebody", item(town, to=town.birch))
        other = asyncio.create_task(desk.step())  # as the job does, which still waits
        assert await refused_of(desk) == [elsewhere.report]
        answered.set()
        await other


async def test_a_person_hands_in_only_reports_of_their_own_organization_for_peers_with_a_contact(town: Town) -> None:
    desk = town.reports(town.cobalt)
    with pytest.raises(RefusedError, match="own organization"):
        await desk.hand_in("somebody", item(town, to=town.aurora, source=town.birch.entity))
    stranger = encode(replace(parse_sealed(item(town, to=town.aurora)), to="https://nobody.example"))
    with pytest.raises(MissingError):
        await desk.hand_in("somebody", stranger)
    data = item(town, to=town.aurora)
    await desk.hand_in("somebody", data)
    with pytest.raises(ConflictError):
        await desk.hand_in("another", data)
    with pytest.raises(RefusedError, match="names nobody"):
        await town.reports(town.birch).hand_in("somebody", item(town, to=town.birch, source=town.birch.entity))


async def test_who_names_nobody_is_said_to_and_a_refusal_of_the_peer_is_final(town: Town) -> None:
    elsewhere = replace(town.report, consumer=town.birch.entity, provider=town.birch.entity)
    (reader,) = town.ben.reports.readers(elsewhere)
    assert (reader.contact, reader.why) == (None, "it names nobody who reads reports")
    with pytest.raises(RefusedError, match="--to"):
        await town.ben.reports.hand_in(elsewhere)
    # As if the contact there had been taken back since.
    data = item(town, to=town.birch)
    view = await town.reports(town.cobalt).hand_in("somebody", data)
    assert view.report in await refused_of(town.reports(town.cobalt), view.report)
    told = {one.report: one.refused for one in await town.reports(town.cobalt).of("somebody")}
    assert told[view.report] == "no-report-contact"
    async with town.cobalt.store.read() as tx:
        (row,) = await tx.find(ReportRow, where(report=view.report))
    assert (row.item, row.next_at) == (b"", None)


async def test_an_answer_that_lies_neither_ends_the_wait_nor_puts_it_off_for_ever(town: Town) -> None:
    answers: list[bytes] = [b"nonsense", encode(ReportState(due_at=2**33))]

    class Liar:
        async def post(self, _peer: str, path: str, _body: bytes, _kind: str) -> bytes:
            assert path == REPORTS_PATH
            return answers.pop(0)

    desk = town.reports(town.cobalt)
    row = desk._row(parse_sealed(item(town, to=town.aurora)), b"x", desk._clock.now())
    honest = desk._peers
    desk._peers = Liar()  # type: ignore[misc, assignment] # a test may
    try:
        after = await desk._told(row)
        assert (after.received_at, after.item, after.refused) == (None, b"x", "")
        assert after.next_at is not None
        after = await desk._told(after)
    finally:
        desk._peers = honest  # type: ignore[misc]
    assert after.received_at is not None
    assert after.due_at == row.made_at + LONGEST_DAYS * service.DAY_S


async def test_a_peer_that_refuses_or_is_away_is_not_asked_for_ever_and_the_reporter_reads_why(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: dict[str, Exception] = {
        "policy": RefusedError("not now", code="policy"),
        "malformed": MalformedError("not understood"),
        "unreachable": UnavailableError("away"),
    }
    desk = town.reports(town.cobalt)
    now = desk._clock.now()

    async def pauses(error: Exception, *, days: int) -> tuple[list[int], str]:
        """Return how long it waited each time until it gave up, and what its reporter is told."""

        async def fails(*_args: object) -> bytes:
            raise error

        monkeypatch.setattr(desk._peers, "post", fails)
        row = desk._row(parse_sealed(item(town, to=town.aurora)), b"x", now)
        waited, at = list[int](), now
        while row.next_at is not None:
            at = row.next_at
            monkeypatch.setattr(desk, "_clock", Stepped(at))
            row = await desk._told(row)
            waited += [row.next_at - at] if row.next_at is not None else []
        assert days * service.DAY_S <= at - now < days * service.DAY_S + service.LONGEST_RETRY_S
        assert row.item == b""
        return waited, row.refused

    for code, error in errors.items():
        waited, told = await pauses(error, days=60 if code == "unreachable" else 7)
        assert told == code
        assert waited[0] == service.FIRST_RETRY_S
        assert waited == sorted(waited)
        assert len(waited) < 300
    assert "could not be reached for weeks" in standing_of(refused("unreachable"))
    assert "refuses it (policy)" in standing_of(refused("policy"))
    assert "nobody reads reports there" in standing_of(refused("no-report-contact"))


async def test_an_operator_is_told_of_reports_that_nobody_answered_in_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = town.reports(town.aurora)
    before = await desk.overdue()
    name = fresh_id()
    await desk.take(town.cobalt.entity, item(town, to=town.aurora, name=name), fine)
    assert await desk.overdue() == before
    async with town.aurora.store.write() as tx:
        (row,) = await tx.find(ReportRow, where(report=name))
        await tx.put(replace(row, due_at=1))
    assert await desk.overdue() == before + 1
    told = await run(monkeypatch, town.aurora, "status")
    assert told.stdout.count("answered in time") == 1
    assert "mentormesh report close" in told.stdout
    closed = await run(monkeypatch, town.aurora, "report", "close", name, "--outcome", "no-action")
    assert closed.exit_code == 0, closed.output
    assert await desk.overdue() == before


async def test_a_report_leads_to_one_member_where_that_was_agreed_and_it_is_recorded(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, state = town.reports(town.cobalt), town.ben.state
    audience = state.audiences[0]
    key = state.account_secret.identity(audience).public.text

    async def taken() -> ReportRow:
        name = fresh_id()
        await desk.take(town.birch.entity, item(town, to=town.cobalt, source=town.birch.entity, name=name), fine)
        return next(row for row in await desk.here() if row.report == name)

    row, strange = await taken(), await taken()
    with pytest.raises(RefusedError, match="not agreed"):
        await desk.person(row, key, audience)
    monkeypatch.setattr(desk, "_contact", replace(desk._contact, names_people=True))
    for _ in range(2):
        assert (await desk.person(row, key, audience)).hris_id == "cobalt1"
    with pytest.raises(RefusedError, match="one person"):
        await desk.person(row, b64(sha256(b"another")), audience)
    listed = {one.report: one.named_at for one in await town.listed(town.cobalt)}
    assert listed[row.report] is not None
    assert listed[strange.report] is None
    # As it is typed; the key in this file is nobody's here, and that it was asked for is recorded all the same.
    file = tmp_path / "opened"
    file.write_bytes(encode_report(town.report))
    words = ["report", "person", strange.report, str(file)]
    unsure = await run(monkeypatch, town.cobalt, *words)
    assert (unsure.exit_code, (await desk.item(strange)) != b"") == (1, True)
    gone = await run(monkeypatch, town.cobalt, *words, "--yes")
    assert (gone.exit_code, "nobody here has this key" in gone.stderr) == (1, True)
    assert "person looked up" in (await run(monkeypatch, town.cobalt, "report", "list")).stdout
    file.write_bytes(encode_report(town.report).replace(b"pay or else", b"pay or elsa"))
    changed = await run(monkeypatch, town.cobalt, *words, "--yes")
    assert changed.exit_code == 1
    await desk.close(row, "no-action")
    with pytest.raises(RefusedError, match="closed as"):
        await desk.person(row, key, audience)


async def test_nobody_answers_in_time_and_the_reporter_sees_it(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await until(town.ben, await handed_in(town), "received")
    assert found.due_at is not None
    core = town.ben.reports._core
    monkeypatch.setattr(core, "_clock", lambda: found.due_at)
    assert (await until(town.ben, found.report, "overdue")).due_at == found.due_at


async def test_a_report_waits_in_the_vault_while_the_node_is_away(town: Town) -> None:
    state = town.ben.state
    away = replace(state, account=replace(state.signed_in, url="http://127.0.0.1:9"))
    town.ben.reports._core.vault.update(lambda _state: away)
    handed = await town.ben.reports.hand_in(town.report)
    assert [one.standing for one in handed] == ["waiting", "waiting"]
    waiting = {one.report for one in town.ben.state.reports if one.item}
    town.ben.reports._core.vault.update(lambda now: replace(now, account=state.account))
    told = await town.ben.reports.reports()
    assert all(one.standing in {"sent", "received"} for one in told if one.report in waiting)
    assert not any(one.item for one in town.ben.state.reports)


async def test_reports_of_who_leaves_go_their_way_without_their_name_and_end_with_their_time(town: Town) -> None:
    async with town.cobalt.person("cobalt2") as cem:
        await cem.reports.hand_in(town.report)
        export = json.loads(await cem.api.export())
        assert "report" in {section["table"] for section in export["sections"]}
        member = cem.state.signed_in.member
        names = {one.report for one in cem.state.reports}
        shown = await town.cobalt.node.people.erasure.export(member, for_owner=False)
        assert "report" not in {section.table for section in shown.sections}
    await town.cobalt.node.people.erasure.erase(member)
    async with town.cobalt.store.read() as tx:
        assert await tx.count(MemberRow, where(member=member)) == 0
        rows = [row for row in await tx.find(ReportRow) if row.report in names]
    assert [row.member for row in rows] == ["", ""]
    assert {row.purge_at - row.made_at for row in rows} == {LONGEST_KEPT_DAYS * service.DAY_S}
    async with town.cobalt.store.write() as tx:
        await tx.put(*(replace(row, purge_at=1) for row in rows))
    await town.reports(town.cobalt).sweep()
    async with town.cobalt.store.read() as tx:
        assert not names & {row.report for row in await tx.find(ReportRow)}
