"""Consent texts with versions, and who agreed to which. A changed text is a new version; old ones stay listed here.

The texts stand in docs/reference/consents.md too, and a test compares both.
"""

from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from federation.ports import Reader, Writer, where
from node.rows import ConsentRow
from protocol.errors import RefusedError

ConsentKind = Literal["mentoring", "listing", "show-more"]


class ConsentText(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one text, in each language."""

    kind: ConsentKind
    version: int
    en: str
    de: str


TEXTS: Final = (
    ConsentText(
        kind="mentoring",
        version=1,
        en=(
            "My node may use my mentor profile to propose me to people whose need it fits. A proposal shows codes, "
            "free times and a key of my device, but neither my name nor my address. My name is shown when I accept. "
            "I can stop at any time; it takes effect at once."
        ),
        de=(
            "Mein Knoten darf mein Mentorenprofil nutzen, um mich Menschen vorzuschlagen, zu deren Anliegen es passt. "
            "Ein Vorschlag zeigt Codes, freie Zeiten und einen Schlüssel meines Geräts, aber weder Namen noch Adresse. "
            "Mein Name wird gezeigt, wenn ich zusage. Ich kann jederzeit aufhören; das wirkt sofort."
        ),
    ),
    ConsentText(
        kind="listing",
        version=1,
        en=(
            "Offers that my organization lists outside may rest on my profile too. An offer names no person, stands "
            "only where several others could be behind it as well, and ends at a random time after I stop, so that "
            "my leaving does not show."
        ),
        de=(
            "Angebote, die meine Organisation nach außen listet, dürfen auch auf meinem Profil beruhen. Ein Angebot "
            "nennt keine Person, steht nur dort, wo auch mehrere andere dahinterstehen könnten, und endet zu einer "
            "zufälligen Zeit, nachdem ich aufhöre, sodass mein Weggang nicht auffällt."
        ),
    ),
    ConsentText(
        kind="show-more",
        version=1,
        en=(
            "People whose need I fit may see the line and the first name or role that I wrote, and all of my "
            "experience and approach statements, before I accept. This can tell who I am."
        ),
        de=(
            "Menschen, zu deren Anliegen ich passe, dürfen die Zeile und den Vornamen oder die Rolle sehen, die ich "
            "geschrieben habe, und alle meine Angaben zu Erfahrung und Arbeitsweise, noch bevor ich zusage. Daran "
            "kann man mich erkennen."
        ),
    ),
)
CURRENT: Final = {text.kind: text for text in sorted(TEXTS, key=lambda text: text.version)}


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """What a person agreed to, and since when no longer."""

    kind: ConsentKind
    version: int
    given_at: int
    withdrawn_at: int | None = None


async def give(writer: Writer, member: str, kind: ConsentKind, version: int, *, now: int) -> None:
    """Record a consent to the current text. Raises: RefusedError: another version is current; read it first."""
    _require_current(kind, version)
    row = await writer.get(ConsentRow, member, kind, version)
    if row is None or row.withdrawn_at is not None:
        await writer.put(ConsentRow(member=member, kind=kind, version=version, given_at=now))


async def withdraw(writer: Writer, member: str, kind: ConsentKind, *, now: int) -> None:
    """Record that a consent holds no longer, whatever its version."""
    standing = await writer.find(ConsentRow, where(member=member, kind=kind, withdrawn_at=None))
    if standing:
        await writer.put(*(replace(row, withdrawn_at=now) for row in standing))


async def require(reader: Reader, member: str, kind: ConsentKind) -> None:
    """Return when the member agreed to the current text. Raises: RefusedError (code `consent`)."""
    row = await reader.get(ConsentRow, member, kind, CURRENT[kind].version)
    if row is None or row.withdrawn_at is not None:
        raise RefusedError(f"consent `{kind}` version {CURRENT[kind].version} is needed first", code="consent")


async def given(reader: Reader, member: str) -> tuple[Consent, ...]:
    """Return everything a member agreed to, the latest first."""
    rows = await reader.find(ConsentRow, where(member=member), order="-given_at")
    return tuple(msgspec.convert(row, Consent, from_attributes=True) for row in rows)


def _require_current(kind: ConsentKind, version: int) -> None:
    if CURRENT[kind].version != version:
        raise RefusedError(
            f"consent `{kind}` is at version {CURRENT[kind].version} now: read it and agree to that", code="consent"
        )
