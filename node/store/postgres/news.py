"""What a process tells the others of its node: which tables a commit changed, and where a name is enough, whose rows.

One notification of PostgreSQL each, which has room for 8,000 bytes; what is too long says less, never nothing.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from federation.ports import Row

#: PostgreSQL refuses 8,000.
MOST_BYTES: Final = 7_900

#: Kinds of rows that were written, and the values of their column `named_by`; None: any.
Touched = Mapping[type[Row], set[str] | None]
#: Tables that changed, and the values; None: any.
Changed = dict[str, frozenset[str] | None]


class News(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told. A hint is no row: it saves somebody a wait, and may be lost."""

    changed: Changed = msgspec.field(default_factory=dict)
    hint: tuple[str, str] | None = None


_decoder: Final = msgspec.json.Decoder(News)


def render_change(touched: Touched) -> str:
    """Return the notification of a commit."""
    said = {kind.table: None if values is None else frozenset(values) for kind, values in touched.items()}
    text = _text(News(changed=said))
    return text if _fits(text) else _text(News(changed=dict.fromkeys(said)))


def render_hint(what: str, text: str) -> str | None:
    """Return the notification of a hint; None for one that is too long to be worth it."""
    said = _text(News(hint=(what, text)))
    return said if _fits(said) else None


def parse_news(text: str) -> News | None:
    """Return what was told; None for what another version of the program says: anything may have changed."""
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        return None


def _text(news: News) -> str:
    return msgspec.json.encode(news, order="deterministic").decode()


def _fits(text: str) -> bool:
    return len(text.encode()) <= MOST_BYTES
