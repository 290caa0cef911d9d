"""The story: a need, a first choice that is busy, a yes, a conversation, an end; real clients play it on real nodes.

Everything that the panes show is what a person's client showed or what a server's rows hold at that moment.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

import msgspec

from cli.client.views import Arrived, Named, Passed, Proposal, Refused, Secured, Shortlist, Shown
from cli.client.words import GAPS, REASONS, somebody, word
from protocol.e2ee.frames import Again, Chat, Content, Takeaway, Thanks, Useful
from protocol.errors import UnavailableError
from protocol.handshake import Side

from . import outage, words
from .actors import Actor
from .companies import NEED
from .events import LogWitnessed, ProcessServed
from .learned import learned
from .nodes import NodeProcess
from .phone import come_in, link, reads
from .scenes import Stage, Tone
from .search_nodes import Found, Needle, Search
from .servers import Ciphertext, Handled, ciphertext, closed, finalized, handled, ledger
from .setting import Setting, link_of
from .witnesses import MEANING, witnessed
from .words import listing, number

#: What the visitor types, one sentence after the other.
Sentences = Callable[[], AsyncIterator[str]]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the story; `searched` is the last search, after everything, `hits` are those of all searches.

    `witnessed` are the companies' signatures under each other's logs, `served` what each of several processes did.
    """

    thread: str
    hits: int
    handled: Handled
    refused_before: int
    ciphertexts: tuple[Ciphertext, ...]
    witnessed: tuple[LogWitnessed, ...]
    served: tuple[ProcessServed, ...]
    searched: Found


class Story:
    """One run of the story on a setting."""

    def __init__(self, setting: Setting, stage: Stage, sentences: Sentences) -> None:
        cast = setting.world.cast
        self._setting: Final = setting
        self._stage: Final = stage
        self._sentences: Final = sentences
        self._search: Final = Search(setting.elsewhere)
        self._ana: Final = setting.actor(cast.ana)
        self._ben: Final = setting.actor(cast.ben)
        self._phone: Final = setting.phone
        self._consumer: Final = setting.node(cast.ana.company)
        self._provider: Final = setting.node(cast.ben.company)
        self._names: Final = {node.plan.entity: node.plan.display_name for node in setting.nodes}
        self._ciphertexts: Final[list[Ciphertext]] = []
        self._alone: Final = len(setting.nodes) == 1
        self._hits = 0

    async def tell(self) -> Told:
        """Play it. Raises: MeshError: it did not go as it must; the sentence says where."""
        self._search.add(words.needles(self._setting.world.cast))
        self._stage.begin()
        self._introduce()
        shortlist = await self._ask()
        first = await self._choose(shortlist)
        thread = await self._fall_through(shortlist, first)
        refused = len(self._ana.refusals)
        met = await self._agree(thread)
        await self._second_device(thread)
        await self._talk(thread)
        several = self._setting.several
        if several:
            await outage.kill(self._stage, several)
        await self._plan(thread)
        people = (self._ana, self._ben)
        served = await outage.survived(self._stage, several, people, thread) if several else ()
        await self._end(thread)
        signed = await self._watch()
        await self._learned()
        searched = await self._try_to_read("After everything: the administrators search again")
        self._stage.end()
        return Told(
            thread=thread,
            hits=self._hits + searched.count,
            handled=met,
            refused_before=refused,
            ciphertexts=tuple(self._ciphertexts),
            witnessed=signed,
            served=served,
            searched=searched,
        )

    # 1 to 3: nobody's name, nobody disturbed

    def _introduce(self) -> None:
        ana, ben = self._ana, self._ben
        self._stage.scene("Ana presents to the board on Thursday")
        self._mentee(f"{ana.first_name} works at {self._consumer.plan.display_name}. She has never done it.")
        self._mentor(f"{ben.first_name} works at {self._provider.plan.display_name}. He has, and mentors.")
        if self._setting.several:
            outage.introduce(self._stage, self._setting.store)
        for node in self._setting.nodes:
            plan, count = node.plan, self._setting.listed[node.plan.name]
            shown = f"Shows its peers {number(count, 'topic')}, no person." if not self._alone else "No peers."
            self._server(node, f"{plan.members} members, {plan.mentors} mentors. {shown}")

    async def _ask(self) -> Shortlist:
        self._stage.scene("Who has been through it?")
        shortlist = await self._ana.person.ask(NEED)
        people = shortlist.proposals
        if not people:
            raise UnavailableError("nobody was proposed to Ana")
        own = [one for one in people if one.own]
        companies = listing(dict.fromkeys(one.org.display_name for one in people))
        if self._alone:
            self._mentee(f"Her own company is asked: {number(len(own), 'colleague')}.")
        else:
            self._mentee(
                f"{number(shortlist.companies, 'company lists', 'companies list')} “{words.topic_label()}”. "
                f"{'At home: ' + number(len(own), 'person', 'people') if own else 'Nobody at home has done it'}."
            )
        self._mentee(f"{number(len(people), 'person', 'people')} from {companies}:")
        for one in people:
            self._mentee(_proposal(one))
        for node in self._setting.nodes:
            self._server(node, await self._knows_of_asking(node))
        self._mentor("Knows nothing of it yet: only servers have answered.")
        return shortlist

    async def _knows_of_asking(self, node: NodeProcess) -> str:
        known = await ledger(node)
        proposed = f"proposed {number(known.proposed, 'person', 'people')}, unnamed" if known.proposed else "had nobody"
        if node is self._consumer and not self._alone:
            others = number(len(set(known.asked) - {node.plan.entity}), "question")
            return (
                f"searched its copies of the catalogs, passed on {others} it cannot open; its own matcher {proposed}."
            )
        return f"its matcher opened the question and {proposed}."

    async def _choose(self, shortlist: Shortlist) -> Actor:
        """Let somebody else be faster, and Ana ask the same person."""
        self._stage.scene("The first choice is busy")
        cast = self._setting.world.cast
        wanted = cast.others[0].company
        actors = [self._setting.actor(part) for part in cast.others if part.company == wanted]
        known = [(who, one) for one in shortlist.proposals for who in actors if who.is_proposed(one)]
        if not known or not any(self._ben.is_proposed(one) for one in shortlist.proposals):
            raise UnavailableError("the people of the story were not proposed to Ana")
        first, proposal = known[0]
        await self._take_place(first)
        node = self._setting.node(first.part.company)
        self._server(node, "another mentee was faster: that mentor's only place is taken.")
        following = [one.number for one in shortlist.proposals if self._ben.is_proposed(one)]
        others = [one.number for one in shortlist.proposals if one.number not in {*following, proposal.number}]
        self._mentee(f"Chooses number {proposal.number} at {proposal.org.display_name}, and whom to ask next.")
        await self._ana.person.request(proposal.number, prompts=words.BRIEF, backups=(*following, *others))
        return first

    async def _take_place(self, first: Actor) -> None:
        rival = self._setting.actor(self._setting.world.cast.rival)
        for one in (await rival.person.ask(NEED)).proposals:
            if first.is_proposed(one):
                await rival.person.request(one.number, prompts=words.OTHER_BRIEF, backups=())
                await first.see(Arrived)
                return
        raise UnavailableError("the other mentee was not proposed the same mentor")

    async def _fall_through(self, shortlist: Shortlist, first: Actor) -> str:
        """Return the thread in which Ben is asked, by Ana's device alone."""
        passed = await self._ana.see(Passed)
        refused = await self._ana.see(Refused)
        self._server(self._setting.node(first.part.company), f"answers `{refused.reason}`; no person was asked.")
        self._mentee("No free place. Her device asks the next person by itself.", "bad")
        arrived = await self._ben.see(Arrived)
        if arrived.thread != passed.thread:
            raise UnavailableError("somebody else than Ben was asked next")
        request = arrived.request
        self._mentor(somebody(request.about, request.reason, request.chosen_from))
        for text in filter(None, request.prompts):
            self._mentor(f"“{text}”", "said")
        self._server(
            self._provider,
            f"holds one sealed request and its deadline; of {len(shortlist.proposals)} people one is asked.",
        )
        return arrived.thread

    # 4: names on two devices

    async def _agree(self, thread: str) -> Handled:
        self._stage.scene("Ben says yes")
        await self._ben.person.accept(thread)
        await asyncio.gather(self._ana.see(Secured), self._ben.see(Secured))
        mine, theirs = await asyncio.gather(self._ana.see(Named), self._ben.see(Named))
        await asyncio.gather(
            finalized(self._consumer, thread, Side.CONSUMER), finalized(self._provider, thread, Side.PROVIDER)
        )
        met = await handled(self._consumer, self._provider, thread)
        self._mentee(f"Now she reads a name: {mine.name}", "good")
        self._mentor(f"Now he reads a name: {theirs.name}", "good")
        self._servers(f"{' → '.join(state.lower() for state in met.states)}")
        size = {step.size for step in met.steps}
        self._servers(
            f"{number(len(met.steps), 'message')} of {listing(f'{one:,}' for one in sorted(size))} bytes each."
        )
        self._servers(
            f"agreement {met.agreement[:16]}…, signed {'in both roles' if self._alone else 'by both'}. No names.",
            "bytes",
        )
        return met

    # 5: one more device

    async def _second_device(self, thread: str) -> None:
        self._stage.scene("Ana takes out her phone")
        sign_in = await link_of(self._consumer, self._consumer.company.id_of(self._ana.part))
        code = (await link(self._phone, self._ana, sign_in)).code
        self._mentee(f"The phone shows {code[:4]} {code[4:]}; she types it on her laptop. Now it is hers.", "good")
        self._server(self._consumer, "carried four messages between the two, sealed by that code; it read none.")
        await come_in(self._phone, self._ana, self._ben, thread)
        number_there = self._phone.person.session(thread).safety
        if number_there != self._ben.person.session(thread).safety:
            raise UnavailableError("Ana's phone shows another safety number than Ben")
        self._mentor("One more device of hers came in, checked against her company's directory.")
        self._servers(f"One group, three devices; all of them show the safety number {number_there}.")

    # 6 and 7: the visitor's words

    async def _talk(self, thread: str) -> None:
        spoken = 0
        # What is told so far stands on the screen before the visitor is asked.
        self._stage.end()
        async for text in self._sentences():
            self._stage.scene("They write, and the servers hold bytes" if not spoken else "Another sentence")
            needle = Needle(label="your sentence", text=text)
            await asyncio.to_thread(self._search.add, [needle], self._setting.nodes_folder)
            await self._exchange(thread, text, reply="" if spoken else words.REPLY)
            self._stage.end()
            spoken += 1
        self._servers("Encrypted with MLS (RFC 9420), X-Wing, for each of the three devices.")
        found = await self._try_to_read("“I am the administrator: try to read it”")
        self._hits += found.count

    async def _exchange(self, thread: str, text: str, *, reply: str) -> None:
        """Let Ana say `text`, and Ben say it back, word for word."""
        self._mentee(f"“{text}”", "said")
        await self._ana.say(thread, Chat(text=text))
        # Neither device has fetched it yet: this is what lies in the databases now.
        envelope = self._ana.person.state.session(thread).frames[-1].envelope
        for node, side in ((self._consumer, Side.CONSUMER), (self._provider, Side.PROVIDER)):
            self._ciphertexts.append(await ciphertext(node, thread, side, envelope))
        for one in self._ciphertexts[-2:]:
            self._server(self._setting.node(one.node), f"{one.size:,} bytes: {one.sample[:39]}…", "bytes")
        shown = await self._ben.see(Shown)
        self._mentor(f"reads: {shown.text}", "good")
        await self._phone.see_until(partial(reads, self._phone, thread, text))
        self._mentee("Her phone shows it as her own.")
        for answer in filter(None, (shown.text, reply)):
            await self._ben.say(thread, Chat(text=answer))
            self._mentor(f"“{answer}”", "said")
            self._mentee(f"reads: {(await self._ana.see(Shown)).text}", "good")

    async def _try_to_read(self, title: str) -> Found:
        self._stage.scene(title)
        found = await asyncio.to_thread(self._search.run, self._setting.nodes_folder)
        for node in self._setting.nodes:
            hits = found.hits_at(node.plan.name)
            looked = found.by_node.get(node.plan.name, 0)
            self._server(node, f"{looked / 1e6:.1f} MB searched: {hits} hits", "bad" if hits else "good")
        for whole in self._setting.elsewhere.files:
            hits, looked = found.hits_at(whole), found.by_node.get(whole, 0)
            text = f"{self._setting.store}, every file, its journal too: {looked / 1e6:.1f} MB searched: {hits} hits"
            self._servers(text, "bad" if hits else "good")
        self._servers(f"{number(found.spellings, 'spelling')}: as text, UTF-16, base64, hex, JSON, percent.")
        for label in found.unsearchable:
            self._servers(f"{label} is too short or too common to search for.")
        return found

    # 8 to 11: what stays, and what does not

    async def _plan(self, thread: str) -> None:
        self._stage.scene("A plan, and what stays of it")
        ana, ben = self._ana, self._ben
        agreed: tuple[tuple[Actor, Actor, str, Content], ...] = (
            (ana, ben, "agenda", words.agenda()),
            (ana, ben, "goal", words.goal()),
            (ben, ana, "action", words.action()),
            (ana, ben, "takeaway", Takeaway(text=words.TAKEAWAY)),
            (ana, ben, "useful", Useful(score=5)),
            (ana, ben, "thanks", Thanks(text=words.THANKS)),
        )
        for sender, reader, what, content in agreed:
            await sender.say(thread, content)
            shown = await reader.see(Shown)
            self._line(sender, f"{what}: {shown.text}", "said")
        for actor in (ana, ben):
            await actor.say(thread, Again(yes=True))
        await asyncio.gather(*(actor.see_until(partial(_would_meet, actor, thread)) for actor in (ana, ben)))
        self._mentee("Both would meet again: shown only now that both said so.", "good")
        self._mentor("Both would meet again.", "good")
        known = await ledger(self._provider)
        self._servers(
            f"{number(max(one.envelopes for one in known.meetings), 'sealed envelope')} relayed, none opened."
        )

    async def _end(self, thread: str) -> None:
        self._stage.scene("Closed and destroyed")
        ana, ben = self._ana, self._ben
        await asyncio.gather(ana.person.close(thread), ben.person.close(thread))
        devices = (ana, self._phone, ben)
        await asyncio.gather(*(actor.see_until(partial(_destroyed, actor, thread)) for actor in devices))
        await asyncio.gather(
            closed(self._consumer, thread, Side.CONSUMER), closed(self._provider, thread, Side.PROVIDER)
        )
        kept = [one.text for one in ana.person.state.takeaways if one.kind == "takeaway"]
        self._mentee("Session keys destroyed on all her devices. She keeps: " + listing(f"“{text}”" for text in kept))
        self._mentor("Session keys destroyed.")
        self._servers("The session is over; what was relayed can be opened by nobody any more.")

    async def _watch(self) -> tuple[LogWitnessed, ...]:
        """Show who has signed whose log; a company alone has no witness."""
        if self._alone:
            return ()
        self._stage.scene("The companies watch each other")
        signed = await witnessed(self._setting.nodes)
        shorts = {node.plan.name: node.plan.short for node in self._setting.nodes}
        for one in signed:
            self._servers(f"{shorts[one.witness]}’s witness signed {shorts[one.log]}’s log (size {one.size}).", "good")
        self._servers(MEANING)
        return signed

    async def _learned(self) -> None:
        self._stage.scene("What each company learned")
        for node in self._setting.nodes:
            self._server(node, learned(node.plan.entity, await ledger(node), self._names))
        self._mentee(f"One new contact: {self._ben.part.name}")
        self._mentor(f"One new contact: {self._ana.part.name}")

    def _line(self, actor: Actor, text: str, tone: Tone = "") -> None:
        self._stage.line("mentee" if actor is self._ana else "mentor", text, tone)

    def _mentee(self, text: str, tone: Tone = "") -> None:
        self._stage.line("mentee", text, tone)

    def _mentor(self, text: str, tone: Tone = "") -> None:
        self._stage.line("mentor", text, tone)

    def _servers(self, text: str, tone: Tone = "") -> None:
        self._stage.line("servers", text, tone)

    def _server(self, node: NodeProcess, text: str, tone: Tone = "") -> None:
        self._servers(f"{node.plan.short}: {text}", tone)


def _proposal(one: Proposal) -> str:
    """Return one person of the shortlist as Ana sees them: reasons and one honest gap, no name."""
    candidate = one.candidate
    reasons = listing(word(REASONS, code) for code in candidate.reasons)
    gap = f", but {word(GAPS, candidate.gap)}" if candidate.gap else ""
    return f"{one.number}. {one.org.display_name}: {reasons}{gap}."


def _would_meet(actor: Actor, thread: str) -> bool:
    return actor.person.session(thread).again == "yes"


def _destroyed(actor: Actor, thread: str) -> bool:
    return thread not in actor.person.state.sessions
