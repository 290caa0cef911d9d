"""A report proves who said what in which session, to somebody who was not there, and nothing else."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cli.client.core import ENGINE
from cli.client.ownwords import said_last
from cli.client.reporting import report_of
from cli.client.state import dump_state, load_state
from protocol.e2ee.frames import Chat, Retract, Vanish
from protocol.e2ee.reports import Report, encode_report, open_report
from protocol.encoding import b64, encode, unb64
from protocol.errors import MalformedError, MeshError, MissingError, RefusedError, UnverifiedError
from protocol.signing import SigningKey

from .pair import NOW, Pair
from .test_epochs import deliver, opened, renew
from .test_own_words import say, seen
from .test_vanishing import HOUR_S, both

KINDS = {"malformed": MalformedError, "unverified": UnverifiedError}
CASES = json.loads((Path(__file__).parents[2] / "vectors" / "reports" / "reports.json").read_bytes())["cases"]


def number_of(pair: Pair, text: str, *, by_mentor: bool = True) -> int:
    return next(line.number for line in seen(pair, by_mentor=by_mentor).lines if line.text == text)


def reported(pair: Pair, *texts: str) -> Report:
    """Return what the mentor's device makes of these messages of the mentee."""
    numbers = [number_of(pair, text) for text in texts]
    return report_of(pair.mentor, pair.thread, numbers, reason="threat", words="I felt threatened", now=pair.now)


def threatened() -> tuple[Pair, Report]:
    """Return a threat, said before and after a change of keys, with harmless words between, and its report."""
    pair = opened()
    say(pair, Chat(text="pay or else"))
    say(pair, Chat(text="nothing to do with it"))
    deliver(pair, renew(pair, by_mentor=False))
    say(pair, Chat(text="I mean it"))
    pair.mentor = load_state(dump_state(pair.mentor))
    return pair, reported(pair, "pay or else", "I mean it")


@pytest.fixture(scope="module")
def made() -> tuple[Pair, Report]:
    return threatened()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_report_ends_as_the_vectors_say(case: dict[str, Any]) -> None:
    data = case["input"].encode()
    if "result" in case:
        contents = [said.frame.content for said in open_report(data, ENGINE).said]
        assert contents == [Chat(text=text) for text in case["result"]]
        return
    with pytest.raises(KINDS[case["error"]]):
        open_report(data, ENGINE)


def test_whoever_is_given_a_report_can_check_it_without_a_network(made: tuple[Pair, Report]) -> None:
    pair, report = made
    data = encode_report(report)
    found = open_report(data, ENGINE)
    assert [said.frame.content for said in found.said] == [Chat(text="pay or else"), Chat(text="I mean it")]
    assert (found.about, found.accused) == ("mentee", pair.aurora.entity)
    assert found.identity_key == pair.mentee.account_secret.identity(pair.audience).public.text
    assert (found.thread, found.reason, found.words) == (pair.thread, "threat", "I felt threatened")


def test_a_report_holds_no_other_word_no_name_and_no_secret(made: tuple[Pair, Report]) -> None:
    pair, report = made
    data = encode_report(report)
    raw = b"".join(unb64(said.proof) for said in report.said)
    session = pair.mentor.session(pair.thread)
    for text in (b"nothing to do with it", b"Mentee", b"Mentor", session.master_key.encode()):
        assert text not in data
    for secret in (pair.mentor.account_seed, pair.mentor.device_seed, pair.mentee.account_seed):
        assert secret not in raw
        assert b64(secret).encode() not in data
    assert len(raw) < 1_000


def changes(report: Report) -> dict[str, Report]:
    """Return reports that say a little more than was said."""
    first, second = report.said
    proof = unb64(first.proof)
    other = b64(bytes(32))
    return {
        "other words": replace(report, said=(replace(first, frame=replace(first.frame, content=Chat(text="hello"))),)),
        "another time": replace(report, said=(replace(first, frame=replace(first.frame, at=NOW + 1)),)),
        "another id": replace(report, said=(replace(first, frame=replace(first.frame, id=second.frame.id)),)),
        "the proof of another message": replace(report, said=(replace(first, proof=second.proof),)),
        "the mark of another epoch": replace(
            report, said=(replace(first, proof=b64(proof[:-72] + bytes(4) + proof[-68:])),)
        ),
        "a proof cut short": replace(report, said=(replace(first, proof=b64(proof[:-1])),)),
        "an empty signature": replace(report, said=(replace(first, proof=b64(proof[:-68] + bytes(4))),)),
        "another session": replace(report, thread=b64(bytes(16))),
        "another acceptance": replace(report, accepted=other),
        "another consent": replace(report, consent=other),
        "another audience": replace(report, audience=other),
        "another person": replace(report, identity_key=SigningKey(bytes(32)).public.text),
        "no such device": replace(report, said=(replace(first, by=1),)),
        "a certificate that is none": replace(report, certificates=("x",)),
        "made before the certificate": replace(report, made_at=1),
        "made when the certificate was over": replace(report, made_at=NOW + 10**9),
        "no message": replace(report, said=()),
        "words that ring": replace(report, words="\x07"),
    }


def test_nothing_that_was_not_said_is_proved(made: tuple[Pair, Report]) -> None:
    _, report = made
    accepted = []
    for name, changed in changes(report).items():
        with suppress(UnverifiedError, MalformedError):
            open_report(encode(changed), ENGINE)
            accepted.append(name)
    assert accepted == []


def test_no_flipped_bit_of_a_proof_survives(made: tuple[Pair, Report]) -> None:
    _, report = made
    first = report.said[0]
    proof = unb64(first.proof)
    for place in range(len(proof)):
        changed = proof[:place] + bytes([proof[place] ^ 1]) + proof[place + 1 :]
        with pytest.raises(MeshError):
            open_report(encode(replace(report, said=(replace(first, proof=b64(changed)),))), ENGINE)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: {**body, "more": 1},
        lambda body: {**body, "v": 2},
        lambda body: {**body, "reason": "dislike"},
        lambda body: {**body, "about": "somebody"},
        lambda body: {name: value for name, value in body.items() if name != "consent"},
    ],
)
def test_another_form_is_refused(made: tuple[Pair, Report], spoil: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    body = json.loads(encode_report(made[1]))
    with pytest.raises(MalformedError):
        open_report(encode(spoil(body)), ENGINE)


def test_a_mentee_reports_a_mentor_just_so() -> None:
    pair = opened()
    say(pair, Chat(text="come to my hotel"), by_mentor=True)
    number = number_of(pair, "come to my hotel", by_mentor=False)
    report = report_of(pair.mentee, pair.thread, [number], reason="harassment", words="", now=NOW)
    found = open_report(encode_report(report), ENGINE)
    assert (found.about, found.accused) == ("mentor", pair.cobalt.entity)


def test_what_was_taken_back_can_be_reported_until_the_session_ends() -> None:
    pair = opened()
    say(pair, Chat(text="pay or else"))
    number = number_of(pair, "pay or else")
    say(pair, Retract(frame=said_last(pair.mentee, pair.thread, None)))
    report = report_of(pair.mentor, pair.thread, [number], reason="threat", words="", now=NOW)
    assert open_report(encode_report(report), ENGINE).said[0].frame.content == Chat(text="pay or else")


def test_only_the_other_persons_words_that_are_there_can_be_reported() -> None:
    pair = opened()
    say(pair, Vanish(after="said", seconds=HOUR_S))
    say(pair, Chat(text="mine"), by_mentor=True)
    say(pair, Chat(text="theirs"))
    for number in (number_of(pair, "mine"), 999):
        with pytest.raises(MissingError, match="has said no message"):
            report_of(pair.mentor, pair.thread, [number], reason="other", words="", now=NOW)
    number = number_of(pair, "theirs")
    proof = next(one.proof for one in pair.mentor.session(pair.thread).frames if one.number == number)
    pair.now += HOUR_S
    pair.mentor, _ = both(pair)
    with pytest.raises(RefusedError, match="cannot be proved"):
        report_of(pair.mentor, pair.thread, [number], reason="other", words="", now=pair.now)
    assert proof not in dump_state(pair.mentor)
