"""A sealed report opens for one contact, as what it was sealed as, and for nobody else."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from cli.client.core import ENGINE
from protocol.e2ee.frames import Chat
from protocol.e2ee.reports import Report
from protocol.e2ee.sealedreports import PAD_BYTES, ReportKey, open_sealed, seal_report
from protocol.encoding import b64, encode, sha256, unb64
from protocol.errors import LimitError, MalformedError, UnverifiedError
from protocol.reportitems import MAX_ITEM_BYTES, MAX_PADDED_BYTES, ReportContact, check_contact, parse_sealed
from protocol.sealing import OVERHEAD_BYTES
from tests.cli.client.test_reports import threatened

KINDS: Final = {"malformed": MalformedError, "unverified": UnverifiedError}
CASES: Final = json.loads((Path(__file__).parents[1] / "vectors" / "reports" / "sealed.json").read_bytes())["cases"]
KEY: Final = ReportKey(sha256(b"contact"))
CONTACT: Final = ReportContact(name="Dana Reyes", mail="speakup@aurora.example", seal=KEY.public.text)
NAME: Final = b64(sha256(b"report")[:16])


@pytest.fixture(scope="module")
def report() -> Report:
    return threatened()[1]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_sealed_report_ends_as_the_vectors_say(case: dict[str, Any]) -> None:
    key = ReportKey(unb64(case["seed"]))
    if "result" in case:
        said = open_sealed(case["input"].encode(), key, ENGINE).said
        assert [one.frame.content for one in said] == [Chat(text=text) for text in case["result"]]
        return
    with pytest.raises(KINDS[case["error"]]):
        open_sealed(case["input"].encode(), key, ENGINE)


def test_a_contact_opens_exactly_what_was_reported(report: Report) -> None:
    data = seal_report(report, CONTACT, name=NAME, to=report.consumer)
    assert open_sealed(data, KEY, ENGINE) == report
    item = parse_sealed(data)
    assert (item.source, item.to) == (report.provider, report.consumer)
    assert (len(unb64(item.sealed)) - OVERHEAD_BYTES) % PAD_BYTES == 0


def test_a_report_too_long_to_travel_is_refused_before_it_is_sealed(report: Report) -> None:
    long = replace(report, said=report.said[:1] * 2, words="x" * 2_000, certificates=("c" * 2_000,) * 300)
    with pytest.raises(LimitError, match="fewer messages"):
        seal_report(long, CONTACT, name=NAME, to=report.consumer)


def test_the_longest_report_fits_its_bound() -> None:
    longest = b64(bytes(MAX_PADDED_BYTES + OVERHEAD_BYTES))
    entity = "https://" + ".".join(["a" * 61] * 4) + "a"
    data = encode({"report": NAME, "sealed": longest, "source": entity, "to": entity})
    assert parse_sealed(data).sealed == longest
    assert len(data) <= MAX_ITEM_BYTES


@pytest.mark.parametrize(
    "changed", [{"mail": "nobody"}, {"mail": "a@b c"}, {"mail": "a@b\n"}, {"name": "a\u202eb"}, {"name": "a\nb"}]
)
def test_a_contact_that_cannot_be_shown_as_it_is_is_refused(changed: dict[str, str]) -> None:
    assert check_contact(CONTACT) is CONTACT
    with pytest.raises(MalformedError):
        check_contact(replace(CONTACT, **changed))
