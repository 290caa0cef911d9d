"""Vectors of docs/protocol/51-checkpoints.md §6: timestamped cosignatures."""

from typing import Final

from tests.vectors.c2sp import BIRCH, COBALT, LOG, ML_DSA_LINE, NOW, Party, checkpoint, line, signed

from .devices import Case, file

SIZE: Final = 300
TEXT: Final = checkpoint(SIZE)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "cosignature/cosignatures.json": file(
            "51-checkpoints §6",
            "`input` is a checkpoint signed by the log `key`; `result` tells which of `witnesses` cosigned it, and "
            "when, at `now`.",
            [*_good(), *_refused()],
            key=LOG.vkey,
        )
    }


def _case(name: str, *lines: str, witnesses: tuple[Party, ...] = (BIRCH, COBALT), **outcome: object) -> Case:
    return {
        "name": name,
        "input": signed(SIZE, *lines),
        "witnesses": [each.vkey for each in witnesses],
        "now": NOW,
        **outcome,
    }


def _said(*found: tuple[Party, int]) -> list[dict[str, object]]:
    return [{"witness": party.name, "at": at} for party, at in found]


def _raw(party: Party, at: int, message: str) -> str:
    data = party.key_id + at.to_bytes(8, "big") + party.key.sign(message.encode()).signature
    return line(party.name, data)


def _good() -> list[Case]:
    namesake = Party(BIRCH.name, 4, "another key")
    return [
        _case("nobody", result=[]),
        _case("one witness", BIRCH.cosigns(TEXT), result=_said((BIRCH, NOW))),
        _case("two witnesses", COBALT.cosigns(TEXT, 5), BIRCH.cosigns(TEXT), result=_said((COBALT, 5), (BIRCH, NOW))),
        _case("a witness that nobody asked about", BIRCH.cosigns(TEXT), witnesses=(COBALT,), result=[]),
        _case("another key under a known name", namesake.cosigns(TEXT), result=[]),
        _case("a line as long as one of ML-DSA-44 under a known name", ML_DSA_LINE, result=[]),
        _case("a clock 60 s ahead", BIRCH.cosigns(TEXT, NOW + 60), result=_said((BIRCH, NOW + 60))),
        _case(
            "a clock 61 s ahead does not count, the other witness does",
            BIRCH.cosigns(TEXT, NOW + 61),
            COBALT.cosigns(TEXT),
            result=_said((COBALT, NOW)),
        ),
    ]


def _refused() -> list[Case]:
    def bad(error: str, rule: str, name: str, *lines: str) -> Case:
        return _case(name, *lines, error=error, rule=rule)

    good = BIRCH.cosigns(TEXT)
    bare = line(BIRCH.name, BIRCH.key_id + BIRCH.key.sign(TEXT.encode()).signature)
    longer = line(BIRCH.name, BIRCH.key_id + bytes(7) + b"\1" + bytes(65))
    most = _raw(BIRCH, 2**63, f"cosignature/v1\ntime {2**63}\n{TEXT}")
    return [
        bad("unverified", "bad-signature", "of another checkpoint", BIRCH.cosigns(checkpoint(SIZE - 1))),
        bad(
            "unverified",
            "bad-signature",
            "with another time than was signed",
            _raw(BIRCH, NOW, f"cosignature/v1\ntime {NOW - 1}\n{TEXT}"),
        ),
        bad(
            "unverified",
            "bad-signature",
            "with a leading zero in the signed time",
            _raw(BIRCH, NOW, f"cosignature/v1\ntime 0{NOW}\n{TEXT}"),
        ),
        bad(
            "unverified",
            "bad-signature",
            "with another version in the signed text",
            _raw(BIRCH, NOW, f"cosignature/v2\ntime {NOW}\n{TEXT}"),
        ),
        bad(
            "unverified",
            "bad-signature",
            "over the whole note instead of its text",
            _raw(BIRCH, NOW, f"cosignature/v1\ntime {NOW}\n{signed(SIZE)}"),
        ),
        bad("unverified", "bad-signature", "one good, one wrong", COBALT.cosigns(TEXT), _raw(BIRCH, NOW, TEXT)),
        bad("unverified", "repeated-signer", "one witness twice", good, good),
        bad("unverified", "repeated-signer", "one witness at two times", good, BIRCH.cosigns(TEXT, NOW - 1)),
        bad("malformed", "cosignature", "a signature without a time", bare),
        bad("malformed", "cosignature", "one byte too many", longer),
        bad(
            "malformed",
            "cosignature",
            "one byte too few",
            line(BIRCH.name, BIRCH.key_id + bytes(7) + b"\1" + bytes(63)),
        ),
        bad("malformed", "cosignature", "a time of zero", _raw(BIRCH, 0, f"cosignature/v1\ntime 0\n{TEXT}")),
        bad("malformed", "cosignature", "a time over the largest", most),
    ]
