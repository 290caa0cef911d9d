"""Signing in, enrolling for organizations, and not believing a key that nobody vouches for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.client.api import NodeApi
from cli.client.person import Person
from cli.client.pins import document_of
from cli.client.unlock import create_vault, new_state
from node.api.exchange import Peers
from protocol.addresses import audience_id
from protocol.errors import MalformedError, MissingError, RefusedError, UnverifiedError
from protocol.fingerprints import fingerprint_words
from protocol.peers import open_document, sign_document
from protocol.signing import SigningKey, VerifyKey

from .world import PASSPHRASE, QUICK, Company, companies, company, need

pytestmark = [pytest.mark.slow, pytest.mark.system]


@pytest.fixture
async def aurora(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path, "aurora") as made:
        yield made


def another(company: Company, name: str) -> Person:
    """Return a program with a vault of its own."""
    vault = create_vault(company.folder / "clients" / name, new_state(), passphrase=PASSPHRASE, cost=QUICK)
    return Person(vault)


async def test_the_first_sign_in_makes_this_device_the_accounts(aurora: Company) -> None:
    async with another(aurora, "ana") as ana:
        done = await ana.sign_in(await aurora.link("aurora1"), name="Ana", hint="laptop")
        assert (done.first_device, done.entity, done.name) == (True, "https://aurora.example", "Ana")
        assert done.synced.enrolled == ("Aurora Works",)
        me = await ana.api.me()
        assert [(one.hint, one.this) for one in me.devices] == [("laptop", True)]
        assert me.device == me.devices[0].device
        # The node has public halves only, and no name.
        assert "Ana" not in (await ana.api.export()).decode()


async def test_a_link_is_used_once(aurora: Company) -> None:
    link = await aurora.link("aurora1")
    async with another(aurora, "ana") as ana:
        await ana.sign_in(link)
        with pytest.raises(UnverifiedError, match="used or has expired") as caught:
            await ana.sign_in(link)
        assert caught.value.code == "link"


async def test_the_same_device_signs_in_again_with_its_own_word(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        await ana.sign_out()
        with pytest.raises(RefusedError, match="not signed in"):
            _ = ana.api
        again = await ana.sign_in(await aurora.link("aurora1"))
        assert (again.first_device, again.name) == (False, "aurora1")
        assert len((await ana.api.me()).devices) == 1
        assert (await ana.api.me()).device is not None


async def test_a_link_alone_adds_no_second_device(aurora: Company) -> None:
    async with aurora.person("aurora1"), another(aurora, "thief") as thief:
        with pytest.raises(RefusedError, match="has a device already") as caught:
            await thief.sign_in(await aurora.link("aurora1"))
        assert caught.value.code == "needs-authorization"
        assert thief.state.account is None


async def test_whoever_lost_their_device_can_still_take_and_erase_their_data(aurora: Company) -> None:
    async with aurora.person("aurora1"), another(aurora, "later") as later:
        done = await later.sign_in(await aurora.link("aurora1"), only_data=True)
        assert done.synced.enrolled == ()
        assert b"aurora1@aurora.example" in await later.api.export()
        with pytest.raises(RefusedError, match="has a device already"):
            await later.ask(need())
        await later.api.erase()


async def test_a_folder_belongs_to_one_account(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        with pytest.raises(RefusedError, match="another account"):
            await ana.sign_in(await aurora.link("aurora2"))
        assert (await ana.api.me()).mail == "aurora1@aurora.example"


async def test_nobody_asks_without_signing_in(aurora: Company) -> None:
    async with another(aurora, "nobody") as nobody:
        with pytest.raises(RefusedError, match="person sign-in"):
            await nobody.ask(need())
        with pytest.raises(MalformedError, match="no sign-in link"):
            await nobody.sign_in("http://aurora.localhost:1/sign-in")


async def test_a_new_peer_is_pinned_and_enrolled_for_at_the_next_look(tmp_path: Path) -> None:
    async with (
        company(tmp_path, "aurora") as aurora,
        company(tmp_path, "cobalt") as cobalt,
        aurora.person("aurora1") as ana,
    ):
        invitation = await aurora.node.peering.service.invite()
        await cobalt.node.peering.service.accept(invitation.ticket)
        synced = await ana.sync()
        assert synced.enrolled == ("Cobalt Works",)
        assert set(synced.organizations) == {"Aurora Works", "Cobalt Works"}
        assert (await ana.sync()).enrolled == ()
        assert audience_id(aurora.entity, cobalt.entity) in ana.state.audiences


async def test_keys_that_end_soon_are_replaced_and_old_ones_still_open(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        before = {one.hash for one in ana.state.sealing}
        ana._core.vault.update(
            lambda state: replace(
                state, sealing=tuple(replace(one, expires_at=one.expires_at - 80 * 86_400) for one in state.sealing)
            )
        )
        assert (await ana.sync()).enrolled == ("Aurora Works",)
        after = {one.hash for one in ana.state.sealing}
        assert before < after
        assert len(after) == 2 * len(before)


async def test_an_organization_that_shows_another_key_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt), aurora.person("aurora1") as ana:
        with monkeypatch.context() as swapped:
            swap(swapped, cobalt.entity)
            synced = await ana.sync()
            assert synced.organizations == ("Aurora Works",)
            (warning,) = synced.warnings
            assert "The key of Cobalt Works (https://cobalt.example) has changed" in warning
            assert "mentormesh person trust https://cobalt.example" in warning
            with pytest.raises(UnverifiedError, match="has changed"):
                document_of(ana.state, cobalt.entity)
            ana.accounts.trust(cobalt.entity, ana.state.pins[cobalt.entity].changed)
            assert (await ana.sync()).warnings == ()
        # Back to the real node, whose key is now the strange one.
        assert len((await ana.sync()).warnings) == 1


async def test_only_the_key_whose_words_were_compared_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt), aurora.person("aurora1") as ana:
        with monkeypatch.context() as swapped:
            swap(swapped, cobalt.entity)
            await ana.sync()
        compared = ana.state.pins[cobalt.entity].changed
        with monkeypatch.context() as swapped:
            swap(swapped, cobalt.entity, seed=2)
            await ana.sync()
            later = ana.state.pins[cobalt.entity].changed
            assert later != compared
            with pytest.raises(RefusedError, match="changed once more"):
                ana.accounts.trust(cobalt.entity, compared)
        ana.accounts.trust(cobalt.entity, later)
        kept = ana.state.pins[cobalt.entity]
        assert fingerprint_words(VerifyKey.parse(document_of(ana.state, cobalt.entity).keys.federation)) == later
        assert (kept.changed, kept.shown) == ("", "")


async def test_signing_out_works_when_the_node_has_ended_the_sign_in_already(aurora: Company) -> None:
    async with aurora.person("aurora1") as ana:
        await ana.api.sign_out()
        await ana.sign_out()
        assert ana.state.account is not None
        assert not ana.state.account.token


async def test_nothing_goes_on_when_the_own_node_changes_its_key(
    aurora: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aurora.person("aurora1") as ana:
        swap(monkeypatch, aurora.entity)
        with pytest.raises(UnverifiedError, match=r"The key of Aurora Works .* has changed"):
            await ana.ask(need())


async def test_a_document_of_another_organization_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt):
        real = NodeApi.peers

        async def mixed(self: NodeApi) -> Peers:
            own, other = (await real(self)).peers
            return Peers(peers=(own, replace(other, document=own.document)))

        monkeypatch.setattr(NodeApi, "peers", mixed)
        async with aurora.person("aurora1") as ana:
            assert cobalt.entity not in ana.state.pins
            with pytest.raises(MissingError, match="no such organization"):
                document_of(ana.state, cobalt.entity)


def swap(patch: pytest.MonkeyPatch, entity: str, *, seed: int = 1) -> None:
    """Let the node pass on a document of `entity` that names and is signed by another federation key."""
    real, key = NodeApi.peers, SigningKey(bytes([seed]) * 32)

    async def swapped(self: NodeApi) -> Peers:
        views = (await real(self)).peers
        return Peers(
            peers=tuple(
                replace(one, document=_resigned(one.document)) if one.entity == entity else one for one in views
            )
        )

    def _resigned(text: str) -> str:
        document = open_document(text)
        keys = replace(document.keys, federation=key.public.text)
        return sign_document(replace(document, keys=keys, seq=document.seq + 1), key)

    patch.setattr(NodeApi, "peers", swapped)
