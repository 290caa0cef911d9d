"""Vectors of docs/protocol/01-bytes.md: canonical JSON, base64url, length prefixes, labelled hashes.

The bytes are written out here by hand from the specification; the program has no part in them.
"""

import hashlib
from typing import Annotated, Any, Final

import msgspec

from protocol.encoding import MAX_SAFE_INTEGER, Wire

from .devices import Case, file

Number = Annotated[int, msgspec.Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]


class Example(Wire, frozen=True, kw_only=True):
    """The body that `canonical.json` is about; 01-bytes §2 declares it."""

    items: tuple["Example", ...] = ()
    more: dict[str, str] = msgspec.field(default_factory=dict)
    number: Number = 0
    text: str = ""
    yes: bool = False


ESCAPED: Final = r"\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000b\f\r\u000e\u000f" + "".join(
    rf"\u00{code:02x}" for code in range(0x10, 0x20)
)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "encoding/canonical.json": file(
            "01-bytes §2",
            "A body of §2.5 as text, or as `hex` where it is no Unicode text; `result` is what it says.",
            [*_canonical(), *_not_canonical(), *_not_json(), *_wrong_shape()],
        ),
        "encoding/base64url.json": file(
            "01-bytes §3", "`result` is hex; `size` is the number of bytes wanted, where there is one.", _base64url()
        ),
        "encoding/prefixed.json": file(
            "01-bytes §4",
            "`input` (hex) is taken apart into `count` parts; `result` are the parts as hex.",
            _prefixed(),
        ),
        "encoding/hashes.json": file(
            "01-bytes §5",
            "`result` is the SHA-256, as hex, of the label of `purpose` and `parts` (hex), length-prefixed or not.",
            _hashes(),
        ),
    }


def _case(name: str, text: str, **outcome: object) -> Case:
    return {"name": name, "input": text, **outcome}


def _canonical() -> list[Case]:
    every = "".join(map(chr, range(0x20)))
    return [
        _case("nothing but defaults", "{}", result={}),
        _case(
            "every field, keys sorted",
            '{"items":[{"number":1},{}],"more":{"a":"1","a_b":"2","aa":"3","b":""},"number":-5,"text":"t","yes":true}',
            result={
                "items": [{"number": 1}, {}],
                "more": {"a": "1", "a_b": "2", "aa": "3", "b": ""},
                "number": -5,
                "text": "t",
                "yes": True,
            },
        ),
        _case("the largest number", '{"number":9007199254740991}', result={"number": MAX_SAFE_INTEGER}),
        _case("the smallest number", '{"number":-9007199254740991}', result={"number": -MAX_SAFE_INTEGER}),
        _case("every control character", f'{{"text":"{ESCAPED}"}}', result={"text": every}),
        _case("a quotation mark and a backslash", r'{"text":"\"\\"}', result={"text": '"\\'}),
        _case("a slash and DEL stay as they are", '{"text":"/\x7f"}', result={"text": "/\x7f"}),
        _case("line separators stay as they are", '{"text":"\u2028\u2029"}', result={"text": "\u2028\u2029"}),
        _case("beyond the basic plane", '{"text":"\U0001f6f3"}', result={"text": "\U0001f6f3"}),
        _case("one accent composed", '{"text":"\u00e9"}', result={"text": "\u00e9"}),
        _case("one accent combined is another text", '{"text":"e\u0301"}', result={"text": "e\u0301"}),
        _case("nesting", '{"items":[{"items":[{"items":[{}]}]}]}', result={"items": [{"items": [{"items": [{}]}]}]}),
    ]


def _not_canonical() -> list[Case]:
    cases = {
        "keys out of order": '{"yes":true,"text":"t"}',
        "keys of a map out of order": '{"more":{"b":"","a":""}}',
        "a key twice, the same value": '{"number":1,"number":1}',
        "a key twice, other values": '{"number":2,"number":1}',
        "a key of a map twice": '{"more":{"a":"1","a":"2"}}',
        "a default text written out": '{"text":""}',
        "a default number written out": '{"number":0}',
        "a default list written out": '{"items":[]}',
        "a default map written out": '{"more":{}}',
        "a default truth value written out": '{"yes":false}',
        "a default inside a list": '{"items":[{"yes":false}]}',
        "a space after a colon": '{"number": 1}',
        "a space at the end": '{"number":1} ',
        "a line feed at the end": '{"number":1}\n',
        "a tab at the start": '\t{"number":1}',
        "minus zero": '{"number":-0}',
        "an escaped slash": r'{"text":"\/"}',
        "an escaped letter": r'{"text":"\u0061"}',
        "an escaped letter in a key": r'{"te\u0078t":"a"}',
        "DEL escaped": r'{"text":"\u007f"}',
        "a line separator escaped": r'{"text":"\u2028"}',
        "a surrogate pair escaped": r'{"text":"\ud83d\udef3"}',
        "a control character in capitals": r'{"text":"\u001F"}',
        "a line feed in the long form": r'{"text":"\u000a"}',
        "a backspace in the long form": r'{"text":"\u0008"}',
    }
    return [_case(name, text, error="malformed") for name, text in cases.items()]


def _not_json() -> list[Case]:
    texts = {
        "nothing": "",
        "two bodies": "{}{}",
        "a comma at the end": '{"number":1,}',
        "a plain line feed in a text": '{"text":"\n"}',
        "a lone surrogate, escaped": r'{"text":"\ud83d"}',
        "surrogates in the wrong order": r'{"text":"\udef3\ud83d"}',
        "a byte order mark": "\ufeff{}",
        "a leading zero": '{"number":01}',
        "a plus sign": '{"number":+1}',
        "not a number": '{"number":NaN}',
        "a comment": '{"number":1/* one */}',
        "single quotation marks": "{'number':1}",
    }
    raw = {
        "a lone surrogate, as bytes": b'{"text":"\xed\xa0\xbd"}',
        "a byte that is no UTF-8": b'{"text":"\xff"}',
        "an overlong slash": b'{"text":"\xc0\xaf"}',
        "beyond U+10FFFF": b'{"text":"\xf4\x90\x80\x80"}',
        "a text cut inside a character": b'{"text":"\xc3"}',
        "UTF-16": "{}".encode("utf-16-le"),
    }
    return [
        *(_case(name, text, error="malformed") for name, text in texts.items()),
        *({"name": name, "hex": data.hex(), "error": "malformed"} for name, data in raw.items()),
    ]


def _wrong_shape() -> list[Case]:
    cases = {
        "an unknown field": '{"other":1}',
        "a key in capitals": '{"Text":"t"}',
        "a list in place of a body": "[]",
        "null in place of a body": "null",
        "null in place of a default": '{"text":null}',
        "a text in place of a number": '{"number":"1"}',
        "a truth value in place of a number": '{"number":true}',
        "a number in place of a truth value": '{"yes":1}',
        "a fraction": '{"number":1.5}',
        "a whole number with a fraction": '{"number":1.0}',
        "an exponent": '{"number":1e3}',
        "a number beyond 2^53 - 1": '{"number":9007199254740992}',
        "a number below 1 - 2^53": '{"number":-9007199254740992}',
        "a number of many digits": '{"number":' + "9" * 40 + "}",
        "a number in a map of texts": '{"more":{"a":1}}',
    }
    return [_case(name, text, error="malformed") for name, text in cases.items()]


def _base64url() -> list[Case]:
    accepted = {
        "nothing": ("", ""),
        "one byte": ("AA", "00"),
        "one byte, all bits set": ("_w", "ff"),
        "two bytes with both characters of this alphabet": ("-_8", "fbff"),
        "three bytes": ("AAEC", "000102"),
        "four bytes": ("AAECAw", "00010203"),
    }
    refused = {
        "padding": "AA==",
        "the alphabet of plain base64": "+/8",
        "a bit set behind the last byte": "AB",
        "bits set behind two bytes": "AAF",
        "one character": "A",
        "five characters": "AAAAA",
        "a space": "AA A",
        "a line feed at the end": "AAEC\n",
        "a full-width letter": "\uff21AEC",
        "padding inside": "AA=A",
    }
    return [
        *(_case(name, text, result=result) for name, (text, result) in accepted.items()),
        _case("32 bytes wanted", "A" * 43, size=32, result="00" * 32),
        *(_case(name, text, error="malformed") for name, text in refused.items()),
        _case("31 bytes where 32 are wanted", "A" * 42, size=32, error="malformed"),
        _case("33 bytes where 32 are wanted", "A" * 44, size=32, error="malformed"),
    ]


def _prefixed() -> list[Case]:
    def case(name: str, data: str, count: int, **outcome: Any) -> Case:  # noqa: ANN401 -- JSON is of any type
        return {"name": name, "input": data, "count": count, **outcome}

    return [
        case("no part", "", 0, result=[]),
        case("one empty part", "00000000", 1, result=[""]),
        case("two parts", "00000001aa00000002bbcc", 2, result=["aa", "bbcc"]),
        case("a part fewer than there are", "00000001aa00000002bbcc", 1, error="malformed"),
        case("a part more than there are", "00000001aa", 2, error="malformed"),
        case("a length cut short", "000001", 1, error="malformed"),
        case("a length that runs past the end", "00000003aabb", 1, error="malformed"),
        case("a byte left over", "00000001aabb", 1, error="malformed"),
        case("a length in the other byte order", "01000000aa", 1, error="malformed"),
        case("the largest length", "ffffffffaa", 1, error="malformed"),
    ]


def _hashes() -> list[Case]:
    def case(name: str, purpose: str, parts: list[bytes], *, prefixed: bool) -> Case:
        said = b"".join(len(part).to_bytes(4, "big") * prefixed + part for part in parts)
        result = hashlib.sha256(b"mentormesh/" + purpose.encode() + b"/v1\n" + said).hexdigest()
        given = {"purpose": purpose, "parts": [part.hex() for part in parts], "prefixed": prefixed}
        return {"name": name, **given, "result": result}

    return [
        case("a label and nothing", "fingerprint", [], prefixed=False),
        case("one part", "audience", [b"https://aurora.example"], prefixed=False),
        case("parts with their lengths", "session-context", [b"a", b"bc"], prefixed=True),
        case("the same bytes cut elsewhere", "session-context", [b"ab", b"c"], prefixed=True),
    ]
