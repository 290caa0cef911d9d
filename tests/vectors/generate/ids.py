"""Vectors of docs/protocol/02-identifiers.md: entity identifiers, random ids, hashes, message ids, times."""

from typing import Final

from .devices import Case, file

TIME: Final = 1_767_000_000


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "ids/entities.json": file("02-identifiers §1", "`result` is the host.", _entities()),
        "ids/random-ids.json": file("02-identifiers §2", "`result` is hex.", _random_ids()),
        "ids/hashes.json": file("02-identifiers §3", "`result` is hex.", _hashes()),
        "ids/message-ids.json": file(
            "02-identifiers §4",
            "`input` is read as a message id. Where there are `now_ms` and `entropy` (10 bytes in hex), they make it: "
            "the 6 bytes of `now_ms`, then those of `entropy`, of which version and variant take the place of the "
            "highest 4 bits of the first and the highest 2 of the third.",
            _message_ids(),
        ),
        "ids/seconds.json": file("02-identifiers §5", "`input` is JSON text.", _seconds()),
    }


def _read(name: str, text: str, **outcome: object) -> Case:
    return {"name": name, "input": text, **outcome}


def _entities() -> list[Case]:
    accepted = {
        "two labels": "aurora.example",
        "three labels": "mesh.birch-clinic.example",
        "labels of digits": "0.1.cobalt.example",
        "two hyphens inside": "a--b.example",
        "a label of 63 characters": "a" * 63 + ".example",
        "a host of 253 characters": f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 53}.example",
    }
    refused = {
        "no TLS": "http://aurora.example",
        "the scheme in capitals": "HTTPS://aurora.example",
        "no scheme": "aurora.example",
        "no host": "https://",
        "nothing": "",
        "a capital": "https://Aurora.example",
        "a port": "https://aurora.example:443",
        "a slash at the end": "https://aurora.example/",
        "a path": "https://aurora.example/mesh",
        "a query": "https://aurora.example?a",
        "a fragment": "https://aurora.example#a",
        "a user": "https://node@aurora.example",
        "a dot at the end": "https://aurora.example.",
        "one label": "https://aurora",
        "an empty label": "https://aurora..example",
        "a hyphen first": "https://-aurora.example",
        "a hyphen last": "https://aurora-.example",
        "an underscore": "https://mesh_1.example",
        "an IPv4 address": "https://192.0.2.1",
        "an IPv6 address": "https://[2001:db8::1]",
        "digits in the last label": "https://aurora.123",
        "a last label that begins with a digit": "https://127.0.0.0x1",
        "punycode": "https://xn--bcher-kva.example",
        "punycode further right": "https://mesh.xn--bcher-kva.example",
        "a letter outside ASCII": "https://b\u00fccher.example",
        "a full-width letter": "https://\uff41urora.example",
        "a label of 64 characters": f"https://{'a' * 64}.example",
        "a host of 254 characters": f"https://{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 54}.example",
        "a space": "https://aurora .example",
        "a line feed at the end": "https://aurora.example\n",
        "an escaped character": "https://aurora%2eexample",
    }
    return [
        *(_read(name, f"https://{host}", result=host) for name, host in accepted.items()),
        *(_read(name, text, error="malformed") for name, text in refused.items()),
    ]


def _random_ids() -> list[Case]:
    refused = {
        "15 bytes": "A" * 20,
        "17 bytes": "A" * 23,
        "a bit set behind the last byte": "A" * 21 + "B",
        "padding": "A" * 22 + "==",
        "the alphabet of plain base64": "+" + "A" * 21,
        "a line feed in place of the last character": "A" * 21 + "\n",
        "a line feed at the end": "A" * 22 + "\n",
        "nothing": "",
    }
    return [
        _read("zeros", "A" * 22, result="00" * 16),
        _read("ones", "_" * 21 + "w", result="ff" * 16),
        _read("sixteen bytes", "AAECAwQFBgcICQoLDA0ODw", result=bytes(range(16)).hex()),
        *(_read(name, text, error="malformed") for name, text in refused.items()),
    ]


def _hashes() -> list[Case]:
    refused = {
        "31 bytes": "A" * 42,
        "33 bytes": "A" * 44,
        "a bit set behind the last byte": "A" * 42 + "B",
        "padding": "A" * 43 + "=",
        "hex": "0" * 64,
        "a line feed in place of the last character": "A" * 42 + "\n",
    }
    return [
        _read("zeros", "A" * 43, result="00" * 32),
        _read("thirty-two bytes", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", result=bytes(range(32)).hex()),
        *(_read(name, text, error="malformed") for name, text in refused.items()),
    ]


def _message_ids() -> list[Case]:
    def made(name: str, now_ms: int, entropy: str, text: str) -> Case:
        return {"name": name, "now_ms": now_ms, "entropy": entropy, "input": text, "result": text}

    refused = {
        "version 4": "019b6968-4600-4000-8000-000000000000",
        "another variant": "019b6968-4600-7000-c000-000000000000",
        "capitals": "019B6968-4600-7000-8000-000000000000",
        "no hyphens": "019b6968460070008000000000000000",
        "braces": "{019b6968-4600-7000-8000-000000000000}",
        "a prefix": "urn:uuid:019b6968-4600-7000-8000-000000000000",
        "a character too few": "019b6968-4600-7000-8000-00000000000",
        "a line feed at the end": "019b6968-4600-7000-8000-000000000000\n",
        "a line feed in place of the last character": "019b6968-4600-7000-8000-00000000000\n",
    }
    return [
        made("no entropy set", TIME * 1000, "00" * 10, "019b6968-4600-7000-8000-000000000000"),
        made("all entropy set", TIME * 1000, "ff" * 10, "019b6968-4600-7fff-bfff-ffffffffffff"),
        made("the first millisecond", 0, "0123456789abcdef0123", "00000000-0000-7123-8567-89abcdef0123"),
        *(_read(name, text, error="malformed") for name, text in refused.items()),
    ]


def _seconds() -> list[Case]:
    accepted = {"the start of 1970": "0", "an ordinary second": str(TIME), "the end of the year 9999": "253402300799"}
    refused = {
        "a second later": "253402300800",
        "before 1970": "-1",
        "milliseconds of an ordinary second": f"{TIME}000",
        "a fraction": "1.5",
        "a text": f'"{TIME}"',
        "a date": '"2025-12-29T09:20:00Z"',
        "an exponent": "1e9",
        "true": "true",
    }
    return [
        *(_read(name, text, result=int(text)) for name, text in accepted.items()),
        *(_read(name, text, error="malformed") for name, text in refused.items()),
    ]
