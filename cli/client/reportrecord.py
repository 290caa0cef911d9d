"""What the vault keeps about a report that was handed in."""

from .records import Record


class ReportRecord(Record, frozen=True, kw_only=True):
    """A report for the contact of `to`; `item` until the own node has it, `refused` when it did not take it."""

    report: str
    thread: str
    to: str
    at: int
    item: bytes = b""
    refused: str = ""
