"""Vectors of docs/protocol/53-witnesses.md §1–§3: requests to a witness, its decisions and its answers."""

from typing import Any, Final

from tests.vectors import rfc6962
from tests.vectors.c2sp import (
    BIRCH,
    LEAVES,
    LOG,
    ML_DSA_LINE,
    OTHER_LOG,
    STRANGER,
    b64,
    checkpoint,
    note,
    signed,
)

from .devices import Case, file

OLD: Final = 200
NEW: Final = 300
PROOF: Final = [b64(each) for each in rfc6962.proof(OLD, LEAVES[:NEW])]
CHECKPOINT: Final = signed(NEW)


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "witness/requests.json": file(
            "53-witnesses §1",
            "`input` is the body of a request, which is read and not decided. Hashes in `result` are hex.",
            [*_requests(), *_bad_requests()],
        ),
        "witness/answers.json": file(
            "53-witnesses §2",
            "`input` is the body of an answer with `status`; a `result` is the size, or the number of signature lines.",
            [*_answers(), *_bad_answers()],
        ),
        "witness/decisions.json": file(
            "53-witnesses §3",
            "`input` is the body of a request to a witness that holds the checkpoint text `held`, or none, and trusts "
            "`keys`. `result` is the size it now holds; `status` is that of the answer.",
            [*_accepted(), *_declined()],
        ),
    }


def body(old: int | str, hashes: list[str], text: str) -> str:
    """Return a request."""
    return "\n".join([f"old {old}", *hashes, "", text])


def _requests() -> list[Case]:
    def case(name: str, old: int, hashes: list[bytes], text: str, size: int) -> Case:
        result = {"old_size": old, "proof": [each.hex() for each in hashes], "size": size}
        return {"name": name, "input": body(old, [b64(each) for each in hashes], text), "result": result}

    proof = rfc6962.proof(OLD, LEAVES[:NEW])
    return [
        case("a log that has grown", OLD, proof, CHECKPOINT, NEW),
        case("a first checkpoint", 0, [], CHECKPOINT, NEW),
        case("63 hashes", OLD, [LEAVES[0]] * 63, CHECKPOINT, NEW),
        case(
            "a checkpoint with cosignatures", OLD, proof, signed(NEW, BIRCH.cosigns(checkpoint(NEW)), ML_DSA_LINE), NEW
        ),
    ]


def _bad_requests() -> list[Case]:
    good = body(OLD, PROOF, CHECKPOINT)
    refused = [
        ("witness-lines", "nothing at all", ""),
        ("witness-lines", "a checkpoint alone", CHECKPOINT),
        ("witness-lines", "no blank line", good.replace("\n\n", "\n", 1).split("\n\n")[0]),
        ("witness-lines", "another word for the old size", good.replace("old", "size", 1)),
        ("witness-lines", "a tab before the old size", good.replace("old ", "old\t", 1)),
        ("witness-lines", "lines ended by carriage return and line feed", good.replace("\n", "\r\n")),
        ("witness-lines", "a blank line first", f"\n{good}"),
        ("number", "no old size", body("", PROOF, CHECKPOINT)),
        ("number", "an old size with a leading zero", body("0200", PROOF, CHECKPOINT)),
        ("number", "an old size with a sign", body("+200", PROOF, CHECKPOINT)),
        ("number", "an old size above every tree", body(2**53, PROOF, CHECKPOINT)),
        ("number", "a space before the old size", body(" 200", PROOF, CHECKPOINT)),
        ("number", "a carriage return after the old size", body("200\r", PROOF, CHECKPOINT)),
        ("note-bytes", "Arabic-Indic digits", body("٢٠٠", PROOF, CHECKPOINT)),
        ("base64", "a hash without padding", body(OLD, [PROOF[0][:-1]], CHECKPOINT)),
        ("base64", "a hash with a space after it", body(OLD, [f"{PROOF[0]} "], CHECKPOINT)),
        ("hash-length", "a hash of 31 bytes", body(OLD, [b64(bytes(31))], CHECKPOINT)),
        ("hash-length", "a hash of 33 bytes", body(OLD, [b64(bytes(33))], CHECKPOINT)),
        ("witness-limit", "64 hashes", body(OLD, PROOF[:1] * 64, CHECKPOINT)),
        ("note-shape", "a checkpoint without signatures", body(OLD, PROOF, checkpoint(NEW))),
        ("note-shape", "no line feed at the end", good[:-1]),
        ("note-bytes", "a tab in the checkpoint", body(OLD, PROOF, CHECKPOINT.replace("300", "\t300"))),
        ("number", "a checkpoint with a leading zero", body(OLD, PROOF, CHECKPOINT.replace("300", "0300"))),
    ]
    return [
        {"name": name, "input": text, "error": "limit" if rule.endswith("limit") else "malformed", "rule": rule}
        for rule, name, text in refused
    ]


def _answers() -> list[Case]:
    one = BIRCH.cosigns(checkpoint(NEW))
    return [
        {"name": "a size", "status": 409, "input": "300\n", "result": 300},
        {"name": "the largest size", "status": 409, "input": f"{2**53 - 1}\n", "result": 2**53 - 1},
        {"name": "the size of nothing", "status": 409, "input": "0\n", "result": 0},
        {"name": "one cosignature", "status": 200, "input": one, "result": 1},
        {"name": "two, one as long as one of ML-DSA-44", "status": 200, "input": one + ML_DSA_LINE, "result": 2},
    ]


def _bad_answers() -> list[Case]:
    one = BIRCH.cosigns(checkpoint(NEW))
    refused = [
        (409, "witness-lines", "a size without line feed", "300"),
        (409, "witness-lines", "nothing where a size should be", ""),
        (409, "number", "a size with a leading zero", "0300\n"),
        (409, "number", "a size with a carriage return", "300\r\n"),
        (409, "number", "a blank line after the size", "300\n\n"),
        (409, "number", "an empty line", "\n"),
        (409, "witness-lines", "Arabic-Indic digits", "٣٠٠\n"),
        (409, "witness-lines", "more digits than any size has", "1" * 17 + "\n"),
        (200, "note-shape", "nothing where a cosignature should be", ""),
        (200, "note-shape", "a cosignature without line feed", one[:-1]),
        (200, "signature-line", "a blank line after the cosignature", f"{one}\n"),
        (200, "signature-line", "a whole note", signed(NEW, one)),
        (200, "base64", "a carriage return after the cosignature", one.replace("\n", "\r\n")),
        (200, "note-limit", "seventeen cosignatures", one * 17),
    ]
    return [
        {
            "name": name,
            "status": status,
            "input": text,
            "error": "limit" if rule.endswith("limit") else "malformed",
            "rule": rule,
        }
        for status, rule, name, text in refused
    ]


def _decision(name: str, held: str | None, request: str, **outcome: Any) -> Case:  # noqa: ANN401 -- of any type
    return {"name": name, "held": held, "keys": [LOG.vkey], "input": request, **outcome}


def _accepted() -> list[Case]:
    def case(name: str, held: int | None, old: int, new: int) -> Case:
        proof = [b64(each) for each in rfc6962.proof(old, LEAVES[:new])]
        text = None if held is None else checkpoint(held)
        return _decision(name, text, body(old, proof, signed(new)), result=new, status=200)

    return [
        case("the first checkpoint of a log", None, 0, NEW),
        case("a log that has grown", OLD, OLD, NEW),
        case("the same checkpoint again", NEW, NEW, NEW),
        case("an empty log", None, 0, 0),
        case("a log that was empty", 0, 0, NEW),
    ]


def _declined() -> list[Case]:
    fork = rfc6962.mth([*LEAVES[: NEW - 1], LEAVES[0]])
    forked = checkpoint(NEW, fork)
    ghost = checkpoint(0, fork)
    grown = body(OLD, PROOF, CHECKPOINT)
    foreign = checkpoint(NEW, None, OTHER_LOG.name)
    backwards = [b64(each) for each in rfc6962.proof(OLD, LEAVES[:NEW])]

    def bad(status: int, rule: str, name: str, held: str | None, request: str, **more: Any) -> Case:  # noqa: ANN401
        error = {400: "malformed", 409: "refused"}.get(status, "unverified")
        return _decision(name, held, request, **more, error=error, rule=rule, status=status)

    old = checkpoint(OLD)
    return [
        bad(
            403,
            "unsigned",
            "signed by a stranger",
            old,
            body(OLD, PROOF, note(checkpoint(NEW), STRANGER.signs(checkpoint(NEW)))),
        ),
        bad(
            403,
            "bad-signature",
            "signed over another checkpoint",
            old,
            body(OLD, PROOF, note(checkpoint(NEW), LOG.signs(old))),
        ),
        bad(
            404,
            "other-origin",
            "a log that these keys are not for",
            None,
            body(0, [], note(foreign, OTHER_LOG.signs(foreign))),
        ),
        bad(400, "old-size", "an old size above the new one", checkpoint(NEW), body(NEW, [], signed(OLD))),
        bad(409, "size-conflict", "an old size of which nothing is known", None, grown, size=0),
        bad(409, "size-conflict", "an old size smaller than what is held", checkpoint(250), grown, size=250),
        bad(409, "size-conflict", "an old size of zero for a known log", old, body(0, [], CHECKPOINT), size=OLD),
        bad(422, "bad-consistency", "another history before the old size", checkpoint(OLD, fork), grown),
        bad(
            422,
            "bad-consistency",
            "another history after the old size",
            old,
            body(OLD, PROOF, note(forked, LOG.signs(forked))),
        ),
        bad(
            422,
            "bad-consistency",
            "the same size with another root",
            checkpoint(NEW),
            body(NEW, [], note(forked, LOG.signs(forked))),
        ),
        bad(422, "bad-consistency", "a proof for a first checkpoint", None, body(0, PROOF[:1], CHECKPOINT)),
        bad(422, "bad-consistency", "no proof", old, body(OLD, [], CHECKPOINT)),
        bad(422, "bad-consistency", "a proof cut short", old, body(OLD, PROOF[:-1], CHECKPOINT)),
        bad(422, "bad-consistency", "a proof in the wrong order", old, body(OLD, backwards[::-1], CHECKPOINT)),
        bad(422, "empty-root", "an empty log with a root", None, body(0, [], note(ghost, LOG.signs(ghost)))),
    ]
