"""A catalog of 100,000 offers taken in, against bare inserts of ready rows, and against a signature for each offer.

Taken in means: pages inflated, decoded, every entry committed to, the root compared with the signed head, every offer
validated, all of it durable, and given out to a search. The floor is `sqlite3.executemany` of rows that lie ready, one
for each offer under its commitment, in a database with the same settings, with its commit. All are measured in turns,
in processor time, and the best round counts.
"""

import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import nacl.signing

from federation.mirror import MirrorService
from federation.sets import Fetched, Source
from federation.sourcewatch import MirrorPolicy
from node.clock import SystemClock, SystemEntropy
from node.services.offers import MirroredOffers
from node.serving import spare_collector
from node.store.connection import open_writer
from node.store.sqlite import SqliteStore
from protocol.addresses import audience_id
from protocol.commitments import Opening
from protocol.encoding import b64, encode
from protocol.heads import HeadAnswer, SetHead, sign_head
from protocol.offers import Offer
from protocol.pages import PAGE_ENTRIES, Snapshot, snapshot
from protocol.signing import SigningKey
from protocol.vocabulary import Topic

from .figures import Figure

OFFERS: Final = 100_000
TOPICS: Final = 2_000
ROUNDS: Final = 3
AURORA: Final = "https://aurora.example"
PAIR: Final = audience_id(AURORA, "https://birch.example")
TABLE: Final = (
    "CREATE TABLE offer (peer INTEGER NOT NULL, commitment BLOB NOT NULL, salt BLOB NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY (peer, commitment)) STRICT"
)
KEY: Final = SigningKey(bytes(32))
BARE: Final = nacl.signing.SigningKey(bytes(32))


async def run() -> list[Figure]:
    """Return how fast a catalog is taken in, as shares of the floor and of the way without set heads."""
    catalog = snapshot("offers", openings(OFFERS))
    signatures = [BARE.sign(entry.opening.body).signature for entry in catalog.entries]
    source = Source(peer=AURORA, audience=PAIR, key=KEY.public)
    spare_collector()  # as `serve` does
    ours, floor = [], []
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            with fresh(Path(name) / f"ours{number}") as folder:
                ours.append(await taken_in(folder, source, Peer(catalog)))
            with fresh(Path(name) / f"floor{number}") as folder:
                floor.append(inserted(folder, rows(catalog)))
        with fresh(Path(name) / "signed") as folder:
            signed = await taken_in(folder, source, Peer(catalog, signatures))
    size = sum(map(len, catalog.pages))
    bare, each = "bare executemany of ready rows", "the same with a signature for each offer"
    return [
        Figure(name="catalog taken in", value=OFFERS / min(ours), unit="offers/s"),
        Figure(name="bare executemany of ready rows", value=OFFERS / min(floor), unit="offers/s"),
        Figure(name="catalog taken in: speed", value=min(floor) / min(ours), unit="×", aim="≥ 0.6", ratio_to=bare),
        Figure(name="catalog taken in: speed", value=signed / min(ours), unit="×", aim="≥ 5", ratio_to=each),
        Figure(name="catalog on the wire", value=size / OFFERS, unit="bytes/offer"),
    ]


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """Yield a new folder, and take its room back."""
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def openings(count: int, *, seed: int = 20261121) -> list[Opening]:
    """Return made-up offers: topics by a law of few common and many rare ones, two in three of them codes."""
    drawn = random.Random(seed)
    weights = [1 / (rank + 5) for rank in range(TOPICS)]
    topics = drawn.choices(range(TOPICS), weights, k=count)
    return [Opening(salt=drawn.randbytes(16), body=encode(_offer(drawn, topic))) for topic in topics]


def _offer(drawn: random.Random, topic: int) -> Offer:
    return Offer(
        offer_id=b64(drawn.randbytes(16)),
        topic=Topic(
            id=f"mm:situation-{topic}" if topic % 3 == 0 else f"esco:{drawn.randbytes(2).hex()}-{topic:05d}",
            level=drawn.choice(("leaf", "leaf", "group", "domain")),
            kind=drawn.choice(("do", "know", "been-through")),
        ),
        band=drawn.choice(("any", "senior", "lead")),
        language=drawn.choice(("en", "de", "fr", "pt-BR")),
        region=drawn.choice(("DE", "FR", "emea", "world")),
        formats=tuple(sorted(drawn.sample(("call", "in-person", "link", "text"), drawn.randint(1, 3)))),
        lengths=tuple(sorted(drawn.sample((15, 20, 30, 45, 60), drawn.randint(1, 3)))),
    )


class Peer:
    """Serves one catalog; with signatures, its mirror verifies one for each offer as well."""

    def __init__(self, catalog: Snapshot, signatures: Sequence[bytes] = ()) -> None:
        now = int(time.time())
        head = SetHead(
            origin=AURORA,
            audience=PAIR,
            kind="offers",
            seq=1,
            shards=catalog.shards,
            size_bucket=catalog.size_bucket,
            issued_at=now,
            not_after=now + 3600,
        )
        self._answer = encode(HeadAnswer(head=sign_head(head, KEY)))
        self._catalog = catalog
        self._signatures = signatures

    async def fetch(self, peer: str, path: str, etag: str, *, limit: int, signed: bool) -> Fetched:
        """Answer as the peer would, at once."""
        assert (peer, etag) == (AURORA, "")
        if signed:
            return Fetched(status=200, body=self._answer, etag='"1"')
        number = int(path.rpartition("/")[2])
        first = number * PAGE_ENTRIES
        for entry, signature in zip(
            self._catalog.entries[first : first + PAGE_ENTRIES],
            self._signatures[first : first + PAGE_ENTRIES],
            strict=False,
        ):
            BARE.verify_key.verify(entry.opening.body, signature)
        page = self._catalog.pages[number]
        assert len(page) <= limit
        return Fetched(status=200, body=page)


class Book:
    """One source."""

    def __init__(self, source: Source) -> None:
        self._source = source

    async def sources(self) -> Sequence[Source]:
        """Return it."""
        return (self._source,)


async def taken_in(folder: Path, source: Source, peer: Peer) -> float:
    """Return the seconds from the question for the head to the last offer of the answer to a search."""
    async with SqliteStore.open(folder / "node.db", clock=SystemClock()) as store:
        mirror = MirrorService(
            store,
            SystemClock(),
            SystemEntropy(),
            Book(source),
            peer.fetch,
            own="https://birch.example",
            policy=MirrorPolicy(),
        )
        shown = MirroredOffers(mirror.index, lambda _: "H")
        started = time.process_time()
        await mirror.poll(source)
        found = len(shown.at(int(time.time())))
        seconds = time.process_time() - started
        assert found == OFFERS
        return seconds


def rows(catalog: Snapshot) -> list[tuple[object, ...]]:
    """Return a row for each offer, ready for the database."""
    return [(1, entry.commitment, entry.opening.salt, entry.opening.body) for entry in catalog.entries]


def inserted(folder: Path, ready: list[tuple[object, ...]]) -> float:
    """Return the seconds for ready rows, without our code."""
    with closing(open_writer(folder / "node.db")) as connection:
        connection.execute(TABLE)
        started = time.process_time()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO offer VALUES (?, ?, ?, ?)", ready)
        connection.commit()
        return time.process_time() - started
