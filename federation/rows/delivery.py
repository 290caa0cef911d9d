"""Tables of what a node counts of delivery, by peer and never by person."""

from typing import ClassVar

from federation.ports import Row


class LifeRow(Row, frozen=True, kw_only=True):
    """The life of this database: drawn anew at the first start after a restore."""

    table = "delivery_life"
    key = ("entity",)
    purpose: ClassVar = {
        "entity": "delivery: whose life, this node",
        "life": "delivery: tells counts of before a restore from those after it",
        "generation": "delivery: the restore that this life began with",
    }

    entity: str
    life: str
    generation: int


class DeliveryRow(Row, frozen=True, kw_only=True):
    """Both directions with one peer: what is stored here of its items, and what it says it stored of ours."""

    table = "delivery"
    key = ("peer",)
    purpose: ClassVar = {
        "peer": "delivery: which organization",
        "stored": "delivery: items of the peer stored here, the cursor it is told",
        "stored_at": "delivery: minute of the last one",
        "told_life": "delivery: life of the peer's database as last told",
        "told": "delivery: items of ours that the peer stored, as last told",
        "told_at": "delivery: minute of the last one",
        "lost": "delivery: items the peer had stored and lost again by a restore",
        "recovering": "delivery: heads are to be compared before a handshake goes on",
    }

    peer: str
    stored: int = 0
    stored_at: int | None = None
    told_life: str = ""
    told: int = 0
    told_at: int | None = None
    lost: int = 0
    recovering: bool = False


class LedgerRow(Row, frozen=True, kw_only=True):
    """One day of one direction with one peer, in counts; `way` is `out` or `in`."""

    table = "delivery_ledger"
    key = ("peer", "way", "day")
    purpose: ClassVar = {
        "peer": "accountability: which organization",
        "way": "accountability: sent to it, or received from it",
        "day": "retention: which day (Unix days)",
        "stored": "accountability: items stored by the receiving node",
        "dead": "accountability: items given up, or refused",
    }

    peer: str
    way: str
    day: int
    stored: int
    dead: int
