"""Whole exchanges in one process: real services and stores, real sealing, a network that is a function call."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from federation.calls import Answer, Contact
from federation.directory import Peer, PeerDirectory
from federation.ports import Clock, Entropy, Row, Store, where
from federation.returning import BACK_PATH
from federation.rows import CatalogRow, HeadProofRow, KeyEntryRow, MailboxRow, PeerRow
from node.events import Events
from node.exchanging import Exchanging, Surroundings
from node.keys import KeyRing
from node.rows import DeviceRow, EnrolmentRow, LabelRow, MemberRow, MentorRow
from node.sections import Config, HandshakeSection, NodeSection, OrgSection
from node.services.blobs import BLOBS_PATH
from node.services.catalogs import dump_catalog
from node.services.exchange import MESSAGES_PATH
from node.services.peers import public_keys
from node.services.profile import Availability, MentorProfile, ProfileTopic, WeeklyWindow
from node.services.recovery import HEADS_PATH
from node.store.blobs import BlobFiles
from node.telemetry import Metrics, make_log
from protocol.addresses import audience_id
from protocol.concepts import Vocabulary
from protocol.crowd import Cell
from protocol.devices import Enrolment, Vouch
from protocol.e2ee.keys import AccountSecret, DeviceSecret, PersonSealingKey, enrol
from protocol.editions import Catalog, CellState
from protocol.encoding import b64, encode
from protocol.errors import UnavailableError
from protocol.ids import random_id
from protocol.keyentries import KeyEntry, encode_entry
from protocol.offers import Offer, OrgProfile
from protocol.peers import NodeDocument, log_vkey, sign_document
from protocol.sealing import NodeSealingKey
from protocol.signing import SigningKey
from protocol.vocabulary import Topic
from tests.fakes.entropy import SeededEntropy

#: A Monday, 08:00 UTC.
START: Final = 1_799_049_600
TOPIC: Final = "mm:first-board-presentation"
ORG: Final = OrgProfile(
    display_name="Aurora Freight", kind="company", sector="H", size_band="50-250", countries=("DE",)
)


#: Nothing waits for a beat.
AT_ONCE: Final = HandshakeSection(tick_ms=0, flush_s=0, quota_least=50)


class Network:
    """Carries calls between the nodes of a world; a node can be cut off, and what it answers can be changed."""

    def __init__(self, folder: Path = Path("/dev/null")) -> None:
        #: Where files of sessions stand, a folder for each node; by default nowhere.
        self.folder: Final = folder
        #: Given the body of a call before it is made, and the answer before it is handed back.
        self.before: Callable[[bytes], Awaitable[None]] | None = None
        self.tamper: Callable[[bytes], bytes] | None = None
        self.nodes: dict[str, TestNode] = {}
        self.down: set[str] = set()
        self.delivered: list[tuple[str, str, bytes]] = []

    def calls(self, sender: str) -> "Calls":
        """Return the calls of one node."""
        return Calls(self, sender)


class Calls:
    """`federation.calls.Calls` for one sender, as far as the exchange uses it."""

    def __init__(self, network: Network, sender: str) -> None:
        self._network = network
        self._sender = sender

    async def post(
        self,
        peer: Peer,
        target: str,
        body: bytes,
        content_type: str,  # noqa: ARG002 -- the port has it
        *,
        limit: int | None = None,  # noqa: ARG002
        accept: frozenset[int] = frozenset(),  # noqa: ARG002
    ) -> Answer:
        """Return what the other node answers, unless either of the two is cut off."""
        if self._network.down & {peer.entity, self._sender}:
            raise UnavailableError("peer is down", code="peer-down")
        self._network.delivered.append((self._sender, target, body))
        node = self._network.nodes[peer.entity]
        if self._network.before:
            await self._network.before(body)
        answer = await _answer(node, self._sender, target, body)
        return Answer(status=200, headers={}, body=self._network.tamper(answer) if self._network.tamper else answer)

    async def get(
        self, peer: Peer, target: str, *, limit: int | None = None, etag: str | None = None, signed: bool = True
    ) -> Answer:
        """Return a portion of a file: nothing else is fetched in an exchange."""
        del limit, etag, signed
        if self._network.down & {peer.entity, self._sender}:
            raise UnavailableError("peer is down", code="peer-down")
        thread, blob, offset = target.removeprefix(f"{BLOBS_PATH}/").split("/")
        blobs = self._network.nodes[peer.entity].exchanging.blobs
        return Answer(status=200, headers={}, body=await blobs.give(self._sender, thread, blob, int(offset)))

    async def fetch(self, contact: Contact, target: str, *, limit: int | None = None) -> Answer:
        """Nothing is fetched in an exchange."""
        raise AssertionError((contact, target, limit))


async def _answer(node: "TestNode", sender: str, target: str, body: bytes) -> bytes:
    exchanging = node.exchanging
    if target == MESSAGES_PATH:
        return await exchanging.inbox.receive(sender, body, _spent)
    if target == BACK_PATH:
        return await exchanging.returning.receive(sender, body, _spent)
    if target == HEADS_PATH:
        return await exchanging.recovery.answer(sender, body, _spent)
    return await exchanging.quotes.quote(sender, body, _spent, org=ORG)


async def _no_news(_entity: str) -> None:
    """Documents stay as they were met."""


async def _spent(_tx: object) -> None:
    """The signature of the request is another suite's matter."""


class Site:
    """One organization whose catalog and people are written directly as rows."""

    def __init__(
        self, entity: str, *, clock: Clock, store: Store, entropy: Entropy, keys: KeyRing, exchanging: Exchanging
    ) -> None:
        self.entity: Final = entity
        self.clock: Final = clock
        self.store = store
        self.entropy = entropy
        self.keys: Final = keys
        self.exchanging = exchanging

    async def list_offer(self, peer: str, *, edition: int = 1) -> Offer:
        """Show `peer` one offer of the topic and nothing else."""
        offer = Offer(
            offer_id=random_id(self.entropy.take(16)),
            topic=Topic(id=TOPIC, kind="been-through"),
            band="any",
            language="en",
            region="DE",
            formats=("call", "text"),
            lengths=(30,),
        )
        cell = Cell(topic=offer.topic, band="any", language="en", region="DE")
        state = CellState(cell=cell, phase="listed", offer=offer, salt=b64(self.entropy.take(16)))
        row = CatalogRow(
            audience=audience_id(self.entity, peer),
            edition=edition,
            state=dump_catalog(Catalog(edition=edition, cells=(state,))),
            changed_at=self.clock.now(),
        )
        async with self.store.write() as tx:
            await tx.put(row)
        return offer

    async def add_person(
        self, name: str, *, audiences: tuple[str, ...], profile: MentorProfile | None = None
    ) -> "Somebody":
        """Add a member with one enrolled device, a mentor if there is a profile."""
        now = self.clock.now()
        person = Somebody(self, name)
        async with self.store.write() as tx:
            await tx.insert(
                MemberRow(
                    member=person.member,
                    hris_id=name,
                    mail=f"{name}@{self.entity.removeprefix('https://')}",
                    active=True,
                    job_family="Finance",
                    band="senior",
                    country="DE",
                    languages="en",
                    imported_at=now,
                ),
                LabelRow(label=person.label, member=person.member),
                DeviceRow(device=person.device_id, member=person.member, hint="", added_on=now, seen_on=now),
            )
            for audience in audiences:
                enrolment = enrol(person.account, person.device, (person.sealing,), audience=audience, now=now)
                await tx.insert(
                    EnrolmentRow(
                        device=person.device_id,
                        audience=audience,
                        member=person.member,
                        device_id=person.device.device_id(audience),
                        identity_key=enrolment.identity_key,
                        device_key=person.device.key(audience).public.text,
                        enrolment=encode(enrolment),
                        expires_at=now + 300 * 86_400,
                    ),
                    LabelRow(label=enrolment.label, member=person.member, audience=audience),
                )
                await tx.put(*_listed(self.entity, enrolment, audience))
            if profile is not None:
                await tx.insert(
                    MentorRow(
                        member=person.member,
                        profile=msgspec.json.encode(profile).decode(),
                        opted_in=True,
                        listed=True,
                        changed_at=now,
                    )
                )
        return person


def _listed(entity: str, enrolment: Enrolment, audience: str) -> tuple[Row, ...]:
    """Return the rows of a key directory that shows a device, and whose first head others attest."""
    vouch = Vouch(name=b64(bytes(32)), identity=b64(bytes(32)))
    entry = KeyEntry(
        label=enrolment.label,
        identity_key=enrolment.identity_key,
        devices=(enrolment.certificate,),
        seq=1,
        vouch=vouch,
    )
    body = encode_entry(entry)
    return (
        KeyEntryRow(audience=audience, label=entry.label, seq=1, salt=bytes(16), body=body, since=1),
        HeadProofRow(origin=entity, audience=audience, kind="keys", seq=1, head="", log="", complete=True),
    )


class TestNode(Site):
    """One organization's exchange in a world that is a few function calls wide."""

    __test__ = False

    def __init__(
        self,
        name: str,
        network: Network,
        vocabulary: Vocabulary,
        clock: Clock,
        store: Store,
        seed: int,
        handshake: HandshakeSection = AT_ONCE,
    ) -> None:
        entity = f"https://{name}.example"
        entropy = SeededEntropy(seed)
        keys = _keys(entropy)
        self.document: Final = sign_document(_document(entity, keys), keys.federation)
        self.directory: Final = PeerDirectory()
        self.metrics: Final = Metrics()
        config = Config(
            node=NodeSection(entity=entity),
            org=OrgSection(display_name=name.title(), countries=("DE",)),
            handshake=handshake,
        )
        self.around = Surroundings(
            entity=entity,
            config=config,
            keys=keys,
            org=replace(ORG, display_name=name.title()),
            store=store,
            clock=clock,
            entropy=entropy,
            events=Events(make_log(clock, level="critical"), self.metrics),
            directory=self.directory,
            calls=network.calls(entity),
            refetch=_no_news,
            vocabulary=lambda: vocabulary,
            page_base=lambda: f"http://{name}.localhost",
            blobs=BlobFiles(network.folder / name, least_free_bytes=0, now=clock.now),
        )
        exchanging = Exchanging(self.around)
        super().__init__(entity, clock=clock, store=store, entropy=entropy, keys=keys, exchanging=exchanging)
        network.nodes[entity] = self

    def restart(self, store: Store, entropy: Entropy) -> None:
        """Begin anew with what `store` holds; what was in memory is gone."""
        self.store, self.entropy = store, entropy
        self.around = replace(self.around, store=store, entropy=entropy)
        self.exchanging = Exchanging(self.around)

    def meet(self, other: "TestNode", *, mode: str = "full") -> None:
        """Pin another node as a peer, or change how it is treated."""
        row = PeerRow(
            entity=other.entity,
            keyid=other.keys.http.public.keyid,
            federation_key=other.keys.federation.public.text,
            document=other.document.encode("ascii"),
            mode=mode,
            added_at=self.clock.now(),
            fetched_at=self.clock.now(),
        )
        self.directory.put(row)


class Somebody:
    """A person with one device, as their client knows them."""

    def __init__(self, node: Site, name: str) -> None:
        take = node.entropy.take
        self.node: Final = node
        self.name: Final = name
        self.member: Final = random_id(take(16))
        self.label: Final = random_id(take(16))
        self.device_id: Final = random_id(take(16))
        self.account: Final = AccountSecret(take(32))
        self.device: Final = DeviceSecret(take(32))
        self.sealing: Final = PersonSealingKey(take(32))

    async def entries(self) -> list[MailboxRow]:
        """Return everything in the person's mailbox."""
        async with self.node.store.read() as tx:
            return await tx.find(MailboxRow, where(label=self.label), order="cursor")


def mentor_profile(**changes: object) -> MentorProfile:
    """Return a mentor of the topic who has time on weekdays."""
    profile = MentorProfile(
        topics=(ProfileTopic(id=TOPIC, kind="been-through", experience=("did-it-once",)),),
        languages=("en",),
        formats=("call", "text"),
        lengths=(30,),
        availability=Availability(
            zone="Europe/Berlin",
            weekly=tuple(WeeklyWindow(weekday=day, start=540, end=1020) for day in range(5)),
        ),
    )
    return replace(profile, **changes)


async def settle(*nodes: TestNode, rounds: int = 30) -> None:
    """Let every outbox send until nothing is due any more."""
    for _ in range(rounds):
        waits = [await node.exchanging.outbox.step(peer) for node in nodes for peer in _peers(node)]
        if all(wait is None or wait > 0 for wait in waits):
            return
    raise AssertionError("the outboxes do not come to rest")


def _peers(node: TestNode) -> list[str]:
    return [node.entity, *(peer.entity for peer in node.directory.all())]


def _keys(entropy: Entropy) -> KeyRing:
    def key() -> SigningKey:
        return SigningKey(entropy.take(32))

    return KeyRing(
        federation=key(),
        http=key(),
        log=key(),
        envelope_sign=key(),
        envelope_seal=NodeSealingKey(entropy.take(32)),
        attest=key(),
        witness=key(),
        recovery=key().public,
    )


def _document(entity: str, keys: KeyRing) -> NodeDocument:
    host = entity.removeprefix("https://")
    return NodeDocument(
        version=1,
        entity=entity,
        api=entity,
        protocols=("mentormesh/1",),
        keys=public_keys(keys),
        log_origin=f"{host}/log",
        log_vkey=log_vkey(f"{host}/log", keys.log.public.raw),
        org=ORG,
        issued_at=START,
        seq=1,
    )
