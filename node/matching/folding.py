"""Text reduced to what typing and searching should agree on: no accents, no case, words only."""

import re
import unicodedata
from typing import Final

#: Letters and digits, with the signs that tell C, C++ and C# apart.
_WORD: Final = re.compile(r"[^\W_]+[+#]*")


def fold(text: str) -> str:
    """Return the words of `text` folded, one space between them: `ruckkehr elternzeit` for `Rückkehr (Elternzeit)`."""
    plain = text if text.isascii() else _without_accents(text)
    return " ".join(_WORD.findall(plain.casefold()))


def _without_accents(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))
