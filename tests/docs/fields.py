"""Writes docs/protocol/05-fields.md from the types: every field of every body, with its form and its default."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import inspect, structs

from federation.attesting import GiveAttestation
from federation.gossip import Checkpoints as HeldCheckpoints
from node.services.mentor_side import RequestEntry
from protocol import (
    addresses,
    attestation,
    authorization,
    bodies,
    crowd,
    delivery,
    devices,
    directorypages,
    envelope,
    erasure,
    evidence,
    heads,
    ids,
    keyentries,
    keyproof,
    logleaves,
    members,
    messages,
    needs,
    offerproof,
    offerreading,
    offers,
    pages,
    peers,
    reportitems,
    rotation,
    sealing,
    threads,
    tickets,
    vocabulary,
)
from protocol.e2ee import (
    agreed,
    archive,
    brief,
    consent,
    frames,
    kept,
    linking,
    luggage,
    masterchange,
    places,
    recovery,
    recovery_slots,
    rejoin,
    reports,
    shortcode,
    siblings,
    signals,
    vault,
)

HEAD: Final = """# 05 Fields of all bodies

<!-- Written by `python -m tests.docs`; a test compares it with the program. -->

Which fields a body has, which form each of them has, and which default. What fields mean, and which of them must fit
each other, stands on the page that has the number of the section here. Names of bodies are those of the program.

## 1 How to read the tables

§1.1 A field with a dash in the last column has no default: it is always there, also when it is 0, `false`, an empty
text or an empty list. Any other field has the default that stands there, and MUST be left out when it has that value
([01 §2.2](01-bytes.md)): *empty* is the empty text, *none* the empty list or map, and *no value* says that a field that
is absent says nothing at all.

§1.2 Characters are Unicode code points. An expression in the form of a text is a regular expression over the whole of
it; where a number of characters stands beside it, both hold. A JWS, a note or a log proof inside a body is a text
there: what it says, and its own form, is judged when it is opened, by its own page. Other forms have names:

| form | page |
|---|---|
"""

#: Types with a name, and the page that says what they are.
NAMED: Final[tuple[tuple[Any, str, str, str], ...]] = (
    (ids.RandomId, "id", "02 §2", "02-identifiers"),
    (ids.Bytes32, "32 bytes", "02 §3", "02-identifiers"),
    (ids.MaybeBytes32, "32 bytes or empty", "02 §3", "02-identifiers"),
    (ids.MessageId, "message id", "02 §4", "02-identifiers"),
    (ids.Entity, "entity", "02 §1", "02-identifiers"),
    (ids.Seconds, "time", "02 §5", "02-identifiers"),
    (sealing.SealingText, "sealing key", "04 §2", "04-sealing"),
    (addresses.ApiBase, "API base", "20 §1.2", "20-identity"),
    (vocabulary.TopicId, "concept id", "10 §1", "10-vocabulary"),
    (vocabulary.Language, "language", "10 §5", "10-vocabulary"),
    (vocabulary.Country, "country", "10 §5", "10-vocabulary"),
    (vocabulary.Region, "region", "10 §5", "10-vocabulary"),
    (needs.Reason, "reason", "10 §9", "10-vocabulary"),
    (needs.Gap, "gap", "10 §9", "10-vocabulary"),
    (needs.Approach, "approach", "10 §7", "10-vocabulary"),
    (needs.Experience, "experience", "10 §7", "10-vocabulary"),
    (bodies.Sealed, "sealed part", "30 §5.1", "30-messages"),
)

#: Section → page that explains it, and bodies in the order of their page.
BODIES: Final[Mapping[tuple[str, str], tuple[type[msgspec.Struct], ...]]] = {
    ("Vocabulary and needs", "10-vocabulary"): (vocabulary.Topic, needs.Need, needs.Window),
    ("Offers", "11-offers"): (offers.Offer, offers.OrgProfile, offerproof.OfferProof),
    ("Sets", "12-set-heads"): (
        heads.SetHead,
        heads.HeadAnswer,
        heads.SeenHead,
        heads.Nudge,
        pages._Body,
        pages._Entry,
    ),
    ("Key directory", "13-key-directory"): (
        keyentries.KeyEntry,
        devices.Vouch,
        attestation.HeadAttestation,
        GiveAttestation,
        keyproof.KeyProof,
        keyproof.HeadProof,
        keyproof.PlacedEntry,
        erasure.ErasureRequest,
        erasure.ErasureAnswer,
        erasure.ErasureStatement,
        directorypages.DirectoryToken,
        directorypages.AskDirectoryPage,
        directorypages.DirectoryPage,
    ),
    ("Nodes and peers", "20-identity"): (
        peers.NodeDocument,
        peers.NodeKeys,
        rotation.Rotation,
        tickets.Ticket,
        tickets.Consortium,
        tickets.Redemption,
        tickets.Redeemed,
    ),
    ("Members", "22-members"): (members.MemberStatement, members.SuspensionNotice, members.Departure),
    ("Messages", "30-messages"): (
        messages.MessageHead,
        messages.CheckpointRef,
        bodies.RequestBody,
        bodies.Request,
        bodies.Target,
        bodies.OfferedBody,
        bodies.Quote,
        bodies.Candidate,
        bodies.RefusedBody,
        bodies.AcceptedBody,
        bodies.Choice,
        bodies.SealedBrief,
        bodies.Wrapped,
        bodies.AgreedBody,
        bodies.VerifiedBody,
        bodies.FinalizedBody,
        bodies.DeclinedBody,
        bodies.ExpiredBody,
        bodies.CancelledBody,
        messages.Receipt,
    ),
    ("Agreement", "32-agreement"): (bodies.Agreement,),
    ("Delivery", "33-delivery"): (
        messages.Outcomes,
        messages.Outcome,
        delivery.Cursor,
        delivery.Returned,
        delivery.Heads,
        delivery.ThreadHead,
        delivery.HeadsAnswer,
    ),
    ("Envelopes", "41-envelopes"): (envelope.EnvelopeHeader, RequestEntry),
    ("Sealed parts", "42-sealing"): (brief.BriefWords, consent.Consent, agreed.AgreedProof, agreed.DeviceProof),
    ("Keys of people", "43-devices"): (
        devices.IdentityStatement,
        devices.DeviceCertificate,
        devices.SealingStatement,
        devices.Enrolment,
        devices.StatedKey,
    ),
    ("Frames", "44-frames"): (
        frames.Frame,
        frames.Chat,
        frames.Agenda,
        frames.AgendaItem,
        frames.Goal,
        frames.Action,
        frames.Takeaway,
        frames.Useful,
        frames.Again,
        frames.ContactToken,
        frames.Name,
        frames.MasterChanged,
        frames.Slot,
        frames.Place,
        frames.Note,
        frames.Thanks,
        frames.File,
        frames.Retract,
        frames.Vanish,
        signals.CallOffer,
        signals.CallAnswer,
        signals.CallCandidate,
        signals.CallEnd,
        shortcode.CodeCommit,
        shortcode.CodeAnswer,
        shortcode.CodeReveal,
        frames.Checkpoints,
        frames.Close,
        reports.Report,
        reports.Said,
        reportitems.ReportContact,
        reportitems.SealedReport,
        reportitems.ReportState,
    ),
    ("Sessions", "45-sessions"): (rejoin.Rejoin, rejoin.Ask, rejoin.Answer),
    ("Own devices", "46-own-devices"): (
        linking.Opening,
        linking.Reply,
        linking.Proof,
        linking.NewDevice,
        linking.Grant,
        linking.Known,
        siblings.Word,
        siblings.Invite,
        siblings.Package,
        siblings.Handoff,
        siblings.Told,
    ),
    ("Vault", "47-vault"): (vault.Header, vault.Cost),
    ("Recovery", "49-recovery"): (
        recovery.Bundle,
        recovery_slots.WordsSlot,
        recovery_slots.PassphraseSlot,
        recovery_slots.PasskeySlot,
        recovery.Recovered,
        authorization.Authorization,
        archive.Manifest,
        archive.Part,
        archive.ItemName,
        kept.Book,
        kept.KeptContact,
        kept.KeptLine,
        kept.KeptBlock,
        kept.KeptCode,
        kept.KeptShortlist,
        kept.KeptPerson,
        places.KeptPlace,
        kept.KeptSession,
        kept.KeptSaid,
        masterchange.MasterChange,
        masterchange.StatedChange,
        luggage.Luggage,
    ),
    ("Logs of others", "53-witnesses"): (HeldCheckpoints,),
    ("Leaves of a log", "55-node-log"): (
        logleaves.NodeKeyLeaf,
        logleaves.PolicyLeaf,
        logleaves.SetHeadLeaf,
        logleaves.AgreementsLeaf,
        logleaves.SuccessorLeaf,
    ),
    ("Evidence", "56-evidence"): (evidence.Bundle, evidence.Statement, evidence.Gap),
}

#: Bodies whose name in the program says too little to stand on a page.
TITLES: Final[Mapping[type, str]] = {
    pages._Body: "Page",
    pages._Entry: "PageEntry",
    HeldCheckpoints: "HeldCheckpoints",
    authorization.Authorization: "Regain",
    RequestEntry: "RequestEntry",
    recovery.Bundle: "RecoveryBundle",
    evidence.Bundle: "EvidenceBundle",
    vault.Header: "VaultHeader",
}

#: What a node or a device keeps for itself, and an offer that is being read.
OWN: Final = {crowd.Cell, frames.Gone, frames.Unknown, threads.Book, offerreading.ReadOffer, offerreading.ReadTopic}

#: Fields whose form the program looks at elsewhere than in their type.
FORMS: Final[Mapping[tuple[type, str], str]] = {
    (pages._Entry, "salt"): "id",
    (vault.Header, "nonce"): "24 bytes as base64url",
    (vault.Header, "salt"): "16 bytes as base64url",
    (recovery_slots.PassphraseSlot, "salt"): "16 bytes as base64url",
}


def fields_page() -> str:
    """Return docs/protocol/05-fields.md."""
    lines = [HEAD + "\n".join(f"| {name} | [{at}]({page}.md) |" for _, name, at, page in NAMED)]
    for (heading, page), found in BODIES.items():
        lines += ["", f"## {page[:2]} {heading}", "", f"Page [{page[:2]}]({page}.md)."]
        for one in found:
            lines += ["", *_body(one)]
    return "\n".join(lines) + "\n"


def listed() -> Iterator[type[msgspec.Struct]]:
    """Yield every body of the page."""
    for found in BODIES.values():
        yield from found


def _body(kind: type[msgspec.Struct]) -> Iterator[str]:
    forms = {field.encode_name: FORMS.get((kind, field.name)) or form(field.type) for field in structs.fields(kind)}
    rows = [(field.encode_name, forms[field.encode_name], _default(field)) for field in structs.fields(kind)]
    config = kind.__struct_config__
    if config.tag is not None:
        rows.append((str(config.tag_field), f"`{config.tag}`", "–"))
    yield f"`{title(kind)}`"
    yield ""
    yield "| field | form | default |"
    yield "|---|---|---|"
    yield from (f"| `{name}` | {text} | {default} |" for name, text, default in sorted(rows))


def title(kind: type) -> str:
    """Return the name of a body on the page."""
    return TITLES.get(kind, kind.__name__)


def _default(field: structs.FieldInfo) -> str:
    if field.required:
        return "–"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None:
        return "no value"
    if value == "":
        return "empty"
    if value in ((), {}):
        return "none"
    return f"`{msgspec.json.encode(value).decode().strip(chr(34))}`"


def form(declared: Any) -> str:  # noqa: ANN401 -- any annotation
    """Return the form of a field in words."""
    return _form(inspect.type_info(declared))


def _form(info: inspect.Type) -> str:
    if isinstance(info, inspect.Metadata):
        return _form(info.type)
    named = next((name for kind, name, *_ in NAMED if inspect.type_info(kind) == info), None)
    return named or WORDS[type(info)](info)


def _some(types: Iterable[inspect.Type]) -> str:
    """Return what a field may be, but not what stands on one device alone."""
    shown = [one for one in types if not isinstance(one, inspect.NoneType) and getattr(one, "cls", None) not in OWN]
    return _form(shown[0]) if len(shown) == 1 else f"one of {', '.join(map(_form, shown))}"


def _number(info: inspect.IntType) -> str:
    least = info.ge if info.ge is not None else (info.gt or 0) + 1
    most = info.le if info.le is not None else (info.lt or 0) - 1
    return f"{least:,} to {most:,}"


def _text(info: inspect.StrType) -> str:
    size = "" if info.max_length is None else f", {_size(info.min_length, info.max_length)} characters"
    pattern = (info.pattern or "").removeprefix("^").removesuffix("$").removesuffix(r"(?!\n)").replace("|", "&#124;")
    return f"text{size}" + (f", <code>{pattern}</code>" if pattern else "")


def _size(least: int | None, most: int | None) -> str:
    assert most is not None, "every list is bounded"
    return f"{most:,}" if least == most else f"{least or 0:,} to {most:,}"


#: Words for each kind of type.
WORDS: Final[Mapping[type[inspect.Type], Callable[[Any], str]]] = {
    inspect.BoolType: lambda _: "`true` or `false`",
    inspect.LiteralType: lambda info: ", ".join("empty" if one == "" else f"`{one}`" for one in info.values),
    inspect.EnumType: lambda info: ", ".join(f"`{one.value}`" for one in info.cls),
    inspect.IntType: _number,
    inspect.StrType: _text,
    inspect.UnionType: lambda info: _some(info.types),
    inspect.StructType: lambda info: f"`{title(info.cls)}`",
    inspect.TupleType: lambda info: f"list of {len(info.item_types)}: {_form(info.item_types[0])}",
    inspect.VarTupleType: lambda info: f"list of {_size(info.min_length, info.max_length)}: {_form(info.item_type)}",
    inspect.DictType: lambda info: (
        f"map of {_size(info.min_length, info.max_length)}: {_form(info.key_type)} → {_form(info.value_type)}"
    ),
}
