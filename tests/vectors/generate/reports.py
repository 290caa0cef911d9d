"""Vectors of docs/protocol/44-frames.md §8: reports. Groups draw randomness, so that they are frozen.

`python -m tests.vectors.generate.reports` makes them anew, which is right only when the format has changed.
"""

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from protocol.e2ee.reports import encode_report
from protocol.encoding import encode

from .devices import Case, file

FOLDER: Final = Path(__file__).parents[1]

#: Checked by opening only.
frozen: Final = ("reports/reports.json",)

#: Of what is changed in the table of the tests, what breaks the form and not a proof.
FORMS: Final = frozenset({"a proof cut short", "a certificate that is none", "no message", "words that ring"})


def files() -> dict[str, bytes]:
    """Return nothing: all vectors of this topic are frozen."""
    return {}


def seal() -> dict[str, bytes]:
    """Return new content of the frozen file."""
    from tests.cli.client.test_reports import changes, threatened

    _, report = threatened()
    good: Case = {
        "name": "two messages before and after a change of keys",
        "input": encode_report(report).decode(),
        "result": [said.frame.content.text for said in report.said],  # type: ignore[union-attr] # both are chat
    }
    one: Case = {
        "name": "one of them",
        "input": encode_report(replace(report, said=report.said[:1])).decode(),
        "result": ["pay or else"],
    }
    bad: list[Case] = [
        {"name": name, "input": encode(changed).decode(), "error": "malformed" if name in FORMS else "unverified"}
        for name, changed in changes(report).items()
    ]
    return {
        "reports/reports.json": file(
            "44-frames §8", "`input` is the JSON text of a report; `result` what it proves was said.", [good, one, *bad]
        )
    }


if __name__ == "__main__":
    for name, content in seal().items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_bytes(content)
