"""Leaving an employer with one's things, and beginning at another one as the same person.

Source: docs/protocol/49-recovery.md §11.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from node.services.erasure import PersonExport
from node.services.safe import RECOVERY
from protocol.e2ee.archive import (
    MANIFEST,
    DamagedArchiveError,
    digest_of,
    document_of,
    open_manifest,
)
from protocol.e2ee.kept import Book, KeptSession
from protocol.e2ee.luggage import MAX_LUGGAGE_BYTES, Luggage, pack, unpack
from protocol.e2ee.recovery import open_bundle, parse_bundle
from protocol.e2ee.recovery_slots import check_strength, key_by_words, locator_of
from protocol.e2ee.vault import DEFAULT_COST, NONCE_BYTES, SALT_BYTES, Cost, VaultKey
from protocol.encoding import b64, decode, encode, unb64
from protocol.errors import MalformedError, MissingError, UnavailableError

from .api import NodeApi
from .archived import sessions_of, with_session
from .book import book_of, with_book
from .http import Http, parse_url
from .newkeys import own_changes
from .state import ClientState
from .unlock import new_state
from .vault import replace_file


def luggage_of(state: ClientState, profile: str, *, now: int) -> Luggage:
    """Return what this device takes along; `profile` is the mentor profile as JSON, empty when there is none."""
    return Luggage(
        account_secret=b64(state.account_seed),
        name=state.account.name if state.account else "",
        book=decode(book_of(state, now=now), Book),
        sessions=sessions_of(state),
        changes=own_changes(state),
        profile=profile,
    )


def write_luggage(file: Path, luggage: Luggage, passphrase: str, *, cost: Cost = DEFAULT_COST) -> None:
    """Write the sealed file. Raises: WeakPassphraseError; UnavailableError: it cannot be written."""
    check_strength(passphrase)
    key = VaultKey.from_passphrase(passphrase, salt=secrets.token_bytes(SALT_BYTES), cost=cost)
    try:
        replace_file(file, pack(luggage, key, nonce=secrets.token_bytes(NONCE_BYTES)))
    except OSError as error:
        raise UnavailableError(f"cannot write {file}: {error.strerror}") from None


def write_export(file: Path, export: PersonExport) -> None:
    """Write everything that a node held, readable. Raises: UnavailableError: it cannot be written."""
    try:
        replace_file(file, msgspec.json.format(msgspec.json.encode(export)))
    except OSError as error:
        raise UnavailableError(f"cannot write {file}: {error.strerror}") from None


def read_luggage(file: Path, passphrase: str) -> Luggage:
    """Return what was taken along. Raises: UnavailableError, DamagedVaultError, WrongKeyError, MalformedError."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_LUGGAGE_BYTES + 1)
    except OSError as error:
        raise UnavailableError(f"cannot read {file}: {error.strerror}") from None
    return unpack(data, passphrase)


def unpacked(luggage: Luggage) -> ClientState:
    """Return the state of a first device at another organization: the same person, with new device keys."""
    state = replace(
        new_state(),
        account_seed=unb64(luggage.account_secret, size=32, what="account secret"),
        changes=tuple(encode(one) for one in luggage.changes),
    )
    # Sessions of the organization that was left cannot go on at another one.
    state = with_book(state, encode(replace(luggage.book, places=())))
    for session in luggage.sessions:
        state = with_session(state, encode(session))
    return state


async def take_out(http: Http, url: str, entropy: bytes) -> tuple[Luggage, PersonExport, list[str]]:
    """Return what a node still keeps of whoever has these words, without a sign-in, and what could not be read.

    Raises: MissingError: nobody's words, or forgotten; WrongKeyError, DamagedBundleError: the node shows another copy.
    """
    export = await NodeApi(http, parse_url(url)).take_out(locator_of(entropy))
    safe = _safe_of(export)
    if RECOVERY not in safe:
        raise MissingError("the node has no recovery copy of this account")
    bundle = parse_bundle(safe[RECOVERY])
    recovered = open_bundle(bundle, key_by_words(bundle.slots, entropy))
    seed = unb64(recovered.account_secret, size=32, what="account secret")
    book, sessions, warnings = _archive_of(safe, seed)
    luggage = Luggage(
        account_secret=recovered.account_secret,
        name=recovered.name,
        book=book,
        sessions=tuple(sessions),
        profile=_profile_of(export),
    )
    return luggage, export, warnings


def _safe_of(export: PersonExport) -> Mapping[str, bytes]:
    rows = [row for section in export.sections if section.table == "safe" for row in section.rows]
    return {str(row.get("name")): unb64(str(row.get("data", "")), what="sealed data") for row in rows}


def _profile_of(export: PersonExport) -> str:
    rows = [row for section in export.sections if section.table == "mentor" for row in section.rows]
    return str(rows[0].get("profile", "")) if rows else ""


def _archive_of(safe: Mapping[str, bytes], seed: bytes) -> tuple[Book, list[KeptSession], list[str]]:
    """Return what an archive holds; a document that cannot be read costs that document alone."""
    book, sessions, warnings = Book(), list[KeptSession](), list[str]()
    if MANIFEST not in safe:
        return book, sessions, warnings
    try:
        parts = open_manifest(safe[MANIFEST], seed).parts
    except DamagedArchiveError as error:
        return book, sessions, [str(error)]
    for part in parts:
        try:
            document = document_of(part, safe, seed)
            if digest_of(document) != part.digest:
                raise DamagedArchiveError("a document of the archive is not the one that belongs here")
            if part.kind == "book":
                book = decode(document, Book, what="archived book")
            else:
                sessions.append(decode(document, KeptSession, what="archived session"))
        except MalformedError as error:
            warnings.append(str(error))
    return book, sessions, warnings
