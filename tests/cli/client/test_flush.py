"""What waits to be sent, when the node takes it later or not at all: the mailbox is read on."""

from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from msgspec.structs import replace

from cli.client.core import Core
from cli.client.http import Http
from cli.client.mailbox import MailboxLoop
from cli.client.session import with_frame
from cli.client.vault import ClientVault
from protocol.e2ee.frames import Chat
from protocol.e2ee.vault import VaultKey

from .pair import Pair
from .test_http import answering

NOBODY = cast("Any", None)


@pytest.mark.parametrize("status", [413, 429, 503])
async def test_what_the_node_takes_later_waits_and_holds_nothing_up(tmp_path: Path, status: int) -> None:
    pair = Pair()
    pair.until_open()
    state = with_frame(pair.core, pair.mentor, pair.thread, Chat(text="hello"))

    async def refuse(_request: web.BaseRequest) -> web.Response:
        return web.json_response({"status": status, "detail": "too much waits", "code": "limit"}, status=status)

    async with answering(refuse) as url, Http() as connections:
        assert state.account is not None
        state = replace(state, account=replace(state.account, url=url))
        vault = ClientVault.create(tmp_path / "mentor", VaultKey(b"k" * 32, name="test"), state)
        loop = MailboxLoop(Core(vault, connections), NOBODY, NOBODY, NOBODY)
        assert not await loop.flush(pair.thread)
    assert vault.read().session(pair.thread).outbox == state.session(pair.thread).outbox
