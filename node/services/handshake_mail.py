"""Mail about handshakes to the node's own people; what a mail may say is in `notices.py`, and a brief is not in it."""

from collections.abc import Callable
from typing import Final

from federation.ports import Clock, Entropy, Writer
from federation.rows import ThreadRow
from protocol.bodies import Agreement
from protocol.concepts import Vocabulary
from protocol.handshake import Side
from protocol.ids import ID_BYTES

from .answer_links import Action, AnswerLinks
from .labels import member_of
from .mail import Recipient, compose
from .mail_text import choose_language
from .mentor_desk import MentorDesk
from .mentor_side import RequestEntry
from .notices import Agreed, AnyNotice, Cancelled, MentorRequest, RequestEnded, SlotLink

#: Slots that get a link of their own.
SLOT_LINKS: Final = 3
KEEP_TRYING_S: Final = 2 * 86_400


class HandshakeMail:
    """The `Notices` of the mentor's side, and the mentee's mails."""

    def __init__(
        self,
        *,
        vocabulary: Callable[[], Vocabulary],
        mentors: MentorDesk,
        page_base: Callable[[], str],
        clock: Clock,
        entropy: Entropy,
        zone: str,
        language: str,
    ) -> None:
        self._vocabulary: Final = vocabulary
        self._mentors: Final = mentors
        self._page_base: Final = page_base
        self._clock: Final = clock
        self._entropy: Final = entropy
        self._zone: Final = zone
        self._language: Final = language
        self._links: AnswerLinks | None = None

    def connect(self, links: AnswerLinks) -> None:
        """Name who makes answer links: made after the mentor's side, which sends these mails."""
        self._links = links

    async def request(self, tx: Writer, thread: ThreadRow, topic: str, entry: RequestEntry) -> None:
        """Tell a mentor that somebody chose them."""
        to = await self._recipient(tx, thread.label)
        expires_at = entry.deadline

        async def link(action: Action, slot: int | None = None) -> str:
            assert self._links is not None
            token = await self._links.make(tx, thread.thread, action, slot=slot, expires_at=expires_at)
            return f"{self._page_base()}/answer/{token}"

        held = entry.held[:SLOT_LINKS]
        notice = MentorRequest(
            topic=self._topic(topic, choose_language(to.languages, self._language)),
            format=entry.choice.format,
            length=entry.choice.length,
            slots=tuple([SlotLink(start=slot, link=await link("accept", slot)) for slot in held]),
            accept=None if held else await link("accept"),
            other_time=await link("other-time"),
            decline=await link("decline"),
            decline_and_pause=await link("decline-pause"),
            deadline=expires_at,
            zone=await self._zone_of(tx, thread.label),
        )
        await self._send(tx, notice, to, expires_at=expires_at)

    async def agreed(self, tx: Writer, thread: ThreadRow, agreement: Agreement) -> None:
        """Tell a person that a session is agreed."""
        notice = Agreed(
            role="mentor" if thread.side == Side.PROVIDER.value else "mentee",
            format=agreement.format,
            length=agreement.length,
            start=agreement.slot,
            zone=await self._zone_of(tx, thread.label),
        )
        await self._send(tx, notice, await self._recipient(tx, thread.label))

    async def ended(self, tx: Writer, thread: ThreadRow, verb: str, *, goes_on: bool = False) -> None:
        """Tell a person that a thread ended otherwise; `goes_on`: the next candidate is asked already."""
        notice: AnyNotice
        if verb in ("decline", "expire", "refuse"):
            notice = RequestEnded(outcome="declined" if verb == "decline" else "expired", goes_on=goes_on)
        else:
            notice = Cancelled(zone=await self._zone_of(tx, thread.label))
        await self._send(tx, notice, await self._recipient(tx, thread.label))

    def _topic(self, topic: str, language: str) -> str:
        vocabulary = self._vocabulary()
        concept = vocabulary.get(topic)
        return "" if concept is None or vocabulary.is_sensitive(topic) else concept.label(language)

    async def _zone_of(self, tx: Writer, label: str) -> str:
        profile = await self._mentors.profile(tx, label)
        return profile.availability.zone if profile else self._zone

    async def _recipient(self, tx: Writer, label: str) -> Recipient:
        about = await member_of(tx, label)
        if about is None or not about.active:
            return Recipient(member="", address="")
        languages = tuple(about.languages.split(";")) if about.languages else ()
        return Recipient(member=about.member, address=about.mail, languages=languages)

    async def _send(self, tx: Writer, notice: AnyNotice, to: Recipient, *, expires_at: int | None = None) -> None:
        if not to.address:
            return
        now = self._clock.now()
        await tx.insert(
            compose(
                notice,
                to,
                entropy=self._entropy.take(ID_BYTES),
                now=now,
                expires_at=expires_at or now + KEEP_TRYING_S,
                default_language=self._language,
            )
        )
