"""`mentormesh demo --attack read-as-admin`: the administrators of both companies try to read a session.

They work together, have every file and the memory of both running nodes, and know what to look for: every text carries
one random mark. What they do learn is told as plainly.
"""

import asyncio
import secrets
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

from cli.client.views import Arrived, Named, Secured, Shown
from federation.ports import where
from federation.rows import MailboxRow, MessageRow, SessionRow
from node.rows import LabelRow, MemberRow
from protocol.e2ee.frames import Again, Chat
from protocol.errors import UnavailableError
from protocol.handshake import Side

from . import words
from .actors import Actor
from .companies import NEED
from .database import OWN
from .events import ReadingSummary
from .memory import memory_of
from .nodes import NodeProcess
from .said import UNSEEN, done_beside, said
from .search_nodes import Found, Hit, Needle, Search
from .servers import closed
from .setting import Setting
from .telling import Telling

#: Said at the end, and on every page about it.
WORDING: Final = (
    "Your company's server holds only ciphertext, and a swapped key or changed page leaves evidence. A company that "
    "controls your device or alters the page can still read; here is how you would notice."
)


class Reading:
    """One run: a session between Ana and Ben, and two administrators who want to know what is said."""

    def __init__(self, setting: Setting, telling: Telling) -> None:
        cast = setting.world.cast
        self._setting: Final = setting
        self._telling: Final = telling
        self._ana: Final = setting.actor(cast.ana)
        self._ben: Final = setting.actor(cast.ben)
        self._mark: Final = secrets.token_hex(10)
        self._secret: Final = Search(setting.elsewhere)
        self._secret.add(
            [
                Needle(label="marked words", text=self._mark),
                *(Needle(label=f"{one.key}'s name", text=one.name) for one in (cast.ana, cast.ben)),
            ]
        )
        self._fields: Final[list[str]] = []
        self._file_hits: list[Hit] = []
        self._memory_hits: list[Hit] = []
        self._file_bytes = 0
        self._memory_bytes = 0
        self._skipped = ""
        self._known: Final[dict[str, int]] = {}

    async def run(self) -> ReadingSummary:
        """Play it and return what was found. Raises: MeshError: the session did not go as it must."""
        thread = await self._meet()
        await self._talk(thread)
        await self._search("The administrators search while the session is open")
        await self._show_known(thread)
        await self._end(thread)
        await self._search("They search again after it was closed")
        self._telling.say("", WORDING)
        return ReadingSummary(
            attack="read-as-admin",
            unread=not self._file_hits and not self._memory_hits,
            fields=tuple(self._fields),
            file_hits=sum(hit.count for hit in self._file_hits),
            memory_hits=sum(hit.count for hit in self._memory_hits),
            places=tuple(sorted({hit.place for hit in (*self._file_hits, *self._memory_hits)})),
            file_bytes=self._file_bytes,
            memory_bytes=self._memory_bytes,
            memory_skipped=self._skipped,
            known_hits=self._known,
            folder=str(self._setting.folder),
            seconds=self._telling.seconds,
        )

    # The session

    async def _meet(self) -> str:
        self._telling.scene("Ana and Ben meet")
        shortlist = await self._ana.person.ask(NEED)
        wanted = next((one for one in shortlist.proposals if self._ben.is_proposed(one)), None)
        if wanted is None:
            raise UnavailableError("Ben was not proposed to Ana")
        prompts = (self._marked(words.BRIEF[0]), self._marked(words.BRIEF[1]), self._marked(words.BRIEF[2]))
        self._fields.extend(f"brief {number}" for number in (1, 2, 3))
        await self._ana.person.request(wanted.number, prompts=prompts, backups=())
        thread = (await self._ben.see(Arrived)).thread
        await self._ben.person.accept(thread)
        await asyncio.gather(self._ana.see(Secured), self._ben.see(Secured))
        mine, theirs = await asyncio.gather(self._ana.see(Named), self._ben.see(Named))
        self._fields.append("name")
        self._telling.say("ana", f"reads a name: {mine.name}. Ben reads: {theirs.name}.")
        return thread

    async def _talk(self, thread: str) -> None:
        for who, content in said(self._marked):
            sender, reader = (self._ana, self._ben) if who == "ana" else (self._ben, self._ana)
            await sender.say(thread, content)
            self._fields.append(str(content.__struct_config__.tag))
            if not isinstance(content, UNSEEN):
                await reader.see(Shown)
        self._fields.extend(await done_beside(self._ana, self._ben, thread, self._marked, self._setting.folder))
        # One more that nobody has fetched: at the first search its ciphertext lies in both databases.
        await self._ana.say(thread, Chat(text=self._marked("One more thing before Thursday.")))
        kinds = words.listing(dict.fromkeys(self._fields))
        self._telling.say("", f"They have said: {kinds}. Every text of it carries the mark {self._mark}.")

    def _marked(self, text: str) -> str:
        return f"{text} {self._mark}"

    async def _end(self, thread: str) -> None:
        for actor in (self._ana, self._ben):
            await actor.say(thread, Again(yes=True))
        await asyncio.gather(self._ana.person.close(thread), self._ben.person.close(thread))
        for actor in (self._ana, self._ben):
            await actor.see_until(partial(_destroyed, actor, thread))
        first, last = self._setting.nodes[0], self._setting.nodes[-1]
        await asyncio.gather(closed(first, thread, Side.CONSUMER), closed(last, thread, Side.PROVIDER))

    # The search

    async def _search(self, title: str) -> None:
        self._telling.scene(title)
        found = await asyncio.to_thread(self._secret.run, self._setting.nodes_folder)
        self._file_hits += found.hits
        self._file_bytes += found.searched_bytes
        for node in self._setting.nodes:
            name = node.plan.name
            count, size = found.hits_at(name), found.by_node.get(name, 0)
            self._telling.say(name, f"database, journal, logs, every file: {size / 1e6:.1f} MB, {count} hits.")
            await self._search_memory(node)
        await self._search_database(found)

    async def _search_memory(self, node: NodeProcess) -> None:
        """Search a running node for what it must not know, and for its own name, which it must."""
        name = node.plan.name
        known = Search()
        known.add([Needle(label="the company's own name", text=node.plan.display_name)])
        what = "the running node" if len(node.processes) == 1 else f"all {len(node.processes)} processes of the node"
        memory = partial(_memory, [process.pid for process in node.processes])
        try:
            hits, size = await asyncio.to_thread(self._secret.over, f"{name}/(memory)", memory)
            seen, _ = await asyncio.to_thread(known.over, f"{name}/(memory)", memory)
        except UnavailableError as error:
            self._skipped = str(error)
            self._telling.say(name, f"MEMORY NOT SEARCHED: {error}.")
            return
        self._memory_hits += hits
        self._memory_bytes += size
        self._known[name] = sum(hit.count for hit in seen)
        self._telling.say(
            name,
            f"memory of {what}: {size / 1e6:.0f} MB, {sum(hit.count for hit in hits)} hits. "
            f"The same search finds the company's own name there {self._known[name]} times.",
        )

    async def _search_database(self, found: Found) -> None:
        """Search a database server of our own, which holds the rows of both companies."""
        database = self._setting.database
        if database is None or database.own is None:
            return
        in_files, size = found.hits_at(OWN), found.by_node.get(OWN, 0)
        said = f"{self._setting.store}: every file of it, its journal too: {size / 1e6:.1f} MB, {in_files} hits"
        if not self._skipped:
            memory = partial(_memory, [database.own.pid])
            hits, size = await asyncio.to_thread(self._secret.over, f"{OWN}/(memory)", memory)
            self._memory_hits += hits
            self._memory_bytes += size
            count = sum(hit.count for hit in hits)
            said += f"; its memory, with that which its sessions share: {size / 1e6:.0f} MB, {count} hits"
        self._telling.say("", f"{said}.")

    # What they do know

    async def _show_known(self, thread: str) -> None:
        self._telling.scene("What the administrators do see")
        for node, side in zip(
            (self._setting.nodes[0], self._setting.nodes[-1]), (Side.CONSUMER, Side.PROVIDER), strict=True
        ):
            for line in await known_of(node, thread, side):
                self._telling.say(node.plan.name, line)
        self._telling.say(
            "",
            "Each company knows its own person, the other company, times and sizes. Both together know who met whom; "
            "neither knows a word.",
        )


async def known_of(node: NodeProcess, thread: str, side: Side) -> tuple[str, ...]:
    """Return what a company's administrator reads about one session out of the database, in sentences."""
    async with node.look() as rows:
        session = await rows.get(SessionRow, thread, side.value)
        messages = await rows.find(MessageRow, where(thread=thread, side=side.value), order="at")
        waiting = await rows.find(MailboxRow, where(thread=thread, side=side.value, kind="envelope"))
        if session is None:
            raise UnavailableError("the session is not in the database")
        label = await rows.get(LabelRow, session.label)
        member = await rows.get(MemberRow, label.member) if label else None
    day = time.strftime("%Y-%m-%d %H:%M", time.gmtime(messages[0].at if messages else session.ends_at))
    said_by_nodes = f"{words.number(len(messages), 'signed message')} of {_sizes(len(one.item) for one in messages)}"
    relayed = words.number(session.number or session.heard, "sealed envelope")
    return (
        f"own person: member {member.hris_id if member else 'erased'}; the other organization: {session.peer}.",
        f"began {day} UTC; {said_by_nodes}.",
        f"{relayed} relayed; waiting: {_sizes(len(one.data) for one in waiting)}.",
    )


def _sizes(sizes: Iterable[int]) -> str:
    different = sorted(set(sizes))
    return f"{words.listing(f'{one:,}' for one in different)} bytes" if different else "nothing"


def _memory(pids: Iterable[int], overlap: int) -> Iterator[bytes]:
    for pid in pids:
        yield from memory_of(pid, overlap=overlap)


def _destroyed(actor: Actor, thread: str) -> bool:
    return thread not in actor.person.state.sessions
