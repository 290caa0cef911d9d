"""What a look at one's own keys tells: what was compared where, and what came of it."""

from typing import Literal

from .views import View

#: clean: only one's own keys. unwitnessed: nobody outside can look. not-listed: not there yet. unreached: no answer.
#: Red: swapped, an entry that is not one's own; new-device; hidden, the own entry is missing; refused, not proven.
CheckOutcome = Literal["clean", "unwitnessed", "not-listed", "unreached", "swapped", "new-device", "hidden", "refused"]


class KeyCheck(View, frozen=True, kw_only=True):
    """What one organization holds about oneself; `entity` is empty where there is none to ask.

    `seq` and `entries` say which head was read whole, `attested_by` who holds it, `devices` the keys shown for oneself,
    `evidence` where the proof of a foreign entry was written.
    """

    audience: str
    entity: str
    outcome: CheckOutcome
    sentence: str
    seq: int = 0
    entries: int = 0
    attested_by: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    evidence: str = ""
