"""Vectors of docs/protocol/51-checkpoints.md §4–§5: checkpoint texts, and checkpoints signed by their log."""

from typing import Any, Final

from tests.vectors import rfc6962
from tests.vectors.c2sp import (
    BIRCH,
    ENTRIES,
    LEAVES,
    LOG,
    ML_DSA_LINE,
    OLDER_LOG,
    ORIGIN,
    OTHER_LOG,
    STRANGER,
    b64,
    checkpoint,
    line,
    note,
)

from .devices import Case, file

SIZE: Final = len(ENTRIES)
ROOT: Final = rfc6962.mth(LEAVES)
HASH: Final = b64(ROOT)
TEXT: Final = checkpoint(SIZE)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "checkpoint/texts.json": file(
            "51-checkpoints §4",
            "`input` is the text of a note. `root` is hex. `rule` is the rule of §7 that is broken.",
            [*_texts(), *_bad_texts()],
        ),
        "checkpoint/signed.json": file(
            "51-checkpoints §5",
            "`input` is a note that is opened with the keys of one log.",
            [*_signed(), *_not_signed()],
        ),
    }


def _result(size: int, root: bytes, origin: str = ORIGIN) -> dict[str, Any]:
    return {"origin": origin, "size": size, "root": root.hex()}


def _texts() -> list[Case]:
    empty, most = rfc6962.mth([]), 2**53 - 1

    def case(name: str, size: int, root: bytes, origin: str = ORIGIN) -> Case:
        return {"name": name, "input": checkpoint(size, root, origin), "result": _result(size, root, origin)}

    return [
        case("a log of 300 entries", SIZE, ROOT),
        case("an empty log", 0, empty),
        case("the largest size", most, ROOT),
        case("an origin beyond ASCII", SIZE, ROOT, "žluť.example/log"),
        case("an origin of 255 bytes", SIZE, ROOT, "o" * 255),
    ]


def _bad_texts() -> list[Case]:
    def of(size: str = str(SIZE), root: str = HASH, origin: str = ORIGIN) -> str:
        return f"{origin}\n{size}\n{root}\n"

    sizes = {
        "a plus sign": "+300",
        "a minus sign": "-5",
        "minus zero": "-0",
        "an underscore": "3_00",
        "spaces and an underscore": " 3_0 ",
        "a leading zero": "0300",
        "two zeros": "00",
        "Arabic-Indic digits": "٣٠٠",
        "full-width digits": "\uff13\uff10\uff10",
        "a superscript digit": "30²",
        "a space after the size": "300 ",
        "a carriage return after the size": "300\r",
        "hexadecimal digits": "0x12c",
        "an exponent": "3e2",
        "a fraction": "300.0",
        "one above the largest size": str(2**53),
        "twenty digits": "1" * 20,
    }
    roots = {
        "junk inside the root hash": f"{HASH[:7]}!{HASH[7:]}",
        "a space inside the root hash": f"{HASH[:7]} {HASH[7:]}",
        "a carriage return after the root hash": f"{HASH}\r",
        "a root hash without padding": HASH.rstrip("="),
        "a root hash with too much padding": f"{HASH}=",
        "a root hash with other last bits": f"{b64(bytes(32))[:-2]}B=",
        "a root hash in the URL alphabet": b64(b"\xfb\xff" * 16).replace("+", "-").replace("/", "_"),
        "a root hash in hexadecimal digits": f"{ROOT.hex()}=",
    }
    lengths = {"3": ROOT[:3], "31": ROOT[:31], "33": ROOT + b"\0", "64": ROOT * 2}
    lines = {
        "no line feed at the end": of()[:-1],
        "a blank line at the end": of() + "\n",
        "a blank line between origin and size": of().replace("\n", "\n\n", 1),
        "an extension line": of() + "more\n",
        "no origin": of(origin=""),
        "no size": of(size=""),
        "no root hash": of(root=""),
        "two lines": f"{ORIGIN}\n{SIZE}\n",
        "nothing at all": "",
    }
    origins = {
        "an origin with a space": "aurora example/log",
        "an origin with a plus": "aurora.example+log",
        "an origin with a carriage return": f"{ORIGIN}\r",
        "an origin of 256 bytes": "o" * 256,
    }
    refused = [
        *(("number", name, of(size=size)) for name, size in sizes.items()),
        *(("base64", name, of(root=root)) for name, root in roots.items()),
        *(("hash-length", f"a root hash of {name} bytes", of(root=b64(root))) for name, root in lengths.items()),
        *(("checkpoint-lines", name, text) for name, text in lines.items()),
        *(("key-name", name, of(origin=origin)) for name, origin in origins.items()),
    ]
    return [{"name": name, "input": text, "error": "malformed", "rule": rule} for rule, name, text in refused]


def _case(name: str, text: str, *lines: str, keys: tuple[str, ...] = (LOG.vkey,), **outcome: object) -> Case:
    return {"name": name, "input": note(text, *lines), "keys": list(keys), **outcome}


def _signed() -> list[Case]:
    good = LOG.signs(TEXT)
    stranger = line(STRANGER.name, STRANGER.key_id + bytes(64))
    same_id = line("somebody.example", LOG.key_id + bytes(64))
    cases = [
        _case("signed by its log", TEXT, good),
        _case("signed with one of two keys", TEXT, good, keys=(LOG.vkey, OLDER_LOG.vkey)),
        _case("signed with both keys", TEXT, OLDER_LOG.signs(TEXT), good, keys=(LOG.vkey, OLDER_LOG.vkey)),
        _case("with a wrong signature of an unknown key under the log's name", TEXT, stranger, good),
        _case("with a wrong signature of the same key id under another name", TEXT, same_id, good),
        _case("with two lines of an unknown key", TEXT, stranger, stranger, good),
        _case(
            "with a cosignature and a line as long as one of ML-DSA-44", TEXT, good, BIRCH.cosigns(TEXT), ML_DSA_LINE
        ),
    ]
    empty = checkpoint(0)
    return [
        *({**case, "result": _result(SIZE, ROOT)} for case in cases),
        _case("an empty log", empty, LOG.signs(empty), result=_result(0, rfc6962.mth([]))),
    ]


def _not_signed() -> list[Case]:
    good, other = LOG.signs(TEXT), checkpoint(SIZE - 1)
    long_line = line(LOG.name, LOG.key_id + LOG.key.sign(TEXT.encode()).signature + b"\0")
    foreign = checkpoint(SIZE, ROOT, OTHER_LOG.name)
    ghost = checkpoint(0, ROOT)
    both = (LOG.vkey, OLDER_LOG.vkey)

    def bad(rule: str, name: str, text: str, *lines: str, keys: tuple[str, ...] = (LOG.vkey,)) -> Case:
        return _case(name, text, *lines, keys=keys, error="unverified", rule=rule)

    return [
        bad("unsigned", "signed by a stranger under the log's name", TEXT, STRANGER.signs(TEXT)),
        bad("unsigned", "signed by the log's key under another name", TEXT, line("a.example", LOG.key_id + bytes(64))),
        bad("unsigned", "signed by a witness only", TEXT, BIRCH.cosigns(TEXT)),
        bad("unsigned", "with only a line as long as one of ML-DSA-44", TEXT, ML_DSA_LINE),
        bad("unsigned", "opened without any key", TEXT, good, keys=()),
        bad("bad-signature", "with the signature of another checkpoint", TEXT, LOG.signs(other)),
        bad("bad-signature", "with a signature one byte too long", TEXT, long_line),
        bad(
            "bad-signature",
            "with one good and one wrong signature of its keys",
            TEXT,
            good,
            line(LOG.name, OLDER_LOG.key_id + bytes(64)),
            keys=both,
        ),
        bad(
            "bad-signature",
            "with the cosignature text signed as if by a log",
            TEXT,
            LOG.signs(f"cosignature/v1\ntime 1\n{TEXT}"),
        ),
        bad("repeated-signer", "signed twice by its log", TEXT, good, good),
        bad(
            "repeated-signer",
            "signed by its log, rightly and wrongly",
            TEXT,
            line(LOG.name, LOG.key_id + bytes(64)),
            good,
        ),
        bad(
            "other-origin",
            "of another log, signed by ours",
            foreign,
            line(ORIGIN, LOG.key_id + LOG.key.sign(foreign.encode()).signature),
        ),
        bad("other-origin", "of another log, signed by that log", foreign, OTHER_LOG.signs(foreign)),
        bad("empty-root", "an empty log with a root hash", ghost, LOG.signs(ghost)),
    ]
