"""An archive that is full lets the oldest sessions go, the same ones on every device, and says so."""

from functools import partial
from typing import Final

import pytest
from msgspec.structs import replace

from cli.client import archived
from cli.client.archived import MAX_SESSIONS, fitting, with_session
from cli.client.book import EMPTY, book_of
from cli.client.core import fresh_id
from cli.client.person import Person
from cli.client.records import Account
from cli.client.remains import MOST_LEFT, destroyed
from cli.client.state import ClientState
from cli.client.unlock import new_state
from node.services import safe
from node.services.safe import MAX_ITEM_BYTES, MAX_ITEMS, MAX_TOTAL_BYTES
from protocol.e2ee.archive import CHUNK_BYTES, MAX_CHUNKS, MAX_DOCUMENT_BYTES, cut, item_size, seal_item
from protocol.e2ee.frames import Takeaway
from protocol.e2ee.kept import MAX_LINES, Book, KeptSaid, KeptSession
from protocol.encoding import b64, decode, encode, sha256

from .pair import NOW
from .recovering import another, two_ways
from .test_archive import ends, kept_at, talked
from .world import Company

SALT: Final = bytes(16)


def session(number: int, *, size: int = 0) -> bytes:
    said = tuple(KeptSaid(at=NOW, mine=True, kind="note", text="x" * 12_000) for _ in range(size // 12_000))
    thread = b64(sha256(b"session", number.to_bytes(2))[:16])
    entity = "https://birch.example"
    kept = KeptSession(
        thread=thread, role="mentee", entity=entity, name="Ben", topic="", ended_at=NOW + number, said=said
    )
    return encode(kept)


def holding(*documents: bytes) -> ClientState:
    state = new_state()
    for one in documents:
        state = with_session(state, one)
    return state


def test_of_more_sessions_than_there_is_room_for_every_device_keeps_the_newest() -> None:
    documents = [session(number) for number in range(MAX_SESSIONS + 10)]
    orders = (documents, documents[::-1], documents[50:] + documents[:50])
    states = [fitting(holding(*order), book=EMPTY) for order in orders]
    kept = {frozenset(state.archive.sessions.values()) for state in states}
    assert len(kept) == 1
    assert next(iter(kept)) == frozenset(documents[-len(states[0].archive.sessions) :])
    assert fitting(with_session(states[0], documents[0]), book=EMPTY) == states[0]


@pytest.mark.parametrize("size", [0, CHUNK_BYTES // 2, 2 * CHUNK_BYTES])
@pytest.mark.parametrize("chunks", [1, 5])
def test_what_is_kept_fits_into_the_safe_while_all_of_it_is_written(size: int, chunks: int) -> None:
    book = EMPTY if chunks == 1 else bytes((chunks - 1) * CHUNK_BYTES + 1)
    state = replace(new_state(), archive=holding(session(0, size=size)).archive)
    many = {fresh_id(): session(number, size=size) for number in range(MAX_SESSIONS)}
    state = fitting(replace(state, archive=replace(state.archive, sessions=many)), book=book)
    pieces = [piece for one in state.archive.sessions.values() for piece in cut(one)]
    assert pieces
    assert len(pieces) + 2 + 2 * chunks + min(MAX_CHUNKS, len(list(cut(session(1, size=size))))) <= MAX_ITEMS
    assert sum(map(item_size, pieces)) + (2 + 2 * chunks) * MAX_ITEM_BYTES <= MAX_TOTAL_BYTES
    assert fitting(state, book=book) == state


def test_a_session_that_is_longer_than_a_document_is_kept_with_what_was_said_last() -> None:
    long = replace(new_state(), archive=replace(new_state().archive, sessions={"t": session(1, size=20 * CHUNK_BYTES)}))
    (document,) = fitting(long, book=EMPTY).archive.sessions.values()
    assert MAX_DOCUMENT_BYTES // 2 < len(document) <= MAX_DOCUMENT_BYTES
    assert decode(document, KeptSession).said[-1].text == "x" * 12_000


@pytest.mark.slow
def test_what_others_say_to_be_kept_never_makes_a_book_that_nobody_can_store_or_read() -> None:
    """Five thousand takeaways in each session, by the other person, would be too many for any archive."""
    state = talked(signed_in(), "Ben", *(Takeaway(text="x" * 1_000) for _ in range(MOST_LEFT + 5)))
    state = destroyed(state, next(iter(state.sessions)), now=NOW)
    assert len(state.takeaways) == MOST_LEFT
    (one, *_) = state.takeaways
    many = (replace(one, at=at, text=f"{at} " * (60 if at % 3 else 1)) for at in range(MAX_LINES + 10))
    document = book_of(replace(state, takeaways=tuple(many)), now=NOW)
    assert len(document) <= MAX_DOCUMENT_BYTES
    lines = decode(document, Book).lines
    assert lines[-1].at == MAX_LINES + 9
    assert [line.at for line in lines] == list(range(lines[0].at, MAX_LINES + 10))


def signed_in() -> ClientState:
    account = Account(url="https://a.example", entity="https://a.example", token="t", member="m")
    return replace(new_state(), account=account)


@pytest.mark.parametrize("size", [0, 5_000, CHUNK_BYTES])
def test_the_size_of_an_item_is_known_before_it_is_sealed(size: int) -> None:
    item = seal_item(bytes(size), bytes(32), fresh_id(), salt=SALT)
    assert len(item) == item_size(bytes(size)) <= MAX_ITEM_BYTES


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.usefixtures("quick")
async def test_a_safe_that_takes_no_more_is_left_as_it_was_and_serves_again(
    aurora: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with aurora.person("aurora1") as ana:
        await two_ways(ana)
        ana.archive.turn(on=True)
        await ends(ana, "Ben")
        assert await ana.archive.push()
        before = await kept_at(aurora)
        await ends(ana, "Cleo")
        with monkeypatch.context() as full:
            full.setattr(safe, "MAX_ITEMS", len(before) + 1)
            assert "is not up to date" in (await ana.sync()).warnings[-1]
            assert await kept_at(aurora) == before
        assert await ana.archive.push()
        assert len(await kept_at(aurora)) == len(before) + 1


def _with_sessions(state: ClientState, *, numbers: range) -> ClientState:
    return replace(state, archive=holding(*map(session, numbers)).archive)


async def rounds(*people: Person) -> int:
    return sum([await one.archive.push(look=True) for one in people])


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.usefixtures("quick")
async def test_two_devices_with_more_sessions_than_there_is_room_for_come_to_rest(
    aurora: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archived, "MAX_SESSIONS", 6)
    async with aurora.person("aurora1") as ana, another(aurora, "copy") as copy:
        await two_ways(ana)
        copy._core.vault.update(lambda _: ana.state)
        for person, numbers in ((ana, range(6)), (copy, range(4, 10))):
            person._core.vault.update(partial(_with_sessions, numbers=numbers))
        for _ in range(3):
            await rounds(copy, ana)
        assert await rounds(copy, ana) == 0
        assert copy.state.archive.sessions == ana.state.archive.sessions
        assert any("is full" in one for one in (*ana.archive.warnings, *copy.archive.warnings))
