"""What tests of every folder may ask for."""

from collections.abc import Iterator

import pytest

from tests.postgres import Cluster, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Yield a PostgreSQL server that is started for this run, or the one that TEST_POSTGRES_URL names."""
    with cluster() as found:
        yield found
