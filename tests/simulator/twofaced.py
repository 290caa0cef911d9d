"""A member that lies: two nodes with the same keys, of which each asker always meets the same one, and forgeries."""

from collections.abc import Sequence
from typing import Final, Literal

from msgspec.structs import replace

from federation.calls import Answer
from federation.ports import Row
from federation.publisher import newest_head, own_head
from protocol.commitments import Opening
from protocol.encoding import b64, sha256
from protocol.heads import head_hash, sign_head
from protocol.logleaves import AgreementsLeaf, head_leaf
from tests.fakes.memory_store import Table

from .faults import Faults
from .loop import LoopClock
from .lossy import Lines
from .member import Member

#: What it lies about:
#: - two stories: other sets and other logs for the two halves;
#: - forked log: the same sets, in other logs;
#: - number twice: other sets for the two halves, and one log that lists both under one number;
#: - rewritten set: everybody is shown a head that follows another one than was shown before, and the log lists it.
Lie = Literal["two stories", "forked log", "number twice", "rewritten set"]
LIES: Final[tuple[Lie, ...]] = ("two stories", "forked log", "number twice", "rewritten set")


class TwoFaced:
    """The liar; honest until it forks."""

    def __init__(self, name: str, lines: Lines, clock: LoopClock, seed: int) -> None:
        self.name: Final = name
        self._lines: Final = lines
        self._clock: Final = clock
        self._seed: Final = seed
        self.faces: Final = [self._face()]
        self._second: frozenset[str] = frozenset()
        self._one_log = True
        self._numbers = 0

    def _face(self) -> Member:
        return Member(self.name, self._lines, self._clock, Faults.calm(), self._seed)

    @property
    def entity(self) -> str:
        """Who it is."""
        return self.faces[0].entity

    def fork(self, lie: Lie, second: frozenset[str]) -> None:
        """From now on `second` meet the other face."""
        first, other = self.faces[0], self._face()
        other.tables.update(copied(first.tables))
        other.start()
        self.faces.append(other)
        for face in self.faces:
            face.witnessing.start_check.open()  # who lies asks nobody whether its log is the newest
        self._second = second if lie != "rewritten set" else frozenset()
        self._one_log = lie in {"number twice", "rewritten set"}

    async def answer(self, sender: str, target: str, body: bytes, *, etag: str = "") -> Answer:
        """Answer as the face that `sender` knows."""
        face = self.faces[sender in self._second]
        if self._one_log and target.startswith("/log/"):
            face = self.faces[0]
        return await face.answer(sender, target, body, etag=etag)

    async def tell(self, lie: Lie, audience: str, stories: Sequence[Sequence[Opening]]) -> None:
        """Publish what the lie says next; a set is rewritten once."""
        self._numbers += 1
        match lie:
            case "two stories":
                for face, story in zip(self.faces, stories, strict=True):
                    await publish(face, audience, story)
            case "forked log":
                for which, face in enumerate(self.faces):
                    await publish(face, audience, stories[0])
                    await self._grow(face, which)
            case "number twice":
                for face, story in zip(self.faces, stories, strict=True):
                    await publish(face, audience, story)
                await self._list_second(audience)
            case "rewritten set" if self._numbers == 1:
                await self._rewrite(audience)
                await publish(self.faces[0], audience, stories[1])
            case _:
                pass

    async def _grow(self, face: Member, which: int) -> None:
        root = b64(sha256(f"{which} {self._numbers}".encode()))
        async with face.store.write() as tx:
            await face.sequencer.append(tx, AgreementsLeaf(root=root, until=face.clock.now()))
        await face.sequencer.sequence()

    async def _list_second(self, audience: str) -> None:
        """List the second face's newest head in the first one's log too."""
        first, second = self.faces
        async with second.store.read() as rows:
            row = await newest_head(rows, audience, "offers")
        assert row is not None, "both faces have published"
        async with first.store.write() as tx:
            await first.sequencer.append(tx, head_leaf(own_head(row), row.head))
        await first.sequencer.sequence()

    async def _rewrite(self, audience: str) -> None:
        """Put another head in the place of the newest one, so that the next follows what nobody was shown."""
        face = self.faces[0]
        async with face.store.write() as tx:
            row = await newest_head(tx, audience, "offers")
            assert row is not None, "it has published"
            head = own_head(row)
            forged = sign_head(replace(head, not_after=head.not_after - 1), face.keys.log)
            await tx.put(replace(row, head=forged, head_hash=head_hash(forged)))


async def publish(node: Member, audience: str, openings: Sequence[Opening]) -> None:
    """Sign the next head of a node's offers and a checkpoint over it."""
    async with node.store.write() as tx:
        await node.publisher.publish(tx, audience, "offers", openings)
    await node.sequencer.sequence()


def copied(tables: dict[type[Row], Table]) -> dict[type[Row], Table]:
    """Return the same rows in other tables."""
    return {kind: dict(rows) for kind, rows in tables.items()}
