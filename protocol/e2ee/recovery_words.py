"""Recovery words: 32 random bytes as 33 words that a person writes down, the last one a checksum.

The list is that of fingerprints (256 words, told apart by their first four letters), so that no word needs to be typed
in full. Source: docs/protocol/49-recovery.md §3.
"""

import re
from typing import Final

from protocol.encoding import label, sha256
from protocol.errors import MalformedError
from protocol.fingerprints import WORDS

ENTROPY_BYTES: Final = 32
WORD_COUNT: Final = ENTROPY_BYTES + 1
#: No two words of the list begin with the same so many letters.
SHORTEST: Final = 4
#: More than this is not a list of words; it is refused before it is looked at.
_MAX_CHARACTERS: Final = 2_000

_PLACES: Final = {word[:SHORTEST]: place for place, word in enumerate(WORDS)}
_PARTS: Final = re.compile(r"[a-z]+")


class WrongWordsError(MalformedError):
    """These are not recovery words: one is missing, misspelled or in another place."""

    code = "recovery-words"


def render_words(entropy: bytes) -> tuple[str, ...]:
    """Return the 33 words of 32 random bytes."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError("recovery words take exactly 32 bytes of entropy")
    return tuple(WORDS[byte] for byte in (*entropy, _checksum(entropy)))


def parse_words(text: str) -> bytes:
    """Return the 32 bytes of typed words; capitals, numbers and signs between them do not matter.

    Raises: WrongWordsError: which word, by its number only, or how many there are.
    """
    if len(text) > _MAX_CHARACTERS:
        raise WrongWordsError(f"recovery words are {WORD_COUNT} words")
    typed = _PARTS.findall(text.lower())
    if len(typed) != WORD_COUNT:
        raise WrongWordsError(f"recovery words are {WORD_COUNT} words, and these are {len(typed)}")
    *entropy, checksum = (_byte(word, number) for number, word in enumerate(typed, 1))
    if _checksum(bytes(entropy)) != checksum:
        raise WrongWordsError("the words do not belong together: one is wrong, or two have changed places")
    return bytes(entropy)


def _byte(word: str, number: int) -> int:
    place = _PLACES.get(word[:SHORTEST])
    if place is None or not WORDS[place].startswith(word):
        raise WrongWordsError(f"word {number} is not a recovery word")
    return place


def _checksum(entropy: bytes) -> int:
    return sha256(label("recovery-words"), entropy)[0]
