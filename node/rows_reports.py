"""The table of sealed reports, which `node/rows.py` gives with the others."""

from typing import ClassVar

from federation.ports import Row


class ReportRow(Row, frozen=True, kw_only=True):
    """One sealed report: `target` here, it waits for the contact; `target` a peer, it is brought there.

    `member` is its reporter, empty when that is nobody here or somebody who left. `item` goes once a peer has it.
    """

    table = "report"
    key = ("source", "report")
    purpose: ClassVar = {
        "source": "service: from which organization",
        "report": "service: name of the report, random",
        "target": "service: whose contact is to read it",
        "member": "service: tell the reporter what became of it",
        "item": "service: the report, which only the contact can open",
        "made_at": "security: bound the reports of one person and one peer",
        "due_at": "service: by when it is to be answered",
        "received_at": "service: tell the reporter that it arrived",
        "closed_at": "service: when it was answered",
        "outcome": "service: tell the reporter how it was answered",
        "refused": "service: tell the reporter why it was not taken",
        "next_at": "operation: when to bring it or to ask about it next",
        "purge_at": "retention: when it is erased at the latest",
        "named_at": "security: show that it was looked up whom the report is about",
        "named_key": "security: let a report lead to the holder of one key and no other",
    }

    source: str
    report: str
    target: str
    member: str = ""
    item: bytes
    made_at: int
    due_at: int
    received_at: int | None = None
    closed_at: int | None = None
    outcome: str = ""
    refused: str = ""
    next_at: int | None = None
    purge_at: int
    named_at: int | None = None
    named_key: str = ""
