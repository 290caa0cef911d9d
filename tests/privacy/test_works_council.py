"""In works-council mode nothing an operator can ask tells one member from another, whatever they do with the node.

Two companies are the same but for one thing: in one Aurora 1 mentors and says no to a request, in the other Aurora 2.
Every operation is asked about both people; both companies must answer alike. Lines of the log and figures name nobody.
"""

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import generate_latest

from cli.client.views import Arrived
from federation.ports import Store
from node.operations import Operations
from node.rows import LabelRow, MemberRow
from node.services.member_operations import pack
from protocol.errors import MeshError, MissingError
from tests.cli.client.world import PROMPTS, become_mentor, company, happens, members, need

pytestmark = [pytest.mark.slow, pytest.mark.system]

ID: Final = "A" * 22
#: A command for each operation; WHO stands for the id of a member. A new operation fails the test until it stands here.
COMMANDS: Final[dict[str, dict[str, Any]]] = {
    "evidence.export": {"hash": "none"},
    "evidence.import": {"bundle": "{}"},
    "evidence.list": {},
    "evidence.thaw": {"entity": "https://birch.example"},
    "keys.list": {},
    "keys.prepare": {},
    "keys.recover": {"statement": "none"},
    "keys.rotate": {"role": "http"},
    "log.check": {},
    "log.override": {},
    "log.show": {},
    "log.successor": {},
    "log.watched": {},
    "log.witnesses": {},
    "member.export": {"id": "WHO"},
    "member.import": {"packed": "FILE", "digest": ""},
    "member.link": {"id": "WHO"},
    "member.list": {},
    "member.plan": {"packed": "FILE"},
    "member.show": {"id": "WHO"},
    "node.status": {},
    "offer.list": {},
    "offer.preview": {},
    "offer.preview-member": {"member": "WHO"},
    "offer.prove": {"offer_id": ID},
    "offer.show": {"offer_id": ID},
    "offer.verify": {"proof": "{}"},
    "peer.accept": {"ticket": "none"},
    "peer.board": {},
    "peer.confirm-key": {"entity": "https://birch.example", "words": "none"},
    "peer.doctor": {"url": "https://birch.example"},
    "peer.invite": {},
    "peer.ledger": {"entity": "https://birch.example"},
    "peer.list": {},
    "peer.mode": {"entity": "https://birch.example", "mode": "full"},
    "peer.pending": {},
    "peer.preview": {"ticket": "none"},
    "peer.remove": {"entity": "https://birch.example"},
    "peer.show": {"entity": "https://birch.example"},
    "registry.admit": {"entity": "https://birch.example"},
    "registry.invite": {},
    "registry.join": {"ticket": "none"},
    "registry.leave": {"registry": "https://birch.example"},
    "registry.list": {},
    "registry.memberships": {},
    "registry.remove": {"entity": "https://birch.example", "reason": ""},
    "registry.resume": {"entity": "https://birch.example"},
    "registry.rotate": {},
    "registry.suspend": {"entity": "https://birch.example", "reason": ""},
    "report.close": {"report": ID, "outcome": "no-action"},
    "report.list": {},
    "report.person": {"report": ID, "identity_key": "A" * 43, "audience": "A" * 43},
    "report.show": {"report": ID},
    "vocabulary.import": {"lines": ""},
    "vocabulary.list": {},
    "vocabulary.remove": {"scheme": "none"},
    "vocabulary.search": {"text": "board"},
    "member.erasures": {},
    # The last one: there is nobody to ask about afterwards.
    "member.erase": {"id": "WHO"},
}
#: Links, keys, tickets and the hashes of a log are random; they are made by asking or by the clock and tell nothing.
MADE: Final = frozenset(
    {
        "keys.list",
        "keys.prepare",
        "keys.rotate",
        "log.check",
        "log.override",
        "log.show",
        "log.successor",
        "member.link",
        "peer.invite",
    }
)
#: Of status and board: what this process and machine are at this moment, and how far the log has grown.
MOMENTARY: Final = frozenset({"database_bytes", "listen", "log", "pages", "jobs", "mails waiting", "messages waiting"})


async def test_every_answer_is_the_same_whoever_mentors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    answers = [await _answers(tmp_path / name, name, capfd) for name in ("aurora1", "aurora2")]
    assert set(answers[0]) == {(name, who) for name in COMMANDS for who in ("aurora1", "aurora2")}
    for asked, answer in answers[0].items():
        assert answers[1][asked] == answer, asked
    assert answers[0]["member.plan", "aurora1"]["unchanged"] == 16
    assert answers[0]["member.export", "aurora1"] == "works-council"
    assert answers[0]["offer.preview-member", "aurora1"] == "works-council"


async def _answers(folder: Path, mentor: str, capfd: pytest.CaptureFixture[str]) -> dict[tuple[str, str], Any]:
    """Let `mentor` be one who says no, then return what every operation answers about two members."""
    privacy, telemetry = {"works_council": True}, {"level": "debug"}
    async with company(folder, "aurora", privacy=privacy, telemetry=telemetry) as aurora:
        async with aurora.person(mentor) as ben, aurora.person("aurora9") as ana:
            await become_mentor(ben)
            await ana.ask(need())
            await ana.request(1, prompts=PROMPTS)
            arrived = await happens(ben, Arrived)
            await ben.decline(arrived.thread, reason="no-time", pause=True)
            with pytest.raises(MissingError):  # which leaves a line in the log
                await ben.api.thread(ID, "provider")
        names = await _names(aurora.store)
        operations = aurora.node.operations
        assert set(COMMANDS) == set(operations.by_name)
        answers = {
            (name, who): await _ask(operations, name, who) for name in COMMANDS for who in ("aurora1", "aurora2")
        }
        lines = "".join(capfd.readouterr()).splitlines()
        # In development, and only there, mails are put into a folder and each is told to the developer.
        said = "\n".join(line for line in lines if not line.startswith("mail for "))
        said += generate_latest(aurora.node.base.events.metrics.registry).decode()
    assert "mentormesh_requests" in said
    assert "request-refused" in said
    assert [name for name in names if name in said] == []
    return answers


async def _ask(operations: Operations, name: str, who: str) -> Any:  # noqa: ANN401 -- what an operation answers
    words = {"WHO": who, "FILE": base64.b64encode(pack(members(16, "aurora"))).decode()}
    command = {key: words.get(value, value) for key, value in COMMANDS[name].items()}
    try:
        answer = await operations.call_json(name, json.dumps(command).encode())
    except MeshError as error:
        return error.code
    return "made" if name in MADE else _settled(json.loads(answer))


def _settled(answer: object) -> object:
    """Return an answer without times and what is only of this moment."""
    if isinstance(answer, dict):
        return {name: _settled(value) for name, value in answer.items() if name not in MOMENTARY}
    if isinstance(answer, list):
        return [_settled(one) for one in answer]
    return "a time" if isinstance(answer, int) and answer > 10**9 else answer


async def _names(store: Store) -> list[str]:
    """Return everything by which a member is known."""
    async with store.read() as reader:
        rows, labels = await reader.find(MemberRow), await reader.find(LabelRow)
    return [name for row in rows for name in (row.member, row.mail)] + [label.label for label in labels]
