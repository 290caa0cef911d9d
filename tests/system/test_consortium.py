"""Operators run and join a consortium from the command line; registry and members are processes of their own."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S, until

from .test_peers import answer, make, program, run

pytestmark = [pytest.mark.system, pytest.mark.slow]

AURORA, BIRCH, GUILD = "https://aurora.example", "https://birch.example", "https://guild.example"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[str, str, str]]:
    """Run a registry and two companies that do not know each other."""
    guild, aurora, birch = (make(tmp_path, name) for name in ("guild", "aurora", "birch"))
    with (Path(guild) / "mentormesh.toml").open("a") as settings:
        settings.write('\n[registry]\nenabled = true\nname = "Freight guild"\ncharter = "We answer."\n')
    processes = [
        subprocess.Popen(program("serve", "--dir", one, "--json"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for one in (guild, aurora, birch)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "ready"
        yield guild, aurora, birch
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(PATIENCE_S)
            assert process.stdout is not None
            process.stdout.close()


def meets(directory: str, entity: str) -> None:
    """Return once a node has met `entity`."""
    listed = ("peer", "list", "--dir", directory)
    until(lambda: any(one["entity"] == entity and one["registries"] for one in answer(*listed)))


def test_a_consortium_from_its_first_ticket_to_its_end(nodes: tuple[str, str, str]) -> None:
    guild, aurora, birch = (("--dir", one) for one in nodes)
    assert "begin with" in run("registry", "list", *guild).stdout + run("registry", "list", *guild).stderr
    assert "set [registry]" in run("registry", "list", *aurora, refused=True).stderr
    assert "in no consortium" in run("registry", "memberships", *aurora).stdout

    ticket = run("registry", "invite", *guild, AURORA).stdout.strip()
    assert "registry join" in run("peer", "accept", *aurora, ticket, "--yes", refused=True).stderr
    unsure = run("registry", "join", *aurora, ticket, refused=True)
    assert "Freight guild" in unsure.stderr
    assert "We answer." in unsure.stderr
    assert "by phone" in unsure.stderr
    assert "asked to be admitted" in run("registry", "join", *aurora, ticket, "--yes").stdout
    assert "waiting" in run("registry", "memberships", *aurora).stdout
    other = run("registry", "invite", *guild).stdout.strip()
    run("registry", "join", *birch, other, "--yes")
    assert "applied" in run("registry", "list", *guild).stdout
    assert "is a member from now on" in run("registry", "admit", *guild, AURORA).stdout
    assert "a member already" in run("registry", "admit", *guild, AURORA, refused=True).stderr
    run("registry", "admit", *guild, BIRCH)

    meets(nodes[1], BIRCH)
    meets(nodes[2], AURORA)
    assert "via guild.example" in run("peer", "list", *aurora).stdout
    assert "met       via guild.example" in run("peer", "show", *aurora, BIRCH).stdout
    assert "active, attests" in run("registry", "memberships", *aurora).stdout
    assert "a member of a consortium" in run("peer", "remove", *aurora, BIRCH, "--yes", refused=True).stderr
    assert answer("registry", "rotate", *guild) == {"statements": 2}

    suspended = run("registry", "suspend", *guild, BIRCH, "--reason", "late with the fee")
    assert "is suspended; 2 told" in suspended.stdout
    assert "suspended: late with the fee" in run("registry", "list", *guild).stdout
    assert "out: no registry" in run("peer", "list", *aurora).stdout
    assert "no member of Freight guild now (suspended)" in run("status", *birch).stdout
    assert "late" not in run("registry", "memberships", *birch).stdout
    assert "is a member again" in run("registry", "resume", *guild, BIRCH).stdout
    meets(nodes[1], BIRCH)

    run("registry", "leave", *birch, GUILD, refused=True)
    assert answer("registry", "leave", *birch, GUILD, "--yes") == {"registry": GUILD, "told": True}
    assert "removed: left" in run("registry", "list", *guild).stdout
    run("registry", "remove", *guild, AURORA, "--reason", "closed", refused=True)
    assert "no member any more" in run("registry", "remove", *guild, AURORA, "--reason", "closed", "--yes").stdout
