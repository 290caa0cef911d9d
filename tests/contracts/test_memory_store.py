"""The memory store keeps the contract of every store."""

import pytest

from federation.ports import Store
from tests.fakes.memory_store import MemoryStore

from .savepoints import SavepointContract
from .store import StoreContract


class TestMemoryStore(StoreContract, SavepointContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()
