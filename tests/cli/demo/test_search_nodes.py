"""The administrator's search finds words wherever and however they stand, and claims nothing that it cannot know."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import zstandard

from cli.demo import search_nodes
from cli.demo.search_nodes import SHORTEST, Needle, Search, spellings
from federation.rows import EvidenceRow
from node.store.sqlite import SqliteStore
from tests.fakes.clock import SteppedClock

TEXT = 'Sag mal: "Größe & Mut" – 100 %? 🙂'
NOW = 1_800_000_000
#: Among ordinary prose words are packed, too.
PROSE = Path(search_nodes.__file__).read_bytes()


def small_escapes(text: str) -> str:
    return re.sub("%..", lambda escape: escape[0].lower(), text)


ENCODERS: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-16 with a byte order mark": lambda text: text.encode("utf-16"),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 behind one byte": lambda text: base64.b64encode(b"x" + text.encode() + b"yz"),
    "base64 behind two bytes": lambda text: base64.b64encode(b"xy" + text.encode() + b"z"),
    "base64 behind forty bytes": lambda text: base64.b64encode(b"q" * 40 + text.encode() + b"q" * 41),
    "base64url": lambda text: base64.urlsafe_b64encode(text.encode()),
    "base64url inside": lambda text: base64.urlsafe_b64encode(b"??" + text.encode() + b">>>"),
    "hex": lambda text: text.encode().hex().encode(),
    "capital hex": lambda text: text.encode().hex().upper().encode(),
    "JSON": lambda text: json.dumps({"text": text}).encode(),
    "JSON in UTF-8": lambda text: json.dumps({"text": text}, ensure_ascii=False).encode(),
    "percent": lambda text: quote(text, safe="").encode(),
    "percent in small letters": lambda text: small_escapes(quote(text, safe="")).encode(),
    "a form": lambda text: quote_plus(text).encode(),
}


def search_for(text: str, folder: Path) -> Search:
    search = Search()
    search.add([Needle(label="words", text=text)], folder)
    return search


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    (tmp_path / "aurora").mkdir()
    (tmp_path / "aurora" / "serve.log").write_bytes(b"nothing of interest\n")
    return tmp_path


def test_clean_files_have_no_hits(nodes: Path) -> None:
    found = search_for(TEXT, nodes).run(nodes)
    assert (found.count, found.files, found.searched_bytes) == (0, 1, 20)


@pytest.mark.parametrize("encode", ENCODERS.values(), ids=ENCODERS.keys())
@pytest.mark.parametrize("text", [TEXT, "plain words only"])
def test_words_are_found_in_every_spelling(nodes: Path, encode: Callable[[str], bytes], text: str) -> None:
    search = search_for(text, nodes)
    (nodes / "aurora" / "data").write_bytes(b"\x00\x01some" + encode(text) + b"\xffmore")
    assert {hit.place for hit in search.run(nodes).hits} == {"aurora/data"}


def test_every_occurrence_counts(nodes: Path) -> None:
    search = search_for(TEXT, nodes)
    (nodes / "aurora" / "data").write_bytes(TEXT.encode() * 3)
    assert search.run(nodes).count == 3


def test_words_in_the_name_of_a_file_are_found(nodes: Path) -> None:
    search = search_for("plain words only", nodes)
    (nodes / "aurora" / "plain words only.eml").write_bytes(b"")
    assert [hit.place for hit in search.run(nodes).hits] == ["aurora/plain words only.eml (its name)"]


def test_words_across_the_border_of_two_chunks_are_found(nodes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = search_for(TEXT, nodes)
    monkeypatch.setattr(search_nodes, "CHUNK", 7)
    (nodes / "aurora" / "data").write_bytes(b"x" * 5 + TEXT.encode() + b"y" * 5)
    assert search.run(nodes).count >= 1


async def test_words_in_a_value_that_sqlite_cuts_into_pages_are_found(nodes: Path) -> None:
    search = search_for(TEXT, nodes)
    text = TEXT.encode()
    # Somewhere in here a page ends in the middle of the words.
    long = b"".join(text + b"." * (number % 7) for number in range(600))
    async with SqliteStore.open(nodes / "aurora" / "node.db", clock=SteppedClock(NOW)) as store:
        async with store.write() as tx:
            await tx.insert(EvidenceRow(peer="p", hash="h", thread="t", item=long, at=NOW))
        hits = search.run(nodes).hits
    in_rows = [hit for hit in hits if hit.place == "aurora/node.db evidence.item" and hit.form == "utf-8"]
    assert [hit.count for hit in in_rows] == [600]


async def test_words_in_a_packed_value_are_found(nodes: Path) -> None:
    search = search_for(TEXT, nodes)
    packed = zstandard.ZstdCompressor(level=19).compress(PROSE + TEXT.encode() + PROSE)
    assert TEXT.encode() not in packed
    async with SqliteStore.open(nodes / "aurora" / "node.db", clock=SteppedClock(NOW)) as store:
        async with store.write() as tx:
            await tx.insert(EvidenceRow(peer="p", hash="h", thread="t", item=packed, at=NOW))
        hits = search.run(nodes).hits
    assert {hit.place for hit in hits} == {"aurora/node.db evidence.item (unpacked)"}


def test_what_stood_there_before_proves_nothing_and_is_named(nodes: Path) -> None:
    search = search_for("nothing of interest", nodes)
    found = search.run(nodes)
    assert found.count == 0
    assert found.unsearchable == ()
    (nodes / "aurora" / "data").write_bytes("nothing of interest".encode("utf-16-le"))
    assert [hit.form for hit in search.run(nodes).hits] == ["utf-16-le"]


@pytest.mark.parametrize("text", ["a", "hi", "…"])
def test_a_text_too_short_for_any_spelling_is_named(nodes: Path, text: str) -> None:
    search = search_for(text, nodes)
    (nodes / "aurora" / "data").write_bytes(text.encode() * 100)
    found = search.run(nodes)
    assert found.count == 0
    assert all(len(one.data) >= SHORTEST for one in spellings(Needle(label="", text=text)))


def test_a_text_without_a_spelling_left_is_unsearchable(nodes: Path) -> None:
    assert search_for("a", nodes).run(nodes).unsearchable == ("words",)


def test_bytes_are_counted_for_each_node(nodes: Path) -> None:
    (nodes / "birch").mkdir()
    (nodes / "birch" / "data").write_bytes(b"12345")
    assert search_for(TEXT, nodes).run(nodes).by_node == {"aurora": 20, "birch": 5}
