"""The PostgreSQL server of the demo: where its programs are found, and that it ends with who started it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo import cluster
from cli.demo.cluster import OwnServer, find_programs, make_folder
from protocol.errors import UnavailableError

pytestmark = pytest.mark.slow


@pytest.fixture(name="folder")
def folder_fixture() -> Iterator[Path]:
    folder = make_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(name="server")
def server_fixture(folder: Path) -> OwnServer:
    programs = find_programs(folder)
    if programs is None:
        pytest.skip("NOT TESTED: no PostgreSQL that runs here")
    return OwnServer(programs, folder, {"fsync": "off"})


def test_a_server_ends_when_its_keeper_is_told_to_or_has_nobody_any_more(server: OwnServer) -> None:
    server.make()
    for told in (True, False):
        server.start()
        assert Path(f"/proc/{server.pid}").exists()
        keeper = server._keeper
        assert keeper is not None
        if told:
            keeper.send_signal(signal.SIGTERM)
            assert keeper.wait(20) == 0
        server.stop()  # closes its standard input, as the system does for a program that was killed
        assert keeper.returncode == 0
        assert not Path(f"/proc/{server.pid}").exists()


def test_a_server_that_cannot_start_says_why(server: OwnServer) -> None:
    with pytest.raises(UnavailableError, match=r"PostgreSQL does not start: .*data"):
        server.start()
    with pytest.raises(UnavailableError, match=r"cannot be set up here: .*"):
        server.make()


def fake(place: Path) -> Path:
    """Make programs that run and do nothing."""
    place.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (place / name).write_text("#!/bin/sh\nexit 0\n")
        (place / name).chmod(0o755)
    return place


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_programs_that_the_servers_user_cannot_reach_are_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = fake(tmp_path / "home" / "install" / "bin")
    hidden.parent.parent.chmod(0o700)
    monkeypatch.setattr(cluster, "_places", lambda: [hidden])
    found = find_programs(folder)
    assert found == folder / "programs" / "bin"
    run = [found / "postgres"]
    subprocess.run(run, check=True, user=cluster.NOBODY)


def test_without_programs_that_run_there_is_no_server(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = fake(tmp_path / "broken" / "bin")
    (broken / "postgres").write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    monkeypatch.setattr(cluster, "_places", lambda: [tmp_path / "none", broken])
    assert find_programs(folder) is None
