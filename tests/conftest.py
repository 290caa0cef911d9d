"""What tests of every folder may ask for."""

import gc
from collections.abc import Iterator

import pytest

from tests.kept import POSTGRESQL, kept, parametrize
from tests.postgres import Cluster, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Yield a PostgreSQL server that is started for this run, or the one that TEST_POSTGRES_URL names."""
    with cluster() as found:
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among the tests, then or later: they stay, and it takes a third of the time of collecting."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let marked modules run with either store."""
    parametrize(metafunc)


@pytest.fixture(scope="module", autouse=True)
def kept_in(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the nodes of a module keep their rows where its parameter says; in files without one."""
    if getattr(request, "param", None) == POSTGRESQL:
        kept.cluster = request.getfixturevalue("postgres")
    yield
    kept.cluster = None


@pytest.fixture(autouse=True)
def kept_anew() -> Iterator[None]:
    """Let schemas be used again by the next test."""
    yield
    kept.next_test()
