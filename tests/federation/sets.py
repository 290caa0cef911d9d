"""Two nodes that publish sets to each other and mirror them, joined by a wire that a test can cut or bend."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from federation.mirror import MirrorService
from federation.ports import Store
from federation.publisher import HeadPolicy, Published, PublisherService
from federation.sequencer import Sequencer
from federation.sets import NUDGES_PATH, Audience, Contents, Fetched, Paged, Source
from federation.sourcewatch import MirrorPolicy
from protocol.addresses import audience_id
from protocol.commitments import Opening
from protocol.encoding import encode
from protocol.errors import MeshError, MissingError
from protocol.heads import SetKind
from protocol.offers import Offer
from protocol.signing import SigningKey
from protocol.vocabulary import Topic
from tests.fakes.clock import SteppedClock
from tests.fakes.entropy import SeededEntropy

AURORA: Final = "https://aurora.example"
BIRCH: Final = "https://birch.example"
PAIR: Final = audience_id(AURORA, BIRCH)

KINDS: Final[frozenset[SetKind]] = frozenset({"offers", "keys", "members", "needs"})

#: What a test does to an answer on its way: (path, answer) → answer.
Bend = Callable[[str, Fetched], Fetched]


def opening(number: int, *, salt: int = 0) -> Opening:
    """Return the opening of offer `number`."""
    offer = Offer(
        offer_id=f"{number:021d}A",
        topic=Topic(id=f"ext:t:{number}", kind="do"),
        band="any",
        language="en",
        region="DE",
        formats=("call",),
        lengths=(30,),
    )
    return Opening(salt=bytes([salt]) + number.to_bytes(15, "big"), body=encode(offer))


def offers(*numbers: int) -> tuple[Opening, ...]:
    return tuple(opening(number) for number in numbers)


class Book:
    """The audience of the two, and what one of them mirrors."""

    def __init__(self, own: str, peer: str, key: SigningKey, kinds: Sequence[SetKind] = ("offers",)) -> None:
        self.members = frozenset({own, peer})
        self.listed = [Source(peer=peer, audience=PAIR, key=key.public, kind=kind) for kind in kinds]

    async def audiences(self) -> Sequence[Audience]:
        return [Audience(id=PAIR, members=self.members, kinds=KINDS)]

    async def sources(self) -> Sequence[Source]:
        return self.listed


class Pair:
    """Aurora publishes, Birch mirrors (and publishes back when a test asks it to)."""

    def __init__(self, aurora_store: Store, birch_store: Store, kinds: Sequence[SetKind] = ("offers",)) -> None:
        self.clock = SteppedClock()
        self.aurora_store, self.birch_store = aurora_store, birch_store
        self.aurora_key, self.birch_key = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
        self.aurora_book = Book(AURORA, BIRCH, self.birch_key, kinds)
        self.birch_book = Book(BIRCH, AURORA, self.aurora_key, kinds)
        self.aurora = self.publisher(aurora_store, self.aurora_book, AURORA, self.aurora_key)
        self.birch = self.publisher(birch_store, self.birch_book, BIRCH, self.birch_key)
        self.asked: list[str] = []
        self.bend: Bend = lambda _path, answer: answer
        self.down: MeshError | None = None
        self.mirror = self.mirroring()

    def publisher(
        self, store: Store, book: Book, own: str, key: SigningKey, *, generation: int = 1
    ) -> PublisherService:
        log = Sequencer(store, self.clock, own=own, key=key, generation=generation)
        return PublisherService(
            store, self.clock, book, own=own, key=key, policy=HeadPolicy(), log=log, generation=generation
        )

    def mirroring(
        self,
        policy: MirrorPolicy | None = None,
        contents: Mapping[SetKind, Contents] | None = None,
        paged: Mapping[SetKind, Paged] | None = None,
    ) -> MirrorService:
        return MirrorService(
            self.birch_store,
            self.clock,
            SeededEntropy(),
            self.birch_book,
            self.fetch,
            own=BIRCH,
            policy=policy or MirrorPolicy(),
            contents=contents,
            paged=paged,
        )

    @property
    def source(self) -> Source:
        return self.birch_book.listed[0]

    async def publish(self, openings: Sequence[Opening], kind: SetKind = "offers") -> Published:
        async with self.aurora_store.write() as tx:
            return await self.aurora.publish(tx, PAIR, kind, openings)

    async def publish_next(self, openings: Sequence[Opening]) -> Published:
        self.clock.advance(1)
        return await self.publish(openings)

    async def fetch(self, peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:
        """Answer as the peer's endpoints do."""
        self.asked.append(path)
        if self.down:
            raise self.down
        assert peer == AURORA
        answer = await self._answer(path, etag, requester=BIRCH)
        assert len(answer.body) <= limit
        assert signed is path.endswith("/head")
        return self.bend(path, answer)

    async def _answer(self, path: str, etag: str, *, requester: str) -> Fetched:
        parts = path.removeprefix("/federation/v1/sets/").split("/")
        match parts:
            case [audience, kind, "head"]:
                reply = await self.aurora.head_answer(audience, kind, requester)
                if reply.etag == etag:
                    return Fetched(status=304, etag=etag)
                return Fetched(status=200, body=reply.body, etag=reply.etag)
            case [audience, kind, "snapshots", seq, page]:
                return Fetched(status=200, body=await self.aurora.page(audience, kind, int(seq), int(page), requester))
            case _:
                raise MissingError("no such path")

    async def post(self, peer: str, path: str, body: bytes) -> None:
        """Carry a nudge of Aurora to Birch."""
        if self.down:
            raise self.down
        assert (peer, path) == (BIRCH, NUDGES_PATH)
        await self.mirror.nudged(AURORA, body)

    async def poll(self) -> None:
        await self.mirror.poll(self.source)

    def shown(self) -> list[int]:
        """Return the numbers of the offers of Aurora that Birch may show now."""
        return sorted(
            int(offer.offer_id[:21]) for each in self.mirror.index.sets(self.clock.now()) for offer in each.offers
        )
