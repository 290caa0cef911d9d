"""Where the nodes of a test keep their rows: some modules run twice, with a file or memory, and in PostgreSQL.

`make test` runs the second time of `SHORT`, `make test-long` also that of `WHOLE`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from federation.ports import Clock, Store
from node.sections import StoreSection
from node.store.opening import NodeStore, open_store

from .fakes.memory_store import MemoryStore
from .postgres import Cluster, script

POSTGRESQL: Final = "postgresql"

#: Modules whose tests also run in PostgreSQL: these always,
SHORT: Final = frozenset({"node/exchange/test_blobs.py"})
#: and these among the long tests.
WHOLE: Final = frozenset(
    {
        "attacks/test_access.py",
        "attacks/test_forms.py",
        "attacks/test_http.py",
        "attacks/test_log_and_catalog.py",
        "attacks/test_signatures.py",
        "attacks/test_state.py",
        "federation/test_changed_keys.py",
        "federation/test_discovery.py",
        "federation/test_healing.py",
        "federation/test_inbound.py",
        "federation/test_log_keys.py",
        "federation/test_peering.py",
        "federation/test_sequencer.py",
        "node/api/test_edge.py",
        "node/api/test_federation.py",
        "node/api/test_operator.py",
        "node/exchange/test_agreement.py",
        "node/exchange/test_backups.py",
        "node/exchange/test_delivery.py",
        "node/exchange/test_leaving.py",
        "node/exchange/test_mailbox.py",
        "node/exchange/test_quotes.py",
        "node/exchange/test_recovery.py",
        "node/exchange/test_retention.py",
        "node/exchange/test_sessions.py",
        "node/services/people/test_accounts.py",
        "node/services/people/test_devices.py",
        "node/services/people/test_erasure.py",
        "node/services/people/test_members.py",
        "node/services/people/test_safe.py",
        "node/test_key_service.py",
        "node/test_nodelog.py",
        "node/test_witnessing.py",
    }
)
#: Tests of them that need the file of rows itself, and what for.
FILE_ONLY: Final = {
    "test_looking_for_a_member_takes_the_same_steps_as_for_nobody": "counts the statements on its connection",
    "test_a_restored_node_goes_on_in_a_successor_that_its_document_names": "restores the file",
    "test_a_database_set_back_is_noticed_before_anything_is_signed": "sets the file back",
    "test_a_larger_log_that_is_only_claimed_waits_for_an_administrator": "sets the file back",
    "test_a_full_disk_is_507_while_reading_goes_on_and_ends_without_a_restart": "bounds the pages of the file",
    "test_fifty_acceptances_at_once_take_the_one_place_once": "fifty on a busy machine outlast the wait for a session",
}

EMPTY: Final = """
DO $$ DECLARE one text; BEGIN
    FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> 'migration'
    LOOP EXECUTE format('DELETE FROM %I', one); END LOOP;
END $$
"""


class Kept:
    """The choice for the tests of the present module: a server, or files where there is none."""

    def __init__(self) -> None:
        self.cluster: Cluster | None = None
        self._free: list[str] = []
        self._left: list[str] = []

    @asynccontextmanager
    async def section(self, chosen: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the values of a node's [store]; `chosen` decides where the test says so itself."""
        if self.cluster is None or "url" in chosen:
            yield chosen
            return
        url = await self._schema(self.cluster)
        yield {**chosen, "url": url}
        self._left.append(url)

    async def _schema(self, cluster: Cluster) -> str:
        """Return a schema without rows: making its tables takes longer than most tests."""
        if not self._free:
            return await cluster.fresh()
        url = self._free.pop()
        await script(url, EMPTY)
        return url

    def next_test(self) -> None:
        """Let the schemas that were left be used again: until now a test may come back to its own."""
        self._free += self._left
        self._left.clear()


kept: Final = Kept()


@asynccontextmanager
async def opened(folder: Path, *, clock: Clock) -> AsyncIterator[NodeStore]:
    """Yield a new store, in `folder` if it is a file."""
    async with kept.section({}) as chosen:
        section = StoreSection(path="node.db", commit_window_ms=0, **chosen)
        async with open_store(folder, section, clock=clock) as store:
            yield store


@asynccontextmanager
async def stored(clock: Clock) -> AsyncIterator[Store]:
    """Yield a new store that is in memory unless the module runs in PostgreSQL."""
    if kept.cluster is None:
        yield MemoryStore()
        return
    async with opened(Path(), clock=clock) as store:
        yield store


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Let a test of a chosen module run with either store."""
    module = metafunc.definition.path.relative_to(Path(__file__).parent).as_posix()
    if module not in SHORT | WHOLE or metafunc.definition.originalname in FILE_ONLY:
        return
    places: list[Any] = ["file"]
    if module in SHORT:
        places.append(pytest.param(POSTGRESQL, marks=pytest.mark.slow))
    elif "not long" not in metafunc.config.option.markexpr:  # else to make thousands of them takes seconds for nothing
        places.append(pytest.param(POSTGRESQL, marks=pytest.mark.long))
    metafunc.parametrize("kept_in", places, indirect=True, scope="module")
