"""The device API of the person's own node, one method for each address; every answer has a type."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from node.api.accounts import EraseMe, GiveConsent, Me, Mentoring, RedeemLink, WantLink
from node.api.blobs import StoredBlobs
from node.api.exchange import (
    Accept,
    Accepted,
    Acknowledge,
    AskQuotes,
    Cancel,
    GiveAnswer,
    Mailbox,
    Peers,
    QuoteAnswers,
    SendEnvelope,
    Threads,
)
from node.api.reports import ReportViews
from node.api.safe import TakeOut
from node.api.search import Labels, OfferPreview, SearchNeed, Suggestions, SuggestTopics, WantLabels
from node.api.siblings import Siblings, TellSiblings
from node.matching.typeahead import Suggestion
from node.services.accounts import Redeemed
from node.services.blobs import StoredBlob
from node.services.consents import ConsentKind, ConsentText
from node.services.consumer import Ask
from node.services.contacts import GiveToken
from node.services.devices import DeviceView, EnrolDevice, EnrolledDevice
from node.services.erasure import ErasureReceipt, PersonExport
from node.services.foreign_checks import DirectoryTokenGiven, WantDirectoryToken
from node.services.key_lookup import KeyAnswer, KeyQuery
from node.services.linking import Ended, EndLinking, LinkingView, OpenLinking, SayLinking
from node.services.mentor_side import Answer
from node.services.mentors import MentorView
from node.services.offer_words import TopicPreview
from node.services.profile import MentorProfile
from node.services.reports import ReportView
from node.services.safe import Sealed, SealedView, StoreSealed
from node.services.search import Found
from node.services.thread_views import SideName, ThreadView
from protocol.bodies import CancelReason, SealedBrief
from protocol.bodies import Sealed as SealedText
from protocol.encoding import b64
from protocol.needs import Need

from .http import TIMEOUT_S, Http, parse_answer
from .records import Outgoing

T = TypeVar("T")

#: A quote round waits for several other nodes.
QUOTES_S: Final = 90.0
#: A mebibyte over a slow line, perhaps through two nodes.
PORTION_S: Final = 120.0


class NodeApi:
    """One node as one sign-in sees it; without a token only the two sign-in calls work."""

    def __init__(self, http: Http, url: str, token: str = "") -> None:
        self._http: Final = http
        self._url: Final = url
        self._token: Final = token

    async def _do(
        self,
        method: str,
        path: str,
        body: msgspec.Struct | bytes | None = None,
        *,
        query: dict[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        repeatable: bool = False,
    ) -> bytes:
        return await self._http.call(
            method,
            f"{self._url}/api/v1{path}",
            token=self._token,
            body=body,
            query=query,
            timeout_s=timeout_s,
            repeatable=repeatable,
        )

    # Account

    async def want_link(self, mail: str) -> None:
        """Have a sign-in link mailed, if the address is a member's."""
        await self._do("POST", "/sign-in/links", WantLink(mail=mail))

    async def redeem(self, token: str) -> Redeemed:
        """Exchange what stands behind # in a link for a bearer token."""
        return parse_answer(await self._do("POST", "/sign-in/redeem", RedeemLink(token=token)), Redeemed)

    async def sign_out(self) -> None:
        """End this sign-in."""
        await self._do("DELETE", "/sign-in")

    async def me(self) -> Me:
        """Return the account."""
        return parse_answer(await self._do("GET", "/me"), Me)

    async def enrol(self, command: EnrolDevice) -> DeviceView:
        """Add this device, or renew what it told for one audience."""
        return parse_answer(await self._do("POST", "/me/devices", command), DeviceView)

    async def open_linking(self, opening: bytes) -> LinkingView:
        """Begin to link this client to the account."""
        raw = await self._do("POST", "/me/linking", OpenLinking(message=b64(opening)))
        return parse_answer(raw, LinkingView)

    async def linking(self) -> LinkingView:
        """Return the linking that is under way."""
        return parse_answer(await self._do("GET", "/me/linking"), LinkingView)

    async def say_linking(self, linking: str, number: int, message: bytes) -> LinkingView:
        """Say the next message of a linking."""
        command = SayLinking(number=number, message=b64(message))
        return parse_answer(await self._do("POST", f"/me/linking/{linking}/messages", command), LinkingView)

    async def end_linking(self, linking: str, reason: Ended) -> None:
        """Let no more messages into a linking."""
        await self._do("POST", f"/me/linking/{linking}/end", EndLinking(reason=reason))

    async def remove_device(self, device: str) -> None:
        """Remove one device of the account."""
        await self._do("DELETE", f"/me/devices/{device}")

    async def export(self, *, html: bool = False) -> bytes:
        """Return everything the node holds about the person, as JSON or as a page."""
        return await self._do("GET", "/me/export", query={"form": "html" if html else "json"})

    async def erase(self) -> ErasureReceipt:
        """Have everything erased that the node holds about the person."""
        return parse_answer(await self._do("POST", "/me/erase", EraseMe(confirm="erase")), ErasureReceipt)

    async def peers(self) -> Peers:
        """Return the organizations that can be asked, with their signed documents."""
        return parse_answer(await self._do("GET", "/peers"), Peers)

    # Safe

    async def sealed(self, name: str) -> Sealed:
        """Return one sealed thing that the node keeps for this person. Raises: MissingError."""
        return parse_answer(await self._do("GET", f"/me/safe/{name}"), Sealed)

    async def safe(self) -> tuple[SealedView, ...]:
        """Return what the node keeps, without content."""
        return parse_answer(await self._do("GET", "/me/safe"), tuple[SealedView, ...])

    async def put_sealed(self, name: str, version: int, data: bytes, locator: str | None = None) -> SealedView:
        """Store one sealed thing in place of `version` of it."""
        command = StoreSealed(version=version, data=b64(data), locator=locator)
        return parse_answer(await self._do("PUT", f"/me/safe/{name}", command), SealedView)

    async def delete_sealed(self, name: str) -> None:
        """Erase one sealed thing."""
        await self._do("DELETE", f"/me/safe/{name}")

    async def take_out(self, locator: str) -> PersonExport:
        """Return everything about the person whose recovery words gave `locator`; needs no sign-in."""
        return parse_answer(await self._do("POST", "/take-out", TakeOut(locator=locator)), PersonExport)

    # Contacts

    async def give_token(self, commitment: str, expires_at: int) -> None:
        """Let whoever holds the token of this hash ask this person again."""
        await self._do("PUT", f"/me/contact-tokens/{commitment}", GiveToken(expires_at=expires_at))

    async def revoke_token(self, commitment: str) -> None:
        """End a token that this person gave."""
        await self._do("DELETE", f"/me/contact-tokens/{commitment}")

    # Mentoring

    async def save_profile(self, profile: MentorProfile) -> MentorView:
        """Replace the private mentor profile."""
        return parse_answer(await self._do("PUT", "/me/mentor-profile", profile), MentorView)

    async def opt_in(self, *, listed: bool) -> MentorView:
        """Mentor from now on."""
        return parse_answer(await self._do("PUT", "/me/mentoring", Mentoring(listed=listed)), MentorView)

    async def opt_out(self) -> MentorView:
        """Mentor no longer."""
        return parse_answer(await self._do("DELETE", "/me/mentoring"), MentorView)

    async def consent_texts(self) -> tuple[ConsentText, ...]:
        """Return all consent texts."""
        return parse_answer(await self._do("GET", "/consents"), tuple[ConsentText, ...])

    async def consent(self, kind: ConsentKind, version: int, *, given: bool = True) -> MentorView:
        """Agree to a version of a consent text, or no longer."""
        command = GiveConsent(kind=kind, version=version, given=given)
        return parse_answer(await self._do("POST", "/me/consents", command), MentorView)

    async def preview(self, language: str) -> tuple[TopicPreview, ...]:
        """Return what others would see of each topic of the profile."""
        raw = await self._do("GET", "/offers/preview", query={"language": language})
        return parse_answer(raw, OfferPreview).topics

    # Searching

    async def suggest(self, text: str, language: str) -> tuple[Suggestion, ...]:
        """Return topics for typed words."""
        command = SuggestTopics(text=text, language=language)
        return parse_answer(await self._do("POST", "/vocabulary/suggest", command, repeatable=True), Suggestions).topics

    async def labels(self, topics: Sequence[str], language: str) -> dict[str, str]:
        """Return the names of topics."""
        if not topics:
            return {}
        command = WantLabels(topics=tuple(dict.fromkeys(topics))[:100], language=language)
        return parse_answer(await self._do("POST", "/vocabulary/labels", command, repeatable=True), Labels).labels

    async def search(self, need: Need, exclude: Sequence[str]) -> Found:
        """Return which organizations list help with a need."""
        command = SearchNeed(need=need, exclude=tuple(exclude))
        return parse_answer(await self._do("POST", "/search", command, repeatable=True), Found)

    async def keys(self, query: KeyQuery) -> KeyAnswer:
        """Return a proven head of an organization's key directory, and the entries of a prefix."""
        return parse_answer(await self._do("POST", "/keys", query), KeyAnswer)

    async def directory_token(self, audience: str) -> DirectoryTokenGiven:
        """Return today's token for a look at one's own directory at a foreign mirror."""
        return parse_answer(
            await self._do("POST", "/keys/tokens", WantDirectoryToken(audience=audience)), DirectoryTokenGiven
        )

    # Handshakes

    async def quotes(self, asks: Sequence[Ask]) -> QuoteAnswers:
        """Ask several nodes for candidates."""
        raw = await self._do("POST", "/quotes", AskQuotes(asks=tuple(asks)), timeout_s=QUOTES_S)
        return parse_answer(raw, QuoteAnswers)

    async def accept(self, thread: str, choice: SealedText, brief: SealedBrief, backups: Sequence[Ask]) -> Accepted:
        """Send the choice of a candidate."""
        command = Accept(choice=choice, brief=brief, backups=tuple(backups))
        return parse_answer(await self._do("POST", f"/threads/{thread}/accept", command), Accepted)

    async def answer(self, thread: str, answer: Answer) -> ThreadView:
        """Answer a request as its mentor."""
        raw = await self._do("POST", f"/threads/{thread}/answer", GiveAnswer(answer=answer))
        return parse_answer(raw, ThreadView)

    async def cancel(self, thread: str, side: SideName, reason: CancelReason) -> ThreadView:
        """Step back, or call off a session."""
        raw = await self._do("POST", f"/threads/{thread}/cancel", Cancel(side=side, reason=reason))
        return parse_answer(raw, ThreadView)

    async def envelope(self, thread: str, side: SideName, sent: Outgoing) -> None:
        """Send one encrypted session message; the node knows it again by its id."""
        command = SendEnvelope(side=side, id=sent.id, kind=sent.kind, epoch=sent.epoch, ciphertext=b64(sent.ciphertext))
        await self._do("POST", f"/threads/{thread}/envelopes", command, repeatable=True)

    async def siblings(self, audience: str) -> tuple[EnrolledDevice, ...]:
        """Return the person's devices with their keys towards one audience."""
        return parse_answer(await self._do("GET", "/me/siblings", query={"audience": audience}), Siblings).devices

    async def tell_sibling(self, thread: str, side: SideName, item: bytes) -> None:
        """Hand a sealed word about a session to the person's other devices."""
        await self._do("POST", f"/threads/{thread}/siblings", TellSiblings(side=side, item=b64(item)))

    # Files

    async def put_blob(
        self, thread: str, side: SideName, blob: str, data: bytes, *, offset: int, size: int
    ) -> StoredBlob:
        """Store the next portion of an encrypted file."""
        query = {"side": side, "offset": str(offset), "size": str(size)}
        raw = await self._do("PUT", f"/threads/{thread}/blobs/{blob}", data, query=query, timeout_s=PORTION_S)
        return parse_answer(raw, StoredBlob)

    async def blob(self, thread: str, side: SideName, blob: str, *, offset: int) -> bytes:
        """Return the next portion of an encrypted file."""
        query = {"side": side, "offset": str(offset)}
        return await self._do("GET", f"/threads/{thread}/blobs/{blob}", query=query, timeout_s=PORTION_S)

    async def blobs(self) -> tuple[StoredBlob, ...]:
        """Return the person's own files that wait at the node."""
        return parse_answer(await self._do("GET", "/blobs"), StoredBlobs).blobs

    async def delete_blob(self, thread: str, blob: str) -> None:
        """Delete an own file."""
        await self._do("DELETE", f"/threads/{thread}/blobs/{blob}")

    # Reports

    async def report(self, item: bytes) -> ReportView:
        """Hand in a sealed report."""
        return parse_answer(await self._do("POST", "/reports", item, timeout_s=PORTION_S), ReportView)

    async def reports(self) -> tuple[ReportView, ...]:
        """Return what became of the person's reports."""
        return parse_answer(await self._do("GET", "/reports"), ReportViews).reports

    # Threads

    async def threads(self) -> tuple[ThreadView, ...]:
        """Return the person's threads as the node sees them."""
        return parse_answer(await self._do("GET", "/threads"), Threads).threads

    async def thread(self, thread: str, side: SideName) -> ThreadView:
        """Return one thread as the node sees it."""
        return parse_answer(await self._do("GET", f"/threads/{thread}", query={"side": side}), ThreadView)

    async def mailbox(self, after: int, *, wait_s: float = 0) -> Mailbox:
        """Return entries after a cursor, waiting for the first one."""
        query = {"after": str(after), "wait_s": f"{wait_s:g}"}
        return parse_answer(await self._do("GET", "/mailbox", query=query, timeout_s=TIMEOUT_S + wait_s), Mailbox)

    async def acknowledge(self, cursor: int) -> None:
        """Say up to where this device has read."""
        await self._do("POST", "/mailbox/ack", Acknowledge(cursor=cursor), repeatable=True)
