"""Which logs a node follows and which witnesses it asks: its peers', and those that its operator's policy names.

The policy is a C2SP witness policy. Its `log` lines are further logs to follow; its witnesses and quorum are for this
node's own log. Source: docs/protocol/53-witnesses.md §4, §7.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from protocol.encoding import label, sha256
from protocol.errors import MissingError
from protocol.logleaves import is_log_of
from protocol.peers import log_key, open_document, witness_key
from protocol.signing import SigningKey
from protocol.tlog.note import MAX_SIGNATURES, LogKey, WitnessKey
from protocol.tlog.policy import Policy, PolicyLog, PolicyWitness

from .calls import Contact
from .directory import Peer, PeerDirectory
from .earlier import earlier_documents
from .ports import Clock, Store
from .rows import EarlierDocumentRow

ADD_CHECKPOINT: Final = "/add-checkpoint"
WITNESS_PREFIX: Final = "/witness"
#: A served checkpoint has the log's own line and so many cosignatures at most.
MOST_WITNESSES: Final = MAX_SIGNATURES - 1
#: Of peers that were met through one registry, which can invent as many as it likes.
MOST_OF_REGISTRY: Final = 5


class KnownLog(msgspec.Struct, frozen=True, kw_only=True):
    """A log of somebody else.

    `entity` and `document` are empty for a log that only the policy names; `contact` is None when nobody said where it
    is served: such a log is witnessed, and not read. A former log of a peer need not go on, nor prove what a restored
    database forgot: nothing but a contradiction counts against it.
    """

    keys: tuple[LogKey, ...]
    entity: str = ""
    document: str = ""
    contact: Contact | None = None
    prefix: str = ""
    is_former: bool = False

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.keys[0].name


class WitnessTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A witness to ask for cosignatures; `peer` is empty for one that only the policy names."""

    name: str
    key: WitnessKey
    contact: Contact
    path: str
    peer: str = ""


class KnownLogs:
    """The logs of others, as the peers in the directory and the policy are now; never one's own."""

    def __init__(self, directory: PeerDirectory, clock: Clock, *, own: str, policy: Policy | None = None) -> None:
        self._directory: Final = directory
        self._clock: Final = clock
        self._own: Final = own
        lines = [line for line in (policy.of(PolicyLog) if policy else ()) if not is_log_of(own, line.key.name)]
        self._extra: Final = {line.key.name: _named_log(line, directory) for line in lines}
        #: Reading a document's keys takes longer than using them.
        self._known: Final[dict[str, tuple[Peer, tuple[KnownLog, ...]]]] = {}
        self._earlier: list[EarlierDocumentRow] = []

    async def load(self, store: Store) -> None:
        """Take over which logs and log keys peers had before: what is held of those goes on being compared."""
        async with store.read() as rows:
            found = await earlier_documents(rows, now=self._clock.now())
        if found != self._earlier:
            self._earlier = found
            self._known.clear()

    def all(self) -> tuple[KnownLog, ...]:
        """Return all logs, by origin; a peer's document goes before the policy."""
        now = self._clock.now()
        found = dict(self._extra)
        for peer in self._directory.all():
            if self._is_followed(peer, now):
                found |= {log.origin: log for log in self._logs_of(peer)}
        return tuple(found[origin] for origin in sorted(found))

    def _is_followed(self, peer: Peer, now: int) -> bool:
        return peer.entity != self._own and peer.mode_at(now) != "blocked"

    def _logs_of(self, peer: Peer) -> tuple[KnownLog, ...]:
        known = self._known.get(peer.entity)
        if known is None or (known[0].pinned.text, known[0].connect_to) != (peer.pinned.text, peer.connect_to):
            earlier = [row.document.decode("ascii") for row in self._earlier if row.entity == peer.entity]
            self._known[peer.entity] = known = peer, _logs_of(log_of(peer), earlier)
        return known[1]

    def of(self, origin: str) -> KnownLog | None:
        """Return the log with this origin, None when it is not followed here."""
        try:
            peer = self._directory.get(f"https://{origin.partition('/')[0]}")
        except MissingError:
            return self._extra.get(origin)
        logs = self._logs_of(peer) if self._is_followed(peer, self._clock.now()) else ()
        return next((log for log in logs if log.origin == origin), self._extra.get(origin))


class Witnesses:
    """Who is asked to cosign one's own log: the witnesses of the policy, else peers."""

    def __init__(
        self, directory: PeerDirectory, clock: Clock, *, own: str, own_key: SigningKey, policy: Policy | None = None
    ) -> None:
        """`own_key` is that of one's own witness, which never counts."""
        self._directory: Final = directory
        self._clock: Final = clock
        self._own: Final = own
        self._own_key: Final = own_key.public
        self._secret: Final = sha256(own_key.sign(label("witness-choice")))
        self.policy: Final = policy

    def all(self) -> tuple[WitnessTarget, ...]:
        """Return them, at most as many as a checkpoint can carry; of more peers a choice that stays the same."""
        if self.policy is not None:
            lines = self.policy.of(PolicyWitness)
            found = [self._of_line(line) for line in lines if line.key.key != self._own_key]
            return tuple(each for each in found if each is not None)[:MOST_WITNESSES]
        return tuple(_target(peer) for peer in self._chosen()[:MOST_WITNESSES])

    def _chosen(self) -> list[Peer]:
        """Return peers in an order that nobody else knows, so that nobody can choose names that come first.

        Those that an administrator let in go before those that a registry named, of which a few are taken.
        """
        peers = sorted(self._peers(), key=lambda peer: sha256(self._secret, peer.entity.encode()))
        met: dict[str, list[Peer]] = {}
        for peer in peers:
            met.setdefault(peer.via, []).append(peer)
        few = [peer for via, each in met.items() if via for peer in each[:MOST_OF_REGISTRY]]
        return [*met.get("", []), *few]

    def _peers(self) -> Iterable[Peer]:
        now = self._clock.now()
        return (
            peer
            for peer in self._directory.all()
            if peer.entity != self._own and peer.mode_at(now) != "blocked" and not peer.frozen
        )

    def _of_line(self, line: PolicyWitness) -> WitnessTarget | None:
        """Return the witness of a policy line: at its URL, or where the peer with that key is."""
        peer = next((each for each in self._directory.all() if witness_key(each.document) == line.key), None)
        if peer is not None:
            return msgspec.structs.replace(_target(peer), name=line.name)
        if not line.url:
            return None
        contact, prefix = _place(line.url, self._directory)
        return WitnessTarget(name=line.name, key=line.key, contact=contact, path=f"{prefix}{ADD_CHECKPOINT}")


def log_of(peer: Peer) -> KnownLog:
    """Return the log that a peer's pinned document names."""
    document = peer.document
    return KnownLog(
        keys=(log_key(document),),
        entity=peer.entity,
        document=peer.pinned.text,
        contact=Contact(api=document.api, connect_to=peer.connect_to),
        prefix=f"/{document.log_origin.partition('/')[2]}",
    )


def _logs_of(present: KnownLog, earlier: Sequence[str]) -> tuple[KnownLog, ...]:
    """Return the present log of a peer, and those that its earlier documents named, with all their keys."""
    logs = {present.origin: present}
    for text in earlier:
        key = log_key(open_document(text))
        known = logs.get(key.name)
        if known is None:
            prefix = f"/{key.name.partition('/')[2]}"
            logs[key.name] = msgspec.structs.replace(present, keys=(key,), document=text, prefix=prefix, is_former=True)
        elif key not in known.keys:
            logs[key.name] = msgspec.structs.replace(known, keys=(*known.keys, key))
    return tuple(logs.values())


def _target(peer: Peer) -> WitnessTarget:
    return WitnessTarget(
        name=peer.entity,
        key=witness_key(peer.document),
        contact=Contact(api=peer.document.api, connect_to=peer.connect_to),
        path=f"{WITNESS_PREFIX}{ADD_CHECKPOINT}",
        peer=peer.entity,
    )


def _named_log(line: PolicyLog, directory: PeerDirectory) -> KnownLog:
    contact, prefix = _place(line.url, directory) if line.url else (None, "")
    return KnownLog(keys=(line.key,), contact=contact, prefix=prefix)


def _place(url: str, directory: PeerDirectory) -> tuple[Contact, str]:
    """Return where a URL of the policy is; in development its host may have a loopback address."""
    parts = urlsplit(url)
    api = f"{parts.scheme}://{parts.netloc}"
    return Contact(api=api, connect_to=directory.loopback(api)), parts.path.rstrip("/")


def names(targets: Sequence[WitnessTarget]) -> str:
    """Return the names of witnesses for a sentence."""
    return ", ".join(each.name for each in targets)
