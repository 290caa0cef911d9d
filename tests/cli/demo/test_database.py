"""Where the PostgreSQL of the demo comes from, and what is said where there is none."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from cli.demo import cluster, database
from cli.demo.cluster import make_folder
from cli.demo.database import open_database
from protocol.errors import MeshError, RefusedError, UnavailableError
from tests.postgres import Cluster

pytestmark = pytest.mark.slow


def silent(_text: str) -> None:
    """Show no progress."""


async def refused(store: str, folder: Path, *, processes: int = 2) -> MeshError:
    """Return what is said where no database can be had."""
    with pytest.raises(MeshError) as caught:
        async with open_database(store, folder, processes=processes, progress=silent):
            pass
    return caught.value


async def test_without_a_postgresql_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing() -> Iterator[Path]:
        yield from ()

    place = make_folder()
    monkeypatch.setattr(cluster, "_places", nothing)
    monkeypatch.setattr(database, "make_folder", lambda: place)
    error = await refused("postgresql", tmp_path)
    assert isinstance(error, UnavailableError)
    assert "no PostgreSQL that runs here was found: install `mentormesh[demo]`" in str(error)
    assert not place.exists()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://a:secret@127.0.0.1/b", "--store: [store] url: has not the documented form"),
        ("postgresql://a@db.example/b", "needs ?sslmode=verify-full"),
        ("postgresql://a@127.0.0.1:1/b", "cannot be reached"),
    ],
)
async def test_a_url_that_nodes_may_not_use_is_refused_before_anything_is_made(
    url: str, sentence: str, tmp_path: Path
) -> None:
    error = str(await refused(url, tmp_path))
    assert sentence in error
    assert "secret" not in error


async def test_an_existing_server_is_left_clean_whatever_happens(postgres: Cluster, tmp_path: Path) -> None:
    async def fail() -> None:
        async with open_database(postgres.url, tmp_path, processes=2, progress=silent) as found:
            assert found is not None
            assert found.version[:1].isdecimal()
            assert (await found.schema("aurora")).url != (await found.schema("cobalt")).url
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    connection = await asyncpg.connect(postgres.url)
    assert await connection.fetch("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'mentormesh_demo%'") == []
    await connection.close()


async def test_a_server_that_takes_too_few_connections_is_refused(postgres: Cluster, tmp_path: Path) -> None:
    error = await refused(postgres.url, tmp_path, processes=1_000)
    assert isinstance(error, RefusedError)
    assert "and this demo needs 7010: raise max_connections" in str(error)
