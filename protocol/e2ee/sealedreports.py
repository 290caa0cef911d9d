"""Seals a report for the contact of one organization, and opens it as that contact.

Source: docs/protocol/44-frames.md §9.
"""

from typing import Final

from protocol.encoding import b64, encode, unb64
from protocol.errors import LimitError, UnverifiedError
from protocol.reportitems import MAX_PADDED_BYTES, ReportContact, SealedReport, parse_sealed, report_info
from protocol.sealing import PrivateSealingKey, SealingPublicKey

from .crypto import S, SessionCrypto
from .reports import Report, encode_report, open_report

#: Sizes tell little: a report is padded with zeros to a multiple of this.
PAD_BYTES: Final = 16 * 1024


class ReportKey(PrivateSealingKey):
    """Opens reports: the key of the contact of an organization, kept by that person alone."""

    __slots__ = ()


def seal_report(report: Report, contact: ReportContact, *, name: str, to: str) -> bytes:
    """Return the item that carries `report` to the contact of `to` under the random id `name`.

    Raises: LimitError: too long to be sent.
    """
    plain = encode_report(report)
    padded = plain.ljust(-(-len(plain) // PAD_BYTES) * PAD_BYTES, b"\0")
    if len(padded) > MAX_PADDED_BYTES:
        raise LimitError("this report is too long to be sent: choose fewer messages, or write it to a file")
    key, source = SealingPublicKey.parse(contact.seal), reporter_of(report)
    sealed = key.seal(padded, report_info(name, source, to, key))
    return encode(SealedReport(report=name, source=source, to=to, sealed=b64(sealed)))


def open_sealed(data: bytes, key: ReportKey, engine: SessionCrypto[S]) -> Report:
    """Return the report in a sealed item, verified.

    Raises: MalformedError; UnverifiedError: another key or context, not proven, or of other organizations.
    """
    item = parse_sealed(data)
    bound = report_info(item.report, item.source, item.to, key.public)
    plain = key.open(unb64(item.sealed, what="sealed"), bound, what="sealed report")
    report = open_report(plain.rstrip(b"\0"), engine)
    if item.source != reporter_of(report) or item.to not in {report.consumer, report.provider}:
        raise UnverifiedError("the report is of a session of other organizations", code="wrong-context")
    return report


def reporter_of(report: Report) -> str:
    """Return the organization of whoever made the report."""
    return report.provider if report.about == "mentee" else report.consumer
