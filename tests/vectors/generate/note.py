"""Vectors of docs/protocol/51-checkpoints.md §1–§3: signed notes and verifier keys."""

from typing import Final

from tests.vectors import c2sp, edwards
from tests.vectors.c2sp import BIRCH, LOG, b64, line

from .devices import Case, file

TEXT: Final = "An example of a note.\n"
ONE: Final = LOG.signs(TEXT)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "note/notes.json": file(
            "51-checkpoints §1–§2",
            "`input` is a note as text, or `hex` where it is no Unicode text; nothing is verified. In `result`, key "
            "ids are hex and signatures base64. `rule` is the rule of §7 that is broken.",
            [*_notes(), *_bad_bytes(), *_bad_shapes(), *_bad_lines()],
        ),
        "note/vkeys.json": file(
            "51-checkpoints §3", "`input` is a verifier key; `key` and `key_id` are hex.", [*_vkeys(), *_bad_vkeys()]
        ),
    }


def _good(name: str, text: str, *signatures: tuple[str, bytes]) -> Case:
    said = [{"name": who, "key_id": data[:4].hex(), "signature": b64(data[4:])} for who, data in signatures]
    note = c2sp.note(text, *(line(who, data) for who, data in signatures))
    return {"name": name, "input": note, "result": {"text": text, "signatures": said}}


def _bad(rule: str, name: str, note: str | bytes) -> Case:
    said = {"hex": note.hex()} if isinstance(note, bytes) else {"input": note}
    return {"name": name, **said, "error": "limit" if rule.endswith("-limit") else "malformed", "rule": rule}


def _notes() -> list[Case]:
    signature = LOG.key_id + LOG.key.sign(TEXT.encode()).signature
    return [
        _good("one signature", TEXT, (LOG.name, signature)),
        _good("two signatures under one name", TEXT, (LOG.name, signature), (LOG.name, b"1234" + bytes(64))),
        _good("a text with empty lines in it and at its end", "first\n\n\nlast\n\n", (LOG.name, signature)),
        _good("a text that is one empty line", "\n", (LOG.name, signature)),
        _good("a text that looks like a signature", f"{ONE}\n{ONE}", (LOG.name, signature)),
        _good("a name and a text beyond ASCII", "ěšč – 𝄞\n", ("žluť.example/🗝", b"1234" + bytes(64))),
        _good("the shortest signature", TEXT, ("a", b"12345")),
        _good("a signature of an unknown type, as long as one of ML-DSA-44", TEXT, ("a", b"1234" + bytes(2428))),
        _good("sixteen signatures", TEXT, *[(f"key-{number}", b"1234" + bytes([number])) for number in range(16)]),
        _good("a name of 255 bytes", TEXT, ("n" * 255, signature)),
    ]


def _bad_bytes() -> list[Case]:
    good = c2sp.note(TEXT, ONE)
    return [
        _bad("note-bytes", "lines ended by carriage return and line feed", good.replace("\n", "\r\n")),
        _bad("note-bytes", "a tab in the text", c2sp.note("An\texample.\n", ONE)),
        _bad("note-bytes", "a zero byte in the text", c2sp.note("An\0example.\n", ONE)),
        _bad("note-bytes", "a delete character in the text", c2sp.note("An\x7fexample.\n", ONE)),
        _bad("note-bytes", "a next-line character in the text", c2sp.note("An\x85example.\n", ONE)),
        _bad("note-bytes", "a line separator U+2028 in the text", c2sp.note("An\u2028example.\n", ONE)),
        _bad("note-bytes", "a paragraph separator U+2029 in the text", c2sp.note("An\u2029example.\n", ONE)),
        _bad("note-bytes", "a line separator in a name", c2sp.note(TEXT, line("a\u2028b", b"12345"))),
        _bad("note-bytes", "a byte that is never UTF-8", b"\xff" + good.encode()),
        _bad("note-bytes", "an overlong line feed", good.encode().replace(b"\n", b"\xc0\x8a", 1)),
        _bad("note-bytes", "half of a surrogate pair", b"\xed\xa0\x80" + good.encode()),
        _bad("note-bytes", "a character cut short", b"\xe2\x80" + good.encode()),
    ]


def _bad_shapes() -> list[Case]:
    many = [line(f"key-{number}", b"12345") for number in range(17)]
    return [
        _bad("note-shape", "nothing at all", ""),
        _bad("note-shape", "a text without signatures", TEXT),
        _bad("note-shape", "no signature after the blank line", f"{TEXT}\n"),
        _bad("note-shape", "no blank line before the signature", TEXT + ONE),
        _bad("note-shape", "no text before the blank line", f"\n{ONE}"),
        _bad("note-shape", "no line feed at the end", c2sp.note(TEXT, ONE)[:-1]),
        _bad("note-shape", "a blank line at the end", c2sp.note(TEXT, ONE) + "\n"),
        _bad("note-limit", "seventeen signatures", c2sp.note(TEXT, *many)),
    ]


def _bad_lines() -> list[Case]:
    signature = b64(LOG.key_id + LOG.key.sign(TEXT.encode()).signature)

    def bad(rule: str, name: str, signature_line: str) -> Case:
        return _bad(rule, name, c2sp.note(TEXT, f"{signature_line}\n"))

    return [
        bad("signature-line", "a hyphen for the em dash", f"- {LOG.name} {signature}"),
        bad("signature-line", "an en dash for the em dash", f"– {LOG.name} {signature}"),
        bad("signature-line", "no space after the em dash", f"—{LOG.name} {signature}"),
        bad("signature-line", "a name and no signature", f"— {LOG.name}"),
        bad("signature-line", "a key id and no signature", f"— {LOG.name} {b64(LOG.key_id)}"),
        bad("signature-line", "three bytes where the key id stands", f"— {LOG.name} {b64(b'123')}"),
        bad("signature-line", "an empty signature", f"— {LOG.name} "),
        bad("signature-line", "words after the signatures", f"— {LOG.name} {signature}\nand more"),
        bad("key-name", "two spaces after the em dash", f"—  {LOG.name} {signature}"),
        bad("key-name", "a name with a plus", f"— aurora+log {signature}"),
        bad("key-name", "a name with a no-break space", f"— aurora\u00a0log {signature}"),
        bad("key-name", "a name with an ideographic space", f"— aurora\u3000log {signature}"),
        bad("key-name", "a name of 256 bytes", f"— {'n' * 256} {signature}"),
        bad("base64", "a second space before the signature", f"— {LOG.name}  {signature}"),
        bad("base64", "a space at the end of the line", f"— {LOG.name} {signature} "),
        bad("base64", "base64 without its padding", f"— {LOG.name} {signature.rstrip('=')}"),
        bad("base64", "base64 with other last bits", f"— {LOG.name} {b64(b'12345')[:-2]}V="),
        bad("base64", "base64 of the URL alphabet", f"— {LOG.name} MTIzNDX_-w=="),
        bad("base64", "base64 with padding in the middle", f"— {LOG.name} MTIzNA==NQ=="),
    ]


def _vkeys() -> list[Case]:
    def case(name: str, party: c2sp.Party) -> Case:
        said = {"name": party.name, "type": party.kind, "key_id": party.key_id.hex(), "key": party.public.hex()}
        return {"name": name, "input": party.vkey, "result": said}

    return [
        case("the key of a log", LOG),
        case("the key of a witness", BIRCH),
        case("a name beyond ASCII", c2sp.Party("žluť.example/🗝", 1)),
    ]


def _bad_vkeys() -> list[Case]:
    name, number, material = LOG.vkey.split("+", 2)
    small = edwards.encoded(edwards.torsion())

    def of(kind: int, public: bytes) -> str:
        return c2sp.vkey(LOG.name, kind, public)

    refused = [
        ("vkey", "nothing at all", ""),
        ("vkey", "two parts", f"{name}+{number}"),
        ("vkey", "an id in upper case", f"{name}+ABCDEF01+{material}"),
        ("vkey", "an id of seven digits", f"{name}+{number[1:]}+{material}"),
        ("vkey", "a line feed at the end", f"{LOG.vkey}\n"),
        ("vkey", "a key of 31 bytes", of(1, LOG.public[:31])),
        ("vkey", "a key of 33 bytes", of(1, LOG.public + b"\0")),
        ("vkey", "a key that is no point of the curve", of(1, (2).to_bytes(32, "little"))),
        ("vkey", "a key of small order", of(1, small)),
        ("key-name", "an empty name", f"+{number}+{material}"),
        ("key-name", "a name with a space", f"aurora log+{number}+{material}"),
        ("base64", "padding in the middle", f"{name}+{number}+{material[:10]}={material[10:]}"),
        ("base64", "other last bits", f"{name}+{number}+AQJ="),
        ("vkey-id", "the id of another key", f"{name}+{BIRCH.key_id.hex()}+{material}"),
        ("vkey-id", "another name before the same id", f"other.example+{number}+{material}"),
        ("vkey-type", "an ECDSA key", of(2, LOG.public)),
        ("vkey-type", "an ML-DSA-44 key", of(6, bytes(1312))),
        ("vkey-type", "no key at all", f"{name}+{number}+"),
    ]
    return [{"name": name, "input": text, "error": "malformed", "rule": rule} for rule, name, text in refused]
