"""Vectors of docs/protocol/44-frames.md: what a frame may say, how it is padded, which text may be shown.

Inputs and results are written by hand from the specification, not taken from the program.
"""

import json
from typing import Any, Final

from .devices import Case, file

ID: Final = "AAECAwQFBgcICQoLDA0ODw"
AT: Final = 1_767_000_000
_PRINT: Final = ":".join(["0A"] * 32)
_STATED: Final = "a" * 500
_CHANGE: Final = {"by_new": "b" * 300, "by_old": "c" * 300}
SDP: Final = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    f"a=fingerprint:sha-256 {_PRINT}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
)
_BAD_SDP: Final = {
    "without a fingerprint": SDP.replace("a=fingerprint:", "a=footprint:"),
    "with a weak fingerprint": SDP.replace("sha-256", "sha-1"),
    "with a second, weak fingerprint": SDP + f"a=fingerprint:sha-1 {_PRINT}\r\n",
    "with a short fingerprint": SDP.replace(_PRINT, _PRINT[3:]),
    "of bare line feeds": SDP.replace("\r\n", "\n"),
    "of another version": SDP.replace("v=0", "v=1"),
    "with letters that are not ASCII": SDP + "a=tööl\r\n",
    "that is too long": SDP + ("a=" + "x" * 1_000 + "\r\n") * 32,
    "that says nothing": "",
}
_BAD_FILES: Final[dict[str, dict[str, object]]] = {
    "whose name is a path": {"name": "a/b"},
    "whose name is a path of another system": {"name": "a\\b"},
    "whose name is the folder above": {"name": ".."},
    "whose name is hidden": {"name": ".profile"},
    "whose name ends with a dot": {"name": "a."},
    "whose name turns round": {"name": "a\u202efdp.exe"},
    "whose name rings": {"name": "a\x07"},
    "whose name has two lines": {"name": "a\nb"},
    "without a name": {"name": ""},
    "whose name has 121 letters": {"name": "a" * 121},
    "of no kind": {"media_type": "pdf"},
    "larger than a gibibyte": {"size": 2**30 + 1},
    "of less than nothing": {"size": -1},
    "with a short key": {"key": "A" * 42},
    "with a short header": {"header": "A" * 31},
    "with a short hash": {"hash": "A" * 22},
}


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "frames/content.json": file(
            "44-frames §2",
            "`input` is the JSON text of a frame; `padded` is the size it is padded to.",
            [*_accepted(), *_refused()],
        ),
        "frames/padding.json": file(
            "44-frames §1",
            "The bytes are `start` (hex), then zeros up to `size`, then `end` (hex) in place of the last zeros.",
            _padding(),
        ),
        "frames/newer.json": file(
            "44-frames §4",
            "`input` is the JSON text of a frame of a newer program; `result` is the kind that is shown.",
            _newer(),
        ),
        "frames/text.json": file(
            "44-frames §3", "`input` is text that one person shows another; with `line` it must be one line.", _text()
        ),
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _frame(content: dict[str, Any], **more: object) -> str:
    return _json({"at": AT, "content": content, "id": ID, **more})


def _accepted() -> list[Case]:
    def case(name: str, content: dict[str, Any], padded: int = 1_024) -> Case:
        return {"name": name, "input": _frame(content), "padded": padded, "result": content}

    chat = {"type": "chat", "text": "Good morning!"}
    return [
        *(
            {"name": name, "input": _frame(chat, seq=seq), "padded": 1_024, "result": chat}
            for name, seq in (("the first of its device", 1), ("the last of its device", 2**31))
        ),
        case("chat of two lines", {"type": "chat", "text": "Good morning!\nHow was it?"}),
        case("chat of 4,000 letters", {"type": "chat", "text": "a" * 4_000}, 4_096),
        case("chat of 4,000 four-byte characters", {"type": "chat", "text": "😀" * 4_000}, 16_384),
        case("an agenda that stands", {"type": "agenda", "items": [{"title": "Explore", "minutes": 10}]}),
        case("an agenda that runs", {"type": "agenda", "items": [], "started_at": AT}),
        case(
            "the longest agenda",
            {"type": "agenda", "items": [{"title": "t" * 120, "minutes": 480}] * 11 + [{"title": "t", "minutes": 1}]},
            4_096,
        ),
        case("the longest goal", {"type": "goal", "goal": ID, "text": "a" * 300}),
        case("the longest takeaway", {"type": "takeaway", "text": "a" * 1_000}, 4_096),
        case("the longest name", {"type": "name", "name": "a" * 80}),
        case("a name with salts", {"type": "name", "name": "Cem", "name_salt": ID, "identity_salt": ID}),
        case("the longest slot", {"type": "slot", "start_at": AT, "minutes": 480}),
        case("useful, 1 of 5", {"type": "useful", "score": 1}),
        case("a goal", {"type": "goal", "goal": ID, "text": "Three sentences I can say"}),
        case("an open action of the mentee", {"type": "action", "action": ID, "text": "Call them"}),
        case(
            "a done action of the mentor with a day",
            {"type": "action", "action": ID, "text": "Send it", "owner": "mentor", "due_at": AT, "done": True},
        ),
        case("a takeaway", {"type": "takeaway", "text": "Say the date first."}),
        case("useful, 5 of 5", {"type": "useful", "score": 5}),
        case("would not meet again", {"type": "again", "yes": False}),
        case("another master key", {"type": "master-change", "change": _CHANGE}),
        case(
            "another master key and identity", {"type": "master-change", "change": _CHANGE, "identity": _STATED}, 4_096
        ),
        case("a contact token", {"type": "contact-token", "token": ID, "until": AT}),
        case("a name", {"type": "name", "name": "Ada"}),
        case("a slot", {"type": "slot", "start_at": AT, "minutes": 30}),
        case("a place", {"type": "place", "text": "https://meet.example/room"}),
        case("an emptied note", {"type": "note", "note": ID, "text": ""}),
        case("a note of 12,000 letters", {"type": "note", "note": ID, "text": "a" * 12_000}, 16_384),
        case("thanks", {"type": "thanks", "text": "Thank you."}),
        case("close", {"type": "close"}),
        case("a commitment to a code", {"type": "code-commit", "run": ID, "commitment": "A" * 43, "epoch": 0}),
        case("an answer to it", {"type": "code-answer", "run": ID, "nonce": "A" * 43}),
        case("what was seen of a log", {"type": "checkpoints", "logs": ["aurora.example/log\n1\n"]}),
        case("the end of it", {"type": "code-reveal", "run": ID, "nonce": "A" * 43, "device": "A" * 43}),
        case("a file", _file()),
        case("an empty file", _file(size=0)),
        case("a file with a name of any script", _file(name="Übersicht 日本語.pdf")),
        case("something taken back", {"type": "retract", "frame": ID}),
        case("words that vanish a day after the end", {"type": "vanish", "after": "end", "seconds": 86_400}),
        case("words that stay", {"type": "vanish", "after": "said"}),
        case("a call that is offered", {"type": "call-offer", "call": ID, "sdp": SDP}, 1_024),
        case("a call that is answered", {"type": "call-answer", "call": ID, "sdp": SDP}, 1_024),
        case("a way to the other device", _candidate("candidate:1 1 udp 41819902 192.0.2.1 3478 typ relay")),
        case("no more ways", _candidate("")),
        case("a call that ends", {"type": "call-end", "call": ID}),
        case("a call that is declined", {"type": "call-end", "call": ID, "reason": "declined"}),
    ]


def _file(**changed: object) -> dict[str, Any]:
    return {
        "type": "file",
        "blob": ID,
        "name": "report.pdf",
        "media_type": "application/pdf",
        "size": 70_000,
        "hash": "A" * 43,
        "key": "A" * 43,
        "header": "A" * 32,
        "expires_at": AT,
        **changed,
    }


def _candidate(text: str) -> dict[str, Any]:
    return {"type": "call-candidate", "call": ID, "candidate": text, "mid": "0"}


def _refused() -> list[Case]:
    def case(name: str, text: str) -> Case:
        return {"name": name, "input": text, "error": "malformed"}

    def content(name: str, /, **fields: object) -> Case:
        return case(name, _frame(fields))

    return [
        *(
            case(f"a place that is {name}", _frame({"type": "chat", "text": "x"}, seq=seq))
            for name, seq in (("zero", 0), ("too large", 2**31 + 1), ("text", "1"), ("true", True), ("null", None))
        ),
        content("a type in capitals", type="Call"),
        content("no type", text="hello"),
        content("empty chat", type="chat", text=""),
        content("chat of 4,001 letters", type="chat", text="a" * 4_001),
        content("chat with a bell", type="chat", text="ding\x07"),
        content("chat with a direction mark", type="chat", text="\u202etxet"),
        content("a goal of two lines", type="goal", goal=ID, text="one\ntwo"),
        content("a goal without its id", type="goal", text="one"),
        content("an action with the default owner written out", type="action", action=ID, text="x", owner="mentee"),
        content("an action that says it is not done", type="action", action=ID, text="x", done=False),
        content("an agenda of 13 items", type="agenda", items=[{"title": "a", "minutes": 5}] * 13),
        content("a title of 121 letters", type="agenda", items=[{"title": "t" * 121, "minutes": 5}]),
        content("an empty title", type="agenda", items=[{"title": "", "minutes": 5}]),
        content("an item of 481 minutes", type="agenda", items=[{"title": "t", "minutes": 481}]),
        content("a goal of 301 letters", type="goal", goal=ID, text="a" * 301),
        content("another identity without a change", type="master-change", identity=_STATED),
        content("another identity that is no statement", type="master-change", change=_CHANGE, identity="me"),
        content("a takeaway of 1,001 letters", type="takeaway", text="a" * 1_001),
        content("an empty place", type="place", text=""),
        content("thanks of 301 letters", type="thanks", text="a" * 301),
        content("an item of no minutes", type="agenda", items=[{"title": "a", "minutes": 0}]),
        content("useful, 0 of 5", type="useful", score=0),
        content("useful, 6 of 5", type="useful", score=6),
        content("again as a number", type="again", yes=1),
        content("again without an answer", type="again"),
        content("a name of 81 letters", type="name", name="a" * 81),
        content("a name with a short salt", type="name", name="Cem", name_salt="A" * 21),
        content("a note of 12,001 letters", type="note", note=ID, text="a" * 12_001),
        content("close with a field", type="close", text="bye"),
        content("nothing seen of any log", type="checkpoints", logs=[]),
        content("notes of three logs", type="checkpoints", logs=["a", "b", "c"]),
        content("a note that is too long", type="checkpoints", logs=["a" * 2_049]),
        content("a commitment without its epoch", type="code-commit", run=ID, commitment="A" * 43),
        content("a commitment before the first epoch", type="code-commit", run=ID, commitment="A" * 43, epoch=-1),
        content("an answer with a short nonce", type="code-answer", run=ID, nonce="A" * 42),
        content("an end that names nobody's answer", type="code-reveal", run=ID, nonce="A" * 43),
        *(content(f"a file {why}", **_file(**changed)) for why, changed in _BAD_FILES.items()),
        content("something taken back without its id", type="retract"),
        content("words that vanish at once", type="vanish", after="end", seconds=0),
        content("words that vanish after 31 days", type="vanish", after="said", seconds=31 * 86_400),
        content("words that vanish before they are said", type="vanish", after="before", seconds=60),
        *(content(f"a call {why}", type="call-offer", call=ID, sdp=sdp) for why, sdp in _BAD_SDP.items()),
        content("a way that is none", **_candidate("a=candidate:1")),
        content("a way of two lines", **_candidate("candidate:1\r\ncandidate:2")),
        content("a call that ends for no known reason", type="call-end", call=ID, reason="bored"),
        case("the default version written out", _frame({"type": "close"}, v=1)),
        case("a field that is not specified", _frame({"type": "close"}, more=1)),
        case("a space", _frame({"type": "close"}).replace(",", ", ", 1)),
        case("a time with a fraction", _frame({"type": "close"}).replace(str(AT), f"{AT}.0")),
        case("no id", _json({"at": AT, "content": {"type": "close"}})),
        case("not JSON", "close"),
    ]


def _newer() -> list[Case]:
    def good(name: str, text: str, kind: str) -> Case:
        return {"name": name, "input": text, "result": kind}

    def bad(name: str, text: str) -> Case:
        return {"name": name, "input": text, "error": "malformed"}

    poll = {"type": "poll", "options": ["a", "b"]}
    return [
        good("content of a kind that this version does not have", _frame(poll), "poll"),
        good("a known kind in another version", _frame({"type": "chat", "text": {"html": "x"}}, v=2), "chat"),
        good(
            "the kind by which a client keeps what it cannot show", _frame({"type": "unknown", "kind": "x"}), "unknown"
        ),
        good("the kind by which a client keeps what is gone", _frame({"type": "gone"}), "gone"),
        good("fields that this version does not have", _frame(poll, more=1, v=9), "poll"),
        good("another version with a place of another kind", _frame(poll, v=2, seq="first"), "poll"),
        bad("another version without what every version has", _json({"content": poll, "v": 2})),
        bad("another version without a kind", _frame({"text": "x"}, v=2)),
        bad("a kind that could not be shown", _frame({"type": "a\x1b[2J"})),
        bad("a kind with a line feed", _frame({"type": "poll\n"})),
        bad("a space", _frame(poll).replace(",", ", ", 1)),
        bad("keys out of order", '{"content":{"type":"poll"},"at":1,"id":"' + ID + '"}'),
    ]


def _padding() -> list[Case]:
    text = _frame({"type": "close"}).encode()
    start = len(text).to_bytes(4, "big") + text
    long = _frame({"type": "chat", "text": "a" * 3_000}).encode()
    longer = len(long).to_bytes(4, "big") + long

    def case(name: str, size: int, head: bytes = start, end: bytes = b"", **outcome: object) -> Case:
        return {"name": name, "size": size, "start": head.hex(), "end": end.hex(), **outcome}

    return [
        case("the smallest size", 1_024, result=text.decode()),
        case("the size in which it fits", 4_096, longer, result=long.decode()),
        case("a larger size than needed", 4_096, error="malformed"),
        case("no size of a frame", 1_025, error="malformed"),
        case("an empty frame", 0, b"", error="malformed"),
        case("a last byte that is not zero", 1_024, start, b"\x01", error="malformed"),
        case("a length past the end", 1_024, b"\x00\x00\x04\x00" + text, error="malformed"),
        case("a length of nothing", 1_024, bytes(4), error="malformed"),
    ]


def _text() -> list[Case]:
    def good(name: str, text: str, *, line: bool = True) -> Case:
        return {"name": name, "input": text, "line": line, "result": text}

    def bad(name: str, text: str, *, line: bool = False) -> Case:
        return {"name": name, "input": text, "line": line, "error": "malformed"}

    return [
        good("letters of any script", "Größe, Ωμέγα, 日本語, नमस्ते"),
        good("two lines where lines may be", "one\ntwo", line=False),
        good("a joiner inside a word", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        good("an emoji of several parts", "👩\u200d🚀 ❤\ufe0f"),
        good("a letter with a combining accent", "e\u0301"),
        bad("two lines where one may be", "one\ntwo", line=True),
        bad("a zero byte", "a\x00b"),
        bad("a tab", "a\tb"),
        bad("a carriage return", "a\r\nb"),
        bad("an escape sequence of a terminal", "\x1b[2J"),
        bad("a delete character", "a\x7f"),
        bad("a C1 control character", "a\x9bb"),
        bad("a line separator", "a\u2028b"),
        bad("a right-to-left override", "a\u202eb"),
        bad("a direction isolate", "a\u2066b\u2069"),
        bad("a direction mark", "a\u200fb"),
        bad("a soft hyphen", "a\u00adb"),
        bad("a zero-width space", "a\u200bb"),
        bad("a byte-order mark", "\ufeffa"),
        bad("a tag character", "a\U000e0041"),
        bad("a private character", "a\ue000"),
        bad("no character", "a\uffff"),
    ]
