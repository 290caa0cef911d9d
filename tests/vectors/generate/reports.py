"""Vectors of docs/protocol/44-frames.md §8 and §9: reports. Groups and seals draw randomness: they are frozen.

`python -m tests.vectors.generate.reports` makes them anew, which is right only when the format has changed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from protocol.e2ee.reports import Report, encode_report
from protocol.e2ee.sealedreports import ReportKey, seal_report
from protocol.encoding import b64, encode, sha256, unb64
from protocol.reportitems import ReportContact, SealedReport, parse_sealed, report_info

from .devices import Case, file

FOLDER: Final = Path(__file__).parents[1]

#: Checked by opening only.
frozen: Final = ("reports/reports.json", "reports/sealed.json")

#: Of the contact's key.
SEED: Final = sha256(b"contact of the vectors")

#: Of what is changed in the table of the tests, what breaks the form and not a proof.
FORMS: Final = frozenset({"a proof cut short", "a certificate that is none", "no message", "words that ring"})


def files() -> dict[str, bytes]:
    """Return nothing: all vectors of this topic are frozen."""
    return {}


def seal() -> dict[str, bytes]:
    """Return new content of the frozen files."""
    from tests.cli.client.test_reports import changes, threatened

    _, report = threatened()
    return {"reports/reports.json": _reports(report, changes(report)), "reports/sealed.json": _sealed(report)}


def _reports(report: Report, changed: Mapping[str, Report]) -> bytes:
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
        {"name": name, "input": encode(one_change).decode(), "error": "malformed" if name in FORMS else "unverified"}
        for name, one_change in changed.items()
    ]
    return file(
        "44-frames §8",
        "`input` is the JSON text of a report; `result` what it proves was said. Each proof has the mark of its epoch.",
        [good, one, *bad],
    )


def _sealed(report: Report) -> bytes:
    key = ReportKey(SEED)
    contact = ReportContact(name="Dana Reyes", mail="speakup@aurora.example", seal=key.public.text)
    name, source, to = b64(sha256(b"report")[:16]), report.provider, report.consumer
    data = seal_report(report, contact, name=name, to=to)
    item = parse_sealed(data)

    def around(plain: bytes, *, by: str = source, target: str = to) -> bytes:
        sealed = key.public.seal(plain, report_info(name, by, target, key.public))
        return encode(SealedReport(report=name, source=by, to=target, sealed=b64(sealed)))

    said = [one.frame.content.text for one in report.said]  # type: ignore[union-attr] # both are chat
    cases: list[Case] = [
        {"name": "a report for the other organization", "input": data.decode(), "result": said},
        {"name": "without padding", "input": around(encode_report(report)).decode(), "result": said},
    ]
    other = "https://birch.example"
    bad = {
        "another name": (encode(replace(item, report=b64(bytes(16)))), "unverified"),
        "another organization as its source": (encode(replace(item, source=other)), "unverified"),
        "for another organization": (encode(replace(item, to=source)), "unverified"),
        "a changed byte": (encode(replace(item, sealed=b64(b"x" + unb64(item.sealed)[1:]))), "unverified"),
        "sealed by an organization that was not there": (around(encode_report(report), by=other), "unverified"),
        "sealed by the organization that it is about": (around(encode_report(report), by=to), "unverified"),
        "sealed for an organization that was not there": (around(encode_report(report), target=other), "unverified"),
        "padding that is not zero": (around(encode_report(report) + b"1"), "malformed"),
        "nothing inside": (around(b""), "malformed"),
        "words that were never said": (
            around(encode(replace(report, said=(replace(report.said[0], proof=report.said[1].proof),)))),
            "unverified",
        ),
        "another field": (data[:-1] + b',"x":1}', "malformed"),
    }
    cases += [{"name": name, "input": data.decode(), "error": error} for name, (data, error) in bad.items()]
    cases.append({"name": "another key", "seed": b64(bytes(32)), "input": data.decode(), "error": "unverified"})
    comment = "`input` is a sealed report, `seed` that of the contact's key; `result` what it proves was said."
    return file("44-frames §9", comment, [{"seed": b64(SEED), **case} for case in cases])


if __name__ == "__main__":
    for name, content in seal().items():
        (FOLDER / name).parent.mkdir(exist_ok=True)
        (FOLDER / name).write_bytes(content)
