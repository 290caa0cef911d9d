"""Node documents: who a node is, where it is reached and which keys it uses, signed by its federation key.

`/.well-known/mentormesh` serves the document as a JWS. TLS says that a host is right; only the federation key says that
a *node* is right, so a document that arrives over TLS alone changes nothing (`rotation` says what can).
Source: docs/protocol/20-identity.md.
"""

from typing import Annotated, Final, Literal

import msgspec

from . import jws
from .addresses import ApiBase, parse_api
from .encoding import Wire, decode, encode, unb64
from .errors import MalformedError, UnverifiedError
from .ids import Bytes32, Entity, Seconds, entity_host
from .logleaves import LogOrigin, is_log_of
from .offers import OrgProfile
from .reportitems import ReportContact, check_contact
from .sealing import SealingPublicKey, SealingText
from .signing import SigningKey, VerifyKey, VerifyKeys, thumbprint
from .tlog.note import LogKey, WitnessKey

DOCUMENT_TYP: Final = "mentormesh-node+jws"
DOCUMENT_PATH: Final = "/.well-known/mentormesh"
#: Where a node brings its new document to its peers.
DOCUMENTS_PATH: Final = "/federation/v1/documents"
DOCUMENT_TYPE: Final = "application/jose"
MAX_DOCUMENT_BYTES: Final = 32 * 1024
#: Statements about changed keys in one document.
MAX_ROTATIONS: Final = 8
#: Earlier keys of one role in one document.
MAX_EARLIER: Final = 8
#: What this program speaks, best first.
PROTOCOLS: Final = ("mentormesh/1",)

ProtocolName = Annotated[str, msgspec.Meta(pattern=r"^mentormesh/[1-9][0-9]{0,2}(?!\n)$")]
Capability = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,39}(?!\n)$")]
LimitName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}(?!\n)$")]
Counter = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
EarlierKeys = Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MAX_EARLIER)]
Statement = Annotated[str, msgspec.Meta(max_length=1024)]


class NodeKeys(Wire, frozen=True, kw_only=True):
    """Public keys by role; no key has two roles, so that nothing signed in one role can be passed off in another.

    {"attest":"…","envelope_seal":"…","envelope_sign":"…","federation":"…","http":"…","log":"…","recovery":"…",
     "witness":"…"}
    """

    federation: Bytes32
    http: Bytes32
    log: Bytes32
    envelope_sign: Bytes32
    envelope_seal: SealingText
    attest: Bytes32
    witness: Bytes32
    recovery: Bytes32

    def __post_init__(self) -> None:
        signing = (
            self.federation,
            self.http,
            self.log,
            self.envelope_sign,
            self.attest,
            self.witness,
            self.recovery,
        )
        if len(set(signing)) != len(signing):
            raise ValueError("every role needs a key of its own")


class NodeDocument(Wire, frozen=True, kw_only=True):
    """What a node says about itself; `seq` grows with every change.

    {"api":"https://aurora.example","capabilities":["handshake","offers"],"entity":"https://aurora.example",
     "issued_at":1767225600,"keys":{…},"limits":{"batch_items":64},"log_origin":"aurora.example/log",
     "log_vkey":"aurora.example/log+…+…","org":{…},"protocols":["mentormesh/1"],"seq":1,"version":1}
    """

    version: Literal[1]
    entity: Entity
    api: ApiBase
    protocols: Annotated[tuple[ProtocolName, ...], msgspec.Meta(min_length=1, max_length=8)]
    capabilities: Annotated[tuple[Capability, ...], msgspec.Meta(max_length=32)] = ()
    limits: Annotated[dict[LimitName, Annotated[int, msgspec.Meta(ge=0, lt=2**53)]], msgspec.Meta(max_length=32)] = (
        msgspec.field(default_factory=dict)
    )
    keys: NodeKeys
    log_origin: LogOrigin
    log_vkey: Annotated[str, msgspec.Meta(max_length=400)]
    org: OrgProfile
    issued_at: Seconds
    seq: Counter
    #: Compact JWS of `mentormesh-rotation+jws`, oldest first: how the keys came from earlier ones.
    rotations: Annotated[tuple[Statement, ...], msgspec.Meta(max_length=MAX_ROTATIONS)] = ()
    #: Keys that had a role before, newest first: what is under way is signed by them.
    earlier_attest: EarlierKeys = ()
    earlier_log: EarlierKeys = ()
    earlier_sign: EarlierKeys = ()
    #: Who reads reports of what was said in sessions.
    report_contact: ReportContact | None = None

    @property
    def earlier(self) -> tuple[str, ...]:
        """All keys that had a role before and still count."""
        return (*self.earlier_attest, *self.earlier_log, *self.earlier_sign)

    @property
    def message_keys(self) -> VerifyKeys:
        """The keys by which handshake messages, receipts and agreements of this node verify."""
        return _keys(self.keys.envelope_sign, self.earlier_sign)

    @property
    def log_keys(self) -> VerifyKeys:
        """The keys by which set heads and proofs from the logs of this node verify; see also `log_key`."""
        return _keys(self.keys.log, self.earlier_log)

    @property
    def attest_keys(self) -> VerifyKeys:
        """The keys by which attestations and erasure receipts of this node verify."""
        return _keys(self.keys.attest, self.earlier_attest)


def keyids_of(document: NodeDocument) -> frozenset[str]:
    """Return the thumbprints of all signing keys that a document names, whatever their role."""
    keys = document.keys
    roles = (keys.federation, keys.http, keys.log, keys.envelope_sign, keys.attest, keys.witness, keys.recovery)
    return frozenset(thumbprint(unb64(text)) for text in (*roles, *document.earlier))


def _keys(present: str, earlier: tuple[str, ...]) -> VerifyKeys:
    return VerifyKeys(VerifyKey.parse(present), [VerifyKey.parse(one) for one in earlier])


def sign_document(document: NodeDocument, key: SigningKey) -> str:
    """Return the document as a compact JWS; `key` is the federation key it names."""
    if key.public.text != document.keys.federation:
        raise ValueError("a node document is signed by the federation key it names")
    _check(document)
    return jws.sign(encode(document), key, DOCUMENT_TYP)


def open_document(text: str, *, expected_key: VerifyKey | None = None) -> NodeDocument:
    """Return the document once `expected_key`, or without one the federation key it names itself, signed it.

    A document that only vouches for itself proves nothing but that it is whole: compare its federation key with
    what is known from elsewhere, such as a ticket.

    Raises: MalformedError, UnverifiedError.
    """
    parsed = jws.parse(text, DOCUMENT_TYP)
    if expected_key is not None:
        parsed.verify(expected_key)
    document = decode(parsed.payload, NodeDocument, what="node document")
    own_key = VerifyKey.parse(document.keys.federation)
    if expected_key is not None and own_key != expected_key:
        raise UnverifiedError("node document names another federation key than the one that signed it")
    if expected_key is None:
        parsed.verify(own_key)
    _check(document)
    return document


def common_protocol(ours: tuple[str, ...], theirs: tuple[str, ...]) -> str | None:
    """Return the highest protocol version that both sides announce, or None; versions are never tried out."""
    common = set(ours) & set(theirs)
    return max(common, key=lambda name: int(name.partition("/")[2]), default=None)


def log_vkey(origin: str, public: bytes) -> str:
    """Return the verifier key of a log in C2SP signed-note form: `origin+hash+base64(0x01 ‖ key)`."""
    return LogKey(name=origin, key=VerifyKey(public)).vkey


def log_key(document: NodeDocument) -> LogKey:
    """Return what the node signs the checkpoints of its current log with."""
    return LogKey(name=document.log_origin, key=VerifyKey.parse(document.keys.log))


def witness_key(document: NodeDocument) -> WitnessKey:
    """Return what the node cosigns checkpoints of other logs with, under the name `HOST/witness`."""
    return WitnessKey(name=f"{entity_host(document.entity)}/witness", key=VerifyKey.parse(document.keys.witness))


def _check(document: NodeDocument) -> None:
    """Return if the parts of a document fit together and every key is a usable one. Raises: MalformedError."""
    parse_api(document.api)
    keys = document.keys
    for text in (keys.http, keys.log, keys.envelope_sign, keys.attest, keys.witness, keys.recovery):
        VerifyKey.parse(text)
    SealingPublicKey.parse(keys.envelope_seal)
    if not is_log_of(document.entity, document.log_origin):
        raise MalformedError(
            "log_origin must be the host of the entity, then /log or /log/ and the number of a successor"
        )
    if document.log_vkey != log_vkey(document.log_origin, VerifyKey.parse(keys.log).raw):
        raise MalformedError("log_vkey must hold the log key under the log's origin")
    if {*document.earlier} & set(msgspec.structs.astuple(keys)):
        raise MalformedError("an earlier key must have no role any more")
    for text in document.earlier:
        VerifyKey.parse(text)
    if document.report_contact is not None:
        check_contact(document.report_contact)
    for field, names in (
        ("protocols", document.protocols),
        ("capabilities", document.capabilities),
        ("earlier keys", document.earlier),
    ):
        if len(set(names)) != len(names):
            raise MalformedError(f"{field} must be distinct")
