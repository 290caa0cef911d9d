"""A person's client looks for itself in what other organizations hold, and says in red what is not its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from cli.client.check_views import KeyCheck
from cli.client.person import Person
from cli.client.pins import document_of
from cli.client.records import DirectoryRecord
from cli.client.selfcheck import next_at
from cli.client.views import Alarm
from cli.demo.swap import Impostor, put_in, take_out
from cli.main import main
from federation.limits import Buckets
from protocol.addresses import audience_id
from protocol.directorypages import AskDirectoryPage, make_token
from protocol.e2ee.keys import AccountSecret, DeviceSecret
from protocol.errors import LimitError, MissingError, UnverifiedError
from protocol.keyproof import Circle, parse_proof, verify_proof
from tests.patience import comes_true

from .world import PASSPHRASE, Company, companies, listed_everywhere

DAY: Final = 86_400
IMPOSTOR_SEED: Final = bytes(range(32))


def connected(person: Person, *others: Company) -> Person:
    """Let the client find other companies on this machine."""
    for one in others:
        person.self_check.connect(one.entity, f"127.0.0.1:{one.node.base.port}")
    return person


async def check(person: Person, outcome: str) -> KeyCheck:
    """Return the look at the other company once it comes to `outcome`: directories change within seconds."""
    seen: list[KeyCheck] = []

    async def come() -> bool:
        seen[:] = [one for one in await person.self_check.all() if one.entity]
        return seen[0].outcome == outcome

    await comes_true(come)
    return seen[0]


def database(company: Company) -> Path:
    return company.folder / "nodes" / company.entity.removeprefix("https://").partition(".")[0] / "data" / "node.db"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Company, Company, Person]]:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt), aurora.person("aurora1") as ana:
        await listed_everywhere(ana)
        yield aurora, cobalt, connected(ana, cobalt)


@pytest.mark.slow
@pytest.mark.system
async def test_a_person_sees_that_others_are_shown_their_own_key_and_nothing_else(
    pair: tuple[Company, Company, Person],
) -> None:
    _, cobalt, ana = pair
    outside = await check(ana, "clean")
    assert (outside.entity, outside.attested_by) == (cobalt.entity, (cobalt.entity,))
    assert [(one.outcome, one.entity) for one in await ana.self_check.all()] == [
        ("unwitnessed", ""),
        ("clean", cobalt.entity),
    ]
    assert outside.entries >= 16
    assert outside.devices == (ana.state.device_secret.key(outside.audience).public.text,)
    # As typed, for programs: everything that was compared.
    typed = await asyncio.to_thread(
        CliRunner(env={"MENTORMESH_PASSPHRASE": PASSPHRASE}).invoke,
        main,
        [
            *("person", "check-keys", "--json", "--home", str(ana.folder)),
            *("--connect", f"{cobalt.entity}=127.0.0.1:{cobalt.node.base.port}"),
        ],
    )
    assert typed.exit_code == 0, typed.output
    assert [one["outcome"] for one in json.loads(typed.stdout)] == ["unwitnessed", "clean"]


@pytest.mark.slow
@pytest.mark.system
async def test_a_key_put_in_the_place_of_ones_own_is_a_red_alarm_with_a_proof(
    pair: tuple[Company, Company, Person],
) -> None:
    aurora, cobalt, ana = pair
    audience = audience_id(aurora.entity, cobalt.entity)
    device = ana.state.device_secret.key(audience).public.text
    assert (await check(ana, "clean")).devices == (device,)
    # First the entry vanishes, because a mirror takes no other key under a label that it holds.
    # In a thread: the node that it waits for runs in this one.
    await asyncio.to_thread(take_out, database(aurora), device_key=device)
    assert "does not see this device" in (await check(ana, "hidden")).sentence
    impostor = Impostor(
        account=AccountSecret(IMPOSTOR_SEED),
        device=DeviceSecret(IMPOSTOR_SEED),
        label=ana.state.account_secret.label(audience),
    )
    now = ana._core.now()
    await asyncio.to_thread(put_in, database(aurora), impostor, device_key=device, audience=audience, now=now)
    found = await check(ana, "swapped")
    assert "is not yours" in found.sentence
    # The proof stands without a node: the impostor's key, signed by the employer, attested by the other company.
    proof = parse_proof(await asyncio.to_thread(Path(found.evidence).read_bytes))
    circle = Circle(
        audience=audience,
        members=(aurora.entity, cobalt.entity),
        documents={one.entity: document_of(ana.state, one.entity) for one in (aurora, cobalt)},
    )
    shown = verify_proof(proof, circle, origin=aurora.entity, now=ana._core.now())
    assert shown.opened.entry.label == impostor.label
    assert shown.opened.entry.identity_key == impostor.account.identity(audience).public.text
    assert shown.head.attested_by == (cobalt.entity,)
    # Nobody has to type anything: the loop looks once a day.
    ana._core.vault.update(lambda state: replace(state, self_check_at=1))
    alarms = [event for event in await ana.poll() if isinstance(event, Alarm)]
    assert [one.code for one in alarms] == ["swapped"]
    assert ana.state.self_check_at > ana._core.now()
    assert await ana.poll() == ()


@pytest.mark.slow
@pytest.mark.system
async def test_another_organization_that_is_away_is_asked_again_and_raises_no_alarm(
    pair: tuple[Company, Company, Person],
) -> None:
    _, cobalt, ana = pair
    ana.self_check.connect(cobalt.entity, "127.0.0.1:9")
    ana._core.vault.update(lambda state: replace(state, self_check_at=1))
    assert await ana.poll() == ()
    assert ana._core.now() < ana.state.self_check_at <= ana._core.now() + 3_600
    assert [one.outcome for one in await ana.self_check.all()] == ["unwitnessed", "unreached"]


async def check_stories(ana: Person) -> None:
    """What the own node showed before is held against the mirror's: another story is red, an older one amber."""
    (place,) = [one for one in ana.state.directories if one.endswith(audience_of(ana))]
    shown = ana.state.directories[place]
    for changed, outcome, words in (
        ({"head_hash": "A" * 43}, "refused", "another directory of your organization"),
        ({"seq": shown.seq + 1_000}, "unreached", "older than one seen before"),
    ):
        keep_directory(ana, place, replace(shown, **changed))
        (found,) = [one for one in await ana.self_check.all() if one.entity]
        assert (found.outcome, words in found.sentence) == (outcome, True), found
    keep_directory(ana, place, shown)


def keep_directory(person: Person, place: str, record: DirectoryRecord) -> None:
    person._core.vault.update(lambda state: replace(state, directories={place: record}))


def audience_of(person: Person) -> str:
    own = audience_id(person.state.signed_in.entity)
    (found,) = [one for one in person.state.audiences if one != own]
    return found


@pytest.mark.slow
@pytest.mark.system
async def test_a_mirror_shows_a_directory_to_the_people_of_its_origin_and_to_nobody_else(
    pair: tuple[Company, Company, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    aurora, cobalt, ana = pair
    outside = await check(ana, "clean")
    given = await ana.api.directory_token(outside.audience)
    assert given == await ana.api.directory_token(outside.audience)
    foreign = cobalt.node.directories.foreign
    asked = AskDirectoryPage(audience=outside.audience, issuer=aurora.entity, token=given.token)
    assert (await foreign.page(asked)).data
    forged = make_token(outside.audience, cobalt.node.base.keys.attest, issuer=aurora.entity, now=ana._core.now())
    for wrong, error in (
        ({"page": 500}, MissingError),
        ({"issuer": "https://stranger.example"}, UnverifiedError),
        ({"issuer": cobalt.entity}, UnverifiedError),
        ({"audience": audience_id(cobalt.entity)}, UnverifiedError),
        ({"token": forged}, UnverifiedError),
    ):
        with pytest.raises(error):
            await foreign.page(replace(asked, **wrong))
    # A token of a peer for an audience that the two do not share is no leave.
    elsewhere = audience_id(aurora.entity)
    signed = make_token(elsewhere, aurora.node.base.keys.attest, issuer=aurora.entity, now=ana._core.now())
    with pytest.raises(UnverifiedError) as refusal:
        await foreign.page(AskDirectoryPage(audience=elsewhere, issuer=aurora.entity, token=signed))
    assert refusal.value.code == "wrong-audience"
    with pytest.raises(MissingError):
        await ana.api.directory_token(elsewhere)
    await check_stories(ana)
    monkeypatch.setattr(foreign, "_budget", Buckets(per_minute=1))
    await foreign.page(asked)
    with pytest.raises(LimitError):
        await foreign.page(asked)


def test_the_next_look_is_at_a_random_second_of_the_next_day() -> None:
    now = 20_454 * DAY + 4_711
    moments = {next_at(now) for _ in range(50)}
    assert all(20_455 * DAY <= at < 20_456 * DAY for at in moments)
    assert len(moments) > 40
