"""`mentormesh demo --attack equivocation`: a company tells two others two stories, and is caught by what they compare.

Nothing here tells the others what to look for: they are `mentormesh serve` processes that do what every node does.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

import cli
from cli.evidence import Verdict
from federation.evidence import Recorded
from federation.peer_views import PeerInfo
from node.services.board import ShowBoard
from node.services.peers import OnePeer
from node.services.standing import BoardView, PeerLine
from node.services.witness_operations import EvidenceBundle, ExportEvidence, ListEvidence, ThawPeer
from node.status import NodeStatus, ShowStatus
from protocol.addresses import audience_id
from protocol.encoding import decode_loose
from protocol.errors import UnavailableError

from .consortium import GUILD, Consortium, until
from .events import AttackSummary
from .liar import Order
from .nodes import NodeProcess, stop_all
from .patience import waiting
from .telling import Tell, Telling

#: Both kinds of contradiction that this attack makes.
KINDS: Final = ("two-checkpoints", "two-heads")
WORDS: Final = {"two-checkpoints": "two logs", "two-heads": "two sets of offers"}


class Attack:
    """One run of the attack: Birch lies to Aurora and Cobalt."""

    def __init__(self, consortium: Consortium, folder: Path, tell: Tell) -> None:
        self._consortium: Final = consortium
        self._folder: Final = folder
        self._telling: Final = Telling(tell)
        self._liar: Final = consortium.liar
        self._others: Final = consortium.others
        self._forked_at = 0.0
        self._found: Final[dict[str, tuple[str, ...]]] = {}
        self._frozen: Final[list[str]] = []
        self._verified: Final[list[str]] = []
        self._thawed: Final[list[str]] = []
        self._found_s = 0.0

    async def run(self) -> AttackSummary:
        """Play it and return what came of it; what does not happen in time is said there."""
        missed = ""
        try:
            await self._fork()
            await self._sign()
            await self._wait_for_evidence()
            await self._show_evidence()
            await self._show_administrators()
            await self._thaw()
        except UnavailableError as error:
            missed = str(error)
        caught = not missed and len(self._verified) == len(KINDS)
        return AttackSummary(
            attack="equivocation",
            caught=caught,
            liar=self._liar.plan.entity,
            found=self._found,
            frozen_by=tuple(self._frozen),
            verified=tuple(self._verified),
            thawed_by=tuple(self._thawed),
            missed=missed,
            folder=str(self._folder),
            found_seconds=round(self._found_s, 2),
            seconds=self._telling.seconds,
        )

    # The lie

    async def _fork(self) -> None:
        offers = [await self._consortium.offers_at(node) for node in self._others]
        liar, (aurora, cobalt) = self._liar.plan.short, self._others
        self._scene(f"{liar} is honest so far")
        self._say(None, f"Three companies meet in {GUILD.display_name}, a consortium. Each node watches the others.")
        for node, count in zip(self._others, offers, strict=True):
            self._say(node, f"has copied {count} offers of {liar}; its witness signed {liar}’s log.")
        self._scene(f"{liar} tells two stories")
        await self._liar.order(
            Order(
                do="fork",
                second=str(self._consortium.second),
                unseen=((cobalt.plan.entity,), (aurora.plan.entity, GUILD.entity)),
            )
        )
        self._forked_at = time.monotonic()
        told = await self._liar.order(Order(do="tell", audience=audience_id(GUILD.entity)))
        self._say(self._liar, "now runs twice, with the same keys. One copy talks to Aurora, the other to Cobalt.")
        for node, story in zip(self._others, told.stories, strict=True):
            self._say(
                self._liar, f"to {node.plan.short}: set of offers number {story.seq}, with {story.offers} offers."
            )
        # Whether a set is copied before its owner is frozen is a matter of moments: let both have it first.
        async with waiting("the two sets of offers were not compared"):
            await until(self._all_hold("two-heads"))

    async def _sign(self) -> None:
        before = {node.plan.name: (await self._line(node)).cosigned_theirs.size for node in self._others}
        done = await self._liar.order(Order(do="sign"))
        self._scene(f"{self._liar.plan.short} has both stories signed")
        for node, story in zip(self._others, done.stories, strict=True):
            self._say(self._liar, f"to {node.plan.short}: log of {story.size} entries, root {story.root[:12]}…")

        async def is_signed(node: NodeProcess) -> bool:
            return (await self._line(node)).cosigned_theirs.size > before[node.plan.name]

        async with waiting("the witnesses did not sign"):
            await asyncio.gather(*(until(partial(is_signed, node)) for node in self._others))
        for node in self._others:
            size = (await self._line(node)).cosigned_theirs.size
            self._say(
                node, f"its witness signed {self._liar.plan.short}’s log (size {size}): to it, the log only grew."
            )
        self._say(None, "Neither can know alone. Each of them was told nothing false that it could check by itself.")

    # How it is found

    async def _wait_for_evidence(self) -> None:
        self._scene("The others compare what they saw")
        self._say(None, "Every node asks its peers which versions of everybody’s logs and sets they hold.")
        async with waiting("the two logs were not compared"):
            await until(self._all_hold("two-checkpoints"))
        self._found_s = time.monotonic() - self._forked_at
        for node in self._others:
            held = await self._evidence(node)
            self._found[node.plan.name] = tuple(sorted({one.kind for one in held}))
            what = " and ".join(WORDS[kind] for kind in KINDS if kind in self._found[node.plan.name])
            self._say(node, f"holds proof of {what}, both with {self._liar.plan.short}’s signature.")
        self._say(None, f"Found {self._found_s:.1f} s after the lie; nobody had told them what to look for.")

    async def _evidence(self, node: NodeProcess) -> tuple[Recorded, ...]:
        held = await node.ask("evidence.list", ListEvidence(), tuple[Recorded, ...])
        return tuple(one for one in held if one.accused == self._liar.plan.entity and one.bound)

    def _all_hold(self, kind: str) -> Callable[[], Awaitable[bool]]:
        async def hold() -> bool:
            held = [await self._evidence(node) for node in self._others]
            return all(kind in {one.kind for one in some} for some in held)

        return hold

    # What it is worth

    async def _show_evidence(self) -> None:
        self._scene("The proof needs nobody’s word")
        finder, _ = self._others
        pinned = await finder.ask("peer.show", OnePeer(entity=self._liar.plan.entity), PeerInfo)
        for kind in KINDS:
            one = next(one for one in await self._evidence(finder) if one.kind == kind)
            found = await finder.ask("evidence.export", ExportEvidence(hash=one.hash), EvidenceBundle)
            file = self._folder / f"evidence-{kind}.json"
            file.write_text(found.bundle, encoding="utf-8")
            self._say(finder, f"wrote {file.name}, {len(found.bundle):,} bytes.")
            verdict = await _verify(file)
            if verdict is None or (verdict.accused, verdict.kind) != (self._liar.plan.entity, kind):
                raise UnavailableError(f"{file.name} does not verify")
            if set(verdict.words) != {pinned.words}:
                raise UnavailableError(f"{file.name} names another key than the one that is pinned")
            self._verified.append(str(file))
            self._say(None, f"`mentormesh log evidence verify {file.name}`: {verdict.what}.")
        self._say(None, f"It names the key that everybody pinned, words: {pinned.words}.")

    async def _show_administrators(self) -> None:
        self._scene("What the administrators see")
        for node in self._others:
            line = await self._line(node)
            if line.frozen_at is None:
                raise UnavailableError(f"{node.plan.display_name} did not freeze {self._liar.plan.display_name}")
            self._frozen.append(node.plan.name)
            status = await node.ask("node.status", ShowStatus(), NodeStatus)
            for alert in status.alerts:
                if alert.about in {"evidence", "logs"}:
                    self._say(node, f"{alert.about}: {alert.detail}.")
        self._say(None, "Frozen means: no new requests either way. Sessions that were begun go on.")

    async def _thaw(self) -> None:
        self._scene("An administrator decides")
        await stop_all([self._liar])
        self._say(self._liar, "is called by phone, and stops both copies.")
        for node in self._others:
            await node.ask("evidence.thaw", ThawPeer(entity=self._liar.plan.entity), type(None))
            if (await self._line(node)).frozen_at is not None or not await self._evidence(node):
                raise UnavailableError(f"{node.plan.display_name} could not thaw it, or lost the evidence")
            self._thawed.append(node.plan.name)
            self._say(node, f"thaws {self._liar.plan.short}: it may begin anew. The evidence stays.")

    async def _line(self, node: NodeProcess) -> PeerLine:
        """Return the liar's row on the board of a node."""
        view = await node.ask("peer.board", ShowBoard(), BoardView)
        return next(one for one in view.peers if one.entity == self._liar.plan.entity)

    # Saying it

    def _scene(self, title: str) -> None:
        self._telling.scene(title)

    def _say(self, node: NodeProcess | None, text: str) -> None:
        self._telling.say(node.plan.name if node is not None else "", text)


async def _verify(file: Path) -> Verdict | None:
    """Return what the program says to a file, run as anybody would who has no node; None: it does not verify."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli.main", "log", "evidence", "verify", str(file), "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(cli.__file__).parent.parent,
    )
    said, _ = await process.communicate()
    return decode_loose(said, Verdict, what="verdict") if process.returncode == 0 else None
