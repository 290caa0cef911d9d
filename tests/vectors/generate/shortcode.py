"""Vectors of docs/protocol/43-devices.md §8: runs of the short code on either device, step by step."""

from collections.abc import Sequence
from hashlib import sha512
from typing import Any, Final

from protocol.encoding import b64, sha256, unb64

from .devices import Case, file

RUN: Final = b64(sha256(b"run of the vectors")[:16])
LATER: Final = "z" + RUN[1:]
BEGAN: Final = b64(sha256(b"device that began"))
ANSWERED: Final = b64(sha256(b"device that answered"))
OTHER: Final = b64(sha256(b"another device"))
FIRST: Final = sha256(b"nonce of who began")
SECOND: Final = sha256(b"nonce of who answered")
EPOCH_SECRET: Final = sha256(b"secret of the epoch")
MASTERS: Final = {"began": b64(sha256(b"master key one")), "answered": b64(sha256(b"master key two"))}

Frame = dict[str, Any]


def files() -> dict[str, bytes]:
    """Return the content of each vector file by its path under `tests/vectors`."""
    return {
        "shortcode/runs.json": file(
            "43-devices §8",
            "What `device` in `role` sends and shows, given these frames `from` the other; it draws `nonce`.",
            _cases(),
            epoch_secret=b64(EPOCH_SECRET),
            masters=MASTERS,
        )
    }


def _l(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _raw(text: str) -> bytes:
    return unb64(text)


def _commitment(run: str, device: str, nonce: bytes) -> str:
    return b64(sha256(b"mentormesh/short-code-commit/v1\n" + _l(_raw(run), _raw(device), nonce)))


def commit(run: str = RUN, device: str = BEGAN, nonce: bytes = FIRST) -> Frame:
    """Return what the one who begins sends first."""
    return {"type": "code-commit", "run": run, "commitment": _commitment(run, device, nonce), "epoch": 3}


def answer(run: str = RUN, nonce: bytes = SECOND) -> Frame:
    """Return the answer."""
    return {"type": "code-answer", "run": run, "nonce": b64(nonce)}


def reveal(run: str = RUN, nonce: bytes = FIRST, device: str = ANSWERED) -> Frame:
    """Return what is sent last."""
    return {"type": "code-reveal", "run": run, "nonce": b64(nonce), "device": device}


def _code(run: str = RUN, second: bytes = SECOND) -> dict[str, list[int]]:
    keys = [_raw(each) for each in (MASTERS["began"], MASTERS["answered"], BEGAN, ANSWERED)]
    digest = sha512(b"mentormesh/short-code/v1\n" + _l(_raw(run), *keys, EPOCH_SECRET, FIRST, second)).digest()
    bits = "".join(f"{byte:08b}" for byte in digest)
    pictures = [int(bits[at : at + 6], 2) for at in range(0, 42, 6)]
    return {"pictures": pictures, "numbers": [int(bits[at : at + 16], 2) % 10_000 for at in (64, 80, 96)]}


def _cases() -> list[Case]:
    def case(name: str, role: str, steps: Sequence[Frame], *, sender: str = "", **outcome: object) -> Case:
        device, other, nonce = (BEGAN, ANSWERED, FIRST) if role == "began" else (ANSWERED, BEGAN, SECOND)
        heard = [{"from": one.pop("sender", sender or other), "frame": one} for one in map(dict, steps)]
        return {
            "name": name,
            "role": role,
            "run": RUN,
            "device": device,
            "nonce": b64(nonce),
            "steps": heard,
            **outcome,
        }

    by_other = {**reveal(), "sender": OTHER}
    swapped = reveal(nonce=sha256(b"a nonce that was not committed to"))
    earlier = "A" + RUN[1:]
    foreign, moved = commit(device=OTHER), {**commit(LATER), "run": RUN}
    return [
        case("who begins", "began", [answer()], result={"sent": [commit(), reveal()], **_code()}),
        case("who answers", "answered", [commit(), reveal()], result={"sent": [answer()], **_code()}),
        case(
            "both begin, and the other's id is smaller", "both", [commit(earlier)], result={"sent": [answer(earlier)]}
        ),
        case("an answer that waits for its end", "answered", [commit()], result={"sent": [answer()]}),
        case("another nonce than was committed to", "answered", [commit(), swapped], error="unverified"),
        case("a nonce committed to by another device", "answered", [foreign, reveal()], error="unverified"),
        case(
            "a nonce committed to in another run",
            "answered",
            [moved, reveal()],
            error="unverified",
        ),
        case("the end of another run", "answered", [commit(), reveal(LATER)], error="refused"),
        case("the end for another device's answer", "answered", [commit(), reveal(device=OTHER)], error="refused"),
        case("the end from another device", "answered", [commit(), by_other], error="refused"),
        case("the end twice", "answered", [commit(), reveal(), reveal()], error="refused"),
        case("an end without a beginning", "answered", [reveal()], error="refused"),
        case("an answer without a question", "answered", [answer()], error="refused"),
        case("an answer to another run", "began", [answer(LATER)], error="refused"),
        case("a second answer", "began", [answer(), answer()], error="refused"),
        case("an end of one's own run", "began", [reveal()], error="refused"),
        case("both begin, and one's own id is smaller", "both", [commit(LATER)], error="refused"),
    ]
