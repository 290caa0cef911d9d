"""The short code of a call: seven pictures and three numbers that two people read to each other.

One device commits to its nonce before it sees the other's, so nobody in the middle can try until two codes look alike.
Source: docs/protocol/43-devices.md §8.
"""

import hashlib
import hmac
from enum import Enum
from typing import Annotated, Final, assert_never

import msgspec
from msgspec.structs import replace

from protocol.encoding import Wire, b64, label, length_prefixed, sha256, unb64
from protocol.errors import RefusedError, UnverifiedError
from protocol.ids import Bytes32, RandomId, id_bytes

NONCE_BYTES: Final = 32
PICTURES: Final = 7
NUMBERS: Final = 3
#: Each run shows another code; far more than two people need, far fewer than chance needs.
MAX_RUNS: Final = 20

_PICTURE_BITS: Final = 6
#: Where the numbers begin in the digest; the pictures come out of the bytes before.
_NUMBERS_AT: Final = 8
_MODULUS: Final = 10_000


class CodeCommit(Wire, frozen=True, kw_only=True, tag="code-commit"):
    """`{"commitment":"…43…","epoch":3,"run":"…22…","type":"code-commit"}`: the one who begins binds themselves."""

    run: RandomId
    commitment: Bytes32
    epoch: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class CodeAnswer(Wire, frozen=True, kw_only=True, tag="code-answer"):
    """`{"nonce":"…43…","run":"…22…","type":"code-answer"}`: the other one's nonce."""

    run: RandomId
    nonce: Bytes32


class CodeReveal(Wire, frozen=True, kw_only=True, tag="code-reveal"):
    """`{"device":"…43…","nonce":"…43…",…}`: the nonce that was committed to; `device` is whose answer counts."""

    run: RandomId
    nonce: Bytes32
    device: Bytes32


Step = CodeCommit | CodeAnswer | CodeReveal


class State(Enum):
    """Where a run is on one device."""

    COMMITTED = "committed"
    ANSWERED = "answered"
    DONE = "done"


#: Every legal step; what is not listed is refused. A commitment begins a run on the device that answers.
NEXT: Final[dict[tuple[State | None, type[Step]], State]] = {
    (None, CodeCommit): State.ANSWERED,
    (State.COMMITTED, CodeAnswer): State.DONE,
    (State.ANSWERED, CodeReveal): State.DONE,
}


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run on one device. `began` and `other` are device keys, `epoch_secret` what the group's members share.

    `first` is the nonce of who began, `second` that of who answered; what is not known yet is empty.
    """

    run: RandomId
    state: State
    began: Bytes32
    answered: str = ""
    commitment: str = ""
    epoch_secret: bytes
    first: bytes = b""
    second: bytes = b""

    def __repr__(self) -> str:
        return f"Run({self.state.value})"


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """What this device brings to a step: its key, 32 fresh random bytes, the secret of the epoch it is in."""

    device: Bytes32
    nonce: bytes
    epoch_secret: bytes

    def __repr__(self) -> str:
        return "Own(…)"


class Masters(msgspec.Struct, frozen=True, kw_only=True):
    """The master keys of who began and of who answered."""

    began: Bytes32
    answered: Bytes32


class ShortCode(msgspec.Struct, frozen=True, kw_only=True):
    """What is read aloud: places in `EMOJI`, and numbers of four digits."""

    pictures: tuple[int, ...]
    numbers: tuple[int, ...]


def begin(run: str, *, device: str, nonce: bytes, epoch: int, epoch_secret: bytes) -> tuple[Run, CodeCommit]:
    """Return a run of one's own, and what is sent first. `nonce`: 32 fresh random bytes."""
    _check_nonce(nonce)
    bound = b64(_commitment(run, device, nonce))
    made = Run(run=run, state=State.COMMITTED, began=device, epoch_secret=epoch_secret, first=nonce)
    return made, CodeCommit(run=run, commitment=bound, epoch=epoch)


def advance(run: Run | None, said: Step, own: Own, *, sender: str) -> tuple[Run, Step | None]:
    """Return the run after a step of another person's device, and what to send next.

    Raises: RefusedError: no run of this device waits for it, both began at once and the smaller id counts, or another
        device's answer counts; UnverifiedError: another nonce than was committed to; on both nothing has changed.
    """
    match said:
        case CodeCommit():
            return _answered(run, said, own, sender)
        case CodeAnswer():
            run, state = _next(run, said)
            second = unb64(said.nonce, size=NONCE_BYTES, what="nonce")
            done = replace(run, state=state, answered=sender, second=second)
            return done, CodeReveal(run=run.run, nonce=b64(run.first), device=sender)
        case CodeReveal():
            return _revealed(run, said, sender), None
        case _:
            assert_never(said)


def _answered(run: Run | None, said: CodeCommit, own: Own, sender: str) -> tuple[Run, CodeAnswer]:
    if run is not None and run.state is State.COMMITTED and run.run < said.run:
        raise RefusedError("both began to compare at once, and the other run counts", code="other-run")
    _check_nonce(own.nonce)
    made = Run(
        run=said.run,
        state=NEXT[None, CodeCommit],
        began=sender,
        answered=own.device,
        commitment=said.commitment,
        epoch_secret=own.epoch_secret,
        second=own.nonce,
    )
    return made, CodeAnswer(run=said.run, nonce=b64(own.nonce))


def _revealed(run: Run | None, said: CodeReveal, sender: str) -> Run:
    run, state = _next(run, said)
    if sender != run.began or said.device != run.answered:
        raise RefusedError("another device's answer counts in this run", code="other-device")
    nonce = unb64(said.nonce, size=NONCE_BYTES, what="nonce")
    if not hmac.compare_digest(b64(_commitment(run.run, run.began, nonce)), run.commitment):
        raise UnverifiedError("the nonce is not the one that was committed to", code="opening-mismatch")
    return replace(run, state=state, first=nonce)


def code_of(run: Run, masters: Masters) -> ShortCode:
    """Return the code of a run that is done; equal on both devices unless somebody stands between them."""
    if run.state is not State.DONE:
        raise RefusedError("the codes are not compared yet", code="not-done")
    keys = (unb64(each) for each in (masters.began, masters.answered, run.began, run.answered))
    said = length_prefixed(id_bytes(run.run, what="run"), *keys, run.epoch_secret, run.first, run.second)
    digest = hashlib.sha512(label("short-code") + said).digest()
    bits = int.from_bytes(digest[:_NUMBERS_AT], "big") >> (8 * _NUMBERS_AT - _PICTURE_BITS * PICTURES)
    pictures = tuple(bits >> _PICTURE_BITS * (PICTURES - 1 - at) & 63 for at in range(PICTURES))
    places = range(_NUMBERS_AT, _NUMBERS_AT + 2 * NUMBERS, 2)
    numbers = tuple(int.from_bytes(digest[at : at + 2], "big") % _MODULUS for at in places)
    return ShortCode(pictures=pictures, numbers=numbers)


def _next(run: Run | None, said: Step) -> tuple[Run, State]:
    state = NEXT.get((run.state, type(said))) if run is not None else None
    if run is None or state is None or run.run != said.run:
        raise RefusedError("no comparison waits for this", code="no-run")
    return run, state


def _commitment(run: str, device: str, nonce: bytes) -> bytes:
    return sha256(label("short-code-commit"), length_prefixed(id_bytes(run, what="run"), unb64(device), nonce))


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce is 32 bytes")
