"""Vectors of docs/protocol/54-log-proofs.md: proofs that an entry stands in a log."""

from typing import Final

from tests.vectors import rfc6962
from tests.vectors.c2sp import (
    BIRCH,
    COBALT,
    ENTRIES,
    LEAVES,
    NOW,
    OTHER_LOG,
    STRANGER,
    b64,
    checkpoint,
    note,
    signed,
)

from .devices import Case, file
from .policy import TWO

SIZE: Final = 300
TEXT: Final = checkpoint(SIZE)
WITNESSED: Final = signed(SIZE, BIRCH.cosigns(TEXT), COBALT.cosigns(TEXT))
INDEX: Final = 73
PATH: Final = [b64(each) for each in rfc6962.path(INDEX, LEAVES[:SIZE])]


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "proof/proofs.json": file(
            "54-log-proofs §1–§2",
            "`input` is verified for the text `entry` under `policy` at `now`; `result` has the index, the extra data "
            "as hex, and who cosigned.",
            [*_good(), *_malformed(), *_unverified()],
            policy=TWO,
            now=NOW,
        )
    }


def _text(index: int | str, hashes: list[str], checkpoint_note: str, extra: str | None = None) -> str:
    said = [] if extra is None else [f"extra {extra}"]
    return "\n".join(["c2sp.org/tlog-proof@v1", *said, f"index {index}", *hashes, "", checkpoint_note])


def _good() -> list[Case]:
    def case(name: str, size: int, index: int, extra: bytes = b"") -> Case:
        text = checkpoint(size)
        witnessed = signed(size, BIRCH.cosigns(text), COBALT.cosigns(text))
        hashes = [b64(each) for each in rfc6962.path(index, LEAVES[:size])]
        return {
            "name": name,
            "entry": ENTRIES[index].decode(),
            "input": _text(index, hashes, witnessed, b64(extra) if extra else None),
            "result": {"index": index, "extra": extra.hex(), "cosigned": ["birch", "cobalt"]},
        }

    return [
        case("an entry in the middle", SIZE, INDEX),
        case("the first entry", SIZE, 0),
        case("the last entry", SIZE, SIZE - 1),
        case("the only entry of a log", 1, 0),
        case("with extra data", SIZE, INDEX, b"salt and body"),
    ]


def _case(name: str, text: str, entry: int = INDEX, **outcome: object) -> Case:
    return {"name": name, "entry": ENTRIES[entry].decode(), "input": text, **outcome}


def _malformed() -> list[Case]:
    good = _text(INDEX, PATH, WITNESSED)
    refused = [
        ("proof-lines", "nothing at all", ""),
        ("proof-lines", "a checkpoint alone", WITNESSED),
        ("proof-lines", "another version", good.replace("@v1", "@v2", 1)),
        ("proof-lines", "no index", good.replace(f"index {INDEX}\n", "", 1)),
        ("proof-lines", "two extra lines", _text(INDEX, PATH, WITNESSED, "QQ==\nextra QQ==")),
        ("base64", "the extra line after the index", _text(INDEX, ["extra QQ==", *PATH], WITNESSED)),
        ("proof-lines", "an empty extra line", _text(INDEX, PATH, WITNESSED, "")),
        ("proof-lines", "no blank line", good.split("\n\n")[0] + "\n"),
        ("proof-lines", "lines ended by carriage return and line feed", good.replace("\n", "\r\n")),
        ("base64", "extra data without padding", _text(INDEX, PATH, WITNESSED, "QQ")),
        ("base64", "extra data with a space after it", _text(INDEX, PATH, WITNESSED, "QQ== ")),
        ("proof-limit", "extra data of 16,385 bytes", _text(INDEX, PATH, WITNESSED, b64(bytes(16_385)))),
        ("number", "an index with a leading zero", _text(f"0{INDEX}", PATH, WITNESSED)),
        ("number", "an index with a sign", _text(f"+{INDEX}", PATH, WITNESSED)),
        ("number", "a negative index", _text(-1, PATH, WITNESSED)),
        ("note-bytes", "Arabic-Indic digits", _text("٧٣", PATH, WITNESSED)),
        ("base64", "junk inside a hash", _text(INDEX, [PATH[0][:3] + "!" + PATH[0][3:], *PATH[1:]], WITNESSED)),
        ("hash-length", "a hash of 33 bytes", _text(INDEX, [b64(bytes(33)), *PATH[1:]], WITNESSED)),
        ("proof-limit", "64 hashes", _text(INDEX, PATH[:1] * 64, WITNESSED)),
        ("note-shape", "no line feed at the end", good[:-1]),
        ("checkpoint-lines", "an extension line in the checkpoint", good.replace(TEXT, f"{TEXT}more\n")),
    ]
    return [
        _case(name, text, error="limit" if rule.endswith("limit") else "malformed", rule=rule)
        for rule, name, text in refused
    ]


def _unverified() -> list[Case]:
    foreign = checkpoint(SIZE, None, OTHER_LOG.name)
    good = _text(INDEX, PATH, WITNESSED)
    elsewhere = [b64(each) for each in rfc6962.path(INDEX, LEAVES[: SIZE - 1])]

    def bad(rule: str, name: str, text: str, entry: int = INDEX) -> Case:
        return _case(name, text, entry, error="unverified", rule=rule)

    return [
        bad("bad-proof", "another entry", good, INDEX + 1),
        bad("bad-proof", "the entry at another index", _text(INDEX + 1, PATH, WITNESSED)),
        bad("bad-proof", "an index outside the log", _text(SIZE, PATH, WITNESSED)),
        bad("bad-proof", "the path of another size", _text(INDEX, elsewhere, WITNESSED)),
        bad("bad-proof", "a path cut short", _text(INDEX, PATH[:-1], WITNESSED)),
        bad("bad-proof", "a path without its hashes", _text(INDEX, [], WITNESSED)),
        bad("quorum", "one cosignature of two", _text(INDEX, PATH, signed(SIZE, BIRCH.cosigns(TEXT)))),
        bad("unsigned", "a checkpoint that a stranger signed", _text(INDEX, PATH, note(TEXT, STRANGER.signs(TEXT)))),
        bad("unknown-log", "a checkpoint of another log", _text(INDEX, PATH, note(foreign, OTHER_LOG.signs(foreign)))),
        bad(
            "bad-signature",
            "a cosignature of another checkpoint",
            _text(INDEX, PATH, signed(SIZE, BIRCH.cosigns(checkpoint(SIZE - 1)))),
        ),
    ]
