"""Tests of `mentormesh offer`, with the node's own operations behind it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pytest
from click.testing import CliRunner, Result

from cli import node_access
from cli.node_access import DirectNode, NodeAccess
from cli.offers import offer
from node.operations import Operations
from node.services.offer_operations import OfferOperations
from protocol.errors import LimitError, MalformedError, MissingError, RefusedError, UnverifiedError
from tests.fakes.clock import SteppedClock
from tests.node.services.offers.world import AURORA, BIRCH, START, Wire, World

T = TypeVar("T")
#: Whatever a command prints.
Json: TypeAlias = Any


class Desk:
    """Two nodes that mirror each other; commands talk to Aurora unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        wire, clock = Wire(), SteppedClock(START)
        self.folder = folder
        self.clock = clock
        self.aurora = World(wire, clock=clock)
        self.birch = World(wire, own=BIRCH, peers=(AURORA,), clock=clock)
        self.node = self.aurora

    @property
    def operations(self) -> Operations:
        return Operations(OfferOperations(self.node.store, self.node.offers).operations())

    def do(self, work: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await work()

        return asyncio.run(run())

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(offer, list(words))

    def text(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Json:
        return json.loads(self.text(*words, "--json"))

    def error(self, kind: type[T], *words: str) -> str:
        result = self.run(*words)
        assert isinstance(result.exception, kind), result.output
        return str(result.exception)

    def list_something(self) -> None:
        """Have Aurora list one offer and Birch mirror it."""

        async def work() -> None:
            await self.aurora.staff(20)
            await self.aurora.mentor(0, "sox", "orphan")
            await self.aurora.catalogs.tick()
            await self.birch.mirror.poll_due()

        self.do(work)

    def own_id(self) -> str:
        found: str = self.json("list")["own"][0]["offer"]["offer_id"]
        return found

    def proof(self) -> Path:
        path = self.folder / "proof.json"
        path.write_text(self.text("show", self.own_id(), "--proof"))
        return path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path)

    @asynccontextmanager
    async def open_node(_directory: Path) -> AsyncIterator[NodeAccess]:
        yield DirectNode(made.operations)

    monkeypatch.setattr(node_access, "open_node", open_node)
    return made


def test_an_empty_node_says_what_is_missing(desk: Desk) -> None:
    assert "no mentor agreed to be listed yet" in desk.text("preview")
    listed = desk.text("list")
    assert "none are listed yet" in listed
    assert f"{BIRCH}: nothing mirrored yet" in listed
    desk.aurora.peers.peers.clear()
    assert "`mentormesh peer invite`" in desk.text("list")
    assert desk.json("preview") == {"members": 0, "k": 8, "cells": [], "missing": None}


def test_a_preview_without_enough_people_says_how_many_are_missing(desk: Desk) -> None:
    async def work() -> None:
        await desk.aurora.staff(5, country="AT")
        await desk.aurora.staff(9, first=5, job_family="Sales")
        await desk.aurora.mentor(0, "sox")

    desk.do(work)
    told = desk.text("preview")
    assert "fewer than 8 people could be meant" in told
    assert "The closest one needs 3 more people until shown." in told
    topics = desk.text("preview", "--member", "E-0")
    assert "outside: nothing; inside our matcher: “SOX carve-out”" in topics
    assert "fewer than 8 people here could be meant: 3 more until shown" in topics


def test_a_preview_shows_the_cells_and_a_members_preview_both_sides(desk: Desk) -> None:
    desk.list_something()
    assert desk.text("preview") == "Finance · do · any · en · DE · group · 20 people could be meant · listed\n"
    told = desk.text("preview", "--member", "E-0")
    assert "outside: “Finance”; inside our matcher: “SOX carve-out”" in told
    assert desk.json("preview", "--member", "E-0")[0]["outside"] == "Finance"
    assert "Finanzen" in desk.text("preview", "--language", "de")
    assert "not listed as a mentor" in desk.text("preview", "--member", "E-1")
    assert "no active member" in desk.error(MissingError, "preview", "--member", "nobody")


def test_in_works_council_mode_no_operator_sees_a_members_topics(desk: Desk) -> None:
    desk.aurora = desk.node = World(Wire(), works_council=True)
    desk.list_something()
    assert "only the mentor" in desk.error(RefusedError, "preview", "--member", "E-0")


def test_lists_tell_age_and_freshness_of_peers(desk: Desk) -> None:
    desk.list_something()
    assert "Own offers:\n" in desk.text("list")
    desk.node = desk.birch
    desk.clock.advance(7300)
    told = desk.text("list")
    assert f"{AURORA}: 1 offers, signed 2 h ago, good for 21 h" in told
    assert "Finance · do · any · en · DE" in told
    desk.clock.advance(86_400)
    told = desk.text("list")
    assert "not shown, signed 1 d ago and run out" in told
    assert "Finance" not in told
    assert desk.json("list")["mirrors"][0]["state"] == "stale"


def test_an_offer_is_shown_by_its_id(desk: Desk) -> None:
    desk.list_something()
    assert json.loads(desk.text("show", desk.own_id()))["topic"]["id"] == "ext:t:finance"
    assert "offer list" in desk.error(MissingError, "show", "A" * 22)
    assert "ID" in desk.error(MalformedError, "show", "short")


def test_a_proof_is_written_and_verified_with_and_without_a_node(desk: Desk) -> None:
    desk.list_something()
    path = desk.proof()
    told = desk.text("verify", str(path))
    assert told.startswith(f"Good: {AURORA} listed this offer in set head 1, signed ")
    offline = desk.json("verify", str(path), "--key", desk.aurora.key.public.text)
    assert offline["head"]["origin"] == AURORA
    desk.node = desk.birch
    assert desk.json("verify", str(path)) == offline


def test_a_proof_that_does_not_hold_is_refused(desk: Desk) -> None:
    desk.list_something()
    path = desk.proof()
    changed = json.loads(path.read_text())
    changed["offer"]["band"] = "lead"
    path.write_text(json.dumps(changed))
    assert "does not hold" in desk.error(UnverifiedError, "verify", str(path))
    assert desk.error(UnverifiedError, "verify", str(path), "--key", desk.aurora.key.public.text)
    assert desk.error(UnverifiedError, "verify", str(desk.proof()), "--key", desk.birch.key.public.text)
    assert desk.error(MalformedError, "verify", str(path), "--key", "no key")
    path.write_bytes(b"\xff")
    assert desk.error(MalformedError, "verify", str(path))
    path.write_bytes(b"{}" + b" " * 70_000)
    assert "64 KiB" in desk.error(LimitError, "verify", str(path))
