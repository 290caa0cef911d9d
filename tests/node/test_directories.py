"""Key directories of real nodes: people are listed where they enrolled, and erased with every peer's receipt."""

from pathlib import Path

import pytest

from federation.ports import where
from federation.rows import EntryErasureRow, KeyDirectoryRow, KeyEntryRow, MirrorPageRow
from node.rows import LabelRow
from node.services.key_directory import load_crowd
from node.services.key_lookup import KeyQuery
from protocol.addresses import audience_id
from protocol.encoding import decode
from protocol.erasure import open_receipt
from protocol.keyentries import EntrySet, KeyEntry, check_vouch
from protocol.pages import decode_page
from protocol.signing import VerifyKey
from tests.cli.client.world import Company, companies, company, listed_everywhere
from tests.patience import comes_true

pytestmark = [pytest.mark.slow, pytest.mark.system]


async def entries_of(one: Company, audience: str) -> list[KeyEntryRow]:
    async with one.store.read() as rows:
        return [row for row in await rows.find(KeyEntryRow) if row.audience == audience]


async def labels_of(one: Company, audience: str) -> set[str]:
    async with one.store.read() as rows:
        return {row.label for row in await rows.find(LabelRow) if row.audience == audience}


async def test_people_are_listed_where_they_enrolled_among_decoys(tmp_path: Path) -> None:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt), aurora.person("aurora1") as ana:
        await listed_everywhere(ana)
        pair, inside = audience_id(aurora.entity, cobalt.entity), audience_id(aurora.entity)
        for audience in (pair, inside):
            rows = await entries_of(aurora, audience)
            assert len(rows) == 16
            own = ana.state.account_secret.label(audience)
            assert [row.label for row in rows if row.label in await labels_of(aurora, audience)] == [own]
            bodies = [row.body for row in rows]
            entries = EntrySet(audience=audience, now=ana._core.now(), before={})
            assert len([entries.take(body) for body in bodies]) == 16
            assert len({len(body) for body in bodies}) == 1
            (mine,) = [decode(row.body, KeyEntry) for row in rows if row.label == own]
            opening = ana.state.account_secret.open_vouch(audience, "aurora1")
            assert check_vouch(mine, opening, audience=audience).label == own
        assert await labels_of(cobalt, pair) == set()


async def test_a_removed_device_leaves_and_an_erased_person_is_confirmed_as_erased(tmp_path: Path) -> None:
    async with companies(tmp_path, "aurora", "cobalt") as (aurora, cobalt), aurora.person("aurora1") as ana:
        await listed_everywhere(ana)
        pair = audience_id(aurora.entity, cobalt.entity)
        own = ana.state.account_secret.label(pair)
        receipt = await ana.api.erase()
        assert len(receipt.entries) == 2
        assert own not in {row.label for row in await entries_of(aurora, pair)}

        async def confirmed() -> bool:
            async with aurora.store.read() as rows:
                found = [row for row in await rows.find(EntryErasureRow) if row.commitment in receipt.entries]
            return bool(found) and all(row.receipt for row in found)

        await comes_true(confirmed)
        async with cobalt.store.read() as rows:
            pages = [row for row in await rows.find(MirrorPageRow) if row.kind == "keys"]
        bodies = [one.body for page in pages for one in decode_page(page.data).entries]
        assert own.encode() not in b"".join(bodies)
        async with aurora.store.read() as rows:
            found = [row for row in await rows.find(EntryErasureRow) if row.commitment in receipt.entries]
        key = VerifyKey.parse(cobalt.node.base.keys.attest.public.text)
        assert {open_receipt(row.receipt, key).mirror for row in found} == {cobalt.entity}


async def test_a_device_that_is_removed_leaves_the_directory(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana:
        await listed_everywhere(ana)
        inside = audience_id(aurora.entity)
        own = ana.state.account_secret.label(inside)
        (device,) = [one.device for one in (await ana.api.me()).devices]
        await ana.api.remove_device(device)

        async def gone() -> bool:
            return own not in {row.label for row in await entries_of(aurora, inside)}

        await comes_true(gone)
        assert len(await entries_of(aurora, inside)) == 16


async def test_after_a_restore_every_number_goes_on_beyond_what_was_lost(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana:
        await listed_everywhere(ana)
        inside = audience_id(aurora.entity)
        before = {row.label: row.seq for row in await entries_of(aurora, inside)}
        directory = aurora.node.directories.directory
        object.__setattr__(directory, "_generation", directory._generation + 1)

        async def moved() -> bool:
            directory.wake()
            rows = await entries_of(aurora, inside)
            return all(row.seq > before[row.label] for row in rows if row.label in before)

        await comes_true(moved)
        async with aurora.store.read() as rows:
            row = await rows.get(KeyDirectoryRow, inside)
        assert row is not None
        assert row.generation == directory._generation
        labels = {one.label for one in load_crowd(row).decoys}
        assert len(labels & before.keys()) == 15


async def test_who_comes_back_after_a_restore_that_forgot_them_goes_on_and_looks_like_a_decoy(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana:
        await listed_everywhere(ana)
        inside = audience_id(aurora.entity)
        own = ana.state.account_secret.label(inside)
        directory = aurora.node.directories.directory
        object.__setattr__(directory, "_generation", directory._generation + 1)
        async with aurora.store.write() as tx:
            for kind in (KeyEntryRow, KeyDirectoryRow):
                await tx.delete(kind, where(audience=inside))

        async def listed() -> bool:
            directory.wake()
            return own in {row.label for row in await entries_of(aurora, inside)}

        await comes_true(listed)
        numbers = {row.seq for row in await entries_of(aurora, inside)}
        assert len(numbers) == 1
        assert min(numbers) > 2**24


async def test_what_is_asked_for_by_prefix_tells_nobody_whom(tmp_path: Path) -> None:
    async with company(tmp_path, "aurora") as aurora, aurora.person("aurora1") as ana:
        await listed_everywhere(ana)
        query = KeyQuery(origin=aurora.entity, audience=audience_id(aurora.entity), prefix="0000")
        assert len((await ana.api.keys(query)).entries) == 16
