"""What has several steps and ends in the middle of them is done the next time, and nothing is stuck."""

import pytest
from msgspec.structs import replace

from cli.client.api import NodeApi
from cli.client.archive import Archive
from cli.client.places import places_of
from cli.client.recovery import Words
from protocol.encoding import sha256
from protocol.errors import UnavailableError

from .recovering import ENTROPY, another
from .test_coming_back import settled
from .world import Company

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.usefixtures("quick")]


@pytest.mark.parametrize("ended", [True, False])
async def test_a_device_that_could_not_read_the_archive_comes_into_sessions_later(
    aurora: Company, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    (place,) = places_of(settled().mentee)
    async with aurora.person("aurora1") as lost, another(aurora, "later") as later:
        await lost.recovery.add_words(ENTROPY)
        lost._core.vault.update(lambda state: replace(state, places={place.thread: place}))
        await lost.archive.push()
        await later.recovery.begin(await aurora.link("aurora1"))
        if ended:  # the program, right after it was the account's device again
            await later.recovery.restore(Words(ENTROPY))
        else:
            with monkeypatch.context() as away:
                away.setattr(Archive, "pull", gone)
                done = await later.restore(Words(ENTROPY))
            assert "The archive was not read yet" in done.synced.warnings[-1]
        assert later.state.sessions == {}
        for _ in range(2):
            await later.keep(happened=False)
            assert list(later.state.sessions) == [place.thread]


async def gone(*_: object) -> None:
    raise UnavailableError("away")


async def test_new_words_are_made_after_a_change_of_keys_that_ended_in_the_middle(
    aurora: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aurora.person("aurora1") as ana:
        await ana.recovery.add_words(ENTROPY)
        with monkeypatch.context() as away:
            away.setattr(NodeApi, "safe", gone)
            done = await ana.master_keys.change()
        assert "what is left is done" in done.synced.warnings[-1]
        assert ana.state.changing is None
        await ana.recovery.add_words(sha256(b"newer words"))
        assert [one.kind for one in await ana.recovery.slots()] == ["words"]
        await ana.keep()
        assert {one.name for one in await ana.api.safe()} > {"recovery", "archive"}
