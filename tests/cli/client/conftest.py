"""One company for tests of what a single person does with their client; a module may make its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.client import recovery, unlock

from .world import PASSPHRASE, QUICK, Company, company


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let passphrases cost little, and commands know that of every vault."""
    monkeypatch.setattr(recovery.Recovery.__init__, "__kwdefaults__", {"cost": QUICK})
    monkeypatch.setattr(unlock.create_vault, "__kwdefaults__", {"cost": QUICK})
    monkeypatch.setenv("MENTORMESH_PASSPHRASE", PASSPHRASE)


@pytest.fixture
async def aurora(tmp_path: Path) -> AsyncIterator[Company]:
    async with company(tmp_path, "aurora") as made:
        yield made
