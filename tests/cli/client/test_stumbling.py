"""A mistake in the client itself costs the entry that meets it, and nothing behind it."""

from pathlib import Path
from typing import Any, cast

import pytest

from cli.client import entries, mailbox
from cli.client.core import Core
from cli.client.entries import Step
from cli.client.mailbox import MailboxLoop
from cli.client.session import with_frame
from cli.client.state import ClientState
from cli.client.vault import ClientVault
from cli.client.views import Problem, Shown
from node.api.exchange import Entry
from protocol.e2ee.frames import Chat
from protocol.e2ee.vault import VaultKey
from protocol.encoding import b64
from protocol.envelope import render_envelope

from .pair import NOW, Pair

NOBODY = cast("Any", None)


async def test_an_entry_that_the_program_stumbles_over_does_not_block_those_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair()
    pair.until_open()
    take_entry = entries.take_entry

    def stumble(core: Core, state: ClientState, entry: Entry) -> Step:
        if entry.cursor == after + 1:
            raise IndexError("words of somebody")
        return take_entry(core, state, entry)

    monkeypatch.setattr(mailbox, "take_entry", stumble)
    vault = ClientVault.create(tmp_path / "mentee", VaultKey(b"k" * 32, name="test"), pair.mentee)
    after = vault.read().mailbox_after
    loop = MailboxLoop(Core(vault, NOBODY, lambda: NOW), NOBODY, NOBODY, NOBODY)
    pair.keep(with_frame(pair.core, pair.mentor, pair.thread, Chat(text="hello")), by_mentor=True)
    said = b64(render_envelope(pair.outgoing(by_mentor=True)[-1]))
    first, second = [
        Entry(cursor=after + count, kind="envelope", thread=pair.thread, side="consumer", data=said, at=NOW)
        for count in (1, 2)
    ]
    (problem,) = await loop._take(first)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.thread) == ("internal", pair.thread)
    assert "IndexError" in problem.sentence
    assert "words of somebody" not in problem.sentence
    (shown,) = await loop._take(second)
    assert isinstance(shown, Shown)
    assert shown.text == "hello"
    assert vault.read().mailbox_after == after + 2
